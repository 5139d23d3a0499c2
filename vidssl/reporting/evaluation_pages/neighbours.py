"""Queries beside their nearest neighbours, ready to be laid out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vidssl.evaluation.protocols.outcome import Neighbours
from vidssl.evaluation.protocols.records import Measured
from vidssl.reporting.evaluation_pages.findings import Findings, distance_in_words
from vidssl.reporting.percent import percent

QUERIES_SHOWN = 48
NEIGHBOURS_SHOWN = 5
SAID = {"asked": "query", "same": "same class", "other": "another class"}


@dataclass(frozen=True)
class Card:
    """A video.

    Attributes:
        row: of the catalog.
        path: of the video.
        kind: "asked" is the query, "same" a neighbour of its class, "other" one of another class.
        class_name: its class.
        words: what is said below.
        right: of a query, whether it was given its class; None of a neighbour.
    """

    row: int
    path: str
    kind: str
    class_name: str
    words: str
    right: bool | None = None

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def said(self) -> str:
        """The kind in words."""
        return SAID[self.kind]


@dataclass(frozen=True)
class Query:
    """A query and its nearest neighbours.

    Attributes:
        class_name: the query's class.
        result: "right" or "wrong".
        cards: the query, then its neighbours, nearest first.
    """

    class_name: str
    result: str
    cards: list[Card]


@dataclass(frozen=True)
class ShownNeighbours:
    """What the section shows.

    Attributes:
        words: what the reader sees, in words.
        queries: those that are shown, by class.
        columns: videos of a query and its neighbours.
    """

    words: str
    queries: list[Query]
    columns: int

    @property
    def classes(self) -> list[str]:
        """Classes of the queries, in the order of the alphabet."""
        return sorted({query.class_name for query in self.queries})


def shown_neighbours(findings: Findings) -> ShownNeighbours | None:
    """Choose queries and look up their neighbours; None where nothing was retrieved."""
    neighbours = findings.measured.outcome.neighbours
    if neighbours is None:
        return None
    places = findings.spread(QUERIES_SHOWN)
    total = len(findings.right)
    words = (
        f"{len(places):,} of {total:,} queries, equally many of every class, wrong and right ones in turn. Of all "
        f"{total:,}, {percent(findings.right.mean())} % {findings.rightness}. The first video, in the bold frame, is "
        "the query. Its nearest neighbours in the gallery follow with their distances "
        f"({distance_of(findings.measured)}). "
        "A ✓ and a line mark the class of the query, a ✗ and a dashed line another class."
    )
    queries = [_query(findings, neighbours, place) for place in places.tolist()]
    return ShownNeighbours(words, queries, columns=1 + min(NEIGHBOURS_SHOWN, neighbours.places.shape[1]))


def distance_of(measured: Measured) -> str:
    """Return what distances of this measurement are, in words."""
    return distance_in_words(measured.protocol.described()["measure"])


def _query(findings: Findings, neighbours: Neighbours, place: int) -> Query:
    measured = findings.measured
    label, given = int(measured.query.labels[place]), int(findings.predicted[place])
    right, class_name = label == given, measured.catalog.classes[label]
    if measured.outcome.predicted is not None:
        words = f"given {measured.catalog.classes[given]}"
    else:
        words = "nearest is right" if right else "nearest is wrong"
    row = int(measured.query.index[place])
    asked = Card(row, measured.catalog.name(row), "asked", class_name, words, right)
    return Query(class_name, "right" if right else "wrong", [asked, *_found(measured, neighbours, place, label)])


def _found(measured: Measured, neighbours: Neighbours, place: int, label: int) -> Iterator[Card]:
    items = neighbours.places[place, :NEIGHBOURS_SHOWN].tolist()
    distances = neighbours.distances[place, :NEIGHBOURS_SHOWN].tolist()
    for item, distance in zip(items, distances, strict=True):
        row, its = int(measured.gallery.index[item]), int(measured.gallery.labels[item])
        kind = "same" if its == label else "other"
        yield Card(row, measured.catalog.name(row), kind, measured.catalog.classes[its], f"{distance:#.3g}")
