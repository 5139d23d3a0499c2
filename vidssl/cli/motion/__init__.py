"""The verb ``vidssl motion``: computes the motion of a catalog once, for training to read."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidssl.catalogs.catalog import Catalog
from vidssl.cli import VerbParser
from vidssl.cli.motion.comparison import compare_estimators, settings_of_each
from vidssl.errors import VidsslError
from vidssl.jobs.disk import free_bytes, size_text
from vidssl.jobs.flags import add_flags, processes_of, share_of
from vidssl.jobs.progress import run_with_progress
from vidssl.jobs.shares import Share
from vidssl.jobs.signals import INTERRUPTED
from vidssl.jobs.video_processes import Processes
from vidssl.motion.quantisation import QUANTISATIONS
from vidssl.motion.settings import MotionSettings
from vidssl.motion.store import MotionStore
from vidssl.motion.whole_catalog import MotionJob, compute_share, merge, shard_files

# TV-L1 takes up to a second a frame, and a Kinetics video has 300: six times that.

_USAGE = """vidssl motion --config FILE [--config FILE ...] [--data.KEY VALUE ...] [options]

Compute the motion of every video of a catalog, and store it in one file for training with motion (MCL). FILE is the
configuration of the training; only its keys data.catalog, data.root and data.motion are used. Any key can be overridden
as in `vidssl fit`:

  vidssl motion --config mcl.yaml --output data/kinetics400.motion
  vidssl motion --config mcl.yaml --data.motion.settings.estimator dis --data.motion.settings.short_side 160
  vidssl motion --data.catalog data/my.catalog --output data/my.motion          without a configuration: defaults"""

_EPILOG = """keys below --data.motion.settings
{settings}

what is written
  A map of rows x columns bytes every `stride` frames: 28 x 28 every 8 frames are 30 kB for a video of 300 frames, 8 GB
  for Kinetics-400. While the file is being made, twice this space is needed. The command prints how much, and stops if
  the disk is too small. The file records its catalog and settings, and training refuses a file with others.

interrupted or killed
  The same command continues where it stopped. Until the file is complete, results are kept in OUTPUT.shards.
  A video that crashes, hangs or cannot be read does not affect the others; the file lists it with the reason.

several machines, one disk
  torchrun --no-python --nproc-per-node 4 --nnodes 2 ... vidssl motion --config mcl.yaml
  srun --ntasks 64 --cpus-per-task 8 vidssl motion --config mcl.yaml
  vidssl motion --config mcl.yaml --share 0/8        by hand, or from a job array: --share $SLURM_ARRAY_TASK_ID/8
  Every process computes its share of the videos. The last one to end assembles the file.

which estimator
  vidssl motion --config mcl.yaml --compare codec dis farneback --sample 40
  Reports, for a sample of videos, how far the estimators agree on where it moves (correlation of S-motion on 7 x 7
  cells), and what each of them costs. Nothing is written."""


def motion_parser() -> argparse.ArgumentParser:
    """Return the parser of the verb's own options; --help needs neither torch nor OpenCV."""
    parser = VerbParser(
        prog="vidssl motion",
        usage=_USAGE,
        epilog=_EPILOG.format(settings=_settings_help()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "-c",
        "--config",
        action="append",
        default=[],
        metavar="FILE",
        help="configuration of the training; later files override earlier ones",
    )
    add("--output", type=Path, metavar="FILE", help="file to write (default: data.motion.store)")
    add("--overwrite", action="store_true", help="replace an existing file")
    add("--dtype", default="uint8", metavar="NAME", help=f"type of the maps: {', '.join(QUANTISATIONS)} (%(default)s)")
    add_flags(add)
    add("--merge", action="store_true", help="only assemble the file from existing shards")
    add("--compare", nargs="+", metavar="NAME", help="compare flow estimators on a sample of the catalog instead")
    add("--sample", type=int, default=24, metavar="N", help="videos that --compare looks at (%(default)s)")
    return parser


def _settings_help() -> str:
    """The keys of the settings with what their docstring says and their defaults."""
    words = (inspect.getdoc(MotionSettings) or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    meanings = dict(re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", words, re.MULTILINE))
    lines = []
    for setting in dataclasses.fields(MotionSettings):
        value = getattr(MotionSettings(), setting.name)
        default = f"{value:.4g}" if isinstance(value, float) else value
        meaning = " ".join(meanings.get(setting.name, "").replace("``", "").split())
        lines += textwrap.wrap(
            f"{setting.name:<17} {meaning} [{default}]", 118, initial_indent="  ", subsequent_indent=" " * 20
        )
    return "\n".join(lines)


def run_motion(args: Sequence[str]) -> int:
    """Run ``vidssl motion``; return the exit code.

    Raises:
        VidsslError: with what the user should know and do.
    """
    options, given, data = _read_arguments(args)
    if options.compare:
        return _compare(data, options)
    job = _job(data, options)
    following = f"\nNext: {training_command(given, job.output)}"
    if job.output.exists() and not options.overwrite:
        return _check_there(job)
    if options.merge:
        return _finish(job, Share(), following, is_merge=True)
    share = share_of(options)
    processes = processes_of(options)
    print(_announcement(job, share, processes), flush=True)
    check_disk(job)
    went_through = run_with_progress(
        lambda watch: compute_share(job, share, processes, watch=watch),
        len(share.rows(len(job.catalog))),
        doing="computing motion",
        done="motion of",
        finished="computed",
    )
    if not went_through:
        return INTERRUPTED
    return _finish(job, share, following)


def _read_arguments(args: Sequence[str]) -> tuple[argparse.Namespace, list[str], Any]:
    """Return the verb's own options, the words that set keys of the configuration, and its data group."""
    options, rest = motion_parser().parse_known_args(args)
    from vidssl.cli.data_group import parse_data  # imports torch, which --help does not need

    configs = [word for file in options.config for word in ("--config", file)]
    given = [*configs, *rest]
    return options, given, parse_data("motion", given).data


def training_command(given: Sequence[str], store: Path) -> str:
    """Return the command that trains with stored motion.

    Args:
        given: words of the command line that set keys of the configuration.
        store: the file with the motion.
    """
    config = [] if "--config" in given else ["--config", "FILE"]
    return shlex.join(["vidssl", "fit", *config, *given, "--data.motion.store", str(store)])


def motion_settings(data: Any) -> MotionSettings:
    """Return `data.motion.settings` of a configuration, or the defaults."""
    motion = data.get("motion")
    return MotionSettings(**dict(vars(motion.settings))) if motion else MotionSettings()


def _catalog(data: Any) -> Catalog:
    catalog = Catalog.open(data.catalog, root=data.root)
    if not catalog.root.is_dir():
        raise VidsslError(f"data.root: there is no folder {catalog.root}; say where the catalog's videos are.")
    return catalog


def _compare(data: Any, options: argparse.Namespace) -> int:
    if options.sample < 1:
        raise VidsslError(f"--sample is a number of videos, at least 1, got {options.sample}.")
    settings = settings_of_each(options.compare, motion_settings(data))
    print(compare_estimators(_catalog(data), settings, options.sample, processes_of(options)))
    return 0


def _job(data: Any, options: argparse.Namespace) -> MotionJob:
    motion = data.get("motion")
    output = options.output or (Path(motion.store) if motion and motion.store else None)
    if output is None:
        raise VidsslError("Where to? Give --output FILE, or name the file in the configuration as data.motion.store.")
    return MotionJob(_catalog(data), motion_settings(data), output, options.dtype)


def _announcement(job: MotionJob, share: Share, processes: Processes) -> str:
    settings, num_frames = job.settings, int(job.catalog.num_frames.sum(dtype=np.int64))
    rows, columns = settings.grid
    fallback = f" (where it finds nothing: {settings.fallback})" if settings.estimator == "codec" else ""
    lines = [
        f"motion of {len(job.catalog):,} videos, {num_frames:,} frames, by {settings.estimator}{fallback}",
        f"  maps       {job.num_maps:,} of {rows} x {columns}, one every {settings.stride} frames, {job.dtype}",
        f"  disk       {size_text(job.num_bytes)} ({job.num_bytes / len(job.catalog) / 1e3:.1f} kB per video), "
        f"{size_text(job.missing_bytes)} while it is made; {size_text(free_bytes(job.output))} free",
        f"  processes  {processes.num_workers}, at most {processes.timeout_seconds:g} s per video",
    ]
    if share.count > 1:
        lines.append(f"  share      {share}, {len(share.rows(len(job.catalog))):,} videos ({share.origin})")
    if shard_files(job.folder):
        lines.append(f"  continuing from {job.folder}")
    return "\n".join(lines)


def check_disk(job: MotionJob) -> None:
    """Compare what will be written with what is free.

    Raises:
        VidsslError: it does not fit.
    """
    needed, free = job.missing_bytes, free_bytes(job.output)
    if needed > free:
        raise VidsslError(
            f"{job.output} will not fit: {size_text(needed)} will be written until it is complete "
            f"({size_text(job.num_bytes)} stay), and {size_text(free)} are free there. Choose another --output, make "
            "room, or keep less: a coarser data.motion.settings.grid, a larger data.motion.settings.stride"
            f"{', --dtype uint8' if job.dtype != 'uint8' else ''}."
        )


# --- the end


def _tell_finished(job: MotionJob, following: str) -> int:
    store = MotionStore.open(job.output, job.catalog, job.settings)
    print(summarise(store, job.catalog))
    print(following)
    return 0


def _check_there(job: MotionJob) -> int:
    """Accept a file that is there already if it is what was asked for."""
    try:
        store = MotionStore.open(job.output, job.catalog, job.settings)
    except VidsslError as error:
        raise VidsslError(f"{error} To replace the file, add --overwrite.") from error
    print(f"{job.output} already exists; nothing to do (--overwrite computes it again).")
    print(summarise(store, job.catalog))
    return 0


def _finish(job: MotionJob, share: Share, following: str, *, is_merge: bool = False) -> int:
    """Put the shards together if they are complete, and tell."""
    outcome = merge(job)
    if outcome.merged_elsewhere:
        print("Another process assembles the file.")
        return 0
    if not outcome.num_missing:
        return _tell_finished(job, following)
    missing = f"{outcome.num_missing:,} of {len(job.catalog):,} videos are not in a shard in {job.folder} yet"
    if share.count > 1 and not is_merge:
        print(f"Share {share} is done; {missing}. The last share to end assembles the file.")
        return 0
    raise VidsslError(f"{missing}. Start the shares that ended early again; each goes on where it stopped.")


def summarise(store: MotionStore, catalog: Catalog, num_listed: int = 5) -> str:
    """Return what a stored file holds, in a few lines."""
    packed = store.header.get("packed")  # files of version 0.1 do not have it
    counts = store.estimator_counts()
    words = ", ".join(f"{count:,} by {name}" for name, count in counts.items())
    lines = [
        f"{store.file}: {size_text(store.file.stat().st_size)}",
        f"  motion of  {sum(counts.values()):,} of {len(store):,} videos ({words})",
    ]
    estimator, fallback = (store.header["settings"][key] for key in ("estimator", "fallback"))
    if estimator != fallback and fallback in counts:
        lines.append(f"  fell back  {counts[fallback]:,} without motion vectors, to {fallback}")
    if packed:
        lines.append(f"  of videos  packed by preset {packed['preset']}, not of their sources")
    if still := store.num_still():
        lines.append(f"  still      {still:,} where nothing moves beyond noise; clips and crops are drawn anywhere")
    if store.bad:
        lines.append(f"  without    {len(store.bad):,}; training replaces them, as it does unreadable videos:")
        lines += [f"    {catalog.path(row)}: {reason}" for row, reason in store.bad[:num_listed]]
    if len(store.bad) > num_listed:
        lines.append(f"    ... and {len(store.bad) - num_listed:,} more (MotionStore.open(...).bad)")
    return "\n".join(lines)
