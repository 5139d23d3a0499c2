"""Time the decoders against one another on given files, in one run on one core.

python tools/bench_decoding.py VIDEO_OR_FOLDER... [--json FILE]
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import evenly_picked, parser, report, take_one_core, take_turns

from vidssl.catalogs.listing.files import scan_videos
from vidssl.errors import VidsslError
from vidssl.video.decoding import available_decoders, probe, read_frames


def main() -> None:
    """Parse the command line, measure, print the table."""
    made = parser(__doc__)
    made.add_argument("paths", nargs="+", type=Path, help="videos, or folders of videos")
    made.add_argument("--clips", type=int, default=2, help="clips per video, read in one call")
    made.add_argument("--frames", type=int, default=16, help="frames per clip")
    made.add_argument("--stride", type=int, default=2, help="frames from one to the next of a clip")
    made.add_argument("--max-videos", type=int, default=30, help="how many videos, evenly picked")
    made.add_argument("--repeats", type=int, default=3, help="times each video is read; the fastest counts")
    made.add_argument("--seed", type=int, default=0, help="of the clips' positions")
    report(made, measure, print_table)


def draw_jobs(arguments: argparse.Namespace) -> list[tuple[Path, np.ndarray]]:
    """Return videos and the distinct frame numbers to read from each: the union of its clips."""
    files = [[path] if path.is_file() else [path / name for name in scan_videos(path)] for path in arguments.paths]
    videos = evenly_picked(sorted(file for several in files for file in several), arguments.max_videos)
    rng = np.random.default_rng(arguments.seed)
    return [(video, draw_frames(probe(video).num_frames, rng, arguments)) for video in videos]


def draw_frames(num_frames: int, rng: np.random.Generator, arguments: argparse.Namespace) -> np.ndarray:
    """Return the distinct frame numbers of clips placed uniformly in a video."""
    offsets = np.arange(arguments.frames) * arguments.stride
    starts = rng.integers(0, max(1, num_frames - offsets[-1]), arguments.clips)
    return np.unique((starts[:, None] + offsets) % num_frames)


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Read videos with every decoder, taking turns, and return one row a decoder, the fastest first."""
    take_one_core()
    jobs = draw_jobs(arguments)
    decoders = available_decoders()
    least = [
        take_turns({name: partial(time_one, path, indices, name) for name in decoders}, arguments.repeats)
        for path, indices in jobs
    ]
    fastest = {name: np.array([seconds[name] for seconds in least]) for name in decoders}
    read_by_all = np.all([np.isfinite(seconds) for seconds in fastest.values()], axis=0)
    num_frames = np.array([len(indices) for _, indices in jobs])[read_by_all].sum()
    num_clips = int(read_by_all.sum()) * arguments.clips
    if num_clips == 0:
        raise VidsslError("No video is read by every decoder.")
    totals = {name: float(seconds[read_by_all].sum()) for name, seconds in fastest.items()}
    best = min(totals.values())
    return [
        {
            "decoder": name,
            "ms_per_frame": 1000 * total / int(num_frames),
            "ms_per_clip": 1000 * total / num_clips,
            "clips_per_second": num_clips / total,
            "times_the_fastest": total / best,
            "videos": int(read_by_all.sum()),
        }
        for name, total in sorted(totals.items(), key=lambda item: item[1])
    ]


def time_one(path: Path, indices: np.ndarray, decoder: str) -> float:
    """Return the seconds one call takes; infinite if this decoder cannot read the file."""
    start = time.perf_counter()
    try:
        read_frames(path, indices, decoder=decoder)
    except VidsslError:
        return np.inf
    return time.perf_counter() - start


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print one line a decoder."""
    print(f"{rows[0]['videos']} videos that every decoder reads")
    print(f"{'decoder':<12}{'ms/frame':>10}{'ms/clip':>10}{'clips/s':>10}{'ratio':>8}")
    for row in rows:
        print(
            f"{row['decoder']:<12}{row['ms_per_frame']:>10.3f}{row['ms_per_clip']:>10.2f}"
            f"{row['clips_per_second']:>10.1f}{row['times_the_fastest']:>8.2f}"
        )


if __name__ == "__main__":
    main()
