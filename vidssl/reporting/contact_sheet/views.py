"""Where each view is cut out of its video, and what the network sees of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from vidssl.data.augmentation import FramePlan, Plan, apply
from vidssl.data.crops import REGION_GRID, required_coverage
from vidssl.data.plan import MotionCrop
from vidssl.motion.maps import Region, VideoMotion, block_means, coverage, moving_region
from vidssl.reporting.contact_sheet.page import MOTION_COLOURS, MOTION_UNIT, Page, colour_of, name_of

SMALLEST_FRAME_INCHES = 1.15


def draw_frame(page: Page, view: int, axis: Axes) -> None:
    """Draw a frame of a view with its S-motion, the moving region and the crop."""
    motion = page.views.motion
    plan, frames = page.views.plans[view], page.views.frames[view]
    middle = len(frames) // 2
    height, width = frames.shape[1:3]
    axis.imshow(page.shown(frames[middle]), extent=(0, width, height, 0))
    wording = [f"{name_of(page, view)}: frame {page.views.indices[view][middle]}"]
    if motion is not None:
        wording.append(_draw_motion(axis, page, view, motion))
    top, left, crop_height, crop_width = plan.frames[min(middle, len(plan.frames) - 1)].crop
    axis.add_patch(Rectangle((left, top), crop_width, crop_height, fill=False, ec=colour_of(view), lw=3))
    axis.set_title("\n".join(wording), fontsize=8.5, loc="left", color=colour_of(view))
    axis.set_xlim(0, width)
    axis.set_ylim(height, 0)
    axis.set_anchor("NW")
    axis.tick_params(labelsize=7)
    if view == 0:
        axis.set_ylabel("pixels of the video", fontsize=8)
        boxes = "crop: solid" + ("; moving region: dashed" if motion is not None else "")
        axis.set_xlabel(boxes, fontsize=8, loc="left", color="black")


def _draw_motion(axis: Axes, page: Page, view: int, motion: VideoMotion) -> str:
    """Lay the S-motion of a view over its frame; return the text about its crop."""
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
    wording = f"S-motion up to {greatest:.2g} {MOTION_UNIT}"
    return f"{wording}\n{_coverage_in_words(plan, region, rule)}" if len(plan.frames) == 1 else wording


def _coverage_in_words(plan: Plan, region: Region, rule: MotionCrop | None) -> str:
    height, width = plan.source_size
    top, left, crop_height, crop_width = plan.frames[0].crop
    down, across = REGION_GRID / height, REGION_GRID / width
    covered = coverage(region, (top * down, left * across, crop_height * down, crop_width * across))
    asked = f" ({required_coverage(rule, region):.0%} asked)" if rule is not None else ""
    return f"crop covers {covered:.0%} of the region{asked}"


def draw_view(page: Page, view: int, axis: Axes, room: tuple[float, float]) -> None:
    """Draw frames of a view as the network sees them, as many as can be read in the room.

    Args:
        page: what is drawn.
        view: its number.
        axis: where.
        room: width and height in inches.
    """
    clip = page.shown(apply(page.views.frames[view], page.views.plans[view]))
    axis.imshow(tiled(clip, room))
    axis.set_axis_off()
    axis.set_anchor("NW")
    wording = plan_in_words(page.views.plans[view].frames[0])
    size = f"{clip.shape[2]} x {clip.shape[1]} pixels"
    axis.set_title(
        f"{name_of(page, view)}, augmented, {size}\n{wording}", fontsize=8, loc="left", color=colour_of(view)
    )


def tiled(clip: np.ndarray, room: tuple[float, float]) -> np.ndarray:
    """Lay frames of a clip out in rows, evenly spaced in time, with white gaps.

    Args:
        clip: uint8 (T, H, W, 3).
        room: width and height that there are, in inches; a frame gets at least `SMALLEST_FRAME_INCHES`.
    """
    total, height, width = clip.shape[:3]
    (across, down), shape = room, width / height
    fitting = max(1, int(across / SMALLEST_FRAME_INCHES)) * max(1, int(down * shape / SMALLEST_FRAME_INCHES))
    shown = min(total, fitting)
    # as many columns as make the frames largest
    columns = max(range(1, shown + 1), key=lambda number: min(across / number, down * shape / -(-shown // number)))
    chosen = np.linspace(0, total - 1, shown).round().astype(int)
    gap = max(1, width // 40)
    frames = np.pad(clip[chosen], ((0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
    blank = np.full((-len(chosen) % columns, *frames.shape[1:]), 255, np.uint8)
    cells = np.concatenate([frames, blank]).reshape(-1, columns, *frames.shape[1:])
    return np.concatenate([np.concatenate(list(row), axis=1) for row in cells])


def plan_in_words(plan: FramePlan) -> str:
    """Return what happens to a frame beside the crop, in words."""
    wording = ["flipped"] if plan.flip else []
    for name, drawn in plan.drawn().items():
        wording += _operation_in_words(name, drawn)
    lines = [", ".join(wording[first : first + 3]) for first in range(0, len(wording), 3)]
    return ",\n".join(lines) or "no change but the crop"


def _operation_in_words(name: str, drawn: dict[str, Any]) -> list[str]:
    if name == "Jitter":
        return [f"{what} {factor:+.2f}" if what == "hue" else f"{what} x{factor:.2f}" for what, factor in drawn.items()]
    if name == "Blur":
        return [f"blur {drawn['sigma']:.1f}"]
    if name in ("Grey", "Solarise"):
        return ["grey" if name == "Grey" else "solarised"]
    values = (f"{what} {value:.2f}" if isinstance(value, float) else f"{what} {value}" for what, value in drawn.items())
    return [" ".join([name, *values])]
