"""When a video moves, and which motion its first view is aligned with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec, SubplotSpec

from vidssl.data.augmentation import apply, transform_motion
from vidssl.data.motion_sampling import MotionSampler
from vidssl.data.sampling import ClipSampler
from vidssl.motion.maps import VideoMotion, temporal_motion, time_bins
from vidssl.reporting.contact_sheet.page import MOTION_COLOURS, MOTION_UNIT, Page, colour_of, name_of, tidy

MOST_TARGETS = 8
NARROW_INCHES = 8.0
"""A figure that is narrower has its legend in one column, below the title."""


def draw_time(page: Page, figure: Figure, place: SubplotSpec) -> None:
    """T-motion over time, above the frames of each view."""
    motion = page.views.motion
    lanes_height = 0.4 + 0.22 * page.num_views
    if motion is None:
        lanes = figure.add_subplot(place)
    else:
        cells = GridSpecFromSubplotSpec(2, 1, place, height_ratios=[2.6, lanes_height], hspace=0)
        curve = figure.add_subplot(cells[0])
        lanes = figure.add_subplot(cells[1], sharex=curve)
        curve.tick_params(labelbottom=False)
        _draw_curve(figure, curve, page.views.indices, motion, page.dataset.sampler)
    for view, indices in enumerate(page.views.indices):
        lanes.plot(indices, np.full(len(indices), view), "s", color=colour_of(view), markersize=5)
    lanes.set_yticks(range(page.num_views), [name_of(page, view) for view in range(page.num_views)], fontsize=8)
    lanes.set_ylim(page.num_views - 0.4, -0.6)
    lanes.set_xlim(-0.02 * page.video.num_frames, 1.02 * page.video.num_frames)
    lanes.set_xlabel("frame of the video" + ("" if motion is not None else ": which ones each view shows"), fontsize=9)
    tidy(lanes)


def _draw_curve(
    figure: Figure, axis: Axes, views: Sequence[np.ndarray], motion: VideoMotion, sampler: ClipSampler
) -> None:
    title = "When it moves"
    places = np.arange(len(motion.maps)) * motion.stride
    axis.fill_between(places, temporal_motion(motion.maps), color="0.85", label="T-motion of a moment")
    clip_motion = motion.clip_motion_of_starts(sampler.num_frames, sampler.stride)
    starts = np.arange(len(clip_motion))
    axis.plot(starts, clip_motion, color="0.25", linewidth=1.5, label="T-motion of the clip that starts there")
    if isinstance(sampler, MotionSampler) and sampler.uses_motion:
        _draw_thresholds(axis, clip_motion, sampler, motion)
        kept = np.concatenate(sampler.focused_starts(motion.num_frames, motion))
        if not np.isin([indices[0] for indices in views], kept).all():
            title += " (these clips were drawn without using motion)"
    axis.set_ylim(bottom=0)
    axis.set_ylabel(f"T-motion\n({MOTION_UNIT})", fontsize=9)
    named: dict[str, Any] = {"fontsize": 8, "frameon": False, "borderaxespad": 0.1}
    if figure.get_figwidth() < NARROW_INCHES:
        axis.legend(**named, title=title, title_fontsize=9, alignment="left", loc="lower left", bbox_to_anchor=(0, 1))
    else:
        axis.legend(**named, ncols=4, loc="lower right", bbox_to_anchor=(1.0, 1.0))
        axis.set_title(title, fontsize=10, loc="left")
    tidy(axis)


def _draw_thresholds(axis: Axes, clip_motion: np.ndarray, sampler: MotionSampler, motion: VideoMotion) -> None:
    """The starts that may be drawn, and the least motion of their clips, in each part of the video."""
    named = "median" if sampler.kept_share == 0.5 else f"{1 - sampler.kept_share:.0%} quantile"
    kept_ranges = sampler.focused_starts(motion.num_frames, motion)
    for part, (starts, kept) in enumerate(zip(sampler.start_ranges(motion.num_frames), kept_ranges, strict=True)):
        least = np.quantile(clip_motion[starts], 1 - sampler.kept_share)
        label = f"threshold ({named}{' of each half' if len(kept_ranges) > 1 else ''})" if part == 0 else None
        axis.plot(starts[[0, -1]], [least, least], "--", color="tab:red", linewidth=1.2, label=label)
        is_kept = np.isin(np.arange(len(clip_motion)), kept)
        label = f"starts to draw from, with probability {sampler.probability:g}" if part == 0 else None
        axis.fill_between(
            np.arange(len(clip_motion)), 0, clip_motion, where=is_kept, color="tab:red", alpha=0.2, label=label, lw=0
        )


def draw_target(
    page: Page, motion: VideoMotion, shape: tuple[int, int, int], figure: Figure, place: SubplotSpec
) -> None:
    """Frames of the first view, and under each the motion of its time bin, which went through the same crop."""
    steps, height, width = shape
    target = transform_motion(motion.clip(page.views.indices[0], steps), page.views.plans[0], height, width)
    clip = apply(page.views.frames[0], page.views.plans[0])
    shown = np.linspace(0, steps - 1, min(steps, MOST_TARGETS)).round().astype(int)
    cells = GridSpecFromSubplotSpec(2, max(len(shown), 6), place, hspace=0.02)
    axes, bins = [], time_bins(len(clip), steps)
    for column, step in enumerate(shown):
        first, end = bins[step]
        above, below = (figure.add_subplot(cells[row, column]) for row in range(2))
        above.imshow(page.shown(clip[(first + end) // 2]))
        picture = below.imshow(target[step], cmap=MOTION_COLOURS, vmin=0, vmax=max(float(target.max()), 1e-6))
        above.set_title(f"time bin {step + 1} of {steps}", fontsize=8, loc="left")
        for axis in (above, below):
            axis.set_xticks([])
            axis.set_yticks([])
        axes.append(below)
        if column == 0:
            above.set_ylabel(f"{name_of(page, 0)}\naugmented", fontsize=8)
            below.set_ylabel(f"alignment target\n{height} x {width}", fontsize=8)
    bar = figure.colorbar(picture, ax=axes, location="right", fraction=0.02, pad=0.01)
    bar.set_label(f"ST-motion\n({MOTION_UNIT})", fontsize=8)
    bar.ax.tick_params(labelsize=7)
