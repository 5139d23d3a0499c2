"""Folders that are their own list: a folder for each class, or videos without labels."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from vidssl.catalogs.layout import printable
from vidssl.catalogs.listing.files import scan
from vidssl.catalogs.listing.listed import ListedVideo, Listing
from vidssl.catalogs.listing.values import sort_names, spelling_notes
from vidssl.errors import VidsslError


def class_folders(*, videos: Path, group_pattern: str | None = None) -> Listing:
    """List ``videos/<class>/.../<name>``; the classes are the folders directly below, in alphabetical order,
    or by size where all names are whole numbers.

    Args:
        videos: the folder of the class folders.
        group_pattern: a regular expression whose first bracket catches the group in the file name, such as
            ``^([^_]+)_`` for the person in ``daria_walk.avi``; None makes no groups.

    Raises:
        VidsslError: no video is there, one lies outside of the class folders, or the pattern does not fit a name.
    """
    scanned = scan(videos)
    paths = scanned.paths
    loose = [path for path in paths if "/" not in path]
    if loose:
        raise VidsslError(
            f"{videos.absolute()} holds {len(loose)} videos outside of its class folders, such as {loose[0]}; "
            "move them, or prepare a flat folder without labels (vidssl prepare flat)."
        )
    groups = _groups(paths, group_pattern)
    # names of folders need not be UTF-8, but names of classes stand in records and pictures
    found = [ListedVideo(path, printable(path.split("/")[0]), groups.get(path)) for path in paths]
    classes = sort_names({video.label for video in found if video.label is not None})
    notes = [*_one_class(videos, paths, classes), *spelling_notes("classes", classes), *scanned.notes()]
    return Listing("class_folders", videos, found, [], classes, notes=(*notes,))


def flat(*, videos: Path) -> Listing:
    """List every video below a folder, without labels.

    Raises:
        VidsslError: there is no such folder, or no video in it.
    """
    scanned = scan(videos)
    return Listing("flat", videos, [ListedVideo(path) for path in scanned.paths], [], [], notes=(*scanned.notes(),))


def _one_class(videos: Path, paths: list[str], classes: list[str]) -> list[str]:
    if len(classes) > 1:
        return []
    below = {path.split("/")[1] for path in paths if path.count("/") > 1}
    meant = f"; if its {len(below):,} folders are the classes, give --videos {videos / classes[0]}" if below else ""
    return [f"there is one class only, {classes[0]}{meant}"]


def _groups(paths: list[str], pattern: str | None) -> dict[str, str]:
    if pattern is None:
        return {}
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise VidsslError(f"The group pattern {pattern!r} is not a regular expression: {error}.") from error
    if expression.groups < 1:
        raise VidsslError(f"The group pattern {pattern!r} has no bracket that catches the group, as in '^([^_]+)_'.")
    matches = {path: expression.search(PurePosixPath(path).name) for path in paths}
    unmatched = [path for path, match in matches.items() if match is None or match.group(1) is None]
    if unmatched:
        raise VidsslError(
            f"The group pattern {pattern!r} finds no group in {len(unmatched)} of {len(paths)} file names, "
            f"such as {PurePosixPath(unmatched[0]).name}."
        )
    return {path: printable(match.group(1)) for path, match in matches.items() if match is not None}
