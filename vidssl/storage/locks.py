"""Files that one process locks at a time. The system releases them when the process ends for any reason."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl


def lock(descriptor: int) -> bool:
    """Take the lock of an open file, which ends with this process; False when another process has it."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a network disk without locks: then it is up to the user not to start the same work twice
        return True
    return True


def open_locked(file: Path) -> int | None:
    """Open a file, which is made if it does not exist, and take its lock.

    Returns:
        its descriptor, for reading and writing, or None when somebody else has it.

    Raises:
        OSError: the file cannot be opened.
    """
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        if not lock(descriptor):
            os.close(descriptor)
            return None
        if _is_still(file, descriptor):
            return descriptor
        os.close(descriptor)  # its holder removed or renamed it between our opening and our locking it


def _is_still(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(file), os.fstat(descriptor))
    except FileNotFoundError:
        return False
