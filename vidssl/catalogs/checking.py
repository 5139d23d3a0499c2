"""Checks whether the videos of a catalog are still those that were prepared."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vidssl.catalogs.catalog import Catalog, VideoRow
from vidssl.catalogs.file_state import UNKNOWN, FileState
from vidssl.video.remote import UrlFolder

MISSING = "not there"
_THREADS = 16  # they wait for a disk or a network


def changed_videos(catalog: Catalog, watch: Callable[[int, int], None] = lambda done, bad: None) -> dict[str, str]:
    """Compare the file of every video: its size, and the contents of three parts of it.

    Args:
        catalog: the videos; of one of version 0.1 it is only said which are not there.
        watch: called with the number of videos checked so far, and the number of changed ones among them.

    Returns:
        What is different, by the video's path.
    """
    changed: dict[str, str] = {}
    watch(0, 0)
    with ThreadPoolExecutor(_THREADS) as threads:
        found = threads.map(lambda video: (video.path, _difference(catalog.root, video)), catalog)
        for done, (path, difference) in enumerate(found, start=1):
            if difference is not None:
                changed[path] = difference
            watch(done, len(changed))
    return changed


def _difference(root: Path | UrlFolder, video: VideoRow) -> str | None:
    try:
        # without a time every file's contents are compared
        return FileState(video.num_bytes, UNKNOWN, video.content).difference(video.place(root))
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        return str(error.strerror)
