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

from vidssl.motion.coded.references import spans_agreed_on

# Half the smallest block that H.264 and MPEG-4 tell apart: 8 pixels in videos up to 360 high, more in larger ones.
SMALLEST_CELL = 8
CELLS_ON_SHORT_SIDE = 30
_UNIT = 8  # pixels, the smallest side of a block
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
    grid: BlockGrid,
    vectors: list[np.ndarray],
    factors: np.ndarray,
    planes: np.ndarray,
    *,
    max_speed: float,
    windows: np.ndarray | None = None,
) -> np.ndarray:
    """Add up the motion vectors of frames over the cells of a grid.

    Args:
        grid: the cells.
        vectors: FFmpeg's motion vectors of each frame (a structured array).
        factors: float n x 2: for each frame, what makes vectors to the past and to the future flow: 1 over the signed
            distance in frames.
        planes: int n: frames of the same number, ascending from 0, are added up.
        max_speed: clip the flow to ± this many pixels per frame.
        windows: int n, if vectors may span other distances than `factors` say: frames of the same number, ascending
            from 0, decide together, see `vidssl.motion.coded.references`.

    Returns:
        float32 planes x 3 x rows x columns, up to the last of `planes`: flow times coverage (u, v), and coverage: 1 for
        a cell that a block covers once.
    """
    found = _joined(vectors)
    lengths = [len(one) for one in vectors]
    factor = np.repeat(factors[:, 0], lengths)
    to_future = np.flatnonzero(found["source"] > 0)
    if len(to_future):
        factor[to_future] = np.repeat(factors[:, 1], lengths)[to_future]
    factor /= np.maximum(found["motion_scale"], 1)
    lattice = _lattice(grid)
    places = lattice.places(found)
    places += np.repeat(planes * lattice.size, lengths)
    num_places = (int(planes[-1]) + 1) * lattice.size
    motion = np.stack([found["motion_x"], found["motion_y"]]).astype(np.float64)
    flow = motion * factor
    if windows is not None:
        signed = motion * (np.sign(factor) / np.maximum(found["motion_scale"], 1))
        centres = np.stack([found["dst_x"], found["dst_y"]])
        flow = spans_agreed_on(grid, centres, np.repeat(windows, lengths), signed, flow)
    flow = np.clip(flow, -max_speed, max_speed)
    return lattice.on_cells(
        [*(np.bincount(places, values, num_places) for values in flow), np.bincount(places, minlength=num_places)]
    )


def _joined(vectors: list[np.ndarray]) -> np.ndarray:
    # as bytes: joining structured arrays compares their fields one by one
    return np.frombuffer(b"".join([one.data for one in vectors]), vectors[0].dtype)


class _Lattice:
    """Places for the blocks of a frame, to add up those at the same place before they are spread over cells.

    The blocks that FFmpeg tells of are 8 or 16 pixels wide and high and lie at multiples of that. Each of the four
    kinds has a place for every 8 x 8 pixels, though wide ones use those at the left only.

    Attributes:
        size: places of a frame.
    """

    def __init__(self, grid: BlockGrid) -> None:
        # one row and one column more, which stay empty
        self._rows, self._columns = 2 * -(-grid.height // 16) + 1, 2 * -(-grid.width // 16) + 1
        self.size = 4 * self._rows * self._columns
        self._grid = grid
        down = _units_of_cells(grid.height, grid.shape[0], self._rows - 1)
        across = _units_of_cells(grid.width, grid.shape[1], self._columns - 1)
        self._places_of_cells = [
            [(row[:, None] >> tall) * self._columns + (column >> wide) for row in down for column in across]
            for tall in range(2)
            for wide in range(2)
        ]

    def places(self, found: np.ndarray) -> np.ndarray:
        """Return the place of each block in its frame."""
        tall, wide = found["h"] >> 4, found["w"] >> 4
        places = (2 * tall + wide).astype(np.intp)
        places *= self._rows
        places += found["dst_y"] >> (tall + 3)
        places *= self._columns
        places += found["dst_x"] >> (wide + 3)
        return places

    def on_cells(self, totals: list[np.ndarray]) -> np.ndarray:
        """Spread totals (planes * size,), of which the last counts blocks, over cells.

        Returns:
            float32 planes x totals x rows x columns; a block that covers a cell counts there once.
        """
        totals = [total.reshape(-1, 4, self._rows * self._columns) for total in totals]
        occurring = np.flatnonzero(totals[-1].any(axis=(0, 2)))
        sums = np.zeros((len(totals[0]), len(totals), *self._grid.shape), np.float32)
        for component, total in enumerate(totals):
            for kind in occurring:
                of_kind = total[:, kind].astype(np.float32)
                for places in self._places_of_cells[kind]:
                    sums[:, component] += of_kind.take(places, axis=1)
        sums *= np.float32((_UNIT / self._grid.cell) ** 2)
        return sums


_lattice = lru_cache(maxsize=32)(_Lattice)


def _units_of_cells(length: int, cells: int, empty: int) -> list[np.ndarray]:
    """Return the numbers of the units of 8 pixels whose middle is in each cell: the first unit, the second, and so on.

    Where a cell holds fewer than others, `empty` stands for the rest.
    """
    edges = np.arange(cells + 1) * length
    firsts = -((_UNIT // 2 * cells - edges) // (_UNIT * cells))
    counts = np.diff(firsts)
    return [np.where(step < counts, firsts[:-1] + step, empty) for step in range(counts.max())]


def reduced(grid: BlockGrid, luma: np.ndarray) -> np.ndarray:
    """Return the brightness of a frame (uint8 height x width) at `TEXELS` x `TEXELS` points a cell."""
    rows, columns = grid.shape
    factor = grid.cell // SMALLEST_CELL
    if factor > 1:  # a whole number first: several times faster
        height, width = (length // factor for length in luma.shape)
        luma = luma[: height * factor, : width * factor]
        luma = cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA)
    # about half the size now, at which the mean of four neighbours is that of an area
    return cv2.resize(luma, (columns * TEXELS, rows * TEXELS), interpolation=cv2.INTER_LINEAR)


def texture(grid: BlockGrid, picture: np.ndarray) -> np.ndarray:
    """Return the normalised structure tensor of each cell of a frame.

    Args:
        grid: the cells.
        picture: uint8, as from `reduced`.

    Returns:
        float32 3 x rows x columns: xx, xy, yy of a tensor whose trace is in [0, 1): near 0 where the picture is flat.
    """
    rows, columns = grid.shape
    # Sobel: 8 times the difference from texel to texel
    across, down = (gradient.astype(np.float32) for gradient in cv2.spatialGradient(picture))
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
        float32 n x rows x columns x 2, pixels per frame; where nothing is known, what is known nearby.
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


def _solve(system: np.ndarray, prior_flow: np.ndarray | np.float32, prior: np.float32) -> np.ndarray:
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
