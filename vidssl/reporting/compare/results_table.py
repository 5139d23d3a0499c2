"""The page's table of results, ready to be laid out."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from vidssl.reporting.compare.comparison import Comparison, Heading, Row
from vidssl.reporting.compare.page_marks import MarkedName, Strip, marked_names, strip, untrained_name
from vidssl.reporting.compare.runs import Column
from vidssl.reporting.compare.statistics import PairedDifference
from vidssl.reporting.compare.wording import difference_text, number, seeds_text

ROOMY_COLUMNS = 9
"""Beside each other on a page of 1400 pixels, with deviations behind the means."""


@dataclass(frozen=True)
class Group:
    """The heading of columns that share data set and protocol.

    Attributes:
        columns: how many it spans.
        data: name of the data set.
        protocol: its name.
        kind: classes of CSS.
    """

    columns: int
    data: str
    protocol: str
    kind: str


@dataclass(frozen=True)
class MetricColumn:
    """The heading of one column: the metric, and the classes of CSS of all its cells."""

    metric: str
    kind: str


@dataclass(frozen=True)
class ResultCell:
    """A method's numbers in a column, as text.

    Attributes:
        mean: over seeds.
        deviation: of the seeds; empty for one seed.
        seeds: every seed's value in words.
        strip: the values as a picture.
        best: whether the mean is the best of its column.
        against: the difference from the baseline.
        difference: the same as text; empty where there is none.
    """

    mean: str
    deviation: str
    seeds: str
    strip: Strip
    best: bool
    against: PairedDifference | None
    difference: str


@dataclass(frozen=True)
class ResultRow:
    """A method or an untrained network.

    Attributes:
        name: with its mark.
        kind: classes of CSS.
        seeds: their number in words.
        is_baseline: whether the others are compared with it.
        cells: in the order of the columns; None where nothing was measured.
    """

    name: MarkedName
    kind: str
    seeds: str
    is_baseline: bool
    cells: list[ResultCell | None]


@dataclass(frozen=True)
class ResultsTable:
    """The whole table; `kind` are its classes of CSS, ``dense`` with more columns than have room otherwise."""

    groups: list[Group]
    columns: list[MetricColumn]
    rows: list[ResultRow]

    @property
    def kind(self) -> str:
        """Classes of CSS of the table."""
        return "results dense" if len(self.columns) > ROOMY_COLUMNS else "results"


def results_table(comparison: Comparison, shown: Collection[Column]) -> ResultsTable:
    """Lay out the results; columns that are not `shown` stay hidden until they are asked for."""
    headings = comparison.headings
    extra = [heading.column not in shown for heading in headings]
    edges = [place == 0 or headings[place - 1].group != heading.group for place, heading in enumerate(headings)]
    columns = [
        MetricColumn(_metric(heading), _kind(is_extra, is_edge))
        for heading, is_extra, is_edge in zip(headings, extra, edges, strict=True)
    ]
    names = marked_names(comparison.methods)
    ends = [_ends(comparison.rows, heading.column) for heading in headings]
    rows = []
    for place, row in enumerate(comparison.rows):
        seeds = seeds_text(row, headings)
        rows.append(
            ResultRow(
                name=untrained_name(row.label) if row.method is None else names[row.label],
                kind=_row_kind(comparison.rows, place),
                seeds=f"{seeds} seed" if seeds == "1" else f"{seeds} seeds",
                is_baseline=row.label == comparison.baseline and row.method is not None,
                cells=[_cell(row, heading, its) for heading, its in zip(headings, ends, strict=True)],
            )
        )
    return ResultsTable(_groups(headings, extra, edges), columns, rows)


def _row_kind(rows: Sequence[Row], place: int) -> str:
    """Methods are plain; the last of the untrained networks has a line below it."""
    if rows[place].method is not None:
        return ""
    is_last = place + 1 < len(rows) and rows[place + 1].method is not None
    return "untrained last-start" if is_last else "untrained"


def _kind(extra: bool, edge: bool) -> str:
    return " ".join(["extra"] * extra + ["edge"] * edge)


def _metric(heading: Heading) -> str:
    return heading.column.metric.replace("_", " ") + (", %" if heading.percent else "")


def _groups(headings: Sequence[Heading], extra: Sequence[bool], edges: Sequence[bool]) -> list[Group]:
    """Data set and protocol above the metrics they share; a group is hidden when all of its columns are."""
    groups = []
    numbered = zip(headings, extra, edges, strict=True)
    for _, members in itertools.groupby(numbered, key=lambda found: found[0].group):
        group = list(members)
        for hidden, part in itertools.groupby(group, key=lambda found: found[1]):
            found = list(part)
            heading, _, is_edge = found[0]
            kind = _kind(hidden, is_edge)
            # a group that is only partly hidden is named above the part that always shows
            if not hidden or all(is_extra for _, is_extra, _ in group):
                groups.append(Group(len(found), heading.column.data, heading.marked_protocol, kind))
            else:
                groups.append(Group(len(found), "", "", kind))
    return groups


def _ends(rows: Sequence[Row], column: Column) -> tuple[float, float]:
    values = [value for row in rows if column in row.cells for value in row.cells[column].spread.values.values()]
    return min(values), max(values)


def _cell(row: Row, heading: Heading, ends: tuple[float, float]) -> ResultCell | None:
    cell = row.cells.get(heading.column)
    if cell is None:
        return None
    percent, spread = heading.percent, cell.spread
    return ResultCell(
        mean=number(spread.mean, percent=percent),
        deviation="" if spread.deviation is None else number(spread.deviation, percent=percent),
        seeds=_seeds_in_words(spread.values, percent=percent),
        strip=strip(spread, ends),
        best=cell.best,
        against=cell.against,
        difference="" if cell.against is None else difference_text(cell.against, percent=percent),
    )


def _seeds_in_words(values: Mapping[int | str, float], *, percent: bool) -> str:
    """Every seed's value in words, for those who point at a cell."""
    return ", ".join(
        f"{f'seed {seed}' if isinstance(seed, int) else seed}: {number(value, percent=percent)}"
        for seed, value in values.items()
    )
