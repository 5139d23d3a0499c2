"""The motion maps of a video, in one pass over its file."""

from __future__ import annotations

import os
from collections.abc import Generator
from functools import lru_cache

import numpy as np

from vidssl.motion.boundary import motion_boundary
from vidssl.motion.estimator import windowed_means
from vidssl.motion.flow import mean_flows, video_flows
from vidssl.motion.maps import VideoMotion
from vidssl.motion.settings import MotionSettings


def video_motion(path: str | os.PathLike, settings: MotionSettings) -> VideoMotion:
    """Compute the motion maps of a video.

    Memory holds one window of flows (with ``codec`` some dozens of block grids), and the maps.

    Args:
        path: the video.
        settings: estimator, grid and windows.

    Returns:
        one map every `settings.stride` frames: the motion boundary over the window of flows around its frame, in the
        units of Prewitt kernels on the estimator's own grid; zero at the border. Magnitudes compare within a video,
        not between estimators or resolutions. A video of one frame has one map of zeros.

    Raises:
        DecodingError: as `vidssl.data.decoding.read_frames` does.
        VidsslError: the estimator is not to be had, or rejects its options.
    """
    maps: list[np.ndarray] = []
    num_flows = yield_into(maps, _POOLED[settings.pool](os.fspath(path), settings))
    stacked = np.stack(maps) if maps else np.zeros((1, *settings.grid), np.float32)
    return VideoMotion(maps=stacked, stride=settings.stride, num_frames=num_flows + 1)


def yield_into(collected: list[np.ndarray], arrays: Generator[np.ndarray, None, int]) -> int:
    """Append what a generator yields to a list, and return what it returns."""
    while True:
        try:
            collected.append(next(arrays))
        except StopIteration as end:
            return end.value


def _pool_signed(path: str, settings: MotionSettings) -> Generator[np.ndarray, None, int]:
    # differentiating is linear: the signed derivatives over a window are those of its mean flow
    flows = mean_flows(path, settings)
    while True:
        try:
            flow = next(flows)
        except StopIteration as end:
            return end.value
        yield pooled(motion_boundary(flow[None]), settings.grid, settings.border_fraction)


def _pool_magnitude(path: str, settings: MotionSettings) -> Generator[np.ndarray, None, int]:
    maps = (
        pooled(motion_boundary(flow[None]), settings.grid, settings.border_fraction)
        for flow in video_flows(path, settings)
    )
    return (yield from windowed_means(maps, window=settings.window, stride=settings.stride))


_POOLED = {"signed": _pool_signed, "magnitude": _pool_magnitude}


def pooled(boundary: np.ndarray, grid: tuple[int, int], border_fraction: float) -> np.ndarray:
    """Zero the border of a map h x w and average the rest over a grid; both may cut a pixel.

    Returns:
        float32 rows x columns.
    """
    down = _pooling(boundary.shape[0], grid[0], border_fraction)
    across = _pooling(boundary.shape[1], grid[1], border_fraction)
    return down @ boundary @ across.T


@lru_cache(maxsize=64)
def _pooling(length: int, parts: int, border_fraction: float) -> np.ndarray:
    """Return the weights (parts x length) of a mean over parts, what lies in the border weighing nothing."""
    border, cells, edges = border_fraction * length, np.arange(length), np.linspace(0, length, parts + 1)
    edges_inside = np.clip(edges, border, length - border)
    overlap = np.minimum(edges_inside[1:, None], cells + 1) - np.maximum(edges_inside[:-1, None], cells)
    return (np.maximum(overlap, 0) * parts / length).astype(np.float32)
