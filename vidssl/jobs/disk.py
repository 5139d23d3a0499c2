"""How much room there is on a disk, in numbers and in words."""

from __future__ import annotations

import shutil
from pathlib import Path


def free_bytes(file: Path) -> int:
    """Return the free bytes on the disk where a file would be written; its folder need not exist yet."""
    folder = next(parent for parent in file.absolute().parents if parent.is_dir())
    return shutil.disk_usage(folder).free


def size_text(num_bytes: float) -> str:
    """Return a number of bytes in words."""
    return f"{num_bytes / 1e9:,.2f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:,.2f} MB"
