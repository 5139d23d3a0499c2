"""Mean, spread and paired differences over a few seeds."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
FEWEST_FOR_INTERVAL = 3  # of two seeds Student's t is 12.7: an interval that says nothing, or a point by chance


@dataclass(frozen=True)
class Spread:
    """Mean and spread over seeds.

    Attributes:
        values: seed (or the name of a run without one) -> value.
        mean: of the values.
        deviation: standard deviation of the sample (n - 1); None for one value.
    """

    values: Mapping[int | str, float]
    mean: float
    deviation: float | None

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.values)


@dataclass(frozen=True)
class PairedDifference:
    """How much a method is above another on the same seeds.

    Attributes:
        n: seeds that both have.
        mean: mean difference.
        low: lower end of the interval; None with fewer than three seeds.
        high: upper end of the interval.
        above: seeds on which the method is above the other.
    """

    n: int
    mean: float
    low: float | None
    high: float | None
    above: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def spread(values: Mapping[int | str, Sequence[float]]) -> Spread | None:
    """Summarise values over seeds; several of one seed count once, as their mean. None if there are no values."""
    means = {seed: statistics.fmean(found) for seed, found in values.items() if found}
    if not means:
        return None
    deviation = statistics.stdev(means.values()) if len(means) > 1 else None
    return Spread(means, statistics.fmean(means.values()), deviation)


def paired_difference(method: Spread, baseline: Spread) -> PairedDifference | None:
    """Compare two methods seed by seed, which takes out what a seed does to both; None without a shared seed.

    The interval is that of the paired t-test, Student's t for the mean of the differences (confidence 95 %): exact
    where differences are normal, and wide for few of them, as it should be: with three seeds it is the mean plus or
    minus 2.48 standard deviations. A bootstrap over three differences would be far too narrow (it cannot leave their
    range).
    """
    seeds = [seed for seed in method.values if seed in baseline.values]
    if not seeds:
        return None
    own, other = ([values[seed] for seed in seeds] for values in (method.values, baseline.values))
    differences = [one - another for one, another in zip(own, other, strict=True)]
    mean, above = statistics.fmean(differences), sum(difference > 0 for difference in differences)
    if len(seeds) < FEWEST_FOR_INTERVAL:
        return PairedDifference(len(seeds), mean, None, None, above)
    from scipy.stats import ttest_rel

    with warnings.catch_warnings():
        # equal differences are meant: their interval is a point, though scipy warns of the test's precision
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = ttest_rel(own, other).confidence_interval(CONFIDENCE)
    return PairedDifference(len(seeds), mean, float(interval.low), float(interval.high), above)
