"""The catalog: one file that lists the videos, mapped into memory and shared by any number of loader workers.

The file is a safetensors container: every column is a flat array, a column of strings is one block of UTF-8
bytes and one array of offsets, and a little JSON stands in its header. Nothing in it is executed when it is
read, and opening a catalog reads it once, to compare its checksums; workers map what was compared.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vidssl.catalogs.file_state import UNKNOWN
from vidssl.catalogs.layout import ALL as ALL
from vidssl.catalogs.layout import COLUMN_DTYPES, FILE_COLUMNS, KIND, SHARD_NAMES, SOURCE_COLUMN, printable
from vidssl.catalogs.layout import VideoRow as VideoRow
from vidssl.catalogs.writing import write_catalog as write_catalog
from vidssl.errors import UnknownNameError, VidsslError, nearest
from vidssl.storage.container import Verify, unpack_string, unpack_strings
from vidssl.video.decoders.reader import DecodingError
from vidssl.video.remote import UrlFolder, is_url


class Catalog:
    """A catalog file, opened for reading; make one with `Catalog.open`.

    Pickling it pickles the names of the file and of the videos' folder; the other side maps the file again.

    Attributes:
        file: the catalog file, absolute.
        root: the folder to which the videos' paths are relative; a `UrlFolder` for object storage.
        root_is_absolute: whether it stays where it is when the catalog file moves.
        digest: 16 hexadecimal digits that change with the videos, labels, groups and splits, but not with the
            folder of the files.
        source: where the catalog came from: kind of data set, counts of listed and found videos, lists.
        split_names: the splits, without "all".
    """

    def __init__(
        self, file: Path, arrays: dict[str, np.ndarray], header: dict[str, Any], root: Path | UrlFolder
    ) -> None:
        self.file = file
        self.root = root
        self.root_is_absolute = os.path.isabs(header["root"]) or is_url(header["root"])
        self.digest: str = header["digest"]
        self.source: dict[str, Any] = header["source"]
        self.split_names: list[str] = header["splits"]
        self._arrays = arrays
        known = (*COLUMN_DTYPES, *FILE_COLUMNS, SOURCE_COLUMN, "offset")
        self._columns = [name for name in known if name in arrays]

    @classmethod
    def open(cls, path: str | Path, root: str | Path | None = None, *, verify: Verify = "cheap") -> Catalog:
        """Open a catalog file.

        Args:
            path: the file that ``vidssl prepare`` wrote.
            root: the videos' folder or its URL, when they do not lie where they were at preparation.
            verify: which checksums are compared, see `vidssl.storage.container.map_arrays`.

        Raises:
            VidsslError: the file is missing, is not a catalog, is cut short or damaged, or is of a newer version.
        """
        file = Path(path).absolute()
        arrays, header = KIND.read(file, verify)
        lost = [name for name in header["splits"] if f"split/{name}" not in arrays]
        if lost:
            raise VidsslError(f"The catalog {file} is damaged: it has no rows of the split {lost[0]!r}. Make it again.")
        named = os.fspath(header["root"] if root is None else root)
        if is_url(named):
            return cls(file, arrays, header, UrlFolder(named))
        recorded = Path(named) if root is None else Path(named).absolute()
        return cls(file, arrays, header, Path(os.path.normpath(file.parent / recorded)))

    def __len__(self) -> int:
        return len(self._arrays["label"])

    def __getitem__(self, index: int) -> VideoRow:
        index = range(len(self))[index]  # negative numbers, and IndexError, as for a list
        numbers = {name: self._arrays[name][index].item() for name in self._columns}
        shard = (
            unpack_string(self._arrays, SHARD_NAMES, self._arrays["shard"][index]) if "shard" in self._arrays else ""
        )
        return VideoRow(path=self.path(index), shard=shard, **numbers)

    def __iter__(self) -> Iterator[VideoRow]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return (
            f"Catalog({str(self.file)!r}, {len(self):,} videos, {len(self.classes)} classes, root={str(self.root)!r})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (str(self.file), str(self.root), self.digest)

    def path(self, index: int) -> str:
        """Return the path of video `index`, relative to the root; of a video in a shard its name (see `place`)."""
        return unpack_string(self._arrays, "path", range(len(self))[index])

    def name(self, index: int) -> str:
        """Return the path of video `index` as text that can be printed, drawn and written."""
        return printable(self.path(index))

    def paths(self, rows: np.ndarray) -> list[str]:
        """Return the paths of many videos, int64 (n,), faster than one by one."""
        return unpack_strings(self._arrays, "path", rows)

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

    @property
    def num_bytes(self) -> np.ndarray:
        """Sizes of the videos' files in bytes, int64 (N,); -1 where they are not known."""
        return self._arrays.get("num_bytes", np.full(len(self), UNKNOWN, np.int64))

    @property
    def contents(self) -> np.ndarray:
        """What the videos are, int64 (N,), see `FileState`; -1 where it is not known.

        Of a video that was packed it is what its source is, by which it is recognised wherever it is packed.
        """
        sources = self._arrays.get(SOURCE_COLUMN)
        return self.file_contents if sources is None else np.where(sources == UNKNOWN, self.file_contents, sources)

    @property
    def file_contents(self) -> np.ndarray:
        """What the videos' own files hold, int64 (N,), see `FileState`; -1 where it is not known."""
        return self._arrays.get("content", np.full(len(self), UNKNOWN, np.int64))

    @property
    def knows_files(self) -> bool:
        """Whether sizes and contents of the videos' files are known; catalogs of version 0.1 have none."""
        return "content" in self._arrays

    def place(self, index: int) -> str:
        """Return where the bytes of video `index` are, as `read_frames` takes it: a path, or a range inside a shard."""
        return self[index].place(self.root)

    def unchanged(self, video: VideoRow) -> str:
        """Return where a video is (see `place`), if its file is still the one that was prepared.

        A file that is not there is left to whoever opens it.

        Raises:
            DecodingError: it is another; the reason says how it differs.
        """
        place = video.place(self.root)
        try:
            difference = video.file_state.difference(place)
        except OSError:
            return place
        if difference is not None:
            raise DecodingError(place, f"{difference}; prepare the catalog again")
        return place

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
        """Return the videos that were listed but could not be read, each as (relative path, reason)."""
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


def _reopen(file: str, root: str, digest: str) -> Catalog:
    catalog = Catalog.open(file, root, verify="header")  # the columns were compared before
    if catalog.digest != digest:
        raise VidsslError(
            f"The catalog {file} was replaced while it was in use (digest {digest} became {catalog.digest}); "
            "start the run again."
        )
    return catalog
