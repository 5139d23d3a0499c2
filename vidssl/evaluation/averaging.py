"""Whose weights are measured while Lightning averages them (`WeightAveraging`, `EMAWeightAveraging`)."""

from __future__ import annotations

from dataclasses import dataclass

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import WeightAveraging


@dataclass(frozen=True)
class MeasuredWeights:
    """Which weights the model holds while Lightning validates.

    Attributes:
        average: class of the callback that put its average there; None where the weights are the trained ones.
        updates: how often the average was updated; after none it is a copy of the weights at the start.
    """

    average: str | None = None
    updates: int = 0

    def __str__(self) -> str:
        return "trained" if self.average is None else f"average of {self.updates} updates ({self.average})"


def measured_weights(trainer: Trainer) -> MeasuredWeights:
    """Say which weights the model holds in a validation of this trainer."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning does not declare it
        model = callback._average_model if isinstance(callback, WeightAveraging) else None
        if model is not None:
            return MeasuredWeights(type(callback).__name__, int(model.n_averaged))
    return MeasuredWeights()
