"""A small chart for each method: accuracy when clips are changed in time, with intervals over videos."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vidssl.evaluation.temporal.changes import CHANGES, UNCHANGED, time_metrics
from vidssl.reporting.compare.comparison import Comparison, Heading
from vidssl.reporting.compare.methods import Method
from vidssl.reporting.compare.page_marks import MarkedName, marked_names
from vidssl.reporting.compare.runs import Column
from vidssl.reporting.percent import percent

KINDS = ("nearest", "linear")
WIDTH, LEFT, RIGHT = 400, 98, 92  # pixels: of the chart, of the names of changes, of the numbers
TOP, ROW, LANE, RUN = 8, 36, 7, 3  # pixels: above the first row, between rows, from a row to a kind, between runs
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class TimeMark:
    """An accuracy of a run: its place in pixels, the ends of its interval (None without one), and its text."""

    kind: str
    x: str
    y: str
    ends: tuple[str, str] | None
    words: str


@dataclass(frozen=True)
class TimeRow:
    """A change: its name, where its row is in pixels, the means over the runs as text, and every run's marks."""

    name: str
    y: int
    means: str
    marks: list[TimeMark]


@dataclass(frozen=True)
class TimeChart:
    """The accuracies of a method under one protocol; `guides` are (kind, x) of its means on unchanged clips."""

    name: MarkedName
    rows: list[TimeRow]
    guides: list[tuple[str, str]]

    @property
    def height(self) -> int:
        """Height of the rows, in pixels; the numbers of the axis are below."""
        return TOP + ROW * len(self.rows)


def time_charts(comparison: Comparison) -> dict[str, Any]:
    """Return the charts of every protocol that changes clips in time, by its title; empty if none was measured."""
    groups: dict[tuple[str, str, str], Heading] = {}
    for heading in comparison.headings:
        if heading.column.metric in time_metrics("nearest"):
            groups.setdefault(heading.group, heading)
    names = marked_names(comparison.methods)
    charts = {
        f"{heading.column.data}/{heading.marked_protocol}": [
            _chart(method, names[method.label], heading.column)
            for method in comparison.methods
            if _means(method, _columns(heading.column, KINDS[0], UNCHANGED))
        ]
        for heading in groups.values()
    }
    ticks = [(_across(value), percent(value).removesuffix(".0")) for value in TICKS]
    charts = {title: of_methods for title, of_methods in charts.items() if of_methods}
    return {"charts": charts, "ticks": ticks, "width": WIDTH, "left": LEFT, "right": RIGHT} if charts else {}


def _columns(like: Column, kind: str, change: str) -> Column:
    return Column(like.data, like.protocol, f"{change}_{kind}", like.digest)


def _means(method: Method, column: Column) -> list[float]:
    return [value for run in method.runs if (value := run.final(column)) is not None]


def _chart(method: Method, name: MarkedName, like: Column) -> TimeChart:
    shown = [change for change in CHANGES if _means(method, _columns(like, KINDS[0], change))]
    rows = [_row(method, like, change, TOP + ROW * place + ROW // 2) for place, change in enumerate(shown)]
    guides = [
        (kind, _across(statistics.fmean(values)))
        for kind in KINDS
        if (values := _means(method, _columns(like, kind, UNCHANGED)))
    ]
    return TimeChart(name, rows, guides)


def _row(method: Method, like: Column, change: str, y: int) -> TimeRow:
    columns = [_columns(like, kind, change) for kind in KINDS]
    means = [percent(statistics.fmean(values)) for column in columns if (values := _means(method, column))]
    marks = [
        mark
        for kind, column, lane in zip(KINDS, columns, (-LANE, LANE), strict=True)
        for mark in _marks(method, column, kind, y + lane)
    ]
    return TimeRow(change.replace("_", " "), y, " / ".join(means), marks)


def _marks(method: Method, column: Column, kind: str, y: int) -> Iterator[TimeMark]:
    runs = [run for run in method.runs if run.final(column) is not None]
    for place, run in enumerate(runs):
        value, ends = run.final(column), run.intervals.get(column)
        assert value is not None  # runs without it were left out
        words = f"{run.name}, {kind}: {percent(value)}"
        if ends is not None:
            words += f", 95 % interval over videos {percent(ends[0])} to {percent(ends[1])}"
        offset = RUN * (place - (len(runs) - 1) / 2)
        yield TimeMark(kind, _across(value), f"{y + offset:.1f}", _span(ends), words)


def _span(ends: Sequence[float] | None) -> tuple[str, str] | None:
    return None if ends is None else (_across(ends[0]), _across(ends[1]))


def _across(share: float) -> str:
    return f"{LEFT + share * (WIDTH - LEFT - RIGHT):.1f}"
