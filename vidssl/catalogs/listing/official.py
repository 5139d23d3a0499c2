"""UCF101 and HMDB51, with the lists their authors published: three splits each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from vidssl.catalogs.listing.files import VideoFiles
from vidssl.catalogs.listing.listed import ListedVideo, Listing, find_lists, fingerprint, read_lines
from vidssl.errors import VidsslError

UCF101_CLASSES = 101
UCF101_COUNTS = {
    "train1": 9537,
    "test1": 3783,
    "train2": 9586,
    "test2": 3734,
    "train3": 9624,
    "test3": 3696,
}
"""Videos per list, as published with UCF101 (ucfTrainTestlist)."""

HMDB51_CLASSES = 51
HMDB51_COUNTS = {"train1": 3570, "test1": 1530, "train2": 3570, "test2": 1530, "train3": 3570, "test3": 1530}
"""Videos per list: 70 and 30 a class (testTrainMulti_7030_splits); the rest belongs to neither."""

_UCF101_GROUP = re.compile(r"_(g\d+)_c\d+$", re.IGNORECASE)
_HMDB51_SPLITS = {"0": None, "1": "train", "2": "test"}


def ucf101(*, videos: Path, lists: Path) -> Listing:
    """Read UCF101's lists; the group is the ``gXX`` of the file name.

    Args:
        videos: the folder of the videos, in class folders or not.
        lists: the folder with classInd.txt, trainlist01.txt, testlist01.txt, ...

    Raises:
        VidsslError: the lists are missing or are not the official ones, or none of the videos is there.
    """
    folder, _ = find_lists(lists, "classInd.txt", "UCF101's official lists")
    class_file = folder / "classInd.txt"
    list_files = [folder / f"{split[:-1]}list0{split[-1]}.txt" for split in UCF101_COUNTS]
    classes = _ucf101_classes(class_file)
    spelled = {name.lower(): name for name in classes}
    members: dict[str, dict[str, None]] = {}
    for name, path in zip(UCF101_COUNTS, list_files, strict=True):
        for number, line in enumerate(read_lines(path), start=1):
            if line:
                listed = _ucf101_path(line, path, number, spelled)
                members.setdefault(listed, {})[name] = None
    _check_counts("UCF101", members.values(), UCF101_COUNTS, folder)
    entries = [
        ListedVideo(path, spelled[path.split("/")[0].lower()], _ucf101_group(path), tuple(splits))
        for path, splits in members.items()
    ]
    return _located("ucf101", videos, entries, classes, [class_file, *list_files])


def hmdb51(*, videos: Path, lists: Path) -> Listing:
    """Read HMDB51's lists; videos that are in no part of a split are in the catalog all the same.

    Args:
        videos: the folder of the videos, in class folders or not.
        lists: the folder with brush_hair_test_split1.txt and 152 more.

    Raises:
        VidsslError: the lists are missing or are not the official ones, or none of the videos is there.
    """
    folder, names = find_lists(lists, "*_test_split1.txt", "HMDB51's official lists")
    classes = [name.removesuffix("_test_split1.txt") for name in names]
    if len(classes) != HMDB51_CLASSES:
        raise VidsslError(
            f"{folder.absolute()} has lists (*_test_split1.txt) for {len(classes)} classes, "
            f"HMDB51 has {HMDB51_CLASSES}; give the folder of its official lists."
        )
    list_files = [folder / f"{label}_test_split{split}.txt" for label in classes for split in "123"]
    members: dict[str, dict[str, None]] = {}
    for path in list_files:
        label, _, split = path.stem.rpartition("_test_split")
        for number, line in enumerate(read_lines(path), start=1):
            if not line:
                continue
            name, part = _hmdb51_line(line, path, number)
            splits = members.setdefault(f"{label}/{name}", {})
            if part is not None:
                splits[f"{part}{split}"] = None
    _check_counts("HMDB51", members.values(), HMDB51_COUNTS, folder)
    entries = [ListedVideo(path, path.split("/")[0], None, tuple(splits)) for path, splits in members.items()]
    return _located("hmdb51", videos, entries, classes, list_files)


def _ucf101_classes(path: Path) -> list[str]:
    lines = [line.split(maxsplit=1) for line in read_lines(path) if line]
    numbered = [line for line in lines if len(line) == 2]
    if len(numbered) != len(lines) or [number for number, _ in lines] != [str(n + 1) for n in range(UCF101_CLASSES)]:
        raise VidsslError(f"{path} does not number {UCF101_CLASSES} classes from 1; take UCF101's own classInd.txt.")
    return [name for _, name in numbered]


def _ucf101_path(line: str, path: Path, number: int, classes: dict[str, str]) -> str:
    # training lists end a line with the class number, test lists do not; the folder tells the class in both
    listed = re.sub(r"\s+\d+$", "", line)
    if listed.split("/")[0].lower() not in classes or "/" not in listed:
        raise VidsslError(f"{path}, line {number}: {line!r} does not start with the folder of a class of UCF101.")
    return listed


def _ucf101_group(path: str) -> str | None:
    match = _UCF101_GROUP.search(PurePosixPath(path).stem)
    return match.group(1).lower() if match else None


def _hmdb51_line(line: str, path: Path, number: int) -> tuple[str, str | None]:
    name, _, mark = line.rpartition(" ")
    if mark not in _HMDB51_SPLITS or not name:
        raise VidsslError(f"{path}, line {number}: {line!r} is not a file name followed by 0, 1 or 2.")
    return name.strip(), _HMDB51_SPLITS[mark]


def _check_counts(data_set: str, members: Iterable[dict[str, None]], expected: dict[str, int], folder: Path) -> None:
    members = list(members)
    for split, count in expected.items():
        listed = sum(split in splits for splits in members)
        if listed != count:
            raise VidsslError(
                f"The lists in {folder.absolute()} put {listed:,} videos into {split} of {data_set}, the official ones "
                f"{count:,}. Take the official lists, or describe your own split in a table (vidssl prepare csv)."
            )


def _located(kind: str, root: Path, entries: list[ListedVideo], classes: list[str], lists: list[Path]) -> Listing:
    # UCF101 spells HandstandPushups in its class names, but v_HandStandPushups in its file names
    files = VideoFiles(root, str.lower)
    videos, missing = [], []
    for entry in entries:
        folder, name = entry.path.split("/")
        path = files.find(PurePosixPath(name).stem, folder)
        if path is None:
            missing.append(entry)
        else:
            videos.append(ListedVideo(path, entry.label, entry.group, entry.splits))
    return Listing(kind, root, videos, missing, classes, fingerprint(lists), (*files.notes(),))
