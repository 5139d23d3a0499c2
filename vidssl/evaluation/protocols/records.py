"""Every number with its protocol, its data and its network: one JSON document a line."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import vidssl
from vidssl.errors import VidsslError
from vidssl.evaluation.protocols.intervals import interval

if TYPE_CHECKING:
    from vidssl.catalogs.catalog import Catalog
    from vidssl.data.settings import EvaluationClips
    from vidssl.evaluation.features.video_features import VideoFeatures
    from vidssl.evaluation.protocols.contract import Protocol
    from vidssl.evaluation.protocols.outcome import Outcome

RECORDS_FILE = "evaluations.jsonl"
"""In the folder of a run."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """What was measured, on what.

    Attributes:
        protocol: as it was used, overrides and all.
        data_name: what the data set is called.
        catalog: of the videos.
        clips: as they were used.
        gallery: the videos that classifiers were fitted on.
        query: the videos that were classified or used as queries.
        outcome: what came out.
        named: the protocol of this name without overrides; None where there were none.
    """

    protocol: Protocol
    data_name: str
    catalog: Catalog
    clips: EvaluationClips
    gallery: VideoFeatures
    query: VideoFeatures
    outcome: Outcome
    named: Protocol | None = None

    def record(
        self,
        *,
        step: int | None = None,
        epoch: int | None = None,
        checkpoint: Mapping[str, Any] | None = None,
        seen_in_training: int | None = None,
        weights: str | None = None,
    ) -> dict[str, Any]:
        """Return the document for `append_record`.

        Args:
            step: optimiser step of the run; None on its own.
            epoch: of the run; None where it is not known.
            checkpoint: at least ``file`` (name) and ``sha256``; None in a run.
            seen_in_training: query videos that the network was trained on, without labels; None if unknown.
            weights: whose were measured in a run: the trained ones, or an average of them.
        """
        named = self.named or self.protocol
        return plain(
            {
                "vidssl_version": vidssl.__version__,
                "written": datetime.now(UTC).isoformat(timespec="seconds"),
                "step": step,
                "epoch": epoch,
                "checkpoint": checkpoint,
                "weights": weights,
                "protocol": named.described(),
                "modified": self.modified(),
                "data": {
                    "name": self.data_name,
                    "catalog_digest": self.catalog.digest,
                    "gallery_split": self.clips.gallery_split,
                    "query_split": self.clips.query_split,
                    "gallery_videos": len(self.gallery),
                    "query_videos": len(self.query),
                    "clips": self.clips,
                },
                "seen_in_training": seen_in_training,
                "metrics": self.outcome.metrics,
                "intervals": {metric: interval(values) for metric, values in self.outcome.of_videos.items()},
                "chosen": self.outcome.chosen,
                "per_class": per_class(self.outcome.predicted, self.query.labels, self.catalog.classes),
            }
        )

    def modified(self) -> dict[str, Any]:
        """Return the settings that differ from those that the protocol of this name has, as they were used."""
        named = self.named or self.protocol
        fixed = {} if named.clips is None else named.clips.fixed()
        used = asdict(self.clips)
        clips = {key: used[key] for key, value in fixed.items() if key in used and used[key] != value}
        return clips | _differences(named.described()["measure"], self.protocol.described()["measure"])


def _differences(named: Mapping[str, Any], used: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a measure that changed, of a measure within it under the same plain names."""
    changed: dict[str, Any] = {}
    for key, value in used.items():
        if isinstance(value, Mapping) and isinstance(named.get(key), Mapping):
            changed |= _differences(named[key], value)
        elif named.get(key) != value:
            changed[key] = value
    return changed


def per_class(predicted: np.ndarray | None, labels: np.ndarray, classes: Sequence[str]) -> dict[str, Any] | None:
    """Return how many videos each class has and the share of them that was classified rightly, in [0, 1].

    Classes without a video are left out.

    Args:
        predicted: int64 (M,); None gives None.
        labels: int64 (M,).
        classes: names, in the order of the labels.
    """
    if predicted is None:
        return None
    return {
        classes[label]: {
            "videos": int((labels == label).sum()),
            "accuracy": float((predicted[labels == label] == label).mean()),
        }
        for label in np.unique(labels).tolist()
    }


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: NumPy's numbers as Python's, NaN and infinity as null, a tuple as a list."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def append_record(file: str | Path, record: Mapping[str, Any]) -> None:
    """Add a line to a file of records; only the first process writes.

    The line goes out in one write at the end of the file, so that several commands may share it.

    Args:
        file: made where it does not exist, with its folder.
        record: see `Measured.record`.

    Raises:
        VidsslError: the file cannot be written.
    """
    from pytorch_lightning.utilities import rank_zero_only  # imports torch

    rank_zero_only(_append)(Path(file), json.dumps(plain(record), allow_nan=False, ensure_ascii=False))


def append_new_record(file: str | Path, record: Mapping[str, Any]) -> None:
    """Add a record that the file does not hold yet, but for when it was written.

    A run that continues from a checkpoint makes evaluations again that it had made before it was killed.

    Args:
        file: see `append_record`.
        record: see `append_record`.

    Raises:
        VidsslError: the file cannot be read or written.
    """
    held = read_records(file) if Path(file).exists() else []
    if _timeless(plain(record)) not in map(_timeless, held):
        append_record(file, record)


def _timeless(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "written"}


def _append(file: Path, line: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # a crash left half a line there
            content = (b"\n" if torn else b"") + line.encode() + b"\n"
            if os.write(descriptor, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise VidsslError(f"The record of the evaluation cannot be written to {file}: {error.strerror}.") from error


def read_records(file: str | Path) -> list[dict[str, Any]]:
    """Return all records of a file in the order in which they were written.

    Args:
        file: an ``evaluations.jsonl``.

    Returns:
        One dictionary for each evaluation; `docs/protocols.md` lists the keys. A line that a crash cut short is left
        out, with a warning.

    Raises:
        VidsslError: the file cannot be read.
    """
    file = Path(file)
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise VidsslError(f"The records {file} cannot be read: {error}.") from error
    records = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            logger.warning("%s, line %d is not a record (was a write interrupted?); it is left out.", file, number)
    return records
