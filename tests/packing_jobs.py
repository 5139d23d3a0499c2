"""Packing the videos of a catalog, and what it leaves."""

import hashlib
from pathlib import Path

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.packing import working
from vidssl.catalogs.packing.job import PackJob
from vidssl.catalogs.packing.working import finish, pack_share
from vidssl.jobs.shares import Share
from vidssl.jobs.video_processes import Processes
from vidssl.video.decoding import DecodingError


def job_of(catalog, output, preset="keep", shard_bytes=None) -> PackJob:
    return PackJob(catalog, Path(output), preset, shard_bytes)


def work_here(monkeypatch):
    """Work in this process: starting others takes a second each."""

    def over_rows(rows, work, processes):
        for row in rows:
            try:
                yield row, work(row)
            except DecodingError as error:
                yield row, error.reason

    monkeypatch.setattr(working, "over_videos", over_rows)


def pack_all(job, share=None, write_beside=None, **changes) -> Catalog:
    pack_share(job, share or Share(), Processes(1, 60.0), **changes)
    assert finish(job, write_beside) == 0
    return Catalog.open(job.catalog_file)


def written(folder: Path) -> dict[str, str]:
    """What lies in a folder: a hash of each file, but of the catalog (which holds times) its digest."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): Catalog.open(path).digest
        if path.suffix == ".catalog"
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
