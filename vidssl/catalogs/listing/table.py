"""Tables in CSV files: how they are read, and the one format of our own."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from vidssl.catalogs.listing.files import is_video, unlisted_notes
from vidssl.catalogs.listing.listed import ListedVideo, Listing, fingerprint, read_text
from vidssl.catalogs.listing.values import is_none, read_names, sort_names, spelling_notes
from vidssl.errors import VidsslError, nearest

COLUMNS = ("path", "label", "group", "split")
"""The columns of our own format; all but the path may be left out."""

SPLIT_SEPARATOR = ";"


class Row(dict[str, str]):
    """One line of a table, by column, without white space around the values.

    Attributes:
        place: the file and the line, for messages.
    """

    def __init__(self, values: dict[str, str], place: str) -> None:
        super().__init__(values)
        self.place = place


def read_table(path: Path, *, required: Sequence[str], known: Sequence[str] | None = None) -> Iterator[Row]:
    """Read a CSV file with a line of column names.

    Args:
        path: the file; UTF-8, commas.
        required: columns that must be there.
        known: the only columns that may be there; None takes any.

    Raises:
        VidsslError: the file is missing or malformed; the message names the line.
    """
    lines = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        columns = [name.strip() for name in next(lines, [])]
        _check_columns(path, columns, required, known)
        for values in lines:
            place = f"{path}, line {lines.line_num}"
            if not values:
                continue
            if len(values) != len(columns):
                raise VidsslError(f"{place}: {len(values)} values under {len(columns)} columns ({', '.join(columns)}).")
            yield Row(dict(zip(columns, (value.strip() for value in values), strict=True)), place)
    except csv.Error as error:
        raise VidsslError(f"{path}, line {lines.line_num}: not CSV: {error}.") from error


def csv_table(*, list_file: Path, videos: Path | None = None) -> Listing:
    """Read a table in the format of vidssl, described in ``docs/data.md``.

    Args:
        list_file: CSV with the columns path, label, group, split.
        videos: the folder to which the paths are relative; None takes the folder of the file.

    Raises:
        VidsslError: the file is missing or malformed, lists a video twice, or none of the videos is there.
    """
    root = list_file.parent if videos is None else videos
    if not root.is_dir():
        raise VidsslError(f"There is no folder {root.absolute()}; give the folder that holds the videos.")
    rows = _rows(list_file, root)
    labels, label_notes = read_names("label", [row.get("label", "") for row in rows.values()])
    groups, group_notes = read_names("group", [row.get("group", "") for row in rows.values()])
    found: list[ListedVideo] = []
    missing: list[ListedVideo] = []
    for (path, row), label, group in zip(rows.items(), labels, groups, strict=True):
        entry = ListedVideo(path, label, group, _splits(row))
        (found if (root / path).is_file() else missing).append(entry)
    splits = {name for entry in [*found, *missing] for name in entry.splits}
    notes = [*label_notes, *group_notes, *spelling_notes("split", splits), *_unlisted(root, [*rows])]
    classes = sort_names({label for label in labels if label is not None})
    return Listing("csv", root, found, missing, classes, fingerprint([list_file]), (*notes,))


def _rows(list_file: Path, root: Path) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for row in read_table(list_file, required=("path",), known=COLUMNS):
        path = _relative(row, root)
        if path in rows:
            raise VidsslError(f"{row.place}: {path!r} was listed before, in {rows[path].place}.")
        rows[path] = row
    return rows


def _splits(row: Row) -> tuple[str, ...]:
    names = (name.strip() for name in row.get("split", "").split(SPLIT_SEPARATOR))
    return tuple(name for name in names if not is_none(name))


def _unlisted(root: Path, listed: Sequence[str]) -> list[str]:
    # only beside listed videos: the folder of a table may hold anything
    folders = {path.rpartition("/")[0] for path in listed}
    there = {
        f"{folder}/{name}" if folder else name
        for folder in folders
        if (root / folder).is_dir()
        for name in os.listdir(root / folder)
        if is_video(name)
    }
    return unlisted_notes(there, set(listed))


def _check_columns(path: Path, columns: list[str], required: Sequence[str], known: Sequence[str] | None) -> None:
    if not any(columns):
        raise VidsslError(f"{path}, line 1: there are no column names; the first line must hold {', '.join(required)}.")
    for name in required:
        if name not in columns:
            raise VidsslError(f"{path}, line 1: there is no column {name!r} among {', '.join(columns)}.")
    for name in columns:
        if known is not None and name not in known:
            raise VidsslError(
                f"{path}, line 1: unknown column {name!r}.{nearest(name, known)} Known: {', '.join(known)}."
            )
        if columns.count(name) > 1:
            raise VidsslError(f"{path}, line 1: the column {name!r} is there twice.")


def _relative(row: Row, root: Path) -> str:
    if not row["path"]:
        raise VidsslError(f"{row.place}: the path is empty.")
    path = PurePosixPath(row["path"])
    if not path.is_absolute():
        return path.as_posix()
    try:
        return path.relative_to(root.absolute().as_posix()).as_posix()
    except ValueError as error:
        raise VidsslError(f"{row.place}: {row['path']!r} is not below the videos' folder {root.absolute()}.") from error
