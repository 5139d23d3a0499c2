"""Processes that end with the one that started them, however it ended."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LAUNCHER_VARIABLE = "VIDSSL_LAUNCHER"
"""Which process starts the others of a run, in the environment that they inherit."""
SECONDS_BETWEEN_LOOKS = 0.5


def end_with_parent() -> None:
    """End this process as soon as the one that started it has gone, even by kill -9.

    Started through a fork server, a process has that server for its parent, which lives as long as the processes it
    started: neither would ever see that nobody needs them any more. What is watched here is a pipe whose other end the
    process that asked for this one holds. Where nobody did (the main process) nothing happens.
    """
    starter = multiprocessing.parent_process()
    if starter is not None:
        _end_after(starter.join)


@contextmanager
def ending_with_launcher() -> Iterator[None]:
    """End this process, while the block runs, as soon as the one that launched it has gone, even by kill -9.

    Lightning's launcher starts all processes of a run but the first by the same command. Left alone they would wait for
    the first one: half an hour where they have not met it yet, or until they next have something to send.
    """
    launcher = os.environ.get(LAUNCHER_VARIABLE)
    if launcher is not None and int(os.environ.get("LOCAL_RANK", 0)) > 0:
        number = int(launcher)

        def wait() -> None:
            while os.getppid() == number:
                time.sleep(SECONDS_BETWEEN_LOOKS)

        _end_after(wait)
        yield
        return
    os.environ[LAUNCHER_VARIABLE] = str(os.getpid())
    try:
        yield
    finally:
        del os.environ[LAUNCHER_VARIABLE]


def _end_after(wait: Callable[[], object]) -> None:
    def watch() -> None:
        wait()
        os._exit(1)  # from a thread, whatever the main one waits for

    threading.Thread(target=watch, name="ends with its starter", daemon=True).start()
