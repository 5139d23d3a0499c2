"""Measure what motion costs the loaders: MCL's clips with motion computed on the fly or stored, beside CVRL's.

    python tools/bench_motion_loading.py --videos FOLDER [--json FILE]

Everything is measured in one run on one core, in turns on the same videos, four clips of 16 frames at stride 2 a video,
224 x 224, and reported as medians of the seconds the core worked. `cvrl` draws four independent clips with CVRL's two
recipes; `mcl without motion` draws MCL's four views (two of one clip) with its recipe; the others add the motion
sampler, the motion crop and the alignment target.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench_loading import BATCH_SIZE, catalog_of
from benchmark import Stopwatch, parser, print_ratios, report, take_one_core
from torch.utils.data import DataLoader

from vidssl.catalogs.catalog import Catalog
from vidssl.data.augmentation import CVRL_VIEW_1, CVRL_VIEW_2, MCL_VIEW
from vidssl.data.dataset import ClipDataset, collate
from vidssl.data.motion_sampling import MotionSampler
from vidssl.data.motion_source import MotionData
from vidssl.data.plan import MotionCrop
from vidssl.data.sampling import UniformSampler
from vidssl.jobs.shares import Share
from vidssl.jobs.video_processes import Processes
from vidssl.motion.settings import MotionSettings
from vidssl.motion.whole_catalog import MotionJob, compute_share, merge

NUM_CLIPS = 4
TARGETS = {"on_the_fly_over_cvrl": 1.5, "stored_over_cvrl": 1.15}


def datasets(catalog: Catalog, store: Path, settings: MotionSettings) -> dict[str, ClipDataset]:
    """Build what is compared, all with four views per video."""
    rows = catalog.split("all")
    views = [replace(MCL_VIEW, motion_crop=None)] * NUM_CLIPS  # data.motion says how all of them are cropped
    mcl = {"sampler": MotionSampler(), "recipes": views}
    motion = MotionData(settings=settings, crop=MotionCrop())
    stored = MotionData(settings=settings, crop=MotionCrop(), store=str(store))
    cvrl_recipes = [CVRL_VIEW_1, CVRL_VIEW_2] * (NUM_CLIPS // 2)
    return {
        "cvrl": ClipDataset(catalog, rows, UniformSampler(num_clips=NUM_CLIPS), cvrl_recipes, seed=0),
        "mcl without motion": ClipDataset(catalog, rows, MotionSampler(probability=0.0), views, seed=0),
        "mcl, motion on the fly": ClipDataset(catalog, rows, **mcl, seed=0, motion=motion),
        "mcl, motion stored": ClipDataset(catalog, rows, **mcl, seed=0, motion=stored),
    }


def figures(watch: Stopwatch, num_videos: int, settings: MotionSettings) -> dict[str, Any]:
    """Return the ratios and the raw figures."""
    seconds = {name: watch.median(name) for name in watch.seconds}
    return {
        "on_the_fly_over_cvrl": seconds["mcl, motion on the fly"] / seconds["cvrl"],
        "stored_over_cvrl": seconds["mcl, motion stored"] / seconds["cvrl"],
        "on_the_fly_over_no_motion": seconds["mcl, motion on the fly"] / seconds["mcl without motion"],
        "stored_over_no_motion": seconds["mcl, motion stored"] / seconds["mcl without motion"],
        "targets": TARGETS,
        "median_core_seconds_a_video": seconds,
        "core_seconds_a_video": dict(watch.seconds),
        "num_videos": num_videos,
        "estimator": settings.estimator,
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure on one core, and return the figures."""
    take_one_core()
    settings = MotionSettings(estimator=options.estimator)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "bench.motion")
        catalog = catalog_of(options.videos, options.num_videos, Path(folder, "bench.catalog"))
        job = MotionJob(catalog, settings, store)
        compute_share(job, Share(0, 1), Processes(1))
        merge(job)
        compared = datasets(catalog, store, settings)
        watch = Stopwatch()
        for epoch in range(-1, options.rounds):  # the first round loads libraries and fills caches
            for first in range(0, len(catalog), BATCH_SIZE):
                rows = range(first, min(first + BATCH_SIZE, len(catalog)))
                for name, dataset in compared.items():
                    loader = DataLoader(
                        dataset, batch_sampler=[[(max(epoch, 0), row) for row in rows]], collate_fn=collate
                    )
                    with watch.measure(name if epoch >= 0 else "warm-up", len(rows)):
                        list(loader)
        del watch.seconds["warm-up"]
        return figures(watch, len(catalog), settings)


def print_table(result: dict[str, Any]) -> None:
    """Print the seconds of every loader, then the ratios beside what they should be."""
    print(f"{'loader':<28}{'ms per video':>12}")
    for name, seconds in result["median_core_seconds_a_video"].items():
        print(f"{name:<28}{seconds * 1e3:>12.2f}")
    print()
    print_ratios(result, [*TARGETS, "on_the_fly_over_no_motion", "stored_over_no_motion"], TARGETS, "<=")


def main() -> None:
    """Read the command line, measure, report."""
    made = parser(__doc__)
    made.add_argument("--videos", type=Path, required=True, help="folder of videos, searched through")
    made.add_argument("--num-videos", type=int, default=12, help="videos to measure on, spread over the folder")
    made.add_argument("--rounds", type=int, default=3, help="how often each video has its turn")
    made.add_argument("--estimator", default=MotionSettings().estimator, help="flow estimator")
    report(made, run, print_table)


if __name__ == "__main__":
    main()
