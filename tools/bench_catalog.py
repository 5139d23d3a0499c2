"""Measure what a catalog of a million videos costs a loader worker: bytes pickled, memory, time.

    python tools/bench_catalog.py --json FILE

A Python list of the same rows, as a data set would hold it without a catalog, is measured beside it.
"""

from __future__ import annotations

import argparse
import gc
import pickle
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import in_a_process, parser, report

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog

NUM_CLASSES = 700
ROWS_READ = 100_000  # about what one of ten workers asks for in an epoch


def make_rows(count: int, per_shard: int) -> list[VideoRow]:
    """Make rows with names as long as those of Kinetics, in files of their own or so many to a tar shard."""
    return [
        VideoRow(
            path=f"train/class {number % NUM_CLASSES:03d}/{number:011d}_000012_000022.mp4",
            label=number % NUM_CLASSES,
            group=-1,
            num_frames=250 + number % 50,
            fps=25.0 + number % 5,
            width=340,
            height=256,
            duration_seconds=10.0 + number % 7,
            num_bytes=10**6 + number,
            changed_ns=number,
            content=number,
            shard=f"shard-{number // per_shard:06d}.tar" if per_shard else "",
            offset=number % per_shard * 10**6 if per_shard else -1,
        )
        for number in range(count)
    ]


def memory_kib() -> dict[str, int]:
    """Return this process's memory in KiB: all it sees, and what it shares with nobody and has changed."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return {name: int(fields[name].split()[0]) for name in ("Rss", "Private_Dirty")}


def read_at_random(given: bytes | Sequence[VideoRow], num_rows: int) -> dict[str, float]:
    """Read rows at random, as a loader worker does; return the memory this took, in MiB, and the time of a row.

    Args:
        given: the rows, or what they are pickled.
        num_rows: how many.
    """
    order = np.random.default_rng(0).integers(num_rows, size=ROWS_READ).tolist()
    gc.collect()
    before = memory_kib()
    rows = pickle.loads(given) if isinstance(given, bytes) else given
    start = time.perf_counter()
    frames = sum(rows[number].num_frames for number in order)
    microseconds = (time.perf_counter() - start) / len(order) * 1e6
    after = memory_kib()
    grown = {name: (after[name] - before[name]) / 1024 for name in after}
    return {
        "own_memory_mib": grown["Private_Dirty"],
        "mapped_or_own_memory_mib": grown["Rss"],
        "microseconds_a_row": microseconds,
        "frames": frames,
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure a catalog, and a list, of as many rows as the options say."""
    with tempfile.TemporaryDirectory() as folder:
        return measure_in(Path(folder), options.videos, options.per_shard)


def measure_in(folder: Path, num_videos: int, per_shard: int) -> dict[str, Any]:
    """Measure a catalog written to a folder, and a list."""
    listed = make_rows(num_videos, per_shard)
    path = folder / "bench.catalog"
    start = time.perf_counter()
    write_catalog(
        path,
        listed,
        classes=[f"class {number:03d}" for number in range(NUM_CLASSES)],
        group_names=[],
        splits={"train": range(num_videos)},
        root="videos",
        source={},
    )
    write_seconds = time.perf_counter() - start
    start = time.perf_counter()
    catalog = Catalog.open(path)
    figures: dict[str, Any] = {
        "num_videos": num_videos,
        "file_mib": path.stat().st_size / 2**20,
        "write_seconds": write_seconds,
        "open_milliseconds": (time.perf_counter() - start) * 1e3,
    }
    for name, rows in {"catalog": catalog, "list": listed}.items():
        pickled = pickle.dumps(rows)
        figures[name] = {
            "pickled_bytes": len(pickled),
            "fork": in_a_process(read_at_random, rows, num_videos, method="fork"),
            "spawn": in_a_process(read_at_random, pickled, num_videos),
        }
    return figures


def print_table(figures: dict[str, Any]) -> None:
    """Print the figures for people."""
    print(
        f"{figures['num_videos']:,} videos: a file of {figures['file_mib']:.0f} MiB, written in "
        f"{figures['write_seconds']:.1f} s, opened in {figures['open_milliseconds']:.1f} ms"
    )
    print(f"{ROWS_READ:,} rows read in a worker   pickled bytes   own MiB   with mapped MiB   microseconds a row")
    for name in ("catalog", "list"):
        for method in ("fork", "spawn"):
            costs = figures[name][method]
            print(
                f"{name + ', ' + method:<31}{figures[name]['pickled_bytes']:>13,}{costs['own_memory_mib']:>10.1f}"
                f"{costs['mapped_or_own_memory_mib']:>18.1f}{costs['microseconds_a_row']:>21.1f}"
            )


def main() -> None:
    """Measure, print, and write the figures if asked."""
    made = parser(__doc__)
    made.add_argument("--videos", type=int, default=1_000_000, metavar="N", help="rows of the catalog")
    made.add_argument("--per-shard", type=int, default=0, metavar="N", help="videos of a tar shard; 0: a file each")
    report(made, measure, print_table)


if __name__ == "__main__":
    main()
