"""Motion computed while videos are packed: that of the packed videos, to the last bit."""

import errno
import os
from dataclasses import asdict

import motion_scenes as scenes
import numpy as np
import pytest
from packing_jobs import job_of, pack_all, work_here, written
from packing_work import hanging_with_motion

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog
from vidssl.catalogs.file_state import FileState
from vidssl.catalogs.packing.job import PackJob
from vidssl.catalogs.packing.working import PackVideo, finish, pack_share
from vidssl.cli.motion import summarise
from vidssl.errors import VidsslError
from vidssl.jobs.shares import Share
from vidssl.jobs.video_processes import Processes
from vidssl.motion import packing
from vidssl.motion.extract import video_motion
from vidssl.motion.packing import PackWithMotion, motion_beside, motion_bytes, motion_writer, store_of
from vidssl.motion.settings import MotionSettings
from vidssl.motion.store import MotionStore
from vidssl.motion.whole_catalog import MotionJob, compute_share, merge
from vidssl.video.decoders.pyav_reader import PyAVReader
from vidssl.video.decoding import DecodingError, probe

CODEC = MotionSettings(grid=(6, 8), stride=4)
DIS = MotionSettings(estimator="dis", options={"preset": "ultrafast"}, short_side=48, grid=(6, 8), stride=4)
ONE = Processes(1, 60.0)


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Catalog:
    """Videos of several codecs in which something moves, one in which nothing does, and one of a single frame."""
    folder, rows = tmp_path_factory.mktemp("sources"), []
    moving = scenes.pan(20, (1, 0), object_speed=(3, 1))
    for name, frames, codec in [
        ("a.avi", moving, "mpeg4"),
        ("b.mp4", scenes.pan(13, (0, 0), object_speed=(-2, 2)), "libx264"),
        ("still.mp4", scenes.pan(13, (0, 0)), "libx264"),
        ("one.mp4", moving[:1], "libx264"),
        ("c.mkv", moving, "ffv1"),
    ]:
        file = scenes.encode(folder / name, frames, codec)
        rows.append(VideoRow(name, -1, -1, **asdict(probe(file)), **asdict(FileState.of(file))))
    write_catalog(folder / "x.catalog", rows, classes=[], group_names=[], splits={}, root=".", source={})
    return Catalog.open(folder / "x.catalog")


@pytest.fixture
def here(monkeypatch):
    work_here(monkeypatch)


def with_motion(sources, output, settings, preset="fast", shard_bytes=None):
    job = PackJob(sources, output, preset, shard_bytes, motion_beside(settings))
    return job, PackWithMotion(PackVideo(sources, preset), settings, job.folder), motion_writer(job, settings)


def computed(packed, settings, file):
    """What `vidssl motion` writes for the catalog of the packed videos."""
    job = MotionJob(packed, settings, file)
    compute_share(job, Share(), ONE)
    assert merge(job).num_missing == 0
    return file.read_bytes()


@pytest.mark.parametrize(
    ("settings", "preset", "shard_bytes"), [(CODEC, "fast", None), (DIS, "small", 20_000), (CODEC, "keep", 20_000)]
)
def test_it_is_the_file_that_would_be_computed_from_the_packed_videos(
    sources, tmp_path, here, settings, preset, shard_bytes
):
    job, work, write = with_motion(sources, tmp_path / "p", settings, preset, shard_bytes)
    packed = pack_all(job, work=work, write_beside=write)
    assert store_of(job).read_bytes() == computed(packed, settings, tmp_path / "x.motion")
    store = MotionStore.open(store_of(job), packed, settings)  # as training opens it
    for row in range(len(packed)):
        assert store[row].num_frames == packed[row].num_frames
    fallback = "dis" if preset == "keep" else settings.estimator  # the lossless video has no vectors
    assert [store.estimator(row) for row in range(5)] == [settings.estimator] * 4 + [fallback]
    assert store[0].maps.any()
    assert not store[2].maps.any()
    assert store.header["packed"] == {
        "preset": preset, "encoding": job.about["encoding"], "source_digest": sources.digest,
    }  # fmt: skip
    assert f"of videos  packed by preset {preset}, not of their sources" in summarise(store, packed)
    plain = pack_all(job_of(sources, tmp_path / "plain", preset, shard_bytes))
    assert plain.digest == packed.digest
    store_of(job).unlink()
    assert written(tmp_path / "plain") == written(tmp_path / "p")


@pytest.mark.parametrize("settings", [CODEC, DIS])
def test_each_source_and_each_packed_video_is_decoded_once(sources, tmp_path, here, monkeypatch, settings):
    job, work, write = with_motion(sources, tmp_path / "p", settings)
    decoded, decode = [], PyAVReader.decoded
    monkeypatch.setattr(PyAVReader, "decoded", lambda reader: decoded.append(reader.path) or decode(reader))
    pack_all(job, work=work, write_beside=write)
    assert decoded == [sources.place(row) for row in range(5)]  # the packed ones by the estimator alone


def test_a_video_of_which_fewer_frames_decode_is_left_out(sources, tmp_path, here, monkeypatch):
    job, work, write = with_motion(sources, tmp_path / "p", DIS)
    encode_video = packing.encode_video

    def miscounted(place, settings, dtype):
        info, contents = encode_video(place, settings, dtype)
        return (info | {"num_frames": 12} if info["num_frames"] == 13 else info), contents

    monkeypatch.setattr(packing, "encode_video", miscounted)
    packed = pack_all(job, work=work, write_beside=write)
    assert packed.bad == [
        (name, "12 of 13 frames decode after it was encoded") for name in ("b.mp4", "still.mp4")
    ]  # fmt: skip
    assert len(MotionStore.open(store_of(job), packed, DIS)) == 3


def test_a_video_without_motion_is_packed_and_the_store_says_why(sources, tmp_path, here, monkeypatch):
    job, work, write = with_motion(sources, tmp_path / "p", DIS, "keep")
    encode_video = packing.encode_video

    def failing(place, settings, dtype):
        if place.endswith("b.mp4"):
            raise DecodingError(place, "its frames change size")
        return encode_video(place, settings, dtype)

    monkeypatch.setattr(packing, "encode_video", failing)
    packed = pack_all(job, work=work, write_beside=write)
    assert len(packed) == 5
    assert MotionStore.open(store_of(job)).bad == [(1, "its frames change size")]


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("shard_bytes", [None, 40_000])
def test_interrupted_and_shared_it_ends_with_the_same_files(sources, tmp_path, here, shard_bytes):
    job, work, write = with_motion(sources, tmp_path / "whole", CODEC, "fast", shard_bytes)
    pack_all(job, work=work, write_beside=write)
    job, work, write = with_motion(sources, tmp_path / "p", CODEC, "fast", shard_bytes)
    done, stops = [], [0, 1, 3, 4]

    def stopping(row):
        if stops and len(done) == stops[0]:
            raise Interrupted
        done.append(row)
        return work(row)

    while stops:
        with pytest.raises(Interrupted):
            pack_share(job, Share(), ONE, work=stopping)
        for records in job.folder.glob("*.records"):
            with records.open("ab") as file:
                file.write(b"torn")
        (job.folder / "video-left.mp4").write_bytes(b"of a process that was killed")
        del stops[0]
    pack_share(job, Share(1, 2), ONE, work=stopping)
    pack_all(job, Share(0, 2), work=stopping, write_beside=write)
    assert sorted(done) == list("01234")  # nothing twice
    assert written(tmp_path / "p") == written(tmp_path / "whole")


def test_where_the_motion_cannot_be_written_there_is_no_catalog_and_nothing_is_lost(sources, tmp_path, here):
    job, work, write = with_motion(sources, tmp_path / "p", CODEC)
    pack_share(job, Share(), ONE, work=work)
    store_of(job).mkdir()  # so that no file can take its place
    with pytest.raises(VidsslError, match=r"Cannot write .*x\.motion"):
        finish(job, write)
    assert not job.catalog_file.exists()
    store_of(job).rmdir()
    assert finish(job, write) == 0
    assert len(MotionStore.open(store_of(job), Catalog.open(job.catalog_file), CODEC)) == 5


def test_a_folder_that_cannot_be_written_is_an_error(sources, tmp_path):
    _, work, _ = with_motion(sources, tmp_path / "p", CODEC)
    with pytest.raises(VidsslError, match=r"Cannot write .*p/packing\.partial"):  # which is not there
        work("0")


def test_a_full_disk_ends_the_work_and_what_was_done_stays(sources, tmp_path, here, monkeypatch):
    job, work, write = with_motion(sources, tmp_path / "p", CODEC, shard_bytes=10**6)
    full, temporary_file, done = [True], packing.NamedTemporaryFile, []

    def written_to_a_full_disk(**options):
        if full and len(done) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return temporary_file(**options)

    def noted(row):
        outcome = work(row)
        done.append(row)
        return outcome

    monkeypatch.setattr(packing, "NamedTemporaryFile", written_to_a_full_disk)
    with pytest.raises(VidsslError, match="No space left"):
        pack_share(job, Share(), ONE, work=noted)
    full.clear()
    packed = pack_all(job, work=noted, write_beside=write)
    assert done == list("01234")
    assert len(MotionStore.open(store_of(job), packed, CODEC)) == 5


def test_a_video_that_hangs_costs_only_itself(sources, tmp_path):
    job, _, write = with_motion(sources, tmp_path / "p", CODEC)
    pack_share(job, Share(), Processes(1, 1.0), work=hanging_with_motion)
    assert finish(job, write) == 0
    packed = Catalog.open(job.catalog_file)
    assert packed.bad == [("a.avi", "no answer within 1 s")]
    assert MotionStore.open(store_of(job), packed).bad == [(row, "nothing to see") for row in range(4)]


def test_other_settings_do_not_go_on_with_what_is_there(sources, tmp_path, here):
    job, work, _ = with_motion(sources, tmp_path / "p", CODEC, shard_bytes=20_000)
    pack_share(job, Share(0, 2), ONE, work=work)
    by_dis = with_motion(sources, tmp_path / "p", DIS, shard_bytes=20_000)[0]
    for other in (by_dis, job_of(sources, tmp_path / "p", "fast", 20_000)):
        with pytest.raises(VidsslError, match=r"beside is .*'codec'.* there"):
            pack_share(other, Share(), ONE)


def test_its_size_is_known_before(sources, tmp_path, here):
    job, work, write = with_motion(sources, tmp_path / "p", CODEC)
    pack_all(job, work=work, write_beside=write)
    assert 0 < store_of(job).stat().st_size - motion_bytes(sources, CODEC) < 4000
    place = Catalog.open(job.catalog_file).place(0)
    assert np.allclose(video_motion(place, CODEC).maps, MotionStore.open(store_of(job))[0].maps, atol=0.05)
