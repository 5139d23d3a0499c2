"""Groups runs into methods: runs of one method differ only in the seed, the folder or the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vidssl.errors import VidsslError
from vidssl.reporting.compare.runs import Run, canonical, flatten

# Of the trainer, only these change what is learned; the others say where and how to show it.
LEARNING_KEYS = (
    *("accumulate_grad_batches", "gradient_clip_algorithm", "gradient_clip_val", "limit_train_batches", "max_epochs"),
    *("max_steps", "max_time", "min_epochs", "min_steps", "overfit_batches", "precision", "sync_batchnorm"),
)
# What is measured, how videos are fetched and what they are called: columns tell of these, not methods.
DATA_KEYS_APART = ("seed", "root", "name", "loading", "evaluation", "catalog")
NAMED_DIFFERENCES = 2
NOT_SET = "not set"


@dataclass(frozen=True)
class Method:
    """Runs that are one method.

    Attributes:
        label: its name, unique among the methods.
        runs: its runs.
        settings: what they share of what decides what is learned, flat: "model.init_args.temperature" -> value.
        differing: keys in which its runs differ all the same; only where the user has put them together.
    """

    label: str
    runs: Sequence[Run]
    settings: Mapping[str, Any]
    differing: Sequence[str] = ()


def labelled_method(label: str, runs: Sequence[Run]) -> Method:
    """Put runs together under a name that the user gives."""
    every = [learning_settings(run) for run in runs]
    keys = sorted({key for settings in every for key in settings})
    shared, differing = {}, []
    for key in keys:
        values = [settings.get(key, NOT_SET) for settings in every]
        if len({canonical(value) for value in values}) == 1:
            shared[key] = values[0]
        else:
            differing.append(key)
            shared[key] = " | ".join(dict.fromkeys(plain_text(value) for value in values))
    return Method(label, list(runs), shared, differing)


def group_runs(runs: Sequence[Run]) -> list[Method]:
    """Group runs into methods, in the order of the runs; a name says objective and, where needed, what differs."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(canonical([run.objective, learning_settings(run)]), []).append(run)
    members = list(groups.values())
    labels = method_labels([(group[0].objective, learning_settings(group[0])) for group in members])
    return [Method(label, group, learning_settings(group[0])) for label, group in zip(labels, members, strict=True)]


def check_labels(methods: Sequence[Method]) -> None:
    """Check that every method has a name of its own.

    Raises:
        VidsslError: two have the same.
    """
    labels = [method.label for method in methods]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise VidsslError(f"Two methods are called {', '.join(map(repr, twice))}; give each its own name.")


def learning_settings(run: Run) -> dict[str, Any]:
    """Return the settings of a run that affect what is learned, flat; the catalog by its digest, if known."""
    return learning_part(run.config, (run.facts.get("catalog") or {}).get("digest"))


def learning_part(config: Mapping[str, Any], catalog: str | None = None) -> dict[str, Any]:
    """Return the settings of a configuration that affect what is learned, flat.

    Args:
        config: of a run.
        catalog: digest of its catalog, which says more than the catalog's path.
    """
    kept: dict[str, Any] = {"model": config.get("model") or {}}
    data = config.get("data") or {}
    kept["data"] = {key: value for key, value in data.items() if key not in DATA_KEYS_APART}
    kept["data"]["catalog"] = f"digest {catalog}" if catalog else data.get("catalog")
    trainer = config.get("trainer") or {}
    kept["trainer"] = {key: trainer[key] for key in LEARNING_KEYS if key in trainer}
    return dict(flatten(kept))


def plain_text(value: Any) -> str:
    """Say a value of a configuration in a word or two."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return "[" + ", ".join(plain_text(entry) for entry in value) + "]"
    return str(value)


def short_key(key: str) -> str:
    """Last word of a dotted key: ``temperature`` of ``model.init_args.temperature``."""
    return key.rsplit(".", 1)[-1]


def differing_settings(methods: Sequence[Method]) -> dict[str, list[str]]:
    """Return the keys in which methods differ, each with the value of every method as text."""
    keys = sorted({key for method in methods for key in method.settings})
    rows = {key: [plain_text(method.settings.get(key, NOT_SET)) for method in methods] for key in keys}
    return {key: values for key, values in rows.items() if len(set(values)) > 1}


def method_labels(methods: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Name methods: by the objective and, where several share it, the settings in which these differ.

    Args:
        methods: objective and settings of each; equal ones get the same name, and no others do.
    """
    different = {canonical([objective, settings]): (objective, settings) for objective, settings in methods}
    names = dict(zip(different, _unique_labels(list(different.values())), strict=True))
    return [names[canonical([objective, settings])] for objective, settings in methods]


def _unique_labels(methods: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    labels = []
    for objective, settings in methods:
        rivals = [other for name, other in methods if name == objective]
        if len(rivals) == 1:
            labels.append(objective)
            continue
        keys = sorted({key for rival in rivals for key in rival}, key=lambda key: (not key.startswith("model."), key))
        keys = [key for key in keys if len({canonical(rival.get(key)) for rival in rivals}) > 1]
        words = [f"{short_key(key)} {plain_text(settings.get(key, NOT_SET))}" for key in keys[:NAMED_DIFFERENCES]]
        labels.append(f"{objective} ({', '.join(words)})")
    return [
        label if labels.count(label) == 1 else f"{label} #{labels[: place + 1].count(label)}"
        for place, label in enumerate(labels)
    ]
