"""The verb ``vidssl compare``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from vidssl.cli import VerbParser
from vidssl.errors import VidsslError
from vidssl.reporting.compare.comparison import Comparison
from vidssl.reporting.compare.files import to_csv, to_latex, to_markdown
from vidssl.reporting.compare.methods import Method, check_labels, group_runs, labelled_method
from vidssl.reporting.compare.runs import Run, read_runs
from vidssl.reporting.compare.table import compare
from vidssl.reporting.compare.text import print_comparison
from vidssl.storage.files import replacing

_USAGE = """vidssl compare RUN [RUN ...] [--label NAME RUN [RUN ...]] [options]

Compare methods from the folders of their runs: evaluations with mean and spread over seeds, paired differences, costs.
Runs are one method if their configurations differ only in the seed (or folder, devices, workers). --label groups runs
as one method and names it.

  vidssl compare runs/*
  vidssl compare runs/cvrl* runs/mcl* --baseline CVRL --html comparison.html
  vidssl compare runs/* --label "MCL, no crop" runs/mcl_whole* --metrics top1 --markdown table.md"""


def compare_parser() -> argparse.ArgumentParser:
    """Return the parser of the verb; --help needs no torch."""
    parser = VerbParser(prog="vidssl compare", usage=_USAGE, allow_abbrev=False)
    add = parser.add_argument
    add("runs", nargs="*", type=Path, metavar="RUN", help="folder of a run")
    add(
        "--label",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME", "RUN"),
        help="name of a method and its runs; may be given several times",
    )
    add("--baseline", metavar="NAME", help="method that the others are compared with, seed by seed (the first)")
    add(
        "--metrics",
        nargs="+",
        default=[],
        metavar="METRIC",
        help="metrics to show: a metric (top5) or a pattern of DATA/PROTOCOL/METRIC ('*/knn/*', '*'); by default the "
        "main metrics of three protocols; the page has all metrics",
    )
    add("--include-unfinished", action="store_true", help="include runs that did not finish, with what they reached")
    add("--markdown", type=Path, metavar="FILE", help="write the tables to this file")
    add("--csv", type=Path, metavar="FILE", help="write every number to this file, including those of single seeds")
    add("--latex", type=Path, metavar="FILE", help="write a booktabs table to this file")
    add("--html", type=Path, metavar="FILE", help="write a page to this file: tables, curves, settings, pictures")
    return parser


def run_compare(args: Sequence[str]) -> int:
    """Run ``vidssl compare``; return the exit code.

    Raises:
        VidsslError: with what the user should know and do.
    """
    options = compare_parser().parse_args(args)
    methods, left_out = _methods(options)
    comparison = replace(compare(methods, options.metrics, options.baseline), left_out=left_out)
    print_comparison(comparison, Console(highlight=False))
    for file, write in ((options.markdown, to_markdown), (options.csv, to_csv), (options.latex, to_latex)):
        _write(file, write, comparison)
    if options.html is not None:
        from vidssl.reporting.compare.page import page

        whole = replace(compare(methods, ["*"], comparison.baseline), left_out=left_out)
        command = "vidssl compare " + shlex.join(args)
        _write(options.html, lambda shown: page(shown, whole, command), comparison)
    return 0


def _methods(options: argparse.Namespace) -> tuple[list[Method], list[Run]]:
    for label, *folders in options.label:
        if not folders:
            raise VidsslError(f"--label {label}: give the folders of its runs behind the name.")
    if not options.runs and not options.label:
        raise VidsslError("Give the folders of the runs to compare: vidssl compare runs/*")
    labelled = [Path(folder) for _, *named in options.label for folder in named]
    taken = {folder.resolve() for folder in labelled}
    others = [folder for folder in options.runs if folder.resolve() not in taken]  # runs/* names them too
    runs = read_runs([*others, *labelled])
    counted = runs if options.include_unfinished else [run for run in runs if run.finished is not False]
    left_out = [run for run in runs if run not in counted]
    if not counted:
        raise VidsslError(
            f"None of the {len(runs)} runs finished; --include-unfinished compares them as far as they got."
        )
    by_folder = {run.folder: run for run in counted}
    methods = group_runs([by_folder[folder] for folder in others if folder in by_folder])
    for label, *named in options.label:
        members = [by_folder[Path(folder)] for folder in named if Path(folder) in by_folder]
        if members:
            methods.append(labelled_method(label, members))
    check_labels(methods)
    return methods, left_out


def _write(file: Path | None, content: Callable[[Comparison], str], comparison: Comparison) -> None:
    if file is None:
        return
    try:
        with replacing(file) as passing:
            passing.write_text(content(comparison), encoding="utf-8")
    except OSError as error:
        raise VidsslError(f"Cannot write {file}: {error.strerror or error}.") from error
    print(f"Written: {file}")
