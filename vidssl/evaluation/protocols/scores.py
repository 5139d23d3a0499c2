"""From scores of classes to accuracies: the one place where top-1, top-5 and mean class accuracy are computed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from vidssl.evaluation.protocols.outcome import Outcome

TOP = 5


def class_columns(labels: np.ndarray, classes: np.ndarray) -> Tensor:
    """Return the place of every label among the ascending `classes`, int64 (N,); -1 where it is not among them."""
    place = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
    return torch.from_numpy(np.where(classes[place] == labels, place, -1))


def true_ranks(scores: Tensor, columns: Tensor) -> Tensor:
    """Return how many classes come before the true one.

    Of classes with the same score the one with the lower number comes first, so that the order never depends on how a
    sorting algorithm treats ties.

    Args:
        scores: (..., K).
        columns: int64 (...), the true class's place among the K; -1 for a class that is not among them.

    Returns:
        int64 (...), 0 where the true class has the highest score; K where it is not among the classes.
    """
    known = columns >= 0
    place = columns.clamp_min(0)[..., None]
    own = scores.gather(-1, place)
    before = (scores > own).sum(dim=-1)
    numbers = place.new_tensor(range(scores.shape[-1]))
    before += ((scores == own) & (numbers < place)).sum(dim=-1)
    return before.where(known, before.new_tensor(scores.shape[-1]))


def accuracies(ranks: np.ndarray, num_classes: int) -> dict[str, float]:
    """Return ``top1`` and, where there are more than five classes, ``top5``; shares of `ranks`, int64 of any shape."""
    found = {"top1": float((ranks == 0).mean())}
    return found | ({"top5": float((ranks < TOP).mean())} if num_classes > TOP else {})


def classification_metrics(
    labels: np.ndarray, predicted: np.ndarray, ranks: np.ndarray, num_classes: int, view_ranks: np.ndarray | None = None
) -> dict[str, float]:
    """Return the accuracies of videos and, where they were classified view by view, of their views.

    Args:
        labels: int64 (M,), true classes.
        predicted: int64 (M,).
        ranks: int64 (M,), see `true_ranks`.
        num_classes: classes that a classifier chooses among.
        view_ranks: int64 (M, V), of every view on its own, or None.

    Returns:
        ``top1``, ``top5`` with more than five classes, ``mean_class``; ``clip_top1`` and ``clip_top5`` with
        `view_ranks`. All in [0, 1].
    """
    metrics = accuracies(ranks, num_classes) | {"mean_class": mean_class_accuracy(labels, predicted)}
    if view_ranks is not None:
        metrics |= {f"clip_{name}": value for name, value in accuracies(view_ranks, num_classes).items()}
    return metrics


def outcome_of_scores(
    labels: np.ndarray, classes: np.ndarray, chunks: Iterable[tuple[Tensor, Tensor | None]]
) -> Outcome:
    """Give every video the class with the highest score.

    Args:
        labels: int64 (M,), true classes; one that is not among `classes` counts as an error.
        classes: int64 (K,), ascending, those that there are scores of.
        chunks: scores (m, K) of the videos in their order, and scores (m, V, K) of each of their views or None.

    Returns:
        See `classification_metrics`; accuracies of views where their scores are given.
    """
    columns, first = class_columns(labels, classes), 0
    predicted, ranks, view_ranks = [], [], []
    for scores, of_views in chunks:
        own = columns[first : first + len(scores)]
        first += len(scores)
        predicted.append(scores.argmax(dim=1))
        ranks.append(true_ranks(scores, own))
        if of_views is not None:
            view_ranks.append(true_ranks(of_views, own[:, None].expand(of_views.shape[:2])))
    found = classes[torch.cat(predicted).numpy()]
    metrics = classification_metrics(
        labels,
        found,
        torch.cat(ranks).numpy(),
        len(classes),
        torch.cat(view_ranks).numpy() if view_ranks else None,
    )
    return Outcome(metrics, found)


def mean_class_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean, over the classes in `labels`, of the accuracy within the class; both are int (M,)."""
    return float(np.mean([(predicted[labels == label] == label).mean() for label in np.unique(labels)]))
