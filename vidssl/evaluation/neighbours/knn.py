"""Weighted k-nearest-neighbour classification of frozen features (Wu et al., CVPR 2018, arXiv 1805.01978)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidssl.evaluation.features.checks import check_positive
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.neighbours.retrieval import video_neighbours
from vidssl.evaluation.protocols.outcome import Neighbours, Outcome
from vidssl.evaluation.protocols.scores import classification_metrics

VOTES_AT_ONCE = 2**22  # float64: 32 MB


@dataclass(frozen=True)
class KNN:
    """A vote of the k most similar gallery videos about every query, each weighing exp(cosine / temperature).

    Of equally similar videos the earlier one votes; of classes with equal votes the lower number wins.

    Attributes:
        k: the number of neighbours; a gallery of fewer videos votes as a whole. (Wu et al. use 200 on ImageNet.)
        temperature: of their weights (Wu et al.: 0.07).

    Raises:
        VidsslError: a setting that is not above 0.
    """

    k: int = 20
    temperature: float = 0.07

    def __post_init__(self) -> None:
        check_positive(k=self.k, temperature=self.temperature)

    def __call__(self, gallery: VideoFeatures, query: VideoFeatures) -> Outcome:
        """Classify every query video by the mean of its views.

        Returns:
            Accuracies in [0, 1]: ``top1``; ``top5`` when there are more than five classes (a class that no neighbour
            belongs to is not among the five); ``mean_class``, the mean of the accuracies within each class; and
            ``nearest_top1``, of the single nearest neighbour. With k = 1 ``top1`` and ``mean_class`` say it all. A
            class that the gallery lacks counts as an error.

        Raises:
            VidsslError: see `check_classification`.
        """
        found = video_neighbours(gallery, query, self.k)
        num_classes = int(max(gallery.labels.max(), query.labels.max())) + 1
        votes = _vote(found, gallery.labels, query.labels, self.temperature, num_classes)
        metrics = classification_metrics(query.labels, votes.predicted, votes.rank_of_truth, num_classes)
        metrics["nearest_top1"] = float((gallery.labels[found.places[:, 0]] == query.labels).mean())
        if self.k == 1:  # one neighbour ranks nothing beyond itself
            metrics = {name: metrics[name] for name in ("top1", "mean_class")}
        return Outcome(metrics, predicted=votes.predicted, neighbours=found)


@dataclass(frozen=True)
class _Votes:
    """How a vote went, int64 (M,) each: the class that won, and how many classes come before the true one."""

    predicted: np.ndarray
    rank_of_truth: np.ndarray


def _vote(found: Neighbours, known: np.ndarray, labels: np.ndarray, temperature: float, num_classes: int) -> _Votes:
    predicted, rank = np.empty(len(labels), np.int64), np.empty(len(labels), np.int64)
    at_once = max(1, VOTES_AT_ONCE // num_classes)
    for start in range(0, len(labels), at_once):
        part = slice(start, start + at_once)
        distances, truth = found.distances[part].astype(np.float64), labels[part, None]
        classes = known[found.places[part]]
        # Less the smallest, or exp would overflow at small temperatures; the order stays the same.
        weights = np.exp((distances[:, :1] - distances) / temperature)
        votes = np.zeros((len(classes), num_classes))
        np.add.at(votes, (np.arange(len(classes))[:, None], classes), weights)
        predicted[part] = votes.argmax(axis=1)
        of_truth = np.take_along_axis(votes, truth, axis=1)
        before = (votes > of_truth) | ((votes == of_truth) & (np.arange(num_classes) < truth))
        rank[part] = np.where((classes == truth).any(axis=1), before.sum(axis=1), num_classes)
    return _Votes(predicted, rank)
