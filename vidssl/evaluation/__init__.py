"""Evaluation as pure functions of features and labels; callbacks say when to run them and where to log."""

from typing import TYPE_CHECKING

from vidssl.lazy_names import offer

if TYPE_CHECKING:
    from vidssl.evaluation.callbacks import FrozenFeatureEvaluation as FrozenFeatureEvaluation

offer(
    __name__,
    callbacks=["FrozenFeatureEvaluation"],
)
