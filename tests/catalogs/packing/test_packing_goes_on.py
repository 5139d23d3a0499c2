"""Packing that is shared, interrupted, or fails: what is there at the end, and what is reported."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from packing_jobs import job_of, pack_all, written
from packing_work import hanging

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog
from vidssl.catalogs.packing.tar_files import count_samples
from vidssl.catalogs.packing.working import PackVideo, finish, pack_share
from vidssl.errors import VidsslError
from vidssl.jobs.shards import ShardWriter
from vidssl.jobs.shares import Share
from vidssl.jobs.video_processes import Processes
from vidssl.storage.locks import SILENT_SECONDS
from vidssl.video.decoding import DecodingError


def test_two_shares_write_what_one_writes(sources, tmp_path, here):
    pack_all(job_of(sources, tmp_path / "one", "fast", 10_000))
    job = job_of(sources, tmp_path / "two", "fast", 10_000)
    pack_share(job, Share(1, 2), Processes(1, 60.0))
    assert finish(job) > 0
    assert not job.catalog_file.exists()
    pack_all(job, Share(0, 2))
    assert written(tmp_path / "two") == written(tmp_path / "one")
    assert finish(job) == 0  # a share that comes late


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("shard_bytes", [None, 25_000])
def test_interrupted_anywhere_it_goes_on_and_does_nothing_twice(sources, tmp_path, here, shard_bytes):
    whole = pack_all(job_of(sources, tmp_path / "whole", shard_bytes=shard_bytes))
    job, done = job_of(sources, tmp_path / "p", shard_bytes=shard_bytes), []
    pack_one, stops = PackVideo(sources, "keep"), [0, 1, 3, 4, 5]

    def work(row):
        if len(done) == stops[0]:
            raise Interrupted
        done.append(row)
        return pack_one(row)

    while stops[0] < 5:
        with pytest.raises(Interrupted):
            pack_share(job, Share(), Processes(1, 60.0), work=work)
        for records in job.folder.glob("*.records"):
            with records.open("ab") as file:
                file.write(b"torn")
        del stops[0]
    told = []
    packed = pack_all(job, work=work, watch=lambda *call: told.append(call))
    assert done == list("01234")
    assert told[-1] == (5, 0)
    assert packed.digest == whole.digest
    assert written(tmp_path / "p") == written(tmp_path / "whole")


def test_a_video_that_cannot_be_packed_is_listed(sources, tmp_path, here):
    pack_one = PackVideo(sources, "keep")

    def work(row):
        if row == "2":
            raise DecodingError("x", "no answer within 2 s")
        return pack_one(row)

    packed = pack_all(job_of(sources, tmp_path / "p", shard_bytes=10**6), work=work)
    assert packed.bad == [("z.avi", "empty"), ("run/b.mp4", "no answer within 2 s")]
    assert packed.split("train").tolist() == [0, 3]
    assert packed.split("test").tolist() == [1, 2]
    assert count_samples(tmp_path / "p" / "shard-000000.tar") == 4


def test_a_changed_or_miscounted_video_is_left_out(sources, tmp_path, here):
    rows = list(sources)
    rows[0] = replace(rows[0], num_frames=9)
    rows[1] = replace(rows[1], num_bytes=5)
    rows[2] = replace(rows[2], path="not there.mp4")
    write_catalog(tmp_path / "y.catalog", rows, classes=["run", "walk"], group_names=["anna", "bea"], splits={},
                  root=sources.root, source={})  # fmt: skip
    packed = pack_all(job_of(Catalog.open(tmp_path / "y.catalog"), tmp_path / "p"))
    reasons = [reason for _, reason in packed.bad]
    assert "counts 9 frames, of which 8 decode now" in reasons[0]
    assert "when it was prepared" in reasons[1]
    assert reasons[2] == "no such file"


def test_a_video_that_is_too_large_for_a_record_is_left_out(sources, tmp_path, here, monkeypatch):
    monkeypatch.setattr("vidssl.catalogs.packing.units.MOST_BYTES", int(sources.num_bytes.min()))
    packed = pack_all(job_of(sources, tmp_path / "p", shard_bytes=10**6))
    assert "are too many for a shard; pack into a folder" in packed.bad[-1][1]
    assert len(packed) + len(packed.bad) == 6


def test_nothing_that_can_be_packed_is_an_error(sources, tmp_path, here):
    job = job_of(sources, tmp_path / "p")

    def work(row):
        raise DecodingError("x", "no frame decodes")

    pack_share(job, Share(), Processes(1, 60.0), work=work)
    with pytest.raises(VidsslError, match=r"None of the 5 videos .* could be packed.*no frame decodes"):
        finish(job)
    assert not job.folder.exists()


@pytest.mark.parametrize("shard_bytes", [None, 10**6])
def test_a_full_disk_is_told_and_nothing_is_lost(sources, tmp_path, here, monkeypatch, shard_bytes):
    job, add, done = job_of(sources, tmp_path / "p", shard_bytes=shard_bytes), ShardWriter.add, []

    def full(writer, row, info, contents=b""):
        if row == 3:
            os.write(writer._descriptor, b"vmr1 torn in the middle of a record")
            raise VidsslError(f"Cannot write {writer.file}: {os.strerror(errno.ENOSPC)}.")
        add(writer, row, info, contents)

    monkeypatch.setattr(ShardWriter, "add", full)
    with pytest.raises(VidsslError, match="No space left"):
        pack_share(job, Share(), Processes(1, 60.0))
    monkeypatch.setattr(ShardWriter, "add", add)
    pack_one = PackVideo(sources, "keep")
    packed = pack_all(job, work=lambda row: done.append(row) or pack_one(row))
    assert done == ["3", "4"]
    assert packed.digest == sources.digest


def test_a_target_that_cannot_be_written_is_told(sources, tmp_path, here):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(VidsslError, match=r"Cannot write .*Free space there, or choose another output"):
        pack_share(job_of(sources, tmp_path / "file" / "p"), Share(), Processes(1, 60.0))


def test_another_preset_does_not_go_on_with_the_records_of_this_one(sources, tmp_path, here):
    pack_share(job_of(sources, tmp_path / "p", shard_bytes=10_000), Share(0, 2), Processes(1, 60.0))
    with pytest.raises(VidsslError, match=r"preset is 'keep' there, 'small' here"):
        pack_all(job_of(sources, tmp_path / "p", "small", shard_bytes=10_000))


def test_what_a_job_needs(sources, tmp_path):
    with pytest.raises(VidsslError, match=r"no preset 'fats'. Did you mean 'fast'"):
        job_of(sources, tmp_path, "fats")
    with pytest.raises(VidsslError, match="size above 0"):
        job_of(sources, tmp_path, shard_bytes=0)
    write_catalog(tmp_path / "old.catalog", [VideoRow("a", -1, -1, 1, 25.0, 8, 8, 1.0)], classes=[], group_names=[],
                  splits={}, root=".", source={})  # fmt: skip
    with pytest.raises(VidsslError, match="says nothing about its files"):
        job_of(Catalog.open(tmp_path / "old.catalog"), tmp_path)


def test_sizes_are_announced(sources, tmp_path, here):
    job = job_of(sources, tmp_path / "p", shard_bytes=10_000)
    total = int(sources.num_bytes.sum())
    largest = max(sum(sources[row].num_bytes for row in job.rows(unit)) for unit in range(job.num_units))
    assert job.num_bytes == total
    assert job.missing_bytes == total + largest
    pack_share(job, Share(), Processes(1, 60.0))
    assert job.missing_bytes == 0
    assert [row for unit in range(job.num_units) for row in job.rows(unit)] == list(range(5))
    assert all(job.unit_of(row) == unit for unit in range(job.num_units) for row in job.rows(unit))


# --- in processes of their own ---


def test_a_video_that_hangs_costs_only_itself(sources, tmp_path):
    job = job_of(sources, tmp_path / "p", shard_bytes=10**6)
    pack_share(job, Share(), Processes(1, 1.0), work=hanging)
    finish(job)
    assert Catalog.open(job.catalog_file).bad[-1] == ("walk/a.1.avi", "no answer within 1 s")


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--motion"]])
def test_killed_again_and_again_it_ends_with_the_same_set(sources, tmp_path, more):
    command = [sys.executable, "-m", "vidssl.cli.main", "pack", "--catalog", str(sources.file), "--shards", "25kB",
               "--preset", "fast", "--workers", "2", *more, "--output"]  # fmt: skip
    assert subprocess.run([*command, str(tmp_path / "whole")], capture_output=True, check=False).returncode == 0
    started = time.monotonic()
    subprocess.run([*command, str(tmp_path / "timed")], capture_output=True, check=True)
    seconds = time.monotonic() - started
    for moment in np.random.default_rng(0).uniform(0.2, 1.0, 5):
        process = subprocess.Popen(
            [*command, str(tmp_path / "p")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(moment * seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*command, str(tmp_path / "p")], capture_output=True, check=True)
    assert written(tmp_path / "p") == written(tmp_path / "whole")


def test_two_processes_do_not_pack_the_same_part(sources, tmp_path, here):
    job = job_of(sources, tmp_path / "p", shard_bytes=10**6)
    pack_one, told = PackVideo(sources, "keep"), []

    def work(row):
        with pytest.raises(VidsslError, match=r"unit-000000.records is being written by process \d+ on"):
            pack_share(job, Share(), Processes(1, 60.0))
        told.append(row)
        return pack_one(row)

    pack_all(job, work=work)
    assert told == list("01234")


def test_the_part_of_a_machine_that_died_is_taken_over(sources, tmp_path, here):
    job = job_of(sources, tmp_path / "p", shard_bytes=10**6)
    job.folder.mkdir(parents=True)
    claim = job.records(0).with_name(f"{job.records(0).name}.claim")
    claim.write_text(json.dumps({"machine": "node7", "process": 12, "began": "1", "token": "t", "about": ""}))
    with pytest.raises(VidsslError, match="is being written by process 12 on node7; wait for it, or end it"):
        pack_share(job, Share(), Processes(1, 60.0))
    os.utime(claim, (time.time() - 2 * SILENT_SECONDS,) * 2)
    assert len(pack_all(job)) == 5
    assert not job.folder.exists()
