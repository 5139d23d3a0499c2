"""A journal of probed videos on disk, so that an interrupted preparation continues where it stopped."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vidssl.catalogs.file_state import FileState
from vidssl.catalogs.probing import Probed
from vidssl.storage.container import cannot_write
from vidssl.storage.locks import hold_or_fail
from vidssl.video.decoding import VideoInfo

Key = tuple[str, int, int, str]
"""Path relative to the root, size in bytes, time of change in nanoseconds, decoder: an answer is good for no other."""


class Journal:
    """Answers of the probe, one line of JSON each, written out at once.

    Whatever line is torn or makes no sense counts as not written; its video is probed again.

    Args:
        file: where the lines are; made when it is not there.

    Raises:
        VidsslError: the file cannot be read or written, or another process writes it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._answers: dict[Key, Probed | str] = {}
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._held = hold_or_fail(file)
        except OSError as error:
            raise cannot_write(file, error) from error
        try:
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            self._read()
        except OSError as error:
            self._held.release()
            raise cannot_write(file, error) from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        if not self._answers:
            self.delete()
        self._held.release()

    def get(self, key: Key) -> Probed | str | None:
        """Return what a video holds, or why it is bad; None when it was not probed yet."""
        return self._answers.get(key)

    def add(self, key: Key, answer: Probed | str) -> None:
        """Note what a video holds, or why it is bad.

        Raises:
            VidsslError: the disk is full.
        """
        facts = {"reason": answer} if isinstance(answer, str) else asdict(answer)
        line = json.dumps(dict(zip(("path", "size", "mtime_ns", "decoder"), key, strict=True)) | facts) + "\n"
        try:
            # straight to the system: what is written survives the death of this process
            os.write(self._descriptor, line.encode("ascii"))
        except OSError as error:
            raise cannot_write(self.file, error) from error
        self._answers[key] = answer

    def delete(self) -> None:
        """Remove the file, once its contents are in a catalog."""
        with contextlib.suppress(FileNotFoundError):
            self.file.unlink()

    def _read(self) -> None:
        contents = self.file.read_bytes() if self.file.is_file() else b""
        complete = contents[: contents.rfind(b"\n") + 1]
        if len(complete) < len(contents):  # else the next line would be glued to the torn one
            os.ftruncate(self._descriptor, len(complete))
        for line in complete.splitlines():
            entry = _entry(line)
            if entry is not None:
                self._answers[entry[0]] = entry[1]


def _entry(line: bytes) -> tuple[Key, Probed | str] | None:
    try:
        facts: dict[str, Any] = json.loads(line)
        key = (facts["path"], facts["size"], facts["mtime_ns"], facts["decoder"])
        if "reason" in facts:
            return key, facts["reason"]
        return key, Probed(VideoInfo(**facts["info"]), FileState(**facts["file"]))
    except (ValueError, KeyError, TypeError):
        return None
