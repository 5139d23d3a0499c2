"""Writes a catalog file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidssl.catalogs.file_state import UNKNOWN
from vidssl.catalogs.layout import (
    ALL,
    COLUMN_DTYPES,
    FILE_COLUMNS,
    KIND,
    OLDEST_WITH_SHARDS,
    OLDEST_WITHOUT,
    SHARD_COLUMNS,
    SHARD_NAMES,
    SOURCE_COLUMN,
    VideoRow,
)
from vidssl.errors import VidsslError
from vidssl.storage.container import pack_strings, write_arrays

# a copy of the videos is the same data set, in files of their own or in shards
_NOT_DIGESTED = {"num_bytes", "changed_ns", *SHARD_COLUMNS, f"{SHARD_NAMES}/bytes", f"{SHARD_NAMES}/offsets"}


def write_catalog(
    path: str | Path,
    rows: Sequence[VideoRow],
    *,
    classes: Sequence[str],
    group_names: Sequence[str],
    splits: Mapping[str, Sequence[int]],
    root: str | os.PathLike[str],
    source: Mapping[str, Any],
    bad: Sequence[tuple[str, str]] = (),
) -> None:
    """Write a catalog file in one piece: whoever looks sees the old file or the complete new one.

    Args:
        path: the file to write.
        rows: the videos, in the order that gives them their numbers.
        classes: names of the classes, in the order of the labels.
        group_names: names of the groups, in the order of the group numbers.
        splits: row numbers of each split; a split may share rows with another.
        root: the videos' folder; a relative one is relative to the folder of the catalog file.
        source: what to remember of where this came from; anything JSON can hold.
        bad: videos left out, each with its reason.

    Raises:
        VidsslError: the contents contradict each other, or the file cannot be written.
    """
    _check(rows, classes, group_names, splits)
    arrays = {name: _column(rows, name, dtype) for name, dtype in COLUMN_DTYPES.items()}
    arrays |= pack_strings("path", [row.path for row in rows])
    arrays |= pack_strings("class", classes) | pack_strings("group_name", group_names)
    arrays |= {f"split/{name}": np.asarray(numbers, dtype=np.int64) for name, numbers in splits.items()}
    if any(row.content != UNKNOWN for row in rows):
        arrays |= {name: _column(rows, name, np.int64) for name in FILE_COLUMNS}
    if any(row.source_content != UNKNOWN for row in rows):
        arrays[SOURCE_COLUMN] = _column(rows, SOURCE_COLUMN, np.int64)
    arrays |= _shards(rows)
    digest = _digest(arrays)
    arrays |= pack_strings("bad_path", [name for name, _ in bad]) | pack_strings(
        "bad_reason", [reason for _, reason in bad]
    )
    header = {"root": os.fspath(root), "source": dict(source), "splits": list(splits), "digest": digest}
    oldest = OLDEST_WITH_SHARDS if SHARD_NAMES + "/bytes" in arrays else OLDEST_WITHOUT
    write_arrays(Path(path), arrays, KIND.metadata(header, oldest))


def _check(
    rows: Sequence[VideoRow], classes: Sequence[str], group_names: Sequence[str], splits: Mapping[str, Sequence[int]]
) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.path in seen:
            raise VidsslError(f"The video {row.path!r} would be in the catalog twice; list it once.")
        seen.add(row.path)
        if row.num_frames < 1:
            raise VidsslError(f"The video {row.path!r} has {row.num_frames} frames; a catalog holds readable videos.")
        if not -1 <= row.label < len(classes):
            raise VidsslError(f"The video {row.path!r} has label {row.label}, but there are {len(classes)} classes.")
        if not -1 <= row.group < len(group_names):
            raise VidsslError(f"The video {row.path!r} has group {row.group}, but there are {len(group_names)} groups.")
    for name, numbers in splits.items():
        if name == ALL:
            raise VidsslError(f"A split may not be called {ALL!r}: that name means every video.")
        if len(numbers) and not 0 <= np.min(numbers) <= np.max(numbers) < len(rows):
            raise VidsslError(f"The split {name!r} holds row numbers outside of 0 to {len(rows) - 1}.")


def _shards(rows: Sequence[VideoRow]) -> dict[str, np.ndarray]:
    """Return the columns with the shard of each video, and its place there; empty if all have files of their own."""
    names = sorted({row.shard for row in rows})
    if not any(names):
        return {}
    number_of = {name: number for number, name in enumerate(names)}
    numbers = np.fromiter((number_of[row.shard] for row in rows), SHARD_COLUMNS["shard"], len(rows))
    return {"shard": numbers, "offset": _column(rows, "offset", np.int64), **pack_strings(SHARD_NAMES, names)}


def _column(rows: Sequence[VideoRow], name: str, dtype: type) -> np.ndarray:
    return np.fromiter((getattr(row, name) for row in rows), dtype=dtype, count=len(rows))


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays.keys() - _NOT_DIGESTED):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()[:16]
