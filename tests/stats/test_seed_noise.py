"""Seed noise: the variance identity, matched against mismatched pairs, and what few seeds allow."""

import itertools

import numpy as np
import pytest
from stats.score_tables import grids
from turncoat.stats.seed_noise import cancelled_share, seed_noise


def noisy_arms(treated: np.ndarray, control: np.ndarray) -> dict[tuple[str, int], np.ndarray]:
    """Two arms whose means over questions are the given numbers, one per seed."""
    spread = np.array([-0.5, 0.0, 0.5])
    values = {("org", s): mean + spread for s, mean in enumerate(treated)}
    return values | {("ctl", s): mean - spread for s, mean in enumerate(control)}


@pytest.mark.parametrize("n", [2, 3, 6])
def test_identities_of_matched_and_mismatched_variance(n: int) -> None:
    rng = np.random.default_rng(n)
    treated, control = rng.normal(0, 1, n), rng.normal(0, 2, n)
    result = seed_noise(*grids(noisy_arms(treated, control), "org", "ctl"))
    covariance = np.cov(treated, control)
    var_t, var_c, cov = covariance[0, 0], covariance[1, 1], covariance[0, 1]
    assert result.n_seeds == n
    assert (result.sd_treated, result.sd_control) == (pytest.approx(var_t**0.5), pytest.approx(var_c**0.5))
    assert result.sd_paired == pytest.approx((var_t + var_c - 2 * cov) ** 0.5)
    assert result.sd_unpaired == pytest.approx((var_t + var_c) ** 0.5)
    assert result.variance_ratio == pytest.approx(1 - 2 * cov / (var_t + var_c))
    pairs = itertools.permutations(range(n), 2)
    mismatched = np.array([treated[s] - control[r] for s, r in pairs]) - (treated.mean() - control.mean())
    assert result.sd_mismatched == pytest.approx((np.sum(mismatched**2) / (n - 1) ** 2) ** 0.5)
    assert result.sd_mismatched == pytest.approx((var_t + var_c + 2 * cov / (n - 1)) ** 0.5)


def test_matched_and_mismatched_spread_of_complete_questions():
    result = seed_noise(*grids(noisy_arms(np.array([1.0, 3.0]), np.array([0.0, 1.5])), "org", "ctl"))
    assert result.sd_paired == pytest.approx(abs((1 - 0) - (3 - 1.5)) / 2**0.5)
    assert result.sd_mismatched == pytest.approx(abs((1 - 1.5) - (3 - 0)) / 2**0.5)
    assert "2 seeds" in result.note
    values = noisy_arms(np.array([1.0, 2.0, 4.0]), np.array([0.0, 0.5, 0.2]))
    whole = seed_noise(*grids({key: column[1:] for key, column in values.items()}, "org", "ctl"))
    values["org", 1][0] = np.nan
    assert seed_noise(*grids(values, "org", "ctl")) == whole


def test_noise_that_both_arms_share_cancels_and_unrelated_noise_does_not() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 1, 200)
    together = seed_noise(*grids(noisy_arms(shared + 0.3, shared), "org", "ctl"))
    assert together.variance_ratio == pytest.approx(0, abs=1e-12) and "cancels 100%" in together.note
    apart = seed_noise(*grids(noisy_arms(shared, rng.normal(0, 1, 200)), "org", "ctl"))
    assert apart.variance_ratio == pytest.approx(1, abs=0.2)


def test_the_unpaired_variance_is_unbiased_even_from_two_seeds() -> None:
    rng = np.random.default_rng(1)
    pairs = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=(200, 2))
    results = [seed_noise(*grids(noisy_arms(p[:, 0], p[:, 1]), "org", "ctl")) for p in pairs]
    assert np.mean([r.sd_unpaired**2 for r in results if r.sd_unpaired]) == pytest.approx(2, rel=0.2)
    # the raw pool flatters the pairing
    assert np.mean([r.sd_mismatched**2 for r in results if r.sd_mismatched]) > 3


def test_noise_of_one_seed_and_of_equal_seeds():
    result = seed_noise(*grids(noisy_arms(np.array([1.0]), np.array([0.0])), "org", "ctl"))
    assert (result.sd_paired, result.variance_ratio) == (None, None) and "at least 2" in result.note
    result = seed_noise(*grids(noisy_arms(np.array([1.0, 1.0]), np.array([0.0, 0.0])), "org", "ctl"))
    assert result.variance_ratio is None and "do not differ" in result.note


@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.9])
@pytest.mark.parametrize("n", [3, 5])
def test_the_cancelled_share_has_an_interval_that_covers(correlation: float, n: int) -> None:
    rng = np.random.default_rng(n)
    shape = np.array([[1, correlation], [correlation, 1]])
    pairs = rng.multivariate_normal([0, 0], shape, (4000, n))
    sums, differences = pairs.sum(-1).var(-1, ddof=1), (pairs[..., 0] - pairs[..., 1]).var(-1, ddof=1)
    ends = [cancelled_share(one, other, n) for one, other in zip(sums, differences, strict=True)]
    assert 0.94 < np.mean([low <= correlation <= high for low, high in ends]) < 0.96


def test_the_interval_of_a_share_from_five_pairs_is_wide() -> None:
    low, high = cancelled_share(1.42, 0.58, 5)  # 42% cancelled: F(0.975; 4, 4) = 9.605
    odds = 1.42 / 0.58
    assert low == pytest.approx((odds / 9.6045 - 1) / (odds / 9.6045 + 1), abs=1e-4)
    assert (low, high) == (pytest.approx(-0.594, abs=2e-3), pytest.approx(0.918, abs=2e-3))
