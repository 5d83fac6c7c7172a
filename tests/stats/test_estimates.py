"""Means over questions and exact intervals, against scipy, hand-worked cases and a coverage simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from turncoat.errors import UserError
from turncoat.stats.estimates import clopper_pearson, estimate_mean, t_summary, zero_events_upper


def test_mean_and_interval_equal_scipy_and_nan_is_counted():
    values = pd.Series([0.1, 0.5, 0.2, 0.9, 0.4])
    result = estimate_mean(values, 0.9, arm="a", seed=3, metric="m")
    reference = stats.ttest_1samp(values, 0)
    ends = reference.confidence_interval(0.9)
    assert result.value == pytest.approx(0.42)
    assert (result.low, result.high) == (pytest.approx(ends.low), pytest.approx(ends.high))
    assert (result.arm, result.seed, result.metric, result.n_questions) == ("a", 3, "m", 5)
    assert t_summary(values.to_numpy()).p_value == pytest.approx(reference.pvalue)
    result = estimate_mean(pd.Series([1.0, np.nan, 3.0]))
    assert (result.value, result.n_questions, result.n_dropped) == (2.0, 2, 1)


@pytest.mark.parametrize(("values", "value"), [([], None), ([np.nan], None), ([0.7], 0.7), ([0.7, 0.7], 0.7)])
def test_no_interval_where_the_data_define_none(values: list[float], value: float | None) -> None:
    result = estimate_mean(pd.Series(values, dtype=float))
    assert result.value == value and result.low is None and result.se is None


def test_rates_have_exact_bounds_within_zero_and_one():
    result = estimate_mean(pd.Series(np.zeros(48)), rate=True)
    assert (result.low, result.high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 48)))
    assert estimate_mean(pd.Series(np.zeros(48))).high is None
    values = pd.Series([0.0, 0.0, 0.0, 0.4])
    raw = estimate_mean(values)
    assert raw.low is not None and raw.low < 0 <= estimate_mean(values, rate=True).low
    with pytest.raises(UserError, match="called a rate"):
        estimate_mean(pd.Series([0.0, 55.0]), rate=True)
    with pytest.raises(UserError, match=r"0\.95"):
        estimate_mean(pd.Series([1.0, 2.0]), 95)


def test_clopper_and_pearson_by_their_formula():
    low, high = clopper_pearson(7, 40, 0.9)
    assert low == pytest.approx(stats.beta.ppf(0.05, 7, 34))
    assert high == pytest.approx(stats.beta.ppf(0.95, 8, 33))
    assert zero_events_upper(100) * 100 == pytest.approx(3, rel=0.02)
    assert clopper_pearson(0, 100, 0.9).high == pytest.approx(zero_events_upper(100))


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_refused(successes: int, n: int) -> None:
    with pytest.raises(UserError, match="whole number"):
        clopper_pearson(successes, n)
