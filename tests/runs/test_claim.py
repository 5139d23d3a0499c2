"""A folder belongs to one run at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vidssl.errors import VidsslError
from vidssl.runs.claim import CLAIM_FILE, claim, release
from vidssl.runs.run_directory import CHOSEN_VARIABLE, choose_run_dir, leaving_run_dir

CHOOSE = """
import sys
from vidssl.runs.run_directory import choose_run_dir
print(choose_run_dir(sys.argv[1], None), flush=True)
sys.stdin.read()
"""


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


def test_a_run_that_is_being_written_is_not_continued(start, tmp_path):
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
