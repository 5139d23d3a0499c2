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
def show_progress(total: int) -> Iterator[Callable[[int, int], None]]:
    """Show the probing of `total` videos on the standard error stream: a bar, or a line now and then in a log.

    Yields:
        What to call with the number of videos done and of bad ones among them.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(total)
        return
    columns = [
        TextColumn("probing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[bad]} bad"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("probing", total=total, bad=0)
        yield lambda done, bad: progress.update(task, completed=done, bad=bad)


class _Lines:
    def __init__(self, total: int) -> None:
        self._total = total
        self._first: tuple[int, float] | None = None  # what earlier runs did tells nothing about the speed
        self._last_line = time.monotonic()

    def __call__(self, done: int, bad: int) -> None:
        now = time.monotonic()
        self._first = self._first or (done, now)
        if now - self._last_line < SECONDS_BETWEEN_LINES and done < self._total:
            return
        self._last_line = now
        line = f"probed {done:,} of {self._total:,} videos, {bad:,} bad"
        first_done, first_time = self._first
        if first_done < done < self._total:
            line += f", {_duration((now - first_time) / (done - first_done) * (self._total - done))} left"
        print(line, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes = max(round(seconds / 60), 1)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
