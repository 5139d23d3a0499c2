"""What is done to features before a classifier sees them; part of every protocol, since it moves the numbers."""

from __future__ import annotations

import numpy as np
from sklearn.preprocessing import Normalizer, StandardScaler

from vidssl.errors import UnknownNameError, nearest

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
