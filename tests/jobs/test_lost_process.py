"""Signals and lost processes end in a sentence."""

import logging
import os
import signal
import subprocess
import sys
import time

import pytest

from vidssl.cli.evaluate.ending import signals_reported
from vidssl.cli.main import worker_message
from vidssl.jobs.lost_process import LAUNCHER, connection_message, say_lost_processes


def test_lightning_says_in_a_sentence_which_process_is_gone(capsys):
    say_lost_processes()
    logging.getLogger(LAUNCHER).info("[rank: 1] Child process with PID 77 terminated with code -9. Forcefully ...")
    logging.getLogger(LAUNCHER).info("a detail")
    told = capsys.readouterr().err
    assert told.startswith("vidssl: error: A process of this run (pid 77) ended by the signal SIGKILL, and all others")
    assert told.count("\n") == 1


def test_a_lost_connection_is_a_lost_process():
    gloo = RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [::1]:3")
    assert connection_message(gloo).startswith("Another process of this run has ended")
    assert connection_message(RuntimeError("shapes differ")) is None


def test_a_worker_that_a_signal_ended_is_not_said_to_lack_memory():
    told = worker_message(RuntimeError("DataLoader worker (pid 5) is killed by signal: Terminated. "))
    assert told.startswith("A loader worker was ended by a signal (Terminated)")
    assert "memory" in worker_message(RuntimeError("DataLoader worker (pid 5) is killed by signal: Killed. "))


BUSY = """
import sys, time
from vidssl.cli.evaluate.ending import signals_reported
with signals_reported():
    print("begun", flush=True)
    {work}
"""
# the second is one instruction of Python, as a convolution is: no handler is called meanwhile
WORK = {
    "python": "time.sleep(60)",
    "one long instruction": "__import__('numpy').linalg.svd(__import__('numpy').ones((5000, 5000)))",
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("work", WORK)
def test_a_signal_is_reported_as_one_within_five_seconds(work, number):
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY.format(work=WORK[work])], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.3)
    started = time.monotonic()
    os.kill(process.pid, number)
    told = process.communicate(timeout=20)[1]
    assert time.monotonic() - started < 5
    assert process.returncode == 128 + number
    assert told.startswith(f"vidssl: ended by the signal {signal.Signals(number).name}.")
    assert told.count("\n") == 1


def test_what_no_signal_ended_is_left_as_it_is():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError, match="mine"), signals_reported():
        raise RuntimeError("mine")
    assert signal.getsignal(signal.SIGTERM) == before
