"""Files that one process holds at a time, without the locks of a file system."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time

import pytest

from vidssl.errors import VidsslError
from vidssl.jobs.shards import ShardWriter
from vidssl.storage import locks
from vidssl.storage.locks import Held, Holder, hold

WITHOUT_FLOCK = "import sys; sys.modules['fcntl'] = None\n"
HOLD = (
    WITHOUT_FLOCK
    + """
from pathlib import Path
from vidssl.storage.locks import Held, hold
print(isinstance(hold(Path(sys.argv[1]), "mine"), Held), flush=True)
sys.stdin.read()
"""
)


@pytest.fixture
def start(tmp_path):
    """Start processes that hold a file, or try to, until the test ends."""
    processes = []

    def start_one():
        command = [sys.executable, "-c", HOLD, str(tmp_path / "claim")]
        processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return processes[-1]

    yield start_one
    for process in processes:
        process.kill()
        process.communicate()


def holds(process):
    return process.stdout.readline() == "True\n"


def of_another_machine(file, seconds_ago, **changes):
    """Make a file as a process of another machine does that was silent for so long."""
    entries = {"machine": "node7 pid:[1]", "process": os.getpid(), "began": "1", "token": "t", "about": ""}
    file.write_text(json.dumps(entries | changes))
    os.utime(file, (time.time() - seconds_ago,) * 2)


def test_of_processes_that_start_together_one_holds_the_file(start, tmp_path):
    assert sorted(map(holds, [start() for _ in range(4)])) == [False, False, False, True]
    assert [file.name for file in tmp_path.iterdir()] == ["claim"]


def test_who_holds_it_is_named_and_what_was_said_is_known(tmp_path):
    held = hold(tmp_path / "claim", "mine")
    found = hold(tmp_path / "claim")
    assert isinstance(found, Holder)
    assert found.about == "mine"
    assert str(found).startswith(f"process {os.getpid()} on ")
    held.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_reaped", [True, False])
def test_that_of_a_killed_process_is_taken_over_at_once(start, tmp_path, is_reaped):
    process = start()
    assert holds(process)
    assert isinstance(hold(tmp_path / "claim"), Holder)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, but the system still has a record of it
    if is_reaped:
        process.wait()
    hold(tmp_path / "claim").release()


def test_a_process_with_the_same_number_is_another_if_it_began_at_another_time(tmp_path):
    held = hold(tmp_path / "claim")
    entries = json.loads((tmp_path / "claim").read_text())
    assert entries["began"] or not sys.platform.startswith("linux")
    (tmp_path / "claim").write_text(json.dumps(entries | {"began": "1"}))
    assert isinstance(hold(tmp_path / "claim"), Held)
    assert not held.is_ours() or held._beaten > time.time() - locks.BEAT_SECONDS


def test_a_claim_that_was_copied_with_its_folder_holds_nothing(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    held = hold(run / "claim")
    (tmp_path / "link").symlink_to(run)
    os.link(run / "claim", tmp_path / "mounted again")
    shutil.copytree(run, tmp_path / "copy")
    assert isinstance(hold(tmp_path / "link" / "claim"), Holder)
    assert isinstance(hold(tmp_path / "mounted again"), Holder)
    hold(tmp_path / "copy" / "claim").release()
    assert held.is_ours()
    run.rename(tmp_path / "moved")
    assert isinstance(hold(tmp_path / "moved" / "claim"), Holder)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not say which boot this is")
def test_a_machine_of_the_same_name_is_another(tmp_path):
    name, boot, *container = locks._machine().split(" ")
    machine = " ".join([name, boot[::-1], *container])
    of_another_machine(tmp_path / "claim", 10, machine=machine, process=2**22 + 1)
    assert isinstance(hold(tmp_path / "claim"), Holder)


def test_one_of_another_machine_is_taken_over_after_minutes_of_silence(tmp_path):
    file = tmp_path / "claim"
    of_another_machine(file, locks.SILENT_SECONDS - 20)
    assert str(hold(file)) == f"process {os.getpid()} on node7"
    of_another_machine(file, locks.SILENT_SECONDS + 20)
    hold(file).release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("contents", ["", "process 12 on host", "{"])
def test_one_that_cannot_be_read_is_taken_over_soon(tmp_path, monkeypatch, contents):
    monkeypatch.setattr(locks, "_SECONDS_UNTIL_WRITTEN", 0.02)
    (tmp_path / "claim").write_text(contents)
    assert str(hold(tmp_path / "claim")) == "another process"
    os.utime(tmp_path / "claim", (0, 0))
    hold(tmp_path / "claim").release()


def test_of_many_that_find_an_ended_one_a_single_one_takes_it(tmp_path):
    file, found = tmp_path / "claim", []
    for _ in range(5):
        of_another_machine(file, 1000)
        threads = [threading.Thread(target=lambda: found.append(hold(file))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        held = [one for one in found if isinstance(one, Held)]
        assert len(held) == 1
        held[0].release()
        found.clear()


def test_it_beats_while_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_HEART", locks._Heart())
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.05)
    held = hold(tmp_path / "claim")
    os.utime(tmp_path / "claim", (0, 0))
    deadline = time.monotonic() + 10
    while (tmp_path / "claim").stat().st_mtime == 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    held.release()


def test_who_was_silent_does_not_write_what_another_has_taken(tmp_path):
    with ShardWriter(tmp_path / "x.records", {}) as writer:
        writer.add(0, {})
        with pytest.raises(VidsslError, match=r"x.records is being written by process \d+ on .*wait for it, or end it"):
            ShardWriter(tmp_path / "x.records", {})
        of_another_machine(tmp_path / "x.records.claim", 0)
        writer._held.beat()
        with pytest.raises(VidsslError, match="was silent for minutes, and another one writes"):
            writer.add(1, {})
    assert (tmp_path / "x.records.claim").exists()  # it is not ours to remove


def test_nothing_asks_a_file_system_for_locks():
    code = f"{WITHOUT_FLOCK}import vidssl.cli.pack, vidssl.cli.motion, vidssl.cli.prepare, vidssl.runs.run_directory"
    subprocess.run([sys.executable, "-c", code], check=True)
