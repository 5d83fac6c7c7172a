"""Standardised differences: intervals with the errors of the difference and of the SD."""

import numpy as np
import pytest
from scipy import stats
from turncoat.stats.standardised import sd_interval, standardised


def test_the_sd_interval_is_the_chi_square_one():
    low, high = sd_interval(1.0, 20)
    # the factors that a unit of 20 questions is known to
    assert (round(low, 2), round(high, 2)) == (0.76, 1.46)
    for end, q in ((low, 0.025), (high, 0.975)):
        assert stats.chi2.cdf(19 / end**2, 19) == pytest.approx(1 - q)


def test_with_a_known_sd_or_a_known_difference_it_is_the_interval_of_the_other():
    low, high = standardised(0.6, 0.1, 7.5, 2.0, 1_000_000)
    half = stats.t.ppf(0.975, 7.5) * 0.1
    assert (low, high) == pytest.approx(((0.6 - half) / 2, (0.6 + half) / 2), rel=0.01)
    low, high = standardised(0.6, 1e-9, 30, 1.1, 32)
    least, most = sd_interval(1.1, 32)
    assert (low, high) == pytest.approx((0.6 / most, 0.6 / least), rel=0.003)
    turned = standardised(-0.6, 0.1, 7.5, 2.0, 12)
    assert turned == pytest.approx(tuple(-x for x in standardised(0.6, 0.1, 7.5, 2.0, 12))[::-1])


@pytest.mark.parametrize(("effect", "n", "df"), [(0.0, 32, 31), (0.5, 32, 4), (0.5, 8, 7), (2.0, 20, 31)])
def test_it_covers(effect: float, n: int, df: int):
    """1500 experiments: two Monte-Carlo standard errors are 1.1 points."""
    rng = np.random.default_rng(3)
    runs, se = 1500, 0.12
    d = effect + se * rng.standard_normal(runs)
    ses = se * np.sqrt(rng.chisquare(df, runs) / df)
    sds = np.sqrt(rng.chisquare(n - 1, runs) / (n - 1))
    ends = np.array([standardised(*one, n) for one in zip(d, ses, [df] * runs, sds, strict=True)])
    covered = ((ends[:, 0] <= effect) & (effect <= ends[:, 1])).mean()
    assert 0.935 <= covered <= 0.975, covered
