"""Checks whether a file is still the one that was prepared, by size, time of change and a hash of parts of it."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass

from vidssl.video.places import open_place, size_and_time

UNKNOWN = -1
"""The value of all three numbers where they were not recorded."""
_PART_BYTES = 2**16  # 192 KiB of a file are read, whatever its length


@dataclass(frozen=True, slots=True)
class FileState:
    """The file of a video, or the part of a larger file that it is, as it is at one moment.

    Attributes:
        num_bytes: its size.
        changed_ns: when its contents were last changed, in nanoseconds since 1970.
        content: 63 bits of a hash of its size, first, middle and last 64 KiB: copies of a file have the same, whatever
            their names.
    """

    num_bytes: int = UNKNOWN
    changed_ns: int = UNKNOWN
    content: int = UNKNOWN

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> FileState:
        """Look at a file, or at a place as `vidssl.video.places` writes it.

        Raises:
            OSError: it cannot be read.
        """
        num_bytes, changed_ns = size_and_time(os.fspath(path))
        return cls(num_bytes, changed_ns, content_key(path, num_bytes))

    def difference(self, path: str | os.PathLike[str]) -> str | None:
        """Say how a file differs from this state, or None; cheap where neither size nor time of change do.

        Raises:
            OSError: it cannot be read.
        """
        num_bytes, changed_ns = size_and_time(os.fspath(path))
        if UNKNOWN in (self.num_bytes, self.content):
            return None
        if num_bytes != self.num_bytes:
            return f"it has {num_bytes:,} bytes and had {self.num_bytes:,} when it was prepared"
        # copying a data set changes the times of its files, but not what is in them
        if changed_ns != self.changed_ns and content_key(path, num_bytes) != self.content:
            return "its contents have changed since it was prepared"
        return None


def content_key(path: str | os.PathLike[str], num_bytes: int) -> int:
    """Hash the size of a file and three parts of it.

    Raises:
        OSError: it cannot be read.
    """
    with open_place(os.fspath(path)) as file:
        return content_of(file, num_bytes)


def content_of(file: io.RawIOBase | io.BufferedIOBase, num_bytes: int) -> int:
    """Hash the size of an open file and three parts of it."""
    digest = hashlib.blake2b(str(num_bytes).encode(), digest_size=8)
    starts = {0, max(num_bytes // 2 - _PART_BYTES // 2, 0), max(num_bytes - _PART_BYTES, 0)}
    for start in sorted(starts):
        file.seek(start)
        digest.update(file.read(_PART_BYTES) or b"")
    return int.from_bytes(digest.digest(), "little") >> 1
