"""What linear classifiers minimise: a loss of the scores of rows, read a chunk at a time, and an L2 penalty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vidssl.evaluation.features.normalisation import Normaliser, fit_normaliser

NUMBERS_AT_ONCE = 2**24  # of a chunk's features and scores together: 64 MB of float32, 128 MB of float64
NUMBERS_KEPT = 2**26  # of features that are kept in memory: 256 MB
SAMPLE_SEED = 0


class Loss(Protocol):
    """A convex loss of the scores of a row, summed over the rows.

    Attributes:
        separate: whether every class is a problem of its own, or all of them are one.
    """

    separate: bool

    def value(self, scores: Tensor, columns: Tensor) -> Tensor:
        """Return the loss (n, K or 1) of scores (n, K) where row i belongs to class `columns[i]`."""

    def slope(self, scores: Tensor, columns: Tensor) -> Tensor:
        """Return its derivative by the scores, (n, K)."""

    def curve(self, scores: Tensor, columns: Tensor, direction: Tensor) -> Tensor:
        """Return its second derivative by the scores times `direction`, (n, K)."""

    def curvature(self, scores: Tensor, columns: Tensor) -> Tensor:
        """Return the mean of the second derivative's diagonal over rows and classes, a scalar."""


@dataclass(frozen=True)
class Rows:
    """What a classifier is fitted on; read and normalised a chunk at a time.

    Attributes:
        features: float32 (N, D), perhaps a memory map.
        columns: int64 (n,), the place of each row's class among the K classes.
        num_classes: K.
        normaliser: applied to every chunk.
        places: int64 (n,), ascending: those of the N rows that are meant; None for all of them.
    """

    features: np.ndarray
    columns: Tensor
    num_classes: int
    normaliser: Normaliser
    places: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def width(self) -> int:
        """D."""
        return self.features.shape[1]

    def spans(self) -> Iterator[slice]:
        """Yield the chunks, so that one holds `NUMBERS_AT_ONCE` features and scores at most."""
        length = max(1, NUMBERS_AT_ONCE // (self.width + self.num_classes))
        for start in range(0, len(self), length):
            yield slice(start, min(start + length, len(self)))

    def read(self, rows: slice, dtype: torch.dtype) -> Tensor:
        """Return a chunk, normalised: (n, D); not to be written to."""
        if dtype == torch.float32 and len(self) * self.width <= NUMBERS_KEPT:
            return self._kept[rows]
        return self._normalised(rows, dtype)

    def _normalised(self, rows: slice, dtype: torch.dtype) -> Tensor:
        taken = self.features[rows if self.places is None else self.places[rows]]
        return self.normaliser(torch.from_numpy(np.array(taken)).to(dtype))

    @cached_property
    def _kept(self) -> Tensor:
        """All rows; to normalise them in every pass would take as long as the pass."""
        return self._normalised(slice(None), torch.float32)

    def sample(self, count: int) -> Rows:
        """Return `count` of the rows, always the same ones, or all where there are no more."""
        if len(self) <= count:
            return self
        return self.take(np.sort(np.random.default_rng(SAMPLE_SEED).choice(len(self), count, replace=False)))

    def take(self, places: np.ndarray) -> Rows:
        """Return the rows at some places, int64 (n,), ascending."""
        return replace(
            self, columns=self.columns[places], places=places if self.places is None else self.places[places]
        )


def labelled_rows(features: np.ndarray, columns: Tensor, num_classes: int, normalisation: str) -> Rows:
    """Return rows with a normalisation that is fitted to them."""
    raw = Rows(features, columns, num_classes, Normaliser())
    chunks = (torch.from_numpy(np.array(features[span])) for span in raw.spans())
    return replace(raw, normaliser=fit_normaliser(normalisation, chunks))


@dataclass(frozen=True)
class Objective:
    """``sum_i penalty_i |w_i|^2 / 2 + c * sum_n loss_n``, w_i being row i of the weights.

    Attributes:
        rows: N rows of D features.
        loss: of a row's scores.
        c: weight of the summed loss.
        bias_penalty: penalty of the last row of the weights, the bias; that of the others is 1.
    """

    rows: Rows
    loss: Loss
    c: float
    bias_penalty: float

    @property
    def penalty(self) -> Tensor:
        """float64 (D + 1, 1)."""
        penalty = torch.ones(self.rows.width + 1, 1, dtype=torch.float64)
        penalty[-1] = self.bias_penalty
        return penalty

    def value_at_zero(self) -> Tensor:
        """Return the value of each problem at weights of zero, float64 (K,) or (1,)."""
        no_scores = torch.zeros(1, self.rows.num_classes, dtype=torch.float64)
        return self.c * len(self.rows) * self.loss.value(no_scores, self.rows.columns[:1])[0]

    def total(self, per_class: Tensor) -> Tensor:
        """Reduce a number for each class to one for each problem, (K,) or (1,)."""
        return per_class if self.loss.separate else per_class.sum().view(1)

    def inner(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the inner products of two (D + 1, K), one for each problem."""
        return self.total((one * other).sum(dim=0))


def second_moments(rows: Rows) -> Tensor:
    """Return the mean of x x^T over all rows, 1 appended to each: float64 (D + 1, D + 1)."""
    width = rows.width
    moments = torch.zeros(width + 1, width + 1, dtype=torch.float64)
    for span in rows.spans():
        features = rows.read(span, torch.float64)
        moments[:width, :width].addmm_(features.T, features)
        moments[:width, width] += features.sum(dim=0)
    moments[width, :width] = moments[:width, width]
    moments[width, width] = len(rows)
    return moments / len(rows)


def score(features: Tensor, weights: Tensor) -> Tensor:
    """Return the scores (n, K) of rows (n, D) at weights (D + 1, K) of the same type."""
    return torch.addmm(weights[-1], features, weights[:-1])


def value_and_gradient(problem: Objective, weights: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the value of each problem and the gradient, and write down the scores on the way.

    Args:
        problem: N rows, K classes.
        weights: float64 (D + 1, K).
        scores: float32 (N, K), written.

    Returns:
        float64 (K,) or (1,), see `Objective.total`, and float64 (D + 1, K); both computed in float64 throughout.
    """
    gradient = torch.zeros_like(weights)
    losses = torch.zeros(1, dtype=torch.float64)
    for span in problem.rows.spans():
        features, columns = problem.rows.read(span, torch.float64), problem.rows.columns[span]
        exact = score(features, weights)
        scores[span] = exact
        losses = losses + problem.loss.value(exact, columns).sum(dim=0)
        slopes = problem.loss.slope(exact, columns)
        gradient[:-1].addmm_(features.T, slopes)
        gradient[-1] += slopes.sum(dim=0)
    shrinkage = problem.penalty * weights
    value = 0.5 * problem.inner(weights, shrinkage) + problem.c * losses
    return value, problem.c * gradient + shrinkage
