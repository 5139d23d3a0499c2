"""The results of a measurement for each query and each class, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from vidssl.evaluation.protocols.records import Measured
from vidssl.reporting.evaluation_pages.confusion import Confusion


@dataclass(frozen=True)
class Findings:
    """A measurement, and the class that it gives to each query.

    Attributes:
        measured: what was measured.
        predicted: int64 (M,): what a classifier said, or the class of the nearest neighbour.
        rule: where `predicted` comes from, in words.
        rightness: what it means to be right, in words that follow a share.
    """

    measured: Measured
    predicted: np.ndarray
    rule: str
    rightness: str

    @classmethod
    def of(cls, measured: Measured) -> Findings | None:
        """Look at what came out; None where neither a class nor a neighbour did."""
        outcome = measured.outcome
        if outcome.predicted is not None:
            return cls(measured, outcome.predicted, "the class that was given", "were given their class")
        if outcome.neighbours is not None:
            nearest = measured.gallery.labels[outcome.neighbours.places[:, 0]]
            rule = "the class of the nearest neighbour"
            return cls(measured, nearest, rule, "have a nearest neighbour of their class")
        return None

    @property
    def right(self) -> np.ndarray:
        """Which queries were given their class, bool (M,)."""
        return self.predicted == self.measured.query.labels

    def confusion(self) -> Confusion:
        """Count which class was taken for which."""
        return Confusion.of(self.measured.query.labels, self.predicted, self.measured.catalog.classes)

    def spread(self, most: int) -> np.ndarray:
        """Choose queries to be shown: of every class in turn, a wrong one and a right one in turn.

        Wrong and right ones of a class are taken from all over the split, as evenly as their number allows.

        Returns:
            Places among the queries, int64, rising by class.
        """
        labels, right = self.measured.query.labels, self.right
        by_class = [
            [
                place
                for pair in zip_longest(
                    *(_scattered(np.flatnonzero((labels == label) & kind)) for kind in (~right, right))
                )
                for place in pair
                if place is not None
            ]
            for label in np.unique(labels)
        ]
        in_turn = [place for places in zip_longest(*by_class) for place in places if place is not None]
        chosen = np.array(in_turn[:most], np.int64)
        return chosen[np.lexsort((chosen, labels[chosen]))]

    def by_class(self) -> list[dict[str, Any]]:
        """Return, for every class among the queries, its name, numbers of videos, and what it is mostly taken for."""
        query, gallery, classes = (
            self.measured.query.labels,
            self.measured.gallery.labels,
            self.measured.catalog.classes,
        )
        table = []
        for label in np.unique(query).tolist():
            taken = self.predicted[query == label]
            others, counts = np.unique(taken[taken != label], return_counts=True)
            most = int(counts.argmax()) if len(counts) else None
            table.append(
                {
                    "name": classes[label],
                    "gallery": int((gallery == label).sum()),
                    "queries": len(taken),
                    "right": int((taken == label).sum()),
                    "taken_for": "" if most is None else f"{classes[others[most]]} ({counts[most]})",
                }
            )
        return table


def _scattered(places: np.ndarray) -> list[int]:
    """Order places so that any number of the first ones is spread over all of them (van der Corput's sequence)."""
    if len(places) == 0:
        return []
    bits = max(1, int(len(places) - 1).bit_length())
    order = [int(f"{number:0{bits}b}"[::-1], 2) for number in range(2**bits)]
    return [int(places[number]) for number in order if number < len(places)]


def distance_in_words(measure: Mapping[str, Any]) -> str:
    """Return what the distances of a measure are, from its description; one within another counts."""
    inner = next((value for value in measure.values() if isinstance(value, Mapping)), {})
    kind = measure.get("distance", inner.get("distance", "cosine"))
    return {"cosine": "1 less the cosine", "l2": "Euclidean distance"}.get(kind, kind)
