"""Files of features that say where they come from."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import vidssl
from vidssl.data.datamodule import VideoDataModule
from vidssl.data.settings import AugmentedViews, EvaluationClips
from vidssl.errors import VidsslError
from vidssl.evaluation.features.collection import FeaturePart, Processes
from vidssl.evaluation.features.encoder import LoadedEncoder
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.temporal.changes import TimeChanges
from vidssl.storage.container import StreamedArray, cannot_write, map_arrays, stream_arrays

FORMAT, FORMAT_VERSION = "vidssl-features", 1
SUFFIX = ".features.safetensors"
KEEP = ("mean", "each", "changed")
CLIP_KEYS = ("num_frames", "stride", "num_clips", "num_crops", "resize", "crop_size")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeatureRequest:
    """Which features are wanted.

    Attributes:
        split: whose labelled videos.
        clips: what is cut out of a video; its splits are not looked at.
        keep: "each" view, the "mean" over them, or "changed": the mean under each of `time_changes`.
        augmented_views: draw views to train a classifier on, in place of evenly spaced clips and crops; None for the
            latter.
        time_changes: of evenly spaced clips; the network sees them once under each, the frames being decoded once.

    Raises:
        VidsslError: another word in `keep`; changes in time without "changed", or the other way round; changes of drawn
            views, or of clips that are too short.
    """

    split: str
    clips: EvaluationClips = field(default_factory=EvaluationClips)
    keep: str = "mean"
    augmented_views: AugmentedViews | None = None
    time_changes: TimeChanges | None = None

    def __post_init__(self) -> None:
        if self.keep not in KEEP:
            raise VidsslError(f"keep is {self.keep!r}; it must be one of {', '.join(KEEP)}.")
        if (self.keep == "changed") != (self.time_changes is not None):
            raise VidsslError(f"keep is {self.keep!r} and time_changes {self.time_changes}: each needs the other.")
        if self.time_changes is not None:
            if self.augmented_views is not None:
                raise VidsslError("time_changes are of evenly spaced clips; leave augmented_views out.")
            self.time_changes.check(self.clips.num_frames)

    @property
    def num_views(self) -> int:
        """V, the vectors that are kept of a video."""
        if self.keep == "mean":
            return 1
        if self.time_changes is not None:
            return len(self.time_changes.names)
        return self.clips.num_views if self.augmented_views is None else self.augmented_views.num_views

    def described(self) -> dict[str, Any]:
        """Return everything that decides the numbers, in plain values."""
        clips = {key: getattr(self.clips, key) for key in CLIP_KEYS}
        if self.augmented_views is not None:  # they take the place of clips and crops
            clips = {key: clips[key] for key in ("num_frames", "stride", "crop_size")}
        views = None if self.augmented_views is None else asdict(self.augmented_views)
        changes = None if self.time_changes is None else asdict(self.time_changes)
        facts = {"split": self.split, "clips": clips, "keep": self.keep}
        return facts | {"augmented_views": views, "time_changes": changes}


@dataclass(frozen=True)
class FeatureFile:
    """The file of a request.

    Attributes:
        path: its name says a little and holds a digest of the provenance.
        provenance: plain values: everything that decides the numbers.
        request: what is asked for.
        made: plain values about the circumstances, such as the batch size and the number of processes, which decide at
            most the last bits.
    """

    path: Path
    provenance: dict[str, Any]
    request: FeatureRequest
    made: dict[str, Any]

    @classmethod
    def of(
        cls, loaded: LoadedEncoder, data: VideoDataModule, request: FeatureRequest, precision: str, folder: Path
    ) -> FeatureFile:
        """Describe the features that a network gives for a request."""
        network = {key: value for key, value in loaded.provenance.items() if key != "file"}
        provenance = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "vidssl_version": vidssl.__version__,
            "encoder": network,
            "catalog_digest": data.catalog.digest,
            "request": request.described(),
            "decoder": data.loading.decoder,
            "precision": precision,
        }
        provenance = json.loads(json.dumps(provenance))  # as it will be read: lists for tuples
        digest = hashlib.sha256(json.dumps(provenance, sort_keys=True).encode()).hexdigest()
        views = "" if request.augmented_views is None else "-augmented"
        name = f"{request.split.replace('/', '_')}-{request.keep}{views}-{digest[:16]}{SUFFIX}"
        made = {"file": loaded.provenance.get("file"), "batch_size": request.clips.batch_size}
        return cls(folder / name, provenance, request, made)

    def read(self, data: VideoDataModule) -> VideoFeatures | None:
        """Return the features if the file is there, whole, and holds just these; None otherwise."""
        try:
            found = map_arrays(self.path, "whole")
            provenance = None if found is None else json.loads(found[1].get("provenance", "null"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, VidsslError) as error:
            logger.warning("%s cannot be used again and is made again: %s", self.path, error)
            return None
        if found is None or provenance != self.provenance:
            return None
        arrays, rows = found[0], data.evaluation_rows(self.request.split)
        if not (arrays.keys() >= {"views", "label", "group", "index"} and np.array_equal(arrays["index"], rows)):
            return None
        views = arrays["views"].reshape(len(rows), self.request.num_views, -1)
        changed = self.request.time_changes is not None
        return VideoFeatures(views, arrays["label"], arrays["group"], arrays["index"], changed)

    def write(self, part: FeaturePart, processes: Processes, data: VideoDataModule) -> None:
        """Bring the parts of all processes together in the file; all must call it, the first one writes.

        Raises:
            VidsslError: videos are missing, or the file cannot be written.
        """
        gathered = part.gather(processes)
        if gathered is None:
            return
        shape, pieces = gathered
        index = part.share.all_rows.astype(np.int64)
        columns = {"index": index, "label": data.catalog.labels[index], "group": data.catalog.groups[index]}
        arrays = {name: _whole(values.astype(np.int64)) for name, values in columns.items()}
        arrays["views"] = StreamedArray(np.dtype(np.float32), shape, pieces)
        made = {**self.made, "processes": part.share.world_size}
        metadata = {"provenance": json.dumps(self.provenance), "made": json.dumps(made)}
        # a name of its own, since another command may be computing the same
        passing = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex}")
        stream_arrays(passing, arrays, metadata)
        try:
            os.replace(passing, self.path)
        except OSError as error:
            raise cannot_write(self.path, error) from error


def _whole(array: np.ndarray) -> StreamedArray:
    return StreamedArray(array.dtype, array.shape, [array])
