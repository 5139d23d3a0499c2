"""What every reader returns: the listed videos that exist, and those that are missing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vidssl.catalogs.file_state import UNKNOWN
from vidssl.errors import VidsslError
from vidssl.video.places import place_of
from vidssl.video.remote import UrlFolder


@dataclass(frozen=True, slots=True)
class ListedVideo:
    """One listed video.

    Attributes:
        path: relative to the videos' folder, with "/" between folders.
        label: name of its class, or None.
        group: name of its group (a person, a source film), or None.
        splits: the splits it belongs to.
        shard: the larger file that contains it, relative to the videos' folder; empty for a file of its own.
        offset: where in the shard it begins, in bytes.
        num_bytes: its size in the shard.
    """

    path: str
    label: str | None = None
    group: str | None = None
    splits: tuple[str, ...] = ()
    shard: str = ""
    offset: int = UNKNOWN
    num_bytes: int = UNKNOWN

    def place(self, root: str | os.PathLike[str]) -> str:
        """Return where its bytes are, as `vidssl.video.places` writes it."""
        return place_of(root, self.path, self.shard, self.offset, self.num_bytes)


@dataclass(frozen=True)
class Listing:
    """The videos a data set lists.

    Attributes:
        kind: the reader's name.
        root: the videos' folder, or that of a URL.
        videos: listed videos that are there, each under the path where it was found.
        missing: listed videos that are not there, under the path where one would expect them.
        classes: names of the classes; the label is the place in this list.
        lists_digest: 16 hexadecimal digits of the SHA-256 of the lists; empty where there are none.
        notes: what the user should look at, a sentence each without its full stop.
        bad: what cannot be used, by its path, each with the reason.

    Raises:
        VidsslError: no listed video is there, or none is listed.
    """

    kind: str
    root: Path | UrlFolder
    videos: list[ListedVideo]
    missing: list[ListedVideo]
    classes: list[str]
    lists_digest: str = ""
    notes: tuple[str, ...] = ()
    bad: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.videos and self.missing:
            examples = ", ".join(video.path for video in self.missing[:3])
            raise VidsslError(
                f"None of the {len(self.missing):,} listed videos is in {self.root.absolute()} "
                f"(looked for {examples}, ... there and in its subfolders). Is this the videos' folder?"
            )
        if not self.videos:
            raise VidsslError(f"The lists for {self.root.absolute()} name no video at all.")

    @property
    def num_listed(self) -> int:
        """How many videos the lists name."""
        return len(self.videos) + len(self.missing)

    @property
    def split_names(self) -> list[str]:
        """The splits, in the order of their names."""
        return sorted({name for video in [*self.videos, *self.missing] for name in video.splits})

    @property
    def group_names(self) -> list[str]:
        """The groups of the videos that are there, in the order of their names."""
        return sorted({video.group for video in self.videos if video.group is not None})

    def found_sentence(self) -> str:
        """Report how many of the listed videos exist."""
        words = f"found {len(self.videos):,} of {self.num_listed:,} listed videos"
        percent = 100 * len(self.missing) / self.num_listed
        share = f"{percent:.1f} %" if percent >= 0.1 else "less than 0.1 %"
        return f"{words} ({share} missing)" if self.missing else words


def fingerprint(lists: Iterable[Path]) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of the lists, one after another."""
    digest = hashlib.sha256()
    for path in lists:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file with any line ends, without white space at either end of a line.

    Raises:
        VidsslError: the file is missing, cannot be read, or is not UTF-8 text.
    """
    return [line.strip() for line in read_text(path).splitlines()]


def read_text(path: Path) -> str:
    """Return a text file as one string, without a byte order mark.

    Raises:
        VidsslError: the file is missing, cannot be read, or is not UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise VidsslError(f"{path} is not UTF-8 text: {error}. Save it as UTF-8.") from error
    except OSError as error:
        raise VidsslError(f"The list {path} cannot be read: {error.strerror}.") from error


def find_lists(folder: Path, pattern: str, what: str) -> tuple[Path, list[str]]:
    """Find the folder of the lists, which is `folder` or directly below it.

    Returns:
        The folder, and the sorted names of the files in it that match `pattern`; at least one.

    Raises:
        VidsslError: there is no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise VidsslError(f"There is no folder {folder.absolute()} with {what}.")
    for place in [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]:
        names = sorted(path.name for path in place.glob(pattern) if not path.name.startswith("."))
        if names:
            return place, names
    raise VidsslError(f"{folder.absolute()} does not hold {what} ({pattern}), nor does a folder directly below it.")
