"""Measure the flow estimators against TV-L1 on real videos: what they cost, and whether they see the same motion.

    python tools/bench_motion.py --videos FOLDER... [--limit N] [--frames N] [--packed PRESET] [--json FILE]

Of each video the first frames are copied to a file of their own, still compressed, so that TV-L1 (about a second a
frame) comes to an end; every estimator computes the motion maps of that file, and those of each frame (see
`VideoMotion.maps_of`) are compared on 7 x 7 cells.
The milliseconds are those one core worked for this process, on the whole video except for TV-L1, decoding included;
only their ratios mean anything on another machine. Decoding is `read_frames` of all frames to RGB.

With --packed, that file is also packed by a preset of `vidssl pack`, and the motion of the packed video is compared
with TV-L1 on the source too; its milliseconds are those of this short file.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import Stopwatch, core_seconds, evenly_picked, parser, report, take_one_core, take_turns

from vidssl.catalogs.listing.files import scan_videos
from vidssl.motion.extract import video_motion
from vidssl.motion.maps import (
    Region,
    VideoMotion,
    block_means,
    coverage,
    moving_region,
    spatial_motion,
    temporal_motion,
)
from vidssl.motion.settings import MotionSettings
from vidssl.video.decoders.diagnosis import open_container
from vidssl.video.decoding import probe, read_frames
from vidssl.video.encoding import PRESETS, SUFFIX, pack

REFERENCE = "tvl1"
ESTIMATORS = {
    "codec": MotionSettings(),
    "codec 4": MotionSettings(stride=4),
    "codec all 4": MotionSettings(stride=4, options={"packets": "all"}),
    "dis": MotionSettings(estimator="dis"),
    "dis fast": MotionSettings(estimator="dis", options={"preset": "fast"}, short_side=None),
    "farneback": MotionSettings(estimator="farneback"),
    REFERENCE: MotionSettings(estimator="tvl1", short_side=None, stride=4),
    "tvl1 120": MotionSettings(estimator="tvl1", stride=4),
}
COMPARED_CELLS = 7  # the crop and the alignment of the last feature map see no finer
CLIP_FRAMES = 16
REPEATS = 5
PACKED = ", packed"
# Kinetics-400: training videos, of 10 seconds.
KINETICS_VIDEOS, KINETICS_FRAMES = 240_436, 300


def main() -> None:
    """Parse the command line, measure, print the table."""
    made = parser(__doc__)
    made.add_argument("--videos", nargs="+", type=Path, required=True, help="folders of videos")
    made.add_argument("--limit", type=int, default=12, help="videos of each folder, evenly picked")
    made.add_argument("--frames", type=int, default=48, help="first frames of each video that are compared")
    made.add_argument("--estimators", nargs="+", default=list(ESTIMATORS)[:-1], choices=list(ESTIMATORS))
    made.add_argument(
        "--reference", default=REFERENCE, choices=list(ESTIMATORS), help="what the others should agree with"
    )
    made.add_argument("--packed", choices=PRESETS, help="also take the motion of videos packed by this preset")
    report(made, measure, print_table)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run every estimator on every video, on one core, and return the figures."""
    take_one_core()
    names = [name for name in arguments.estimators if name != arguments.reference] + [arguments.reference]
    measured: dict[str, list[dict[str, float]]] = {}
    decode_ms, full_frames = [], []
    videos = [root / name for root in arguments.videos for name in evenly_picked(scan_videos(root), arguments.limit)]
    with tempfile.TemporaryDirectory() as folder:
        for video in videos:
            piece = copy_start(video, Path(folder) / f"piece{video.suffix}", arguments.frames)
            milliseconds, figures, num_frames = measure_one(video, piece, names, arguments.packed)
            full_frames.append(num_frames)
            decode_ms.append(milliseconds)
            for name, found in figures.items():
                measured.setdefault(name, []).append(found)
            print(f"{len(full_frames)} {video.name}", flush=True)
    decode = float(np.mean(decode_ms))
    rows = {
        name: summary(figures, decode, full_frames, ESTIMATORS[name.removesuffix(PACKED)])
        for name, figures in measured.items()
    }
    return {
        "videos": len(full_frames),
        "frames_compared": arguments.frames,
        "decode_ms_per_frame": decode,
        "estimators": rows,
    }


def measure_one(
    video: Path, piece: Path, names: list[str], preset: str | None
) -> tuple[float, dict[str, dict[str, float]], int]:
    """Measure each estimator: its cost on a whole video (the last: on a piece of it), its agreement on the piece.

    Returns:
        milliseconds per frame of decoding, the figures of each estimator, frames of the whole video.
    """
    num_frames, reference_name = probe(video).num_frames, names[-1]
    works = {name: partial(video_motion, video, ESTIMATORS[name]) for name in names[:-1]}
    works["decoding"] = partial(read_frames, video, range(num_frames))
    seconds = take_turns({name: partial(core_seconds, work) for name, work in works.items()}, REPEATS)
    milliseconds = {name: 1000 * taken / num_frames for name, taken in seconds.items()}
    watch = Stopwatch()
    with watch.measure(reference_name, 1):
        reference = video_motion(piece, ESTIMATORS[reference_name])
    milliseconds[reference_name] = 1000 * watch.median(reference_name) / reference.num_frames
    figures = {}
    for name in names:
        motion = reference if name == reference_name else video_motion(piece, ESTIMATORS[name])
        figures[name] = {"ms_per_frame": milliseconds[name], **agreement(motion, reference)}
    if preset is not None:
        figures |= measure_packed(piece, names, preset, reference)
    return milliseconds["decoding"], figures, num_frames


def measure_packed(piece: Path, names: list[str], preset: str, reference: VideoMotion) -> dict[str, dict[str, float]]:
    """Measure each estimator on a packed video against a motion of its source."""
    packed = piece.with_name(f"packed{piece.suffix if PRESETS[preset].encoding is None else SUFFIX}")
    packed.write_bytes(pack(os.fspath(piece), PRESETS[preset], probe(piece).fps).contents)
    figures = {}
    for name in names:
        watch = Stopwatch()
        with watch.measure(name, 1):
            motion = video_motion(packed, ESTIMATORS[name])
        milliseconds = 1000 * watch.median(name) / motion.num_frames
        figures[name + PACKED] = {"ms_per_frame": milliseconds, **agreement(motion, reference)}
    return figures


def copy_start(video: Path, target: Path, num_frames: int) -> Path:
    """Copy the first frames of a video to another file as they are coded."""
    import av

    with open_container(os.fspath(video)) as source, av.open(os.fspath(target), "w") as output:
        stream = source.streams.best("video")
        copied = output.add_stream_from_template(stream)
        for packet in islice(source.demux(stream), num_frames):
            if packet.size > 0:  # PyAV marks the end by an empty one
                packet.stream = copied
                output.mux(packet)
    return target


# --- agreement ---


def agreement(motion: VideoMotion, reference: VideoMotion) -> dict[str, float]:
    """Compare the motion of one video by an estimator with the reference's."""
    ours, theirs = (maps_of_frames(one) for one in (motion, reference))
    regions = [moving_region(spatial_motion(maps)) for maps in (ours, theirs)]
    starts = [above_median(one.clip_motion_of_starts(CLIP_FRAMES, 1)) for one in (motion, reference)]
    return {
        "s_correlation": correlation(spatial_motion(ours), spatial_motion(theirs)),
        "t_correlation": correlation(temporal_motion(ours), temporal_motion(theirs)),
        "st_correlation": correlation(ours, theirs),
        "clip_t_correlation": correlation(*(one.clip_motion_of_starts(CLIP_FRAMES, 1) for one in (motion, reference))),
        "starts_in_common": float((starts[0] & starts[1]).sum() / starts[1].sum()),
        "region_iou": intersection_over_union(*regions),
    }


def maps_of_frames(motion: VideoMotion) -> np.ndarray:
    """Return the map of each frame, so that maps may be compared that lie at different distances."""
    return block_means(motion.maps_of(np.arange(motion.num_frames)), COMPARED_CELLS, COMPARED_CELLS)


def above_median(values: np.ndarray) -> np.ndarray:
    """Tell which values are at or above their median."""
    return values >= np.median(values)


def correlation(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return Pearson's correlation; NaN where one of them does not vary."""
    ours, theirs = ours.ravel() - ours.mean(), theirs.ravel() - theirs.mean()
    norm = np.sqrt((ours @ ours) * (theirs @ theirs))
    return float(ours @ theirs / norm) if norm > 0 else float("nan")


def intersection_over_union(ours: Region, theirs: Region) -> float:
    """Return the share of two rectangles' union that both hold."""
    common = coverage(ours, theirs) * ours.height * ours.width
    return common / (ours.height * ours.width + theirs.height * theirs.width - common)


# --- figures ---


def summary(
    figures: list[dict[str, float]], decode_ms: float, full_frames: list[int], settings: MotionSettings
) -> dict[str, float]:
    """Return the means over the videos, and what follows from them."""
    means = {key: float(np.nanmean([one[key] for one in figures])) for key in figures[0]}
    maps_a_video = float(np.mean(-(-np.array(full_frames) // settings.stride)))
    return {
        **means,
        "decode_ms_per_frame": decode_ms,
        "times_decoding": means["ms_per_frame"] / decode_ms,
        "bytes_a_video": maps_a_video * settings.grid[0] * settings.grid[1],
        "kinetics400_core_hours": means["ms_per_frame"] * KINETICS_VIDEOS * KINETICS_FRAMES / 3.6e6,
    }


def print_table(results: dict[str, Any]) -> None:
    """Print one line an estimator."""
    print(f"{results['videos']} videos; decoding to RGB {results['decode_ms_per_frame']:.3f} ms per frame")
    keys = ["ms_per_frame", "times_decoding", "s_correlation", "t_correlation", "clip_t_correlation"]
    keys += ["st_correlation", "starts_in_common", "region_iou", "bytes_a_video", "kinetics400_core_hours"]
    print(f"{'estimator':<20}" + "".join(f"{key.replace('correlation', 'corr')[:17]:>18}" for key in keys))
    for name, row in results["estimators"].items():
        print(f"{name:<20}" + "".join(f"{row[key]:>18,.3f}" for key in keys))


if __name__ == "__main__":
    main()
