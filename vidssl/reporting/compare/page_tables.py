"""The page's other tables, ready to be laid out: costs, settings, protocols, runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from vidssl.reporting.compare.comparison import Comparison, Heading
from vidssl.reporting.compare.methods import NOT_SET, differing_settings, plain_text
from vidssl.reporting.compare.page_marks import MarkedName, marked_names
from vidssl.reporting.compare.runs import Run, flatten
from vidssl.reporting.compare.wording import COST_TITLES, NOTHING, cost_keys, costs_text, counted, duration_text

DIGEST_SHOWN = 8
IMPORTANT = (
    *("model.class_path", "model.init_args.backbone.name", "model.init_args.backbone.weights"),
    *("data.sampler.class_path", "data.motion.settings.estimator", "data.motion.crop.percentile"),
    *("model.init_args.tasks*", "model.init_args.alignment.form", "model.init_args.alignment.terms*"),
    *("model.init_args.*temperature", "model.init_args.optimizer.name", "model.init_args.optimizer.learning_rate"),
    *("data.batch_size", "data.sampler.init_args.num_frames", "data.sampler.init_args.stride"),
    *("data.augmentations.*.crop_size", "trainer.max_epochs", "trainer.max_steps", "trainer.precision"),
    *("data.catalog", "data.labelled.fraction"),
)
"""The most important keys of a method, in the order of the page."""
RUN_TITLES = (
    *("method", "folder", "seed", "steps", "ended", "wall time", "devices", "vidssl", "commit", "catalog"),
    "training videos",
)


def costs_table(comparison: Comparison) -> dict[str, Any]:
    """What a run of each method takes, on average; empty where no run tells."""
    keys = cost_keys(comparison)
    if not keys:
        return {}
    names = marked_names(comparison.methods)
    columns = [costs_text(key, [costs[key] for costs in comparison.costs.values()]) for key in keys]
    rows = list(zip((names[label] for label in comparison.costs), zip(*columns, strict=True), strict=True))
    return {"titles": ["method", *(COST_TITLES[key] for key in keys)], "rows": rows}


@dataclass(frozen=True)
class Setting:
    """A setting's value for one method, and its class in CSS: ``unset``, ``odd`` (not as the baseline's) or none."""

    value: str
    kind: str

    @property
    def short(self) -> str:
        """The value, without the module of a class."""
        is_class = self.value.startswith("vidssl.") and " " not in self.value
        return self.value.rpartition(".")[2] if is_class else self.value


def settings_tables(comparison: Comparison) -> dict[str, Any]:
    """The settings in which methods differ, the most important ones first; empty if there are none."""
    rows = differing_settings(comparison.methods)
    if not rows:
        return {}
    labels = [method.label for method in comparison.methods]
    base = labels.index(comparison.baseline) if comparison.baseline in labels else 0
    stated = {
        key: [Setting(value, _setting_kind(value, values[base])) for value in values] for key, values in rows.items()
    }
    important = [key for key in stated if _importance(key) < len(IMPORTANT)]
    # where nothing important differs, what differs is what the reader came for
    first = sorted(important, key=_importance) or list(stated)
    others = {key: settings for key, settings in stated.items() if key not in first}
    return {
        "methods": list(marked_names(comparison.methods).values()),
        "baseline": labels[base],
        "first": {key: stated[key] for key in first},
        "others": others,
        "count": counted(len(others), "more setting"),
    }


def _importance(key: str) -> int:
    """Place among the settings that say most of what a method is; their number for all others."""
    return next((place for place, pattern in enumerate(IMPORTANT) if fnmatchcase(key, pattern)), len(IMPORTANT))


def _setting_kind(value: str, base: str) -> str:
    if value == NOT_SET:
        return "unset"
    return "odd" if value != base else ""


@dataclass(frozen=True)
class ProtocolFold:
    """How the columns of one protocol were measured.

    Attributes:
        title: data set and protocol.
        summary: what the protocol is, in words; empty for one of a plug-in that is not there.
        facts: every setting, as key and text.
    """

    title: str
    summary: str
    facts: list[tuple[str, str]]


def protocol_folds(comparison: Comparison, summaries: Mapping[str, str]) -> list[ProtocolFold]:
    """How each column was measured, a fold for each protocol and its conditions."""
    first: dict[tuple[str, str, str], Heading] = {}
    for heading in comparison.headings:
        first.setdefault(heading.group, heading)
    return [_fold(heading, summaries) for heading in first.values()]


def _fold(heading: Heading, summaries: Mapping[str, str]) -> ProtocolFold:
    column, under = heading.column, heading.conditions
    facts = [*flatten(under.values), ("conditions", column.digest)]
    if not under.recorded:
        facts.append(("taken from", "the run's configuration; the evaluation left no record"))
    return ProtocolFold(
        title=f"{column.data}/{heading.marked_protocol}",
        summary=summaries.get(column.protocol, ""),
        facts=[(key, plain_text(value)) for key, value in facts],
    )


@dataclass(frozen=True)
class RunRow:
    """A run: the method that it counts for, None for one that was left out, and the cells that follow."""

    method: MarkedName | None
    cells: list[str]


def runs_table(comparison: Comparison) -> dict[str, Any]:
    """Where every number comes from: the runs, finished or not, with code and videos."""
    names = marked_names(comparison.methods)
    rows = [RunRow(names[method.label], _run_cells(run)) for method in comparison.methods for run in method.runs]
    rows += [RunRow(None, _run_cells(run)) for run in comparison.left_out]
    return {"titles": RUN_TITLES, "rows": rows}


def _run_cells(run: Run) -> list[str]:
    facts = run.facts
    catalog = facts.get("catalog") or {}
    commit = (facts.get("commit") or "")[:DIGEST_SHOWN] + (" + changes" if facts.get("commit_modified") else "")
    devices = (facts.get("devices") or 0) * (facts.get("num_nodes") or 1)
    cells: Sequence[object] = [
        run.folder,
        run.seed,
        None if facts.get("steps") is None else f"{facts['steps']:,}",
        run.ended,
        None if facts.get("wall_seconds") is None else duration_text(facts["wall_seconds"]),
        f"{devices} {facts.get('accelerator', '')}" if devices else None,
        facts.get("vidssl_version"),
        commit,
        str(catalog.get("digest") or "")[:DIGEST_SHOWN],
        f"{catalog['train_videos']:,} of {catalog['videos']:,}" if catalog else None,
    ]
    return [NOTHING if cell in (None, "") else str(cell) for cell in cells]
