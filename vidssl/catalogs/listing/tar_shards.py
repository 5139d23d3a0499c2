"""Videos in tar shards that others wrote, as WebDataset and video2dataset lay them out; nothing is unpacked."""

from __future__ import annotations

import glob
import json
import os
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from vidssl.catalogs.listing.files import VIDEO_SUFFIXES
from vidssl.catalogs.listing.listed import ListedVideo, Listing
from vidssl.catalogs.listing.values import is_none, read_names, sort_names, spelling_notes
from vidssl.catalogs.packing.tar_files import samples, split_name
from vidssl.errors import VidsslError
from vidssl.video.places import open_place
from vidssl.video.remote import UrlFolder, file_system, is_url

_BRACES = re.compile(r"\{([^{}]*)\}")
_NAMED = 3


@dataclass
class _Found:
    """What the shards hold, as far as they were read."""

    videos: list[ListedVideo] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)
    doubts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def doubt(self, what: str, example: str) -> None:
        self.doubts[what] += 1
        self.examples.setdefault(what, example)

    def notes(self) -> list[str]:
        return [f"{count:,} {what} ({self.examples[what]})" for what, count in self.doubts.items()]


@dataclass(frozen=True)
class _Keys:
    """Where label, group and split of a sample are stored."""

    label: str
    group: str
    split: str
    label_ending: str


def tar_shards(
    *,
    videos: str,
    label_key: str = "label",
    group_key: str = "group",
    split_key: str = "split",
    label_ending: str = "cls",
) -> Listing:
    """List the videos in tar shards.

    Members with the same name up to its first dot are a sample; the JSON of a sample describes its video.

    Args:
        videos: the shards: a path with ``*``, ``?``, ``[0-9]``, ``{000..012}`` or ``{train,val}`` in it.
        label_key: key of the class in the JSON.
        group_key: key of the group.
        split_key: key of the split, a name or a list of names.
        label_ending: ending of the member that holds the class where the JSON does not: ``cls``, ``txt``.

    Raises:
        VidsslError: there are no such files, or they hold no video.
    """
    shards = find_shards(videos)
    above = os.path.commonpath([os.path.dirname(shard) for shard in shards])
    root = UrlFolder(_url_above(shards)) if is_url(shards[0]) else Path(above)
    keys, found = _Keys(label_key, group_key, split_key, label_ending.lstrip(".").lower()), _Found()
    seen: dict[str, str] = {}
    for shard in shards:
        name = shard[len(os.fspath(root)) + 1 :] if isinstance(root, UrlFolder) else os.path.relpath(shard, root)
        _read_shard(shard, name.replace(os.sep, "/"), keys, found, seen)
    if not found.videos:
        first = f" The first trouble: {found.bad[0][0]}: {found.bad[0][1]}." if found.bad else ""
        raise VidsslError(f"There is no video in the {len(shards):,} shards {videos}.{first}")
    labels, label_notes = read_names("label", found.labels)
    groups, group_notes = read_names("group", found.groups)
    listed = [
        ListedVideo(video.path, label, group, video.splits, video.shard, video.offset, video.num_bytes)
        for video, label, group in zip(found.videos, labels, groups, strict=True)
    ]
    splits = {name for video in listed for name in video.splits}
    notes = [f"{len(shards):,} shards", *found.notes(), *label_notes, *group_notes, *spelling_notes("split", splits)]
    classes = sort_names({label for label in labels if label is not None})
    return Listing("shards", root, listed, [], classes, notes=tuple(notes), bad=tuple(found.bad))


def find_shards(pattern: str) -> list[str]:
    """Return the files that a pattern names, sorted, with their absolute paths unless the pattern is relative.

    Raises:
        VidsslError: there is none, or one of those that braces name is not there.
    """
    found: set[str] = set()
    for expanded in _without_braces(pattern):
        matched = _remote_matches(expanded) if is_url(expanded) else _matches(expanded)
        if not matched:
            raise VidsslError(f"There is no file {expanded}; --videos names tar shards, such as 'shards/*.tar'.")
        found.update(matched)
    return sorted(found)


def _matches(pattern: str) -> list[str]:
    return [file for file in glob.glob(pattern, recursive=True) if os.path.isfile(file)]


def _remote_matches(pattern: str) -> list[str]:
    """Return the URLs that a pattern names; web servers cannot be asked what there is, so there it is a name."""
    if not glob.has_magic(pattern) or pattern.startswith(("http://", "https://")):
        return [pattern]
    system = file_system(pattern)
    return [system.unstrip_protocol(file) for file in system.glob(pattern)]


def _url_above(urls: list[str]) -> str:
    """Return the URL of the folder that all files are in."""
    kind = urls[0].partition("://")[0]
    return f"{kind}://{os.path.commonpath([url.partition('://')[2].rpartition('/')[0] for url in urls])}"


def _without_braces(pattern: str) -> Iterator[str]:
    """Write ``{a,b}`` and ``{000..012}`` out, as shells do."""
    parts = _BRACES.split(pattern)  # every second one stood in braces
    choices = [_choices(part) if place % 2 else [part] for place, part in enumerate(parts)]
    return map("".join, product(*choices))


def _choices(inside: str) -> list[str]:
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", inside)
    if not numbers:
        return inside.split(",")
    first, last = numbers.groups()
    return [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]


def _read_shard(file: str, name: str, keys: _Keys, found: _Found, seen: dict[str, str]) -> None:
    """Note the videos of a shard; `seen` holds the keys of all shards so far, with the shard of each."""
    try:
        with open_place(file) as opened, tarfile.open(fileobj=opened, mode="r:") as tar:
            here: set[str] = set()
            for key, members in samples(tar):
                if key in seen:
                    found.doubt(
                        "samples have the key of another: WebDataset tells them apart by it", f"{key} in {name}"
                    )
                seen[key] = name
                _read_sample(tar, name, members, keys, found, here)
    except FileNotFoundError as error:
        raise VidsslError(f"There is no file {file}.") from error
    except (tarfile.TarError, OSError, EOFError) as error:
        found.bad.append((name, f"not a tar file that can be read in place, or cut short ({error})"))


def _read_sample(
    tar: tarfile.TarFile, shard: str, members: list[tarfile.TarInfo], keys: _Keys, found: _Found, here: set[str]
) -> None:
    videos = [member for member in members if os.path.splitext(member.name)[1].lower() in VIDEO_SUFFIXES]
    if not videos:
        found.doubt("samples have no video", f"{members[0].name} in {shard}")
    if len(videos) > 1:
        words = "samples hold more than one video: WebDataset, which cuts names at their first dot, merges them"
        found.doubt(words, f"{videos[0].name} and {videos[1].name} in {shard}")
    for member in videos:
        path = f"{shard}/{member.name}"
        reason = _trouble(member, here)
        about: dict[str, Any] | str = {} if reason else _about(tar, member, members)
        if reason or isinstance(about, str):
            found.bad.append((path, reason or str(about)))
            continue
        here.add(member.name)
        found.labels.append(_label(tar, members, keys, about))
        found.groups.append(_text(about.get(keys.group)))
        splits = tuple(split for split in _names(about.get(keys.split)) if not is_none(split))
        found.videos.append(ListedVideo(path, None, None, splits, shard, member.offset_data, member.size))


def _trouble(member: tarfile.TarInfo, here: set[str]) -> str | None:
    """Say why a member cannot be used, without having looked into it."""
    if member.name in here:
        return "another member of its shard has the same name; only the first counts"
    if member.sparse is not None:
        return "stored with holes, which cannot be read in place; write the shard without --sparse"
    return None


def _about(tar: tarfile.TarFile, video: tarfile.TarInfo, members: list[tarfile.TarInfo]) -> dict[str, Any] | str:
    """Return what the JSON beside a video says, or why it cannot be read; of several that with the longer name."""
    stem = os.path.splitext(video.name)[0]
    beside = [member for member in members if os.path.splitext(member.name)[1].lower() == ".json"]
    own = [member for member in beside if os.path.splitext(member.name)[0] == stem] or beside
    if not own:
        return {}
    try:
        words = json.loads(_contents(tar, own[0]))
    except ValueError as error:
        return f"its JSON {own[0].name} is damaged: {error}"
    return words if isinstance(words, dict) else f"its JSON {own[0].name} holds no object"


def _label(tar: tarfile.TarFile, members: list[tarfile.TarInfo], keys: _Keys, about: dict[str, Any]) -> str:
    if keys.label in about:
        return _text(about[keys.label])
    endings = {(split_name(member.name) or ("", ""))[1]: member for member in members}
    member = endings.get(keys.label_ending)
    return "" if member is None else _contents(tar, member).decode("utf-8", "replace").strip()


def _contents(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return b"" if file is None else file.read()


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _names(value: Any) -> list[str]:
    return [_text(name) for name in value] if isinstance(value, list) else [_text(value)]
