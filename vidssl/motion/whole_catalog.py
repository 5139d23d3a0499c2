"""The motion of all videos of a catalog: computed by many processes and machines, and assembled in one file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np

from vidssl.catalogs.catalog import Catalog
from vidssl.errors import VidsslError
from vidssl.jobs.shards import SUFFIX, Record, ShardWriter, check_about, is_sound, read_records
from vidssl.jobs.shares import Share
from vidssl.jobs.video_processes import Processes, over_videos
from vidssl.motion.maps import VideoMotion
from vidssl.motion.quantisation import quantisation, quantise
from vidssl.motion.settings import MotionSettings
from vidssl.motion.store import StoredVideo, bytes_per_map, num_maps, write_store
from vidssl.storage.container import cannot_write
from vidssl.storage.locks import Held, hold

Watch = Callable[[int, int], None]
"""Called with the number of videos of the share done so far, and the number of bad ones among them."""
Extract = Callable[[str, MotionSettings], VideoMotion]
"""Computes the motion of the video at a path."""


@dataclass(frozen=True)
class MotionJob:
    """What is to be computed.

    Attributes:
        catalog: the videos.
        settings: how their motion is computed.
        output: the file to write.
        dtype: how maps are kept, ``uint8`` or ``float16``.

    Raises:
        UnknownNameError: an unknown `dtype`.
    """

    catalog: Catalog
    settings: MotionSettings
    output: Path
    dtype: str = "uint8"

    def __post_init__(self) -> None:
        quantisation(self.dtype)

    @property
    def folder(self) -> Path:
        """Where the shards are until the file is complete."""
        return self.output.with_name(f"{self.output.name}.shards")

    @property
    def about(self) -> dict[str, Any]:
        """What its shards must be for."""
        return {
            "catalog": self.catalog.digest,
            "estimator": self.settings.estimator,
            "settings": self.settings.digest,
            "dtype": self.dtype,
        }

    @cached_property
    def num_maps(self) -> int:
        """Maps of all videos."""
        return int(np.sum(num_maps(self.catalog.num_frames.astype(np.int64), self.settings.stride)))

    @property
    def num_bytes(self) -> int:
        """Bytes of the file, up to its header."""
        return self.num_maps * bytes_per_map(self.settings, self.dtype)

    @property
    def missing_bytes(self) -> int:
        """Bytes that will still be written: shards, and the file made of them, before the shards are deleted."""
        written = sum(file.stat().st_size for file in shard_files(self.folder))
        return max(0, self.num_bytes - written) + self.num_bytes


def shard_files(folder: Path, but_of: int = 0) -> list[Path]:
    """Return the shards in a folder, without those of work that was divided into `but_of` shares."""
    return [file for file in sorted(folder.glob(f"*{SUFFIX}")) if not file.name.endswith(f"-of-{but_of}{SUFFIX}")]


def compute_share(
    job: MotionJob,
    share: Share,
    processes: Processes,
    *,
    watch: Watch = lambda done, bad: None,
    extract: Extract | None = None,
) -> None:
    """Compute the motion of a share of the videos, all that is not in a shard yet, and keep it in a shard.

    Killed at any moment, it goes on where it stopped when it is called again, also with other shares.

    Args:
        job: what is to be computed.
        share: which videos are this process's.
        processes: how many processes work on them.
        watch: called before the first video and after every one.
        extract: takes the place of `vidssl.motion.extract.video_motion`.

    Raises:
        VidsslError: the shard cannot be written or belongs to another job, or no video can be worked on at all (a
            missing package).
    """
    work = partial(encode_video, settings=job.settings, dtype=job.dtype, extract=extract)
    with ShardWriter(job.folder / f"share-{share.number}-of-{share.count}{SUFFIX}", job.about) as shard:
        # a shard of another share of the same division has none of these rows
        done_rows = shard.rows | _rows_in(shard_files(job.folder, but_of=share.count), job.about)
        rows = share.rows(len(job.catalog))
        row_of = {job.catalog.place(row): row for row in rows if row not in done_rows}
        done, bad = len(rows) - len(row_of), 0
        watch(done, bad)
        for path, outcome in over_videos(row_of, work, processes):
            record = _checked(outcome, int(job.catalog.num_frames[row_of[path]]))
            shard.add(row_of[path], *record)
            done, bad = done + 1, bad + ("reason" in record[0])
            watch(done, bad)


def _checked(outcome: tuple[dict[str, Any], bytes] | str, num_frames: int) -> tuple[dict[str, Any], bytes]:
    """Return the stored form of an outcome, with a reason if the video has no motion or is not the listed one."""
    if isinstance(outcome, str):
        return {"reason": outcome}, b""
    found = outcome[0]["num_frames"]
    if found != num_frames:
        return {"reason": f"its motion is that of {found} frames, the catalog counts {num_frames}"}, b""
    return outcome


def encode_video(
    path: str, settings: MotionSettings, dtype: str, extract: Extract | None = None
) -> tuple[dict[str, Any], bytes]:
    """Compute the motion of a video and return what a shard keeps of it: plain values, and scales and maps as bytes.

    Raises:
        DecodingError: the video cannot be read.
    """
    from vidssl.motion.extract import motion_and_estimator

    cv2.setNumThreads(1)  # the processes are the parallelism
    if extract is None:
        motion, estimator = motion_and_estimator(path, settings)
    else:
        motion, estimator = extract(path, settings), settings.estimator
    shares, scales = quantise(motion.maps, dtype)
    info = {"num_frames": motion.num_frames, "num_maps": len(scales), "estimator": estimator}
    return info, scales.tobytes() + shares.tobytes()


def _rows_in(files: list[Path], about: Mapping[str, Any]) -> set[int]:
    rows: set[int] = set()
    for file in files:
        check_about(file, about)
        with file.open("rb") as shard:
            rows |= {record.row for record in read_records(shard, verify=True) if record.is_sound}
    return rows


# --- putting shards together


@dataclass(frozen=True)
class MergeOutcome:
    """How far the videos have got.

    Attributes:
        num_missing: videos that no shard holds; with any, nothing was merged.
        merged_elsewhere: another process is merging them, or has done so.
    """

    num_missing: int = 0
    merged_elsewhere: bool = False


def merge(job: MotionJob) -> MergeOutcome:
    """Put all shards together in the file of the job and delete them, once every video is in one.

    The file depends on nothing but the job and the videos: not on the shares, nor on the order of the answers.

    Raises:
        VidsslError: a shard was damaged or belongs to another job, no video has motion, or the file cannot be written.
    """
    try:
        # counted before the claim: else the last of two shares that end at once finds the first one counting, and goes
        missing = len(job.catalog) - len(_recorded(job)) if job.folder.is_dir() else 0
        if missing:
            return MergeOutcome(missing)
        held = hold(job.folder / "merging.claim")
    except FileNotFoundError:
        return MergeOutcome(0, True) if job.output.exists() else MergeOutcome(len(job.catalog))
    except OSError as error:
        raise cannot_write(job.folder, error) from error
    if not isinstance(held, Held):
        return MergeOutcome(merged_elsewhere=True)
    try:
        return _merge(job)
    finally:
        held.release()


def _recorded(job: MotionJob) -> set[int]:
    rows: set[int] = set()
    for file in shard_files(job.folder):
        with file.open("rb") as shard:
            rows |= {record.row for record in read_records(shard, verify=False) if record.row >= 0}
    return rows


def _merge(job: MotionJob) -> MergeOutcome:
    with ExitStack() as stack:
        found: dict[int, tuple[BinaryIO, Record]] = {}
        for file in shard_files(job.folder):
            check_about(file, job.about)
            shard = stack.enter_context(file.open("rb"))
            # of two records the later one: the first was found damaged
            found |= {record.row: (shard, record) for record in read_records(shard, verify=False) if record.row >= 0}
        missing = len(job.catalog) - len(found)
        if missing:
            return MergeOutcome(missing)
        ordered = [found[row] for row in range(len(job.catalog))]
        videos = [_stored_video(shard, record) for shard, record in ordered]
        if all(video.reason is not None for video in videos):
            _delete(job.folder)  # the next attempt should not believe these answers
            raise VidsslError(
                f"None of the {len(videos):,} videos of {job.catalog.file} has motion; the first, "
                f"{job.catalog.path(0)}: {videos[0].reason}. Is data.root right? It is {job.catalog.root}."
            )
        write_store(
            job.output, videos, _shares(ordered, job), catalog=job.catalog, settings=job.settings, dtype=job.dtype
        )
    _delete(job.folder)
    return MergeOutcome()


def _stored_video(shard: BinaryIO, record: Record) -> StoredVideo:
    if "reason" in record.info:
        return StoredVideo(0, "", np.empty(0, np.float32), record.info["reason"])
    shard.seek(record.start)
    scales = np.frombuffer(shard.read(4 * record.info["num_maps"]), "<f4")
    return StoredVideo(record.info["num_frames"], record.info["estimator"], scales)


def _shares(ordered: list[tuple[BinaryIO, Record]], job: MotionJob) -> Iterator[np.ndarray]:
    dtype = quantisation(job.dtype).dtype
    for shard, record in ordered:
        if not is_sound(shard, record):
            raise VidsslError(
                f"A record in {shard.name} was damaged on the disk; start the same command again, it computes what is "
                "missing."
            )
        if "reason" not in record.info:
            yield np.frombuffer(record.contents(shard), dtype, offset=4 * record.info["num_maps"])


def _delete(folder: Path) -> None:
    # a network disk keeps files that another process still has open; what remains is harmless
    shutil.rmtree(folder, ignore_errors=True)
