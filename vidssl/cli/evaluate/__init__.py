"""The verb ``vidssl evaluate``: measures trained networks by any protocol."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vidssl.cli.evaluate.arguments import (
    ALL_THAT_APPLY,
    check_arguments,
    evaluate_parser,
    repeated,
    settings_of,
)
from vidssl.cli.evaluate.ending import signals_reported
from vidssl.errors import VidsslError

if TYPE_CHECKING:
    from rich.console import Console

    from vidssl.cli.evaluate.measuring import Step
    from vidssl.cli.evaluate.subjects import Subject
    from vidssl.cli.evaluate.summary import Result, Summary
    from vidssl.evaluation.protocols.contract import Protocol
    from vidssl.evaluation.protocols.records import Measured
    from vidssl.reporting.evaluation_pages import MeasuredNetwork

PAGES_FOLDER = "pages"
WIDE = 200  # columns of text for a file or a pipe, where nothing needs to be folded
NEEDLESS_WARNINGS = (".*does not have many workers.*", ".*LeafSpec.*is deprecated.*")  # as for vidssl fit


def run_evaluate(args: Sequence[str]) -> int:
    """Run ``vidssl evaluate``; return the exit code.

    Features are computed by all processes. What comes after, fitting classifiers above all, is the first process's
    alone, and no other waits for it.

    Raises:
        VidsslError: with what the user should know and do.
    """
    options = evaluate_parser().parse_args(args)
    check_arguments(options)
    with signals_reported():
        _evaluate(options, repeated(args))
    return 0


def _evaluate(options: argparse.Namespace, command: str) -> None:
    from vidssl.evaluation.protocols.named import get_protocol

    named = [get_protocol(name) for name in dict.fromkeys(options.protocol) if name != ALL_THAT_APPLY]
    for protocol in named:
        _refuse_training(protocol, options)
    _prepare_torch()
    from vidssl.cli.evaluate.announcing import announce
    from vidssl.cli.evaluate.measuring import plan_work, steps_of
    from vidssl.cli.evaluate.subjects import load_subjects
    from vidssl.cli.evaluate.tasks import check_settings

    subjects = load_subjects(options)
    protocols = _with_all_that_apply(named, subjects, options)
    check_settings(settings_of(options), protocols)
    works = [plan_work(subject, protocols, options) for subject in subjects]
    steps = steps_of(works)
    announce(steps, options.accelerator)
    done = dict(_measured(steps, options))
    if done:  # on the first process
        _report([done[place] for place in sorted(done)], options, command)


def _measured(
    steps: Sequence[Step], options: argparse.Namespace
) -> Iterator[tuple[int, tuple[Result, Measured, Subject]]]:
    """Measure one thing after the other; several processes compute all features first, so that none waits for another.

    Yields:
        On the first process: the place of a measurement on the command line, its result, and the network.
    """
    from vidssl.cli.evaluate.announcing import tell_result
    from vidssl.cli.evaluate.arguments import has_several_processes
    from vidssl.cli.evaluate.measuring import extract, measure

    extracted = ((step, extract(step, options)) for step in steps)
    for step, features in list(extracted) if has_several_processes(options) else extracted:
        if features is not None:
            result, measured = measure(step, features, options)
            tell_result(result)
            yield step.place, (result, measured, step.work.subject)


def _report(done: Sequence[tuple[Result, Measured, Subject]], options: argparse.Namespace, command: str) -> None:
    from rich.console import Console

    from vidssl.cli.evaluate.summary import Summary
    from vidssl.evaluation.protocols.records import RECORDS_FILE
    from vidssl.reporting.evaluation_tables import print_by_class, print_protocols

    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    results = [result for result, _, _ in done]
    records = [result.record for result in results]
    summary = Summary.of(results)
    print_protocols(records, console)
    _print_summary(results, summary, console)
    if len({(result.subject, result.split) for result in results}) == 1:
        print_by_class(records, console)
    folders = list(dict.fromkeys(subject.folder for _, _, subject in done))
    console.print(f"\nRecords: {', '.join(str(folder / RECORDS_FILE) for folder in folders)}", soft_wrap=True)
    if options.json is not None:
        document = {"command": command, "records": records, "summary": summary.plain()}
        _write(options.json, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    if options.markdown is not None:
        _write(options.markdown, summary.markdown() + "\n")
    if options.show is not None:
        from vidssl.reporting.evaluation_pages import write_pages

        folder = Path(options.show) if options.show else folders[0] / PAGES_FOLDER
        pages = write_pages([(_network(subject), measured) for _, measured, subject in done], folder)
        console.print(f"Pages: {pages}", soft_wrap=True)


def _network(subject: Subject) -> MeasuredNetwork:
    """Return how pages name a network."""
    from vidssl.reporting.evaluation_pages import MeasuredNetwork

    run = "" if subject.is_untrained or subject.config.file is None else subject.config.file.parent.name
    return MeasuredNetwork(subject.name, subject.method, run, str(subject.loaded.provenance["file"]) if run else "")


def _print_summary(results: Sequence[Result], summary: Summary, console: Console) -> None:
    """Print one column per split for a single network, one column per method for several."""
    from vidssl.reporting.evaluation_tables import print_table

    splits = list(dict.fromkeys(result.split for result in results))
    one_network = len({result.subject for result in results}) == 1
    if not one_network:
        rows = [["/".join(row), *(summary.text(method, row) for method in summary.methods)] for row in summary.rows]
        print_table(summary.headings(), rows, console)
        return
    rows = []
    for cell in summary.cells:
        (subject,) = cell.by_run
        values = [cell.single(subject, split) for split in splits]
        rows.append([f"{cell.protocol}/{cell.metric}", *values, *([cell.text()] if len(splits) > 1 else [])])
    print_table([*splits, *(["mean ± deviation"] if len(splits) > 1 else [])], rows, console)


def _with_all_that_apply(
    named: list[Protocol], subjects: Sequence[Subject], options: argparse.Namespace
) -> list[Protocol]:
    if ALL_THAT_APPLY not in options.protocol:
        return named
    from vidssl.cli.evaluate.measuring import data_module
    from vidssl.cli.evaluate.tasks import WantedSplits, has_frames_enough, protocols_that_apply
    from vidssl.data.settings import EvaluationClips
    from vidssl.evaluation.protocols.named import PROTOCOLS, get_protocol

    wanted = WantedSplits(options.gallery_split, options.query_split, options.splits)
    catalog = data_module(subjects[0], options).catalog
    settings, clips = settings_of(options), [subject.config.clips or EvaluationClips() for subject in subjects]
    applying = [
        protocol
        for protocol in map(get_protocol, protocols_that_apply(PROTOCOLS.values(), catalog, wanted))
        if all(has_frames_enough(protocol, settings, of_subject) for of_subject in clips)
    ]
    return list({protocol.name: protocol for protocol in [*named, *applying]}.values())


def _refuse_training(protocol: Protocol, options: argparse.Namespace) -> None:
    if protocol.config is None:
        return
    words = ["vidssl", "fit", "--config", protocol.config, *protocol.config_flags]
    for key, values in (
        ("--model.backbone.weights", options.checkpoint),
        ("--data.catalog", [options.data]),
        ("--data.root", [options.root]),
    ):
        words += [word for value in values[:1] if value is not None for word in (key, str(value))]
    raise VidsslError(
        f"{protocol.name} trains the network itself, which is a run of its own. Its records are as these; type\n"
        f"  {shlex.join(words)}"
    )


def _prepare_torch() -> None:
    """Set torch up as ``vidssl fit`` does, or its own evaluation would give other last digits."""
    import logging
    import warnings

    import pytorch_lightning  # noqa: F401  (sets the levels of its loggers when it is imported)
    import torch

    torch.set_float32_matmul_precision("high")
    for needless in NEEDLESS_WARNINGS:
        warnings.filterwarnings("ignore", message=needless)
    for library in ("pytorch_lightning", "lightning_fabric"):  # hardware listings and product tips
        logging.getLogger(library).setLevel(logging.WARNING)


def _write(file: Path, text: str) -> None:
    from vidssl.storage.files import replacing

    try:
        with replacing(file) as passing:
            passing.write_text(text, encoding="utf-8")
    except OSError as error:
        raise VidsslError(f"Cannot write {file}: {error.strerror}.") from error
