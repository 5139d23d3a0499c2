"""How far flow estimators agree on one's own videos, and what each costs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from functools import partial
from itertools import combinations

import cv2
import numpy as np

from vidssl.catalogs.catalog import Catalog
from vidssl.errors import VidsslError
from vidssl.jobs.progress import show_progress
from vidssl.jobs.video_processes import Processes, over_videos
from vidssl.motion.maps import block_means, spatial_motion
from vidssl.motion.settings import MotionSettings

# Crops go by regions of 7 x 7 cells, and the alignment with the last feature map sees no finer.
COMPARED_CELLS = 7
# Below this correlation two estimators see motion in different places.
LITTLE_AGREEMENT = 0.3

Measured = dict[str, tuple[np.ndarray, float]]
"""For each estimator the S-motion of a video, float32 7 x 7, and the milliseconds a frame that it took."""


def settings_of_each(names: Sequence[str], settings: MotionSettings) -> dict[str, MotionSettings]:
    """Return the settings with each estimator in turn; the configured one and its fallback keep their options.

    Raises:
        VidsslError: fewer than two different names.
        UnknownNameError: an unknown estimator.
    """
    if len(set(names)) < 2:
        raise VidsslError(
            f"--compare needs two estimators or more, such as --compare codec dis; got {' '.join(names)}."
        )
    options = {settings.fallback: settings.fallback_options, settings.estimator: settings.options}
    return {name: dataclasses.replace(settings, estimator=name, options=options.get(name, {})) for name in names}


def compare_estimators(
    catalog: Catalog, settings: dict[str, MotionSettings], num_videos: int, processes: Processes
) -> str:
    """Compute the motion of videos evenly picked from a catalog by several estimators; return what to print.

    Raises:
        VidsslError: none of the videos can be read, or an estimator is not available.
    """
    rows = np.unique(np.linspace(0, len(catalog) - 1, min(num_videos, len(catalog))).round().astype(int))
    paths = [catalog.place(row) for row in rows.tolist()]
    found: dict[str, Measured] = {}
    reasons: dict[str, str] = {}
    with show_progress(len(paths), "comparing estimators", "motion of") as watch:
        watch(0, 0)
        for path, outcome in over_videos(paths, partial(measure_video, settings=settings), processes):
            if isinstance(outcome, str):
                reasons[path] = outcome
            else:
                found[path] = outcome
            watch(len(found) + len(reasons), len(reasons))
    if not found:
        raise VidsslError(f"None of the {len(paths)} videos has motion; the first, {paths[0]}: {reasons[paths[0]]}.")
    words = f"{len(found):,} of {len(catalog):,} videos, evenly picked"
    unread = f"; {len(reasons):,} more cannot be read" if reasons else ""
    return "\n".join([f"compared on {words}{unread}", *_costs(list(found.values())), *_pairs(list(found.values()))])


def measure_video(path: str, settings: dict[str, MotionSettings]) -> Measured:
    """Compute the motion of a video by each estimator.

    Raises:
        DecodingError: the video cannot be read.
    """
    from vidssl.motion.extract import video_motion

    cv2.setNumThreads(1)  # the processes are the parallelism
    measured = {}
    for name, one in settings.items():
        started = time.process_time()
        motion = video_motion(path, one)
        milliseconds = 1000 * (time.process_time() - started) / motion.num_frames
        measured[name] = block_means(spatial_motion(motion.maps), COMPARED_CELLS, COMPARED_CELLS), milliseconds
    return measured


def _costs(videos: list[Measured]) -> list[str]:
    lines = [f"  {'estimator':<24}{'ms per frame':>12}{'nothing moves':>16}"]
    for name in videos[0]:
        cost = np.mean([video[name][1] for video in videos])
        still = sum(not video[name][0].any() for video in videos)
        lines.append(f"  {name:<24}{cost:>12.2f}{f'{still:,} videos':>16}")
    return lines


def _pairs(videos: list[Measured]) -> list[str]:
    """Return a line for each two estimators, over the videos in which both see something move."""
    lines = [f"  {'where it moves':<24}{'median r':>12}{f'r below {LITTLE_AGREEMENT}':>16}{'videos':>10}"]
    for first, second in combinations(videos[0], 2):
        both = [(video[first][0], video[second][0]) for video in videos]
        found = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in both if a.any() and b.any()]
        line = f"  {f'{first} and {second}':<24}"
        if found:
            line += f"{np.median(found):>12.2f}{f'{100 * np.mean(np.less(found, LITTLE_AGREEMENT)):.0f} %':>16}"
        else:
            line += f"{'-':>12}{'-':>16}"
        lines.append(f"{line}{len(found):>10,}")
    return lines
