"""One video as training sees it, on one page: when it moves, where, what the views show, what is aligned with what.

Everything drawn comes from `vidssl.data.dataset.ClipDataset.draw_views`, so the page shows the very clips of a step of
training with the same configuration and seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec, SubplotSpec
from matplotlib.patches import Rectangle

from vidssl.catalogs.catalog import VideoRow
from vidssl.data.augmentation import FramePlan, Plan, apply, transform_motion
from vidssl.data.crops import REGION_GRID, required_coverage
from vidssl.data.dataset import ClipDataset, DrawnViews
from vidssl.data.motion_sampling import MotionSampler
from vidssl.data.plan import MotionCrop
from vidssl.data.sampling import ClipSampler
from vidssl.motion.maps import Region, VideoMotion, block_means, coverage, moving_region, temporal_motion, time_bins

WIDTH_INCHES = 15.0
DOTS_PER_INCH = 100
TALLEST_FRAME_INCHES = 3.8
STRIP_FRAMES = 12
"""Frames of all views that stand side by side."""
MOST_TARGETS = 8
VIEW_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown")
MOTION_COLOURS = "inferno"
MOTION_UNIT = "pixels / frame"
"""Of motion maps: differences of optical flow between neighbouring cells (3x3 Prewitt kernels)."""


@dataclass(frozen=True)
class Page:
    """What is drawn on one page.

    Attributes:
        video: from the catalog.
        label: name of its class, or an empty string.
        views: what was drawn for it.
        dataset: which drew it.
        epoch: of which it is a part.
    """

    video: VideoRow
    label: str
    views: DrawnViews
    dataset: ClipDataset
    epoch: int

    @property
    def num_views(self) -> int:
        """Views of the video."""
        return len(self.views.plans)


def contact_sheet(page: Page, file: Path) -> Path:
    """Draw the page of one video.

    Args:
        page: what to draw.
        file: the PNG to write.
    """
    motion, target_shape = page.views.motion, page.dataset.target_shape
    columns = min(page.num_views, 4)
    view_rows = -(-page.num_views // columns)
    frame_height = WIDTH_INCHES / columns * min(page.video.height / page.video.width, 1.2)
    frame_height = min(frame_height, TALLEST_FRAME_INCHES)
    strip_height = WIDTH_INCHES / max(STRIP_FRAMES, columns) + 0.25
    parts = {
        "time": (0.6 if motion is None else 3.0) + 0.22 * page.num_views,
        "space": view_rows * (frame_height + 0.55),
        "views": view_rows * strip_height,
    }
    if target_shape is not None:
        parts["target"] = 2 * 0.93 * WIDTH_INCHES / max(min(target_shape[0], MOST_TARGETS), 6) + 0.3
    figure = Figure(figsize=(WIDTH_INCHES, sum(parts.values()) + 0.9), layout="constrained")
    figure.suptitle(_title(page), fontsize=12, fontweight="bold", x=0.01, ha="left")
    grid = figure.add_gridspec(len(parts), 1, height_ratios=list(parts.values()))
    _draw_time(page, figure, grid[0])
    _draw_space(page, figure, GridSpecFromSubplotSpec(view_rows, columns, grid[1]))
    _draw_views(page, figure, GridSpecFromSubplotSpec(view_rows, columns, grid[2]))
    if motion is not None and target_shape is not None:
        _draw_target(page, motion, target_shape, figure, grid[3])
    figure.savefig(file, dpi=DOTS_PER_INCH)
    return file


def _title(page: Page) -> str:
    video = page.video
    told = [
        video.name,
        f"class {page.label}" if page.label else "",
        f"{video.num_frames} frames, {video.duration_seconds:.1f} s",
        f"{video.width} x {video.height} pixels",
        f"epoch {page.epoch}, seed {page.dataset.seed}",
    ]
    return "   |   ".join(part for part in told if part)


# --- when


def _draw_time(page: Page, figure: Figure, place: SubplotSpec) -> None:
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
        _draw_curve(curve, page.views.indices, motion, page.dataset.sampler)
    for view, indices in enumerate(page.views.indices):
        lanes.plot(indices, np.full(len(indices), view), "s", color=_colour(view), markersize=5)
    lanes.set_yticks(range(page.num_views), [_name(page, view) for view in range(page.num_views)], fontsize=8)
    lanes.set_ylim(page.num_views - 0.4, -0.6)
    lanes.set_xlim(-0.02 * page.video.num_frames, 1.02 * page.video.num_frames)
    lanes.set_xlabel("frame of the video" + ("" if motion is not None else ": which ones each view shows"), fontsize=9)
    _tidy(lanes)


def _draw_curve(axis: Axes, views: Sequence[np.ndarray], motion: VideoMotion, sampler: ClipSampler) -> None:
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
            title += " (these clips were drawn without heeding motion)"
    axis.set_ylim(bottom=0)
    axis.set_ylabel(f"T-motion\n({MOTION_UNIT})", fontsize=9)
    axis.legend(fontsize=8, frameon=False, ncols=4, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1)
    axis.set_title(title, fontsize=10, loc="left")
    _tidy(axis)


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


# --- where


def _draw_space(page: Page, figure: Figure, cells: GridSpecFromSubplotSpec) -> None:
    """A frame of each view with its S-motion, the moving region and the crop."""
    motion = page.views.motion
    for view in range(page.num_views):
        axis = figure.add_subplot(cells[view])
        plan, frames = page.views.plans[view], page.views.frames[view]
        middle = len(frames) // 2
        height, width = frames.shape[1:3]
        axis.imshow(frames[middle], extent=(0, width, height, 0))
        told = [f"{_name(page, view)}: frame {page.views.indices[view][middle]}"]
        if motion is not None:
            told.append(_draw_motion(axis, page, view, motion))
        top, left, crop_height, crop_width = plan.frames[min(middle, len(plan.frames) - 1)].crop
        axis.add_patch(Rectangle((left, top), crop_width, crop_height, fill=False, ec=_colour(view), lw=3))
        axis.set_title("\n".join(told), fontsize=8.5, loc="left", color=_colour(view))
        axis.set_xlim(0, width)
        axis.set_ylim(height, 0)
        axis.set_anchor("W")
        axis.tick_params(labelsize=7)
        if view == 0:
            axis.set_ylabel("pixels of the video", fontsize=8)
            boxes = "crop: solid" + ("; moving region: dashed" if motion is not None else "")
            axis.set_xlabel(boxes, fontsize=8, loc="left", color="black")


def _draw_motion(axis: Axes, page: Page, view: int, motion: VideoMotion) -> str:
    """Lay the S-motion of a view over its frame; return what there is to say of its crop."""
    s_motion = motion.clip(page.views.indices[view], 1)[0]
    plan, (height, width) = page.views.plans[view], page.views.plans[view].source_size
    greatest = float(s_motion.max())
    share = s_motion / greatest if greatest > 0 else s_motion
    axis.imshow(
        share,
        extent=(0, width, height, 0),
        cmap=MOTION_COLOURS,
        alpha=np.clip(0.15 + 0.6 * share, 0, 0.75),
        interpolation="bilinear",
        vmin=0,
        vmax=1,
    )
    rule = page.dataset.recipes[view].motion_crop
    region = moving_region(block_means(s_motion, REGION_GRID, REGION_GRID), (rule or MotionCrop()).percentile)
    down, across = height / REGION_GRID, width / REGION_GRID
    box = (region.left * across, region.top * down), region.width * across, region.height * down
    axis.add_patch(Rectangle(*box, fill=False, ec="white", ls="--", lw=1.8))
    told = f"S-motion up to {greatest:.2g} {MOTION_UNIT}"
    return f"{told}\n{_told_coverage(plan, region, rule)}" if len(plan.frames) == 1 else told


def _told_coverage(plan: Plan, region: Region, rule: MotionCrop | None) -> str:
    height, width = plan.source_size
    top, left, crop_height, crop_width = plan.frames[0].crop
    down, across = REGION_GRID / height, REGION_GRID / width
    covered = coverage(region, (top * down, left * across, crop_height * down, crop_width * across))
    asked = f" ({required_coverage(rule, region):.0%} asked)" if rule is not None else ""
    return f"crop covers {covered:.0%} of the region{asked}"


# --- what the network sees


def _draw_views(page: Page, figure: Figure, cells: GridSpecFromSubplotSpec) -> None:
    for view in range(page.num_views):
        axis = figure.add_subplot(cells[view])
        clip = apply(page.views.frames[view], page.views.plans[view])
        chosen = np.linspace(0, len(clip) - 1, min(STRIP_FRAMES // cells.ncols, len(clip))).round().astype(int)
        gap = max(1, clip.shape[2] // 40)
        padded = np.pad(clip[chosen], ((0, 0), (0, 0), (0, gap), (0, 0)), constant_values=255)
        axis.imshow(np.concatenate(list(padded), axis=1))
        axis.set_axis_off()
        axis.set_anchor("NW")
        told = told_plan(page.views.plans[view].frames[0])
        size = f"{clip.shape[2]} x {clip.shape[1]} pixels"
        axis.set_title(f"{_name(page, view)}, augmented, {size}\n{told}", fontsize=8, loc="left", color=_colour(view))


def told_plan(plan: FramePlan) -> str:
    """Return what happens to a frame beside the crop, in words."""
    told = ["flipped"] if plan.flip else []
    told += [f"{name} {factor:+.2f}" if name == "hue" else f"{name} x{factor:.2f}" for name, factor in plan.jitter]
    told += ["grey"] if plan.grey else []
    told += [f"blur {plan.blur_sigma:.1f}"] if plan.blur_sigma is not None else []
    told += ["solarised"] if plan.solarise_threshold is not None else []
    lines = [", ".join(told[first : first + 3]) for first in range(0, len(told), 3)]
    return ",\n".join(lines) or "no change but the crop"


# --- what is aligned


def _draw_target(
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
        above.imshow(clip[(first + end) // 2])
        picture = below.imshow(target[step], cmap=MOTION_COLOURS, vmin=0, vmax=max(float(target.max()), 1e-6))
        above.set_title(f"time bin {step + 1} of {steps}", fontsize=8, loc="left")
        for axis in (above, below):
            axis.set_xticks([])
            axis.set_yticks([])
        axes.append(below)
        if column == 0:
            above.set_ylabel(f"{_name(page, 0)}\naugmented", fontsize=8)
            below.set_ylabel(f"alignment target\n{height} x {width}", fontsize=8)
    bar = figure.colorbar(picture, ax=axes, location="right", fraction=0.02, pad=0.01)
    bar.set_label(f"ST-motion\n({MOTION_UNIT})", fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _name(page: Page, view: int) -> str:
    return f"view {view + 1}" + (" (query)" if view == 0 and page.dataset.target_shape else "")


def _colour(view: int) -> str:
    return VIEW_COLOURS[view % len(VIEW_COLOURS)]


def _tidy(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
