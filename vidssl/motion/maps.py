"""Motion maps: how strongly things move, where and when.

The magnitude of the motion boundary, block by block and moment by moment, is the ST-motion of a video; its mean over
time is S-motion, its mean over space T-motion.

Source: Li et al., "Motion-Focused Contrastive Learning of Video Representations", ICCV 2021, section 3.1 and the
authors' released code.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vidssl.errors import VidsslError

# --- grids ---


def area_weights(length: int, parts: int, start: float = 0.0, end: float | None = None) -> np.ndarray:
    """Return how much each of `length` cells weighs in the mean over each of `parts` equal parts of [start, end).

    Args:
        length: cells of the source, each of length 1.
        parts: parts of the result.
        start: where the first part begins, in cells, at least 0.
        end: where the last part ends, in cells, above `start` and at most `length`; None is `length`.

    Returns:
        float32, parts x length, every row sums to 1. The edge of a part may cut a cell.
    """
    edges = np.linspace(start, length if end is None else end, parts + 1)
    cells = np.arange(length)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    overlap = np.maximum(overlap, 0.0)
    return (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)


_grid_weights = functools.lru_cache(maxsize=16)(area_weights)  # those of a video's frames, the same every time


def block_means(maps: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Average maps over a grid of equal blocks that divides them evenly; the edge of a block may cut a pixel.

    Args:
        maps: float, ... x h x w.
        rows: of the grid.
        columns: of the grid.

    Returns:
        float32, ... x rows x columns.
    """
    height, width = maps.shape[-2:]
    return _grid_weights(height, rows) @ np.asarray(maps, np.float32) @ _grid_weights(width, columns).T


def zero_border(maps: np.ndarray, border: int | tuple[int, int]) -> np.ndarray:
    """Return maps whose outermost pixels are 0: flow is unreliable there (8 of 224 pixels in the released code).

    Args:
        maps: float, ... x h x w.
        border: pixels at each side, or one number for top and bottom and one for left and right.
    """
    rows, columns = (border, border) if isinstance(border, int) else border
    height, width = maps.shape[-2:]
    inside = np.zeros_like(maps)
    kept = (..., slice(rows, max(rows, height - rows)), slice(columns, max(columns, width - columns)))
    inside[kept] = maps[kept]
    return inside


def spatial_motion(st_motion: np.ndarray) -> np.ndarray:
    """Return the S-motion h x w of an ST-motion T x h x w: the mean over time."""
    return st_motion.mean(axis=0)


def temporal_motion(st_motion: np.ndarray) -> np.ndarray:
    """Return the T-motion (T,) of an ST-motion T x h x w: the mean over space."""
    return st_motion.mean(axis=(1, 2))


# --- where it moves ---


class Region(NamedTuple):
    """A rectangle in cells of a grid, or in parts of them."""

    top: float
    left: float
    height: float
    width: float


def moving_region(s_motion: np.ndarray, percentile: float = 90.0) -> Region:
    """Return the bounding box of the cells that move most.

    These are the ``floor((100 - percentile) / 100 * cells)`` strongest, at least one (4 of 7 x 7 in the released
    code), without those that move no more than the strongest of the rest. Where none is left, the strongest cells are
    all alike, and the region is the box around these: the whole grid where nothing moves.

    Args:
        s_motion: float, rows x columns, at least 0.
        percentile: share of the cells, in percent, that move less.

    Returns:
        whole cells.
    """
    num_cells = max(1, int(s_motion.size * (100.0 - percentile) / 100.0))
    ranked = np.sort(s_motion, axis=None)
    strongest_of_rest = ranked[-num_cells - 1] if num_cells < s_motion.size else -np.inf
    moving = s_motion > strongest_of_rest
    if not moving.any():
        moving = s_motion == ranked[-1]
    rows, columns = (np.flatnonzero(moving.any(axis=axis)) for axis in (1, 0))
    return Region(int(rows[0]), int(columns[0]), int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1)


def coverage(region: Region, crop: tuple[float | np.ndarray, ...]) -> float | np.ndarray:
    """Return how much of a region a crop covers: its share of the rows times its share of the columns.

    Args:
        region: in cells.
        crop: top, left, height, width, in cells too, not whole ones as a rule; or arrays of them, one a crop.

    Returns:
        0 to 1, one number a crop.
    """
    top, left, height, width = crop
    rows = np.minimum(region.top + region.height, top + height) - np.maximum(region.top, top)
    columns = np.minimum(region.left + region.width, left + width) - np.maximum(region.left, left)
    return np.maximum(rows / region.height, 0.0) * np.maximum(columns / region.width, 0.0)


# --- the motion of a video ---


@dataclass(frozen=True)
class VideoMotion:
    """The ST-motion of a whole video.

    Attributes:
        maps: float32, S x rows x columns, at least 0; map s belongs to frame s * stride.
        stride: distance in frames between two maps.
        num_frames: frames of the video; S is this, divided by `stride` and rounded up.

    Raises:
        VidsslError: the number of maps does not fit.
    """

    maps: np.ndarray
    stride: int
    num_frames: int

    def __post_init__(self) -> None:
        wanted = -(-self.num_frames // self.stride)
        if self.maps.ndim != 3 or len(self.maps) != wanted:
            raise VidsslError(
                f"The motion of {self.num_frames} frames at stride {self.stride} is {wanted} maps x rows x columns, "
                f"got {self.maps.shape}."
            )

    def maps_of(self, frames: np.ndarray) -> np.ndarray:
        """Return the map of each frame (T,), between two maps by how near each is; after the last, the last."""
        before, past = np.divmod(frames, self.stride)
        after = np.minimum(before + 1, len(self.maps) - 1)
        share = (past / np.float32(self.stride)).astype(np.float32)[:, None, None]
        return (1 - share) * self.maps[before] + share * self.maps[after]

    def clip(self, indices: np.ndarray, num_steps: int) -> np.ndarray:
        """Return the ST-motion of a clip.

        Args:
            indices: int64 (T,), the frame numbers of the clip, in any order (looped clips too).
            num_steps: time bins of the result; as in adaptive average pooling they overlap where T is not a multiple.

        Returns:
            float32, num_steps x rows x columns: the mean of the maps of the frames of each bin, see `maps_of`.
        """
        maps = self.maps_of(np.asarray(indices))
        means = [maps[first:end].mean(axis=0) for first, end in time_bins(len(maps), num_steps)]
        return np.stack(means).astype(np.float32, copy=False)

    def clip_motion_of_starts(self, num_frames: int, stride: int) -> np.ndarray:
        """Return the T-motion of every clip that fits into the video, or of every looped clip if none fits.

        Args:
            num_frames: frames per clip.
            stride: distance in frames between two frames of a clip.

        Returns:
            float32 (starts,): for each start frame the mean of the T-motion at the frames of its clip.
        """
        span = (num_frames - 1) * stride
        num_starts = self.num_frames - span if self.num_frames > span else self.num_frames
        frames = (np.arange(num_starts)[:, None] + np.arange(num_frames) * stride) % self.num_frames
        of_maps = temporal_motion(self.maps)
        of_frames = np.interp(np.arange(self.num_frames), np.arange(len(of_maps)) * self.stride, of_maps)
        return of_frames[frames].mean(axis=1).astype(np.float32)


def time_bins(num_frames: int, num_bins: int) -> list[tuple[int, int]]:
    """Return the frames of each bin as (first, end), as torch's adaptive average pooling divides them."""
    return [(b * num_frames // num_bins, -(-(b + 1) * num_frames // num_bins)) for b in range(num_bins)]
