"""The pixel operations of the augmentation, on uint8 RGB frames, for one core.

Every function gives what the function of the same purpose in ``torchvision.transforms.v2.functional`` gives for
a uint8 tensor, within rounding (``tests/data/test_pixels.py`` states how near), and is written so that a frame stays
in the processor's cache: frames are small (224 x 224) by the time they come here. Where torchvision truncates to
an integer, so do these, by subtracting `TRUNCATION` before OpenCV rounds.
"""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np

from vidssl.errors import VidsslError

# ITU-R BT.601 luma as torchvision writes it (`rgb_to_grayscale`).
LUMA = np.array([0.2989, 0.587, 0.114])
# OpenCV rounds and torchvision truncates: trunc(x) = round(x - 0.5), but for whole x, which the missing 0.001 keeps.
TRUNCATION = 0.499
# A tap of the blur kernel that could not move any pixel by this much (in levels of 255) is left out.
BLUR_TAIL_LEVELS = 0.25
# The fixed-point filter of OpenCV for uint8 pictures has weights of 1/256.
BLUR_WEIGHT_STEPS = 256
# Hue arithmetic in int16: 1/16 level; the greatest magnitude is 6 * 255 * 16 = 24480.
HUE_STEPS = 16


def resize(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize every frame, bilinear with antialiasing, as torchvision's ``resize(..., antialias=True)`` does.

    This is torch's own kernel for interleaved uint8 frames: it is as fast as OpenCV's bilinear filter, which has no
    antialiasing; OpenCV's INTER_AREA is another filter and six times slower, Pillow's the same and seven times slower.

    Args:
        frames: uint8, T x H x W x 3; may be a view.
        height: of the result, pixels.
        width: of the result, pixels.

    Returns:
        uint8, T x height x width x 3, contiguous, never sharing memory with `frames`.
    """
    # Not at the top: those who only draw plans, or import the package for its catalog, do without torch.
    import torch
    from torch.nn.functional import interpolate

    source = frames.copy()
    if source.shape[1:3] == (height, width):
        return source
    channels_last = torch.from_numpy(source).permute(0, 3, 1, 2)
    resized = interpolate(channels_last, size=(height, width), mode="bilinear", antialias=True)
    return np.ascontiguousarray(resized.permute(0, 2, 3, 1).numpy())


def adjust_brightness(frame: np.ndarray, factor: float) -> np.ndarray:
    """Multiply by `factor` and clamp to 255, in place; `frame` is uint8 H x W x 3."""
    # the smallest value is -0.499, whose absolute value still rounds to 0
    return cv2.convertScaleAbs(frame, frame, factor, -TRUNCATION)


def adjust_contrast(frame: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the frame's mean grey level, ``factor * frame + (1 - factor) * mean``, in place."""
    # half a level less: torchvision takes the mean of grey levels already truncated
    mean_grey = float(LUMA @ cv2.mean(frame)[:3]) - 0.5
    return cv2.addWeighted(frame, factor, frame, 0.0, (1.0 - factor) * max(mean_grey, 0.0) - TRUNCATION, frame)


def adjust_saturation(frame: np.ndarray, factor: float) -> np.ndarray:
    """Blend every pixel with its own grey level, ``factor * frame + (1 - factor) * grey``, in place."""
    grey = to_grey(frame.copy())
    return cv2.addWeighted(frame, factor, grey, 1.0 - factor, -TRUNCATION, frame)


def to_grey(frame: np.ndarray) -> np.ndarray:
    """Give all three channels the luma of the pixel, in place."""
    matrix = np.empty((3, 4))
    matrix[:, :3] = LUMA
    # not TRUNCATION: these weights sum to 0.9999, so that torchvision makes 99 of a grey level 100
    matrix[:, 3] = -0.51
    return cv2.transform(frame, matrix, frame)


def adjust_hue(frame: np.ndarray, factor: float) -> np.ndarray:
    """Turn the hue by `factor` of the full circle (-0.5 to 0.5), value and chroma unchanged, in place.

    With value V, chroma C and hue h in sixths of the circle, channel n (0, 1, 2) of the colour is
    ``V - C * clip(|3 - |h - 2n - 3|| - 1, 0, 1)``, where ``h - 2n - 3`` may be any of its representatives modulo 6
    in [-6, 6]. Multiplied by C, hue needs no division (``h * C`` is a difference of two channels plus 0, 2 or 4 C):
    all is exact integer arithmetic but the shift, kept to 1/16 level. 8-bit HSV would be off by several levels.
    """
    red, green, blue = (plane.astype(np.int16) for plane in cv2.split(frame))
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    hue = _hue_times_chroma(red, green, blue, value, chroma)

    value *= HUE_STEPS
    chroma_steps = chroma * HUE_STEPS
    half_turn = chroma_steps * 3
    planes = []
    for channel, buffer in enumerate((red, green, blue)):
        # the representative for which hue (-1 to 5) plus offset stays in [-6, 6]
        offset = (6.0 * factor - 2 * channel - 3 + 5) % 6.0 - 5
        distance = cv2.addWeighted(hue, HUE_STEPS, chroma, HUE_STEPS * offset, 0.0, buffer)
        np.abs(distance, out=distance)
        cv2.absdiff(half_turn, distance, distance)
        # unsigned, where OpenCV's difference stops at 0: a maximum with 0 is ten times slower in numpy
        cv2.subtract(distance.view(np.uint16), chroma_steps.view(np.uint16), distance.view(np.uint16))
        np.minimum(distance, chroma_steps, out=distance)
        np.subtract(value, distance, out=distance)
        # torchvision multiplies by 255.999 / 255 before it truncates
        distance += distance >> 8
        distance >>= int(math.log2(HUE_STEPS))
        planes.append(distance.astype(np.uint8))
    return cv2.merge(planes, frame)


def _hue_times_chroma(
    red: np.ndarray, green: np.ndarray, blue: np.ndarray, value: np.ndarray, chroma: np.ndarray
) -> np.ndarray:
    """Return hue in sixths of the circle (-1 to 5) times chroma, int16, for int16 planes."""
    hue = red - green + 4 * chroma
    cv2.copyTo(blue - red + 2 * chroma, cv2.compare(green, value, cv2.CMP_EQ), hue)
    cv2.copyTo(green - blue, cv2.compare(red, value, cv2.CMP_EQ), hue)
    return hue


def blur(frame: np.ndarray, sigma: float, kernel_size: int) -> np.ndarray:
    """Blur with a Gaussian of `sigma` pixels cut at `kernel_size` taps, reflecting at the borders, in place.

    Raises:
        VidsslError: the frame is too small to be reflected by half a kernel.
    """
    height, width = frame.shape[:2]
    if min(height, width) <= kernel_size // 2:
        raise VidsslError(
            f"A {height} x {width} frame is too small for a blur of {kernel_size} x {kernel_size} pixels."
        )
    kernel = _blur_kernel(sigma, kernel_size)
    if len(kernel) == 1:
        return frame
    return cv2.sepFilter2D(frame, -1, kernel, kernel, frame, borderType=cv2.BORDER_REFLECT_101)


@functools.lru_cache(maxsize=64)
def _blur_kernel(sigma: float, kernel_size: int) -> np.ndarray:
    """Return the sampled Gaussian in whole 1/256, which sum to exactly 1, without the taps that weigh nothing."""
    offsets = np.arange(kernel_size) - kernel_size // 2
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    tails = 2.0 * np.cumsum(weights) * 255.0
    cut = min(int(np.searchsorted(tails, BLUR_TAIL_LEVELS)), kernel_size // 2)
    kept = weights[cut : kernel_size - cut]
    half = np.round(kept[: len(kept) // 2] / kept.sum() * BLUR_WEIGHT_STEPS)
    centre = BLUR_WEIGHT_STEPS - 2 * half.sum()
    return np.concatenate([half, [centre], half[::-1]]) / BLUR_WEIGHT_STEPS


def solarise(frame: np.ndarray, threshold: int) -> np.ndarray:
    """Invert every value at or above `threshold` (0-255), in place."""
    levels = np.arange(256)
    table = np.where(levels >= threshold, 255 - levels, levels).astype(np.uint8)
    return cv2.LUT(frame, table, frame)


COLOUR_OPERATIONS = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
}
