"""How sure a mean over videos is: intervals of 95 % that take the videos as a sample and the network as it is."""

from __future__ import annotations

import numpy as np

CONFIDENCE = 0.95


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the lower and the upper end of the interval about a mean over videos.

    Accuracies get the exact binomial interval (Clopper and Pearson, Biometrika 26, 1934), which says something also
    where all videos are right. Other means get that of Student's t. Both take the videos as independent; where many
    come from one recording, the intervals are too narrow.

    Args:
        values: bool (M,), or float (M,); M at least 1.

    Returns:
        Both NaN for a float of a single video.
    """
    from scipy import stats  # takes a second

    if values.dtype == bool:
        found = stats.binomtest(int(values.sum()), len(values)).proportion_ci(CONFIDENCE, method="exact")
        return float(found.low), float(found.high)
    if len(values) < 2:
        return float("nan"), float("nan")
    mean, error = float(values.mean()), float(values.std(ddof=1)) / len(values) ** 0.5
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * error
    return mean - reach, mean + reach
