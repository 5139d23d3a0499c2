"""Which videos there are: one file, mapped into memory, that any number of loader workers share.

The file is a safetensors container: every column is a flat array, a column of strings is one block of UTF-8
bytes and one array of offsets, and a little JSON stands in its header. Nothing in it is executed when it is
read, and opening a catalog of a million videos reads only the header.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vidssl.errors import UnknownNameError, VidsslError, nearest
from vidssl.storage.container import pack_strings, unpack_string, unpack_strings, write_arrays
from vidssl.storage.file_kind import FileKind

_KIND = FileKind(
    format="vidssl-catalog",
    version=1,
    noun="catalog",
    description="a catalog",
    remedy="make one with `vidssl prepare`",
    command="vidssl prepare",
)
ALL = "all"
"""The split that every catalog has: all its videos."""


@dataclass(frozen=True, slots=True)
class VideoRow:
    """What is known of one video.

    Attributes:
        path: where it lies, relative to the catalog's root, with "/" between folders.
        label: class number from 0, or -1 without a label.
        group: number of the group it belongs to (a person, a source film), or -1.
        num_frames: frames that really decode, at least 1; headers often promise more.
        fps: frames per second.
        width: of a frame, in pixels.
        height: of a frame, in pixels.
        duration_seconds: length in seconds.
    """

    path: str
    label: int
    group: int
    num_frames: int
    fps: float
    width: int
    height: int
    duration_seconds: float


_COLUMN_DTYPES = {
    "label": np.int32,
    "group": np.int32,
    "num_frames": np.int32,
    "fps": np.float64,
    "width": np.int32,
    "height": np.int32,
    "duration_seconds": np.float64,
}


class Catalog:
    """A catalog file, opened for reading; make one with `Catalog.open`.

    Pickling it pickles the names of the file and of the videos' folder; the other side maps the file again.

    Attributes:
        file: the catalog file, absolute.
        root: the folder to which the videos' paths are relative.
        digest: 16 hexadecimal digits that change with the videos, labels, groups and splits, but not with the
            folder they lie in.
        source: where the catalog came from: kind of data set, counts of listed and found videos, lists.
        split_names: the splits, without "all".
    """

    def __init__(self, file: Path, arrays: dict[str, np.ndarray], header: dict[str, Any], root: Path) -> None:
        self.file = file
        self.root = root
        self.digest: str = header["digest"]
        self.source: dict[str, Any] = header["source"]
        self.split_names: list[str] = header["splits"]
        self._arrays = arrays

    @classmethod
    def open(cls, path: str | Path, root: str | Path | None = None) -> Catalog:
        """Open a catalog file.

        Args:
            path: the file that ``vidssl prepare`` wrote.
            root: the videos' folder, when they do not lie where they were at preparation.

        Raises:
            VidsslError: the file is missing, is not a catalog, is cut short, or is of a newer version.
        """
        file = Path(path).absolute()
        arrays, header = _KIND.read(file)
        recorded = Path(header["root"]) if root is None else Path(root).absolute()
        return cls(file, arrays, header, Path(os.path.normpath(file.parent / recorded)))

    def __len__(self) -> int:
        return len(self._arrays["label"])

    def __getitem__(self, index: int) -> VideoRow:
        index = range(len(self))[index]  # negative numbers, and IndexError, as for a list
        numbers = {name: self._arrays[name][index].item() for name in _COLUMN_DTYPES}
        return VideoRow(path=self.path(index), **numbers)

    def __iter__(self) -> Iterator[VideoRow]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return (
            f"Catalog({str(self.file)!r}, {len(self):,} videos, {len(self.classes)} classes, root={str(self.root)!r})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (str(self.file), str(self.root), self.digest)

    def path(self, index: int) -> str:
        """Return the path of video `index`, relative to the root."""
        return unpack_string(self._arrays, "path", range(len(self))[index])

    @property
    def labels(self) -> np.ndarray:
        """Class numbers, int32 (N,); -1 without a label."""
        return self._arrays["label"]

    @property
    def groups(self) -> np.ndarray:
        """Group numbers, int32 (N,); -1 without a group."""
        return self._arrays["group"]

    @property
    def num_frames(self) -> np.ndarray:
        """Frames that decode, int32 (N,)."""
        return self._arrays["num_frames"]

    @property
    def fps(self) -> np.ndarray:
        """Frames per second, float64 (N,)."""
        return self._arrays["fps"]

    @property
    def widths(self) -> np.ndarray:
        """Widths in pixels, int32 (N,)."""
        return self._arrays["width"]

    @property
    def heights(self) -> np.ndarray:
        """Heights in pixels, int32 (N,)."""
        return self._arrays["height"]

    @property
    def durations_seconds(self) -> np.ndarray:
        """Lengths in seconds, float64 (N,)."""
        return self._arrays["duration_seconds"]

    @cached_property
    def classes(self) -> list[str]:
        """Names of the classes; the label is the place in this list."""
        return unpack_strings(self._arrays, "class")

    @cached_property
    def group_names(self) -> list[str]:
        """Names of the groups; the group number is the place in this list."""
        return unpack_strings(self._arrays, "group_name")

    @property
    def bad(self) -> list[tuple[str, str]]:
        """Videos that are not in the catalog although they were listed: (relative path, reason)."""
        return list(
            zip(unpack_strings(self._arrays, "bad_path"), unpack_strings(self._arrays, "bad_reason"), strict=True)
        )

    def split(self, name: str) -> np.ndarray:
        """Return the row numbers of a split, int64 (n,); "all" is every row.

        Raises:
            UnknownNameError: there is no such split; the message lists those there are.
        """
        if name == ALL:
            return np.arange(len(self), dtype=np.int64)
        if name not in self.split_names:
            known = [ALL, *self.split_names]
            raise UnknownNameError(
                f"The catalog {self.file} has no split {name!r}.{nearest(name, known)} It has: {', '.join(known)}."
            )
        return self._arrays[f"split/{name}"]


def write_catalog(
    path: str | Path,
    rows: Sequence[VideoRow],
    *,
    classes: Sequence[str],
    group_names: Sequence[str],
    splits: Mapping[str, Sequence[int]],
    root: str | Path,
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
    arrays = {name: _column(rows, name, dtype) for name, dtype in _COLUMN_DTYPES.items()}
    arrays |= pack_strings("path", [row.path for row in rows])
    arrays |= pack_strings("class", classes) | pack_strings("group_name", group_names)
    arrays |= {f"split/{name}": np.asarray(numbers, dtype=np.int64) for name, numbers in splits.items()}
    digest = _digest(arrays)
    arrays |= pack_strings("bad_path", [name for name, _ in bad]) | pack_strings(
        "bad_reason", [reason for _, reason in bad]
    )
    header = {"root": os.fspath(root), "source": dict(source), "splits": list(splits), "digest": digest}
    write_arrays(Path(path), arrays, _KIND.metadata(header))


def _check(
    rows: Sequence[VideoRow], classes: Sequence[str], group_names: Sequence[str], splits: Mapping[str, Sequence[int]]
) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.path in seen:
            raise VidsslError(f"The video {row.path!r} would stand in the catalog twice; list it once.")
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


def _column(rows: Sequence[VideoRow], name: str, dtype: type) -> np.ndarray:
    return np.fromiter((getattr(row, name) for row in rows), dtype=dtype, count=len(rows))


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()[:16]


def _reopen(file: str, root: str, digest: str) -> Catalog:
    catalog = Catalog.open(file, root)
    if catalog.digest != digest:
        raise VidsslError(
            f"The catalog {file} was replaced while it was in use (digest {digest} became {catalog.digest}); "
            "start the run again."
        )
    return catalog
