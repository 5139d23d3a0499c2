"""The linear probe: multinomial logistic regression on frozen features, solved to convergence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import linear_model

from vidssl.evaluation.inputs import check_positive
from vidssl.evaluation.normalisation import classifier_data
from vidssl.evaluation.outcome import Outcome
from vidssl.evaluation.video_features import VideoFeatures


@dataclass(frozen=True)
class LogisticRegression:
    """Multinomial logistic regression, see `linear_accuracy`.

    Attributes:
        c: the inverse strength of the L2 penalty against the summed loss.
        normalisation: "l2", "standard" or "none".
        max_iterations: the limit of the solver.
    """

    c: float = 100.0
    normalisation: str = "l2"
    max_iterations: int = 1000

    def __call__(self, gallery: VideoFeatures, query: VideoFeatures) -> Outcome:
        """Fit on the gallery, score on the queries."""
        settings = {"c": self.c, "normalisation": self.normalisation, "max_iterations": self.max_iterations}
        return Outcome(linear_accuracy(gallery.features, gallery.labels, query.features, query.labels, **settings))


def linear_accuracy(
    train: Any,
    train_labels: Any,
    test: Any,
    test_labels: Any,
    *,
    c: float = 100.0,
    normalisation: str = "l2",
    max_iterations: int = 1000,
) -> dict[str, float]:
    """Fit a linear classifier on the training features and score it on the test features.

    The solver is scikit-learn's L-BFGS, which is deterministic. It holds all features in memory, so it is meant for
    sets of up to about 100,000 videos.

    Args:
        train: (N, D) features.
        train_labels: (N,) integers.
        test: (M, D) features.
        test_labels: (M,) integers; a class that the training set lacks counts as an error.
        c: the inverse strength of the L2 penalty against the summed loss. Rows of length one differ little from
            each other, hence the weak penalty.
        normalisation: "l2" (rows of length one, as in CVRL's linear protocol), "standard" or "none".
        max_iterations: the limit of the solver, which warns when it is reached.

    Returns:
        Accuracies in [0, 1]: ``top1``; ``top5`` when the training set has more than five classes; and
        ``mean_class``, the mean of the accuracies within each class of the test set.

    Raises:
        VidsslError: empty, mismatched or non-finite features, one class only, or an unknown normalisation.
    """
    check_positive(c=c, max_iterations=max_iterations)
    data = classifier_data(train, train_labels, test, test_labels, normalisation)
    classifier = linear_model.LogisticRegression(C=c, max_iter=max_iterations).fit(data.train, data.train_labels)
    return _scores(classifier, data.test, data.test_labels)


def _scores(classifier: linear_model.LogisticRegression, features: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    margins = classifier.decision_function(features)
    if margins.ndim == 1:  # scikit-learn gives two classes one column
        margins = np.stack([-margins, margins], axis=1)
    ranked = classifier.classes_[np.argsort(-margins, axis=1, kind="stable")]
    hits = ranked == labels[:, None]
    scores = {"top1": float(hits[:, 0].mean()), "mean_class": mean_class_accuracy(labels, ranked[:, 0])}
    if len(classifier.classes_) > 5:
        scores["top5"] = float(hits[:, :5].any(axis=1).mean())
    return scores


def mean_class_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean, over the classes in `labels`, of the accuracy within the class; both are int (M,)."""
    return float(np.mean([(predicted[labels == label] == label).mean() for label in np.unique(labels)]))
