"""Tar files in the layout of WebDataset: members with the same name up to its first dot are a sample."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from vidssl.storage.files import replacing

_BLOCK_BYTES = 512
_NAME = re.compile(r"((?:.*/)?[^./]+)\.([^/]+)")


def split_name(name: str) -> tuple[str, str] | None:
    """Return key and ending of a member as WebDataset cuts its name, the ending in small letters; None without."""
    found = _NAME.fullmatch(name)
    return (found[1], found[2].lower()) if found else None


def write_tar(file: Path, members: Iterable[tuple[str, bytes]]) -> list[int]:
    """Write a tar file in one piece; the same members make the same file, to the last byte.

    Args:
        file: the file.
        members: names and contents.

    Returns:
        where the contents of each member begin.

    Raises:
        OSError: it cannot be written.
    """
    starts = []
    with replacing(file) as passing, passing.open("wb") as tar:
        for name, contents in members:
            header = tarfile.TarInfo(name)  # of nobody, at no time
            header.size = len(contents)
            tar.write(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
            starts.append(tar.tell())
            tar.write(contents)
            tar.write(bytes(-len(contents) % _BLOCK_BYTES))
        tar.write(bytes(2 * _BLOCK_BYTES))
    return starts


def samples(members: Iterable[tarfile.TarInfo]) -> Iterator[tuple[str, list[tarfile.TarInfo]]]:
    """Yield the samples of a tar file as WebDataset puts them together: key and members."""
    current, gathered = None, list[tarfile.TarInfo]()
    for member in members:
        cut = split_name(member.name)
        if not member.isfile() or cut is None:
            continue
        if cut[0] != current and gathered:
            yield str(current), gathered
            gathered = []
        current = cut[0]
        gathered.append(member)
    if gathered:
        yield str(current), gathered


def count_samples(file: Path) -> int:
    """Return how many samples a reader of the layout finds in a tar file."""
    with tarfile.open(file) as tar:
        return sum(1 for _ in samples(tar))
