"""A linear support vector machine on frozen features, and the leave-one-group-out protocol for small data sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.svm import LinearSVC

from vidssl.errors import VidsslError
from vidssl.evaluation.inputs import check_labelled, check_positive
from vidssl.evaluation.linear import mean_class_accuracy
from vidssl.evaluation.normalisation import classifier_data
from vidssl.evaluation.outcome import Measure, Outcome
from vidssl.evaluation.video_features import VideoFeatures

Evaluation = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], dict[str, float]]


@dataclass(frozen=True)
class LinearSVM:
    """One-against-rest linear support vector machines, see `linear_svm_accuracy`.

    Attributes:
        c: the weight of the summed loss against the L2 penalty.
        normalisation: "standard", "l2" or "none".
        max_iterations: the limit of the solver.
    """

    c: float = 1.0
    normalisation: str = "standard"
    max_iterations: int = 10000

    def __call__(self, gallery: VideoFeatures, query: VideoFeatures) -> Outcome:
        """Fit on the gallery, score on the queries."""
        settings = {"c": self.c, "normalisation": self.normalisation, "max_iterations": self.max_iterations}
        return Outcome(linear_svm_accuracy(gallery.features, gallery.labels, query.features, query.labels, **settings))


@dataclass(frozen=True)
class LeaveOneGroupOut:
    """Another measure with each group of the query videos held out in turn; metrics are means over the videos.

    Attributes:
        measure: fitted on all other groups.
    """

    leaves_out_groups: ClassVar[bool] = True
    measure: Measure

    def __call__(self, gallery: VideoFeatures, query: VideoFeatures) -> Outcome:
        """Measure each group against the rest; the gallery is not looked at."""

        def fold(train: Any, train_labels: Any, test: Any, test_labels: Any) -> dict[str, float]:
            return self.measure(_videos(train, train_labels), _videos(test, test_labels)).metrics

        return Outcome(leave_one_group_out(query.features, query.labels, query.groups, fold).mean)


def _videos(features: np.ndarray, labels: np.ndarray) -> VideoFeatures:
    return VideoFeatures(features[:, None], labels, np.full(len(labels), -1), np.arange(len(labels)))


def linear_svm_accuracy(
    train: Any,
    train_labels: Any,
    test: Any,
    test_labels: Any,
    *,
    c: float = 1.0,
    normalisation: str = "standard",
    max_iterations: int = 10000,
) -> dict[str, float]:
    """Fit one-against-rest linear SVMs (squared hinge) on the training features and score them on the test features.

    Args:
        train: (N, D) features.
        train_labels: (N,) integers.
        test: (M, D) features.
        test_labels: (M,) integers; a class that the training set lacks counts as an error.
        c: the weight of the summed loss against the L2 penalty.
        normalisation: "standard" (columns of mean 0 and deviation 1), "l2" (rows of length one) or "none".
        max_iterations: the limit of the solver, which warns when it is reached.

    Returns:
        Accuracies in [0, 1]: ``top1`` and ``mean_class``, the mean of the accuracies within each class.

    Raises:
        VidsslError: empty, mismatched or non-finite features, one class only, or an unknown normalisation.
    """
    check_positive(c=c, max_iterations=max_iterations)
    data = classifier_data(train, train_labels, test, test_labels, normalisation)
    # The dual solver visits the rows in random order; a fixed seed makes the result the same every time.
    classifier = LinearSVC(C=c, loss="squared_hinge", dual="auto", max_iter=max_iterations, random_state=0)
    predicted = classifier.fit(data.train, data.train_labels).predict(data.test)
    return {
        "top1": float((predicted == data.test_labels).mean()),
        "mean_class": mean_class_accuracy(data.test_labels, predicted),
    }


@dataclass(frozen=True)
class GroupResults:
    """What came out of `leave_one_group_out`.

    Attributes:
        per_group: group number -> metric -> value, the group being the test set.
        mean: metric -> the mean over all samples, so that larger groups weigh more.
    """

    per_group: dict[int, dict[str, float]]
    mean: dict[str, float]


def leave_one_group_out(features: Any, labels: Any, groups: Any, evaluate: Evaluation) -> GroupResults:
    """Hold out each group in turn, train on all others, and average over the samples (leave-one-person-out).

    Args:
        features: (N, D) features.
        labels: (N,) integers.
        groups: (N,) integers, 0 or more: which person, scene or source each row comes from.
        evaluate: ``evaluate(train, train_labels, test, test_labels) -> metrics``, such as `linear_svm_accuracy`,
            or another function here with its options bound by ``functools.partial``.

    Returns:
        The metrics of each group and their mean over all samples. A metric that some fold lacks has no mean.

    Raises:
        VidsslError: the inputs do not fit together, rows without a group, fewer than two groups, or a fold that
            cannot be evaluated; the message names its group.
    """
    rows, row_labels = check_labelled(features, labels, "data set").numpy()
    groups = torch.as_tensor(groups).cpu().numpy()
    if groups.shape != row_labels.shape or groups.dtype.kind not in "iu":
        raise VidsslError(f"groups must be {len(row_labels)} integers; it is {groups.dtype} of shape {groups.shape}.")
    names, sizes = np.unique(groups, return_counts=True)
    if len(names) < 2 or names[0] < 0:
        raise VidsslError(
            f"Leaving one group out needs at least two groups and a group for every row; found the groups {names}."
        )
    per_group = {}
    for name in names.tolist():
        held_out = groups == name
        try:
            per_group[name] = evaluate(rows[~held_out], row_labels[~held_out], rows[held_out], row_labels[held_out])
        except VidsslError as error:
            raise VidsslError(f"With group {name} held out: {error}") from error
    shared = [metric for metric in per_group[int(names[0])] if all(metric in fold for fold in per_group.values())]
    mean = {
        metric: float(np.average([fold[metric] for fold in per_group.values()], weights=sizes)) for metric in shared
    }
    return GroupResults(per_group, mean)
