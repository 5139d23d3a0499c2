"""The pixel operations for whole batches on the device: the counterpart of `vidssl.data.pixels`.

Every function takes float32 levels from 0 to 255, whole numbers, N x F x 3 x S x S (N clips of F frames, or N frames by
themselves with F = 1), and its values as tensors with one row per clip. It returns new levels, which are clamped and
truncated to uint8 (`vidssl.data.operations.colours`), as ``torchvision.transforms.v2.functional`` does it. Nothing here
looks at values on the host, so that a GPU is never waited for.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vidssl.data.pixels import LUMA

# Where torchvision goes from float to uint8 after changing the hue, it multiplies by 255.999 and truncates.
HUE_SCALE = 255.999 / 255.0
FULL_RANGE = 255.0
# From which sixth of the colour circle on red, green and blue fall to their least: (5 + h) mod 6, (3 + h) mod 6, ...
CHANNEL_PHASES = (5.0, 3.0, 1.0)


def adjust_brightness(frames: Tensor, factor: Tensor) -> Tensor:
    """Multiply by `factor`, (N,)."""
    return frames.mul_(_a_row(factor))


def adjust_contrast(frames: Tensor, factor: Tensor) -> Tensor:
    """Blend every frame with its mean grey level, ``factor * frame + (1 - factor) * mean``; `factor` is (N,)."""
    mean = _grey(frames).floor_().mean(dim=(2, 3, 4), keepdim=True)
    return _blend(frames, mean, factor)


def adjust_saturation(frames: Tensor, factor: Tensor) -> Tensor:
    """Blend every pixel with its own grey level, ``factor * pixel + (1 - factor) * grey``; `factor` is (N,)."""
    return _blend(frames, _grey(frames).floor_(), factor)


def adjust_hue(frames: Tensor, factor: Tensor) -> Tensor:
    """Turn the hue by `factor`, (N,), of the full circle; value and chroma stay.

    With value V, chroma C and hue h in sixths of the circle, a channel is V - C * clamp(min(k, 4 - k), 0, 1), with k =
    (5 + h) mod 6 for red, (3 + h) mod 6 for green and (1 + h) mod 6 for blue.
    """
    red, green, blue = frames.unbind(2)
    value, least = frames.amax(2), frames.amin(2)
    chroma = value - least
    hue = torch.where(green == value, 2.0 * chroma + blue - red, 4.0 * chroma + red - green)
    hue = torch.where(red == value, green - blue, hue)
    # levels are whole numbers: the chroma is 0, and the hue of no account, or at least 1
    hue.div_(chroma.clamp(min=1.0)).add_(6.0 * factor[:, None, None, None])
    for channel, phase in enumerate(CHANNEL_PHASES):
        place = (hue + phase).remainder_(6.0)
        depth = torch.minimum(place, 4.0 - place).clamp_(0.0, 1.0).mul_(chroma)
        torch.sub(value, depth, out=frames[:, :, channel])
    return frames.mul_(HUE_SCALE)


def to_grey(frames: Tensor) -> Tensor:
    """Give all three channels the luma."""
    return frames.copy_(_grey(frames).expand_as(frames))


def blur(frames: Tensor, taps: Tensor) -> Tensor:
    """Blur along both sides, reflecting at the borders.

    Each clip is multiplied by a matrix of its own, S x S, which holds kernel and border: two products for any number of
    widths. Taps are multiples of 1/256 and levels whole, so that every factor has 8 bits, even where the device rounds
    factors to 11 (TF32); what is between the products has 16, and goes through the second in two halves.

    Args:
        frames: N x F x 3 x S x S.
        taps: (N, K), of the kernel from its centre on.
    """
    size, reach = frames.shape[-1], taps.shape[1] - 1
    offsets = torch.arange(-reach, reach + 1, device=frames.device)
    places = torch.arange(size, device=frames.device)
    sources = (places + offsets[:, None]).abs()
    sources = (size - 1) - (size - 1 - sources).abs()
    is_source = (sources[:, None] == places[:, None]).to(frames.dtype)  # taps x pixels of the source x of the result
    kernels = taps.index_select(1, offsets.abs())
    matrices = (kernels @ is_source.flatten(1)).view(-1, size, size)

    wide = (frames.flatten(1, 3) @ matrices).view(frames.shape).transpose(3, 4).flatten(1, 3)
    whole = wide.floor()
    tall = torch.baddbmm(whole @ matrices, wide.sub_(whole), matrices)
    return tall.add_(0.5).view(frames.shape).transpose(3, 4)  # rounded, once truncated


def solarise(frames: Tensor, threshold: Tensor) -> Tensor:
    """Invert every level at or above `threshold`, (N,)."""
    return torch.where(frames >= _a_row(threshold), FULL_RANGE - frames, frames)


def _a_row(values: Tensor) -> Tensor:
    """View (N,) as N x 1 x 1 x 1 x 1."""
    return values[:, None, None, None, None]


def _grey(frames: Tensor) -> Tensor:
    """Return the luma, N x F x 1 x S x S, not rounded."""
    red, green, blue = frames.split(1, dim=2)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def _blend(frames: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    share = _a_row(factor)
    return frames.mul_(share).add_(other * (1.0 - share))


COLOUR_OPERATIONS = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
}
