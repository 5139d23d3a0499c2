"""What linear classifiers share: classes, normalisation of features, and how videos are scored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from vidssl.evaluation.features.checks import check_classification
from vidssl.evaluation.features.normalisation import Normaliser
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.protocols.outcome import Outcome
from vidssl.evaluation.protocols.scores import outcome_of_scores

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


def _of_mean_features(model: LinearModel, views: Tensor) -> Tensor:
    return model.scores(views.mean(dim=1))


def _of_mean_probabilities(model: LinearModel, views: Tensor) -> Tensor:
    return model.scores(views).softmax(dim=-1).mean(dim=1)


Combination = Callable[[LinearModel, Tensor], Tensor]
COMBINATIONS: dict[str, Combination] = {
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
    return outcome_of_scores(query.labels, model.classes, _scores(model, query, COMBINATIONS[combination]))


def _scores(model: LinearModel, query: VideoFeatures, combine: Combination) -> Iterator[tuple[Tensor, Tensor | None]]:
    num_views, width = query.views.shape[1:]
    length = max(1, NUMBERS_AT_ONCE // (num_views * (width + len(model.classes))))
    for start in range(0, len(query), length):
        views = torch.from_numpy(np.array(query.views[start : start + length]))
        yield combine(model, views), model.scores(views) if num_views > 1 else None


class LinearClassifier(ABC):
    """A measure: a linear classifier fitted on the gallery, with which the queries are classified."""

    combination: ClassVar[str]
    """What is averaged over the views of a query, one of `COMBINATIONS`."""

    @abstractmethod
    def fit(self, gallery: VideoFeatures) -> LinearModel:
        """Fit on labelled videos, which `check_classification` has let through."""

    def __call__(self, gallery: VideoFeatures, query: VideoFeatures) -> Outcome:
        """Fit on the gallery and classify the queries.

        Returns:
            ``top1``, ``top5`` with more than five classes, ``mean_class``; ``clip_top1`` and ``clip_top5`` where the
            queries have several views.

        Raises:
            VidsslError: see `check_classification`, and whatever `fit` has to say.
        """
        check_classification(gallery, query)
        return classify(self.fit(gallery), query, self.combination)
