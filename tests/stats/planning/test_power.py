"""Power against statsmodels, the normal limit and a simulation."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower
from turncoat.errors import UserError
from turncoat.stats.planning.power import detectable_effect, seed_sd_interval, t_test_power


def test_limits_of_power_and_of_the_detectable_effect():
    limit = stats.norm.isf(0.025) + stats.norm.ppf(0.8)
    assert limit == pytest.approx(2.80, abs=0.005)
    assert detectable_effect(0.5, 1e6) == pytest.approx(0.5 * limit, rel=1e-4)
    assert t_test_power(0.0, 5, 0.05) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("n", "alpha", "power"), [(3, 0.05, 0.8), (5, 0.05, 0.9), (8, 0.0025, 0.8), (48, 0.01, 0.8)]
)
def test_equals_statsmodels(n: int, alpha: float, power: float) -> None:
    effect = detectable_effect(1 / np.sqrt(n), n - 1, alpha, power)
    assert TTestPower().power(effect, n, alpha) == pytest.approx(power, abs=1e-6)


@pytest.mark.parametrize("df", [1, 2, 3, 7, 20, 47, 500])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 20, 0.05 / 100])
def test_solves_its_own_equation_at_every_size(df: int, alpha: float) -> None:
    assert t_test_power(detectable_effect(1.0, df, alpha), df, alpha) == pytest.approx(0.8, abs=1e-6)


def test_an_sd_from_few_seeds():
    low, high = seed_sd_interval(1.0, 2)
    # With one degree of freedom chi2 is a squared normal.
    assert low == pytest.approx(1 / stats.norm.isf(0.0125))
    assert high == pytest.approx(1 / stats.norm.isf(0.4875)) and high / low > 50
    sds = np.random.default_rng(2).normal(0, 3.0, size=(4000, 4)).std(axis=1, ddof=1)
    low, high = seed_sd_interval(1.0, 4)
    assert np.mean((sds * low <= 3.0) & (sds * high >= 3.0)) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("arguments", [(0.0, 5), (1.0, 0), (float("nan"), 5)])
def test_bad_input_is_refused(arguments: tuple[float, float]) -> None:
    with pytest.raises(UserError):
        detectable_effect(*arguments)
    with pytest.raises(UserError):
        seed_sd_interval(1.0, 1)
