"""Motion boundaries: differences of flow between neighbouring cells, in which a pan of the camera cancels out.

The camera moves neighbouring pixels alike, so that the derivatives of a flow field in space are the motion of things
against their surroundings.

Source: Li et al., "Motion-Focused Contrastive Learning of Video Representations", ICCV 2021, section 3.1 and the
authors' released code; where the two differ, `pool` chooses. All magnitudes are those of unnormalised Prewitt kernels
(six times the derivative) and per frame: the released code's sums over a window are these means times its length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from vidssl.errors import VidsslError, nearest

Named = TypeVar("Named")


def prewitt_gradients(flow: np.ndarray) -> np.ndarray:
    """Differentiate each component of flow fields with 3x3 Prewitt kernels; the border is replicated.

    Args:
        flow: float, ... x h x w x 2 (u to the right, v down), pixels per frame.

    Returns:
        float32, ... x h x w x 2 x 2: the component (u, v), then the direction (d/dx, d/dy).
    """
    return np.stack(_gradients(_as_flow(flow)), axis=-1)


def _gradients(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return d/dx and d/dy of float32 flow fields, each ... x h x w x 2.

    Sums in a fixed order: unlike OpenCV's filters and magnitude, the same to the last bit wherever the array lies.
    """
    sides = [(0, 0)] * (flow.ndim - 3) + [(1, 1), (1, 1), (0, 0)]
    padded = np.pad(flow, sides, mode="edge")
    smooth_down = padded[..., :-2, :, :] + padded[..., 1:-1, :, :] + padded[..., 2:, :, :]
    smooth_across = padded[..., :-2, :] + padded[..., 1:-1, :] + padded[..., 2:, :]
    across = smooth_down[..., 2:, :] - smooth_down[..., :-2, :]
    down = smooth_across[..., 2:, :, :] - smooth_across[..., :-2, :, :]
    return across, down


def _boundary(flow: np.ndarray) -> np.ndarray:
    """Magnitude of the gradient of each component, float32 ... x h x w x 2."""
    across, down = _gradients(flow)
    return np.sqrt(across * across + down * down)


def _pool_signed(flows: np.ndarray) -> np.ndarray:
    # differentiating is linear: the derivative of the mean flow is the mean of the signed derivatives
    return _boundary(flows.mean(axis=0, dtype=np.float32))


def _pool_magnitude(flows: np.ndarray) -> np.ndarray:
    total = _boundary(flows[0])
    for flow in flows[1:]:
        total += _boundary(flow)
    return total / np.float32(len(flows))


POOLS = {"signed": _pool_signed, "magnitude": _pool_magnitude}
"""What is averaged over the flows of a window: the signed derivatives (released code), or their magnitudes (eq. 1)."""

COMBINES = {"mean": 0.5, "sum": 1.0}
"""Factor of the sum of the two components: mean for loading, sampling and cropping, sum for the alignment target."""


def motion_boundary(flows: np.ndarray, *, pool: str = "signed", combine: str = "mean") -> np.ndarray:
    """Return the magnitude of the motion boundary over a window of flows.

    Args:
        flows: float, T x h x w x 2, pixels per frame, T at least 1.
        pool: ``signed`` averages the derivatives over the window and takes the magnitude after (released code), so
            that what swings back and forth cancels; ``magnitude`` takes it for each flow (eq. 1) and averages that.
        combine: ``mean`` or ``sum`` of the magnitudes of the two components.

    Returns:
        float32, h x w, at least 0.

    Raises:
        VidsslError: flows of another shape, none of them, or an unknown `pool` or `combine`.
    """
    pooled = _named("pool", pool, POOLS)
    factor = _named("combine", combine, COMBINES)
    flows = _as_flow(flows)
    if flows.ndim != 4 or len(flows) == 0:
        raise VidsslError(f"Motion boundaries need flows T x h x w x 2, at least one; got {flows.shape}.")
    boundary = pooled(flows)
    return np.float32(factor) * (boundary[..., 0] + boundary[..., 1])


def boundary_of_each(flows: np.ndarray) -> np.ndarray:
    """Return the motion boundary of each of many flows, the mean of both components.

    Args:
        flows: float, ... x h x w x 2, pixels per frame.

    Returns:
        float32, ... x h x w, at least 0.
    """
    boundary = _boundary(_as_flow(flows))
    return np.float32(COMBINES["mean"]) * (boundary[..., 0] + boundary[..., 1])


def window_around(frame: int, window: int) -> tuple[int, int]:
    """Return the flows (first, end) around a frame, wherever the video ends; half of them lie before it."""
    return frame - window // 2, frame - window // 2 + window


def clipped_window(frame: int, window: int, num_flows: int) -> tuple[int, int]:
    """Return the flows (first, end) around a frame of a video, at least one while there are any."""
    first, end = window_around(frame, window)
    first = max(0, min(first, num_flows - 1))
    return first, min(num_flows, max(end, first + 1))


def flow_windows(num_flows: int, *, window: int, stride: int) -> list[tuple[int, int]]:
    """Return the flows around every `stride`-th frame, as (first, end), of a video of `num_flows` + 1 frames.

    A window is cut where the video ends, but never empty while there are flows at all.

    Args:
        num_flows: flows of the video, one fewer than its frames.
        window: flows around a frame, half of them before it.
        stride: distance in frames between two windows.
    """
    return [clipped_window(frame, window, num_flows) for frame in range(0, num_flows + 1, stride)]


def windowed_motion_boundary(
    flows: np.ndarray, *, window: int, stride: int, pool: str = "signed", combine: str = "mean"
) -> np.ndarray:
    """Return one motion boundary map every `stride` frames, each over the `window` flows around its frame.

    Args:
        flows: float, T x h x w x 2, the flows of a whole video of T + 1 frames.
        window: flows around a frame (8 on UCF101, 4 on Kinetics, in the released code).
        stride: distance in frames between two maps.
        pool: see `motion_boundary`.
        combine: see `motion_boundary`.

    Returns:
        float32, S x h x w with S = ceil((T + 1) / stride); zeros for a video of one frame.
    """
    windows = flow_windows(len(flows), window=window, stride=stride)
    if len(flows) == 0:
        return np.zeros((len(windows), *flows.shape[1:3]), np.float32)
    return np.stack([motion_boundary(flows[first:end], pool=pool, combine=combine) for first, end in windows])


def _as_flow(flow: np.ndarray) -> np.ndarray:
    if flow.ndim < 3 or flow.shape[-1] != 2:
        raise VidsslError(f"A flow is ... x h x w x 2 (u, v), got {flow.shape}.")
    return np.ascontiguousarray(flow, np.float32)


def _named(key: str, name: str, known: Mapping[str, Named]) -> Named:
    if name not in known:
        raise VidsslError(f"{key} is {name!r}.{nearest(name, known)} Known: {', '.join(known)}.")
    return known[name]
