"""Approximate scores of queries against a block of the gallery, by NumPy on the CPU or by torch on another device.

Either gives products in float32 that are off by no more than the bound in `vidssl.evaluation.neighbours.search`, which
holds for any order of summation. So it does not matter to the neighbours which of the two computed them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

COLUMNS_AT_ONCE = 1024  # of a product; others were slower, up to 5 %
SCORES_AT_ONCE = 2**16  # 256 KB, which stay near the processor while they are compared


class Scores(Protocol):
    """Scores float32 (m, n) of m queries."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of queries and of gallery rows."""

    def kth_highest(self, k: int) -> np.ndarray:
        """Return the k-th highest score of every query, float32 (m,); k is at most n."""

    def above(self, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return queries, columns (int64) and scores (float32), each (c,), of all above float32 (m,)."""


@dataclass(frozen=True)
class CPUScores:
    """Scores in an array."""

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of queries and of gallery rows."""
        return self.array.shape

    def kth_highest(self, k: int) -> np.ndarray:
        """Return the k-th highest score of every query."""
        position = self.array.shape[1] - k
        return np.partition(self.array, position, axis=1)[:, position]

    def above(self, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return queries, columns and scores of the scores above the thresholds."""
        query, column = np.divmod(np.flatnonzero(self.array > thresholds[:, None]), self.array.shape[1])
        return query, column, self.array[query, column]


@dataclass(frozen=True)
class DeviceScores:
    """Scores on a device; only what passes travels to the CPU."""

    tensor: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of queries and of gallery rows."""
        return tuple(self.tensor.shape)

    def kth_highest(self, k: int) -> np.ndarray:
        """Return the k-th highest score of every query."""
        return self.tensor.topk(k, dim=1).values[:, -1].cpu().numpy()

    def above(self, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return queries, columns and scores of the scores above the thresholds."""
        passes = self.tensor > torch.from_numpy(thresholds).to(self.tensor.device)[:, None]
        query, column = passes.nonzero(as_tuple=True)
        return query.cpu().numpy(), column.cpu().numpy(), self.tensor[query, column].cpu().numpy()


class Block:
    """A block of the gallery.

    Args:
        shifted: float32 (n, D).
        rows: int64 (n,), places in the gallery.
        offsets: float32 (n,), which added to products give scores.
        longest: no shifted row is longer.
        device: that computes the products; None for the CPU.
    """

    def __init__(
        self, shifted: np.ndarray, rows: np.ndarray, offsets: np.ndarray, longest: float, device: torch.device | None
    ) -> None:
        self.rows, self.longest = rows, longest
        self._shifted, self._offsets, self._device = shifted, offsets, device
        if device is not None:
            self._held = torch.from_numpy(shifted).to(device), torch.from_numpy(offsets).to(device)

    def scores(self, queries: np.ndarray) -> Iterator[tuple[slice, slice, Scores]]:
        """Yield scores of queries, float32 (m, D), part by part: which queries, which rows of the block, the scores.

        All queries see a part of the rows before the next part comes. Scores are good until the next are asked for.
        """
        return self._on_cpu(queries) if self._device is None else self._on_device(queries)

    def _on_cpu(self, queries: np.ndarray) -> Iterator[tuple[slice, slice, Scores]]:
        scratch = np.empty((len(queries), min(COLUMNS_AT_ONCE, len(self.rows))), np.float32)
        for columns in self._columns():
            products = scratch[:, : columns.stop - columns.start]
            np.matmul(queries, self._shifted[columns].T, out=products)
            at_once = max(1, SCORES_AT_ONCE // products.shape[1])
            for start in range(0, len(queries), at_once):
                part = slice(start, min(start + at_once, len(queries)))
                np.add(products[part], self._offsets[columns], out=products[part])
                yield part, columns, CPUScores(products[part])

    def _on_device(self, queries: np.ndarray) -> Iterator[tuple[slice, slice, Scores]]:
        asked = torch.from_numpy(queries).to(self._device)
        shifted, offsets = self._held
        for columns in self._columns():
            yield slice(0, len(queries)), columns, DeviceScores(asked @ shifted[columns].T + offsets[columns])

    def _columns(self) -> Iterator[slice]:
        for start in range(0, len(self.rows), COLUMNS_AT_ONCE):
            yield slice(start, min(start + COLUMNS_AT_ONCE, len(self.rows)))
