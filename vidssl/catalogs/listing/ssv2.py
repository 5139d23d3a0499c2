"""Something-Something v2, with the JSON files it is published with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vidssl.catalogs.listing.files import VideoFiles
from vidssl.catalogs.listing.listed import ListedVideo, Listing, fingerprint, read_text
from vidssl.errors import VidsslError, nearest


def ssv2(
    *,
    videos: Path,
    labels: Path,
    train: Path | None = None,
    validation: Path | None = None,
    test: Path | None = None,
) -> Listing:
    """Read Something-Something v2's JSON files; the classes are numbered as in its file of labels.

    Args:
        videos: the folder of the videos, ``<id>.webm`` or another video ending.
        labels: JSON, from the name of a class to its number.
        train: JSON, a list of videos with id and template; becomes the split "train".
        validation: the same; becomes "val".
        test: the same without templates; becomes "test".

    Raises:
        VidsslError: a file is missing or malformed, or none of the videos is there.
    """
    given = {"train": train, "val": validation, "test": test}
    lists = {split: path for split, path in given.items() if path is not None}
    if not lists:
        raise VidsslError("Something-Something v2 needs at least one of its lists: train, validation or test.")
    classes = _classes(labels)
    known = set(classes)
    places: dict[str, str] = {}
    files = VideoFiles(videos, str)
    found: list[ListedVideo] = []
    missing: list[ListedVideo] = []
    for split, path in lists.items():
        for place, entry in _entries(path):
            name = str(entry["id"])
            if name in places:
                raise VidsslError(f"{place}: the video {name} was listed before, in {places[name]}.")
            places[name] = place
            label = _label(entry, known, place)
            at = files.find(name)
            (missing if at is None else found).append(ListedVideo(at or f"{name}.webm", label, None, (split,)))
    return Listing("ssv2", videos, found, missing, classes, fingerprint([labels, *lists.values()]), (*files.notes(),))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise VidsslError(f"{path}, line {error.lineno}: not JSON: {error.msg} (column {error.colno}).") from error


def _classes(path: Path) -> list[str]:
    numbered = _read_json(path)
    if not isinstance(numbered, dict) or sorted(map(str, numbered.values())) != sorted(map(str, range(len(numbered)))):
        raise VidsslError(f"{path} must map the names of the classes to the numbers 0, 1, ..., each once.")
    return sorted(numbered, key=lambda name: int(numbered[name]))


def _entries(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    entries = _read_json(path)
    if not isinstance(entries, list):
        raise VidsslError(f"{path} must hold a list of videos, not {type(entries).__name__}.")
    for number, entry in enumerate(entries, start=1):
        place = f"{path}, entry {number}"
        if not isinstance(entry, dict) or "id" not in entry:
            raise VidsslError(f"{place}: {json.dumps(entry)[:80]} has no id.")
        yield place, entry


def _label(entry: dict[str, Any], classes: set[str], place: str) -> str | None:
    if "template" not in entry:
        return None
    # the lists write "Putting [something] on [something]", the labels leave out the brackets
    label = str(entry["template"]).replace("[", "").replace("]", "")
    if label not in classes:
        raise VidsslError(f"{place}: {label!r} is not among the labels.{nearest(label, classes)}")
    return label
