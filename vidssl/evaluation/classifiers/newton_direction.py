"""Newton directions of convex linear classifiers, by conjugate gradients.

The squared hinge is curved only at the rows inside the margin. Near the optimum these are few for every class, and
differ from class to class: products with the second derivative then take those rows alone, class after class, instead
of all rows for all classes side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vidssl.evaluation.classifiers.linear_problem import Objective, Rows, score

DIRECTION_TOLERANCE = 0.1  # more exact directions take more passes in all
CONJUGATE_STEPS = 100
CURVED_NUMBERS_AT_ONCE = 2**26  # of few rows' features, 256 MB; conditioning is cheaper for many classes at a time
FEW_ROWS = 1 / 16  # of all rows; with more, products of matrices are faster than the rows of one class after another

Condition = Callable[[Tensor], Tensor]  # (D + 1, k) times about the inverse of the second derivative
# (D + 1, k) times the second derivative of the summed loss, where the mask (k,) or (1,) holds
Curved = Callable[[Tensor, Tensor], Tensor]


class SomeClasses:
    """The scores of some of the classes.

    Attributes:
        problem: that of all classes, N rows and K classes.
        classes: int64 (k,), which of them these are, ascending.
    """

    def __init__(self, problem: Objective, scores: Tensor, classes: Tensor) -> None:
        """Take the scores (N, K), float32, of all classes."""
        self.problem, self._scores, self.classes = problem, scores, classes
        # the column of a row's class among those of the part; -1 for none of them
        place = torch.full((scores.shape[1],), -1, dtype=torch.int64)
        place[classes] = torch.arange(len(classes))
        self._columns = place[problem.rows.columns]

    def at(self, span: slice) -> tuple[Tensor, Tensor]:
        """Return the scores (n, k) of a chunk of rows, and the column of the class of each, -1 for none of these."""
        scores = self._scores[span]
        return scores if len(self.classes) == scores.shape[1] else scores[:, self.classes], self._columns[span]

    def take(self, places: Tensor) -> SomeClasses:
        """Return those at some places among these classes, int64 (n,), ascending."""
        return SomeClasses(self.problem, self._scores, self.classes[places])


def newton_direction(part: SomeClasses, gradient: Tensor, condition: Condition) -> Tensor:
    """Return the direction in which a quadratic model of each problem is lowest, nearly.

    Args:
        part: where k of the classes stand; all of them where the loss makes one problem of them.
        gradient: float64 (D + 1, k).
        condition: what conditions the conjugate gradients.

    Returns:
        float64 (D + 1, k).
    """
    direction = torch.empty_like(gradient)
    for group, curved in _groups(part):
        direction[:, group] = _conjugate_gradients(part.problem, gradient[:, group], curved, condition)
    return direction


def _groups(part: SomeClasses) -> Iterator[tuple[Tensor, Curved]]:
    """Yield places among the classes, and how to multiply these by the second derivative of the loss."""
    rows = part.problem.rows
    if not part.problem.loss.separate:
        yield torch.arange(len(part.classes)), _product_of_all_rows(part)
        return
    counts = torch.stack([(_curvatures(part, span) > 0).sum(dim=0) for span in rows.spans()]).sum(dim=0)
    few = counts <= min(CURVED_NUMBERS_AT_ONCE // rows.width, FEW_ROWS * len(rows))
    if not few.all():
        group = (~few).nonzero().squeeze(1)
        yield group, _product_of_all_rows(part.take(group))
    if few.any():
        group = few.nonzero().squeeze(1)
        yield from _few_rows(part.take(group), group, counts[group])


def _curvatures(part: SomeClasses, span: slice) -> Tensor:
    """Return the second derivatives (n, k) of a loss of separate classes by the scores."""
    scores, columns = part.at(span)
    return part.problem.loss.curve(scores, columns, torch.ones_like(scores))


def _product_of_all_rows(part: SomeClasses) -> Curved:
    problem = part.problem

    def curved(vectors: Tensor, _going: Tensor) -> Tensor:
        narrow, product = vectors.float(), torch.zeros_like(vectors)
        for span in problem.rows.spans():
            features = problem.rows.read(span, torch.float32)
            moved = problem.loss.curve(*part.at(span), score(features, narrow))
            product[:-1] += features.T @ moved
            product[-1] += moved.sum(dim=0)
        return product

    return curved


def _few_rows(part: SomeClasses, group: Tensor, counts: Tensor) -> Iterator[tuple[Tensor, Curved]]:
    """Yield as many classes at a time as have about `CURVED_NUMBERS_AT_ONCE` curved features together."""
    found = []
    for span in part.problem.rows.spans():
        curvatures = _curvatures(part, span)
        rows, columns = curvatures.nonzero(as_tuple=True)
        found.append((columns, rows + span.start, curvatures[rows, columns]))
    columns, rows, curvatures = (torch.cat(parts) for parts in zip(*found, strict=True))
    by_class = columns.argsort(stable=True)
    rows, curvatures = (part.split(counts.tolist()) for part in (rows[by_class], curvatures[by_class]))
    block = (counts * part.problem.rows.width).cumsum(0) // CURVED_NUMBERS_AT_ONCE
    for number in block.unique():
        places = (block == number).nonzero().squeeze(1)
        curved = _product_of_few_rows(part.problem.rows, [rows[i] for i in places], [curvatures[i] for i in places])
        yield group[places], curved


def _product_of_few_rows(rows: Rows, places: list[Tensor], curvatures: list[Tensor]) -> Curved:
    """Return the product for classes of which each has its own rows, int64 (n,) with float32 (n,)."""
    features = [rows.take(some.numpy()).read(slice(None), torch.float32) for some in places]

    def curved(vectors: Tensor, going: Tensor) -> Tensor:
        narrow, product = vectors.float(), torch.zeros_like(vectors)
        for i in going.nonzero().squeeze(1):
            moved = curvatures[i] * (features[i] @ narrow[:-1, i] + narrow[-1, i])
            product[:-1, i] = features[i].T @ moved
            product[-1, i] = moved.sum()
        return product

    return curved


def _conjugate_gradients(problem: Objective, gradient: Tensor, curved: Curved, condition: Condition) -> Tensor:
    inner = problem.inner
    direction = torch.zeros_like(gradient)
    residual = -gradient
    search = condition(residual)
    length = inner(residual, search)
    enough = length * DIRECTION_TOLERANCE**2
    for _ in range(CONJUGATE_STEPS):
        going = length > enough
        product = problem.c * curved(search, going) + problem.penalty * search
        step = torch.where(going, length / inner(search, product), 0.0)
        direction += step * search
        residual -= step * product
        conditioned = condition(residual)
        previous, length = length, torch.where(going, inner(residual, conditioned), length)
        if not (length > enough).any():
            break
        search = conditioned + torch.where(going, length / previous, 0.0) * search
    return direction
