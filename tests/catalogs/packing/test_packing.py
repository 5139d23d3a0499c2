"""Packing the videos of a catalog: what is written, whoever writes it and however often it is interrupted."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from numbered_videos import encode, numbers_shown
from packing_work import hanging

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog
from vidssl.catalogs.file_state import FileState
from vidssl.catalogs.packing import working
from vidssl.catalogs.packing.job import PackJob
from vidssl.catalogs.packing.names import clean_path, file_paths, sample_keys
from vidssl.catalogs.packing.tar_files import count_samples, split_name, write_tar
from vidssl.catalogs.packing.working import PackVideo, finish, pack_share
from vidssl.data.augmentation import CVRL_VIEW_1
from vidssl.data.dataset import ClipDataset
from vidssl.data.sampling import IntervalSampler
from vidssl.data.training_history import TrainedSplit
from vidssl.errors import VidsslError
from vidssl.jobs.shards import ShardWriter
from vidssl.jobs.shares import Share
from vidssl.jobs.video_processes import Processes
from vidssl.video.decoding import DecodingError, probe, read_frames

NAMES = ["walk/a.1.avi", "walk/a.1.mp4", "run/b.mp4", "run/c d (1)'!.mp4", "run/é.mp4"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Catalog:
    """Five short videos with traps in their names, labels, groups and two splits."""
    folder = tmp_path_factory.mktemp("sources")
    rows = []
    for number, name in enumerate(NAMES):
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        encode(file, "libx264" if name.endswith("mp4") else "mpeg4", num_frames=8 + number)
        info, state = probe(file), FileState.of(file)
        rows.append(VideoRow(name, number % 2, number % 3 - 1, **asdict(info), **asdict(state)))
    write_catalog(
        folder / "x.catalog", rows, classes=["run", "walk"], group_names=["anna", "bea"],
        splits={"train": [0, 2, 4], "test": [1, 3]}, root=".", source={"kind": "csv"}, bad=[("z.avi", "empty")],
    )  # fmt: skip
    return Catalog.open(folder / "x.catalog")


@pytest.fixture
def here(monkeypatch):
    """Work in this process: starting others takes a second each."""

    def over_rows(rows, work, processes):
        for row in rows:
            try:
                yield row, work(row)
            except DecodingError as error:
                yield row, error.reason

    monkeypatch.setattr(working, "over_videos", over_rows)


def job_of(catalog, output, preset="keep", shard_bytes=None) -> PackJob:
    return PackJob(catalog, Path(output), preset, shard_bytes)


def pack_all(job, share=None, **changes) -> Catalog:
    pack_share(job, share or Share(), Processes(1, 60.0), **changes)
    assert finish(job) == 0
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


# --- names ---


def test_names_in_a_folder_keep_what_a_video_is_recognised_by():
    assert file_paths(["a/b.1.avi", "a/b.1.mkv", "./c", "../d.avi", "/e.avi"], ".mp4") == [
        "a/b.1.mp4",
        "a/2/b.1.mp4",
        "c.mp4",
        "d.mp4",
        "e.mp4",
    ]
    assert file_paths(["a/b.AVI", "a/x/../b.AVI"], None) == ["a/b.AVI", "a/2/b.AVI"]
    assert clean_path("..") == "_"


def test_keys_have_no_dots_and_none_is_there_twice():
    keys = sample_keys(["a.b/c.1.mp4", "a_b/c_1.mp4", "./x.mp4", "x.avi", "../x.webm", "y"])
    assert keys == ["a_b/c_1", "a_b/c_1_2", "x", "x_2", "x_3", "y"]


def test_members_are_cut_as_webdataset_cuts_them():
    assert split_name("a.b/c.1.MP4") == ("a.b/c", "1.mp4")
    assert split_name("c.json") == ("c", "json")
    assert [split_name(name) for name in ("a.b/c", ".hidden", "c.", "a/.x")] == [None, None, None, None]


def test_a_tar_file_tells_where_its_members_begin(tmp_path):
    members = [("a/é.mp4", b"x" * 700), ("a/é.json", b"{}"), ("long/" * 40 + "b.mp4", b""), ("c.bin", b"y" * 512)]
    starts = write_tar(tmp_path / "x.tar", members)
    contents = (tmp_path / "x.tar").read_bytes()
    assert len(contents) % 512 == 0
    for (_, member), start in zip(members, starts, strict=True):
        assert contents[start : start + len(member)] == member
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert [(member.name, member.size, member.mtime, member.uid) for member in tar] == [
            (name, len(member), 0, 0) for name, member in members
        ]
    assert count_samples(tmp_path / "x.tar") == 3


# --- what is written ---


@pytest.mark.parametrize("shard_bytes", [None, 10_000])
def test_copies_are_the_same_data_set(sources, tmp_path, here, shard_bytes):
    packed = pack_all(job_of(sources, tmp_path / "p", shard_bytes=shard_bytes))
    assert packed.digest == sources.digest
    assert [row.content for row in packed] == [row.content for row in sources]
    assert packed.bad == [("z.avi", "empty")]
    assert packed.source["packed"] == {"preset": "keep", "encoding": None, "source_digest": sources.digest}
    assert not (tmp_path / "p" / "packing.partial").exists()
    for video, source in zip(packed, sources, strict=True):
        assert np.array_equal(
            read_frames(packed.unchanged(video), range(8)), read_frames(sources.unchanged(source), range(8))
        )
    moved = tmp_path / "moved"
    (tmp_path / "p").rename(moved)
    assert len(read_frames(Catalog.open(moved / "x.catalog").place(1), [0])) == 1


def test_clips_from_shards_are_those_from_files(sources, tmp_path, here):
    packed = pack_all(job_of(sources, tmp_path / "p", shard_bytes=10_000))
    recipe = replace(CVRL_VIEW_1, crop_size=32)
    one, other = (
        ClipDataset(catalog, catalog.split("train"), IntervalSampler(num_frames=4), [recipe, recipe], seed=3)
        for catalog in (sources, packed)
    )
    for key in [(0, 0), (0, 2), (5, 1)]:
        mine, theirs = one[key], other[key]
        assert mine.starts == theirs.starts
        assert not mine.failures
        assert all(np.array_equal(a, b) for a, b in zip(mine.clips, theirs.clips, strict=True))


def test_shards_are_in_the_layout_of_webdataset(sources, tmp_path, here):
    packed = pack_all(job_of(sources, tmp_path / "p", "fast", shard_bytes=10_000))
    shards = sorted((tmp_path / "p").glob("*.tar"))
    assert len(shards) > 1
    names = []
    for shard in shards:
        with tarfile.open(shard) as tar:
            names += tar.getnames()
    assert names == [
        "walk/a_1.mp4", "walk/a_1.json", "walk/a_1_2.mp4", "walk/a_1_2.json", "run/b.mp4", "run/b.json",
        "run/c d (1)'!.mp4", "run/c d (1)'!.json", "run/é.mp4", "run/é.json",
    ]  # fmt: skip
    with tarfile.open(shards[0]) as tar:
        told = json.load(tar.extractfile("walk/a_1.json"))
        assert tar.extractfile("walk/a_1.mp4").read() == read_range(packed.place(0))
    assert told == {
        "path": "walk/a.1.avi", "label": "run", "label_number": 0, "group": None, "split": ["train"], "num_frames": 8,
        "fps": 25.0, "width": 128, "height": 48, "preset": "fast",
    }  # fmt: skip


def read_range(place: str) -> bytes:
    file, range_, _ = place.split("::")
    start, size = map(int, range_.split("+"))
    return Path(file).read_bytes()[start : start + size]


def test_encoded_videos_are_other_files_of_the_same_videos(sources, tmp_path, here):
    packed = pack_all(job_of(sources, tmp_path / "p", "fast"))
    assert packed.digest != sources.digest
    assert [row.path for row in packed] == [
        "walk/a.1.mp4", "walk/2/a.1.mp4", "run/b.mp4", "run/c d (1)'!.mp4", "run/é.mp4",
    ]  # fmt: skip
    assert packed.labels.tolist() == sources.labels.tolist()
    assert packed.groups.tolist() == sources.groups.tolist()
    assert packed.split("test").tolist() == [1, 3]
    assert packed.contents.tolist() == sources.contents.tolist()
    assert packed.file_contents.tolist() != sources.contents.tolist()
    for one, other in ((sources, packed), (packed, sources)):
        assert TrainedSplit.of(one, "train").seen(other, np.arange(5)).tolist() == [True, False, True, False, True]
    for row, video in enumerate(packed):
        frames = read_frames(packed.unchanged(video), range(video.num_frames))
        assert numbers_shown(frames) == list(range(8 + row))
    again = pack_all(job_of(packed, tmp_path / "q", "small", shard_bytes=10**9))  # packed, packed again
    assert again.contents.tolist() == sources.contents.tolist()


# --- interrupted, shared, failing ---


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
def test_killed_again_and_again_it_ends_with_the_same_set(sources, tmp_path):
    command = [sys.executable, "-m", "vidssl.cli.main", "pack", "--catalog", str(sources.file), "--shards", "25kB",
               "--preset", "fast", "--workers", "2", "--output"]  # fmt: skip
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
