"""What every linear classifier shares: its classes, what is done to its features, and how videos are scored with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vidssl.evaluation.features.normalisation import Normaliser
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.protocols.outcome import Outcome
from vidssl.evaluation.protocols.scores import classification_metrics, true_ranks

NUMBERS_AT_ONCE = 2**24


@dataclass(frozen=True)
class LinearModel:
    """A fitted linear classifier.

    Attributes:
        classes: int64 (K,), the labels it knows, ascending.
        normaliser: what is done to features first.
        weights: float32 or float64 (D + 1, K), the last row is the bias.
    """

    classes: np.ndarray
    normaliser: Normaliser
    weights: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """Return the score of every class, (..., K), for features of any float type (..., D)."""
        rows = self.normaliser(features.to(self.weights.dtype))
        return rows @ self.weights[:-1] + self.weights[-1]


def class_columns(labels: np.ndarray, classes: np.ndarray) -> Tensor:
    """Return the place of every label among the ascending `classes`, int64 (N,); -1 where it is not among them."""
    place = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
    return torch.from_numpy(np.where(classes[place] == labels, place, -1))


def _of_mean_features(model: LinearModel, views: Tensor) -> Tensor:
    return model.scores(views.mean(dim=1))


def _of_mean_probabilities(model: LinearModel, views: Tensor) -> Tensor:
    return model.scores(views).softmax(dim=-1).mean(dim=1)


COMBINATIONS: dict[str, Callable[[LinearModel, Tensor], Tensor]] = {
    "features": _of_mean_features,
    "probabilities": _of_mean_probabilities,
}
"""What is averaged over the views of a video: name -> scores (m, K) of views (m, V, D)."""


def classify(model: LinearModel, query: VideoFeatures, combination: str) -> Outcome:
    """Classify every video from all of its views, and every view on its own; a chunk of videos at a time.

    Args:
        model: the classifier.
        query: M videos; a class that the classifier does not know counts as an error.
        combination: one of `COMBINATIONS`.

    Returns:
        See `classification_metrics`; accuracies of views where there are several.
    """
    columns = class_columns(query.labels, model.classes)
    num_views, width = query.views.shape[1:]
    length = max(1, NUMBERS_AT_ONCE // (num_views * (width + len(model.classes))))
    predicted, ranks, view_ranks = [], [], []
    for start in range(0, len(query), length):
        views, own = torch.from_numpy(np.array(query.views[start : start + length])), columns[start : start + length]
        scores = COMBINATIONS[combination](model, views)
        predicted.append(scores.argmax(dim=1))
        ranks.append(true_ranks(scores, own))
        if num_views > 1:
            view_ranks.append(true_ranks(model.scores(views), own[:, None].expand(-1, num_views)))
    classes = model.classes[torch.cat(predicted).numpy()]
    metrics = classification_metrics(
        query.labels,
        classes,
        torch.cat(ranks).numpy(),
        len(model.classes),
        torch.cat(view_ranks).numpy() if view_ranks else None,
    )
    return Outcome(metrics, classes)
