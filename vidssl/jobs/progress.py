"""How far a long piece of work has got, on a terminal or in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def show_progress(total: int, doing: str = "probing", done: str = "probed") -> Iterator[Callable[[int, int], None]]:
    """Show the work on `total` videos on the standard error stream: a bar, or a line now and then in a log.

    Args:
        total: number of videos.
        doing: what is being done, beside the bar.
        done: what has been done, at the beginning of a line.

    Yields:
        What to call with the number of videos done and of bad ones among them.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(total, done)
        return
    columns = [
        TextColumn(doing),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[bad]} bad"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(doing, total=total, bad=0)
        yield lambda done, bad: progress.update(task, completed=done, bad=bad)


def run_with_progress(
    work: Callable[[Callable[[int, int], None]], None], total: int, *, doing: str, done: str, finished: str
) -> bool:
    """Do work that can be continued, showing how far it has got, and print how long it took.

    Args:
        work: gets what `show_progress` yields.
        total: number of videos.
        doing: what is being done, beside the bar.
        done: what has been done, at the beginning of a line.
        finished: the same, before the time that it took.

    Returns:
        False if Ctrl-C interrupted it, which is reported.
    """
    started = time.monotonic()
    try:
        with show_progress(total, doing, done) as watch:
            work(watch)
    except KeyboardInterrupt:
        print("Interrupted. Give the same command again to continue.", file=sys.stderr)
        return False
    seconds = time.monotonic() - started
    print(f"{finished} in {duration_text(seconds) if seconds > 90 else f'{seconds:.0f} s'}", flush=True)
    return True


class _Lines:
    def __init__(self, total: int, done: str) -> None:
        self._total = total
        self._done = done
        self._first: tuple[int, float] | None = None  # what earlier runs did tells nothing about the speed
        self._last_line = time.monotonic()

    def __call__(self, done: int, bad: int) -> None:
        now = time.monotonic()
        self._first = self._first or (done, now)
        if now - self._last_line < SECONDS_BETWEEN_LINES and done < self._total:
            return
        self._last_line = now
        line = f"{self._done} {done:,} of {self._total:,} videos, {bad:,} bad"
        first_done, first_time = self._first
        if first_done < done < self._total:
            line += f", {duration_text((now - first_time) / (done - first_done) * (self._total - done))} left"
        print(line, file=sys.stderr, flush=True)


def duration_text(seconds: float) -> str:
    """Return a time in words, in whole minutes and at least one."""
    minutes = max(round(seconds / 60), 1)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
