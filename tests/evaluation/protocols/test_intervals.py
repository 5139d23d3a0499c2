import numpy as np
import pytest
from scipy.stats import beta, t

from vidssl.evaluation.protocols.intervals import interval


def test_accuracies_get_the_exact_binomial_interval():
    right = np.arange(40) < 31
    low, high = interval(right)
    # Clopper and Pearson: the ends are quantiles of beta distributions
    assert low == pytest.approx(beta.ppf(0.025, 31, 10))
    assert high == pytest.approx(beta.ppf(0.975, 32, 9))


def test_an_interval_says_something_where_all_are_right_or_none():
    assert interval(np.ones(20, bool)) == (pytest.approx(0.025 ** (1 / 20)), 1.0)
    assert interval(np.zeros(20, bool)) == (0.0, pytest.approx(1 - 0.025 ** (1 / 20)))


def test_other_means_get_that_of_student():
    values = np.array([0.2, 0.5, 0.9, 1.0])
    reach = t.ppf(0.975, 3) * values.std(ddof=1) / 2
    assert interval(values) == (pytest.approx(values.mean() - reach), pytest.approx(values.mean() + reach))
    assert interval(np.full(5, 0.25)) == (0.25, 0.25)
    assert np.isnan(interval(np.array([0.5]))).all()


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    draws = [interval(rng.random(50) < 0.8) for _ in range(200)]
    assert np.mean([low <= 0.8 <= high for low, high in draws]) >= 0.94
    means = [interval(rng.normal(0.3, 1, 50)) for _ in range(200)]
    assert 0.92 <= np.mean([low <= 0.3 <= high for low, high in means]) <= 0.98
