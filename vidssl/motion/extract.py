"""The motion maps of a video, in one pass over its file."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from vidssl.motion.boundary import boundary_of_each
from vidssl.motion.estimator import MotionEvidence, windowed_means
from vidssl.motion.flow import Count, mean_flows, video_flows
from vidssl.motion.maps import VideoMotion
from vidssl.motion.settings import MotionSettings

if TYPE_CHECKING:
    from vidssl.video.decoders.kept_frames import KeptFrames

# Maps whose strongest hundredth reaches this, in their own units, are not those of noise that an encoder chases (to 1).
_STRONG_QUANTILE, _BEYOND_NOISE = 0.99, 1.5
# Others that were made without looking at pixels are checked by a cheap look at them, until something moves.
_SECOND_LOOK = MotionSettings(estimator="dis", options={"preset": "ultrafast"}, short_side=60)
_FLOWS_THAT_TELL = 32
# So many numbers of small flows are turned into maps together; a flow of 240 x 320 goes alone.
_VALUES_AT_ONCE = 120_000


def video_motion(path: str | os.PathLike[str], settings: MotionSettings, kept: KeptFrames | None = None) -> VideoMotion:
    """Compute the motion maps of a video.

    Memory holds one window of flows (with ``codec`` some dozens of block grids), and the maps. With ``codec``, the
    same file and settings give the same maps to the last bit, whatever the process and its number of threads.

    Args:
        path: the video.
        settings: estimator, grid and windows.
        kept: gets the frames of the video, for `read_frames`, where that is cheaper than decoding them again: where
            the estimator decodes most of them anyway and they find room. The maps are the same.

    Returns:
        one map every `settings.stride` frames: the motion boundary over the window of flows around its frame, in the
        units of Prewitt kernels on the estimator's own grid; zero at the border. Magnitudes compare within a video,
        not between estimators or resolutions. A video of one frame has one map of zeros; one in which nothing moves
        beyond its noise (`MotionEvidence`) has only such.

    Raises:
        DecodingError: as `vidssl.video.decoding.read_frames` does.
        VidsslError: the estimator is not available, or rejects its options.
    """
    return motion_and_estimator(path, settings, kept)[0]


def motion_and_estimator(
    path: str | os.PathLike[str], settings: MotionSettings, kept: KeptFrames | None = None
) -> tuple[VideoMotion, str]:
    """Return what `video_motion` does, and the name of the estimator: the fallback where ``codec`` finds nothing."""
    path, maps, evidence = os.fspath(path), list[np.ndarray](), MotionEvidence()
    num_flows = yield_into(maps, _POOLED[settings.pool](path, settings, kept, evidence))
    estimator = evidence.estimator
    stacked = np.stack(maps) if maps else np.zeros((1, *settings.grid), np.float32)
    if stacked.any() and _nothing_moves(path, stacked, evidence):
        stacked = np.zeros_like(stacked)
    motion = VideoMotion(above_floor(stacked, settings.floor), stride=settings.stride, num_frames=num_flows + 1)
    return motion, estimator


def _nothing_moves(path: str, maps: np.ndarray, evidence: MotionEvidence) -> bool:
    """Tell whether maps are those of noise: by the flows they come from, or by others where these hold no pixels."""
    if evidence.num_flows or evidence.is_certain:
        return evidence.nothing_moves
    if np.quantile(maps, _STRONG_QUANTILE) >= _BEYOND_NOISE:
        return False
    for _ in video_flows(path, _SECOND_LOOK, evidence=evidence):
        if evidence.num_flows % _FLOWS_THAT_TELL == 0 and not evidence.nothing_moves:
            return False
    return evidence.nothing_moves


def above_floor(maps: np.ndarray, floor: float) -> np.ndarray:
    """Return maps S x rows x columns less their own quantile `floor`, 0 where they are below it."""
    if not floor:
        return maps
    level = np.quantile(maps, floor, axis=(1, 2), keepdims=True).astype(np.float32)
    return np.maximum(maps - level, np.float32(0))


def yield_into(collected: list[np.ndarray], arrays: Generator[np.ndarray, None, int]) -> int:
    """Append what a generator yields to a list, and return what it returns."""
    while True:
        try:
            collected.append(next(arrays))
        except StopIteration as end:
            return end.value


def _pool_signed(
    path: str, settings: MotionSettings, kept: KeptFrames | None, evidence: MotionEvidence
) -> Generator[np.ndarray, None, int]:
    # differentiating is linear: the signed derivatives over a window are those of its mean flow
    return (yield from _boundary_maps(mean_flows(path, settings, kept, evidence), settings))


def _pool_magnitude(
    path: str, settings: MotionSettings, kept: KeptFrames | None, evidence: MotionEvidence
) -> Generator[np.ndarray, None, int]:
    maps = _boundary_maps(video_flows(path, settings, kept, evidence), settings)
    return (yield from windowed_means(maps, window=settings.window, stride=settings.stride))


def _boundary_maps(
    flows: Generator[np.ndarray, None, Count], settings: MotionSettings
) -> Generator[np.ndarray, None, Count]:
    """Yield the map of each flow, computed together where flows are small; return what `flows` returns."""
    waiting: list[np.ndarray] = []
    while True:
        try:
            waiting.append(next(flows))
        except StopIteration as end:
            yield from _maps_of(waiting, settings)
            return end.value
        if len(waiting) * waiting[0].size >= _VALUES_AT_ONCE:
            yield from _maps_of(waiting, settings)
            waiting.clear()


def _maps_of(flows: list[np.ndarray], settings: MotionSettings) -> Iterator[np.ndarray]:
    if flows:
        yield from pooled(boundary_of_each(np.stack(flows)), settings.grid, settings.border_fraction)


_POOLED = {"signed": _pool_signed, "magnitude": _pool_magnitude}


def pooled(boundary: np.ndarray, grid: tuple[int, int], border_fraction: float) -> np.ndarray:
    """Zero the border of maps ... x h x w and average the rest over a grid; both may cut a pixel.

    Returns:
        float32 ... x rows x columns.
    """
    down, across = (
        _pooling(length, parts, border_fraction) for length, parts in zip(boundary.shape[-2:], grid, strict=True)
    )
    return _weighted(_weighted(boundary.swapaxes(-2, -1), down).swapaxes(-2, -1), across)


def _weighted(maps: np.ndarray, pooling: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Add up weighted cells along the last axis in a fixed order; a matrix product's varies with the threads."""
    total = np.zeros((), np.float32)
    for cells, weights in pooling:
        total = total + maps[..., cells] * weights
    return total


@lru_cache(maxsize=64)
def _pooling(length: int, parts: int, border_fraction: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return a mean over parts, in which the border has no weight.

    Returns:
        a list with the first cell of each part and its weight, the second cell of each, and so on.
    """
    border, cells, edges = border_fraction * length, np.arange(length), np.linspace(0, length, parts + 1)
    edges_inside = np.clip(edges, border, length - border)
    overlap = np.minimum(edges_inside[1:, None], cells + 1) - np.maximum(edges_inside[:-1, None], cells)
    weights = (np.maximum(overlap, 0) * parts / length).astype(np.float32)
    firsts, part = (weights > 0).argmax(axis=1), np.arange(parts)
    pooling = []
    for step in range(int((weights > 0).sum(axis=1).max())):
        cells = np.minimum(firsts + step, length - 1)
        pooling.append((cells, np.where(firsts + step < length, weights[part, cells], np.float32(0))))
    return pooling
