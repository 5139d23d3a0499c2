"""Which videos a network was trained on, in sixteen bytes a video, for checkpoints to carry along."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.file_state import UNKNOWN
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
    names = zip(map(_stem, catalog.paths(rows)), catalog.num_frames[rows].tolist(), strict=True)
    # file names need not be UTF-8
    blocks = (f"{stem.lower()}\n{num_frames}".encode("utf-8", "surrogateescape") for stem, num_frames in names)
    hashes = (hashlib.blake2b(block, digest_size=8).digest() for block in blocks)
    return np.frombuffer(b"".join(hashes), dtype="<u8").astype(np.uint64)


def _stem(path: str) -> str:
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return name[:dot] if 0 < dot < len(name) - 1 else name


def known_contents(catalog: Catalog, rows: np.ndarray) -> np.ndarray:
    """Return what the videos' files hold, as far as the catalog knows, int64 (m,), ascending, each once."""
    contents = np.unique(catalog.contents[rows])
    return contents[contents != UNKNOWN]


@dataclass(frozen=True)
class TrainedSplit:
    """The videos of one split of one catalog.

    Attributes:
        catalog_digest: of the catalog.
        split: its name.
        keys: of the videos, see `video_keys`, uint64 (n,), ascending.
        contents: of the videos, see `known_contents`; none in checkpoints of version 0.1.
    """

    catalog_digest: str
    split: str
    keys: np.ndarray
    contents: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    @classmethod
    def of(cls, catalog: Catalog, split: str) -> TrainedSplit:
        """Return what a run that trains on this split trains on."""
        rows = catalog.split(split)
        return cls(catalog.digest, split, np.unique(video_keys(catalog, rows)), known_contents(catalog, rows))

    def seen(self, catalog: Catalog, rows: np.ndarray) -> np.ndarray:
        """Say of each video whether it was trained on, bool (n,).

        By row where the catalog is the very same, by key otherwise; and copies in either case.
        """
        if catalog.digest == self.catalog_digest:
            return np.isin(rows, catalog.split(self.split)) | self.holds_copies(catalog, rows)
        return np.isin(video_keys(catalog, rows), self.keys) | self.holds_copies(catalog, rows)

    def holds_copies(self, catalog: Catalog, rows: np.ndarray) -> np.ndarray:
        """Say of each video whether a file with the same contents was trained on, under any name, bool (n,)."""
        return np.isin(catalog.contents[rows], self.contents)

    def state(self) -> dict[str, Any]:
        """Return tensors and plain values, which a checkpoint may hold."""
        keys = torch.from_numpy(self.keys.view(np.int64).copy())
        contents = torch.from_numpy(self.contents.copy())
        return {"catalog_digest": self.catalog_digest, "split": self.split, "keys": keys, "contents": contents}


def history_of(state: Iterable[Mapping[str, Any]]) -> tuple[TrainedSplit, ...]:
    """Return the splits behind their states."""
    return tuple(
        TrainedSplit(
            entry["catalog_digest"],
            entry["split"],
            entry["keys"].numpy().view(np.uint64),
            entry["contents"].numpy() if "contents" in entry else np.empty(0, np.int64),
        )
        for entry in state
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
                "contents": base64.b64encode(part.contents.astype("<i8").tobytes()).decode(),
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
            np.frombuffer(base64.b64decode(entry.get("contents", "")), "<i8").astype(np.int64),
        )
        for entry in json.loads(text)
    )
