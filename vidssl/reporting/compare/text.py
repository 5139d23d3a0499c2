"""A comparison on the console."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vidssl.reporting.compare.comparison import Comparison, Heading, Row
from vidssl.reporting.compare.runs import Column
from vidssl.reporting.compare.wording import (
    COST_TITLES,
    against_text,
    cell_text,
    cost_keys,
    costs_text,
    left_out_text,
    legend,
    not_shown_text,
    seeds_text,
    shared_seeds_text,
    stacked_heading,
)

SPACE = 3  # between columns, as SIMPLE_HEAD leaves it
EDGES = 2  # beside the table
NARROWEST = 20  # of the names, which are folded on a narrow terminal, and of what is left for columns beside them
COST_WIDTH = 16  # of a method in the table of costs, which folds its name


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print results, differences from the baseline, costs and notes."""
    compared = [row for row in comparison.rows if any(cell.against for cell in row.cells.values())]

    def numbers(row: Row, heading: Heading) -> tuple[str, bool]:
        cell = row.cells.get(heading.column)
        return cell_text(row, heading, comparison.headings), cell is not None and cell.best

    def differences(row: Row, heading: Heading) -> tuple[str, bool]:
        cell = row.cells.get(heading.column)
        return against_text(row, heading), bool(cell and cell.against and cell.against.clear)

    _print_tables(comparison.headings, comparison.rows, ("method", seeds_text), numbers, console)
    if compared:
        first = (f"against {comparison.baseline}", shared_seeds_text)
        _print_tables(comparison.headings, compared, first, differences, console)
    if cost_keys(comparison):
        for table in _costs(comparison, console.width):
            console.print(table)
    for line in filter(None, [*legend(comparison), not_shown_text(comparison)]):
        console.print(f"[dim]{escape(line)}[/]")
    for note in [*comparison.notes, *map(left_out_text, comparison.left_out)]:
        console.print(f"[yellow]{escape(note)}[/]")


def _print_tables(
    headings: Sequence[Heading],
    rows: Sequence[Row],
    first: tuple[str, Callable[[Row, Sequence[Heading]], str]],
    text: Callable[[Row, Heading], tuple[str, bool]],
    console: Console,
) -> None:
    """Print a table, or as many as the terminal's width asks for; long names are folded before columns are moved.

    Args:
        headings: of the columns.
        rows: of the table.
        first: what stands above the names, and what gives the number of seeds behind a row.
        text: what stands in a cell, and whether it is bold.
        console: where to print.
    """
    title, seeds_of = first
    names = max(len(title), *(len(row.label) for row in rows))
    seeds = len("seeds") + SPACE
    widths = {
        heading.column: SPACE
        + max(len(word) for word in [*stacked_heading(heading), *(text(row, heading)[0] for row in rows)])
        for heading in headings
    }
    room = console.width - seeds - EDGES
    names = min(names, max(room - sum(widths.values()), NARROWEST))
    for part in _fitting(headings, widths, max(room - names, NARROWEST)):
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column(escape(title), width=names, overflow="fold")
        table.add_column("seeds", justify="right", no_wrap=True)
        for heading in part:
            table.add_column(escape("\n".join(stacked_heading(heading))), justify="right", no_wrap=True)
        for row in rows:
            label = f"[italic]{escape(row.label)}[/]" if row.method is None else escape(row.label)
            cells = [text(row, heading) for heading in part]
            marked = (f"[bold]{escape(words)}[/]" if bold else escape(words) for words, bold in cells)
            table.add_row(label, seeds_of(row, headings), *marked)
        console.print(table)


def _fitting(headings: Sequence[Heading], widths: dict[Column, int], room: int) -> list[list[Heading]]:
    """Cut columns into parts that fit beside each other, those of a protocol together where that is possible."""
    parts: list[list[Heading]] = [[]]
    for _, group in itertools.groupby(headings, key=lambda heading: (heading.column.data, heading.column.protocol)):
        members = list(group)
        used = sum(widths[heading.column] for heading in parts[-1])
        if parts[-1] and used + sum(widths[heading.column] for heading in members) > room:
            parts.append([])
        for heading in members:
            if parts[-1] and sum(widths[other.column] for other in parts[-1]) + widths[heading.column] > room:
                parts.append([])
            parts[-1].append(heading)
    return parts


def _costs(comparison: Comparison, width: int) -> Iterator[Table]:
    """Yield tables of a line a cost and a column a method, as many methods beside each other as fit."""
    title = "a run, on average"
    methods = list(comparison.costs.items())
    beside = max(1, (width - len(title)) // (COST_WIDTH + SPACE))
    for start in range(0, len(methods), beside):
        part = methods[start : start + beside]
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column(title, no_wrap=True)
        for label, _ in part:
            table.add_column(escape(label), justify="right", max_width=COST_WIDTH, overflow="fold")
        for key in cost_keys(comparison):
            texts = costs_text(key, [costs[key] for _, costs in methods])
            table.add_row(COST_TITLES[key], *texts[start : start + beside])
        yield table
