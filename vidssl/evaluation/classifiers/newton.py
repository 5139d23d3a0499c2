"""Convex linear classifiers solved to their optimum in bounded memory, by truncated Newton steps.

The classes of a one-against-rest classifier are as many problems with the same rows. They are solved side by side, so
that the work is in products of matrices. A step follows Keerthi and DeCoste (A Modified Finite Newton Method for Fast
Solution of Large Scale Linear SVMs, JMLR 2005): the Newton direction by conjugate gradients, then the minimum along it.
Conditioning by the second moments of the features, and the same steps for the softmax loss, are added here.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from vidssl.evaluation.classifiers.linear_problem import Objective, score, second_moments, value_and_gradient
from vidssl.evaluation.classifiers.newton_direction import Condition, SomeClasses, newton_direction

SAMPLE_ROWS = 32768  # more would change the second moments little
LINE_SEARCH_STEPS = 30
# a line search ends between these slopes, shares of that at its start; far beyond the minimum no fall would be certain
SLOPE_BEFORE_MINIMUM, SLOPE_BEYOND_MINIMUM = 0.1, 1e-3


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
    memory holds two (N, K) float32, a dozen (D + 1, K) or (D + 1, D + 1) float64 arrays and at most 768 MB of rows. The
    result is the same every time.

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
        part, slopes = SomeClasses(problem, scores, columns), gradient[:, columns]
        direction = newton_direction(part, slopes, condition)
        weights[:, columns] += _step_length(part, weights[:, columns], slopes, direction) * direction
    converged = bool((relative <= max(tolerance, 1e-3)).all()) and not open_problems.any()
    return Solution(weights, iteration, converged), float(relative.max())


def _condition(problem: Objective, moments: Tensor, scores: Tensor) -> Condition:
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


def _step_length(part: SomeClasses, weights: Tensor, gradient: Tensor, direction: Tensor) -> Tensor:
    """Find where each problem is lowest along its direction, (k,) or (1,): Newton's method, kept in brackets."""
    problem, narrow = part.problem, direction.float()
    moves = torch.cat([score(problem.rows.read(span, torch.float32), narrow) for span in problem.rows.spans()])
    shrinkage = problem.penalty * direction
    offset, growth = problem.inner(weights, shrinkage), problem.inner(direction, shrinkage)
    step, low = torch.ones_like(offset), torch.zeros_like(offset)
    high = torch.full_like(offset, torch.inf)
    start = problem.inner(gradient, direction).abs()
    for _ in range(LINE_SEARCH_STEPS):
        slope, curvature = _along(part, moves, step, offset, growth)
        if ((slope >= -SLOPE_BEFORE_MINIMUM * start) & (slope <= SLOPE_BEYOND_MINIMUM * start)).all():
            break
        low, high = torch.where(slope < 0, step, low), torch.where(slope > 0, step, high)
        candidate = step - slope / curvature
        inside = (candidate > low) & (candidate < high)
        step = torch.where(inside, candidate, torch.where(high.isinf(), 2 * step, (low + high) / 2))
    return step


def _along(part: SomeClasses, moves: Tensor, step: Tensor, offset: Tensor, growth: Tensor) -> tuple[Tensor, Tensor]:
    """Return first and second derivative of every problem at `step` along the moves of the scores (N, k)."""
    problem, loss = part.problem, part.problem.loss
    slopes = curvatures = torch.zeros(1, dtype=torch.float64)
    for span in problem.rows.spans():
        scores, columns = part.at(span)
        move = moves[span].double()
        there = scores + step * move
        slopes = slopes + (loss.slope(there, columns) * move).sum(dim=0)
        curvatures = curvatures + (loss.curve(there, columns, move) * move).sum(dim=0)
    return offset + step * growth + problem.c * problem.total(slopes), growth + problem.c * problem.total(curvatures)
