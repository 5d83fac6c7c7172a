"""Rates of totals: the clustered error it equals, its coverage, degenerate counts, paired differences and
seeds."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from turncoat.errors import UserError
from turncoat.stats.estimates import exact_interval
from turncoat.stats.rates.ratios import bounds_of_difference, estimate_rate, rate_difference


def drawn(rng: np.random.Generator, questions: int, answers: int = 20) -> list[tuple[int, int]]:
    """Questions with rates of their own (SD about 0.19) and unequal numbers of answers that count."""
    n = rng.integers(answers // 2, answers + 1, questions)
    x = rng.binomial(n, rng.beta(0.7, 2.1, questions))
    return list(zip(x.tolist(), n.tolist(), strict=True))


def test_clustered_error_is_that_of_statsmodels():
    pairs = drawn(np.random.default_rng(1), 30)
    labels = np.repeat(np.arange(30), [n for _, n in pairs])
    events = np.concatenate([np.arange(n) < x for x, n in pairs]).astype(float)
    fit = sm.OLS(events, np.ones(len(events))).fit(cov_type="cluster", cov_kwds={"groups": labels})
    # For a mean the small-sample factor of statsmodels is G/(G-1) * (N-1)/(N-1).
    found = estimate_rate(pairs)
    assert found.se_clustered == pytest.approx(float(fit.bse[0]), rel=1e-9)
    assert found.value == pytest.approx(events.mean())
    assert found.design_effect is not None and found.design_effect > 2
    found = estimate_rate([(1, 1)] * 30 + [(0, 1)] * 70)
    assert found.design_effect == pytest.approx(100 / 99)
    assert found.se_naive == pytest.approx(math.sqrt(0.3 * 0.7 / 100))


@pytest.mark.parametrize("pairs", [[], [(0, 0)], [(0, 0), (0, 0)]])
def test_nothing_counts(pairs) -> None:
    found = estimate_rate(pairs, what="coherent answer")
    assert (found.value, found.low, found.se_clustered) == (None,) * 3
    assert found.note == "undefined: there is no coherent answer"


def test_no_event_and_one_question():
    found = estimate_rate([(0, 50)] * 8)
    assert found.value == 0 and found.se_clustered is None and found.se_naive is None
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 8))
    assert "counts each question once" in found.note
    every = estimate_rate([(50, 50)] * 8)
    assert every.high == 1.0
    assert every.low is not None and found.high is not None and every.low == pytest.approx(1 - found.high)
    one = estimate_rate([(3, 10)])
    assert (one.value, one.low, one.se_clustered) == (0.3, None, None)
    assert "single question" in one.note
    same = estimate_rate([(1, 4), (2, 8)])
    assert (same.value, same.se_clustered) == (0.25, None) and "same rate" in same.note
    assert (same.low, same.high) == exact_interval(0.45, 1.8)  # each question counts once
    assert "1 of 4 questions" in estimate_rate([(9, 10), (0, 10), (0, 10), (0, 10)]).note


@pytest.mark.parametrize("pair", [(2, 1), (-1, 3), (0.5, 2)])
def test_impossible_pairs(pair) -> None:
    with pytest.raises(UserError, match=r"is not \(events, answers\)"):
        estimate_rate([pair])


def test_difference_with_equal_denominators_is_the_paired_t() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.binomial(10, 0.5, 12), rng.binomial(10, 0.3, 12)
    found = rate_difference([(int(x), 10) for x in a], [(int(x), 10) for x in b])
    ends = stats.ttest_rel(a / 10, b / 10).confidence_interval()
    assert (found.low, found.high) == (pytest.approx(ends.low), pytest.approx(ends.high))
    assert found.difference == pytest.approx((a - b).mean() / 10)
    assert found.cohens_h == pytest.approx(
        2 * (math.asin(a.mean() ** 0.5 / 10**0.5) - math.asin((b.mean() / 10) ** 0.5))
    )


def test_errors_match_the_spread_over_resampled_questions() -> None:
    rng = np.random.default_rng(4)
    hard = rng.beta(1, 3, 60)  # what a question does to both arms
    n1, n2 = rng.integers(5, 30, 60), rng.integers(5, 30, 60)
    x1, x2 = rng.binomial(n1, np.minimum(1, hard * 1.5)), rng.binomial(n2, hard)
    picks = rng.integers(0, 60, (4000, 60))
    rates = [x[picks].sum(1) / n[picks].sum(1) for x, n in ((x1, n1), (x2, n2))]
    found = rate_difference(np.c_[x1, n1].tolist(), np.c_[x2, n2].tolist())
    assert found.se == pytest.approx(np.std(rates[0] - rates[1]), rel=0.06)
    assert found.ratio is not None and found.ratio_high is not None
    se_log = math.log(found.ratio_high / found.ratio) / stats.t.ppf(0.975, 59)
    assert se_log == pytest.approx(np.std(np.log(rates[0] / rates[1])), rel=0.06)
    separate = [estimate_rate(np.c_[x, n].tolist()).se_clustered for x, n in ((x1, n1), (x2, n2))]
    assert found.se < math.hypot(*separate)  # pairing cancels what the questions do to both


def test_undefined_differences_and_claims_are_told():
    assert rate_difference([(0, 0)], [(1, 2)]).note.startswith("undefined")
    single = rate_difference([(1, 2)], [(1, 4)])
    assert (single.difference, single.ratio, single.low) == (0.25, None, None)
    nobody = rate_difference([(1, 2), (0, 2)], [(0, 2), (0, 2)])
    assert nobody.ratio is None and nobody.low is not None
    assert "only 0 questions of an arm have an event, 5 are needed" in nobody.note
    twin = rate_difference([(1, 2)] * 5, [(1, 2)] * 5)
    assert (twin.difference, twin.se, twin.ratio) == (0.0, None, 1.0)
    assert "the difference is the same for every question" in twin.note
    with pytest.raises(UserError, match="2 questions in one arm and 1"):
        rate_difference([(1, 2), (0, 2)], [(0, 2)])


def test_a_ratio_needs_five_questions_with_an_event_in_both_arms() -> None:
    """Two of five clusters with events gave "0.33 [0.31, 0.36]" beside a difference of [-47, 1] points."""
    first, second = [(10, 50), (11, 50), *[(0, 50)] * 3], [(30, 50), (33, 50), *[(0, 50)] * 3]
    found = rate_difference(first, second)
    assert found.ratio is None and found.ratio_low is None and "no ratio: only 2 questions" in found.note
    assert found.low is not None and found.low < -0.4
    found = rate_difference([(x + 1, 50) for x, _ in first], [(x + 1, 50) for x, _ in second])
    assert found.ratio is not None and found.ratio_low < found.ratio < found.ratio_high


def test_the_interval_of_a_ratio_covers_where_one_is_given() -> None:
    rng = np.random.default_rng(6)
    for questions, answers, rates in ((8, 50, (0.1, 0.05)), (24, 20, (0.04, 0.02)), (48, 10, (0.02, 0.02))):
        shapes = [(9 * rate, 9 * (1 - rate)) for rate in rates]  # intraclass correlation 0.1
        hits = given = 0
        for _ in range(500):
            first, second = (
                [(int(x), answers) for x in rng.binomial(answers, rng.beta(*shape, questions))]
                for shape in shapes
            )
            found = rate_difference(first, second)
            if found.ratio_low is not None and found.ratio_high is not None:
                given += 1
                hits += found.ratio_low <= rates[0] / rates[1] <= found.ratio_high
        assert given > 50 and hits / given > 0.93


def test_no_event_in_either_arm_bounds_the_difference() -> None:
    found = rate_difference([(0, 1)] * 40, [(0, 1)] * 40)
    upper = 1 - 0.025 ** (1 / 40)  # exact upper bound of either arm; the lower ones are 0 and cannot err
    assert (found.low, found.high) == (pytest.approx(-upper), pytest.approx(upper))
    found = rate_difference([(0, 10)] * 40, [(0, 1)] * 40)  # questions count once, however many answers
    assert (found.low, found.high) == (pytest.approx(-upper), pytest.approx(upper))
    one, other = [(1, 10)] * 40, [(3, 10)] * 40
    low, high = bounds_of_difference(one, other)
    ends = [exact_interval(x, 40, 0.975) for x in (4, 12)]  # now both bounds may err: half each
    assert (low, high) == pytest.approx((ends[0].low - ends[1].high, ends[0].high - ends[1].low))


def test_pairs_of_a_frame_and_of_lists_are_the_same() -> None:
    frame = pd.DataFrame({"x": [1, 2, 0], "n": [4, 4, 4]})
    assert estimate_rate(frame.to_numpy().tolist()) == estimate_rate([(1, 4), (2, 4), (0, 4)])
