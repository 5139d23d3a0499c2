"""The columns of a catalog file, and the row of one video."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from vidssl.catalogs.file_state import UNKNOWN, FileState
from vidssl.storage.file_kind import FileKind
from vidssl.video.places import place_of

COLUMN_DTYPES = {
    "label": np.int32,
    "group": np.int32,
    "num_frames": np.int32,
    "fps": np.float64,
    "width": np.int32,
    "height": np.int32,
    "duration_seconds": np.float64,
}
"""The columns of every catalog."""
FILE_COLUMNS = ("num_bytes", "changed_ns", "content")
"""Columns of 64-bit integers that catalogs of version 0.1 do not have."""
SHARD_COLUMNS = {"shard": np.int32, "offset": np.int64}
"""Columns of catalogs whose videos are inside larger files: number of that file, and where in it the video begins."""
SHARD_NAMES = "shard_name"
"""The column of strings with those files, relative to the root."""
SOURCE_COLUMN = "source_content"
"""Column of 64-bit integers of catalogs whose videos were made from others: `FileState.content` of those."""
STRING_COLUMNS = ("path", "class", "group_name", "bad_path", "bad_reason")

OLDEST_WITH_SHARDS, OLDEST_WITHOUT = 2, 1
"""Versions: one that knows no shards would look for files of their own."""
KIND = FileKind(
    format="vidssl-catalog",
    version=2,
    noun="catalog",
    description="a catalog",
    remedy="make one with `vidssl prepare`",
    command="vidssl prepare",
    arrays=(
        *COLUMN_DTYPES,
        *(f"{name}/{part}" for name in STRING_COLUMNS for part in ("bytes", "offsets")),
    ),
    fields=("root", "source", "splits", "digest"),
)
ALL = "all"
"""The split that every catalog has: all its videos."""


def printable(text: str) -> str:
    """Return a text with file names in it as UTF-8 can hold it; other bytes become ``udcff`` and the like."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True, slots=True)
class VideoRow:
    """What is known of one video.

    Attributes:
        path: where it is, relative to the catalog's root, with "/" between folders; for a video in a shard its name.
        label: class number from 0, or -1 without a label.
        group: number of the group it belongs to (a person, a source film), or -1.
        num_frames: frames that really decode, at least 1; headers often promise more.
        fps: frames per second.
        width: of a frame, in pixels.
        height: of a frame, in pixels.
        duration_seconds: length in seconds.
        num_bytes: size of its file, or -1 where that is not known (in catalogs of version 0.1).
        changed_ns: when its file was last changed, in nanoseconds since 1970, or -1.
        content: of its file, see `FileState`, or -1.
        shard: the larger file that contains it, relative to the catalog's root; empty for a file of its own.
        offset: where in the shard it begins, in bytes, or -1.
        source_content: of the file that it was made from, see `FileState`, or -1 where it is what it was.
    """

    path: str
    label: int
    group: int
    num_frames: int
    fps: float
    width: int
    height: int
    duration_seconds: float
    num_bytes: int = UNKNOWN
    changed_ns: int = UNKNOWN
    content: int = UNKNOWN
    shard: str = ""
    offset: int = UNKNOWN
    source_content: int = UNKNOWN

    @property
    def name(self) -> str:
        """Return the path as text that can be printed, drawn and written; file names need not be UTF-8."""
        return printable(self.path)

    @property
    def file_state(self) -> FileState:
        """The file as it was when it was prepared."""
        return FileState(self.num_bytes, self.changed_ns, self.content)

    def place(self, root: str | os.PathLike[str]) -> str:
        """Return where its bytes are, as `vidssl.video.places` writes it."""
        return place_of(root, self.path, self.shard, self.offset, self.num_bytes)
