"""Files that are whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write to a passing file that takes the place of `path` when the block ends well.

    After a crash or on a full disk, what was there before is there still, whole.

    Args:
        path: the file to write; its folder is made.

    Yields:
        The name to write to, ``<path>.partial``.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    path = Path(path)
    passing = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield passing
        with passing.open("r+b") as file:
            os.fsync(file.fileno())  # else a power cut may leave the name without the contents
        os.replace(passing, path)
    finally:
        with suppress(OSError):  # its folder may be none; the failure to write is what the user must hear of
            passing.unlink(missing_ok=True)
