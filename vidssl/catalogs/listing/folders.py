"""Folders that are their own list: a folder for each class, or videos without labels."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from vidssl.catalogs.listing.files import scan_videos
from vidssl.catalogs.listing.listed import ListedVideo, Listing
from vidssl.errors import VidsslError


def class_folders(*, videos: Path, group_pattern: str | None = None) -> Listing:
    """List ``videos/<class>/.../<name>``; the classes are the folders directly below, in alphabetical order.

    Args:
        videos: the folder of the class folders.
        group_pattern: a regular expression whose first bracket catches the group in the file name, such as
            ``^([^_]+)_`` for the person in ``daria_walk.avi``; None makes no groups.

    Raises:
        VidsslError: no video is there, one lies outside of the class folders, or the pattern does not fit a name.
    """
    paths = scan_videos(videos)
    loose = [path for path in paths if "/" not in path]
    if loose:
        raise VidsslError(
            f"{videos.absolute()} holds {len(loose)} videos outside of its class folders, such as {loose[0]}; "
            "move them, or prepare a flat folder without labels (vidssl prepare flat)."
        )
    groups = _groups(paths, group_pattern)
    found = [ListedVideo(path, path.split("/")[0], groups.get(path)) for path in paths]
    return Listing("class_folders", videos, found, [], sorted({path.split("/")[0] for path in paths}))


def flat(*, videos: Path) -> Listing:
    """List every video below a folder, without labels.

    Raises:
        VidsslError: there is no such folder, or no video in it.
    """
    return Listing("flat", videos, [ListedVideo(path) for path in scan_videos(videos)], [], [])


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
    return {path: match.group(1) for path, match in matches.items() if match is not None}
