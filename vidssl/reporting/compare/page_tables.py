"""The tables of the page: results, costs, settings, protocols, runs."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Any

from vidssl.reporting.compare.methods import NOT_SET, differing_settings, plain_text
from vidssl.reporting.compare.page_marks import named_key, seeds_told, strip
from vidssl.reporting.compare.runs import Column, Run, flatten
from vidssl.reporting.compare.table import Cell, Comparison, Heading, Row
from vidssl.reporting.compare.wording import (
    COST_TITLES,
    NOTHING,
    cost_keys,
    cost_text,
    difference_text,
    duration_text,
    number,
    seeds_text,
)

DIGEST_SHOWN = 8
RUN_TITLES = (
    *("method", "folder", "seed", "steps", "finished", "wall time", "devices", "vidssl", "commit", "catalog"),
    "training videos",
)


def scrolling(table: str, name: str) -> str:
    """A table that scrolls sideways where it is wider than the page, by keyboard too."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}">{table}</div>'


# --- results ---


def results_table(comparison: Comparison, shown: Collection[Column]) -> str:
    """The table of results; columns that are not `shown` stay hidden until they are asked for."""
    headings = comparison.headings
    extra = [heading.column not in shown for heading in headings]
    edges = [place == 0 or _group(headings[place - 1]) != _group(heading) for place, heading in enumerate(headings)]
    places = _places(comparison)
    ends = [_ends(comparison.rows, heading.column) for heading in headings]
    body = []
    for number_, row in enumerate(comparison.rows):
        following = comparison.rows[number_ + 1 :]
        kinds = ["untrained"] if row.method is None else []
        if row.method is None and following and following[0].method is not None:
            kinds.append("last-start")
        cells = [
            _result(row, heading, ends[place], places.get(row.label), _classes(extra[place], edges[place]))
            for place, heading in enumerate(headings)
        ]
        seeds = seeds_text(row, headings)
        small = f"<small>{seeds} seed{'' if seeds == '1' else 's'}{_baseline_word(comparison, row)}</small>"
        name = named_key(places.get(row.label), row.label) + small
        body.append(f'<tr class="{" ".join(kinds)}"><th scope="row">{name}</th>{"".join(cells)}</tr>')
    head = _results_head(headings, extra, edges)
    return scrolling(f'<table class="results">{head}<tbody>{"".join(body)}</tbody></table>', "results")


def _baseline_word(comparison: Comparison, row: Row) -> str:
    return " · baseline" if row.label == comparison.baseline and row.method is not None else ""


def _places(comparison: Comparison) -> dict[str, int]:
    return {method.label: place for place, method in enumerate(comparison.methods)}


def _group(heading: Heading) -> tuple[str, str, str]:
    return heading.column.data, heading.column.protocol, heading.column.digest


def _classes(extra: bool, edge: bool) -> str:
    return " ".join(["extra"] * extra + ["edge"] * edge)


def _results_head(headings: Sequence[Heading], extra: Sequence[bool], edges: Sequence[bool]) -> str:
    """Data set and protocol above the metrics they share; a group is hidden when all of its columns are."""
    rows = {"data": "<th></th>", "group": "<th></th>", "metric": '<th scope="col">method</th>'}
    numbered = list(zip(headings, extra, edges, strict=True))
    for _, members in itertools.groupby(numbered, key=lambda found: _group(found[0])):
        group = list(members)
        for hidden, part in itertools.groupby(group, key=lambda found: found[1]):
            found = list(part)
            column = found[0][0].column
            # a group that is only partly hidden is named above the part that always shows
            named = not hidden or all(is_extra for _, is_extra, _ in group)
            kind = _classes(hidden, found[0][2])
            texts = (column.data, column.protocol + (f" ({found[0][0].mark})" if found[0][0].mark else ""))
            for row, text in zip(("data", "group"), texts, strict=True):
                told = escape(text) if named else ""
                rows[row] += f'<th scope="colgroup" colspan="{len(found)}" class="group {row} {kind}">{told}</th>'
    for heading, hidden, edge in numbered:
        unit = ", %" if heading.percent else ""
        metric = escape(heading.column.metric.replace("_", " ")) + unit
        rows["metric"] += f'<th scope="col" class="{_classes(hidden, edge)}">{metric}</th>'
    return "<thead>" + "".join(f"<tr>{row}</tr>" for row in rows.values()) + "</thead>"


def _ends(rows: Sequence[Row], column: Column) -> tuple[float, float]:
    values = [value for row in rows if column in row.cells for value in row.cells[column].spread.values.values()]
    return min(values), max(values)


def _result(row: Row, heading: Heading, ends: tuple[float, float], place: int | None, kind: str) -> str:
    cell = row.cells.get(heading.column)
    if cell is None:
        return f'<td class="{kind}"><span class="nothing">{NOTHING}</span></td>'
    percent = heading.percent
    said = {seed: number(value, percent=percent) for seed, value in cell.spread.values.items()}
    told = escape(seeds_told(cell.spread.values, said))
    best = " best" if cell.best else ""
    return (
        f'<td class="{kind}{best}" title="{told}">{_value(cell, percent)}{strip(cell.spread, ends, place)}'
        f"{_against(cell, percent)}</td>"
    )


def _value(cell: Cell, percent: bool) -> str:
    deviation = cell.spread.deviation
    spread = "" if deviation is None else f" <i>± {number(deviation, percent=percent)}</i>"
    return f'<span class="value"><b>{number(cell.spread.mean, percent=percent)}</b>{spread}</span>'


def _against(cell: Cell, percent: bool) -> str:
    if cell.against is None:
        return ""
    clear = " clear" if cell.against.clear else ""
    told = f"above the baseline on {cell.against.above} of {cell.against.n} shared seeds"
    text = escape(difference_text(cell.against, percent=percent))
    return f'<span class="against{clear}" title="{told}">{text}</span>'


# --- the other tables ---


def costs_table(comparison: Comparison) -> str:
    """What a run of each method takes, on average; empty where no run tells."""
    keys = cost_keys(comparison)
    if not keys:
        return ""
    places = _places(comparison)
    head = "".join(f'<th scope="col">{COST_TITLES[key]}</th>' for key in keys)
    body = "".join(
        f'<tr><th scope="row">{named_key(places[label], label)}</th>'
        + "".join(f"<td>{cost_text(key, costs[key])}</td>" for key in keys)
        + "</tr>"
        for label, costs in comparison.costs.items()
    )
    return scrolling(
        f'<table><thead><tr><th scope="col">method</th>{head}</tr></thead><tbody>{body}</tbody></table>', "costs"
    )


def settings_table(comparison: Comparison) -> str:
    """The settings in which methods differ, those that only some of them have in a fold; empty where there are none.

    What differs from the baseline is bold.
    """
    methods = comparison.methods
    rows = differing_settings(methods)
    common = {key: values for key, values in rows.items() if NOT_SET not in values}
    others = {key: values for key, values in rows.items() if NOT_SET in values}
    told = _settings(common, comparison) if common else ""
    if others:
        count = f"{len(others)} setting{'' if len(others) == 1 else 's'} that not every method has"
        told += f'<details class="more"><summary>{count}</summary>{_settings(others, comparison)}</details>'
    return told


def _settings(rows: Mapping[str, Sequence[str]], comparison: Comparison) -> str:
    labels = [method.label for method in comparison.methods]
    base = labels.index(comparison.baseline) if comparison.baseline in labels else 0
    head = "".join(f'<th scope="col">{named_key(place, label)}</th>' for place, label in enumerate(labels))
    body = "".join(
        f'<tr><th scope="row">{escape(key).replace(".", ".<wbr>")}</th>'
        + "".join(f"<td{_setting_class(value, values[base])}>{escape(value)}</td>" for value in values)
        + "</tr>"
        for key, values in rows.items()
    )
    table = (
        f'<table class="settings"><thead><tr><th scope="col">key</th>{head}</tr></thead><tbody>{body}</tbody></table>'
    )
    return scrolling(table, "settings that differ")


def _setting_class(value: str, base: str) -> str:
    if value == NOT_SET:
        return ' class="unset"'
    return ' class="odd"' if value != base else ""


def protocol_details(comparison: Comparison, summaries: Mapping[str, str]) -> str:
    """How each column was measured, a fold for each protocol and its conditions."""
    told = {}
    for heading in comparison.headings:
        told.setdefault(_group(heading), heading)
    folds = []
    for heading in told.values():
        column, under = heading.column, heading.conditions
        mark = f" ({heading.mark})" if heading.mark else ""
        summary = summaries.get(column.protocol, "")
        named = f"{escape(column.data)}/{escape(column.protocol)}{mark} <span>{escape(summary)}</span>"
        facts = [*flatten(under.values), ("conditions", column.digest)]
        if not under.recorded:
            facts.append(("taken from", "the run's configuration; the evaluation left no record"))
        folds.append(f"<details><summary>{named}</summary>{_definitions(facts)}</details>")
    return "".join(folds)


def _definitions(facts: Sequence[tuple[str, Any]]) -> str:
    return (
        "<dl>"
        + "".join(f"<dt>{escape(key)}</dt><dd>{escape(plain_text(value))}</dd>" for key, value in facts)
        + "</dl>"
    )


def runs_table(comparison: Comparison) -> str:
    """Where every number comes from: the runs, finished or not, with code and videos."""
    places = _places(comparison)
    rows = [(method.label, run) for method in comparison.methods for run in method.runs]
    rows += [("left out", run) for run in comparison.left_out]
    body = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in [_run_key(label, places), *_run_cells(run)]) + "</tr>"
        for label, run in rows
    )
    titles = "".join(f'<th scope="col">{title}</th>' for title in RUN_TITLES)
    return scrolling(f'<table class="runs"><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>', "runs")


def _run_key(label: str, places: Mapping[str, int]) -> str:
    return named_key(places[label], label) if label in places else escape(label)


def _run_cells(run: Run) -> list[str]:
    facts = run.facts
    catalog = facts.get("catalog") or {}
    commit = (facts.get("commit") or "")[:DIGEST_SHOWN] + (" + changes" if facts.get("commit_modified") else "")
    finished = {True: "yes", False: "no", None: "not told"}[run.finished]
    devices = (facts.get("devices") or 0) * (facts.get("num_nodes") or 1)
    cells = [
        run.folder,
        run.seed,
        None if facts.get("steps") is None else f"{facts['steps']:,}",
        finished,
        None if facts.get("wall_seconds") is None else duration_text(facts["wall_seconds"]),
        f"{devices} {facts.get('accelerator', '')}" if devices else None,
        facts.get("vidssl_version"),
        commit,
        str(catalog.get("digest") or "")[:DIGEST_SHOWN],
        f"{catalog['train_videos']:,} of {catalog['videos']:,}" if catalog else None,
    ]
    return [NOTHING if cell in (None, "") else escape(str(cell)) for cell in cells]
