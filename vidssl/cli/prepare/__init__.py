"""The verb ``vidssl prepare``: read a data set, probe its videos, write the catalog that training reads."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from vidssl.catalogs.layout import printable
from vidssl.catalogs.listing import LISTINGS
from vidssl.catalogs.preparation import bad_path, journal_path, prepare
from vidssl.catalogs.probing import ProbeOptions
from vidssl.catalogs.summary import summarise
from vidssl.catalogs.synthetic.contact_sheet import contact_sheet
from vidssl.catalogs.synthetic.spec import CHOICES, SyntheticSpec
from vidssl.catalogs.synthetic.videos import write_synthetic
from vidssl.cli import VerbParser
from vidssl.cli.prepare.next_steps import next_command, split_command
from vidssl.errors import VidsslError
from vidssl.jobs.progress import show_progress
from vidssl.jobs.signals import INTERRUPTED
from vidssl.video.decoding import DECODERS

_ABOUT = """Decode every video of a data set once and write a catalog: number of frames that really decode, size,
length, labels and splits. First the lists are compared with the folder, and missing videos are reported. Unreadable
videos are listed separately with their reasons. After an interruption, the same command continues where it stopped."""

_EXAMPLE_OPTIONS = {
    "ucf101": "--videos UCF-101 --lists ucfTrainTestlist",
    "hmdb51": "--videos hmdb51 --lists testTrainMulti_7030_splits",
    "kinetics": "--videos k400 --lists train.csv val.csv",
    "ssv2": "--videos 20bn-something-something-v2 --labels labels.json --train train.json --validation validation.json",
    "class_folders": "--videos weizmann --group-pattern '^([^_]+)_'",
    "flat": "--videos my_videos",
    "csv": "--list-file my_videos.csv",
    "shards": "--videos 'shards/*.tar' --label-key label --split-key split",
}


def run_prepare(args: Sequence[str]) -> int:
    """Run ``vidssl prepare``; return the exit code.

    Raises:
        VidsslError: with what the user should know and do.
    """
    parser = VerbParser(prog="vidssl prepare")
    _add_arguments(parser)
    options = parser.parse_args(args)
    return options.run(options)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a sub-command for each data set to the parser of ``vidssl prepare``; its default `run` carries it out."""
    parser.description = _ABOUT
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    for kind, summary in LISTINGS.summaries().items():
        example = f"example: vidssl prepare {kind} {_EXAMPLE_OPTIONS[kind]} --output data/{kind}.catalog"
        options = kinds.add_parser(kind, help=summary, description=f"{summary}. {_ABOUT}", epilog=example)
        _add_listing_options(options, kind)
        _add_common_options(options)
        options.set_defaults(run=_run_listing)
    synthetic = kinds.add_parser("synthetic", help="draw the embedded videos, whose label is how a shape moves")
    _add_synthetic_arguments(synthetic)
    synthetic.set_defaults(run=_run_synthetic)


def _run_listing(args: argparse.Namespace) -> int:
    """Run ``vidssl prepare`` with parsed arguments; return the exit code.

    Raises:
        VidsslError: with what the user should know and do.
    """
    if args.output.exists() and not args.overwrite:
        raise VidsslError(f"{args.output} already exists; choose another --output, or add --overwrite.")
    options = ProbeOptions(args.decoder, args.workers, args.timeout)
    reader = LISTINGS.get(args.kind)
    listing = reader(**{name: getattr(args, name) for name in inspect.signature(reader).parameters})
    print(f"{listing.kind}: {listing.found_sentence()}", flush=True)
    for note in listing.notes:
        print(printable(f"  {note}"), flush=True)
    if journal_path(args.output).exists():
        print(f"continuing from {journal_path(args.output)}", flush=True)
    try:
        with show_progress(len(listing.videos)) as watch:
            catalog = prepare(listing, args.output, options, watch=watch)
    except KeyboardInterrupt:
        print("Interrupted. Give the same command again to continue.", file=sys.stderr)
        return INTERRUPTED
    print(summarise(catalog))
    if catalog.bad:
        print(f"  all bad ones with their reasons: {bad_path(args.output)}")
    note = "   # for 64 GPUs; see the top of that file to use fewer" if args.kind == "kinetics" else ""
    drawing = split_command(catalog, args.output)
    if drawing is not None:
        print(f"\nNo splits, so nothing can be measured. To draw test videos first: {drawing}")
    print(f"\nNext: {next_command(catalog, args.output)}{note}")
    return 0


def _add_listing_options(parser: argparse.ArgumentParser, kind: str) -> None:
    add_folder = partial(parser.add_argument, type=Path, metavar="DIR")
    add_file = partial(parser.add_argument, type=Path, metavar="FILE")
    if kind == "shards":
        _add_shard_options(parser)
        return
    is_table = kind == "csv"
    words = "folder the paths start from (default: the folder of the table)" if is_table else "folder of the videos"
    add_folder("--videos", required=not is_table, help=words)
    if kind in ("ucf101", "hmdb51"):
        add_folder("--lists", required=True, help="folder of the official lists, splits 1 to 3")
    if kind == "kinetics":
        add_file("--lists", required=True, nargs="+", help="CSV files of one data set; give all of them together")
    if kind == "ssv2":
        add_file("--labels", required=True, help="JSON from class names to numbers")
        for split in ("train", "validation", "test"):
            add_file(f"--{split}", help=f"JSON list of the {split} videos")
    patterns = {"class_folders": ("group",), "flat": ("label", "group")}
    for name in patterns.get(kind, ()):
        words = f"regular expression that catches the {name} in the file name, by (?P<{name}>...) or its first bracket"
        parser.add_argument(f"--{name}-pattern", metavar="REGEX", help=words)
    if is_table:
        add_file("--list-file", required=True, help="CSV with the columns path, label, group, split")


def _add_shard_options(parser: argparse.ArgumentParser) -> None:
    add = partial(parser.add_argument, metavar="NAME")
    words = "tar files: a path with *, ?, {000..012} or {train,val}, in quotes"
    parser.add_argument("--videos", required=True, metavar="PATTERN", help=words)
    for name in ("label", "group", "split"):
        add(f"--{name}-key", default=name, help=f"key of the {name} in the JSON beside a video (%(default)s)")
    add("--label-ending", default="cls", help="member with the class where the JSON has none: cls or txt (%(default)s)")


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    defaults = ProbeOptions()
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="the catalog to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing catalog")
    decoders = ", ".join(DECODERS.names())
    parser.add_argument("--decoder", default=defaults.decoder, metavar="NAME", help=f"auto (default), {decoders}")
    parser.add_argument(
        "--workers", type=int, default=defaults.num_workers, metavar="N", help="processes (%(default)s)"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=defaults.timeout_seconds,
        metavar="SECONDS",
        help="seconds after which a video is given up (%(default)g)",
    )


# --- synthetic videos ---

_WHAT_FOR = {
    "appearance": """the textures. shared: all videos share a few, so only motion tells videos apart; unique: each video
        has its own, so appearance tells them apart; background: backgrounds are unique and shapes shared (default
        %(default)s)""",
    "placement": """the place of the shape. centre: large, in nearly every crop; off-centre: small and anywhere, so that
        the place of a crop matters (default %(default)s)""",
    "activity": """when the shape moves. full: all the time; partial: about half of the time, so that the start of a
        clip matters (default %(default)s)""",
    "labels": """the classes. pattern: how the shape moves; order: which of two movements comes first; single frames are
        alike in all classes, so only their order tells the classes apart (default %(default)s)""",
}


def _add_synthetic_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``vidssl prepare synthetic``."""
    default = SyntheticSpec()
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for videos and catalog")
    for key, known in CHOICES.items():
        parser.add_argument(f"--{key}", choices=known, default=getattr(default, key), help=_WHAT_FOR[key])
    for name in ("seed", "num_train", "num_test", "num_frames", "height", "width", "fps"):
        flag, value = "--" + name.replace("_", "-"), getattr(default, name)
        parser.add_argument(flag, type=int, default=value, metavar="N", help=f"default {value}")
    parser.add_argument("--contact-sheet", type=Path, metavar="PNG", help="also draw a row of frames per class")


def _run_synthetic(args: argparse.Namespace) -> int:
    """Write the data set that the arguments describe; return the exit code."""
    wanted = {name: getattr(args, name) for name in asdict(SyntheticSpec())}
    spec = replace(SyntheticSpec(), **wanted)
    catalog_path = write_synthetic(args.output, spec)
    print(f"{spec.num_train} training and {spec.num_test} test videos, {len(spec.classes)} classes: {catalog_path}")
    if args.contact_sheet is not None:
        print(f"Contact sheet: {contact_sheet(args.output, args.contact_sheet)}")
    return 0
