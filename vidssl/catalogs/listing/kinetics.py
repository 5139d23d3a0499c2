"""Kinetics-400, -600 and -700, with the CSV files they are published with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vidssl.catalogs.listing.files import VideoFiles
from vidssl.catalogs.listing.listed import ListedVideo, Listing, fingerprint
from vidssl.catalogs.listing.table import Row, read_table
from vidssl.catalogs.listing.values import is_none, sort_names
from vidssl.errors import VidsslError

_SPLITS = {"train": "train", "validate": "val", "validation": "val", "val": "val", "test": "test"}
_SECONDS_DIGITS = 6  # downloaders name a clip <id>_<start>_<end>, both in seconds with six digits


@dataclass(frozen=True, slots=True)
class _Clip:
    youtube_id: str
    name: str
    label: str | None
    split: str


def kinetics(*, videos: Path, lists: Sequence[Path]) -> Listing:
    """Read Kinetics' CSV files; the classes are those of all files together, in alphabetical order.

    Args:
        videos: the folder of the clips, ``<id>_<start>_<end>`` (six digits each) or ``<id>``, with any video
            ending, in class folders or not.
        lists: CSV files with the columns label (not in some test lists), youtube_id, time_start, time_end, split.

    Raises:
        VidsslError: a file is missing or malformed, contradicts another, or none of the videos is there.
    """
    clips: dict[str, _Clip] = {}
    for path in lists:
        for row in read_table(path, required=("youtube_id", "time_start", "time_end", "split")):
            clip = _clip(row)
            if clips.setdefault(clip.name, clip) != clip:
                raise VidsslError(f"{row.place}: the clip {clip.name} was listed before, with another label or split.")
    files = VideoFiles(videos, str)
    clips_of_video = Counter(clip.youtube_id for clip in clips.values())
    found: list[ListedVideo] = []
    missing: list[ListedVideo] = []
    for clip in clips.values():
        at = files.find(clip.name, clip.label)
        if at is None and clips_of_video[clip.youtube_id] == 1:  # else the bare name does not tell which clip
            at = files.find(clip.youtube_id, clip.label)
        expected = f"{clip.label}/{clip.name}.mp4" if clip.label else f"{clip.name}.mp4"
        entry = ListedVideo(at or expected, clip.label, None, (clip.split,))
        (missing if at is None else found).append(entry)
    classes = sort_names({clip.label for clip in clips.values() if clip.label is not None})
    return Listing("kinetics", videos, found, missing, classes, fingerprint(lists), (*files.notes(),))


def _clip(row: Row) -> _Clip:
    split = _SPLITS.get(row["split"].lower())
    if split is None:
        raise VidsslError(f"{row.place}: the split {row['split']!r} is none of {', '.join(_SPLITS)}.")
    if not row["youtube_id"]:
        raise VidsslError(f"{row.place}: the youtube_id is empty.")
    times = [_seconds(row, "time_start"), _seconds(row, "time_end")]
    name = "_".join([row["youtube_id"], *(f"{time:0{_SECONDS_DIGITS}d}" for time in times)])
    label = row.get("label", "")
    return _Clip(row["youtube_id"], name, None if is_none(label) else label, split)


def _seconds(row: Row, column: str) -> int:
    try:
        return int(float(row[column]))  # some lists write 12, some 12.0
    except (ValueError, OverflowError) as error:
        raise VidsslError(f"{row.place}: {column} is {row[column]!r}, not a number of seconds.") from error
