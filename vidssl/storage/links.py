"""A file under a second name, without a second copy."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from vidssl.storage.files import passing_name, replacing


def write_link(link: Path, file: Path) -> None:
    """Let a link lead to a file; it takes the place of what is there in one step.

    It is relative, so that a folder with both can be moved. On a disk without symbolic links it is a copy.

    Args:
        link: the link; its folder exists.
        file: where it leads; on the same disk as a rule.

    Raises:
        OSError: neither a link nor a copy can be written.
    """
    target = os.path.relpath(file, link.parent)
    if link.is_symlink() and os.readlink(link) == target:
        return
    passing = passing_name(link)
    try:
        os.symlink(target, passing)
    except OSError:
        with replacing(link) as copy:
            shutil.copyfile(file, copy)
    else:
        os.replace(passing, link)


def absence(file: Path) -> str:
    """Say why a file is not there: there is nothing of this name, or a link that leads to nothing."""
    return f"it is a link to {os.readlink(file)}, which is not there" if file.is_symlink() else "no such file"
