"""Packs a share of the units, and assembles the catalog when all units are complete."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog
from vidssl.catalogs.file_state import UNKNOWN, content_of
from vidssl.catalogs.packing.job import PackJob
from vidssl.catalogs.packing.units import Outcome, finish_unit, kept_outcome, read_index
from vidssl.errors import VidsslError
from vidssl.jobs.shards import ShardWriter, check_about
from vidssl.jobs.shares import Share
from vidssl.jobs.video_processes import Processes, over_videos
from vidssl.storage.container import cannot_write
from vidssl.storage.locks import Held, hold
from vidssl.video.decoders.diagnosis import check_file
from vidssl.video.decoders.reader import DecodingError
from vidssl.video.encoding import PRESETS, Look, pack

Watch = Callable[[int, int], None]
"""Called with the number of videos of the share done so far, and the number of bad ones among them."""
WriteBeside = Callable[[Catalog], None]
"""Called with the catalog of the packed videos, before it is where users look: writes what was kept beside them."""


@dataclass(frozen=True)
class PackVideo:
    """Packs one video, in a process of its own.

    Attributes:
        catalog: the videos.
        preset_name: how.
    """

    catalog: Catalog
    preset_name: str

    def __call__(self, row: str) -> Outcome:
        """Return the video of a row, written in digits, with its entries in the catalog.

        Raises:
            DecodingError: it cannot be read or encoded, has changed, or has other frames than were counted.
        """
        return self.looked_at(int(row), None)

    def looked_at(self, row: int, look: Look | None) -> Outcome:
        """Return the video of a row, as `vidssl.video.encoding.pack` packs it."""
        video = self.catalog[row]
        place = self.catalog.unchanged(video)
        check_file(place)
        packed = pack(place, PRESETS[self.preset_name], video.fps, look)
        if packed.num_frames != video.num_frames:
            counted = f"the catalog counts {video.num_frames} frames, of which {packed.num_frames} decode now"
            raise DecodingError(place, f"{counted}; prepare it again with decoder 'pyav'")
        size = len(packed.contents)
        content = content_of(io.BytesIO(packed.contents), size)
        facts = {"width": packed.width, "height": packed.height, "num_bytes": size, "content": content}
        return Outcome(facts, packed.contents)


def pack_share(
    job: PackJob,
    share: Share,
    processes: Processes,
    *,
    watch: Watch = lambda done, bad: None,
    work: Callable[[str], Outcome] | None = None,
) -> None:
    """Pack the videos of a share of the units, all that is not done yet.

    Killed at any moment, it goes on where it stopped when it is called again, also with other shares.

    Args:
        job: what is to be packed.
        share: which units are this process's.
        processes: how many processes work on them.
        watch: called before the first video and after every one.
        work: takes the place of `PackVideo`.

    Raises:
        VidsslError: the folder cannot be written, is being written by another process, or belongs to another job.
    """
    work = work or PackVideo(job.catalog, job.preset_name)
    with _Share(job, watch) as units:
        watch(0, 0)
        for row, outcome in over_videos(units.missing_rows(share), work, processes):
            units.add(int(row), outcome)


@dataclass
class _Share:
    """The units that are being worked on: each open from its first missing video to its last."""

    job: PackJob
    watch: Watch
    done: int = 0
    bad: int = 0
    _writers: dict[int, ShardWriter] = field(default_factory=dict)
    _missing: dict[int, set[int]] = field(default_factory=dict)

    def __enter__(self) -> _Share:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def missing_rows(self, share: Share) -> Iterator[str]:
        """Yield the rows that are not done, opening one unit after another."""
        for unit in share.rows(self.job.num_units):
            rows = self.job.rows(unit)
            if self.job.index(unit).exists():
                check_about(self.job.index(unit), self.job.about)
                self._note(len(rows), 0)
                continue
            writer = ShardWriter(self.job.records(unit), self.job.about)
            missing = [row for row in rows if row not in writer.rows]
            self._writers[unit], self._missing[unit] = writer, set(missing)
            self._note(len(rows) - len(missing), 0)
            if not missing:
                self._finish(unit)
            yield from map(str, missing)

    def add(self, row: int, outcome: Outcome | str) -> None:
        """Keep what came of a video, and finish its unit with the last one."""
        unit = self.job.unit_of(row)
        self._writers[unit].add(row, *kept_outcome(self.job, row, outcome))
        self._missing[unit].discard(row)
        self._note(1, isinstance(outcome, str))
        if not self._missing[unit]:
            self._finish(unit)

    def _finish(self, unit: int) -> None:
        finish_unit(self.job, unit)
        del self._missing[unit]
        self._writers.pop(unit).close()
        self.job.records(unit).unlink(missing_ok=True)

    def _note(self, done: int, bad: int) -> None:
        self.done, self.bad = self.done + done, self.bad + bad
        self.watch(self.done, self.bad)


# --- the catalog


def finish(job: PackJob, write_beside: WriteBeside | None = None) -> int:
    """Write the catalog once every unit is complete, and delete files that are no longer needed.

    It depends on nothing but the job and the videos: not on the shares, nor on the order of the answers.

    Args:
        job: what was packed.
        write_beside: writes what the job kept beside the videos (`vidssl.catalogs.packing.units.read_beside`).

    Returns:
        how many units are not complete; with any, nothing was written.

    Raises:
        VidsslError: no video could be packed, an index is damaged, or the catalog cannot be written.
    """
    missing = sum(not job.index(unit).exists() for unit in range(job.num_units))
    if missing:
        return 0 if job.catalog_file.exists() else missing
    try:
        held = hold(job.folder / "finishing.claim")
    except FileNotFoundError:  # another process has written it, and deleted the folder
        return 0
    except OSError as error:
        raise cannot_write(job.folder, error) from error
    if not isinstance(held, Held):  # another process is writing the catalog
        return 0
    try:
        _write_catalog(job, write_beside)
    finally:
        held.release()
    return 0


def _write_catalog(job: PackJob, write_beside: WriteBeside | None) -> None:
    catalog = job.catalog
    rows: list[VideoRow] = []
    number_of: dict[int, int] = {}  # in the new catalog, by the row in the old one
    bad = list(catalog.bad)
    for unit in range(job.num_units):
        for row, info in read_index(job, unit):
            if "reason" in info:
                bad.append((catalog.path(row), info["reason"]))
                continue
            number_of[row] = len(rows)
            rows.append(_packed_row(job, row, info))
    if not rows:
        _delete(job.folder)  # the next attempt should not believe these answers
        raise VidsslError(
            f"None of the {len(catalog):,} videos of {catalog.file} could be packed; the first, {bad[-1][0]}: "
            f"{bad[-1][1]}. Is the videos' folder right? It is {catalog.root}."
        )
    splits = {
        name: [number_of[row] for row in catalog.split(name).tolist() if row in number_of]
        for name in catalog.split_names
    }
    packed = {"preset": job.preset_name, "encoding": job.about["encoding"], "source_digest": catalog.digest}
    write = partial(
        write_catalog,
        rows=rows,
        classes=catalog.classes,
        group_names=catalog.group_names,
        splits=splits,
        root=".",
        source={**catalog.source, "packed": packed},
        bad=bad,
    )
    if write_beside is not None:
        passing = job.folder / job.catalog_file.name
        write(passing)
        write_beside(Catalog.open(passing))
    write(job.catalog_file)  # last: where it is, everything is
    _delete(job.folder)


def _packed_row(job: PackJob, row: int, info: dict[str, Any]) -> VideoRow:
    source = job.catalog[row]
    identity = source.content if source.source_content == UNKNOWN else source.source_content
    identity = UNKNOWN if identity == info["content"] else identity  # a copy tells by itself
    moved = replace(source, path=job.paths[row], shard="", offset=UNKNOWN, source_content=identity)
    return replace(moved, **info)


def _delete(folder: Path) -> None:
    # a network disk keeps files that another process still has open; what remains is harmless
    shutil.rmtree(folder, ignore_errors=True)
