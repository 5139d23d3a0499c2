"""Which videos a network was trained on, in eight bytes a video, for checkpoints to carry along."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch

from vidssl.catalogs.catalog import Catalog
from vidssl.errors import VidsslError

KEY = "trained_on"
"""Where the history lies in the data module's part of a checkpoint."""


def video_keys(catalog: Catalog, rows: np.ndarray) -> np.ndarray:
    """Return a key for each video that stays the same in another catalog, folder or container, uint64 (n,).

    It is a hash of the file's name without folders, ending and case, and of the number of frames that decode. Two
    videos of the same name and length have the same key, so that it errs on the side of "trained on".

    Args:
        catalog: the videos.
        rows: row numbers, int64 (n,).
    """
    names = (f"{PurePosixPath(catalog.path(int(row))).stem.lower()}\n{catalog.num_frames[row]}" for row in rows)
    hashes = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(b"".join(hashes), dtype="<u8").astype(np.uint64)


@dataclass(frozen=True)
class TrainedSplit:
    """The videos of one split of one catalog.

    Attributes:
        catalog_digest: of the catalog.
        split: its name.
        keys: of the videos, see `video_keys`, uint64 (n,), ascending.
    """

    catalog_digest: str
    split: str
    keys: np.ndarray

    @classmethod
    def of(cls, catalog: Catalog, split: str) -> TrainedSplit:
        """Return what a run that trains on this split trains on."""
        return cls(catalog.digest, split, np.unique(video_keys(catalog, catalog.split(split))))

    def seen(self, catalog: Catalog, rows: np.ndarray) -> np.ndarray:
        """Say of each video whether it was trained on, bool (n,).

        By row where the catalog is the very same, by key otherwise.
        """
        if catalog.digest == self.catalog_digest:
            return np.isin(rows, catalog.split(self.split))
        return np.isin(video_keys(catalog, rows), self.keys)

    def state(self) -> dict[str, Any]:
        """Return tensors and plain values, which a checkpoint may hold."""
        keys = torch.from_numpy(self.keys.view(np.int64).copy())
        return {"catalog_digest": self.catalog_digest, "split": self.split, "keys": keys}


def history_of(state: Iterable[Mapping[str, Any]]) -> tuple[TrainedSplit, ...]:
    """Return the splits behind their states."""
    return tuple(
        TrainedSplit(entry["catalog_digest"], entry["split"], entry["keys"].numpy().view(np.uint64)) for entry in state
    )


def merged(history: Iterable[TrainedSplit]) -> tuple[TrainedSplit, ...]:
    """Return each split of each catalog once, in the order of its first appearance."""
    return tuple({(part.catalog_digest, part.split): part for part in history}.values())


def training_history(checkpoint: Mapping[str, Any]) -> tuple[TrainedSplit, ...] | None:
    """Return what the network in a checkpoint was trained on; None where the checkpoint does not say.

    Args:
        checkpoint: the entries of a checkpoint beside its weights, or the text beside those of an exported file.

    Raises:
        VidsslError: what is there is not a history.
    """
    states = [part[KEY] for part in checkpoint.values() if isinstance(part, Mapping) and KEY in part]
    try:
        if states:
            return merged(history_of(states[0]))
        return history_from_text(checkpoint[KEY]) if KEY in checkpoint else None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise VidsslError("The checkpoint's record of its training videos (trained_on) is damaged.") from error


def history_as_text(history: Iterable[TrainedSplit]) -> str:
    """Return a history as JSON, for files that hold text beside their tensors."""
    return json.dumps(
        [
            {
                "catalog_digest": part.catalog_digest,
                "split": part.split,
                "keys": base64.b64encode(part.keys.astype("<u8").tobytes()).decode(),
            }
            for part in history
        ]
    )


def history_from_text(text: str) -> tuple[TrainedSplit, ...]:
    """Return the history that `history_as_text` wrote."""
    return tuple(
        TrainedSplit(
            entry["catalog_digest"],
            entry["split"],
            np.frombuffer(base64.b64decode(entry["keys"]), "<u8").astype(np.uint64),
        )
        for entry in json.loads(text)
    )
