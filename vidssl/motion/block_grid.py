"""From the motion vectors of blocks to flow on a grid of cells.

Encoders choose the vector that is cheapest to code, not the one that is true: in flat areas it is arbitrary, and along
a straight edge (a rope, a horizon) its component along the edge is. So each cell's vector counts only as far as the
picture there can tell: with T the cell's normalised structure tensor and f' the flow of a wider neighbourhood, the
regularised flow minimises (f - v)' T (f - v) + PRIOR |f - f'|^2. Measured in docs/measurements.md.
"""

from __future__ import annotations

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
    grid: BlockGrid, vectors: list[np.ndarray | None], factors: np.ndarray, *, group: int, max_speed: float
) -> np.ndarray:
    """Add up the motion vectors of frames over the cells of a grid.

    Args:
        grid: the cells.
        vectors: FFmpeg's motion vectors of each frame (a structured array), None where it has none.
        factors: float n x 2: for each frame, what makes vectors to the past and to the future flow: 1 over the signed
            distance in frames.
        group: so many consecutive frames are added up to one.
        max_speed: clip the flow to ± this many pixels a frame.

    Returns:
        float32 ceil(n / group) x 3 x rows x columns: flow times coverage (u, v), and coverage: 1 for a cell that a
        block covers once.
    """
    rows, columns = grid.shape
    num_groups = -(-len(vectors) // group)
    counts = [0 if found is None else len(found) for found in vectors]
    if not any(counts):
        return np.zeros((num_groups, 3, rows, columns), np.float32)
    found = _joined([one for one in vectors if one is not None])
    frame = np.repeat(np.arange(len(vectors)), counts)
    factor = factors[frame, (found["source"] > 0).astype(np.intp)] / np.maximum(found["motion_scale"], 1)
    flow = [np.clip(found[f"motion_{axis}"] * factor, -max_speed, max_speed) for axis in "xy"]
    cells, coverage = _covered_cells(grid, found, frame // group)
    parts, size = len(cells) // len(found), num_groups * rows * columns
    sums = [np.bincount(cells, coverage * np.tile(component, parts), size) for component in flow]
    sums.append(np.bincount(cells, coverage, size))
    return np.stack([plane.reshape(num_groups, rows, columns) for plane in sums], axis=1).astype(np.float32)


def _joined(vectors: list[np.ndarray]) -> np.ndarray:
    # as bytes: joining structured arrays compares their fields one by one
    return np.concatenate([one.view(np.uint8) for one in vectors]).view(vectors[0].dtype)


def _covered_cells(grid: BlockGrid, found: np.ndarray, plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cell of each part of each block (all first parts, then all second, ...), and how much it covers of it.

    Blocks are divided into as many parts as cells fit into the largest; a part goes to the cell at its centre.
    """
    rows, columns = grid.shape
    block_width, block_height = found["w"].astype(np.int32), found["h"].astype(np.int32)
    parts = 2 if grid.cell < 16 else 1
    steps = np.arange(1 - parts, parts, 2)[:, None]  # in units of half a part, from the block's centre
    x = found["dst_x"] + steps * block_width // (2 * parts)
    y = found["dst_y"] + steps * block_height // (2 * parts)
    inside = ((y >= 0) & (y < grid.height))[:, None] & ((x >= 0) & (x < grid.width))
    row = (plane * rows + np.clip(y * rows // grid.height, 0, rows - 1)) * columns
    cells = row[:, None] + np.clip(x * columns // grid.width, 0, columns - 1)
    share = block_width * block_height / (parts * grid.cell) ** 2
    return cells.ravel(), (inside * share).ravel()


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
    products = np.empty((3, *reduced.shape), np.float32)
    for product, first, second in zip(products, (across, across, down), (across, down, down), strict=True):
        np.multiply(first, second, out=product)
    means = products.reshape(-1, reduced.shape[1])  # one above the other, for fewer calls
    for side in (TEXELS // 2, 1):  # halving twice is faster than one step
        means = cv2.resize(means, (columns * side, 3 * rows * side), interpolation=cv2.INTER_AREA)
    tensor = means.reshape(3, rows, columns)
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
    u, v, weight = np.moveaxis(sums, 1, 0)
    covered = np.maximum(weight, 1e-6)
    u, v = u / covered, v / covered
    trust = weight / np.maximum(weight.max(axis=(1, 2), keepdims=True), 1e-6)
    xx, xy, yy = np.moveaxis(textures, 1, 0) * trust
    system = np.stack([xx, xy, yy, xx * u + xy * v, xy * u + yy * v], axis=1)
    frame_flow = _solve(system.mean(axis=(2, 3), keepdims=True), 0.0, 1e-6)
    nearby_flow = _solve(_blurred(system), frame_flow, FRAME_PRIOR)
    return np.moveaxis(_solve(system, nearby_flow, PRIOR), 1, -1)


def _solve(system: np.ndarray, prior_flow: np.ndarray | float, prior: float) -> np.ndarray:
    """Solve T f + prior f = T v + prior prior_flow for f, n x 2 x ...; `system` holds T (xx, xy, yy) and T v."""
    xx, xy, yy = system[:, 0] + prior, system[:, 1], system[:, 2] + prior
    right = system[:, 3:] + prior * prior_flow
    solution = np.stack([yy * right[:, 0] - xy * right[:, 1], xx * right[:, 1] - xy * right[:, 0]], axis=1)
    return solution / (xx * yy - xy * xy)[:, None]


def _blurred(planes: np.ndarray) -> np.ndarray:
    rows, columns = planes.shape[-2:]
    across = (planes.reshape(-1, columns) @ _gaussian(columns).T).reshape(planes.shape)
    return _gaussian(rows) @ across


@lru_cache(maxsize=32)
def _gaussian(length: int) -> np.ndarray:
    """Return the matrix of a Gaussian mean over a line of cells, length x length, whole at its ends too."""
    distance = np.subtract.outer(np.arange(length), np.arange(length))
    weights = np.exp(-0.5 * (distance / NEIGHBOURHOOD) ** 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
