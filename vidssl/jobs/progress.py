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
