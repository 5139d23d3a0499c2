"""Append-only files of results, which stay readable however their writer ends.

A shard is a sequence of records, each with a mark, its length and a checksum. The first one says what the shard is
for; every other one is the outcome of one video. What a process wrote before it died is there; a record that was torn
or damaged counts as not written, and its video is worked on again.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from vidssl.errors import VidsslError
from vidssl.storage.container import cannot_write
from vidssl.storage.locks import hold_or_fail

_MARK = b"vmr1"
# mark, checksum of what follows it, row, bytes of JSON, bytes after the JSON
_HEAD = struct.Struct("<4sIqII")
_CHECKED_FROM = 8
ABOUT_ROW = -1
"""Row number of the record that says what a shard is for."""
SUFFIX = ".records"
MOST_BYTES = 2**32 - 1
"""That a record holds."""


def pack_record(row: int, info: Mapping[str, Any], contents: bytes = b"") -> bytes:
    """Return a record: a row number, a few plain values, and bytes."""
    text = json.dumps(info, sort_keys=True).encode("ascii")
    checked = _HEAD.pack(_MARK, 0, row, len(text), len(contents))[_CHECKED_FROM:] + text + contents
    return _MARK + zlib.crc32(checked).to_bytes(4, "little") + checked


@dataclass(frozen=True)
class Record:
    """Where a record is.

    Attributes:
        row: row number in the catalog.
        info: its plain values.
        start: where its bytes begin in the file.
        num_bytes: how many those are.
        is_sound: the checksum is right; taken on trust where it was not verified.
    """

    row: int
    info: dict[str, Any]
    start: int
    num_bytes: int
    is_sound: bool

    @property
    def end(self) -> int:
        """Where the next record begins."""
        return self.start + self.num_bytes

    def contents(self, file: BinaryIO) -> bytes:
        """Return its bytes."""
        file.seek(self.start)
        return file.read(self.num_bytes)


def read_records(file: BinaryIO, *, verify: bool) -> Iterator[Record]:
    """Yield the records of a shard up to its end or to the place where it was torn.

    Args:
        file: the shard.
        verify: read all bytes and compare the checksums; else those of the values alone are read.
    """
    num_bytes = file.seek(0, os.SEEK_END)
    place = 0
    while place + _HEAD.size <= num_bytes:
        file.seek(place)
        head = file.read(_HEAD.size)
        mark, checksum, row, text_bytes, contents_bytes = _HEAD.unpack(head)
        start = place + _HEAD.size + text_bytes
        if mark != _MARK or start + contents_bytes > num_bytes:
            return
        text = file.read(text_bytes)
        is_sound = True
        if verify:
            is_sound = zlib.crc32(head[_CHECKED_FROM:] + text + file.read(contents_bytes)) == checksum
        info: dict[str, Any] = {}
        try:
            info = json.loads(text)
        except ValueError:
            is_sound = False
        yield Record(row, info, start, contents_bytes, is_sound)
        place = start + contents_bytes


def is_sound(file: BinaryIO, record: Record) -> bool:
    """Compare the checksum of one record with its bytes."""
    text = json.dumps(record.info, sort_keys=True).encode("ascii")
    file.seek(record.start - len(text) - _HEAD.size)
    head = file.read(_HEAD.size)
    checked = head[_CHECKED_FROM:] + file.read(len(text) + record.num_bytes)
    return zlib.crc32(checked).to_bytes(4, "little") == head[4:_CHECKED_FROM]


class ShardWriter:
    """Appends records to a shard, the only process that does.

    Args:
        file: the shard; made with its first record when it is not there.
        about: what the shard is for; a shard that says otherwise is refused.

    Raises:
        VidsslError: the file cannot be written, is being written by another process, or is for something else.

    Attributes:
        rows: row numbers of the sound records that it holds.
    """

    def __init__(self, file: Path, about: Mapping[str, Any]) -> None:
        self.file = file
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._held = hold_or_fail(file)
        except OSError as error:
            raise cannot_write(file, error) from error
        try:
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            self.rows = self._repair()
            if os.fstat(self._descriptor).st_size == 0:
                self._write(pack_record(ABOUT_ROW, about))
            check_about(file, about)
        except BaseException as error:
            self._held.release()
            if isinstance(error, OSError):
                raise cannot_write(file, error) from error
            raise

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write out what the system still holds, and let the file go."""
        with suppress(OSError):
            os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._held.release()

    def add(self, row: int, info: Mapping[str, Any], contents: bytes = b"") -> None:
        """Append the outcome of a video.

        Raises:
            VidsslError: the disk is full.
        """
        self._write(pack_record(row, info, contents))
        self.rows.add(row)

    def _write(self, record: bytes) -> None:
        if not self._held.is_ours():
            raise VidsslError(
                f"This process was silent for minutes, and another one writes {self.file} now. End that one, or leave "
                "the work to it."
            )
        try:
            rest = memoryview(record)
            while rest:  # straight to the system: what is written survives the death of this process
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise cannot_write(self.file, error) from error

    def _repair(self) -> set[int]:
        """Cut off what was torn, else the next record would be glued to it; return the rows that are sound."""
        with open(self._descriptor, "rb", closefd=False) as file:
            records = list(read_records(file, verify=True))
        os.ftruncate(self._descriptor, records[-1].end if records else 0)
        return {record.row for record in records if record.is_sound and record.row >= 0}


def check_about(file: Path, about: Mapping[str, Any]) -> None:
    """Check that a shard belongs to the current job.

    Raises:
        VidsslError: it is not; the message names both values of what differs.
    """
    with file.open("rb") as shard:
        first = next(read_records(shard, verify=False), None)
    found = first.info if first is not None and first.row == ABOUT_ROW else {}
    differing = [
        f"{key} is {found.get(key)!r} there, {about[key]!r} here" for key in about if found.get(key) != about[key]
    ]
    if differing:
        raise VidsslError(
            f"{file.parent} holds an unfinished run of something else: {'; '.join(differing)}. Delete that folder, or "
            "name another output."
        )
