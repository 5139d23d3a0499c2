"""Measure what packing videos costs once, and what it saves in every epoch after that.

    python tools/bench_packing.py --videos FOLDER [--json FILE]

Each video is packed by each preset. Then sources and packed videos are read in turns in one run on one core: decoding
of two clips of 16 frames at stride 2 a video, and our loader with the augmentation of CVRL (224 x 224), with all of it
or without the colours (``data.loading.colours: device``; the device's share is not measured). The seconds are
those that the core worked for this process; the table shows medians, the ratios are those of sums. The likeness is that
of the packed frames to those of the source in RGB, resized to the packed size where that is another.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from bench_loading import BATCH_SIZE, RECIPES, catalog_of
from benchmark import Stopwatch, parser, print_ratios, report, take_one_core
from torch.utils.data import DataLoader

from vidssl.catalogs.catalog import Catalog, write_catalog
from vidssl.data.dataset import SAMPLING_STREAM, ClipDataset, collate
from vidssl.data.sampling import IntervalSampler
from vidssl.video.decoding import read_frames
from vidssl.video.encoding import PRESETS, pack

SOURCES = "sources"
COMPARED_FRAMES = 16  # of a video, evenly spaced
COLOURS = {"loader": "loader", "device loader": "device"}  # stage: who changes them
TARGETS = {"loader_speedup_fast": 2.5, "device_loader_speedup_fast": 3.3, "likeness_db_fast": 36.0}
MOST = {"bytes_share_fast": 1.05}


def packed_catalog(sources: Catalog, preset: str, folder: Path) -> tuple[Catalog, float]:
    """Pack every video; return the catalog of the results, and the seconds that the core worked on them."""
    rows, started = [], time.process_time()
    folder.mkdir()
    for number, video in enumerate(sources):
        packed = pack(sources.place(number), PRESETS[preset], video.fps)
        (folder / f"{number}.mp4").write_bytes(packed.contents)
        rows.append(replace(video, path=f"{number}.mp4", width=packed.width, height=packed.height))
    seconds = time.process_time() - started
    write_catalog(folder / "x.catalog", rows, classes=[], group_names=[], splits={}, root=folder, source={})
    return Catalog.open(folder / "x.catalog"), seconds


def likeness_db(sources: Catalog, packed: Catalog) -> float:
    """Return the mean of the videos' peak signal-to-noise ratios, in dB."""
    values = []
    for row in range(len(sources)):
        numbers = np.unique(np.linspace(0, sources[row].num_frames - 1, COMPARED_FRAMES).astype(int))
        frames, wanted = read_frames(packed.place(row), numbers), read_frames(sources.place(row), numbers)
        if wanted.shape != frames.shape:
            size = frames.shape[2:0:-1]
            wanted = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in wanted])
        error = np.mean((frames.astype(np.float32) - wanted) ** 2)
        values.append(10 * np.log10(255**2 / max(float(error), 1e-3)))
    return float(np.mean(values))


def num_bytes(catalog: Catalog) -> int:
    """Return the bytes of all videos."""
    return sum(os.path.getsize(catalog.place(row)) for row in range(len(catalog)))


class Bench:
    """The same clips from each of several catalogs of the same videos.

    Args:
        catalogs: by name.
        seed: key of every draw.
    """

    def __init__(self, catalogs: Mapping[str, Catalog], seed: int) -> None:
        self.seed, self.sampler, self.stopwatch = seed, IntervalSampler(), Stopwatch()
        self.catalogs = catalogs
        self.datasets = {
            f"{stage}, {name}": ClipDataset(
                catalog, catalog.split("all"), self.sampler, RECIPES, seed=seed, colours=colours
            )
            for name, catalog in catalogs.items()
            for stage, colours in COLOURS.items()
        }

    def turn(self, epoch: int, rows: list[int]) -> None:
        """Measure every catalog once on the clips of these videos."""
        num_clips = len(RECIPES) * len(rows)
        for name, catalog in self.catalogs.items():
            jobs = [(catalog.place(row), self._indices(catalog, epoch, row)) for row in rows]
            with self.stopwatch.measure(f"decoding, {name}", num_clips):
                for place, indices in jobs:
                    read_frames(place, indices)
        for stage, dataset in self.datasets.items():
            loader = DataLoader(dataset, batch_sampler=[[(epoch, row) for row in rows]], collate_fn=collate)
            with self.stopwatch.measure(stage, num_clips):
                list(loader)

    def _indices(self, catalog: Catalog, epoch: int, row: int) -> np.ndarray:
        """The frame numbers that the dataset samples, both clips one after the other."""
        rng = np.random.default_rng([self.seed, epoch, row, SAMPLING_STREAM])
        return np.concatenate(self.sampler(catalog[row].num_frames, rng))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure on one core, and return the figures."""
    take_one_core()
    with tempfile.TemporaryDirectory() as folder:
        sources = catalog_of(options.videos, options.num_videos, Path(folder, "bench.catalog"))
        made = {name: packed_catalog(sources, name, Path(folder, name)) for name in options.presets}
        catalogs = {SOURCES: sources, **{name: catalog for name, (catalog, _) in made.items()}}
        Bench(catalogs, options.seed).turn(0, [0])  # loads libraries, fills caches
        bench = Bench(catalogs, options.seed)
        numbers = list(range(len(sources)))
        for epoch in range(options.rounds):
            for first in range(0, len(numbers), BATCH_SIZE):
                bench.turn(epoch, numbers[first : first + BATCH_SIZE])
        figures: dict[str, Any] = {"num_videos": len(sources), "targets": {**TARGETS, **MOST}}
        watch = bench.stopwatch
        for name, (catalog, seconds) in made.items():
            total = {stage: sum(seconds) for stage, seconds in watch.seconds.items()}
            for stage in ("decoding", *COLOURS):
                before = total[f"{stage.removeprefix('device ')}, {SOURCES}"]  # the loader as it was, with all colours
                figures[f"{stage.replace(' ', '_')}_speedup_{name}"] = before / total[f"{stage}, {name}"]
            figures[f"bytes_share_{name}"] = num_bytes(catalog) / num_bytes(sources)
            figures[f"likeness_db_{name}"] = likeness_db(sources, catalog)
            figures[f"core_seconds_a_video_{name}"] = seconds / len(sources)
        figures["median_core_seconds_a_clip"] = {stage: watch.median(stage) for stage in watch.seconds}
        return figures


def print_table(figures: dict[str, Any]) -> None:
    """Print clips per second of every stage, then what each preset costs and saves."""
    print(f"{'stage':<28}{'ms per clip':>12}{'clips/s':>12}")
    for stage, seconds in figures["median_core_seconds_a_clip"].items():
        print(f"{stage:<28}{seconds * 1e3:>12.2f}{1 / seconds:>12.2f}")
    print()
    names = [name for name in figures if isinstance(figures[name], float)]
    print_ratios(figures, [name for name in names if name not in MOST], TARGETS, ">=")
    print_ratios(figures, [name for name in names if name in MOST], MOST, "<=")


def main() -> None:
    """Read the command line, measure, report."""
    made = parser(__doc__)
    made.add_argument("--videos", type=Path, required=True, help="folder of videos, searched through")
    made.add_argument("--num-videos", type=int, default=8, help="videos to measure on, spread over the folder")
    made.add_argument("--rounds", type=int, default=3, help="how often each video has its turn")
    made.add_argument("--presets", nargs="+", default=["fast", "small"], choices=PRESETS, help="to compare")
    made.add_argument("--seed", type=int, default=0, help="key of every draw")
    report(made, run, print_table)


if __name__ == "__main__":
    main()
