"""Linear probes: logistic regression at its optimum, one layer trained as CVRL does, and a grid of such layers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from vidssl.errors import VidsslError
from vidssl.evaluation.classifiers.hold_out import hold_out
from vidssl.evaluation.classifiers.linear_model import LinearClassifier, LinearModel, classify
from vidssl.evaluation.classifiers.linear_problem import Objective, Rows
from vidssl.evaluation.classifiers.penalised import PenalisedClassifier
from vidssl.evaluation.classifiers.sgd_heads import SGD, Heads, TrainingViews, count_hits, train_heads
from vidssl.evaluation.features.checks import check_classification, check_positive
from vidssl.evaluation.features.normalisation import check_normalisation
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.protocols.outcome import Outcome
from vidssl.evaluation.protocols.scores import class_columns


class Softmax:
    """The cross-entropy of the softmax over all classes, which makes one problem of them."""

    separate = False

    def value(self, scores: Tensor, columns: Tensor) -> Tensor:
        """Return the losses, (n, 1)."""
        return cross_entropy(scores, columns, reduction="none")[:, None]

    def slope(self, scores: Tensor, columns: Tensor) -> Tensor:
        """Return their derivatives by the scores, (n, K)."""
        slopes = scores.softmax(dim=1)
        slopes[torch.arange(len(slopes)), columns] -= 1
        return slopes

    def curve(self, scores: Tensor, columns: Tensor, direction: Tensor) -> Tensor:
        """Return their second derivatives times `direction`, (n, K)."""
        probabilities = scores.softmax(dim=1)
        moved = probabilities * direction
        return moved.sub_(probabilities.mul_(moved.sum(dim=1, keepdim=True)))

    def curvature(self, scores: Tensor, columns: Tensor) -> Tensor:
        """Return the mean of the diagonal of their second derivatives."""
        probabilities = scores.softmax(dim=1)
        return (probabilities * (1 - probabilities)).double().mean()


@dataclass(frozen=True)
class LogisticRegression(PenalisedClassifier):
    """Multinomial logistic regression with an L2 penalty, solved to its optimum.

    The objective is scikit-learn's: ``|W|^2 / 2 + C * sum of losses``, the intercepts being free.

    Attributes:
        c: the inverse strength of the L2 penalty against the summed loss. Rows of length one differ little from each
            other, hence the weak penalty.
        normalisation: "l2" (rows of length one, as in CVRL's linear protocol), "standard" or "none".
        tolerance: see `PenalisedClassifier`.
        max_iterations: see `PenalisedClassifier`.

    Raises:
        VidsslError: a number that is not above 0, or an unknown normalisation.
    """

    c: float = 100.0
    normalisation: str = "l2"

    def problem(self, rows: Rows) -> Objective:
        """Return the objective on these rows."""
        # scikit-learn gives two classes one vector w. As a softmax they have w / 2 and -w / 2, half of the penalty.
        c = self.c / 2 if rows.num_classes == 2 else self.c
        return Objective(rows, Softmax(), c, bias_penalty=0.0)


@dataclass(frozen=True)
class LinearLayer(LinearClassifier):
    """One linear layer trained by SGD on a view of every video at a time; softmax scores are averaged over the views.

    The defaults are CVRL's linear evaluation (Qian et al., CVPR 2021, appendix; 5 epochs of warm-up from the released
    code, ``official/projects/video_ssl/configs/experiments`` in TensorFlow's model garden). Augmented views are drawn
    again in every epoch there; here the epochs use the stored views of the gallery in turn. The layer starts from 0,
    not at random, because the problem is convex.

    Attributes:
        learning_rate: the peak, for 1024 videos per step.
        weight_decay: on the weights, not on the bias.
        normalisation: "l2", "standard" or "none".
        sgd: batch, epochs, momentum and seed.

    Raises:
        VidsslError: a learning rate that is not above 0, a negative weight decay, or an unknown normalisation.
    """

    combination: ClassVar[str] = "probabilities"

    learning_rate: float = 32.0
    weight_decay: float = 0.0
    normalisation: str = "l2"
    sgd: SGD = field(default_factory=SGD)

    def __post_init__(self) -> None:
        _check_rates((self.learning_rate,), (self.weight_decay,))
        check_normalisation(self.normalisation)

    def fit(self, gallery: VideoFeatures) -> LinearModel:
        """Fit on the views of labelled videos, which `check_classification` has let through.

        Raises:
            VidsslError: the training diverges.
        """
        data = _training_views(gallery, np.arange(len(gallery))).normalised(self.normalisation)
        weights = train_heads(data, _heads([(self.learning_rate, self.weight_decay)]), self.sgd)[0]
        if not bool(weights.isfinite().all()):
            raise VidsslError(
                f"The linear layer diverges at learning rate {self.learning_rate}; lower it, or normalise the features."
            )
        return LinearModel(np.unique(gallery.labels), data.normaliser, weights)


@dataclass(frozen=True)
class LinearGrid:
    """Linear layers at every pair of learning rate and weight decay, trained in one pass; the best one is taken.

    Which is best is decided on a fifth of the training videos, held out class by class and group by group
    (`hold_out`), by video top-1; of equal ones the lower learning rate and then the higher weight decay is taken. The
    layer that is scored on the queries is trained again, on all training videos.

    Attributes:
        learning_rates: peaks, for 256 videos per step.
        weight_decays: on the weights, not on the bias.
        normalisation: "l2", "standard" or "none".
        hold_out_share: of the training videos, in (0, 1).
        sgd: batch, epochs, momentum and seed.

    Raises:
        VidsslError: an empty grid, a number out of its range, or an unknown normalisation.
    """

    learning_rates: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    weight_decays: tuple[float, ...] = (0.0, 1e-6, 1e-5, 1e-4)
    normalisation: str = "l2"
    hold_out_share: float = 0.2
    sgd: SGD = field(default_factory=partial(SGD, batch_size=256, reference_batch_size=256))

    def __post_init__(self) -> None:
        _check_rates(self.learning_rates, self.weight_decays)
        check_normalisation(self.normalisation)
        if not 0 < self.hold_out_share < 1:
            raise VidsslError(f"hold_out_share is {self.hold_out_share}; it must lie between 0 and 1.")

    def __call__(self, gallery: VideoFeatures, query: VideoFeatures) -> Outcome:
        """Choose on the gallery, fit on the gallery and classify the queries.

        Returns:
            Metrics as `LinearLayer`; ``chosen``: learning rate and weight decay, the number of videos they were chosen
            on, and under ``heads`` the accuracy of every pair there (None where the training diverged).

        Raises:
            VidsslError: see `check_classification` and `hold_out`, or every pair diverges.
        """
        check_classification(gallery, query)
        chosen = self.choose(gallery)
        layer = LinearLayer(chosen["learning_rate"], chosen["weight_decay"], self.normalisation)
        layer = replace(layer, sgd=self.sgd)
        return replace(classify(layer.fit(gallery), query, layer.combination), chosen=chosen)

    def choose(self, gallery: VideoFeatures) -> dict[str, Any]:
        """Return learning rate and weight decay that do best on held-out videos, and how all pairs did."""
        # in the order of preference, so that the first of the best wins
        pairs = [(rate, decay) for rate in sorted(self.learning_rates) for decay in sorted(self.weight_decays)[::-1]]
        rng = np.random.default_rng([self.sgd.seed, len(gallery)])
        held_out = hold_out(gallery.labels, gallery.groups, self.hold_out_share, rng)
        rest = _training_views(gallery, np.flatnonzero(~held_out)).normalised(self.normalisation)
        asked = replace(rest, places=np.flatnonzero(held_out))
        weights = train_heads(rest, _heads(pairs), self.sgd)
        finite = weights.isfinite().all(dim=-1).all(dim=-1)
        if not bool(finite.any()):
            raise VidsslError(f"Every layer of the grid diverges: learning_rates {self.learning_rates} are too high.")
        hits = count_hits(asked, weights)
        best = int(hits.where(finite, -1).argmax())  # the first of equal ones
        heads = [
            {"learning_rate": rate, "weight_decay": decay, "top1": int(hit) / len(asked) if bool(good) else None}
            for (rate, decay), hit, good in zip(pairs, hits, finite, strict=True)
        ]
        rate, decay = pairs[best]
        return {"learning_rate": rate, "weight_decay": decay, "hold_out_videos": len(asked), "heads": heads}


def _check_rates(learning_rates: tuple[float, ...], weight_decays: tuple[float, ...]) -> None:
    if not learning_rates or not weight_decays:
        raise VidsslError("A grid needs one or more learning_rates and one or more weight_decays.")
    for rate in learning_rates:
        check_positive(learning_rate=rate)
    if min(weight_decays) < 0:
        raise VidsslError(f"weight_decay is {min(weight_decays)}; it must be 0 or more.")


def _training_views(gallery: VideoFeatures, places: np.ndarray) -> TrainingViews:
    classes = np.unique(gallery.labels)
    return TrainingViews(gallery.views, class_columns(gallery.labels, classes), len(classes), places)


def _heads(pairs: list[tuple[float, float]]) -> Heads:
    rates, decays = torch.tensor(pairs, dtype=torch.float32).T
    return Heads(rates, decays)
