"""Which videos lie in a folder, and where a listed one is among them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from vidssl.errors import VidsslError

VIDEO_SUFFIXES = frozenset(
    [".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv"]
)
"""A file with one of these endings, in small or capital letters, is taken for a video."""


def scan_videos(root: Path) -> list[str]:
    """Return the paths of all video files below `root`, relative to it, sorted; hidden ones are left out.

    Raises:
        VidsslError: there is no such folder, or it holds no video file.
    """
    if not root.is_dir():
        raise VidsslError(f"There is no folder {root.absolute()}; give the folder that holds the videos.")
    found = []
    visited = set()
    # data sets are often put together from links to folders, and such links may go round in circles
    for folder, folders, names in os.walk(root, followlinks=True, onerror=_unreadable):
        visited.add(os.path.realpath(folder))
        folders[:] = [name for name in folders if not name.startswith(".")]
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(folder, name)) not in visited]
        relative = PurePosixPath(Path(folder).relative_to(root).as_posix())
        found += [(relative / name).as_posix() for name in names if is_video(name)]
    if not found:
        raise VidsslError(
            f"There is no video in {root.absolute()} nor in its subfolders "
            f"(looked for files ending in {' '.join(sorted(VIDEO_SUFFIXES))})."
        )
    return sorted(found)


def is_video(name: str) -> bool:
    """Say whether a file name is that of a video; names with a dot in front are leftovers of other systems."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


class VideoFiles:
    """The video files below a folder, found by name without their ending, in whatever subfolder they lie.

    Args:
        root: the videos' folder.
        fold: makes two spellings of a name one, such as `str.lower`; YouTube's names need `str`.
    """

    def __init__(self, root: Path, fold: Callable[[str], str]) -> None:
        self._fold = fold
        self._paths: defaultdict[str, list[str]] = defaultdict(list)
        for path in scan_videos(root):
            self._paths[fold(PurePosixPath(path).stem)].append(path)

    def find(self, stem: str, folder: str | None = None) -> str | None:
        """Return the path of the video called `stem`, or None.

        Among several of the same name, the one in a folder called like `folder` goes first, then the first by path.
        """
        candidates = self._paths.get(self._fold(stem), [])
        return min(candidates, key=lambda path: not _same_name(PurePosixPath(path).parent.name, folder), default=None)


def _same_name(one: str, other: str | None) -> bool:
    # "playing violin", "playing_violin" and "PlayingViolin" are one class
    return other is not None and _letters(one) == _letters(other)


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _unreadable(error: OSError) -> None:
    raise VidsslError(f"The folder {error.filename} cannot be read: {error.strerror}.") from error
