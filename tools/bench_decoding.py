"""Time the decoders against one another on given files, in one run on one core.

python tools/bench_decoding.py VIDEO_OR_FOLDER... [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from vidssl.errors import VidsslError
from vidssl.video.decoding import available_decoders, probe, read_frames

VIDEO_SUFFIXES = {".avi", ".mp4", ".mkv", ".webm", ".mov"}


def main() -> None:
    """Parse the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("paths", nargs="+", type=Path, help="videos, or folders of videos")
    parser.add_argument("--clips", type=int, default=2, help="clips a video, read in one call")
    parser.add_argument("--frames", type=int, default=16, help="frames a clip")
    parser.add_argument("--stride", type=int, default=2, help="frames from one to the next of a clip")
    parser.add_argument("--max-videos", type=int, default=30, help="how many videos, evenly picked")
    parser.add_argument("--repeats", type=int, default=3, help="times each video is read; the fastest counts")
    parser.add_argument("--seed", type=int, default=0, help="of the clips' positions")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    use_one_core()
    rows = measure(draw_jobs(arguments), arguments)
    print_table(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def use_one_core() -> None:
    """Bind this process to one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def draw_jobs(arguments: argparse.Namespace) -> list[tuple[Path, np.ndarray]]:
    """Return videos and the distinct frame numbers to read from each: the union of its clips."""
    videos = sorted(file for path in arguments.paths for file in ([path] if path.is_file() else path.rglob("*")))
    videos = [video for video in videos if video.suffix.lower() in VIDEO_SUFFIXES]
    if not videos:
        raise SystemExit(f"No video in {', '.join(map(str, arguments.paths))}.")
    picked = np.unique(np.linspace(0, len(videos) - 1, arguments.max_videos).astype(int))
    rng = np.random.default_rng(arguments.seed)
    return [(videos[i], draw_frames(probe(videos[i]).num_frames, rng, arguments)) for i in picked]


def draw_frames(num_frames: int, rng: np.random.Generator, arguments: argparse.Namespace) -> np.ndarray:
    """Return the distinct frame numbers of clips placed uniformly in a video."""
    offsets = np.arange(arguments.frames) * arguments.stride
    starts = rng.integers(0, max(1, num_frames - offsets[-1]), arguments.clips)
    return np.unique((starts[:, None] + offsets) % num_frames)


def measure(jobs: list[tuple[Path, np.ndarray]], arguments: argparse.Namespace) -> list[dict]:
    """Read every job with every decoder, taking turns, and return one row a decoder, the fastest first."""
    fastest = {name: np.full(len(jobs), np.inf) for name in available_decoders()}
    for number, (path, indices) in enumerate(jobs):
        for _ in range(arguments.repeats):
            for name, seconds in fastest.items():
                seconds[number] = min(seconds[number], time_one(path, indices, name))
    read_by_all = np.all([np.isfinite(seconds) for seconds in fastest.values()], axis=0)
    num_frames = np.array([len(indices) for _, indices in jobs])[read_by_all].sum()
    num_clips = int(read_by_all.sum()) * arguments.clips
    if num_clips == 0:
        raise SystemExit("No video is read by every decoder.")
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


def print_table(rows: list[dict]) -> None:
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
