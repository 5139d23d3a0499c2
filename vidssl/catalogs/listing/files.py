"""Finds the videos of a folder, and the file of a listed video."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vidssl.errors import VidsslError

_ENDINGS = """3g2 3gp asf avi divx dv f4v flv gif m1v m2t m2ts m2v m4v mjpeg mjpg mkv mov mp4 mpe mpeg mpg mts mxf nut
ogm ogv qt rm rmvb ts vob webm wmv xvid y4m"""
VIDEO_SUFFIXES = frozenset(f".{ending}" for ending in _ENDINGS.split())
"""A file with one of these endings, in small or capital letters, is taken for a video."""

_NAMED = 4


@dataclass(frozen=True)
class Scan:
    """The files of a folder and its subfolders.

    Attributes:
        paths: of the video files, relative to the folder, sorted.
        others: the other files by their ending, in small letters.
    """

    paths: list[str]
    others: Counter[str]

    def notes(self) -> list[str]:
        """Report how many files were ignored, as a sentence."""
        if not self.others:
            return []
        endings = [f"{count:,} {ending or 'without an ending'}" for ending, count in self.others.most_common(_NAMED)]
        more = ", ..." if len(self.others) > _NAMED else ""
        return [f"ignored: {self.others.total():,} files with other endings ({', '.join(endings)}{more})"]


def scan_videos(root: Path) -> list[str]:
    """Return the paths of all video files below `root`, relative to it, sorted; hidden ones are left out.

    Raises:
        VidsslError: there is no such folder, or it holds no video file.
    """
    return scan(root).paths


def scan(root: Path) -> Scan:
    """Look through a folder and its subfolders; hidden files and folders are left out.

    Links to folders are followed unless they lead back to a folder that contains them.

    Raises:
        VidsslError: there is no such folder, or it holds no video file.
    """
    if not root.is_dir():
        raise VidsslError(f"There is no folder {root.absolute()}; give the folder that holds the videos.")
    found, others = [], Counter[str]()
    for path in _files(os.fspath(root), "", (os.path.realpath(root),)):
        if is_video(path.rpartition("/")[2]):
            found.append(path)
        else:
            others[os.path.splitext(path)[1].lower()] += 1
    if not found:
        raise VidsslError(
            f"There is no video in {root.absolute()} nor in its subfolders "
            f"(looked for files ending in {' '.join(sorted(VIDEO_SUFFIXES))})."
        )
    return Scan(sorted(found), others)


def _files(folder: str, relative: str, ancestors: tuple[str, ...]) -> Iterator[str]:
    """Yield the files below a folder by their path; `ancestors` are the real paths of it and those above it."""
    try:
        with os.scandir(folder) as entries:
            visible = sorted(
                (entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name
            )
    except OSError as error:
        raise VidsslError(f"The folder {error.filename} cannot be read: {error.strerror}.") from error
    for entry in visible:
        if not entry.is_dir():
            yield relative + entry.name
            continue
        real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(ancestors[-1], entry.name)
        if real not in ancestors:
            yield from _files(entry.path, f"{relative}{entry.name}/", (*ancestors, real))


def is_video(name: str) -> bool:
    """Say whether a file name is that of a video; names with a dot in front are leftovers of other systems."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def unlisted_notes(there: set[str], listed: set[str]) -> list[str]:
    """Report how many of the existing videos no list names, as a sentence."""
    unlisted = sorted(there - listed)
    more = ", ..." if len(unlisted) > 1 else ""
    return [f"{len(unlisted):,} videos are in the folder but in no list ({unlisted[0]}{more})"] if unlisted else []


class VideoFiles:
    """The video files below a folder, found by name without their ending, in any subfolder.

    Args:
        root: the videos' folder.
        fold: makes two spellings of a name one, such as `str.lower`; YouTube's names need `str`.
    """

    def __init__(self, root: Path, fold: Callable[[str], str]) -> None:
        self._fold = fold
        self._scan = scan(root)
        self._found: set[str] = set()
        self._paths: defaultdict[str, list[str]] = defaultdict(list)
        for path in self._scan.paths:
            self._paths[fold(PurePosixPath(path).stem)].append(path)

    def find(self, stem: str, folder: str | None = None) -> str | None:
        """Return the path of the video called `stem`, or None.

        Among several of the same name, the one in a folder with the name `folder` goes first, then the first by path.
        """
        candidates = self._paths.get(self._fold(stem), [])
        path = min(candidates, key=lambda path: not _same_name(PurePosixPath(path).parent.name, folder), default=None)
        self._found.update([] if path is None else [path])
        return path

    def notes(self) -> list[str]:
        """Report the files that were not asked for, as sentences; to be called after all listed ones were looked up."""
        return [*unlisted_notes(set(self._scan.paths), self._found), *self._scan.notes()]


def _same_name(one: str, other: str | None) -> bool:
    # "playing violin", "playing_violin" and "PlayingViolin" are one class
    return other is not None and _letters(one) == _letters(other)


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
