"""Random-effects mean over models: a published example, statsmodels, and coverage with few models."""

import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects
from turncoat.errors import UserError
from turncoat.stats.meta_analysis.random_effects import random_effects


def clasp() -> tuple[np.ndarray, np.ndarray]:
    """Log odds ratios and errors of the six trials that DerSimonian & Kacker (2007) work through."""
    treated, controls = np.array([156, 303, 565, 1570, 103, 4659]), np.array([74, 303, 477, 1565, 105, 4650])
    events, others = np.array([5, 5, 12, 69, 9, 313]), np.array([8, 17, 9, 94, 11, 352])
    cells = np.array([events, treated - events, others, controls - others], dtype=float)
    a, b, c, d = cells
    return np.log(a * d / (b * c)), np.sqrt((1 / cells).sum(axis=0))


def test_the_published_example():
    pooled = random_effects(*clasp())
    assert round(pooled.tau, 4) == 0.3681, "tables 3 and 4, Paule and Mandel"
    assert (round(pooled.mean, 4), round(pooled.se, 4), pooled.n) == (-0.3811, 0.2060, 6)


@pytest.mark.parametrize("k", [2, 3, 8])
def test_another_implementation_agrees(k):
    rng = np.random.default_rng(k)
    errors = rng.uniform(0.02, 0.1, k)
    effects = rng.normal(0.1, 0.4, k)
    theirs = combine_effects(effects, errors**2, method_re="pm", use_t=True)
    ours = random_effects(effects, errors)
    assert ours.tau > 0 and ours.tau**2 == pytest.approx(theirs.tau2, rel=1e-4)
    # with use_t the interval of fixed scale and Hartung and Knapp's are one where the variance is above 0
    for interval in (theirs.conf_int()[1], theirs.conf_int()[3]):
        assert (ours.low, ours.high) == pytest.approx(tuple(interval), rel=1e-4)


def test_models_that_agree_too_well_do_not_narrow_the_interval():
    pooled = random_effects([0.2, 0.2], [0.1, 0.1])
    assert pooled.tau == 0 and pooled.se == pytest.approx(0.1 / 2**0.5)
    assert pooled.high - pooled.mean == pytest.approx(12.706 * 0.1 / 2**0.5, rel=1e-4)


@pytest.mark.parametrize(("k", "tau"), [(2, 0.1), (3, 0.1), (3, 0.0)])
def test_the_interval_covers_with_few_models(k, tau):
    rng = np.random.default_rng(17)
    covered = 0
    for _ in range(1000):
        errors = rng.uniform(0.02, 0.08, k)
        pooled = random_effects(rng.normal(0.3, tau, k) + rng.normal(0, errors), errors)
        covered += pooled.low <= 0.3 <= pooled.high
    assert covered >= 930


def test_what_cannot_be_pooled_is_refused():
    with pytest.raises(UserError, match="2 models or more"):
        random_effects([0.1], [0.1])
    with pytest.raises(UserError, match="not above 0"):
        random_effects([0.1, 0.2], [0.1, 0.0])
