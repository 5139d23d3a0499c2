"""From the motion vectors of blocks to flow on a grid of cells.

Encoders choose the vector that is cheapest to code, not the one that is true: in flat areas it is arbitrary, and along
a straight edge (a rope, a horizon) its component along the edge is. So each cell's vector counts only as far as the
picture there can tell: with T the cell's normalised structure tensor and f' the flow of a wider neighbourhood, the
regularised flow minimises (f - v)' T (f - v) + PRIOR |f - f'|^2. Measured in docs/measurements.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np

# Half the smallest block that H.264 and MPEG-4 tell apart: 8 pixels in videos up to 360 high, more in larger ones.
SMALLEST_CELL = 8
CELLS_ON_SHORT_SIDE = 30
TEXELS = 4  # texture is looked at on 4 x 4 points a cell
# Squared gradient, in grey levels a pixel, at which a cell's texture is trusted by half.
TEXTURE_NOISE = 16.0
# Weight of the neighbourhood's flow against a perfectly textured cell's own vector (weight 1).
PRIOR = 0.12
# The same, of the whole frame's flow against that of the neighbourhood.
FRAME_PRIOR = 0.02
# Standard deviation of the neighbourhood, in cells.
NEIGHBOURHOOD = 5.3


@dataclass(frozen=True)
class BlockGrid:
    """Cells that divide a stored frame evenly.

    Attributes:
        height: of the frame, in pixels.
        width: of the frame, in pixels.
    """

    height: int
    width: int

    @cached_property
    def cell(self) -> int:
        """Side of a cell in pixels, about: the least it is."""
        return SMALLEST_CELL * max(1, round(min(self.height, self.width) / (SMALLEST_CELL * CELLS_ON_SHORT_SIDE)))

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return max(1, self.height // self.cell), max(1, self.width // self.cell)


def splat(
    grid: BlockGrid, vectors: list[np.ndarray], factors: np.ndarray, planes: np.ndarray, *, max_speed: float
) -> np.ndarray:
    """Add up the motion vectors of frames over the cells of a grid.

    Args:
        grid: the cells.
        vectors: FFmpeg's motion vectors of each frame (a structured array).
        factors: float n x 2: for each frame, what makes vectors to the past and to the future flow: 1 over the signed
            distance in frames.
        planes: int n: frames of the same number, ascending from 0, are added up.
        max_speed: clip the flow to ± this many pixels a frame.

    Returns:
        float32 planes x 3 x rows x columns, up to the last of `planes`: flow times coverage (u, v), and coverage: 1 for
        a cell that a block covers once.
    """
    rows, columns = grid.shape
    found = _joined(vectors)
    frame = np.repeat(np.arange(len(vectors)), [len(one) for one in vectors])
    factor = factors[frame, (found["source"] > 0).astype(np.intp)] / np.maximum(found["motion_scale"], 1)
    parts = 2 if grid.cell < 16 else 1  # blocks are divided into as many as cells fit into the largest
    share = (found["w"].astype(np.float32) * found["h"]) / np.float32((parts * grid.cell) ** 2)
    flow = [np.clip(found[f"motion_{axis}"] * factor, -max_speed, max_speed).astype(np.float32) for axis in "xy"]
    added = [component * share for component in flow] + [share]
    sums = np.zeros((int(planes[-1]) + 1, 3, rows, columns), np.float32)
    totals = [sums.reshape(-1)[component * rows * columns :] for component in range(3)]  # all views of the same
    first_cells = planes[frame] * (3 * rows * columns)
    for cells, inside in _cells_of_parts(grid, found, parts):
        cells = (first_cells + cells)[inside]
        for total, values in zip(totals, added, strict=True):
            np.add.at(total, cells, values[inside])
    return sums


def _joined(vectors: list[np.ndarray]) -> np.ndarray:
    # as bytes: joining structured arrays compares their fields one by one
    return np.frombuffer(b"".join(vectors), vectors[0].dtype)


def _cells_of_parts(grid: BlockGrid, found: np.ndarray, parts: int) -> Iterator[tuple[np.ndarray, np.ndarray | slice]]:
    """Yield the cell at the centre of the first part of each block, of the second, ..., of parts x parts.

    With each comes which of them lie inside the frame.
    """
    rows, columns = grid.shape
    across = list(_places_along(found["dst_x"], found["w"], grid.width, columns, parts))
    for row, inside_down in _places_along(found["dst_y"], found["h"], grid.height, rows, parts):
        for column, inside_across in across:
            inside = inside_down & inside_across
            yield row * columns + column, slice(None) if inside.all() else inside


def _places_along(
    centre: np.ndarray, size: np.ndarray, length: int, cells: int, parts: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the row or column of the first part of each block, ..., and whether it lies inside the frame."""
    centre, size = centre.astype(np.int32), size.astype(np.int32)
    for step in range(1 - parts, parts, 2):  # in units of half a part, from the block's centre
        place = centre + step * size // (2 * parts)
        yield np.clip(place * cells // length, 0, cells - 1), (place >= 0) & (place < length)


def texture(grid: BlockGrid, luma: np.ndarray) -> np.ndarray:
    """Return the normalised structure tensor of each cell of a frame.

    Args:
        grid: the cells.
        luma: uint8 height x width.

    Returns:
        float32 3 x rows x columns: xx, xy, yy of a tensor whose trace is in [0, 1): near 0 where the picture is flat.
    """
    rows, columns = grid.shape
    reduced = cv2.resize(luma, (columns * TEXELS, rows * TEXELS), interpolation=cv2.INTER_AREA)
    # Sobel: 8 times the difference from texel to texel
    across, down = (gradient.astype(np.float32) for gradient in cv2.spatialGradient(reduced))
    tensor = np.empty((3, rows, columns), np.float32)
    for mean, first, second in zip(tensor, (across, across, down), (across, down, down), strict=True):
        # halving twice is faster than one step
        halved = cv2.resize(first * second, (2 * columns, 2 * rows), interpolation=cv2.INTER_AREA)
        mean[...] = cv2.resize(halved, (columns, rows), interpolation=cv2.INTER_AREA)
    noise = TEXTURE_NOISE * (8 * grid.cell / TEXELS) ** 2
    return tensor / (tensor[0] + tensor[2] + np.float32(noise))


def regularise(sums: np.ndarray, textures: np.ndarray) -> np.ndarray:
    """Turn summed vectors into flow, trusting each cell as far as its coverage and its texture allow.

    Args:
        sums: float32 n x 3 x rows x columns, as from `splat`, summed over any number of frames.
        textures: float32 n x 3 x rows x columns, as from `texture`.

    Returns:
        float32 n x rows x columns x 2, pixels a frame; where nothing is known, what is known nearby.
    """
    strongest = np.maximum(sums[:, 2].max(axis=(1, 2), keepdims=True), 1e-6)
    u, v, trust = np.moveaxis(sums / strongest[:, None], 1, 0)  # u and v times trust
    xx, xy, yy = np.moveaxis(textures, 1, 0)
    system = np.empty((len(sums), 5, *sums.shape[2:]), np.float32)
    np.multiply(textures, trust[:, None], out=system[:, :3])
    np.add(xx * u, xy * v, out=system[:, 3])
    np.add(xy * u, yy * v, out=system[:, 4])
    frame_flow = _solve(system.mean(axis=(2, 3), keepdims=True), np.float32(0), np.float32(1e-6))
    nearby_flow = _solve(_blurred(system), frame_flow, np.float32(FRAME_PRIOR))
    return np.moveaxis(_solve(system, nearby_flow, np.float32(PRIOR)), 1, -1)


def _solve(system: np.ndarray, prior_flow: np.ndarray, prior: np.float32) -> np.ndarray:
    """Solve T f + prior f = T v + prior prior_flow for f, n x 2 x ...; `system` holds T (xx, xy, yy) and T v."""
    xx, xy, yy = system[:, 0] + prior, system[:, 1], system[:, 2] + prior
    right = system[:, 3:] + prior * prior_flow
    solution = np.empty_like(right)
    np.subtract(yy * right[:, 0], xy * right[:, 1], out=solution[:, 0])
    np.subtract(xx * right[:, 1], xy * right[:, 0], out=solution[:, 1])
    solution /= (xx * yy - xy * xy)[:, None]
    return solution


def _blurred(planes: np.ndarray) -> np.ndarray:
    # plane by plane: a large matrix product is shared among threads, whose number changes its last bits
    rows, columns = planes.shape[-2:]
    return _gaussian(rows) @ (planes @ _gaussian(columns).T)


@lru_cache(maxsize=32)
def _gaussian(length: int) -> np.ndarray:
    """Return the matrix of a Gaussian mean over a line of cells, length x length, whole at its ends too."""
    distance = np.subtract.outer(np.arange(length), np.arange(length))
    weights = np.exp(-0.5 * (distance / NEIGHBOURHOOD) ** 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
