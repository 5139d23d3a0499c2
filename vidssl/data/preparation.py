"""From listed videos to a catalog: probe each one, keep what decodes, tell what does not and why."""

from __future__ import annotations

import argparse
import csv
import inspect
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from vidssl.data import decoding
from vidssl.data.catalog import Catalog, VideoRow, write_catalog
from vidssl.data.container import write_atomically
from vidssl.data.decoding import VideoInfo
from vidssl.data.journal import Journal, Key
from vidssl.data.listing import LISTINGS, ListedVideo, Listing
from vidssl.data.next_command import next_command
from vidssl.data.probing import Probe, ProbeOptions, probe_videos
from vidssl.data.progress import show_progress
from vidssl.data.summary import summarise
from vidssl.data.synthetic import add_synthetic_arguments, run_synthetic
from vidssl.errors import VidsslError

MISSING = "listed but not there"
"""The reason of a listed video that no file was found for."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

Watch = Callable[[int, int], None]
"""Told how many videos have been probed so far, and how many of those are bad."""


def journal_path(output: Path) -> Path:
    """Return where the answers are kept until the catalog `output` is complete."""
    return output.with_name(f"{output.name}.partial.jsonl")


def bad_path(output: Path) -> Path:
    """Return where the bad videos of the catalog `output` are listed for people."""
    return output.with_name(f"{output.name}.bad.csv")


def prepare(
    listing: Listing,
    output: Path,
    options: ProbeOptions | None = None,
    *,
    watch: Watch = lambda done, bad: None,
    probe: Probe | None = None,
) -> Catalog:
    """Probe every listed video and write the catalog, in the order of the listing.

    Interrupted or killed, it goes on where it stopped when it is called again: no video is probed twice
    unless it changed on disk. Bad videos stand in the catalog, apart, and in ``<output>.bad.csv``.

    Args:
        listing: the videos.
        output: the catalog file; replaced if it is there.
        options: decoder, processes, timeout; None takes the defaults.
        watch: called before the first video and after every one.
        probe: takes the place of `vidssl.data.decoding.probe`.

    Returns:
        The catalog, opened.

    Raises:
        VidsslError: no video can be read, or the output cannot be written.
    """
    options = options or ProbeOptions()
    # frame counts hold for the decoder that counted them
    decoder = decoding.AUTO if options.decoder == "auto" else options.decoder
    probe = probe or partial(decoding.probe, decoder=decoder)
    with Journal(journal_path(output)) as journal:
        answers = _probe_all(listing, journal, decoder, partial(probe_videos, probe=probe, options=options), watch)
        good = [(video, answers[video.path]) for video in listing.videos if isinstance(answers[video.path], VideoInfo)]
        bad = [(video.path, answers[video.path]) for video in listing.videos if isinstance(answers[video.path], str)]
        bad += [(video.path, MISSING) for video in listing.missing]
        _write_bad(bad_path(output), bad)
        if not good:
            journal.delete()  # the next attempt should not believe these answers
            raise VidsslError(
                f"None of the {len(listing.videos):,} videos in {listing.root.absolute()} can be read; the first is "
                f"{bad[0][0]}: {bad[0][1]}. They are all in {bad_path(output)}."
            )
        _write(listing, output, good, bad, decoder)
        journal.delete()
    return Catalog.open(output)


def _probe_all(
    listing: Listing, journal: Journal, decoder: str, probe_all: Callable, watch: Watch
) -> dict[str, VideoInfo | str]:
    keys = {os.path.join(listing.root, video.path): _key(listing.root, video, decoder) for video in listing.videos}
    answers = {key[0]: journal.get(key) for key in keys.values()}
    pending = [path for path, key in keys.items() if answers[key[0]] is None]
    done = len(keys) - len(pending)
    bad = sum(isinstance(answer, str) for answer in answers.values())
    watch(done, bad)
    for path, answer in probe_all(pending):
        journal.add(keys[path], answer)
        answers[keys[path][0]] = answer
        done, bad = done + 1, bad + isinstance(answer, str)
        watch(done, bad)
    return answers


def _key(root: Path, video: ListedVideo, decoder: str) -> Key:
    try:
        status = os.stat(root / video.path)
    except OSError:  # a broken link, for one; the probe will find the words for it
        return video.path, -1, -1, decoder
    return video.path, status.st_size, status.st_mtime_ns, decoder


def _write(
    listing: Listing,
    output: Path,
    good: list[tuple[ListedVideo, VideoInfo]],
    bad: list[tuple[str, str]],
    decoder: str,
) -> None:
    group_names = listing.group_names
    label_of = {name: number for number, name in enumerate(listing.classes)}
    group_of = {name: number for number, name in enumerate(group_names)}
    rows = [
        VideoRow(
            path=video.path,
            label=-1 if video.label is None else label_of[video.label],
            group=-1 if video.group is None else group_of[video.group],
            num_frames=info.num_frames,
            fps=info.fps,
            width=info.width,
            height=info.height,
            duration_seconds=info.duration_seconds,
        )
        for video, info in good
    ]
    splits: dict[str, list[int]] = {name: [] for name in listing.split_names}
    for number, (video, _) in enumerate(good):
        for name in video.splits:
            splits[name].append(number)
    write_catalog(
        output,
        rows,
        classes=listing.classes,
        group_names=group_names,
        splits=splits,
        root=_recorded_root(listing.root, output),
        source=_source(listing, decoder),
        bad=bad,
    )


def _recorded_root(root: Path, output: Path) -> str:
    # whoever names the folder from where they stand expects catalog and videos to move together
    return str(root) if root.is_absolute() else os.path.relpath(root.resolve(), output.parent.resolve())


def _source(listing: Listing, decoder: str) -> dict[str, object]:
    listed = [*listing.videos, *listing.missing]
    return {
        "kind": listing.kind,
        "listed": listing.num_listed,
        "found": len(listing.videos),
        "listed_per_split": {name: sum(name in video.splits for video in listed) for name in listing.split_names},
        "lists_digest": listing.lists_digest,
        "decoder": decoder,
    }


def _write_bad(path: Path, bad: list[tuple[str, str]]) -> None:
    if not bad:
        with suppress(FileNotFoundError):
            path.unlink()
        return
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\n").writerows([("path", "reason"), *bad])
    write_atomically(path, table.getvalue().encode("utf-8", "surrogateescape"))


# --- the command line

_ABOUT = """Probe every video of a data set and write a catalog: frames that really decode, size, length, labels and
splits. Lists and folder are compared first, and what is missing is told. Unreadable videos are listed apart with
their reasons. Interrupted, the same command goes on where it stopped."""

_EXAMPLE_OPTIONS = {
    "ucf101": "--videos UCF-101 --lists ucfTrainTestlist",
    "hmdb51": "--videos hmdb51 --lists testTrainMulti_7030_splits",
    "kinetics": "--videos k400 --lists train.csv val.csv",
    "ssv2": "--videos 20bn-something-something-v2 --labels labels.json --train train.json --validation validation.json",
    "class_folders": "--videos weizmann --group-pattern '^([^_]+)_'",
    "flat": "--videos my_videos",
    "csv": "--list-file my_videos.csv",
}


def add_prepare_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a sub-command for each data set to the parser of ``vidssl prepare``; its default `run` carries it out."""
    parser.description = _ABOUT
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    for kind, summary in LISTINGS.summaries().items():
        example = f"example: vidssl prepare {kind} {_EXAMPLE_OPTIONS[kind]} --output data/{kind}.catalog"
        options = kinds.add_parser(kind, help=summary, description=f"{summary}. {_ABOUT}", epilog=example)
        _add_listing_options(options, kind)
        _add_common_options(options)
        options.set_defaults(run=run_prepare)
    synthetic = kinds.add_parser("synthetic", help="draw the embedded videos, whose label is how a shape moves")
    add_synthetic_arguments(synthetic)
    synthetic.set_defaults(run=run_synthetic)


def run_prepare(args: argparse.Namespace) -> int:
    """Run ``vidssl prepare`` with parsed arguments; return the exit code.

    Raises:
        VidsslError: with what the user should know and do.
    """
    if args.output.exists() and not args.overwrite:
        raise VidsslError(f"{args.output} is there already; name another --output, or add --overwrite.")
    options = ProbeOptions(args.decoder, args.workers, args.timeout)
    reader = LISTINGS.get(args.kind)
    listing = reader(**{name: getattr(args, name) for name in inspect.signature(reader).parameters})
    print(f"{listing.kind}: {listing.found_sentence()}", flush=True)
    if journal_path(args.output).exists():
        print(f"going on from {journal_path(args.output)}", flush=True)
    try:
        with show_progress(len(listing.videos)) as watch:
            catalog = prepare(listing, args.output, options, watch=watch)
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on from here.", file=sys.stderr)
        return INTERRUPTED
    print(summarise(catalog))
    if catalog.bad:
        print(f"  all bad ones with their reasons: {bad_path(args.output)}")
    note = "   # for 64 GPUs; the head of that file tells how to use fewer" if args.kind == "kinetics" else ""
    print(f"\nNext: {next_command(catalog, args.output)}{note}")
    return 0


def _add_listing_options(parser: argparse.ArgumentParser, kind: str) -> None:
    folder = {"type": Path, "metavar": "DIR"}
    file = {"type": Path, "metavar": "FILE"}
    is_table = kind == "csv"
    told = "folder the paths start from (default: the folder of the table)" if is_table else "folder of the videos"
    parser.add_argument("--videos", required=not is_table, help=told, **folder)
    if kind in ("ucf101", "hmdb51"):
        parser.add_argument("--lists", required=True, help="folder of the official lists, splits 1 to 3", **folder)
    if kind == "kinetics":
        parser.add_argument("--lists", required=True, nargs="+", help="CSV files, together one data set", **file)
    if kind == "ssv2":
        parser.add_argument("--labels", required=True, help="JSON from class names to numbers", **file)
        for split in ("train", "validation", "test"):
            parser.add_argument(f"--{split}", help=f"JSON list of the {split} videos", **file)
    if kind == "class_folders":
        told = "regular expression whose first bracket catches the group (a person) in the file name"
        parser.add_argument("--group-pattern", metavar="REGEX", help=told)
    if is_table:
        parser.add_argument("--list-file", required=True, help="CSV with the columns path, label, group, split", **file)


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    defaults = ProbeOptions()
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="the catalog to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the catalog if it is there")
    decoders = ", ".join(decoding.DECODERS.names())
    parser.add_argument("--decoder", default=defaults.decoder, metavar="NAME", help=f"auto (default), {decoders}")
    parser.add_argument(
        "--workers", type=int, default=defaults.num_workers, metavar="N", help="processes (%(default)s)"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=defaults.timeout_seconds,
        metavar="SECONDS",
        help="give a video up after this time (%(default)g)",
    )
