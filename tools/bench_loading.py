"""Measure what loading costs on one core: decoding, our augmentation, our loader, and the same with torchvision v2.

    python tools/bench_loading.py --videos FOLDER [--json FILE]

Everything is measured in one run on one core, in turns on the same clips (two of 16 frames at stride 2 a video, 224 x
224), and reported as medians. The seconds are those the core worked for this process, so that other work on the machine
disturbs little; the waiting for a disk is not in them. Only the ratios mean anything on another machine. The loader is
measured with all of the augmentation, and without the colours, which ``data.loading.colours: device`` leaves to the
device; its share is not measured.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from benchmark import Stopwatch, parser, print_ratios, report, take_one_core
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog
from vidssl.catalogs.listing.files import scan_videos
from vidssl.data.augmentation import CVRL_VIEW_1, CVRL_VIEW_2, AugmentationRecipe, apply, blur_kernel_size, draw
from vidssl.data.dataset import SAMPLING_STREAM, ClipDataset, collate
from vidssl.data.sampling import IntervalSampler
from vidssl.errors import VidsslError
from vidssl.video.decoding import DecodingError, available_decoders, probe, read_frames
from vidssl.video.places import for_decoder

RECIPES = [CVRL_VIEW_1, CVRL_VIEW_2]
BATCH_SIZE = 4  # videos measured by one loader before it is the next one's turn
DEVICE_LOADER = "loader, colours on the device"
TARGETS = {
    "augmentation_speedup": 30.0,
    "loader_speedup": 20.0,
    "loader_over_decoding": 0.4,
    "device_loader_over_decoding": 0.6,
}


# --- what a person would write today: decode, a uint8 tensor T x 3 x H x W, torchvision v2 ---


def decode_with_decord(path: str, indices: np.ndarray) -> torch.Tensor:
    """Return the frames as uint8 T x 3 x H x W."""
    import decord

    reader = decord.VideoReader(for_decoder(path), num_threads=1)
    return torch.from_numpy(reader.get_batch(indices).asnumpy()).permute(0, 3, 1, 2)


def decode_with_torchcodec(path: str, indices: np.ndarray) -> torch.Tensor:
    """Return the frames as uint8 T x 3 x H x W."""
    from torchcodec.decoders import VideoDecoder

    return VideoDecoder(for_decoder(path), num_ffmpeg_threads=1).get_frames_at(indices.tolist()).data


BASELINES = {"decord": decode_with_decord, "torchcodec": decode_with_torchcodec}


def torchvision_pipeline(recipe: AugmentationRecipe) -> v2.Compose:
    """Return the recipe as transforms of torchvision v2, for a uint8 clip T x 3 x H x W."""
    jitter = v2.ColorJitter(recipe.brightness, recipe.contrast, recipe.saturation, recipe.hue)
    blur = v2.GaussianBlur(blur_kernel_size(recipe.crop_size), recipe.blur_sigma)
    return v2.Compose(
        [
            v2.RandomResizedCrop(recipe.crop_size, recipe.crop_area, recipe.crop_aspect, antialias=True),
            v2.RandomHorizontalFlip(recipe.flip_probability),
            v2.RandomApply([jitter], recipe.jitter_probability),
            v2.RandomGrayscale(recipe.grey_probability),
            v2.RandomApply([blur], recipe.blur_probability),
            v2.RandomSolarize(recipe.solarise_threshold, recipe.solarise_probability),
        ]
    )


def usable_baselines(path: str) -> dict[str, Callable]:
    """Return the baselines whose library is installed and reads `path`.

    Raises:
        VidsslError: there is none to compare with.
    """
    usable = {}
    for name in sorted(BASELINES.keys() & set(available_decoders())):
        try:
            BASELINES[name](path, np.array([0]))
        except (ImportError, OSError, RuntimeError) as error:  # TorchCodec is there, but the system's FFmpeg is not
            print(f"{name} left out: {str(error).splitlines()[0]}")
            continue
        usable[name] = BASELINES[name]
    if not usable:
        raise VidsslError("There is nothing to compare with: install decord, or torchcodec and FFmpeg.")
    return usable


class Bench:
    """The stages, each measured on the same clips.

    Args:
        catalog: the videos.
        decoder: name of the decoder of our loader.
        seed: key of every draw.
    """

    def __init__(self, catalog: Catalog, decoder: str, seed: int) -> None:
        self.catalog = catalog
        self.decoder = decoder
        self.seed = seed
        self.sampler = IntervalSampler()
        self.datasets = {
            name: ClipDataset(
                catalog, catalog.split("all"), self.sampler, RECIPES, seed=seed, decoder=decoder, colours=colours
            )
            for name, colours in (("loader", "loader"), (DEVICE_LOADER, "device"))
        }
        self.pipelines = [torchvision_pipeline(recipe) for recipe in RECIPES]
        self.baselines = usable_baselines(catalog.place(0))
        self.stopwatch = Stopwatch()

    def turn(self, epoch: int, rows: list[int]) -> None:
        """Measure every stage once on the clips of these videos."""
        num_clips = len(RECIPES) * len(rows)
        jobs = [(self.catalog.place(row), self._indices(epoch, row)) for row in rows]
        with self.stopwatch.measure("decoding", num_clips):
            decoded = [read_frames(path, indices, decoder=self.decoder) for path, indices in jobs]
        self._augment(epoch, decoded)
        for name, dataset in self.datasets.items():
            loader = DataLoader(dataset, batch_sampler=[[(epoch, row) for row in rows]], collate_fn=collate)
            with self.stopwatch.measure(name, num_clips):
                list(loader)
        for name, decode in self.baselines.items():
            with self.stopwatch.measure(f"{name} + torchvision", num_clips):
                self._baseline(decode, jobs)

    def _indices(self, epoch: int, row: int) -> np.ndarray:
        """The frame numbers that the dataset samples, both clips one after the other."""
        rng = np.random.default_rng([self.seed, epoch, row, SAMPLING_STREAM])
        return np.concatenate(self.sampler(self.catalog[row].num_frames, rng))

    def _augment(self, epoch: int, decoded: list[np.ndarray]) -> None:
        for video, frames in enumerate(decoded):
            for view, (recipe, clip) in enumerate(zip(RECIPES, np.split(frames, len(RECIPES)), strict=True)):
                rng = np.random.default_rng([self.seed, epoch, video, view])
                with self.stopwatch.measure(f"augmentation, view {view + 1}", 1):
                    plan = draw(recipe, rng, num_frames=len(clip), height=clip.shape[1], width=clip.shape[2])
                    apply(clip, plan)

    def _baseline(self, decode: Callable, jobs: list[tuple[str, np.ndarray]]) -> list[torch.Tensor]:
        """Load the videos as a batch; what the transforms take is noted apart."""
        samples = []
        for path, indices in jobs:
            clips = decode(path, indices).chunk(len(RECIPES))
            for view, (pipeline, clip) in enumerate(zip(self.pipelines, clips, strict=True)):
                with self.stopwatch.measure(f"torchvision, view {view + 1}", 1):
                    clips = [*clips[:view], pipeline(clip), *clips[view + 1 :]]
            samples.append(clips)
        return [torch.stack(view) for view in zip(*samples, strict=True)]


def figures(bench: Bench) -> dict[str, Any]:
    """Return every ratio and the raw figures; speed is that of the faster baseline."""
    watch = bench.stopwatch
    augmentation = statistics.mean(watch.median(f"augmentation, view {view}") for view in (1, 2))
    fastest = min(watch.median(f"{name} + torchvision") for name in bench.baselines)
    return {
        "augmentation_speedup": watch.median("torchvision, view 1") / watch.median("augmentation, view 1"),
        "loader_speedup": fastest / watch.median("loader"),
        "loader_over_decoding": watch.median("decoding") / watch.median("loader"),
        "device_loader_over_decoding": watch.median("decoding") / watch.median(DEVICE_LOADER),
        "augmentation_over_decoding": augmentation / watch.median("decoding"),
        "targets": TARGETS,
        "median_core_seconds_a_clip": {stage: watch.median(stage) for stage in watch.seconds},
        "core_seconds_a_clip": dict(watch.seconds),
        "num_videos": len(bench.catalog),
        "decoder": bench.decoder,
        "versions": {"torch": torch.__version__, "opencv": cv2.__version__, "numpy": np.__version__},
    }


def print_table(result: dict[str, Any]) -> None:
    """Print clips per second of every stage, then the ratios beside what they should be."""
    print(f"{'stage':<28}{'ms per clip':>12}{'clips/s':>12}")
    for stage, seconds in result["median_core_seconds_a_clip"].items():
        print(f"{stage:<28}{seconds * 1e3:>12.2f}{1 / seconds:>12.2f}")
    print()
    print_ratios(result, [*TARGETS, "augmentation_over_decoding"], TARGETS, ">=")


def probe_folder(folder: Path, num_videos: int) -> list[VideoRow]:
    """Return rows of the readable ones among `num_videos` videos spread evenly over a folder and those below it.

    Raises:
        VidsslError: there is none, or no such folder.
    """
    paths = scan_videos(folder)
    spread = [paths[i * len(paths) // num_videos] for i in range(num_videos)] if len(paths) > num_videos else paths
    rows = []
    for path in spread:
        try:
            info = probe(folder / path)
        except DecodingError as error:
            print(f"left out: {error}")
            continue
        size = {"width": info.width, "height": info.height, "duration_seconds": info.duration_seconds}
        rows.append(VideoRow(path, label=-1, group=-1, num_frames=info.num_frames, fps=info.fps, **size))
    if not rows:
        raise VidsslError(f"No video could be read in {folder}; give --videos a folder with videos.")
    return rows


def catalog_of(videos: Path, num_videos: int, file: Path) -> Catalog:
    """Write a catalog of the videos that `probe_folder` finds, and open it."""
    rows, root = probe_folder(videos, num_videos), videos.resolve()
    write_catalog(file, rows, classes=[], group_names=[], splits={}, root=root, source={"kind": "benchmark"})
    return Catalog.open(file)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure on one core, and return the figures."""
    take_one_core()
    with tempfile.TemporaryDirectory() as folder:
        catalog = catalog_of(options.videos, options.num_videos, Path(folder, "bench.catalog"))
        Bench(catalog, options.decoder, options.seed).turn(0, [0])  # loads libraries, fills caches
        bench = Bench(catalog, options.decoder, options.seed)
        numbers = list(range(len(catalog)))
        for epoch in range(options.rounds):
            for first in range(0, len(numbers), BATCH_SIZE):
                bench.turn(epoch, numbers[first : first + BATCH_SIZE])
        return figures(bench)


def main() -> None:
    """Read the command line, measure, report."""
    made = parser(__doc__)
    made.add_argument("--videos", type=Path, required=True, help="folder of videos, searched through")
    made.add_argument("--num-videos", type=int, default=8, help="videos to measure on, spread over the folder")
    made.add_argument("--rounds", type=int, default=3, help="how often each video has its turn")
    made.add_argument("--decoder", default="auto", help="decoder of our loader")
    made.add_argument("--seed", type=int, default=0, help="key of every draw")
    report(made, run, print_table)


if __name__ == "__main__":
    main()
