"""The verb ``vidssl show``: shows what training with a configuration will see."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vidssl.cli import VerbParser
from vidssl.errors import VidsslError

if TYPE_CHECKING:
    from vidssl.data.datamodule import VideoDataModule
    from vidssl.data.dataset import ClipDataset
    from vidssl.reporting.contact_sheet import Page

PAGE_FILE = "views.html"

_USAGE = """vidssl show --config FILE [--config FILE ...] [--data.KEY VALUE ...] [options]

Draw a few training videos, as one page (views.html) and as a picture per video. They show exactly what training with
this configuration and seed draws:
  when it moves      T-motion over time, the threshold of the motion sampler, the frames of each view
  where it moves     S-motion over a frame, the moving region, the crop of each view
  the views          as the network sees them, and which augmentations were applied
  the target         the motion that the first view is aligned with, and its frames
Without data.motion (CVRL), they show frames, crops and views.

  vidssl show --config configs/quickstart.yaml
  vidssl show --config mcl.yaml --videos 8 --epoch 3 --output pictures
  vidssl show --config mcl.yaml --rows 17 203 --data.motion.settings.estimator dis

With --checkpoint, the command shows what trained networks look at, and a map of their features:
  vidssl show --checkpoint --help"""


def show_parser() -> argparse.ArgumentParser:
    """Return the parser of the verb's own options; --help needs no torch."""
    parser = VerbParser(prog="vidssl show", usage=_USAGE, allow_abbrev=False)
    add = parser.add_argument
    add("-c", "--config", action="append", default=[], metavar="FILE", help="configuration of the training")
    add("--videos", type=int, default=4, metavar="N", help="number of videos from the training split (%(default)s)")
    add("--rows", type=int, nargs="+", metavar="ROW", help="row numbers of the catalog to show instead")
    add("--epoch", type=int, default=0, metavar="E", help="epoch whose draws are shown, from 0 (%(default)s)")
    add("--brighten", action="store_true", help="show dark videos brighter; training is not affected")
    add("--output", type=Path, default=Path("show"), metavar="FOLDER", help="folder of the pictures (%(default)s)")
    return parser


def run_show(args: Sequence[str]) -> int:
    """Run ``vidssl show``; return the exit code.

    Raises:
        VidsslError: with what the user should know and do.
    """
    if any(arg.split("=")[0] in ("--checkpoint", "--backbone") for arg in args):
        from vidssl.cli.show.networks import show_networks

        return show_networks([arg for arg in args if arg != "--checkpoint"] if "--help" in args else args)
    options, rest = show_parser().parse_known_args(args)
    if options.videos < 1 or options.epoch < 0:
        raise VidsslError("--videos must be at least 1, --epoch at least 0.")
    from vidssl.cli.data_group import build_data_module
    from vidssl.video.decoding import DecodingError

    module = build_data_module("show", [word for file in options.config for word in ("--config", file)] + rest)
    dataset = module.train_dataset()
    rows = _rows(options, module)
    pages = []
    for row in rows:
        try:
            pages.append(page := _page(dataset, row, options))
            print(_draw(page, row, options), flush=True)
        except DecodingError as error:
            print(f"vidssl: not drawn, row {row}: {error}", file=sys.stderr)
    if not pages:
        return 2
    print(_write_page(pages, options.output))
    return 0


def _rows(options: argparse.Namespace, module: VideoDataModule) -> list[int]:
    if options.rows is None:
        count, chosen = len(module.train_rows), options.videos
        # of a catalog sorted by class, videos far apart
        return [int(module.train_rows[place * count // chosen]) for place in range(min(chosen, count))]
    wrong = [row for row in options.rows if not 0 <= row < len(module.catalog)]
    if wrong:
        raise VidsslError(f"--rows: the catalog has rows 0 to {len(module.catalog) - 1}, not {wrong[0]}.")
    return options.rows


def _page(dataset: ClipDataset, row: int, options: argparse.Namespace) -> Page:
    from vidssl.reporting.contact_sheet import Page

    video = dataset.catalog[row]
    label = dataset.catalog.classes[video.label] if video.label >= 0 else ""
    return Page(video, label, dataset.draw_views(options.epoch, row), dataset, options.epoch, options.brighten)


def _draw(page: Page, row: int, options: argparse.Namespace) -> Path:
    from vidssl.reporting.contact_sheet import contact_sheet

    file = options.output / f"{row:06d}_{Path(page.video.path).stem}.png"
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        return contact_sheet(page, file)
    except OSError as error:
        raise VidsslError(f"Cannot write {file}: {error.strerror or error}. Choose another --output.") from error


def _write_page(pages: Sequence[Page], folder: Path) -> Path:
    from vidssl.reporting.show_pages import views_page
    from vidssl.storage.files import replacing

    file = folder / PAGE_FILE
    try:
        with replacing(file) as passing:
            passing.write_text(views_page(pages), encoding="utf-8")
    except OSError as error:
        raise VidsslError(f"Cannot write {file}: {error.strerror or error}. Choose another --output.") from error
    return file
