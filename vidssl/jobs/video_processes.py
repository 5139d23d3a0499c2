"""Work on videos in processes that may crash or hang without taking anything else along.

A pool of the standard library does not do: it waits forever for a process that died, and cannot end one that hangs.
Here every process holds one video at a time, so whoever dies or stays silent, it is known which video it was.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from vidssl.errors import VidsslError
from vidssl.jobs.parent import end_with_parent
from vidssl.jobs.signals import start_without_interrupts
from vidssl.video.decoding import DecodingError

Answer = TypeVar("Answer")
Work = Callable[[str], Answer]
"""Takes the path of a video and answers with anything but a string, or raises `DecodingError`; survives pickling."""

_START_SECONDS = 120.0  # importing a decoder from a slow network disk takes a while
_END_SECONDS = 5.0
_GRACE_SECONDS = 10.0
# what a process sends: that it has begun with a video, then one of the others
_BEGUN, _ANSWER, _REASON, _HOPELESS = "begun", "answer", "reason", "hopeless"


def usable_cores() -> int:
    """Return on how many cores this process may run."""
    # a job of a cluster may use fewer cores than the machine has, but not every system can say so
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """Return how many processes work where nobody says: one a core."""
    # the processes that torchrun starts on one machine divide its cores
    return max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1") or 1))


@dataclass(frozen=True)
class Processes:
    """How many processes work, and for how long on a video.

    Attributes:
        num_workers: processes, each with one video at a time.
        timeout_seconds: a video that takes longer is given up.

    Raises:
        VidsslError: no process, or no time.
    """

    num_workers: int = field(default_factory=usable_cores)
    timeout_seconds: float = 120.0

    def __post_init__(self) -> None:
        if self.num_workers < 1:
            raise VidsslError(f"The videos need at least one process, not {self.num_workers}.")
        if not self.timeout_seconds > 0:
            raise VidsslError(f"The timeout of a video must be above 0 seconds, not {self.timeout_seconds:g}.")


def over_videos(paths: Iterable[str], work: Work[Answer], processes: Processes) -> Iterator[tuple[str, Answer | str]]:
    """Work on videos in parallel; yield each path with the answer, or with the reason for its absence.

    The order is that in which the answers come. Leaving the loop early ends all processes.

    Raises:
        VidsslError: the processes cannot start, or `work` raised one that is no `DecodingError` and so holds for
            every video (an unknown decoder).
    """
    waiting = iter(paths)
    first = [path for _, path in zip(range(processes.num_workers), waiting, strict=False)]
    workers = [_Worker(path, work, processes.timeout_seconds) for path in first]
    try:
        while workers:
            for worker in _due(workers):
                outcome = worker.outcome()
                if outcome is None:  # it has only just begun
                    continue
                yield worker.path, outcome
                path = next(waiting, None)
                if path is None:
                    workers.remove(worker)
                    worker.end()
                else:
                    worker.give(path)
    finally:
        for worker in workers:
            worker.kill()


class _Worker:
    """A process and the video it holds; a process that died or was killed is replaced by the next video."""

    def __init__(self, path: str, work: Work[Any], timeout_seconds: float) -> None:
        self._work = work
        self._timeout_seconds = timeout_seconds
        self._start()
        self.give(path)

    def _start(self) -> None:
        # not a fork: decoders have threads, and a forked process would hold the others' ends of the pipes
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        arguments = (theirs, self._work, self._timeout_seconds)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        start_without_interrupts(self._process)
        theirs.close()
        self._has_begun_any = False

    def give(self, path: str) -> None:
        """Hand over the next video, to a new process where the old one has gone."""
        self.path = path
        self._has_begun = False
        if self.connection.closed:
            self._start()
        self.deadline = time.monotonic() + _START_SECONDS
        try:
            self.connection.send(path)
        except BrokenPipeError:  # it died after its last answer
            self.kill()
            self.give(path)

    def outcome(self) -> Any:
        """Return the answer, or why it is missing (a string); None when the process has only now begun with it."""
        if not self.connection.poll():
            return self._give_up()
        try:
            kind, answer = self.connection.recv()
        except (EOFError, OSError):
            return self._crashed()
        if kind == _BEGUN:
            self._has_begun = self._has_begun_any = True
            self.deadline = time.monotonic() + self._timeout_seconds
            return None
        if kind == _HOPELESS:
            raise VidsslError(answer)
        return answer

    def end(self) -> None:
        """Let an idle process go home."""
        self.connection.close()
        self._process.join(_END_SECONDS)
        self._process.kill()

    def kill(self) -> int | None:
        """End the process, even if it hangs; return its exit code."""
        self.connection.close()
        self._process.kill()
        self._process.join()
        return self._process.exitcode

    def _give_up(self) -> str:
        self.kill()
        if not self._has_begun:
            raise VidsslError(f"A process for the videos did not start within {_START_SECONDS:g} s; try again.")
        return f"no answer within {self._timeout_seconds:g} s"

    def _crashed(self) -> str | None:
        self._process.join(_END_SECONDS)  # its end of the pipe closes a moment before its exit code is known
        exit_code = self.kill()
        how = f"signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"exit code {exit_code}"
        if self._has_begun:
            return f"decoding crashed ({how})"
        if not self._has_begun_any:
            raise VidsslError(f"A process for the videos ended before its first video ({how}); see above for why.")
        self.give(self.path)  # it died of an earlier video; this one is innocent
        return None


def _due(workers: list[_Worker]) -> list[_Worker]:
    """Wait until a process answers, dies or has had its time; return those."""
    patience = min(worker.deadline for worker in workers) - time.monotonic()
    answered = wait([worker.connection for worker in workers], timeout=max(patience, 0))
    now = time.monotonic()
    return [worker for worker in workers if worker.connection in answered or worker.deadline <= now]


def _serve(connection: Connection, work: Work[Any], timeout_seconds: float) -> None:
    """Work on one video after another, in a process of its own."""
    end_with_parent()
    _silence()
    while True:
        try:
            path = connection.recv()
        except EOFError:
            return
        connection.send((_BEGUN, None))
        _limit_life(timeout_seconds + _GRACE_SECONDS)
        answer = _answer(work, path)
        _limit_life(0)
        connection.send(answer)


def _answer(work: Work[Any], path: str) -> tuple[str, Any]:
    try:
        return _ANSWER, work(path)
    except DecodingError as error:
        return _REASON, error.reason
    except VidsslError as error:
        return _HOPELESS, str(error)
    except Exception as error:  # whatever a broken file makes a decoder raise, it is that file's reason
        return _REASON, f"{type(error).__name__}: {error}"


def _limit_life(seconds: float) -> None:
    # when the parent was killed, nobody else ends a process that hangs in native code; 0 takes the limit off
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _silence() -> None:
    # native decoders print whatever they dislike in a file; the reasons come as answers
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
