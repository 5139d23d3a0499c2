"""What the benchmarks have in common: command line, clocks, turns, processes of their own, output."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vidssl.errors import VidsslError

Answer = TypeVar("Answer")
Item = TypeVar("Item")
Figures = dict[str, Any]
"""What JSON can hold."""

SECONDS_BETWEEN_LOOKS = 0.02
ROWS_WRITTEN_AT_ONCE = 8192


# --- the command line ---


class _Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """The description as it is written, and the default of every option."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the option ``--json``.

    Args:
        description: docstring of the benchmark.
    """
    made = argparse.ArgumentParser(description=description, formatter_class=_Help)
    made.add_argument(
        "--json", type=Path, metavar="FILE", default=argparse.SUPPRESS, help="also write all figures there"
    )
    return made


def report(
    made: argparse.ArgumentParser,
    measure: Callable[[argparse.Namespace], Answer],
    print_table: Callable[[Answer], None] = lambda figures: None,
) -> None:
    """Read the command line, measure, print the table and write the file of ``--json``."""
    options = made.parse_args()
    try:
        figures = measure(options)
    except VidsslError as error:
        made.exit(1, f"{error}\n")
    print_table(figures)
    if "json" in options:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def print_ratios(figures: Figures, names: Iterable[str], targets: Mapping[str, float], sign: str) -> None:
    """Print ratios beside what they should be, which `sign` says is the least or the most."""
    for name in names:
        target = f"target {sign} {targets[name]:g}" if name in targets else ""
        print(f"{name:<28}{figures[name]:>12.2f}    {target}")


# --- time ---


def take_one_core() -> None:
    """Bind this process and every library in it to one core."""
    import cv2
    import torch

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def core_seconds(work: Callable[[], Any]) -> float:
    """Return the seconds that this process's cores worked."""
    start = time.process_time()
    work()
    return time.process_time() - start


def take_turns(clocks: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Return the least of several measurements of each work, all taking turns.

    Args:
        clocks: each does its work and returns the seconds.
        repeats: measurements of each.
    """
    least = dict.fromkeys(clocks, np.inf)
    for _ in range(repeats):
        for name, clock in clocks.items():
            least[name] = min(least[name], clock())
    return least


class Stopwatch:
    """Core seconds a piece of every measure of every stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def measure(self, stage: str, num_pieces: int) -> Iterator[None]:
        """Time the body, which handles `num_pieces` pieces."""
        start = time.process_time()
        yield
        self.seconds[stage].append((time.process_time() - start) / num_pieces)

    def median(self, stage: str) -> float:
        """Return the median of a stage's seconds a piece."""
        return statistics.median(self.seconds[stage])


# --- time and memory, in a process of its own ---


def in_a_process(work: Callable[..., Any], *arguments: Any, method: str = "spawn") -> Any:
    """Return what `work` returns in a process started by `method`: "fork" inherits the arguments."""
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=_send, args=(theirs, work, arguments))
    process.start()
    theirs.close()
    answer = ours.recv()
    process.join()
    return answer


def _send(connection: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    connection.send(work(*arguments))


class _PeakOfOwnMemory(threading.Thread):
    """Looks at this process's memory again and again, without pages of mapped files, which are only borrowed."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mib = 0.0
        self.finished = threading.Event()

    def run(self) -> None:
        """Look until it is told to stop."""
        while not self.finished.wait(SECONDS_BETWEEN_LOOKS):
            fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            self.mib = max(self.mib, int(fields["RssAnon"].split()[0]) / 1024)


def with_costs(work: Callable[[], Answer]) -> tuple[Answer, dict[str, float]]:
    """Return what `work` returns, and the time and the memory that it took."""
    memory = _PeakOfOwnMemory()
    memory.start()
    wall, cpu = time.perf_counter(), time.process_time()
    answer = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    memory.finished.set()
    costs = {
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "peak_own_memory_mib": memory.mib,
        "peak_resident_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    return answer, costs


def told_costs(costs: Mapping[str, float]) -> str:
    """Return the costs as text."""
    return (
        f"wall {costs['wall_seconds']:7.1f} s   CPU {costs['cpu_seconds']:7.1f} s   "
        f"own memory {costs['peak_own_memory_mib']:6.0f} MiB   resident {costs['peak_resident_mib']:6.0f} MiB"
    )


# --- what is measured on ---


def evenly_picked(items: Sequence[Item], limit: int) -> list[Item]:
    """Return at most `limit` items, from the first to the last."""
    return [items[place] for place in np.unique(np.linspace(0, len(items) - 1, limit).astype(int))]


def write_rows(file: Path, num_rows: int, draw: Callable[[int, int], np.ndarray]) -> None:
    """Write rows of float32, a few thousand at a time.

    Args:
        file: to write.
        num_rows: in all.
        draw: returns those from one number up to another.
    """
    with file.open("wb") as stream:
        for start in range(0, num_rows, ROWS_WRITTEN_AT_ONCE):
            draw(start, min(start + ROWS_WRITTEN_AT_ONCE, num_rows)).tofile(stream)
