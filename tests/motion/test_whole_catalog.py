import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fake_motion import SETTINGS, fake_motion, make_job, numbered

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog
from vidssl.errors import VidsslError
from vidssl.jobs.shards import ShardWriter, read_records
from vidssl.jobs.shares import Share
from vidssl.jobs.video_processes import Processes
from vidssl.motion.extract import video_motion
from vidssl.motion.settings import MotionSettings
from vidssl.motion.store import MotionStore
from vidssl.motion.whole_catalog import MotionJob, compute_share, merge
from vidssl.video.decoding import probe

ONE_PROCESS = Processes(num_workers=1, timeout_seconds=2.0)


def calls(folder):
    return (folder / "calls.log").read_text().split()


def compute(job, number=0, count=1, **changes):
    compute_share(job, Share(number, count), ONE_PROCESS, **{"extract": fake_motion, **changes})


def test_every_video_is_in_the_file_or_listed_with_its_reason(tmp_path):
    job = make_job(tmp_path, ["a.avi", "bad.avi", "hang.avi", "segfault.avi", "b.avi", "longer.avi"])
    told = []
    compute(job, watch=lambda *call: told.append(call))
    assert merge(job).num_missing == 0
    store = MotionStore.open(job.output, job.catalog, SETTINGS)
    assert store.bad == [
        (1, "no frame decodes"),
        (2, "no answer within 2 s"),
        (3, "decoding crashed (signal 11)"),
        (5, "its motion is that of 21 frames, the catalog counts 20"),
    ]
    expected = fake_motion(str(tmp_path / "b.avi"), SETTINGS).maps
    assert np.abs(store[4].maps - expected).max() < 1 / 255
    assert (told[0], told[-1]) == ((0, 0), (6, 4))
    assert not job.folder.exists()


def test_two_shares_make_the_file_that_one_makes(tmp_path):
    job = make_job(tmp_path, ["bad.avi", *numbered(9)])
    compute(job)
    merge(job)
    alone = job.output.read_bytes()
    job.output.unlink()
    compute(job, 1, 2)
    assert merge(job).num_missing == 5
    compute(job, 0, 2)
    assert merge(job).num_missing == 0
    assert job.output.read_bytes() == alone


def test_work_goes_on_with_another_number_of_shares_and_does_nothing_twice(tmp_path):
    job = make_job(tmp_path, numbered(12))
    compute(job, 0, 3)
    compute(job, 1, 4)
    compute(job)
    assert merge(job).num_missing == 0
    assert sorted(calls(tmp_path)) == numbered(12)


def test_a_process_that_comes_late_sees_that_all_is_done(tmp_path):
    job = make_job(tmp_path, numbered(2))
    assert merge(job).num_missing == 2
    compute(job)
    assert not merge(job).merged_elsewhere
    assert merge(job).merged_elsewhere


def test_a_torn_record_is_dropped_and_a_damaged_one_computed_again(tmp_path):
    job = make_job(tmp_path, numbered(5))
    compute(job)
    complete = shutil.copytree(job.folder, tmp_path / "kept")
    merge(job)
    whole = job.output.read_bytes()

    shutil.move(complete, job.folder)
    shard = next(job.folder.glob("*.records"))
    contents = bytearray(shard.read_bytes())
    with shard.open("rb") as file:
        records = list(read_records(file, verify=True))
    contents[records[2].start + 3] ^= 1  # of the second video
    shard.write_bytes(contents[:-5])  # the last one is torn
    (tmp_path / "calls.log").unlink()
    job.output.unlink()
    compute(job)
    assert sorted(calls(tmp_path)) == ["01.avi", "04.avi"]
    assert merge(job).num_missing == 0
    assert job.output.read_bytes() == whole


def test_damage_found_while_merging_leaves_no_file(tmp_path):
    job = make_job(tmp_path, numbered(3))
    compute(job)
    shard = next(job.folder.glob("*.records"))
    contents = bytearray(shard.read_bytes())
    contents[-3] ^= 1
    shard.write_bytes(contents)
    with pytest.raises(VidsslError, match="was damaged on the disk; start the same command again"):
        merge(job)
    assert not job.output.exists()
    compute(job)
    assert merge(job).num_missing == 0


def test_no_video_with_motion_is_an_error_and_is_not_remembered(tmp_path):
    job = make_job(tmp_path, ["bad.avi", "bad too.avi"])
    compute(job)
    with pytest.raises(VidsslError, match=r"None of the 2 videos .* bad.avi: no frame decodes. Is data.root right"):
        merge(job)
    assert not job.folder.exists()


def test_shards_of_other_settings_are_refused_by_name(tmp_path):
    compute(make_job(tmp_path, numbered(2)))
    with pytest.raises(VidsslError, match=r"dtype is 'uint8' there, 'float16' here. Delete that folder"):
        compute(make_job(tmp_path, numbered(2), dtype="float16"))


def test_the_real_extraction_and_which_estimator_it_took(real_videos, tmp_path):
    names = ["weizmann/bend/daria_bend.avi", "edge/derived/weizmann_walk_mjpeg.avi"]

    rows = [VideoRow(name, -1, -1, probe(real_videos / name).num_frames, 25.0, 64, 48, 1.0) for name in names]
    write_catalog(tmp_path / "x.catalog", rows, classes=[], group_names=[], splits={}, root=real_videos, source={})
    job = MotionJob(Catalog.open(tmp_path / "x.catalog"), MotionSettings(), tmp_path / "x.motion")
    compute_share(job, Share(), Processes(1, 60.0))
    assert merge(job).num_missing == 0
    store = MotionStore.open(job.output, job.catalog, job.settings)
    assert [store.estimator(row) for row in range(2)] == ["codec", "dis"]
    for row, name in enumerate(names):
        expected = video_motion(real_videos / name, job.settings)
        assert np.abs(store[row].maps - expected.maps).max() <= expected.maps.max() / 255


def test_a_shard_has_one_writer(tmp_path):
    with (
        ShardWriter(tmp_path / "x.records", {"dtype": "uint8"}),
        pytest.raises(VidsslError, match=r"x.records is being written by process \d+ on "),
    ):
        ShardWriter(tmp_path / "x.records", {"dtype": "uint8"})


@pytest.mark.parametrize(
    ("environment", "share"),
    [
        ({}, (0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "4"}, (1, 4)),
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "3"}, (2, 3)),
        ({"RANK": "0", "WORLD_SIZE": "2", "SLURM_PROCID": "2", "SLURM_NTASKS": "3"}, (0, 2)),
        ({"RANK": "1"}, (0, 1)),
    ],
)
def test_the_share_of_a_process_of_a_launcher(environment, share):
    found = Share.from_environment(environment)
    assert (found.number, found.count) == share


def test_shares_hold_every_video_once():
    assert sorted(row for number in range(3) for row in Share(number, 3).rows(10)) == list(range(10))
    assert str(Share.parse("2/8")) == "2 of 8"
    for wrong in ("8", "8/8", "a/b"):
        with pytest.raises(VidsslError, match="share"):
            Share.parse(wrong)


# --- killed and resumed

SCRIPT = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from fake_motion import fake_motion, make_job, numbered
from vidssl.jobs.shares import Share
from vidssl.motion.whole_catalog import Processes, compute_share, merge

def slow_motion(path, settings):
    motion = fake_motion(path, settings)
    time.sleep({seconds})
    return motion

if __name__ == "__main__":
    job = make_job(Path({folder!r}), numbered(30))
    compute_share(job, Share(), Processes(2, 60.0), extract=slow_motion)
    merge(job)
"""


def test_killed_in_the_middle_it_goes_on_and_computes_nothing_twice(tmp_path):
    job = make_job(tmp_path, numbered(30))
    compute(job)
    merge(job)
    whole = job.output.read_bytes()
    job.output.unlink()
    (tmp_path / "calls.log").unlink()

    def start(seconds):
        text = SCRIPT.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path), seconds=seconds)
        (tmp_path / "script.py").write_text(text)
        return subprocess.Popen([sys.executable, tmp_path / "script.py"])

    shard = job.folder / "share-0-of-1.records"
    first = start(0.2)
    deadline = time.monotonic() + 60
    while not (shard.exists() and shard.stat().st_size > 4000) and time.monotonic() < deadline:
        time.sleep(0.02)
    first.kill()
    first.wait()
    with shard.open("rb") as file:
        done = {record.row for record in read_records(file, verify=True) if record.is_sound and record.row >= 0}
    assert 3 < len(done) < 30
    time.sleep(0.5)  # its processes end with the videos they hold
    (tmp_path / "calls.log").unlink()
    assert start(0).wait(timeout=60) == 0
    assert {int(name[:2]) for name in calls(tmp_path)} == set(range(30)) - done
    assert len(calls(tmp_path)) == 30 - len(done)
    assert job.output.read_bytes() == whole
