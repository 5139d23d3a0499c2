"""What is done to features before a classifier sees them; part of every protocol, since it moves the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.preprocessing import Normalizer, StandardScaler

from vidssl.errors import UnknownNameError, nearest
from vidssl.evaluation.inputs import check_labelled, check_pair

# "none" is a scaler too, so that no caller needs a case for it.
_SCALERS = {
    "l2": Normalizer,
    "standard": StandardScaler,
    "none": lambda: StandardScaler(with_mean=False, with_std=False),
}
NORMALISATIONS = tuple(_SCALERS)


def normalise(name: str, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normalise both sets, with statistics of the training set alone.

    Args:
        name: "l2" (every row to length one), "standard" (every column to mean 0 and deviation 1) or "none".
        train: float32 (N, D).
        test: float32 (M, D).

    Returns:
        Both, normalised, float32.

    Raises:
        UnknownNameError: there is no such normalisation.
    """
    if name not in _SCALERS:
        raise UnknownNameError(
            f"Unknown normalisation {name!r}.{nearest(name, NORMALISATIONS)} Known: {', '.join(NORMALISATIONS)}."
        )
    scaler = _SCALERS[name]().fit(train)
    return scaler.transform(train), scaler.transform(test)


@dataclass(frozen=True)
class ClassifierData:
    """What a classifier is fitted on and scored on, checked and normalised.

    Attributes:
        train: float32 (N, D).
        train_labels: int64 (N,).
        test: float32 (M, D).
        test_labels: int64 (M,).
    """

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def classifier_data(train: Any, train_labels: Any, test: Any, test_labels: Any, normalisation: str) -> ClassifierData:
    """Check both sets and normalise them, see `check_labelled` and `normalise`.

    Raises:
        VidsslError: empty, mismatched or non-finite features, one class only, or an unknown normalisation.
    """
    known, asked = check_labelled(train, train_labels, "training set"), check_labelled(test, test_labels, "test set")
    check_pair(known, asked)
    (fitted, fitted_labels), (scored, scored_labels) = known.numpy(), asked.numpy()
    fitted, scored = normalise(normalisation, fitted, scored)
    return ClassifierData(fitted, fitted_labels, scored, scored_labels)
