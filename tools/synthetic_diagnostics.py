"""What sets of embedded videos can show: what single frames tell, what crops and clips can miss, how good motion is.

    vidssl prepare synthetic --output data/order --labels order
    python tools/synthetic_diagnostics.py data/order [SET...] [--videos N] [--clip FRAMES STRIDE] [--json FILE]

The classifiers see all videos, one clip of each (8 frames at stride 2), begun anywhere, as it is decoded:

- bag: its frames in any order: colour histograms and the picture in 16 x 16 cells, reduced by PCA, their mean and their
  standard deviation over the frames;
- path: where the bright shape is in each frame, how large, and which changes go together in time.

Both are fitted by logistic regression on the training videos and measured on the test videos, with Wilson's interval of
95 %. Everything else is measured on N training videos, evenly picked, with the default settings of motion; `exact` is
what was drawn, `cells of 8` the same averaged over the cells that codec and dis have.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark import evenly_picked, parser, report

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.synthetic.videos import CATALOG_NAME
from vidssl.data.crops import REGION_GRID, draw_crop
from vidssl.data.plan import AugmentationRecipe
from vidssl.evaluation.classifiers import LogisticRegression
from vidssl.evaluation.features import VideoFeatures
from vidssl.losses.motion_alignment import motion_target, target_distance
from vidssl.motion.extract import video_motion
from vidssl.motion.maps import VideoMotion, block_means, coverage, moving_region
from vidssl.motion.settings import MotionSettings
from vidssl.video import read_frames

CLIP_FRAMES, CLIP_STRIDE = 8, 2
CLIP_SPAN = (CLIP_FRAMES - 1) * CLIP_STRIDE + 1
ESTIMATORS = {
    "exact": MotionSettings(estimator="exact"),
    "exact, cells of 8": MotionSettings(estimator="exact", options={"cell": 8}),
    "codec": MotionSettings(),
    "codec, floor 0.75": MotionSettings(floor=0.75),
    "dis": MotionSettings(estimator="dis"),
    "dis, floor 0.75": MotionSettings(estimator="dis", floor=0.75),
}
TARGET_GRIDS = ((2, 4, 4), (4, 7, 7), (8, 14, 14))
# MCL's and torchvision's random resized crop, from a fifth of the frame up.
RECIPE = AugmentationRecipe(crop_size=56, crop_area=(0.2, 1.0), crop_aspect=(3 / 4, 4 / 3))
CROPS_A_VIDEO = 40
COVERED_SHARE = 0.8
MASS_SHARE = 0.8
COMPONENTS = 64
BRIGHT = 134  # of 255: the shape is brighter than every background


def main() -> None:
    """Parse the command line, measure, print the tables."""
    made = parser(__doc__)
    made.add_argument("sets", nargs="+", type=Path, help="folders that vidssl prepare synthetic wrote")
    made.add_argument("--videos", type=int, default=96, help="training videos whose motion is measured")
    made.add_argument(
        "--clip",
        nargs=2,
        type=int,
        metavar=("FRAMES", "STRIDE"),
        default=[CLIP_FRAMES, CLIP_STRIDE],
        help="what the classifiers see of a video",
    )
    report(made, measure, print_tables)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of each set by its folder's name."""
    figures = {}
    for folder in arguments.sets:
        catalog = Catalog.open(folder / CATALOG_NAME)
        figures[folder.name] = {
            "classes": len(catalog.classes),
            **measure_labels(catalog, *arguments.clip),
            **measure_motion(catalog, evenly_picked(catalog.split("train").tolist(), arguments.videos)),
        }
        print(f"measured {folder.name}", flush=True)
    return figures


# --- what tells the class ---


def measure_labels(catalog: Catalog, num_frames: int, stride: int) -> dict[str, Any]:
    """Return the accuracies of both classifiers on clips of so many frames, with their intervals."""
    splits = {split: catalog.split(split) for split in ("train", "test")}
    clips = {split: [clip_of(catalog, int(row), num_frames, stride) for row in rows] for split, rows in splits.items()}
    labels = {split: catalog.labels[rows].astype(np.int64) for split, rows in splits.items()}
    described = {"bag": bags_of_frames(clips), "path": {split: paths(of_split) for split, of_split in clips.items()}}
    accuracies = {name: accuracy(features, labels) for name, features in described.items()}
    count = len(splits["test"])
    return {name: {"accuracy": hits, "interval": wilson_interval(hits, count)} for name, hits in accuracies.items()}


def clip_of(catalog: Catalog, row: int, num_frames: int, stride: int) -> np.ndarray:
    """Return a clip that begins anywhere in a video, uint8 T x H x W x 3."""
    video = catalog[row]
    span = (num_frames - 1) * stride + 1
    start = np.random.default_rng(row).integers(max(1, video.num_frames - span + 1))
    indices = (start + np.arange(num_frames) * stride) % video.num_frames
    return read_frames(catalog.root / video.path, indices)


def bags_of_frames(clips: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    """Describe the frames of each clip one by one, and the clip by their mean and spread, which know no order."""
    frames = {split: np.concatenate([describe_frames(clip) for clip in of_split]) for split, of_split in clips.items()}
    mean, spread = frames["train"].mean(axis=0), frames["train"].std(axis=0) + 1e-6
    standard = {split: (values - mean) / spread for split, values in frames.items()}
    _, _, components = np.linalg.svd(standard["train"], full_matrices=False)
    described = {}
    for split, values in standard.items():
        bags = (values @ components[:COMPONENTS].T).reshape(len(clips[split]), len(clips[split][0]), -1)
        described[split] = np.concatenate([bags.mean(axis=1), bags.std(axis=1)], axis=1).astype(np.float32)
    return described


def describe_frames(clip: np.ndarray) -> np.ndarray:
    """Return the picture in 16 x 16 cells and histograms of the colours of each frame."""
    cells = block_means(np.moveaxis(clip, -1, 1), 16, 16).reshape(len(clip), -1)
    levels = clip.reshape(len(clip), -1, 3) // 16
    histograms = [[np.bincount(frame[:, colour], minlength=16) for colour in range(3)] for frame in levels]
    return np.concatenate([cells / 255, np.sqrt(np.reshape(histograms, (len(clip), -1)) / levels.shape[1])], axis=1)


def paths(clips: list[np.ndarray]) -> np.ndarray:
    """Follow the bright shape through each clip and describe how it moves and grows, and how the two go together."""
    return np.stack([path_of(clip) for clip in clips]).astype(np.float32)


def path_of(clip: np.ndarray) -> np.ndarray:
    """Return what `paths` says of a clip."""
    inside = clip.max(axis=3) > BRIGHT
    area = np.maximum(1, inside.sum(axis=(1, 2)))
    rows, columns = np.indices(inside.shape[1:]) / clip.shape[1]
    x, y = ((inside * place).sum(axis=(1, 2)) / area for place in (columns, rows))
    size = np.log(area / inside[0].size)
    path = np.stack([x, y, size / 10, x + y, x - y])
    change = np.abs(np.diff(clip.astype(np.float32), axis=0)).mean() / 255
    extents = np.array([*path.std(axis=1), *np.diff(path, axis=1).std(axis=1), change])
    between = (size[1:] + size[:-1]) / 2 - size.mean()
    away = np.abs(y - y.mean())
    together = [np.mean(between * -np.diff(y)), np.mean(between * np.diff(away))]
    return np.concatenate([np.log(extents + 0.003), 100 * np.array(together)])


def accuracy(features: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> float:
    """Return the share of test videos that a linear classifier of the training videos gets right."""
    gallery, query = (
        VideoFeatures(values[:, None], labels[split], np.full(len(values), -1), np.arange(len(values)))
        for split, values in features.items()
    )
    return float(LogisticRegression(c=0.1, normalisation="standard")(gallery, query).metrics["top1"])


def wilson_interval(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a share of `count` independent videos (Wilson, JASA 1927)."""
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return middle - half, middle + half


# --- motion ---


def measure_motion(catalog: Catalog, rows: list[int]) -> dict[str, Any]:
    """Return what crops and clips can miss, and how each estimator's maps compare with the exact ones."""
    paths_of_rows = [catalog.root / catalog.path(row) for row in rows]
    motions = {name: [video_motion(path, settings) for path in paths_of_rows] for name, settings in ESTIMATORS.items()}
    exact = motions["exact"]
    sizes = [(int(catalog[row].height), int(catalog[row].width)) for row in rows]
    figures = {name: measure_estimator(of_videos, exact) for name, of_videos in motions.items()}
    return {
        "crops_covering": crops_covering(exact, sizes),
        "t_motion_spread": median([spread(clip_motion(motion)) for motion in exact]),
        "estimators": figures,
    }


def measure_estimator(motions: list[VideoMotion], exact: list[VideoMotion]) -> dict[str, Any]:
    """Return the figures of one estimator, over the videos in which it sees something move."""
    seen = [(motion, true) for motion, true in zip(motions, exact, strict=True) if motion.maps.any()]
    return {
        "still": 1 - len(seen) / len(motions),
        "t_correlation": median([correlation(clip_motion(motion), clip_motion(true)) for motion, true in seen]),
        "s_correlation": median([correlation(*map(s_motion_cells, pair)) for pair in seen]),
        "relative_width": median([width(motion.maps) / width(true.maps) for motion, true in seen if true.maps.any()]),
        "area": median([width(motion.maps) for motion, _ in seen]),
        "target_distances": {"x".join(map(str, grid)): distance(motions, grid) for grid in TARGET_GRIDS},
    }


def crops_covering(motions: list[VideoMotion], sizes: list[tuple[int, int]]) -> float:
    """Return the share of random crops that show at least 0.8 of the moving region of the video's middle clip."""
    rng, covered = np.random.default_rng(0), []
    for motion, (height, width_) in zip(motions, sizes, strict=True):
        region = moving_region(block_means(motion.clip(middle_clip(motion), 1)[0], REGION_GRID, REGION_GRID))
        scales = np.array([height, width_, height, width_]) / REGION_GRID
        crops = [np.array(draw_crop(RECIPE, rng, height, width_)) / scales for _ in range(CROPS_A_VIDEO)]
        covered += [coverage(region, tuple(crop)) >= COVERED_SHARE for crop in crops]
    return float(np.mean(covered))


def middle_clip(motion: VideoMotion) -> np.ndarray:
    """Return the frame numbers of the clip in the middle of a video."""
    start = max(0, (motion.num_frames - CLIP_SPAN) // 2)
    return (start + np.arange(CLIP_FRAMES) * CLIP_STRIDE) % motion.num_frames


def clip_motion(motion: VideoMotion) -> np.ndarray:
    """Return the T-motion of the clips of every start."""
    return motion.clip_motion_of_starts(CLIP_FRAMES, CLIP_STRIDE)


def s_motion_cells(motion: VideoMotion) -> np.ndarray:
    """Return S-motion on 7 x 7 cells."""
    return block_means(motion.maps.mean(axis=0), REGION_GRID, REGION_GRID)


def spread(values: np.ndarray) -> float:
    """Return how many times as much the strongest clip moves as the weakest."""
    return float(values.max() / max(values.min(), 1e-6))


def correlation(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return Pearson's correlation; NaN where one of them does not vary."""
    ours, theirs = (values.ravel() - values.mean() for values in (ours, theirs))
    norm = np.sqrt((ours @ ours) * (theirs @ theirs))
    return float(ours @ theirs / norm) if norm > 0 else float("nan")


def width(maps: np.ndarray) -> float:
    """Return the least share of the frame that holds 0.8 of a map's mass, the mean over maps in which things move."""
    ordered = -np.sort(-maps.reshape(len(maps), -1).astype(np.float64), axis=1)
    ordered = ordered[ordered[:, 0] > 0]
    held = np.cumsum(ordered, axis=1) / ordered.sum(axis=1, keepdims=True)
    return float(((held < MASS_SHARE).sum(axis=1) + 1).mean() / ordered.shape[1])


def distance(motions: list[VideoMotion], grid: tuple[int, int, int]) -> float:
    """Return the mean cosine distance of the motion targets of different videos' middle clips, not cropped."""
    maps = np.stack([motion.clip(middle_clip(motion), CLIP_FRAMES) for motion in motions])
    return float(target_distance(motion_target(torch.from_numpy(maps), grid)[None]))


def median(values: list[float]) -> float:
    """Return the median of those that are numbers."""
    return float(np.nanmedian(values)) if values else float("nan")


# --- tables ---


def print_tables(results: dict[str, Any]) -> None:
    """Print a line a set, then a line for each estimator in each set, as Markdown."""
    print_table("set|chance|bag of frames|path|crops covering|T-motion, strongest / weakest", results, set_cells)
    grids = "|".join(f"distance {' x '.join(map(str, grid))}" for grid in TARGET_GRIDS)
    heads = f"set, estimator|still|r of T-motion|r of S-motion|80 % area|x exact|{grids}"
    rows = {f"{name}, {estimator}": row for name, of in results.items() for estimator, row in of["estimators"].items()}
    print_table(heads, rows, estimator_cells)


def print_table(heads: str, rows: dict[str, Any], cells: Callable[[Any], list[str]]) -> None:
    """Print a table in Markdown, the first column the names of the rows."""
    names = heads.split("|")
    print(f"\n| {' | '.join(names)} |\n|{'---|' * len(names)}")
    for name, row in rows.items():
        print(f"| {' | '.join([name, *cells(row)])} |")


def set_cells(row: dict[str, Any]) -> list[str]:
    """Return the cells of a set."""
    told = [f"{100 / row['classes']:.1f} %"]
    for name in ("bag", "path"):
        low, high = row[name]["interval"]
        told.append(f"{100 * row[name]['accuracy']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]")
    return [*told, f"{100 * row['crops_covering']:.0f} %", f"{row['t_motion_spread']:.1f}"]


def estimator_cells(row: dict[str, Any]) -> list[str]:
    """Return the cells of an estimator in a set."""
    told = [f"{100 * row['still']:.0f} %"]
    told += [f"{row[key]:.2f}" for key in ("t_correlation", "s_correlation")]
    told += [f"{100 * row['area']:.0f} %", f"{row['relative_width']:.1f}"]
    return told + [f"{value:.2f}" for value in row["target_distances"].values()]


if __name__ == "__main__":
    main()
