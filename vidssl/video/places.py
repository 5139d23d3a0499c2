"""Where the bytes of a video are: in a file of its own, or in a range of a larger one, such as a tar shard.

Either is named by one string, so that it goes wherever a path goes, into another process too: the path of the file, or
``FILE::START+LENGTH::NAME`` with START and LENGTH in bytes. FILE may be a URL, as fsspec reads them. NAME is that of
the video; by its ending FFmpeg tells formats apart that look alike. What is read is never unpacked.
"""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from vidssl.video.remote import WHOLE_BYTES, HeldPart, is_url, join, remote_file

MAX_OPEN_FILES = 64
"""Shards that a process keeps open at a time."""
_RANGE = re.compile(r"(.+)::(\d+)\+(\d+)::(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A video inside a larger file; as text it is the place of the video.

    Attributes:
        file: the larger file.
        start: of its first byte in there.
        num_bytes: how many bytes are its.
        name: of the video, with its ending.
    """

    file: str
    start: int
    num_bytes: int
    name: str

    def __str__(self) -> str:
        return f"{self.file}::{self.start}+{self.num_bytes}::{self.name}"

    @classmethod
    def of(cls, place: str) -> ByteRange | None:
        """Return the range that a place names, or None where it names a whole file."""
        found = _RANGE.fullmatch(place) if "::" in place else None
        return cls(found[1], int(found[2]), int(found[3]), found[4]) if found else None


def place_of(root: str | os.PathLike[str], path: str, shard: str, offset: int, num_bytes: int) -> str:
    """Return the place of a video below a folder: its path, or where `shard` is given, the part of that file."""
    if not shard:
        return _below(root, path)
    return str(ByteRange(_below(root, shard), offset, num_bytes, path.rpartition("/")[2]))


def _below(root: str | os.PathLike[str], path: str) -> str:
    folder = os.fspath(root)
    return join(folder, path) if is_url(folder) else os.path.join(folder, path)


def file_of(place: str) -> str:
    """Return the file in which a video lies."""
    part = ByteRange.of(place)
    return place if part is None else part.file


def size_and_time(place: str) -> tuple[int, int]:
    """Return the bytes of a video, and when its file was last changed, in nanoseconds since 1970; of a URL, -1.

    Raises:
        OSError: there is no such file, or it cannot be looked at.
        VidsslError: its URL cannot be reached.
    """
    part = ByteRange.of(place)
    if is_url(place):
        return (remote_file(place).num_bytes if part is None else part.num_bytes), -1
    status = os.stat(place if part is None else part.file)
    return status.st_size if part is None else part.num_bytes, status.st_mtime_ns


def open_place(place: str) -> io.FileIO | RangeReader:
    """Open a video for reading; the larger file around it is opened once a process and kept.

    Raises:
        OSError: it cannot be opened.
        VidsslError: its URL cannot be reached.
    """
    part = ByteRange.of(place)
    if is_url(place):
        return _remote_reader(place, part)
    return open(place, "rb", buffering=0) if part is None else RangeReader(_kept_open(part.file), part)


def _remote_reader(place: str, part: ByteRange | None) -> RangeReader:
    file = remote_file(place if part is None else part.file)
    part = part or ByteRange(place, 0, file.num_bytes, place.rpartition("/")[2])
    comes_whole = part.num_bytes <= WHOLE_BYTES
    return RangeReader(HeldPart(file, part.start, part.num_bytes) if comes_whole else file, part)


def for_decoder(place: str) -> str | RangeReader:
    """Return what a decoding library opens: the path of a file, or a file object that shows one range of it.

    Raises:
        OSError: the larger file cannot be opened.
        VidsslError: its URL cannot be reached.
    """
    part = ByteRange.of(place)
    if is_url(place):
        return _remote_reader(place, part)
    return place if part is None else RangeReader(_kept_open(part.file), part)


class OpenFile(Protocol):
    """A file of which any part can be read at any time."""

    def read_at(self, start: int, num_bytes: int) -> bytes:
        """Return so many bytes from `start` on, fewer at the end of the file."""
        ...


class LocalFile:
    """A file on this machine, closed with the last reference to it.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, file: str) -> None:
        self._descriptor = os.open(file, os.O_RDONLY)

    def read_at(self, start: int, num_bytes: int) -> bytes:
        """See `OpenFile.read_at`."""
        # no place in the file is kept, so that several videos are read at once
        return os.pread(self._descriptor, num_bytes, start)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


def _kept_open(file: str) -> OpenFile:
    status = os.stat(file)
    return _opened(file, status.st_ino, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=MAX_OPEN_FILES)
def _opened(file: str, *_state: int) -> OpenFile:
    """Open a file; one that has been replaced since is opened anew."""
    return LocalFile(file)


class RangeReader(io.BufferedIOBase):
    """A range of a file as a file of its own.

    Args:
        file: the larger file, which stays open.
        part: which range of it.

    Attributes:
        name: of the video.
    """

    def __init__(self, file: OpenFile, part: ByteRange) -> None:
        self.name = part.name
        self._file, self._start, self._num_bytes = file, part.start, part.num_bytes
        self._position = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to so many bytes, or all that are left."""
        left = max(0, self._num_bytes - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        contents = self._file.read_at(self._start + self._position, wanted) if wanted else b""
        self._position += len(contents)
        return contents

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place, as in any file."""
        self._position = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._num_bytes}[whence] + offset
        return self._position

    def tell(self) -> int:
        """Return where the next byte is read."""
        return self._position
