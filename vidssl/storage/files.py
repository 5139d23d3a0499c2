"""Files that are either complete or absent."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from vidssl.storage.locks import machine_tag, works_here

SECONDS_UNTIL_LEFT = 24 * 3600.0
"""A passing file of another machine that has not changed for so long was left by a process that ended."""
_NUMBERS = count(1)
_SWEPT: set[tuple[int, Path]] = set()
_NAME = re.compile(r".*\.([0-9a-f]{8})-(\d+)-\d+\.partial", re.DOTALL)
_CHARACTERS_OF_NAME = 40  # so that a long name does not become too long


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write to a passing file that takes the place of `path` when the block ends well.

    After a crash or on a full disk, what was there before is there still, whole. Of several writers at once, on one
    machine or several, each has a passing file of its own, and the last one to finish wins. What a killed process left
    in the folder is removed by the next process that writes there.

    Args:
        path: the file to write; its folder is made.

    Yields:
        The name to write to, ``<path>.MACHINE-PROCESS-NUMBER.partial``.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    path = Path(path)
    passing = passing_name(path)
    passing.touch(exist_ok=False)
    try:
        yield passing
        with passing.open("r+b") as file:
            os.fsync(file.fileno())  # else a power cut may leave the name without the contents
        os.replace(passing, path)
    except BaseException:
        with suppress(OSError):  # the failure to write is what the user must hear of
            passing.unlink(missing_ok=True)
        raise


def passing_name(path: Path) -> Path:
    """Return a free name beside `path`, and make its folder; what a killed process left there is removed.

    A file of this name is for this process, which removes it; if it is killed, the next one that writes there does.

    Raises:
        OSError: the folder cannot be made or read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    mine = f"{machine_tag()}-{os.getpid()}-{next(_NUMBERS)}"
    return path.with_name(f"{path.name[:_CHARACTERS_OF_NAME]}.{mine}.partial")


def _sweep(folder: Path) -> None:
    """Remove the passing files of processes that ended, once a process: a folder may hold a million files."""
    this = (os.getpid(), folder.absolute())
    if this in _SWEPT:
        return
    _SWEPT.add(this)
    for name in os.listdir(folder):
        found = _NAME.fullmatch(name) if name.endswith(".partial") else None
        if found is not None and _was_left(folder / name, found[1], int(found[2])):
            with suppress(OSError):
                (folder / name).unlink()


def _was_left(file: Path, machine: str, process: int) -> bool:
    works = works_here(process) if machine == machine_tag() else None
    if works is not None:
        return not works
    try:
        return time.time() - file.stat().st_mtime > SECONDS_UNTIL_LEFT
    except OSError:
        return False
