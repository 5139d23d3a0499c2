"""A chart of how much of each network's attention is on what moves, one per data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vidssl.reporting.compare.comparison import Cell, Comparison, Heading, Row
from vidssl.reporting.compare.page_marks import MarkedName, marked_names, untrained_name
from vidssl.reporting.compare.runs import Column
from vidssl.reporting.percent import percent

PROTOCOL = "attention"
ON_MOTION, ELSEWHERE = "motion_share", "elsewhere_share"
EVEN = 0.25  # of attention that is spread evenly lies on the quarter of the cells that move most
WIDTH, LEFT, RIGHT = 420, 12, 100  # pixels: of the chart, beside the scale, of the numbers
TOP, ROW, LANE = 0, 50, 8  # pixels: above the first row, between rows, from a row to a kind
TICK = 0.25


@dataclass(frozen=True)
class AttentionMark:
    """A share: ``own`` or ``other`` motion, where it is in pixels, and in words."""

    kind: str
    x: str
    y: int
    words: str


@dataclass(frozen=True)
class AttentionRow:
    """A network: its name with its mark, where its row is in pixels, means as text, and the marks of its seeds."""

    name: MarkedName
    y: int
    means: str
    marks: list[AttentionMark]


def attention_charts(comparison: Comparison) -> dict[str, Any]:
    """Return the rows of every data set on which attention was measured, by name; empty where it was not."""
    headings = {heading.column: heading for heading in comparison.headings if _is_share(heading)}
    names = marked_names(comparison.methods)
    shares = [value for row in comparison.rows for column in headings for value in _values(row.cells.get(column))]
    end = TICK * -(-max([2 * EVEN, *shares]) // TICK)
    charts = {
        _title(heading): {
            "rows": list(_rows(comparison, names, heading.column, end)),
            "height": TOP + ROW * sum(heading.column in row.cells for row in comparison.rows),
        }
        for heading in headings.values()
    }
    ticks = [(_across(TICK * place, end), f"{100 * TICK * place:.0f}") for place in range(round(end / TICK) + 1)]
    geometry = {"width": WIDTH, "left": LEFT, "right": RIGHT, "even": _across(EVEN, end)}
    return {"charts": charts, "ticks": ticks, **geometry} if charts else {}


def _is_share(heading: Heading) -> bool:
    return (heading.column.protocol, heading.column.metric) == (PROTOCOL, ON_MOTION)


def _title(heading: Heading) -> str:
    return heading.column.data + (f" ({heading.mark})" if heading.mark else "")


def _values(cell: Cell | None) -> list[float]:
    return [] if cell is None else list(cell.spread.values.values())


def _rows(
    comparison: Comparison, names: Mapping[str, MarkedName], column: Column, end: float
) -> Iterator[AttentionRow]:
    shown = [row for row in comparison.rows if column in row.cells]
    for place, row in enumerate(shown):
        name = untrained_name(row.label) if row.method is None else names[row.label]
        yield _row(row, name, column, TOP + ROW * place + 3 * ROW // 4, end)


def _row(row: Row, name: MarkedName, column: Column, y: int, end: float) -> AttentionRow:
    marks, means = [], []
    kinds = ((ON_MOTION, "own", "on its motion", 0), (ELSEWHERE, "other", "on another video's motion", LANE))
    for metric, kind, words, down in kinds:
        cell = row.cells.get(Column(column.data, column.protocol, metric, column.digest))
        if cell is None:
            continue
        means.append(percent(cell.spread.mean))
        marks += [
            AttentionMark(kind, _across(value, end), y + down, f"seed {seed}, {words}: {percent(value)} %")
            for seed, value in cell.spread.values.items()
        ]
    return AttentionRow(name, y, " / ".join(means), marks)


def _across(share: float, end: float) -> str:
    return f"{LEFT + share / end * (WIDTH - LEFT - RIGHT):.1f}"
