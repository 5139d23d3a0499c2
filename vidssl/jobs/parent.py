"""Processes that end with the one that started them, however it ended."""

from __future__ import annotations

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """End this process as soon as the one that started it has gone, even by kill -9.

    Started through a fork server, a process has that server for its parent, which lives as long as the processes it
    started: neither would ever see that nobody needs them any more. What is watched here is a pipe whose other end the
    process that asked for this one holds. Where nobody did (the main process) nothing happens.
    """
    starter = multiprocessing.parent_process()
    if starter is None:
        return

    def watch() -> None:
        starter.join()
        os._exit(1)  # from a thread, whatever the main one waits for

    threading.Thread(target=watch, name="end_with_parent", daemon=True).start()
