"""Margin tests: the interval they are equivalent to, which way is better, and that they exclude "no
difference"."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW
from turncoat.errors import UserError
from turncoat.stats.corrections import holm, holm_exclusive
from turncoat.stats.margins import margin_p, one_sided_ps
from turncoat.stats.t_errors import TError, largest_p, widest

VALUES = np.array([0.01, -0.02, 0.03, 0.00, 0.015, -0.01])
ERROR = TError(float(VALUES.std(ddof=1) / 6**0.5), 5)
MEAN = float(VALUES.mean())


@pytest.mark.parametrize(
    ("better", "alternative", "bound"), [("higher", "greater", -0.02), ("lower", "less", 0.02)]
)
def test_non_inferiority_is_a_one_sided_t_test_at_the_margin(better, alternative, bound):
    expected = stats.ttest_1samp(VALUES, bound, alternative=alternative).pvalue
    found = margin_p(MEAN, [ERROR], 0.02, "non_inferiority", better)  # type: ignore[arg-type]
    assert found == pytest.approx(expected)


def test_the_most_cautious_error_decides() -> None:
    wide = TError(2 * ERROR.se, 5)
    both = [ERROR, wide]
    assert margin_p(MEAN, both, 0.03, "equivalence") == margin_p(MEAN, [wide], 0.03, "equivalence")
    assert largest_p(0.02, both) == largest_p(0.02, [wide]) and widest(0.02, both, 0.95)[2] == wide
    for difference in (0.005, 0.02, 0.03, 0.05):
        low, high, _ = widest(difference, both, 0.95)
        assert (low > 0 or high < 0) == (largest_p(difference, both) < 0.05)


@pytest.mark.parametrize(("margin", "test", "better", "words"), [
    (0.0, "equivalence", None, "positive"), (float("nan"), "equivalence", None, "positive"),
    (0.1, "same", None, "equivalence, non_inferiority"), (0.1, "non_inferiority", None, "higher or lower"),
])  # fmt: skip
def test_what_is_no_margin_is_refused(margin: float, test: str, better: str | None, words: str) -> None:
    with pytest.raises(UserError, match=words):
        margin_p(0.0, [ERROR], margin, test, better)  # type: ignore[arg-type]


def test_exclusive_hypotheses_count_once_and_groups_of_one_are_holm():
    ps = {"a0": 0.9, "a1": 0.02, "b0": 0.01, "b1": 0.8, "none": None}
    adjusted = holm_exclusive(ps, {"a0": "a", "a1": "a", "b0": "b", "b1": "b", "none": "c"})
    # b0: two groups left, 0.02; a1: two groups left (b has b1), 0.04; b1: two, capped at 1; a0 after it.
    assert adjusted == pytest.approx({"a0": 1.0, "a1": 0.04, "b0": 0.02, "b1": 1.0, "none": None})
    rng = np.random.default_rng(0)
    for _ in range(20):
        ps = dict(enumerate(rng.uniform(size=6)))
        assert holm_exclusive(ps, {n: n for n in ps}) == pytest.approx(holm(ps))


def test_family_wise_error_with_margins() -> None:
    """Four contrasts, two truly 0 and two truly at the margin: any false claim of either kind at most 5 % of
    the time."""
    rng = np.random.default_rng(1)
    truth, se, margin, wrong = np.array([0.0, 0.0, 1.0, 1.0]), 0.3, 1.0, 0
    for _ in range(800):
        seen = truth + rng.normal(0, se, 4)
        ps: dict[tuple[int, str], float | None] = {}
        for n, value in enumerate(seen):
            ps[n, "zero"] = float(2 * stats.norm.sf(abs(value) / se))
            ps[n, "margin"] = float(
                max(stats.norm.sf((value + margin) / se), stats.norm.cdf((value - margin) / se))
            )
        adjusted = holm_exclusive(ps, {key: key[0] for key in ps})
        false = [(0, "zero"), (1, "zero"), (2, "margin"), (3, "margin")]
        wrong += any(p is not None and p < 0.05 for p in (adjusted[key] for key in false))
    assert 0.02 < wrong / 800 <= 0.065


def test_equivalence_equals_statsmodels():
    expected, lower, upper = DescrStatsW(VALUES).ttost_mean(-0.03, 0.03)
    assert margin_p(MEAN, [ERROR], 0.03, "equivalence") == pytest.approx(expected)
    assert one_sided_ps(MEAN, ERROR, 0.03) == pytest.approx((lower[1], upper[1]))
    assert margin_p(0.0, [], 0.03, "equivalence") is None


@pytest.mark.parametrize("margin", [0.005, 0.012, 0.02, 0.03])
def test_equivalent_exactly_if_the_interval_of_90_percent_lies_within_the_margin(margin: float) -> None:
    low, high = stats.t.interval(0.9, ERROR.df, MEAN, ERROR.se)
    p_value = margin_p(MEAN, [ERROR], margin, "equivalence")
    assert p_value is not None
    assert (p_value < 0.05) == (-margin < low and high < margin)
