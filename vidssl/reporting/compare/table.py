"""Makes a comparison from methods: columns, rows, costs and notes for the reader."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from vidssl.errors import VidsslError, nearest
from vidssl.reporting.compare.comparison import Cell, Comparison, Heading, Row
from vidssl.reporting.compare.methods import NOT_SET, Method, plain_text
from vidssl.reporting.compare.runs import Column, Conditions, Run, canonical, flatten
from vidssl.reporting.compare.statistics import Spread, paired_difference, spread
from vidssl.reporting.main_metrics import main_metric, metric_rank, protocol_rank, repeated

MAIN_COLUMNS = 3
"""The number of protocols whose main metric is shown by default."""
UNTRAINED = "untrained"
COSTS = ("wall_seconds", "device_hours", "videos_per_second", "clips_per_second", "steps")
SIZES = ("backbone_parameters", "trainable_parameters")


def compare(methods: Sequence[Method], metrics: Sequence[str] = (), baseline: str | None = None) -> Comparison:
    """Compare methods.

    Args:
        methods: with the runs that count.
        metrics: patterns of titles (``*/knn/*``) or metrics (``top1``) to show; empty shows the main metric of the
            first `MAIN_COLUMNS` protocols.
        baseline: label of the method to compare with; None takes the first.

    Raises:
        VidsslError: no run holds an evaluation, nothing fits `metrics`, or there is no method `baseline`.
    """
    labels = [method.label for method in methods]
    if baseline is not None and baseline not in labels:
        known = ", ".join(map(repr, labels))
        raise VidsslError(f"There is no method {baseline!r}.{nearest(baseline, labels)} Known: {known}.")
    if baseline is None and len(methods) > 1:
        baseline = labels[0]
    headings, not_shown, repeats = _headings(methods, metrics)
    columns = [heading.column for heading in headings]
    spreads = {method.label: _spreads(method, columns) for method in methods}
    untrained, notes = _untrained_rows(methods, columns)
    rows = [*untrained, *(Row(method.label, _cells(method.label, spreads, baseline), method) for method in methods)]
    notes += [*_notes_on_conditions(headings), *_notes_on_runs(methods, columns)]
    costs = {method.label: _costs(method) for method in methods}
    return Comparison(headings, rows, baseline, notes, costs=costs, not_shown=not_shown, repeats=repeats)


# --- columns ---


def _headings(methods: Sequence[Method], metrics: Sequence[str]) -> tuple[list[Heading], list[str], Mapping[str, str]]:
    """Return the columns, the titles of those that are not asked for, and those that would repeat another."""
    runs = [run for method in methods for run in method.runs]
    known = {column for run in runs for column in run.values if run.final(column) is not None}
    if not known:
        raise VidsslError(
            "No run holds an evaluation of a trained network: its trainer.callbacks had no FrozenFeatureEvaluation, or "
            "it ended before the first one. vidssl evaluate measures a checkpoint afterwards."
        )
    wanted = [column for column in known if _wanted(column, metrics)] if metrics else _main_columns(known)
    if not wanted:
        titles = sorted({column.title for column in known})
        raise VidsslError(f"Metrics {' '.join(metrics)}: no metric matches. Known: {', '.join(titles)}.")
    repeats = repeated({column: [run.values.get(column, ()) for run in runs] for column in known})
    shown = [column for column in wanted if repeats.get(column) not in wanted]
    shown.sort(key=_rank)
    missing = [column for column in sorted(known, key=_rank) if column not in wanted and column not in repeats]
    stated = {column.title: other.title for column, other in sorted(repeats.items(), key=lambda found: _rank(found[0]))}
    left_out = {title: other for title, other in stated.items() if title not in {column.title for column in shown}}
    return [_heading(column, shown, runs) for column in shown], [column.title for column in missing], left_out


def _rank(column: Column) -> tuple[Any, ...]:
    return column.data, protocol_rank(column.protocol), metric_rank(column.metric), column.digest


def _main_columns(known: Collection[Column]) -> list[Column]:
    """The main metrics of the first protocols; everything where no protocol has one."""
    measured: dict[tuple[str, str], set[str]] = defaultdict(set)
    for column in known:
        measured[column.data, column.protocol].add(column.metric)
    mains = {key: main for key, metrics in measured.items() if (main := main_metric(metrics)) is not None}
    first = sorted(mains, key=lambda key: (protocol_rank(key[1]), key[0]))[:MAIN_COLUMNS]
    titles = {(*key, mains[key]) for key in first}
    return [column for column in known if not titles or (column.data, column.protocol, column.metric) in titles]


def _wanted(column: Column, metrics: Sequence[str]) -> bool:
    return any(fnmatchcase(column.title, pattern) or column.metric == pattern for pattern in metrics)


def _heading(column: Column, shown: Sequence[Column], runs: Sequence[Run]) -> Heading:
    alike = [other for other in shown if other.title == column.title]
    # the same letter for all metrics of the same conditions
    digests = sorted(
        {other.digest for other in shown if (other.data, other.protocol) == (column.data, column.protocol)}
    )
    mark = _letter(digests.index(column.digest)) if len(alike) > 1 else ""
    conditions = next(run.conditions[column.digest] for run in runs if column.digest in run.conditions)
    values = [value for run in runs for _, value in run.values.get(column, ())]
    return Heading(column, conditions, mark, percent=all(0 <= value <= 1 for value in values))


def _letter(place: int) -> str:
    return ascii_lowercase[place] if place < len(ascii_lowercase) else str(place)


# --- rows ---


def _spreads(method: Method, columns: Sequence[Column]) -> dict[Column, Spread]:
    found = {}
    for column in columns:
        values: dict[int | str, list[float]] = defaultdict(list)
        for run in method.runs:
            if (value := run.final(column)) is not None:
                values[_seed(run)].append(value)
        if (stated := spread(values)) is not None:
            found[column] = stated
    return found


def _seed(run: Run) -> int | str:
    return run.name if run.seed is None else run.seed


def _cells(label: str, spreads: Mapping[str, Mapping[Column, Spread]], baseline: str | None) -> dict[Column, Cell]:
    cells = {}
    for column, own in spreads[label].items():
        rivals = [other[column].mean for other in spreads.values() if column in other]
        best = len(rivals) > 1 and math.isclose(own.mean, max(rivals), rel_tol=1e-12)
        against = None
        if baseline not in (None, label) and column in spreads[baseline]:
            against = paired_difference(own, spreads[baseline][column])
        cells[column] = Cell(own, best, against)
    return cells


def _untrained_rows(methods: Sequence[Method], columns: Sequence[Column]) -> tuple[list[Row], list[str]]:
    """A row a network, and what tells them apart.

    The same network is the start of many methods, so a seed counts once, however many runs.
    """
    starts: dict[str, list[tuple[str, Run]]] = defaultdict(list)
    for method in methods:
        for run in method.runs:
            starts[canonical(_backbone(run))].append((method.label, run))
    rows, labels = [], []
    for place, members in enumerate(starts.values()):
        weights = _backbone(members[0][1]).get("weights")
        label = f"before training, {Path(weights).name}" if weights else UNTRAINED
        labels.append(f"{label} ({_letter(place)})" if len(starts) > 1 else label)
        cells = {}
        for column in columns:
            values: dict[int | str, list[float]] = defaultdict(list)
            for _, run in members:
                if (value := run.untrained(column)) is not None:
                    values[_seed(run)].append(value)
            if (stated := spread(values)) is not None:
                cells[column] = Cell(stated)
        rows.append(Row(labels[-1], cells))
    measured = [row for row in rows if row.cells]
    return measured, _notes_on_starts(labels, list(starts.values())) if len(measured) > 1 else []


def _notes_on_starts(labels: Sequence[str], starts: Sequence[Sequence[tuple[str, Run]]]) -> list[str]:
    """Whose start each network is, and in what these differ (pixels normalised otherwise are another network)."""
    whose = "; ".join(
        f"{label}: {', '.join(dict.fromkeys(method for method, _ in members))}"
        for label, members in zip(labels, starts, strict=True)
    )
    flat = [dict(flatten(_backbone(members[0][1]))) for members in starts]
    keys = sorted(
        key for key in {key for each in flat for key in each} if len({canonical(f.get(key)) for f in flat}) > 1
    )
    stated = "; ".join(f"{key} {' | '.join(plain_text(each.get(key, NOT_SET)) for each in flat)}" for key in keys)
    return [f"Methods start from {len(starts)} networks ({whose}), which differ in {stated}."]


def _backbone(run: Run) -> Mapping[str, Any]:
    """What a run's network is: name, options, weights, what normalises its pixels."""
    configured = ((run.config.get("model") or {}).get("init_args") or {}).get("backbone")
    return configured if isinstance(configured, dict) else {"name": configured or run.facts.get("backbone")}


def _costs(method: Method) -> dict[str, float | None]:
    stated: dict[str, float | None] = {}
    for key in (*COSTS, *SIZES):
        values = [run.facts[key] for run in method.runs if run.facts.get(key) is not None]
        stated[key] = statistics.fmean(values) if values else None
    return stated


# --- notes ---


def _notes_on_conditions(headings: Sequence[Heading]) -> list[str]:
    notes = []
    groups: dict[tuple[str, str], dict[str, Heading]] = defaultdict(dict)
    for heading in headings:
        groups[(heading.column.data, heading.column.protocol)][heading.column.digest] = heading
    for (data, protocol), found in groups.items():
        if len(found) > 1:
            stated = conditions_differences([heading.conditions for heading in found.values()])
            marks = ", ".join(heading.mark or "-" for heading in found.values())
            listed = "; ".join(f"{key}: {' | '.join(values)}" for key, values in stated.items())
            notes.append(
                f"{data}/{protocol} was measured in different ways, hence columns of their own ({marks}): {listed}."
            )
    if any(not heading.conditions.recorded for heading in headings):
        notes.append(
            "Some runs hold no record of how they were measured (evaluations.jsonl); clips and splits are those of "
            "their configurations."
        )
    return notes


def conditions_differences(conditions: Sequence[Conditions]) -> dict[str, list[str]]:
    """Return the keys in which conditions differ, each with its value under each of them as text."""
    flat = [dict(flatten({"recorded": under.recorded, **under.values})) for under in conditions]
    keys = sorted({key for values in flat for key in values})
    rows = {key: [plain_text(values.get(key, "not recorded")) for values in flat] for key in keys}
    return {key: values for key, values in rows.items() if len(set(values)) > 1}


def _notes_on_runs(methods: Sequence[Method], columns: Sequence[Column]) -> list[str]:
    notes = []
    for method in methods:
        if method.differing:
            notes.append(f"{method.label}: its runs differ in more than the seed: {', '.join(method.differing)}.")
        seeds = [_seed(run) for run in method.runs]
        twice = sorted({str(seed) for seed in seeds if seeds.count(seed) > 1})
        if twice:
            notes.append(f"{method.label}: several runs of seed {', '.join(twice)}; their mean counts as one seed.")
        empty = [run.name for run in method.runs if all(run.final(column) is None for column in columns)]
        if empty:
            notes.append(f"{method.label}: nothing shown here was measured in {', '.join(empty)}.")
    return notes
