"""Rows of features as a search compares them: centred and of unit length where asked, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vidssl.errors import VidsslError
from vidssl.evaluation.features.checks import refuse_bad_rows

NUMBERS_AT_ONCE = 2**20  # of a pass that converts rows to float64: 8 MB
LARGEST_SQUARE = 1e74  # a length of 1e37: a little below the end of float32, so that rows can be added


@dataclass(frozen=True)
class FeatureRows:
    """Rows made from an array or memory map when they are asked for, so that no second copy of it is needed.

    A row depends on nothing but itself, the centre and the scaling: its bits are the same in whatever company.

    Attributes:
        raw: float32 (N, D), finite.
        centre: float32 (D,), subtracted from every row; None subtracts nothing.
        lengths: float32 (N,), what every row is divided by; None divides by nothing.
        squares: float64 (N,), squared length of every centred row; equal for equal rows.
    """

    raw: np.ndarray
    centre: np.ndarray | None
    lengths: np.ndarray | None
    squares: np.ndarray

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def width(self) -> int:
        """The number of columns, D."""
        return self.raw.shape[1]

    def take(self, rows: slice | np.ndarray) -> np.ndarray:
        """Return some rows, float32 (n, D), by slice or by place (int64)."""
        # in place: fresh memory for every step would cost more than the steps
        taken = np.array(self.raw[rows]) if isinstance(rows, slice) else self.raw.take(rows, axis=0)
        if self.centre is not None:
            taken -= self.centre
        if self.lengths is not None:
            taken /= self.lengths[rows, None]
        return taken


SCALINGS = ("none", "unit-length")


def feature_rows(raw: np.ndarray, name: str, scaling: str, centre: np.ndarray | None = None) -> FeatureRows:
    """Look at every row once: is it finite, how long is it.

    Args:
        raw: float32 (N, D), may be a memory map.
        name: what the rows are called in messages ("gallery").
        scaling: "unit-length" divides every row by its length (a row of zeros stays as it is), "none" does not.
        centre: float32 (D,), subtracted from every row before that.

    Returns:
        The rows and how they are scaled; `raw` is neither copied nor changed.

    Raises:
        VidsslError: rows that are not finite, or an unknown scaling.
    """
    if scaling not in SCALINGS:
        raise VidsslError(f"scaling is {scaling!r}; known are {', '.join(SCALINGS)}.")
    squares = np.empty(len(raw))
    for block in _blocks(raw):
        rows = raw[block] if centre is None else raw[block] - centre
        rows = rows.astype(np.float64)
        squares[block] = sum_rows(rows * rows)
    refuse_bad_rows(int((~(squares < LARGEST_SQUARE)).sum()), len(squares), name)
    lengths = None
    if scaling == "unit-length":
        lengths = np.sqrt(squares).astype(np.float32)
        lengths[lengths == 0] = 1
    return FeatureRows(raw, centre, lengths, squares)


def mean_row(raw: np.ndarray) -> np.ndarray:
    """Return the mean of all rows of float32 (N, D), float32 (D,); summed one after the other, in float64."""
    total = np.zeros((1, raw.shape[1]))
    for block in _blocks(raw):
        # the sum so far goes first: row after row is added to it, wherever blocks begin
        total = np.add.reduce(np.concatenate([total, raw[block]], dtype=np.float64), axis=0, keepdims=True)
    return (total[0] / len(raw)).astype(np.float32)


def sum_rows(values: np.ndarray) -> np.ndarray:
    """Sum every row of float64 (n, D), bit-identical for any other rows, which BLAS does not promise."""
    return np.add.reduce(values, axis=1)


def _blocks(raw: np.ndarray) -> Iterator[slice]:
    size = max(1, NUMBERS_AT_ONCE // max(1, raw.shape[1]))
    return (slice(start, start + size) for start in range(0, len(raw), size))
