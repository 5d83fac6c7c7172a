"""Hall's transformation against Johnson's formula, its own derivative and the sizes that it is for."""

import numpy as np
import pytest
from scipy import stats
from turncoat.stats.skew import skew_p, standardised_skew, unskewed


def test_without_its_cubic_it_is_johnsons_modified_t() -> None:
    values = np.random.default_rng(0).exponential(1, 20) - 0.7
    n, mean, s = len(values), values.mean(), values.std(ddof=1)
    third = stats.skew(values, bias=False) * s**3  # the third central moment behind G1
    johnson = (mean + third / (6 * s**2 * n) + third / (3 * s**4) * mean**2) * (n / s**2) ** 0.5
    t, skew = mean / (s / n**0.5), standardised_skew(values)
    assert unskewed(t, skew) - skew**2 * t**3 / 27 == pytest.approx(johnson)


@pytest.mark.parametrize("skew", [-0.9, 0.0, 0.4, 2.0])
def test_it_never_falls_so_a_p_has_one_cut_on_each_side(skew: float) -> None:
    t = np.linspace(-30, 30, 4001)
    assert (np.diff(unskewed(t, skew)) >= 0).all()  # type: ignore[arg-type]


def test_no_skew_is_the_t_test_and_skew_never_helps() -> None:
    assert skew_p(0.3, 0.1, 23, 0.0) == pytest.approx(2 * stats.t.sf(3.0, 23))
    for skew in (-0.5, 0.5):
        assert skew_p(0.3, 0.1, 23, skew) >= skew_p(0.3, 0.1, 23, 0.0)
    assert standardised_skew(np.array([1.0, 2.0])) == standardised_skew(np.ones(9)) == 0.0


def test_lognormal_nulls_are_rejected_near_the_level() -> None:
    """4000 samples of 24: the t test rejects in more than 10 %, the larger p in 7 % or less."""
    values = np.random.default_rng(2).lognormal(0, 1, (4000, 24)) - np.exp(0.5)
    plain = stats.ttest_1samp(values, 0, axis=1).pvalue
    means, errors = values.mean(axis=1), values.std(axis=1, ddof=1) / 24**0.5
    allowed = [
        skew_p(m, se, 23, standardised_skew(v)) for m, se, v in zip(means, errors, values, strict=True)
    ]
    assert (
        np.mean(plain < 0.05) > 0.10 and np.mean(np.array(allowed) < 0.05) < 0.07 + 0.008
    )  # two Monte-Carlo errors
