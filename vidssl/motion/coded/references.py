"""How many frames a motion vector of H.264 spans, where the file does not say which of several references it means.

FFmpeg exports whether a vector points to the past or to the future, but not to which frame. The nearest that B-frames
do not depend on is assumed; x264's default keeps three, and B-frames that others refer to. Where grain makes another
reference cheaper, the vector spans other frames than assumed, and the flow comes out twice as long, or half. In a part
of the picture that moves as one, such vectors agree with the others except for their span: there the others decide.
Every vector votes for the flow that the span assumed gives, and with less weight for what other spans give. Where a
part moves in several ways nothing is changed: whether another reference was meant, or things move so, cannot be known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vidssl.motion.block_grid import BlockGrid

WINDOW = 8  # frames that vote together
_TILE = 48  # pixels, the side of a part of the picture
_MOST_SPAN = 8
_OTHER_SPAN_WEIGHT = 0.5
_FASTEST = 20  # pixels per frame, in bins of one
_BINS = 2 * _FASTEST + 1
# Slower flow is left as it is: other spans change it by less than the noise.
_SLOWEST = 0.75
_STILL = 0.25  # less than what can be the same as the slowest
# Two flows are the same if they differ by less than this share, and so many pixels per frame.
_SAME_SHARE, _SAME_PIXELS = 0.15, 0.25
# A part moves as one if so many of its blocks agree with the winner as they are, and so many with some span.
_LEAST_SURE, _LEAST_FITTING = 0.25, 0.8


def spans_agreed_on(
    grid: BlockGrid, centres: np.ndarray, windows: np.ndarray, displacement: np.ndarray, flow: np.ndarray
) -> np.ndarray:
    """Return the flow of blocks with the spans that fit what others say.

    Args:
        grid: tells the size of the frame.
        centres: int 2 x n, of the blocks, x and y in pixels.
        windows: int n, ascending from 0: blocks of the same number vote together.
        displacement: float 2 x n, pixels over the unknown span, pointing as flow does.
        flow: float 2 x n, the same over the span assumed, pixels per frame.
    """
    columns, rows = (side // _TILE + 1 for side in (grid.width, grid.height))
    x, y = (np.clip(centre // _TILE, 0, most - 1) for centre, most in zip(centres, (columns, rows), strict=True))
    tiles = (windows * rows + y) * columns + x
    is_moving = np.maximum(*np.abs(displacement)) > _STILL
    num_blocks = np.bincount(tiles)
    may_move_as_one = np.bincount(tiles, is_moving) >= _LEAST_FITTING * np.maximum(num_blocks, 1)
    moving = np.flatnonzero(may_move_as_one[tiles])
    if len(moving):
        tiles = (np.cumsum(may_move_as_one) - 1)[tiles[moving]]
        flow[:, moving] = _agreed(tiles, displacement[:, moving], flow[:, moving])
    return flow


def _agreed(tiles: np.ndarray, displacement: np.ndarray, flow: np.ndarray) -> np.ndarray:
    num_blocks = np.bincount(tiles)
    winner = _winners(tiles, len(num_blocks), displacement, flow)[:, tiles]
    strength = winner[0] ** 2 + winner[1] ** 2
    along = displacement[0] * winner[0] + displacement[1] * winner[1]
    span = np.maximum(np.rint(along / np.maximum(strength, _SLOWEST**2)), 1)
    other = displacement / span
    agrees = _are_same(flow, winner, strength)
    fits = _are_same(other, winner, strength)
    moves_as_one = np.bincount(tiles, agrees) >= _LEAST_SURE * num_blocks
    moves_as_one &= np.bincount(tiles, agrees | fits) >= _LEAST_FITTING * num_blocks
    is_mended = fits & ~agrees & (strength > _SLOWEST**2) & moves_as_one[tiles]
    return np.where(is_mended, other, flow)


def _are_same(flow: np.ndarray, winner: np.ndarray, strength: np.ndarray) -> np.ndarray:
    across, down = flow - winner
    return across**2 + down**2 <= (_SAME_SHARE * np.sqrt(strength) + _SAME_PIXELS) ** 2


def _winners(tiles: np.ndarray, num_tiles: int, displacement: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Return the mean flow in the bin with the most votes of each tile, float 2 x num_tiles; 0 if other spans won."""
    bins = _bins(tiles, flow)
    length = np.maximum(*np.abs(displacement))
    voting, assumed, last, others = np.arange(len(tiles)), bins, np.full(len(tiles), -1), []
    for span in range(1, _MOST_SPAN + 1):
        fast = np.flatnonzero(length[voting] > _SLOWEST * span)
        voting, assumed, last = voting[fast], assumed[fast], last[fast]
        chosen = _bins(tiles[voting], displacement[:, voting] / span)
        others.append(chosen[(chosen != assumed) & (chosen != last)])  # each votes for a flow once
        last = chosen
    all_bins = np.concatenate([bins, *others])
    weights = np.where(np.arange(len(all_bins)) < len(bins), 1.0, _OTHER_SPAN_WEIGHT)
    votes = np.bincount(all_bins, weights, num_tiles * _BINS**2)
    best = votes.reshape(num_tiles, -1).argmax(axis=1) + np.arange(num_tiles) * _BINS**2
    has_won = np.flatnonzero(bins == best[tiles])
    counts = np.maximum(np.bincount(tiles[has_won], minlength=num_tiles), 1)
    return np.stack([np.bincount(tiles[has_won], part[has_won], num_tiles) / counts for part in flow])


def _bins(tiles: np.ndarray, flow: np.ndarray) -> np.ndarray:
    across, down = np.rint(np.clip(flow, -_FASTEST, _FASTEST)).astype(np.intp) + _FASTEST
    return (tiles * _BINS + down) * _BINS + across
