"""Pictures of a run, drawn with matplotlib into files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from vidssl.runs.metrics_file import read_metrics

FRAMES_SHOWN = 6
DOTS_PER_INCH = 110


def views_sheet(views: Sequence[Tensor], names: Sequence[str], file: Path) -> Path:
    """Draw a row per video, its views side by side, a few frames of each.

    Args:
        views: uint8 B x 3 x T x H x W each.
        names: names of the videos to draw, at most B.
        file: the PNG to write.
    """
    strips = [_strip(view, len(names)) for view in views]
    figure = Figure(figsize=(1.1 * FRAMES_SHOWN * len(views), 1.35 * len(names)))  # no pyplot: no window, no state
    axes = figure.subplots(len(names), len(views), squeeze=False)
    for row, name in enumerate(names):
        for column, strip in enumerate(strips):
            axis = axes[row, column]
            axis.imshow(strip[row])
            axis.set_axis_off()
            title = f"{name}   view {column + 1}" if column == 0 else f"view {column + 1}"
            axis.set_title(title, fontsize=8, loc="left", pad=3)
    return _save(figure, file)


def _strip(view: Tensor, num_videos: int) -> np.ndarray:
    """Frames beside each other with a white gap: uint8 (num_videos, H, width, 3)."""
    chosen = np.linspace(0, view.shape[2] - 1, min(FRAMES_SHOWN, view.shape[2])).round().astype(int)
    frames = view[:num_videos, :, chosen].cpu().numpy().transpose(0, 2, 3, 4, 1)
    padded = np.pad(frames, ((0, 0), (0, 0), (0, 0), (0, 2), (0, 0)), constant_values=255)
    return np.concatenate(list(padded.transpose(1, 0, 2, 3, 4)), axis=2)


def learning_curves(run_dir: Path, file: Path) -> Path | None:
    """Draw loss, contrastive accuracy and the evaluations of a run over its epochs; None when nothing was logged."""
    rows = read_metrics(run_dir)
    logged = sorted({name for row in rows for name in row})
    evaluated = [name for name in logged if name.startswith("eval/") and name.endswith(("/top1", "/recall_at_1"))]
    panels = [
        ("loss", [name for name in logged if name == "train/loss"]),
        ("contrastive accuracy", [name for name in logged if name == "train/contrastive_accuracy"]),
        ("frozen features", evaluated),
    ]
    panels = [(title, names) for title, names in panels if names]
    if not panels:
        return None
    figure = Figure(figsize=(4.2 * len(panels), 3.4))
    axes = figure.subplots(1, len(panels), squeeze=False)
    for axis, (title, names) in zip(axes[0], panels, strict=True):
        for name in names:
            points = [(row["step"], row[name]) for row in rows if name in row]
            label = name.split("/", 2)[-1].removesuffix("/top1")
            marker = "o" if name.startswith("eval/") else None
            axis.plot(*zip(*points, strict=True), label=label, marker=marker, markersize=4, linewidth=1.5)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("optimiser step", fontsize=9)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        if title == "frozen features":
            axis.set_ylim(0, 1)
            axis.legend(fontsize=8, frameon=False)
    return _save(figure, file)


def _save(figure: Figure, file: Path) -> Path:
    figure.tight_layout()
    figure.savefig(file, dpi=DOTS_PER_INCH)
    return file
