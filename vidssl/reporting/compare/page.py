"""A comparison as one HTML page that loads nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vidssl.evaluation.protocols.named import PROTOCOLS
from vidssl.reporting.compare.charts.attention_charts import attention_charts
from vidssl.reporting.compare.charts.curves import learning_curves
from vidssl.reporting.compare.charts.time_charts import time_charts
from vidssl.reporting.compare.comparison import Comparison
from vidssl.reporting.compare.page_marks import MarkedName, marked_names
from vidssl.reporting.compare.page_tables import costs_table, protocol_folds, runs_table, settings_tables
from vidssl.reporting.compare.pictures import Picture, collect_pictures
from vidssl.reporting.compare.results_table import results_table
from vidssl.reporting.compare.wording import counted, left_out_text, legend
from vidssl.reporting.pages import Section, render

PANELS = 2  # charts beside each other


def page(shown: Comparison, whole: Comparison, command: str) -> str:
    """Return the page as HTML.

    Args:
        shown: with the columns that are visible at once.
        whole: the same methods with every column.
        command: what was typed, for who wants to make it again.
    """
    curves = learning_curves(whole.methods, leaving_out=whole.repeats)
    names = list(marked_names(whole.methods).values())
    sections = [
        Section("results", "Results", _results(shown, whole)),
        Section("settings", "Settings that differ", settings_tables(whole)),
        Section("curves", "Learning curves", _curves(shown, [curve["name"] for curve in curves])),
        Section("attention", "What the networks look at", attention_charts(whole)),
        Section("time", "What the networks know about time", time_charts(whole)),
        Section("cost", "Cost", costs_table(whole)),
        Section("pictures", "Pictures", _pictures(whole)),
        Section("protocols", "How it was measured", protocol_folds(whole, PROTOCOLS.summaries())),
        Section("runs", "Runs", runs_table(whole)),
    ]
    labels = [method.label for method in whole.methods]
    return render(
        "comparison/page.html",
        title=f"{', '.join(labels)}: compared",
        heading=f"{_listed(labels)} on {_listed(sorted({heading.column.data for heading in whole.headings}))}",
        lead=_lead(whole),
        sections=sections,
        made=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        command=command,
        curves={
            "labels": labels,
            "colours": [name.colour for name in names],
            "shapes": [name.shape for name in names],
            "dashes": [name.dash for name in names],
            "metrics": curves,
        },
    )


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _lead(comparison: Comparison) -> str:
    runs = [run for method in comparison.methods for run in method.runs]
    seeds = {run.seed for run in runs if run.seed is not None}
    protocols = {(heading.column.data, heading.column.protocol) for heading in comparison.headings}
    parts = [
        counted(len(comparison.methods), "method"),
        counted(len(runs), "run"),
        counted(len(seeds), "seed"),
        counted(len(protocols), "protocol"),
    ]
    return ", ".join(parts) + "."


def _results(shown: Comparison, whole: Comparison) -> dict[str, Any]:
    columns = {heading.column for heading in shown.headings}
    hidden = len(whole.headings) - len(columns)
    return {
        "table": results_table(whole, columns),
        "hidden": counted(hidden, "more metric") if hidden else "",
        "legend": legend(whole),
        "warnings": [*whole.notes, *map(left_out_text, whole.left_out)],
    }


def _curves(shown: Comparison, metrics: Sequence[str]) -> dict[str, Any]:
    if not metrics:
        return {}
    return {
        "methods": list(marked_names(shown.methods).values()),
        "metrics": metrics,
        "chosen": _first_metrics(shown, metrics),
    }


def _first_metrics(comparison: Comparison, metrics: Sequence[str]) -> list[str]:
    """What the charts show at first: an evaluation of the table and the loss, where they were logged."""
    evaluated = [name for heading in comparison.headings if (name := f"eval/{heading.column.title}") in metrics]
    wanted = [name for name in [*evaluated[:1], "train/loss", *metrics] if name in metrics]
    return list(dict.fromkeys(wanted))[:PANELS]


@dataclass(frozen=True)
class _Figure:
    """A picture, the method that it is of, and its seed in words."""

    picture: Picture
    method: MarkedName
    seed: str


def _pictures(comparison: Comparison) -> dict[str, Any]:
    pictures, left_out = collect_pictures(comparison.methods)
    if not pictures and not left_out:
        return {}
    named: dict[str, list[_Figure]] = {}
    for figure in _figures(pictures, marked_names(comparison.methods)):
        named.setdefault(figure.picture.name, []).append(figure)
    return {"figures": named, "left_out": left_out}


def _figures(pictures: Sequence[Picture], names: Mapping[str, MarkedName]) -> Iterator[_Figure]:
    for picture in pictures:
        seed = "" if picture.run.seed is None else f", seed {picture.run.seed}"
        yield _Figure(picture, names[picture.method], seed)
