"""The part of ``gpu_check.py`` that changes colours: does a GPU make of a batch what the CPU makes, and how fast."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import torch
from benchmark import Figures
from gpu_check_parts import Found, Sizes, seconds_per_step

from vidssl.data.augmentation import CVRL_VIEW_1, CVRL_VIEW_2, AugmentationRecipe, draw
from vidssl.data.operations.colours import finish_colours, pending_colours
from vidssl.types import ClipBatch

FAR_LEVELS, MOST_FAR = 1, 1e-3
"""Of 255, and the share of values that may be farther apart: a contrast stretches what was rounded otherwise before."""


def drawn(sizes: Sizes, num_videos: int) -> ClipBatch:
    """Draw a batch of coarse pictures, with what is still to be done to their colours."""
    rng = np.random.default_rng(0)
    num_frames, size = sizes.clip[0], sizes.clip[1]

    def view() -> torch.Tensor:
        coarse = rng.integers(0, 256, (num_videos, num_frames, size // 8, size // 8, 3), np.uint8)
        return torch.from_numpy(coarse.repeat(8, axis=2).repeat(8, axis=3)).permute(0, 4, 1, 2, 3)

    def operations(recipe: AugmentationRecipe) -> list[list[tuple]]:
        plan = draw(recipe, rng, num_frames=num_frames, height=size, width=size)
        return [step.operations for step in plan.frames]

    recipes = [replace(recipe, crop_size=size) for recipe in (CVRL_VIEW_1, CVRL_VIEW_2)]
    colours = [pending_colours([operations(recipe) for _ in range(num_videos)], size) for recipe in recipes]
    rows = torch.arange(num_videos)
    return ClipBatch([view() for _ in recipes], rows, rows, colours=tuple(colours))


def copied(batch: ClipBatch) -> ClipBatch:
    """Return the batch with views of its own: they are changed in place."""
    return replace(batch, views=[view.clone() for view in batch.views])


def colours(sizes: Sizes) -> Found:
    """Finish the colours of a batch on the CPU and on the device, with the products of training in TF32."""
    torch.set_float32_matmul_precision("high")
    num_videos = sizes.batches[-1]
    few, many = drawn(sizes, 4), drawn(sizes, num_videos).to(sizes.device)
    on_device, on_cpu = finish_colours(few.to(sizes.device, copy=True)), finish_colours(copied(few))
    pairs = zip(on_device.views, on_cpu.views, strict=True)
    levels = torch.cat([(one.cpu().short() - other.short()).abs().flatten() for one, other in pairs])
    far = float((levels > FAR_LEVELS).float().mean())
    figures: Figures = {
        "levels apart from the CPU, mean": float(levels.float().mean()),
        f"share of values over {FAR_LEVELS} level apart": far,
        f"{num_videos} videos, both views: seconds": seconds_per_step(sizes, lambda: finish_colours(many)),
        "groups of operations, both views": sum(len(view.steps) for view in many.colours),
    }
    faults = [f"{far:.2%} of the values are over {FAR_LEVELS} level from the CPU's"] if far > MOST_FAR else []
    if sizes.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            finish_colours(many)
        torch.cuda.set_sync_debug_mode("default")
        waits = sum("synchronizing" in str(warning.message) for warning in found)
        figures["waits of the host"] = waits
        figures["memory beside the batch: GiB"] = (torch.cuda.max_memory_allocated() - before) / 2**30
        faults += [f"the host waits for the GPU {waits} times"] if waits else []
    return figures, faults
