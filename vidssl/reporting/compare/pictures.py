"""Pictures from the folders of runs, prepared for a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from vidssl.reporting.compare.methods import Method
from vidssl.reporting.compare.runs import Run
from vidssl.runs.run_directory import PICTURES_FOLDER

KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp"}
MAX_WIDTH = 1600
MAX_BYTES = 3_000_000
"""Largest size of a picture; larger ones, which are animated, are reported and left out."""
MAX_PAGE_BYTES = 24_000_000
SMALL_BYTES = 120_000
"""Up to here a still picture stays as it is, pixel by pixel."""
QUALITY = 82
DRAWN_HERE = ("curves",)  # the page has charts of its own, of all runs
FIRST = ("views",)  # what the network was trained on; other names follow in the order of the alphabet


@dataclass(frozen=True)
class Picture:
    """A picture of a run.

    Attributes:
        name: its file name without the ending; pictures of one name are shown side by side.
        method: label of the method.
        run: the run that it comes from.
        width: in pixels.
        height: in pixels.
        uri: the picture itself.
    """

    name: str
    method: str
    run: Run
    width: int
    height: int
    uri: str


def collect_pictures(methods: Sequence[Method]) -> tuple[list[Picture], list[str]]:
    """Return the pictures of each method's first run that has some, sorted by name, and what was left out."""
    pictures: list[Picture] = []
    left_out: list[str] = []
    room = MAX_PAGE_BYTES
    for method, run, file in sorted(_files(methods), key=lambda found: _order(found[2].stem)):
        try:
            picture = _read(file, method.label, run)
        except (OSError, UnidentifiedImageError) as error:
            left_out.append(f"{file}: {error}")
            continue
        if picture is None or len(picture.uri) > room:
            left_out.append(f"{file}: too large for a page")
            continue
        room -= len(picture.uri)
        pictures.append(picture)
    return pictures, left_out


def _order(name: str) -> tuple[bool, str]:
    return name not in FIRST, name


def _files(methods: Sequence[Method]) -> Iterator[tuple[Method, Run, Path]]:
    for method in methods:
        for run in sorted(method.runs, key=lambda run: (run.seed is None, run.seed or 0)):
            found = sorted([*run.folder.glob("*.*"), *(run.folder / PICTURES_FOLDER).rglob("*.*")])
            files = [file for file in found if file.suffix.lower() in KINDS and file.stem not in DRAWN_HERE]
            if files:
                yield from ((method, run, file) for file in files)
                break


def _read(file: Path, label: str, run: Run) -> Picture | None:
    """Read a picture, smaller where it is large; None for one that stays too large."""
    content = file.read_bytes()
    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
        kind = KINDS[file.suffix.lower()]
        if getattr(image, "n_frames", 1) == 1 and (len(content) > SMALL_BYTES or width > MAX_WIDTH):
            if width > MAX_WIDTH:
                width, height = MAX_WIDTH, max(1, round(height * MAX_WIDTH / width))
            smaller = io.BytesIO()
            image.convert("RGBA" if "A" in image.getbands() else "RGB").resize(
                (width, height), Image.Resampling.LANCZOS
            ).save(smaller, "WEBP", quality=QUALITY)
            content, kind = smaller.getvalue(), KINDS[".webp"]
    if len(content) > MAX_BYTES:
        return None
    uri = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return Picture(file.stem, label, run, width, height, uri)
