"""A disk that is small, or that cannot be written."""

import subprocess
from contextlib import contextmanager

import pytest


def _mount(*words):
    return subprocess.run(["mount", *map(str, words)], capture_output=True).returncode == 0


@contextmanager
def mounted(folder, size):
    """Mount an empty disk in memory at a folder, as large as ``200k``; yield a function that changes its options."""
    folder.mkdir()
    if not _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder):
        pytest.skip("a disk cannot be mounted here (mount -t tmpfs)")
    try:
        yield lambda options: _mount("-o", f"remount,{options}", folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
