"""What is kept of a unit while it is packed, and what it becomes: a tar shard, or files of a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from vidssl.catalogs.packing.job import PackJob
from vidssl.catalogs.packing.tar_files import count_samples, write_tar
from vidssl.errors import VidsslError
from vidssl.jobs.shards import ABOUT_ROW, MOST_BYTES, Record, check_about, pack_record, read_records
from vidssl.storage.container import cannot_write, write_atomically


class Beside(NamedTuple):
    """What was computed of a video beside packing it.

    Attributes:
        info: plain values.
        contents: bytes.
    """

    info: dict[str, Any]
    contents: bytes = b""


class Outcome(NamedTuple):
    """What came of a video.

    Attributes:
        info: the entries of its row in the catalog.
        contents: the packed video.
        beside: where the job asks for something.
    """

    info: dict[str, Any]
    contents: bytes
    beside: Beside | None = None


# Entries of a record: what is kept beside the video, and how many bytes that are, the last ones of the record.
_BESIDE, _BESIDE_BYTES = "beside", "beside_bytes"


def kept_outcome(job: PackJob, row: int, outcome: Outcome | str) -> tuple[dict[str, Any], bytes]:
    """Return what the record of a video holds; in a folder its file is written now.

    Raises:
        VidsslError: the file cannot be written.
    """
    if isinstance(outcome, str):
        return {"reason": outcome}, b""
    info, contents, beside = outcome
    more, kept = {}, b""
    if beside is not None:
        more, kept = {_BESIDE: beside.info, _BESIDE_BYTES: len(beside.contents)}, beside.contents
    if job.shard_bytes is not None:
        too_large = f"{len(contents):,} bytes are too many for a shard; pack into a folder, or with another preset"
        is_small = len(contents) + len(kept) <= MOST_BYTES
        return ({**info, **more}, contents + kept) if is_small else ({"reason": too_large}, b"")
    file = job.output / job.paths[row]
    write_atomically(file, contents)
    return {**info, **more, "changed_ns": file.stat().st_mtime_ns}, kept


def finish_unit(job: PackJob, unit: int) -> None:
    """Write the shard of a unit of which every video has a record, and its index.

    Raises:
        VidsslError: a record was damaged on the disk, or the shard cannot be written or does not hold every sample.
    """
    with job.records(unit).open("rb") as file:
        found = {record.row: record for record in read_records(file, verify=True) if record.is_sound}
        damaged = [row for row in job.rows(unit) if row not in found]
        if damaged:
            raise VidsslError(
                f"{len(damaged)} records in {file.name} were damaged on the disk; start the same command again, it "
                "packs what is missing."
            )
        records = [found[row] for row in job.rows(unit)]
        infos = {record.row: record.info for record in records}
        if job.shard_bytes is not None:
            infos |= _write_shard(job, unit, file, [record for record in records if "reason" not in record.info])
        lines = [pack_record(ABOUT_ROW, job.about)]
        lines += [pack_record(record.row, infos[record.row], _kept_beside(record, file)) for record in records]
    write_atomically(job.index(unit), b"".join(lines))


def _kept_beside(record: Record, file: BinaryIO) -> bytes:
    num_bytes = record.info.get(_BESIDE_BYTES, 0)
    return record.contents(file)[-num_bytes:] if num_bytes else b""


def _video(record: Record, file: BinaryIO) -> bytes:
    return record.contents(file)[: record.num_bytes - record.info.get(_BESIDE_BYTES, 0)]


def read_index(job: PackJob, unit: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each row of a complete unit with its entry in the catalog, or with the reason why it is left out.

    Raises:
        VidsslError: the index is damaged, or is that of another job.
    """
    for row, record, _ in _index(job, unit):
        yield row, {key: value for key, value in record.info.items() if key not in (_BESIDE, _BESIDE_BYTES)}


def read_beside(job: PackJob) -> Iterator[Beside]:
    """Yield what was kept beside each video that was packed, in the order of the catalog of the packed videos.

    Raises:
        VidsslError: an index is damaged, or is that of another job.
    """
    for unit in range(job.num_units):
        for _, record, file in _index(job, unit):
            if "reason" not in record.info:
                yield Beside(record.info[_BESIDE], record.contents(file))


def _index(job: PackJob, unit: int) -> Iterator[tuple[int, Record, BinaryIO]]:
    check_about(job.index(unit), job.about)
    with job.index(unit).open("rb") as file:
        found = {record.row: record for record in read_records(file, verify=True) if record.is_sound}
        if found.keys() - {ABOUT_ROW} != set(job.rows(unit)):
            raise VidsslError(f"{job.index(unit)} is damaged. Delete it, and start the same command again.")
        yield from ((row, found[row], file) for row in job.rows(unit))


def _write_shard(job: PackJob, unit: int, file: BinaryIO, records: list[Record]) -> dict[int, dict[str, Any]]:
    """Write the tar shard of a unit; return what the catalog will say of each video."""
    if not records:
        return {}
    shard = job.output / job.shard_name(unit)
    try:
        starts = write_tar(shard, _members(job, file, records))
        if (counted := count_samples(shard)) != len(records):
            raise VidsslError(f"{shard} holds {counted} samples instead of {len(records)}; this should not happen.")
        placed = {"shard": shard.name, "changed_ns": shard.stat().st_mtime_ns}
    except OSError as error:
        raise cannot_write(shard, error) from error
    return {
        record.row: {**record.info, **placed, "offset": start}
        for record, start in zip(records, starts[::2], strict=True)  # each video is followed by its JSON
    }


def _members(job: PackJob, file: BinaryIO, records: list[Record]) -> Iterator[tuple[str, bytes]]:
    for record in records:
        key = job.keys[record.row]
        yield key + job.suffix(record.row), _video(record, file)
        yield f"{key}.json", json.dumps(_description(job, record), sort_keys=True).encode("ascii")


def _description(job: PackJob, record: Record) -> dict[str, Any]:
    """Return what the JSON beside a video says, for readers of shards without the catalog."""
    catalog, video = job.catalog, job.catalog[record.row]
    return {
        "path": video.name,
        "label": None if video.label < 0 else catalog.classes[video.label],
        "label_number": None if video.label < 0 else video.label,
        "group": None if video.group < 0 else catalog.group_names[video.group],
        "split": job.splits(record.row),
        "num_frames": video.num_frames,
        "fps": video.fps,
        "width": record.info["width"],
        "height": record.info["height"],
        "preset": job.preset_name,
    }
