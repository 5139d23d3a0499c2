"""Announces what will be measured and about how long it takes; then reports progress and each result."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_only

from vidssl.jobs.progress import duration_text
from vidssl.reporting.percent import percent

if TYPE_CHECKING:
    from vidssl.cli.evaluate.measuring import Step
    from vidssl.cli.evaluate.summary import Result
    from vidssl.evaluation.features.files import FeatureRequest

SHORTEST_SHOWN_SECONDS = 60


@dataclass(frozen=True)
class Amount:
    """How much a pass over the videos of a request is.

    Attributes:
        videos: their number.
        views: clips per video, crops counted.
        frames: of a clip.
        size: height and width of a clip, pixels.
    """

    videos: int
    views: int
    frames: int
    size: int

    @property
    def pixels(self) -> int:
        """Pixels that the network sees; what it costs is proportional to them."""
        return self.videos * self.views * self.frames * self.size**2

    def __str__(self) -> str:
        return f"{self.videos:,} videos x {self.views} clips of {self.frames} x {self.size} x {self.size}"


def amount(step: Step, request: FeatureRequest) -> Amount:
    """Return how much a request of a step asks for."""
    clips, drawn = request.clips, request.augmented_views
    views = clips.num_views if drawn is None else drawn.num_views
    if request.time_changes is not None:
        views *= len(request.time_changes.names)
    videos = len(step.work.data.evaluation_rows(request.split))
    return Amount(videos, views, clips.num_frames, clips.crop_size)


def announce(steps: Sequence[Step], accelerator: str) -> None:
    """Say, on the first process, what will be measured, with how many clips of which size, and about how long it takes.

    Args:
        steps: in their order.
        accelerator: as Lightning calls it.
    """
    if _rank():
        return
    networks = len({step.work.subject.name for step in steps})
    order = "s, the cheapest first" if len(steps) > 1 else ""
    lines = [f"{networks} network{'s' if networks > 1 else ''}, {len(steps)} measurement{order}:"]
    width = max(len(step.task.named.name) for step in steps)
    first_steps = {
        (step.task.named.name, str(step.task.pair)): step for step in steps
    }  # the networks have them in common
    for (name, pair), step in first_steps.items():
        amounts = dict.fromkeys(str(amount(step, request)) for request in step.requests())
        lines.append(f"  {name:<{width}}  {pair}: {', '.join(amounts)}")
    print("\n".join([*lines, *_warnings(steps)]), file=sys.stderr, flush=True)
    seconds = _seconds(steps, accelerator)
    if seconds >= SHORTEST_SHOWN_SECONDS:
        time_text = f"about {duration_text(seconds)} for the networks on one device, plus the time to read the videos"
        print(f"  {time_text}; stored features are used again", file=sys.stderr, flush=True)


def _warnings(steps: Sequence[Step]) -> list[str]:
    """Say which clips are larger than the videos they are cut out of."""
    found: dict[tuple[int, int], set[str]] = {}
    for step in steps:
        catalog = step.work.data.catalog
        for request in step.requests():
            rows = step.work.data.evaluation_rows(request.split)
            side = int(np.median(np.minimum(catalog.widths[rows], catalog.heights[rows])))
            if request.clips.resize > side and request.clips.crop_size > side:
                found.setdefault((request.clips.crop_size, side), set()).add(step.task.named.name)
    return [
        f"vidssl: warning: {', '.join(sorted(names))}: clips have {size} x {size} pixels, but half of the videos have "
        f"{side} or less on their shorter side. The protocol enlarges them, at {(size / side) ** 2:.0f} times the cost."
        f" To keep their size: --set resize={side} crop_size={side}"
        for (size, side), names in found.items()
    ]


def _seconds(steps: Sequence[Step], accelerator: str) -> float:
    """Time a clip of the cheapest step, and reckon with the pixels of all; each pass once."""
    on_gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    seconds_a_pixel: dict[int, float] = {}
    passes: dict[str, float] = {}
    for step in steps:
        encoder = step.work.subject.loaded.encoder
        for request in step.requests():
            much = amount(step, request)
            if id(encoder) not in seconds_a_pixel:
                seconds_a_pixel[id(encoder)] = _seconds_a_pixel(encoder, much, on_gpu)
            passes[f"{id(encoder)} {request.described()}"] = seconds_a_pixel[id(encoder)] * much.pixels
    return sum(passes.values())


def _seconds_a_pixel(encoder: torch.nn.Module, much: Amount, on_gpu: bool) -> float:
    device = torch.device("cuda" if on_gpu else "cpu")
    clip = torch.zeros(1, 3, much.frames, much.size, much.size, dtype=torch.uint8, device=device)
    encoder.to(device)
    with torch.inference_mode():
        for _ in range(2):  # the first one prepares the device
            started = time.perf_counter()
            encoder([clip])
            if on_gpu:
                torch.cuda.synchronize()
    return (time.perf_counter() - started) / (much.frames * much.size**2)


def tell_result(result: Result) -> None:
    """Say the numbers of a measurement as soon as it is done; the tables follow when all are."""
    metrics = result.record["metrics"]
    numbers = ", ".join(f"{name} {'-' if value is None else percent(value)}" for name, value in metrics.items())
    print(f"{result.subject}, {result.protocol} on {result.split}, %: {numbers}", file=sys.stderr, flush=True)


def _rank() -> int:
    return getattr(rank_zero_only, "rank", 0) or 0


class Watch(Callback):
    """Counts the videos that were encoded.

    Args:
        tell: called with the number of videos done, and the number of bad ones.
        total: number of videos of all processes.
    """

    def __init__(self, tell: Any, total: int) -> None:
        self._tell = tell
        self._total = total
        self._done = 0

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Count a batch; the other processes have got about as far."""
        self._done = min(self._done + len(args[0]["index"]) * trainer.world_size, self._total)
        if not _rank():
            self._tell(self._done, 0)
