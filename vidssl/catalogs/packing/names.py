"""Names of packed videos."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from itertools import count


def clean_path(path: str) -> str:
    """Return a path below a folder: without ``..``, without a slash in front."""
    parts = posixpath.normpath(path).split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..")) or "_"


def file_paths(paths: Iterable[str], new_suffix: str | None) -> list[str]:
    """Return the paths with another ending or their own, each once; a second one of a name goes into a folder ``2``.

    The name without its ending stays, since a video is recognised by it.
    """
    taken: set[str] = set()
    names = []
    for path in map(clean_path, paths):
        suffix = posixpath.splitext(path)[1] if new_suffix is None else new_suffix
        name = _stem(path) + suffix
        folders = (posixpath.join(posixpath.dirname(name), str(number)) for number in count(2))
        while name in taken:
            name = posixpath.join(next(folders), posixpath.basename(name))
        taken.add(name)
        names.append(name)
    return names


def sample_keys(paths: Iterable[str]) -> list[str]:
    """Return a key for each video of a tar shard, each once: its path without ending and without dots.

    WebDataset cuts names at their first dot, and takes for one sample what then looks alike.
    """
    taken: set[str] = set()
    keys = []
    for path in paths:
        stem = key = _stem(clean_path(path)).replace(".", "_")
        numbers = count(2)
        while key in taken:
            key = f"{stem}_{next(numbers)}"
        taken.add(key)
        keys.append(key)
    return keys


def suffix_of(path: str) -> str:
    """Return the ending of a path in small letters, with its dot; ``.bin`` where there is none."""
    _, suffix = posixpath.splitext(path)
    return suffix.lower() if len(suffix) > 1 else ".bin"


def _stem(path: str) -> str:
    return posixpath.splitext(path)[0]
