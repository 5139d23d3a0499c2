"""A linear support vector machine on frozen features, and the leave-one-group-out protocol for small data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from vidssl.errors import VidsslError
from vidssl.evaluation.classifiers.linear_problem import Objective, Rows
from vidssl.evaluation.classifiers.penalised import PenalisedClassifier
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.protocols.outcome import Measure, Neighbours, Outcome
from vidssl.evaluation.protocols.scores import mean_class_accuracy


class SquaredHinge:
    """``max(0, 1 - y s)^2`` for every class apart, y being 1 for rows of the class and -1 for all others."""

    separate = True

    def value(self, scores: Tensor, columns: Tensor) -> Tensor:
        """Return the losses, (n, K); a row with column -1 belongs to no class."""
        return self._shortfall(scores, columns)[0].square_()

    def slope(self, scores: Tensor, columns: Tensor) -> Tensor:
        """Return their derivatives by the scores."""
        slopes, (rows, own) = self._shortfall(scores, columns)
        slopes *= 2
        slopes[rows, own] *= -1
        return slopes

    def curve(self, scores: Tensor, columns: Tensor, direction: Tensor) -> Tensor:
        """Return their second derivatives times `direction`."""
        return 2 * direction * (self._shortfall(scores, columns)[0] > 0)

    def curvature(self, scores: Tensor, columns: Tensor) -> Tensor:
        """Return the mean of their second derivatives."""
        return 2 * (self._shortfall(scores, columns)[0] > 0).double().mean()

    def _shortfall(self, scores: Tensor, columns: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        rows = (columns >= 0).nonzero().squeeze(1)
        own = columns[rows]
        shortfall = 1 + scores
        shortfall[rows, own] = 1 - scores[rows, own]
        return shortfall.clamp_min_(0), (rows, own)


@dataclass(frozen=True)
class LinearSVM(PenalisedClassifier):
    """One-against-rest linear support vector machines: L2 penalty, squared hinge, solved to their optimum.

    The objective is liblinear's (Fan et al., JMLR 2008; ``-s 2 -B 1``, scikit-learn's ``LinearSVC``): for every class
    ``(|w|^2 + b^2) / 2 + C * sum of losses``, the intercept b being penalised as well. The class with the highest score
    wins.

    Attributes:
        c: the weight of the summed loss against the L2 penalty.
        normalisation: "standard" (columns of mean 0 and deviation 1), "l2" (rows of length one) or "none".
        tolerance: see `PenalisedClassifier`.
        max_iterations: see `PenalisedClassifier`.

    Raises:
        VidsslError: a number that is not above 0, or an unknown normalisation.
    """

    c: float = 1.0
    normalisation: str = "standard"

    def problem(self, rows: Rows) -> Objective:
        """Return the objective on these rows."""
        return Objective(rows, SquaredHinge(), self.c, bias_penalty=1.0)


@dataclass(frozen=True)
class LeaveOneGroupOut:
    """Another measure with each group of the query videos held out in turn (leave-one-person-out).

    Metrics are means over all videos, so that larger groups weigh more; ``mean_class`` and what is predicted are those
    of all videos together.

    Attributes:
        measure: fitted on all other groups.
    """

    leaves_out_groups: ClassVar[bool] = True
    measure: Measure

    def __call__(self, gallery: VideoFeatures, query: VideoFeatures) -> Outcome:
        """Measure each group against the rest; gallery and queries are the same videos.

        Returns:
            The measure's metrics; one that some fold lacks has no mean. ``chosen`` holds the metrics of every group.

        Raises:
            VidsslError: rows without a group, fewer than two groups, or a fold that cannot be measured; the message
                names its group.
        """
        names, sizes = np.unique(query.groups, return_counts=True)
        if len(names) < 2 or names[0] < 0:
            raise VidsslError(
                f"Leaving one group out needs at least two groups and a group for every row; found the groups {names}."
            )
        folds = {int(name): self._fold(query, name) for name in names}
        return _pooled(folds, query, sizes)

    def _fold(self, videos: VideoFeatures, name: int) -> Outcome:
        held_out = videos.groups == name
        try:
            return self.measure(videos.subset(~held_out), videos.subset(held_out))
        except VidsslError as error:
            raise VidsslError(f"With group {name} held out: {error}") from error


def _pooled(folds: dict[int, Outcome], videos: VideoFeatures, sizes: np.ndarray) -> Outcome:
    outcomes = list(folds.values())
    shared = [metric for metric in outcomes[0].metrics if all(metric in fold.metrics for fold in outcomes)]
    metrics = {
        metric: float(np.average([fold.metrics[metric] for fold in outcomes], weights=sizes)) for metric in shared
    }
    predicted = None
    given = {name: fold.predicted for name, fold in folds.items() if fold.predicted is not None}
    if len(given) == len(folds):
        predicted = _whole(given, videos)
        if "mean_class" in metrics:
            metrics["mean_class"] = mean_class_accuracy(videos.labels, predicted)
    chosen = {"groups": {str(name): {**fold.metrics, **fold.chosen} for name, fold in folds.items()}}
    of_videos = {
        metric: _whole({name: fold.of_videos[metric] for name, fold in folds.items()}, videos)
        for metric in outcomes[0].of_videos
    }
    return Outcome(metrics, predicted, _pooled_neighbours(folds, videos), chosen, of_videos)


def _whole(parts: Mapping[int, np.ndarray], videos: VideoFeatures) -> np.ndarray:
    """Put the values of the videos of every group together, in the order of the videos."""
    values = np.empty(len(videos), next(iter(parts.values())).dtype)
    for name, part in parts.items():
        values[videos.groups == name] = part
    return values


def _pooled_neighbours(folds: dict[int, Outcome], videos: VideoFeatures) -> Neighbours | None:
    """Return places among all videos; as many as every fold has."""
    found = {name: fold.neighbours for name, fold in folds.items() if fold.neighbours is not None}
    if len(found) < len(folds):
        return None
    width = min(neighbours.places.shape[1] for neighbours in found.values())
    places = np.empty((len(videos), width), np.int64)
    distances = np.empty((len(videos), width), np.float32)
    for name, neighbours in found.items():
        held_out = videos.groups == name
        places[held_out] = np.flatnonzero(~held_out)[neighbours.places[:, :width]]
        distances[held_out] = neighbours.distances[:, :width]
    return Neighbours(places, distances)
