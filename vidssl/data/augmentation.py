"""How a clip looks: an augmentation is drawn as a plan, then applied.

``draw`` turns a recipe and a generator into a `Plan`, plain data that can be logged, replayed, or applied to
something else that lies on the same pixels (motion maps); ``apply`` does to uint8 frames what the plan says, frame
size first, so that all else works on small pictures.

Source: Qian et al., "Spatiotemporal Contrastive Video Representation Learning", CVPR 2021 (temporally consistent
spatial augmentation). The operations mean what they mean in ``torchvision.transforms.v2``.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from vidssl.data import pixels
from vidssl.data.crops import draw_crop, draw_motion_crop
from vidssl.data.operations import apply_operation, draw_operation
from vidssl.data.operations.shipped import blur_kernel_size
from vidssl.data.plan import (
    CVRL_VIEW_1,
    CVRL_VIEW_2,
    MCL_VIEW,
    AugmentationRecipe,
    FramePlan,
    MotionCrop,
    Plan,
    require,
)
from vidssl.errors import VidsslError
from vidssl.motion.maps import area_weights, time_bins

__all__ = [
    "CVRL_VIEW_1",
    "CVRL_VIEW_2",
    "MCL_VIEW",
    "AugmentationRecipe",
    "FramePlan",
    "MotionCrop",
    "Plan",
    "apply",
    "blur_kernel_size",
    "change_pixels",
    "draw",
    "evaluation_plan",
    "place",
    "three_crop_positions",
    "transform_motion",
]

# So many go through all operations before the next ones: their planes stay in the cache, and calls cost less a frame.
FRAMES_AT_A_TIME = 2


def draw(
    recipe: AugmentationRecipe,
    rng: np.random.Generator,
    *,
    num_frames: int,
    height: int,
    width: int,
    motion: np.ndarray | None = None,
) -> Plan:
    """Draw what happens to one clip.

    Args:
        recipe: the distributions.
        rng: the only source of randomness.
        num_frames: frames of the clip.
        height: of the frames, pixels.
        width: of the frames, pixels.
        motion: S-motion of the clip, float rows x columns over the whole frame; a recipe with `motion_crop` needs it.

    Raises:
        VidsslError: there is no frame, the frames are empty, or the motion that the recipe needs is missing.
    """
    _check_source(num_frames, height, width)
    num_draws = 1 if recipe.temporally_consistent else num_frames
    frames = tuple(_draw_frame(recipe, rng, height, width, motion) for _ in range(num_draws))
    return Plan(num_frames, (height, width), recipe.crop_size, frames)


def _draw_frame(
    recipe: AugmentationRecipe, rng: np.random.Generator, height: int, width: int, motion: np.ndarray | None
) -> FramePlan:
    if recipe.motion_crop is None:
        crop = draw_crop(recipe, rng, height, width)
    elif motion is not None:
        crop = draw_motion_crop(recipe, rng, height, width, motion)
    else:
        raise VidsslError("A recipe with motion_crop draws its crop by the motion of the clip; give `motion`.")
    size, flip = recipe.crop_size, bool(rng.random() < recipe.flip_probability)
    drawn = [draw_operation(operation, rng, size) for operation in recipe.pixel_operations]
    return FramePlan(crop, (size, size), flip=flip, operations=tuple(values for values in drawn if values is not None))


def three_crop_positions(height: int, width: int) -> tuple[str, str, str]:
    """Return the names of the three crops that cover a frame of `height` x `width` along its longer side."""
    return ("left", "center", "right") if width >= height else ("top", "center", "bottom")


def evaluation_plan(
    num_frames: int, height: int, width: int, *, resize: int, crop_size: int, position: str = "center"
) -> Plan:
    """Plan the resizing of the shorter side and one crop, without any chance.

    Args:
        num_frames: frames of the clip.
        height: of the frames, pixels.
        width: of the frames, pixels.
        resize: length of the shorter side after resizing, pixels.
        crop_size: side of the square result, pixels, at most `resize`.
        position: "center", or the end at which the crop lies (centred the other way): "left", "right", "top", "bottom".

    Raises:
        VidsslError: no such position, or the crop is larger than the resized frame.
    """
    _check_source(num_frames, height, width)
    shares = {"center": (1, 1), "left": (1, 0), "right": (1, 2), "top": (0, 1), "bottom": (2, 1)}
    require(position in shares, "position", position, f"one of {', '.join(shares)}")
    require(1 <= crop_size <= resize, "crop_size", crop_size, f"between 1 and the resized shorter side, {resize}")
    short_side = min(height, width)
    # truncated, as torchvision's Resize does for the longer side
    resized = (resize * height // short_side, resize * width // short_side)
    # half of the room is rounded as torchvision's CenterCrop does it
    halves = shares[position]
    top, left = (round(half * (length - crop_size) / 2) for half, length in zip(halves, resized, strict=True))
    frame_plan = FramePlan(crop=(0, 0, height, width), resize=resized, window=(top, left))
    return Plan(num_frames, (height, width), crop_size, (frame_plan,))


def apply(frames: np.ndarray, plan: Plan, out: np.ndarray | None = None) -> np.ndarray:
    """Do to the frames of a clip what the plan says.

    Args:
        frames: uint8 RGB, T x H x W x 3, of the size the plan was drawn for; never changed.
        plan: from `draw` or `evaluation_plan`.
        out: uint8, T x S x S x 3, filled and returned if given. It may be a view, such as one clip of a batch.

    Returns:
        uint8 RGB, T x S x S x 3, with S the plan's `crop_size`.

    Raises:
        VidsslError: `frames` or `out` has another shape or dtype than the plan needs.
    """
    size = plan.crop_size
    _check_array("frames", frames, (plan.num_frames, *plan.source_size, 3))
    if out is None:
        out = np.empty((plan.num_frames, size, size, 3), np.uint8)
    _check_array("out", out, (plan.num_frames, size, size, 3))
    for few, frame_plan in _a_few_frames(plan):
        place(frames[few], frame_plan, out[few])
        _change(out[few], frame_plan)
    return out


def change_pixels(clip: np.ndarray, plan: Plan) -> None:
    """Do the operations of a plan to a clip that is cropped, resized and flipped, uint8 T x S x S x 3, in place."""
    for few, frame_plan in _a_few_frames(plan):
        _change(clip[few], frame_plan)


def _a_few_frames(plan: Plan) -> Iterator[tuple[slice, FramePlan]]:
    for part, frame_plan in plan.parts():
        for start in range(part.start, part.stop, FRAMES_AT_A_TIME):
            yield slice(start, min(start + FRAMES_AT_A_TIME, part.stop)), frame_plan


def place(frames: np.ndarray, plan: FramePlan, out: np.ndarray) -> None:
    """Crop, resize and flip frames, uint8 F x H x W x 3, into `out`, uint8 F x S x S x 3."""
    size = out.shape[1]
    top, left, height, width = plan.crop
    window_top, window_left = plan.window
    resized = pixels.resize(frames[:, top : top + height, left : left + width], *plan.resize)
    windows = resized[:, window_top : window_top + size, window_left : window_left + size]
    for window, frame in zip(windows, out, strict=True):
        if plan.flip and frame.flags.c_contiguous:
            cv2.flip(window, 1, frame)
        else:
            np.copyto(frame, window[:, ::-1] if plan.flip else window)


def _change(frames: np.ndarray, plan: FramePlan) -> None:
    # the operations work on contiguous frames only
    target = frames if frames.flags.c_contiguous else frames.copy()
    for drawn in plan.operations:
        apply_operation(target, drawn)
    if target is not frames:
        frames[...] = target


def transform_motion(maps: np.ndarray, plan: Plan, height: int, width: int) -> np.ndarray:
    """Move motion maps along with the frames of their clip: the plan's crop and flip, nothing of its colours.

    A flip also turns the sign of the flow's u, which the magnitudes in the maps do not see.

    Args:
        maps: float, T' x rows x columns, over the whole frame; time bins of the clip in order.
        plan: of the clip.
        height: rows of the result.
        width: columns of the result.

    Returns:
        float32, T' x height x width: each cell the area-weighted mean of what lies in it. Where every frame has a
        plan of its own, the mean over the plans of each time bin.
    """
    maps = np.asarray(maps, np.float32)
    bins = time_bins(plan.num_frames, len(maps)) if len(plan.frames) > 1 else [(0, 1)] * len(maps)
    moved = [
        np.mean([_move_map(picture, plan, step, height, width) for step in plan.frames[first:end]], axis=0)
        for picture, (first, end) in zip(maps, bins, strict=True)
    ]
    return np.stack(moved)


def _move_map(picture: np.ndarray, plan: Plan, step: FramePlan, height: int, width: int) -> np.ndarray:
    """Return one map, height x width, of what `step` shows of the frame."""
    weights = []
    for axis, parts in enumerate((height, width)):
        # The result is a window of `crop_size` pixels in the crop resized to `resize`; all in cells of the map.
        pixel = step.crop[2 + axis] / step.resize[axis]
        start = step.crop[axis] + step.window[axis] * pixel
        cells = picture.shape[axis] / plan.source_size[axis]
        end = min((start + plan.crop_size * pixel) * cells, picture.shape[axis])
        weights.append(area_weights(picture.shape[axis], parts, start * cells, end))
    shown = weights[0] @ picture @ weights[1].T
    return shown[:, ::-1] if step.flip else shown


def _check_source(num_frames: int, height: int, width: int) -> None:
    if min(num_frames, height, width) < 1:
        raise VidsslError(
            f"A clip of {num_frames} frames of {height} x {width} pixels is empty; give at least one pixel."
        )


def _check_array(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != np.uint8:
        raise VidsslError(
            f"`{name}` is {array.dtype} {array.shape}, but the plan is for uint8 {shape}; "
            "draw a plan for the size of these frames."
        )
