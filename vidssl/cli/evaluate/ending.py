"""Ends a measurement within seconds of a signal, with a message."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import active_children
from types import FrameType

from vidssl.jobs.signals import ENDING_SIGNALS, SHELL_CODE

GRACE_SECONDS = 3.0  # in which what runs may give its files back; a clip of a large network takes longer on a CPU
MOMENT_SECONDS = 0.5  # within which a signal to all processes reaches this one, too


@contextmanager
def signals_reported() -> Iterator[None]:
    """Let SIGTERM and Ctrl-C end the process with one sentence and the exit code of shells, also in mid-computation.

    Python calls a handler only between two of its own instructions, so a thread looks at the signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    watch = _Watch()
    before = {number: signal.signal(number, _end_orderly) for number in ENDING_SIGNALS}
    watch.start()
    try:
        yield
    except (SystemExit, KeyboardInterrupt, RuntimeError):
        # the loader workers may have ended first, by the same signal
        if watch.seen.wait(MOMENT_SECONDS):
            watch.report()
            raise SystemExit(SHELL_CODE + watch.number) from None
        raise
    finally:
        watch.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_orderly(number: int, frame: FrameType | None) -> None:
    raise SystemExit(SHELL_CODE + number)


class _Watch:
    """A thread that learns of signals through a socket, as Python offers it, whoever has installed which handler."""

    def __init__(self) -> None:
        self.number = 0
        self.seen = threading.Event()
        self._ended = threading.Event()
        self._reported = threading.Lock()
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)

    def start(self) -> None:
        self._before = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._look, daemon=True).start()

    def stop(self) -> None:
        self._ended.set()
        signal.set_wakeup_fd(self._before)
        self._writing.close()  # ends the thread

    def report(self) -> None:
        """Say which signal it was, once."""
        if self._reported.acquire(blocking=False):
            name = signal.Signals(self.number).name
            print(
                f"vidssl: ended by the signal {name}. Records of what was measured and features that are complete are "
                "kept; the same command goes on from there.",
                file=sys.stderr,
                flush=True,
            )

    def _look(self) -> None:
        with self._reading:
            while received := self._reading.recv(1):
                if received[0] in ENDING_SIGNALS:
                    break
            else:
                return
        self.number = received[0]
        self.seen.set()
        if self._ended.wait(GRACE_SECONDS):
            return
        self.report()
        for child in active_children():
            child.kill()
        os._exit(SHELL_CODE + self.number)
