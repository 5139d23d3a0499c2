"""Folders of videos without a list: one folder per class, labels in the file names, or no labels."""

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
    groups = _caught(paths, "group", group_pattern)
    # names of folders need not be UTF-8, but names of classes stand in records and pictures
    found = [ListedVideo(path, printable(path.split("/")[0]), groups.get(path)) for path in paths]
    classes = sort_names({video.label for video in found if video.label is not None})
    notes = [*_one_class(videos, paths, classes), *spelling_notes("classes", classes), *scanned.notes()]
    return Listing("class_folders", videos, found, [], classes, notes=(*notes,))


def flat(*, videos: Path, label_pattern: str | None = None, group_pattern: str | None = None) -> Listing:
    """List every video below a folder; labels and groups may be parts of the file names.

    Args:
        videos: the folder.
        label_pattern: a regular expression that catches the class in the file name, by the bracket ``(?P<label>...)``
            or else the first one, such as ``_([a-z]+)`` for ``daria_walk2.avi``; None makes no labels.
        group_pattern: likewise for the group, by ``(?P<group>...)`` or the first bracket.

    Raises:
        VidsslError: there is no such folder, no video in it, or a pattern does not fit a name.
    """
    scanned = scan(videos)
    labels = _caught(scanned.paths, "label", label_pattern)
    groups = _caught(scanned.paths, "group", group_pattern)
    found = [ListedVideo(path, labels.get(path), groups.get(path)) for path in scanned.paths]
    classes = sort_names(set(labels.values()))
    notes = [*_one_class(videos, [], classes), *spelling_notes("classes", classes), *scanned.notes()]
    return Listing("flat", videos, found, [], classes, notes=(*notes,))


def _one_class(videos: Path, paths: list[str], classes: list[str]) -> list[str]:
    if len(classes) != 1:
        return []
    below = {path.split("/")[1] for path in paths if path.count("/") > 1}
    meant = f"; if its {len(below):,} folders are the classes, give --videos {videos / classes[0]}" if below else ""
    return [f"there is one class only, {classes[0]}{meant}"]


def _caught(paths: list[str], kind: str, pattern: str | None) -> dict[str, str]:
    """Return what a pattern catches in each file name: the bracket that is called `kind`, or else the first one."""
    if pattern is None:
        return {}
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise VidsslError(f"The {kind} pattern {pattern!r} is not a regular expression: {error}.") from error
    if expression.groups < 1:
        raise VidsslError(f"The {kind} pattern {pattern!r} has no bracket that catches the {kind}, as in '^([^_]+)_'.")
    bracket = kind if kind in expression.groupindex else 1
    matches = {path: expression.search(PurePosixPath(path).name) for path in paths}
    unmatched = [path for path, match in matches.items() if match is None or match.group(bracket) is None]
    if unmatched:
        raise VidsslError(
            f"The {kind} pattern {pattern!r} finds no {kind} in {len(unmatched)} of {len(paths)} file names, "
            f"such as {PurePosixPath(unmatched[0]).name}."
        )
    return {path: printable(match.group(bracket)) for path, match in matches.items() if match is not None}
