"""No process outlives the one that started it, even when that was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from whole_runs import WITH_EXTRAS

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")

SECONDS_TO_GO = 10.0

MANY_VIDEOS = """
import os, signal, sys, threading, time
from pathlib import Path
from vidssl.jobs.video_processes import Processes, over_videos

def work_for_ever(path):
    Path(path).touch()
    time.sleep(1000)

def kill_when_begun(files):
    while not all(Path(file).exists() for file in files):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    files = [f"{sys.argv[1]}/{number}" for number in range(2)]
    threading.Thread(target=kill_when_begun, args=(files,)).start()
    list(over_videos(files, work_for_ever, Processes(num_workers=2)))
"""


LAUNCHED = """
import os, signal, subprocess, sys, time
from vidssl.jobs.parent import ending_with_launcher

with ending_with_launcher():
    if sys.argv[1:]:
        subprocess.Popen([sys.executable, __file__], env={**os.environ, "LOCAL_RANK": "1"})
        time.sleep(float(sys.argv[1]))
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1000)
"""


def processes_of(session):
    """The processes of a session that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, its_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            name = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it ended meanwhile
            continue
        if int(its_session) == session and state != "Z":
            found.append(name)
    return found


def killed(command, folder):
    """Run what kills itself, in a session of its own; return the processes that are left of it."""
    environment = {**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("WANDB_SERVICE", None)
    with (folder / "told").open("w") as told:  # not a pipe: whoever is left would hold it
        started = subprocess.Popen(
            [sys.executable, *map(str, command)], stdout=told, stderr=told, env=environment, start_new_session=True
        )
    try:
        assert started.wait(timeout=200) == -signal.SIGKILL, (folder / "told").read_text()
        deadline = time.monotonic() + SECONDS_TO_GO
        while (left := processes_of(started.pid)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left
    finally:
        if processes_of(started.pid):
            os.killpg(started.pid, signal.SIGKILL)


@pytest.mark.parametrize("num_processes", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("during", ["training", pytest.param("evaluation", marks=pytest.mark.slow)])
def test_a_killed_run_leaves_no_process(small_config, tmp_path, num_processes, during):
    run = ["fit", "--config", small_config, "--data.loading.num_workers", 2, "--wandb.mode", "disabled"]
    if num_processes > 1:
        run += ["--trainer.devices", num_processes, "--trainer.strategy", "ddp"]
    killer = {"training": "KillBeforeStep", "evaluation": "KillInEvaluation"}[during]
    killer = [f"--trainer.callbacks+={killer}", "--trainer.callbacks.step=4"]
    assert killed([WITH_EXTRAS, *run, *killer], tmp_path) == []


def test_killed_work_on_videos_leaves_no_process(tmp_path):
    script = tmp_path / "many_videos.py"
    script.write_text(MANY_VIDEOS)
    assert killed([script, tmp_path], tmp_path) == []


@pytest.mark.parametrize("seconds", [0, 3])
def test_a_process_that_was_launched_ends_with_its_launcher(tmp_path, seconds):
    script = tmp_path / "launched.py"
    script.write_text(LAUNCHED)
    assert killed([script, seconds], tmp_path) == []
