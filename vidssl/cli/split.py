"""The verb ``vidssl split``: adds training and test splits to a catalog."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.splitting import UNITS, Split, draw_split, split_by_names, write_with_splits
from vidssl.catalogs.summary import summarise
from vidssl.cli import VerbParser
from vidssl.cli.prepare.next_steps import next_command
from vidssl.errors import VidsslError

_ABOUT = """Add the splits train and test to a catalog. The test videos are

  a share of each class      --test-share 0.3
  a share of the groups      --test-share 0.3 --by group      no group (a person, a source film) is in both splits
  groups by name             --test-groups NAME [NAME ...]

Existing splits are kept."""
_EXAMPLE = """example:
  vidssl split data/my.catalog --by group --test-share 0.3 --output data/my_split.catalog"""


def run_split(args: Sequence[str]) -> int:
    """Run ``vidssl split``; return the exit code.

    Raises:
        VidsslError: with what the user should know and do.
    """
    options = _parser().parse_args(args)
    if options.output.exists() and not options.overwrite:
        raise VidsslError(f"{options.output} already exists; choose another --output, or add --overwrite.")
    catalog = Catalog.open(options.catalog)
    split = _split(catalog, options)
    number = "" if options.number is None else str(options.number)
    write_with_splits(catalog, options.output, {f"train{number}": split.train, f"test{number}": split.test})
    written = Catalog.open(options.output)
    print(summarise(written))
    for note in _notes(written, split):
        print(f"  note       {note}")
    print(f"\nNext: {next_command(written, options.output)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = VerbParser(
        prog="vidssl split",
        description=_ABOUT,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("catalog", type=Path, help="a catalog that vidssl prepare wrote")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--test-share", type=float, metavar="SHARE", help="share of the test videos, such as 0.3")
    what.add_argument("--test-groups", nargs="+", metavar="NAME", help="groups whose videos are the test videos")
    parser.add_argument("--by", choices=UNITS, default="video", help="draw videos or whole groups (default: video)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the draw (default: 0)")
    parser.add_argument("--number", type=int, metavar="N", help="name the splits trainN and testN")
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="the catalog to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    return parser


def _split(catalog: Catalog, options: argparse.Namespace) -> Split:
    if options.test_groups is not None:
        return split_by_names(catalog, options.test_groups)
    return draw_split(catalog, options.test_share, options.by, np.random.default_rng(options.seed))


def _notes(catalog: Catalog, split: Split) -> list[str]:
    """Return what a reader of the numbers should know: classes that only one of the two splits has."""
    notes = []
    for name, other, own, others in (
        ("test", "training", split.test, split.train),
        ("training", "test", split.train, split.test),
    ):
        labels = np.setdiff1d(catalog.labels[others], [*catalog.labels[own], -1])
        if len(labels):
            names = ", ".join(catalog.classes[label] for label in labels[:4])
            notes.append(f"{len(labels):,} classes have {other} videos and no {name} videos: {names}")
    return notes
