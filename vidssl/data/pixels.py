"""The pixel operations of the augmentation, on uint8 RGB frames, for one core.

Every function gives what the function of the same purpose in ``torchvision.transforms.v2.functional`` gives for
a uint8 tensor, within rounding (``tests/data/test_pixels.py`` states how near). Frames are small (224 x 224) by the
time they come here, a few at a time, so that they stay in the processor's cache. Where torchvision truncates to
an integer, so do these, by subtracting `TRUNCATION` before OpenCV rounds.

All but `resize` work in place, on contiguous uint8 frames, H x W x 3 or T x H x W x 3, and return them.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np

from vidssl.errors import VidsslError

# ITU-R BT.601 luma as torchvision writes it (`rgb_to_grayscale`).
LUMA = np.array([0.2989, 0.587, 0.114])
# OpenCV rounds and torchvision truncates: trunc(x) = round(x - 0.5), but for whole x, which the missing 0.001 keeps.
TRUNCATION = 0.499
# Luma to all three channels, truncated; not by TRUNCATION: the weights of the luma sum to 0.9999, so that torchvision
# makes 99 of a grey level of 100.
GREY_MATRIX = np.column_stack([np.tile(LUMA, (3, 1)), np.full(3, -0.51)])
# A tap of the blur kernel that could not move any pixel by this much (in levels of 255) is left out.
BLUR_TAIL_LEVELS = 0.5
HALF_RANGE = 128
# The fixed-point filter of OpenCV for uint8 pictures has weights of 1/256.
BLUR_WEIGHT_STEPS = 256


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


def adjust_brightness(frames: np.ndarray, factor: float) -> np.ndarray:
    """Multiply by `factor` and clamp to 255."""
    stacked = _stacked(frames)
    # the smallest value is -0.499, whose absolute value still rounds to 0
    cv2.convertScaleAbs(stacked, stacked, factor, -TRUNCATION)
    return frames


def adjust_contrast(frames: np.ndarray, factor: float) -> np.ndarray:
    """Blend every frame with its mean grey level, ``factor * frame + (1 - factor) * mean``."""
    for frame in _single(frames):
        # half a level less: torchvision takes the mean of grey levels already truncated
        mean_grey = float(LUMA @ cv2.mean(frame)[:3]) - 0.5
        cv2.addWeighted(frame, factor, frame, 0.0, (1.0 - factor) * max(mean_grey, 0.0) - TRUNCATION, frame)
    return frames


def adjust_saturation(frames: np.ndarray, factor: float) -> np.ndarray:
    """Blend every pixel with its own grey level, ``factor * pixel + (1 - factor) * grey``."""
    # One pass takes half the time of a grey picture and a blend; torchvision truncates after each of the two.
    matrix = (1.0 - factor) * GREY_MATRIX
    matrix[:, :3] += factor * np.eye(3)
    matrix[:, 3] -= TRUNCATION
    return _transform(frames, matrix)


def to_grey(frames: np.ndarray) -> np.ndarray:
    """Give all three channels the luma of the pixel."""
    return _transform(frames, GREY_MATRIX)


def _transform(frames: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    stacked = _stacked(frames)
    cv2.transform(stacked, matrix, stacked)
    return frames


def adjust_hue(frames: np.ndarray, factor: float) -> np.ndarray:
    """Turn the hue by `factor` of the full circle (-0.5 to 0.5), value and chroma unchanged.

    All in saturating 8-bit arithmetic, by three facts. With value V (the greatest channel), least channel M and
    chroma C = V - M, a channel over the hue is a trapezoid between M and V whose slopes are a sixth of the circle
    wide; the three channels' are a third of the circle apart. So a turn by thirds permutes the channels, a half turn
    makes each channel V + M less the channel, and what remains is at most a twelfth of the circle: there the
    neighbouring channel tells where on the slope a pixel lies. 8-bit HSV would be off by several levels.
    """
    sixths = round(6.0 * factor)
    rest = 6.0 * factor - sixths
    is_half_turned = sixths % 2 == 1
    thirds = (sixths - 3 if is_half_turned else sixths) // 2

    stacked = _stacked(frames)
    # split is three times slower where it makes the planes itself
    channels = cv2.split(stacked, list(np.empty((3, *stacked.shape[:2]), np.uint8)))
    value = cv2.max(cv2.max(channels[0], channels[1]), channels[2])
    least = cv2.min(cv2.min(channels[0], channels[1]), channels[2])
    chroma = cv2.subtract(value, least)
    # How far the slopes move, rounded so that the result is truncated as torchvision does it, who multiplies by
    # 255.999 / 255 before: about level / 256 more, where the level is taken for the middle of V and M.
    slack = 1 / 512
    moved_down = cv2.addWeighted(chroma, abs(rest) - slack, value, 1 / 256, -TRUNCATION)
    moved_up = cv2.addWeighted(chroma, abs(rest) + slack, value, -1 / 256, TRUNCATION)
    gain, loss = (moved_down, moved_up) if is_half_turned else (moved_up, moved_down)
    # A neighbour below the first level pulls a channel up, one above the second pulls it down.
    rising = cv2.add(least, loss)
    falling = cv2.subtract(value, gain)

    planes = []
    for channel in range(3):
        source = (channel - thirds) % 3
        neighbour = channels[(source + 1) % 3 if rest > 0 else (source - 1) % 3]
        plane = cv2.add(channels[source], cv2.subtract(rising, neighbour))
        plane = cv2.subtract(cv2.min(plane, value), cv2.subtract(neighbour, falling))
        plane = cv2.max(plane, least)
        planes.append(cv2.add(least, cv2.subtract(value, plane)) if is_half_turned else plane)
    cv2.merge(planes, stacked)
    return frames


def blur(frames: np.ndarray, sigma: float, kernel_size: int) -> np.ndarray:
    """Blur with a Gaussian of `sigma` pixels cut at `kernel_size` taps, reflecting at the borders.

    Raises:
        VidsslError: the frames are too small to be reflected by half a kernel.
    """
    height, width = frames.shape[-3:-1]
    if min(height, width) <= kernel_size // 2:
        raise VidsslError(
            f"A {height} x {width} frame is too small for a blur of {kernel_size} x {kernel_size} pixels."
        )
    kernel = blur_kernel(sigma, kernel_size)
    if len(kernel) > 1:
        for frame in _single(frames):
            cv2.sepFilter2D(frame, -1, kernel, kernel, frame, borderType=cv2.BORDER_REFLECT_101)
    return frames


@functools.lru_cache(maxsize=64)
def blur_kernel(sigma: float, kernel_size: int) -> np.ndarray:
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


def solarise(frames: np.ndarray, threshold: int) -> np.ndarray:
    """Invert every value at or above `threshold` (0-255)."""
    stacked = _stacked(frames)
    if threshold == HALF_RANGE:  # then it is the smaller of a value and its inverse, six times faster than a table
        cv2.min(stacked, cv2.bitwise_not(stacked), stacked)
    else:
        cv2.LUT(stacked, _solarise_table(threshold), stacked)
    return frames


@functools.lru_cache(maxsize=8)
def _solarise_table(threshold: int) -> np.ndarray:
    levels = np.arange(256)
    return np.where(levels >= threshold, 255 - levels, levels).astype(np.uint8)


def _stacked(frames: np.ndarray) -> np.ndarray:
    """View frames as one picture, one below the other."""
    return frames.reshape(-1, *frames.shape[-2:])


def _single(frames: np.ndarray) -> np.ndarray:
    """View frames, or a single one, as T x H x W x 3."""
    return frames.reshape(-1, *frames.shape[-3:])


COLOUR_OPERATIONS = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
}
