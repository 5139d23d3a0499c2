"""Reading the folders of runs: what was measured, under which conditions, at which step."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from vidssl.errors import VidsslError, nearest
from vidssl.evaluation.protocols.records import RECORDS_FILE, read_records
from vidssl.runs.metrics_file import METRICS_FILE, read_metrics
from vidssl.runs.run_directory import CONFIG_FILE, LAST_CHECKPOINT
from vidssl.runs.run_file import RUN_FILE, read_run

EVALUATION_PREFIX = "eval/"
DIGEST_LENGTH = 12
# Of a protocol, words for people; of the clips, what only decides how fast they are encoded.
WORDS = ("summary", "source", "config", "config_flags")
SPEED = ("batch_size",)


@dataclass(frozen=True)
class Conditions:
    """Conditions that must agree for two numbers to share a column.

    Attributes:
        values: plain values: the protocol with its settings, data, splits, clips, number of videos, checkpoint.
        recorded: whether they come from the record of the evaluation, and not from the run's configuration alone.
    """

    values: Mapping[str, Any]
    recorded: bool

    @cached_property
    def digest(self) -> str:
        """Equal for equal conditions; a setting that is None or empty is as good as one that is not there."""
        return hashlib.sha256(canonical(dict(flatten(self.values))).encode()).hexdigest()[:DIGEST_LENGTH]


@dataclass(frozen=True)
class Column:
    """One metric of one protocol on one data set, measured under the same conditions.

    Attributes:
        data: name of the data set.
        protocol: its name, which may hold a slash.
        metric: its name.
        digest: of the conditions.
    """

    data: str
    protocol: str
    metric: str
    digest: str

    @property
    def title(self) -> str:
        """The metric's name as it is logged, without the prefix."""
        return f"{self.data}/{self.protocol}/{self.metric}"


@dataclass(frozen=True)
class Run:
    """The folder of a run.

    Attributes:
        folder: where it is.
        config: its resolved configuration; empty where there is none.
        facts: its run.json; empty for runs that an earlier version made.
        rows: its metrics.csv.
        values: of each column, (step, value) in the order of the steps; the step of a checkpoint that was measured on
            its own is infinite, since it is that of the whole run.
        conditions: digest -> conditions of the columns.
        intervals: of each column whose records have them, the 95 % interval over videos of its last value.
    """

    folder: Path
    config: Mapping[str, Any]
    facts: Mapping[str, Any]
    rows: Sequence[Mapping[str, float]]
    values: Mapping[Column, Sequence[tuple[float, float]]] = field(repr=False)
    conditions: Mapping[str, Conditions] = field(repr=False)
    intervals: Mapping[Column, tuple[float, float]] = field(repr=False)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def seed(self) -> int | None:
        """The seed of everything; None where it is not known."""
        seed = self.facts.get("seed", self.config.get("seed_everything"))
        return seed if isinstance(seed, int) else None

    @property
    def objective(self) -> str:
        """Name of the method's class, without its module."""
        model = self.config.get("model") or {}
        named = self.facts.get("objective") or model.get("class_path") or self.config.get("objective") or "?"
        return str(named).rsplit(".", 1)[-1]

    @property
    def finished(self) -> bool | None:
        """Whether it came to the end that its configuration sets; None where nothing tells."""
        return self.facts.get("finished")

    @property
    def ended(self) -> str:
        """How it ended, in words; of runs of an earlier version, whether it did."""
        unknown = {True: "completed", False: "runs still, or was killed", None: "not recorded"}
        return str(self.facts.get("ended") or unknown[self.finished])

    def final(self, column: Column) -> float | None:
        """The last value of a column, measured on a trained network; None if there is none."""
        trained = [value for step, value in self.values.get(column, ()) if step > 0]
        return trained[-1] if trained else None

    def untrained(self, column: Column) -> float | None:
        """The value before the first step; None where it was not measured."""
        return next((value for step, value in self.values.get(column, ()) if step == 0), None)


def canonical(values: Any) -> str:
    """Return plain values as text that is equal for equal values."""
    return json.dumps(values, sort_keys=True, default=str)


def flatten(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of nested dicts and of lists that hold dicts; None and empty are left out."""
    if isinstance(values, Mapping):
        entries = [(str(key), value) for key, value in values.items()]
    elif isinstance(values, list) and any(isinstance(value, Mapping) for value in values):
        entries = [(str(place), value) for place, value in enumerate(values)]
    else:
        if values not in (None, [], {}):
            yield prefix, values
        return
    for key, value in entries:
        yield from flatten(value, f"{prefix}.{key}" if prefix else key)


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read the folders of runs, in their order.

    Raises:
        VidsslError: one is not the folder of a run, or is given twice; the message says which, and what is there.
    """
    resolved = [folder.resolve() for folder in folders]
    twice = [str(folder) for folder, place in zip(folders, resolved, strict=True) if resolved.count(place) > 1]
    if twice:
        raise VidsslError(f"A run is given more than once: {', '.join(twice)}.")
    return [read_folder(folder) for folder in folders]


def read_folder(folder: Path) -> Run:
    """Read the folder of a run.

    Raises:
        VidsslError: it is none, or a file in it cannot be read.
    """
    check_folder(folder)
    config = _read_config(folder / CONFIG_FILE)
    facts = read_run(folder)
    rows = _read_rows(folder)
    values, conditions, intervals = _recorded(folder)
    # metrics of protocols that wrote no record (runs of an earlier version)
    covered = {(column.data, column.protocol) for column in values}
    for (column, found), under in _logged(rows, config, facts):
        if (column.data, column.protocol) not in covered:
            values[column] = found
            conditions[under.digest] = under
    return Run(folder, config, facts, rows, values, conditions, intervals)


def check_folder(folder: Path) -> None:
    """Check that a folder holds a run.

    Raises:
        VidsslError: it does not.
    """
    if _is_run(folder):
        return
    if not folder.is_dir():
        beside = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        kind = "is a file" if folder.exists() else "does not exist"
        raise VidsslError(f"{folder} {kind}: give the folder of a run.{nearest(folder.name, beside)}")
    below = sorted(path.name for path in folder.iterdir() if _is_run(path))
    if below:
        raise VidsslError(f"{folder} is not a run; it holds {len(below)} runs: give {folder}/* or some of these.")
    raise VidsslError(f"{folder} is not the folder of a run: it has no {CONFIG_FILE}, {METRICS_FILE} or {RUN_FILE}.")


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (CONFIG_FILE, METRICS_FILE, RUN_FILE))


def _read_config(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        values = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise VidsslError(f"{file} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise VidsslError(f"{file} is not the configuration of a run: it holds no keys.")
    return values


def _read_rows(folder: Path) -> list[dict[str, float]]:
    try:
        return read_metrics(folder)
    except (OSError, ValueError) as error:
        raise VidsslError(f"{folder / METRICS_FILE} cannot be read: {error}") from error


# --- conditions from records ---


def _recorded(
    folder: Path,
) -> tuple[dict[Column, list[tuple[float, float]]], dict[str, Conditions], dict[Column, tuple[float, float]]]:
    file = folder / RECORDS_FILE
    found: dict[Column, dict[float, float]] = {}
    intervals: dict[Column, tuple[float, float]] = {}
    conditions: dict[str, Conditions] = {}
    for record in read_records(file) if file.exists() else []:
        under = _record_conditions(record, file)
        conditions[under.digest] = under
        step = float("inf") if record.get("step") is None else float(record["step"])
        for metric, value in record["metrics"].items():
            if value is not None:
                column = Column(record["data"]["name"], record["protocol"]["name"], metric, under.digest)
                # a run that was continued measures some steps again; the later one is that of its weights
                of_column = found.setdefault(column, {})
                of_column[step] = value
                ends = (record.get("intervals") or {}).get(metric)
                if ends and None not in ends and step == max(of_column):
                    intervals[column] = (ends[0], ends[1])
    return {column: sorted(values.items()) for column, values in found.items()}, conditions, intervals


def _record_conditions(record: Mapping[str, Any], file: Path) -> Conditions:
    try:
        protocol = {key: value for key, value in record["protocol"].items() if key not in WORDS}
        data = dict(record["data"])
        data["clips"] = {key: value for key, value in (data.get("clips") or {}).items() if key not in SPEED}
        _ = record["metrics"].items(), protocol["name"], data["name"]
    except (KeyError, AttributeError, TypeError) as error:
        raise VidsslError(f"{file} holds a line that is no record of an evaluation ({error!r}); remove it.") from error
    values: dict[str, Any] = {"protocol": protocol, "modified": record.get("modified") or {}, "data": data}
    checkpoint = (record.get("checkpoint") or {}).get("file")
    if checkpoint is not None and Path(checkpoint).name != LAST_CHECKPOINT.name:
        values["checkpoint"] = Path(checkpoint).name  # the last one is what the run ended with, others were chosen
    return Conditions(values, recorded=True)


# --- conditions from the configuration ---


def _logged(
    rows: Sequence[Mapping[str, float]], config: Mapping[str, Any], facts: Mapping[str, Any]
) -> Iterator[tuple[tuple[Column, list[tuple[float, float]]], Conditions]]:
    names = sorted({name for row in rows for name in row if name.startswith(EVALUATION_PREFIX)})
    untrained_first = (config.get("trainer") or {}).get("num_sanity_val_steps") == -1
    for name in names:
        _, data, *protocol, metric = name.split("/")
        if not protocol:
            continue
        under = _configured_conditions(data, "/".join(protocol), config, facts)
        points = [(row["step"], row[name]) for row in rows if name in row and math.isfinite(row[name])]
        # Lightning counts logged steps from 0: only the first of them can be the untrained network
        values = [
            (0.0 if place == 0 and untrained_first and step == 0 else step + 1, value)
            for place, (step, value) in enumerate(points)
        ]
        yield (Column(data, "/".join(protocol), metric, under.digest), values), under


def _configured_conditions(data: str, protocol: str, config: Mapping[str, Any], facts: Mapping[str, Any]) -> Conditions:
    configured = config.get("data") or {}
    clips = {key: value for key, value in (configured.get("evaluation") or {}).items() if key not in SPEED}
    catalog = (facts.get("catalog") or {}).get("digest") or configured.get("catalog")
    values = {"protocol": {"name": protocol}, "data": {"name": data, "catalog_digest": catalog, "clips": clips}}
    return Conditions(values, recorded=False)
