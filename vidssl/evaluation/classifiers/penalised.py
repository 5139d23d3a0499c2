"""Linear classifiers with an L2 penalty, solved to their optimum."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vidssl.evaluation.classifiers.linear_model import LinearClassifier, LinearModel
from vidssl.evaluation.classifiers.linear_problem import Objective, Rows, labelled_rows
from vidssl.evaluation.classifiers.newton import minimise
from vidssl.evaluation.features.checks import check_positive
from vidssl.evaluation.features.normalisation import check_normalisation
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.protocols.scores import class_columns


@dataclass(frozen=True)
class PenalisedClassifier(LinearClassifier):
    """A linear classifier of the mean features of videos, at the minimum of an `Objective`.

    Frozen features of 240,000 videos x 2048 are read a chunk at a time; see `minimise` for the memory.

    Attributes:
        c: the weight of the summed loss against the L2 penalty.
        normalisation: "l2" (rows of length one), "standard" (columns of mean 0 and deviation 1) or "none".
        tolerance: how near to the optimum, see `minimise`.
        max_iterations: the limit of the solver, which warns when it is reached.

    Raises:
        VidsslError: a number that is not above 0, or an unknown normalisation.
    """

    combination: ClassVar[str] = "features"

    c: float
    normalisation: str
    tolerance: float = 1e-4
    max_iterations: int = 100

    def __post_init__(self) -> None:
        check_positive(c=self.c, tolerance=self.tolerance, max_iterations=self.max_iterations)
        check_normalisation(self.normalisation)

    @abstractmethod
    def problem(self, rows: Rows) -> Objective:
        """Return the objective on these rows."""

    def fit(self, gallery: VideoFeatures) -> LinearModel:
        """Fit on the mean features of labelled videos, which `check_classification` has let through."""
        classes = np.unique(gallery.labels)
        columns = class_columns(gallery.labels, classes)
        rows = labelled_rows(gallery.features, columns, len(classes), self.normalisation)
        solution = minimise(self.problem(rows), tolerance=self.tolerance, max_iterations=self.max_iterations)
        return LinearModel(classes, rows.normaliser, solution.weights)
