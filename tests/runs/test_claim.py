"""A folder belongs to one run at a time."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Timer

import pytest
import yaml

from vidssl.errors import VidsslError
from vidssl.runs.claim import CLAIM_FILE, claim, release
from vidssl.runs.run_directory import (
    CHOSEN_VARIABLE,
    CONFIG_FILE,
    choose_run_dir,
    leaving_run_dir,
    same_configuration,
)
from vidssl.runs.run_file import write_run
from vidssl.storage.locks import SILENT_SECONDS

CHOOSE = """
import sys
from vidssl.runs.run_directory import choose_run_dir
print(choose_run_dir(sys.argv[1], None), flush=True)
sys.stdin.read()
"""
CONFIG = {"run_dir": "mine", "model": {"width": 2}, "trainer": {"max_epochs": 3, "default_root_dir": "elsewhere"}}


@pytest.fixture
def start():
    """Start processes that choose their folder and keep it until the test ends."""
    processes = []

    def start_one(wanted, **variables):
        process = subprocess.Popen(
            [sys.executable, "-c", CHOOSE, str(wanted)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **variables},
        )
        processes.append(process)
        return process

    yield start_one
    for process in processes:
        process.kill()
        process.communicate()


def chosen_by(process):
    return Path(process.stdout.readline().strip()).name


def test_runs_that_start_together_have_a_folder_each(start, tmp_path):
    processes = [start(tmp_path / "runs" / "mine") for _ in range(4)]
    assert sorted(map(chosen_by, processes)) == ["mine", "mine-2", "mine-3", "mine-4"]


def test_the_processes_of_one_run_share_a_folder(start, tmp_path):
    torchrun = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "TORCHELASTIC_RUN_ID": "none"}
    first = [start(tmp_path / "mine", **torchrun, MASTER_PORT="29500", RANK=rank) for rank in "01"]
    assert list(map(chosen_by, first)) == ["mine", "mine"]
    slurm = {"SLURM_NTASKS": "2", "SLURM_JOB_ID": "12", "SLURM_STEP_ID": "0"}
    second = [start(tmp_path / "mine", **slurm, SLURM_PROCID=rank) for rank in "01"]
    assert list(map(chosen_by, second)) == ["mine-2", "mine-2"]


def test_the_claim_of_a_process_that_died_is_taken_again(start, tmp_path):
    died = start(tmp_path / "mine")
    assert chosen_by(died) == "mine"
    died.kill()
    died.wait()
    assert (tmp_path / "mine" / CLAIM_FILE).exists()
    assert chosen_by(start(tmp_path / "mine")) == "mine"


def test_a_run_that_is_being_written_is_not_continued(start, tmp_path, monkeypatch):
    monkeypatch.setattr("vidssl.runs.run_directory.SECONDS_TO_END", 0.2)
    run = tmp_path / "mine"
    writer = start(run)
    assert chosen_by(writer) == "mine"
    (run / "config.yaml").touch()
    (run / "checkpoints").mkdir()
    with pytest.raises(VidsslError, match=rf"mine is being written by process {writer.pid} on .*wait until"):
        choose_run_dir(str(run), str(run / "checkpoints" / "last.ckpt"))


def test_two_runs_of_one_process_have_a_folder_each(tmp_path):
    for expected in ("mine", "mine-2"):
        with leaving_run_dir():
            folder = choose_run_dir(str(tmp_path / "mine"), None)
            assert folder == tmp_path / expected
            (folder / "config.yaml").touch()
        assert CHOSEN_VARIABLE not in os.environ
        assert [file.name for file in folder.iterdir()] == ["config.yaml"]


def test_a_start_that_fails_leaves_no_folder(tmp_path):
    with leaving_run_dir():
        assert choose_run_dir(str(tmp_path / "mine"), None).is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_released_in_the_meantime_is_claimed_whole(tmp_path):
    assert claim(tmp_path / "mine") is None
    assert claim(tmp_path / "mine").startswith(f"process {os.getpid()} on ")
    release(tmp_path / "mine")
    assert claim(tmp_path / "mine") is None
    release(tmp_path / "mine")


def test_a_run_that_is_about_to_end_is_waited_for(start, tmp_path):
    writer = start(tmp_path / "mine")
    chosen_by(writer)
    Timer(0.5, writer.kill).start()
    assert claim(tmp_path / "mine", patience_seconds=20) is None
    release(tmp_path / "mine")


def begun(folder, ended=None, config=CONFIG):
    """The folder of a run that was broken off before its first checkpoint."""
    folder.mkdir()
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(config))
    write_run(folder, {"ended": ended})
    return folder


@pytest.mark.parametrize("ended", [None, "failed: VidsslError at step 2: why", "stopped: SIGTERM at step 1"])
def test_a_run_that_was_broken_off_before_its_first_checkpoint_begins_again(tmp_path, ended):
    begun(tmp_path / "mine", ended)
    for again, name in ((CONFIG, "mine"), (None, "mine-2")):
        with leaving_run_dir():
            assert choose_run_dir(str(tmp_path / "mine"), None, again).name == name


@pytest.mark.parametrize(
    ("ended", "changes", "files"),
    [
        ("completed", {}, []),
        ("stopped: max_time at step 9", {}, []),
        (None, {"model": {"width": 3}}, []),
        (None, {"trainer": {"max_epochs": 4}}, []),
        (None, {}, ["checkpoints/last.ckpt"]),
    ],
)
def test_any_other_run_is_left_as_it_is(tmp_path, ended, changes, files):
    folder = begun(tmp_path / "mine", ended, CONFIG | changes)
    for file in files:
        (folder / file).parent.mkdir()
        (folder / file).touch()
    with leaving_run_dir():
        assert choose_run_dir(str(tmp_path / "mine"), None, CONFIG).name == "mine-2"


def test_a_configuration_that_cannot_be_read_is_another(tmp_path):
    (tmp_path / CONFIG_FILE).write_bytes(b"\xff: [")
    assert not same_configuration(tmp_path / CONFIG_FILE, CONFIG)


def claim_of_another_machine(folder, seconds_ago):
    folder.mkdir()
    words = {"machine": "node7 pid:[1]", "process": 12, "began": "1", "token": "t", "about": ""}
    (folder / CLAIM_FILE).write_text(json.dumps(words))
    os.utime(folder / CLAIM_FILE, (time.time() - seconds_ago,) * 2)


def test_the_run_of_a_lost_machine_is_waited_for_until_it_counts_as_ended(tmp_path, caplog):
    claim_of_another_machine(tmp_path / "mine", SILENT_SECONDS - 1.5)
    assert claim(tmp_path / "mine", patience_seconds=0.1) is None
    assert "belongs to process 12 on node7: waiting for a sign of it, 180 s at most" in caplog.text


def test_a_run_of_another_machine_that_works_is_not_waited_for(tmp_path):
    claim_of_another_machine(tmp_path / "mine", 100)
    Timer(0.5, (tmp_path / "mine" / CLAIM_FILE).touch).start()
    assert claim(tmp_path / "mine", patience_seconds=0.1) == "process 12 on node7"
    assert claim(tmp_path / "mine") == "process 12 on node7"
