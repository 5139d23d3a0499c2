"""Convex linear classifiers solved to their optimum in bounded memory, by truncated Newton steps.

The classes of a one-against-rest classifier are as many problems with the same rows. They are solved side by side, so
that the work is in products of matrices. A step follows Keerthi and DeCoste (A Modified Finite Newton Method for Fast
Solution of Large Scale Linear SVMs, JMLR 2005): the Newton direction by conjugate gradients, then the minimum along it.
Conditioning by the second moments of the features, and the same steps for the softmax loss, are added here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vidssl.evaluation.linear_problem import Objective, score, second_moments, value_and_gradient

SAMPLE_ROWS = 32768  # more would change the second moments little
LINE_SEARCH_STEPS = 30
DIRECTION_TOLERANCE = 0.1  # more exact directions take more passes in all
CONJUGATE_STEPS = 100


@dataclass(frozen=True)
class Solution:
    """The optimum.

    Attributes:
        weights: float64 (D + 1, K), the last row is the bias.
        iterations: Newton steps taken.
        converged: whether every problem got as near as was asked.
    """

    weights: Tensor
    iterations: int
    converged: bool


def minimise(problem: Objective, *, tolerance: float = 1e-4, max_iterations: int = 100) -> Solution:
    """Find the minimum.

    Gradients are computed in float64; directions, which decide only how fast it goes, in float32. Beyond the features,
    memory holds two (N, K) float32 and a dozen (D + 1, K) or (D + 1, D + 1) float64 arrays. The result is the same
    every time.

    Args:
        problem: what to minimise; convex.
        tolerance: the square root of how far the value may be above the minimum, as a share of the value at weights of
            zero, estimated from the gradient; where rounding stops the fall before that, a thousandth will do.
        max_iterations: limit of the Newton steps; a warning says when it is reached.
    """
    solution, relative = _descend(problem, tolerance, max_iterations)
    if not solution.converged:
        warnings.warn(
            f"The classifier is not at its optimum after {solution.iterations} Newton steps: the square root of what "
            f"is left, as a share of the value at weights of zero, is about {relative:.1e}.",
            RuntimeWarning,
            stacklevel=2,
        )
    return solution


def _descend(problem: Objective, tolerance: float, max_iterations: int) -> tuple[Solution, float]:
    """Take Newton steps from weights of zero; also return how near the farthest problem came."""
    moments = second_moments(problem.rows.sample(SAMPLE_ROWS))
    weights = torch.zeros(problem.rows.width + 1, problem.rows.num_classes, dtype=torch.float64)
    scores = torch.zeros(len(problem.rows), weights.shape[1])
    at_zero = problem.value_at_zero()
    best, open_problems = torch.full_like(at_zero, torch.inf), torch.ones_like(at_zero, dtype=torch.bool)
    for iteration in range(max_iterations + 1):
        value, gradient = value_and_gradient(problem, weights, scores)
        condition = _condition(problem, moments, scores)
        excess = 0.5 * problem.inner(gradient, condition(gradient)).clamp_min(0)
        relative = (excess / at_zero).sqrt()
        # a value that no longer falls is as low as rounding lets it
        open_problems = open_problems & (value < best) & (relative > tolerance)
        best = torch.minimum(best, value)
        if iteration == max_iterations or not open_problems.any():
            break
        columns = open_problems.expand(weights.shape[1]).nonzero().squeeze(1)
        part = _Part(problem, scores, columns)
        direction = part.newton_direction(gradient[:, columns], condition)
        weights[:, columns] += part.step_length(weights[:, columns], direction) * direction
    converged = bool((relative <= max(tolerance, 1e-3)).all()) and not open_problems.any()
    return Solution(weights, iteration, converged), float(relative.max())


def _condition(problem: Objective, moments: Tensor, scores: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function that multiplies (D + 1, k) by the inverse of a matrix close to the second derivative."""
    spans = list(problem.rows.spans())
    curvature = sum(
        float(problem.loss.curvature(scores[span], problem.rows.columns[span])) * (span.stop - span.start)
        for span in spans
    )
    matrix = problem.c * curvature * moments
    matrix.diagonal().add_(problem.penalty.squeeze(1))
    # columns of one size, so that those of small features are not lost in rounding
    rounding, diagonal = torch.finfo(torch.float64).eps, matrix.diagonal()
    sizes = diagonal.clamp_min(rounding * diagonal.max()).rsqrt()  # a free bias without curvature has 0
    matrix *= sizes[:, None] * sizes
    # a trace of rounding keeps it positive where features repeat each other and curvature is nearly gone
    matrix.diagonal().add_(rounding * len(matrix))
    # multiplying by the inverse is many times faster than solving for a few classes; it need not be exact
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(matrix)).mul_(sizes[:, None] * sizes)
    return lambda vectors: inverse @ vectors


class _Part:
    """One Newton step for some of the classes, those that are not yet at their optimum."""

    def __init__(self, problem: Objective, scores: Tensor, classes: Tensor) -> None:
        self.problem, self.scores = problem, scores
        self.classes = None if len(classes) == scores.shape[1] else classes
        # the column of a row's class among those of the part; -1 for none of them
        place = torch.full((scores.shape[1],), -1, dtype=torch.int64)
        place[classes] = torch.arange(len(classes))
        self.columns = place[problem.rows.columns]

    def _at(self, span: slice) -> tuple[Tensor, Tensor]:
        scores = self.scores[span]
        return scores if self.classes is None else scores[:, self.classes], self.columns[span]

    def curved(self, direction: Tensor) -> Tensor:
        """Multiply by the second derivative: (D + 1, k)."""
        narrow, product = direction.float(), torch.zeros_like(direction)
        for span in self.problem.rows.spans():
            features = self.problem.rows.read(span, torch.float32)
            moved = self.problem.loss.curve(*self._at(span), score(features, narrow))
            product[:-1] += features.T @ moved
            product[-1] += moved.sum(dim=0)
        return self.problem.c * product + self.problem.penalty * direction

    def newton_direction(self, gradient: Tensor, condition: Callable[[Tensor], Tensor]) -> Tensor:
        """Solve for the direction by preconditioned conjugate gradients."""
        inner = self.problem.inner
        direction = torch.zeros_like(gradient)
        residual = -gradient
        search = condition(residual)
        length = inner(residual, search)
        enough = length * DIRECTION_TOLERANCE**2
        for _ in range(CONJUGATE_STEPS):
            curved = self.curved(search)
            going = length > enough
            step = torch.where(going, length / inner(search, curved), 0.0)
            direction += step * search
            residual -= step * curved
            conditioned = condition(residual)
            previous, length = length, torch.where(going, inner(residual, conditioned), length)
            if not (length > enough).any():
                break
            search = conditioned + torch.where(going, length / previous, 0.0) * search
        return direction

    def step_length(self, weights: Tensor, direction: Tensor) -> Tensor:
        """Find where each problem is lowest along its direction, (k,) or (1,): Newton's method, kept in brackets."""
        problem, narrow = self.problem, direction.float()
        moves = torch.cat([score(problem.rows.read(span, torch.float32), narrow) for span in problem.rows.spans()])
        shrinkage = problem.penalty * direction
        offset, growth = problem.inner(weights, shrinkage), problem.inner(direction, shrinkage)
        step, low = torch.ones_like(offset), torch.zeros_like(offset)
        high = torch.full_like(offset, torch.inf)
        start = self._along(moves, torch.zeros_like(offset), offset, growth)[0].abs()
        for _ in range(LINE_SEARCH_STEPS):
            slope, curvature = self._along(moves, step, offset, growth)
            if (slope.abs() <= 1e-3 * start).all():
                break
            low, high = torch.where(slope < 0, step, low), torch.where(slope > 0, step, high)
            candidate = step - slope / curvature
            inside = (candidate > low) & (candidate < high)
            step = torch.where(inside, candidate, torch.where(high.isinf(), 2 * step, (low + high) / 2))
        return step

    def _along(self, moves: Tensor, step: Tensor, offset: Tensor, growth: Tensor) -> tuple[Tensor, Tensor]:
        """Return first and second derivative of every problem at `step` along the moves of the scores (N, k)."""
        loss, c = self.problem.loss, self.problem.c
        slopes = curvatures = torch.zeros(1, dtype=torch.float64)
        for span in self.problem.rows.spans():
            scores, columns = self._at(span)
            move = moves[span].double()
            there = scores + step * move
            slopes = slopes + (loss.slope(there, columns) * move).sum(dim=0)
            curvatures = curvatures + (loss.curve(there, columns, move) * move).sum(dim=0)
        total = self.problem.total
        return offset + step * growth + c * total(slopes), growth + c * total(curvatures)
