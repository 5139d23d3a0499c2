"""The verb ``vidssl pack``: encodes videos for fast reading, or copies them, into tar shards or a folder."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.packing.job import PackJob
from vidssl.catalogs.packing.working import PackVideo, finish, pack_share
from vidssl.catalogs.summary import summarise
from vidssl.cli import VerbParser
from vidssl.cli.motion import motion_settings, training_command
from vidssl.cli.motion import summarise as summarise_motion
from vidssl.cli.prepare.next_steps import next_command
from vidssl.errors import VidsslError
from vidssl.jobs.disk import free_bytes, size_text
from vidssl.jobs.flags import add_flags, processes_of, share_of
from vidssl.jobs.progress import duration_text, run_with_progress
from vidssl.jobs.shares import Share
from vidssl.jobs.signals import INTERRUPTED
from vidssl.jobs.video_processes import Processes
from vidssl.motion.packing import (
    PackWithMotion,
    motion_beside,
    motion_bytes,
    motion_core_seconds,
    motion_writer,
    store_of,
)
from vidssl.motion.settings import MotionSettings
from vidssl.motion.store import MotionStore
from vidssl.video.encoding import PRESETS

DEFAULT_PRESET = "fast"
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}

_ABOUT = """Pack the videos of a catalog so that loading them is cheap, with a catalog of the packed videos. They are
encoded with a key frame every 20 frames, or copied as they are, into tar shards or into a folder. Labels, splits and
the identity of videos are kept; frame n of a packed video is frame n of its source."""

_EPILOG = """presets
{presets}
  Sound is removed, except with keep. Videos smaller than a preset's size are not enlarged.

examples
  vidssl pack --catalog data/kinetics400.catalog --output data/kinetics400_fast --preset fast
  vidssl pack --catalog data/kinetics400.catalog --output data/kinetics400_shards --shards 1GB
  vidssl pack --catalog data/kinetics400.catalog --output data/k400 --motion --config configs/mcl_kinetics400.yaml
  vidssl fit --config configs/cvrl_kinetics400.yaml --data.catalog data/kinetics400_fast/kinetics400.catalog

what is written
  OUTPUT holds the videos, or shard-000000.tar, ... in the layout of WebDataset (KEY.mp4, KEY.json), and a catalog of
  the same name as the given one. They can be moved together. A video that cannot be packed is listed with its reason.
  With --motion, OUTPUT also holds NAME.motion: the motion of the packed videos, as vidssl motion computes it from their
  catalog, by data.motion.settings of --config FILE and of flags such as --data.motion.settings.stride 4.

interrupted or killed
  The same command continues where it stopped. A video that crashes or hangs does not affect the others.

several machines, one disk
  srun --ntasks 64 --cpus-per-task 8 vidssl pack --catalog ... --output ... --shards 1GB
  vidssl pack ... --share 0/8        by hand, or from a job array: --share $SLURM_ARRAY_TASK_ID/8
  Every process packs its share of the shards. The last one to end writes the catalog."""


def _parser() -> argparse.ArgumentParser:
    presets = "\n".join(f"  {name:<7}{preset.summary}" for name, preset in PRESETS.items())
    parser = VerbParser(
        prog="vidssl pack",
        description=_ABOUT,
        epilog=_EPILOG.format(presets=presets),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--catalog", required=True, type=Path, metavar="FILE", help="a catalog that vidssl prepare wrote")
    add("--root", metavar="DIR", help="folder of its videos, or a URL (the recorded one)")
    add("--output", required=True, type=Path, metavar="DIR", help="folder to write: new, empty, or of the same command")
    add("--preset", choices=PRESETS, default=DEFAULT_PRESET, help="how to encode (default: %(default)s)")
    add(
        "--shards",
        metavar="SIZE",
        help="write tar shards of about this size, such as 1GB (default: one file per video)",
    )
    add("--motion", action="store_true", help="compute the motion of the packed videos too, from the same decoding")
    add("-c", "--config", action="append", default=[], metavar="FILE", help="of a training, for --motion: its settings")
    add_flags(add)
    return parser


def run_pack(args: Sequence[str]) -> int:
    """Run ``vidssl pack``; return the exit code.

    Raises:
        VidsslError: with what the user should know and do.
    """
    parser = _parser()
    options, rest = parser.parse_known_args(args)
    if not options.motion and (rest or options.config):
        parser.error(f"unrecognized arguments: {rest[0]}" if rest else "--config is for --motion")
    data = _data(options, rest) if options.motion else None
    motion = None if data is None else motion_settings(data)
    job = _job(options, motion)
    if job.catalog_file.exists():
        return _check_there(job, motion)
    _check_output(job)
    share = share_of(options)
    processes = processes_of(options)
    print(_announcement(job, share, processes, motion), flush=True)
    _check_disk(job, motion)
    work = None if motion is None else PackWithMotion(PackVideo(job.catalog, job.preset_name), motion, job.folder)
    went_through = run_with_progress(
        lambda watch: pack_share(job, share, processes, watch=watch, work=work),
        job.num_videos(share),
        doing="packing",
        done="packed",
        finished="packed",
    )
    if not went_through:
        return INTERRUPTED
    return _finish(job, share, motion, _next_command(options, rest, data, job))


def _data(options: argparse.Namespace, rest: Sequence[str]) -> Any:
    from vidssl.cli.data_group import parse_data  # imports torch, which packing alone does not need

    configs = [word for file in options.config for word in ("--config", file)]
    return parse_data("pack", [*configs, "--data.catalog", str(options.catalog), *rest]).data


def _job(options: argparse.Namespace, motion: MotionSettings | None) -> PackJob:
    catalog = Catalog.open(options.catalog, root=options.root)
    if not catalog.root.is_dir():
        raise VidsslError(f"There is no folder {catalog.root} with the videos; say with --root where they are.")
    shard_bytes = None if options.shards is None else parse_size(options.shards)
    beside = None if motion is None else motion_beside(motion)
    return PackJob(catalog, options.output, options.preset, shard_bytes, beside)


def parse_size(text: str) -> int:
    """Read a number of bytes, such as ``500MB`` or ``1.5 GB``.

    Raises:
        VidsslError: the text is not of that form.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", text.strip().lower())
    if not found:
        raise VidsslError(f"--shards is a size, such as 500MB or 1GB; got {text!r}.")
    return round(float(found[1]) * _UNITS[found[2]])


def _check_output(job: PackJob) -> None:
    """Check that the folder holds only files of the same work.

    Raises:
        VidsslError: something is.
    """
    if job.output.is_dir() and not job.folder.is_dir() and any(job.output.iterdir()):
        raise VidsslError(f"{job.output} is not empty, and what is in there is not overwritten; name another --output.")


def _announcement(job: PackJob, share: Share, processes: Processes, motion: MotionSettings | None) -> str:
    catalog, preset = job.catalog, job.preset
    into = f"{job.num_units:,} tar shards" if job.shard_bytes else "a file each"
    hours = job.core_seconds / 3600
    seconds = job.core_seconds / processes.num_workers / share.count
    lines = [
        f"{len(catalog):,} videos, {size_text(int(catalog.num_bytes.sum()))}, by preset {job.preset_name}: "
        f"{preset.summary}; into {into}",
        f"  disk       about {size_text(job.num_bytes)}, {size_text(job.missing_bytes)} still to be written; "
        f"{size_text(free_bytes(job.output / '_'))} free",
        f"  time       about {hours:,.1f} core-hours, {duration_text(seconds)} with {processes.num_workers} processes"
        f"{f' in each of {share.count} shares' if share.count > 1 else ''}",
        f"  processes  {processes.num_workers}, at most {processes.timeout_seconds:g} s per video",
    ]
    if motion is not None:
        size, more_seconds = size_text(motion_bytes(job.catalog, motion)), motion_core_seconds(job.catalog, motion)
        time_text = "an unknown time" if more_seconds is None else f"about {more_seconds / 3600:,.1f} core-hours"
        lines.append(f"  motion     by {motion.estimator}: {size} and {time_text} more")
    if share.count > 1:
        lines.append(f"  share      {share}, {job.num_videos(share):,} videos ({share.origin})")
    if job.folder.is_dir():
        lines.append(f"  continuing from {job.folder}")
    return "\n".join(lines)


def _check_disk(job: PackJob, motion: MotionSettings | None) -> None:
    """Compare what will be written with what is free.

    Raises:
        VidsslError: it does not fit.
    """
    needed, free = job.missing_bytes, free_bytes(job.output / "_")
    if motion is not None:
        needed += 2 * motion_bytes(job.catalog, motion)  # beside the videos, and in the file made of that
    if needed > free:
        raise VidsslError(
            f"The packed videos will not fit into {job.output}: about {size_text(needed)} will be written, and "
            f"{size_text(free)} are free there. Choose another --output, make room, or take --preset small."
        )


def _check_there(job: PackJob, motion: MotionSettings | None) -> int:
    """Accept a catalog that is there already if it is what was asked for."""
    there = Catalog.open(job.catalog_file)
    packed = there.source.get("packed", {})
    if (packed.get("source_digest"), packed.get("preset")) != (job.catalog.digest, job.preset_name):
        raise VidsslError(
            f"{job.catalog_file} already exists, for another catalog or preset; choose another --output, or delete "
            f"{job.output}."
        )
    if motion is not None and not store_of(job).exists():
        raise VidsslError(
            f"{job.catalog_file} already exists, packed without motion. Compute it with `vidssl motion --data.catalog "
            f"{job.catalog_file} --output {store_of(job)}`."
        )
    print(f"{job.catalog_file} already exists; nothing to do.")
    print(summarise(there))
    if motion is not None:
        print(summarise_motion(MotionStore.open(store_of(job), there, motion), there))
    return 0


def _next_command(
    options: argparse.Namespace, rest: Sequence[str], data: Any, job: PackJob
) -> Callable[[Catalog], str]:
    """Return what makes the command that trains on the packed catalog."""
    if data is None:
        return lambda catalog: next_command(catalog, job.catalog_file)
    configs = [word for file in options.config for word in ("--config", file)]
    root = ["--data.root", "null"] if data.root else []  # that of the sources
    words = [*configs, *rest, "--data.catalog", str(job.catalog_file), *root]
    return lambda catalog: training_command(words, store_of(job))


def _finish(job: PackJob, share: Share, motion: MotionSettings | None, following: Callable[[Catalog], str]) -> int:
    """Write the catalog if all is packed, and tell."""
    missing = finish(job, None if motion is None else motion_writer(job, motion))
    if missing:
        words = f"{missing:,} of {job.num_units:,} parts are not complete yet"
        if share.count > 1:
            print(f"Share {share} is done; {words}. The last share to end writes the catalog.")
            return 0
        raise VidsslError(f"{words}. Start the shares that ended early again; each goes on where it stopped.")
    if not job.catalog_file.exists():
        print("Another process writes the catalog.")
        return 0
    catalog = Catalog.open(job.catalog_file)
    print(summarise(catalog))
    size, source = int(catalog.num_bytes.sum()), int(job.catalog.num_bytes.sum())
    print(f"  {'bytes':<10} {size_text(size)}, {size / source:.2f} of the sources'")
    if motion is not None:
        print(summarise_motion(MotionStore.open(store_of(job), catalog, motion), catalog))
    print(f"\nNext: {following(catalog)}")
    return 0
