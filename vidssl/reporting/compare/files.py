"""A comparison as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from vidssl.reporting.compare.comparison import Comparison, Heading, Row
from vidssl.reporting.compare.wording import (
    COST_TITLES,
    against_text,
    cell_text,
    cost_keys,
    costs_text,
    heading_text,
    notes_below,
    seeds_text,
    shared_seeds_text,
    stacked_heading,
)
from vidssl.reporting.foreign_text import csv_text, latex, markdown_code, markdown_text, one_line

CSV_COLUMNS = (
    *("method", "data", "protocol", "metric", "conditions", "n", "mean", "deviation", "seeds", "values"),
    *("baseline", "paired_n", "difference", "low", "high"),
)


def to_csv(comparison: Comparison) -> str:
    """One line for each row and column: mean, deviation, every seed's value, difference from the baseline."""
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in comparison.rows:
        for heading in comparison.headings:
            if heading.column in row.cells:
                writer.writerow(_csv_line(row, heading, comparison.baseline))
    return out.getvalue()


def _csv_line(row: Row, heading: Heading, baseline: str | None) -> dict[str, object]:
    column, cell = heading.column, row.cells[heading.column]
    line: dict[str, object] = {"method": row.label, "data": column.data, "protocol": column.protocol}
    line |= {"metric": column.metric}
    line |= {"conditions": column.digest, "n": cell.spread.n, "mean": cell.spread.mean}
    line |= {"deviation": cell.spread.deviation, "seeds": " ".join(map(str, cell.spread.values))}
    line["values"] = " ".join(map(str, cell.spread.values.values()))
    if cell.against is not None:
        line |= {"baseline": baseline, "paired_n": cell.against.n, "difference": cell.against.mean}
        line |= {"low": cell.against.low, "high": cell.against.high}
    return {key: csv_text(value) if isinstance(value, str) else value for key, value in line.items()}


def to_markdown(comparison: Comparison) -> str:
    """A table of results, one of differences, one of costs, and the notes."""
    headings = comparison.headings
    titles = [markdown_code(heading_text(heading)) for heading in headings]
    results = [
        [
            markdown_text(row.label),
            seeds_text(row, headings),
            *(_markdown_cell(row, heading, headings) for heading in headings),
        ]
        for row in comparison.rows
    ]
    lines = _markdown_table(["", "seeds", *titles], results)
    compared = [row for row in comparison.rows if any(cell.against for cell in row.cells.values())]
    if compared:
        differences = [
            [
                markdown_text(row.label),
                shared_seeds_text(row, headings),
                *(_markdown_difference(row, heading) for heading in headings),
            ]
            for row in compared
        ]
        lines += [
            "",
            *_markdown_table([f"against {markdown_text(str(comparison.baseline))}", "seeds", *titles], differences),
        ]
    keys = cost_keys(comparison)
    if keys:
        columns = [costs_text(key, [values[key] for values in comparison.costs.values()]) for key in keys]
        costs = [
            [markdown_text(label), *texts]
            for label, texts in zip(comparison.costs, zip(*columns, strict=True), strict=True)
        ]
        lines += ["", *_markdown_table(["a run, on average", *(COST_TITLES[key] for key in keys)], costs)]
    return "\n".join([*lines, "", *(f"- {markdown_text(line)}" for line in notes_below(comparison))]) + "\n"


def _markdown_cell(row: Row, heading: Heading, headings: Sequence[Heading]) -> str:
    text = cell_text(row, heading, headings)
    return f"**{text}**" if heading.column in row.cells and row.cells[heading.column].best else text


def _markdown_difference(row: Row, heading: Heading) -> str:
    text, cell = against_text(row, heading), row.cells.get(heading.column)
    return f"**{text}**" if cell and cell.against and cell.against.clear else text


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = "|---" + "|---:" * (len(head) - 1) + "|"
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return [lines[0], rule, *lines[1:]]


def to_latex(comparison: Comparison) -> str:
    """A table in the style of booktabs, whose package it needs; notes are comments above it."""
    headings = comparison.headings
    lines = [f"% {one_line(line)}" for line in notes_below(comparison)]
    lines += [r"\begin{tabular}{l" + "r" * len(headings) + "}", r"\toprule"]
    for words in zip(*map(stacked_heading, headings), strict=True):
        lines.append(" & ".join(["", *map(latex, words)]) + r" \\")
    lines.append(r"\midrule")
    for place, row in enumerate(comparison.rows):
        if place and row.method is not None and comparison.rows[place - 1].method is None:
            lines.append(r"\midrule")
        lines.append(" & ".join([latex(row.label), *(_latex_cell(row, it, headings) for it in headings)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex_cell(row: Row, heading: Heading, headings: Sequence[Heading]) -> str:
    text = latex(cell_text(row, heading, headings))
    return rf"\textbf{{{text}}}" if heading.column in row.cells and row.cells[heading.column].best else text
