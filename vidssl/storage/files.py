"""Files that are either complete or absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from vidssl.storage.locks import open_locked


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write to a passing file that takes the place of `path` when the block ends well.

    After a crash or on a full disk, what was there before is there still, whole. Of several writers at once each has a
    passing file of its own, and the last one to finish wins.

    Args:
        path: the file to write; its folder is made.

    Yields:
        The name to write to, ``<path>.partial``, or ``<path>.2.partial`` while somebody else writes the former, ...

    Raises:
        OSError: the folder or the file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    passing, descriptor = _passing_file(path)
    try:
        yield passing
        with passing.open("r+b") as file:
            os.fsync(file.fileno())  # else a power cut may leave the name without the contents
        os.replace(passing, path)
    except BaseException:
        with suppress(OSError):  # the failure to write is what the user must hear of
            passing.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _passing_file(path: Path) -> tuple[Path, int]:
    """Return the first passing file that nobody writes, and the descriptor that holds it; leftovers are taken again."""
    for number in count(1):
        passing = path.with_name(f"{path.name}{'' if number == 1 else f'.{number}'}.partial")
        descriptor = open_locked(passing)
        if descriptor is not None:
            return passing, descriptor
    raise AssertionError("count ends")
