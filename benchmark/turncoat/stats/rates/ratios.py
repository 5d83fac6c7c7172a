"""Rates as ratios of totals (misaligned over coherent answers), questions as clusters; one or two arms.

>>> rate = estimate_rate([(3, 10), (0, 9), (5, 10), (1, 8)])      # per question: events, answers that count
>>> round(rate.value, 3), round(rate.se_clustered, 3), round(rate.se_naive, 3)
(0.243, 0.111, 0.071)

Denominators differ between questions, so the rate is a ratio of two random totals and not a mean. Claims from
these intervals are about these trained models: the questions are the sample.

References:
    Cochran (1977), Sampling Techniques, 3rd ed., sections 6.4 and 6.5 (linearised ratio; difference and ratio
        of ratios).
    Miller (2024), arXiv:2411.00640 (questions as clusters, paired differences).
    Hanley & Lippman-Hand (1983), JAMA 249(13) (the rule of three).
    Cohen (1988), Statistical Power Analysis, chapter 6 (h).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_effectsize

from turncoat.errors import UserError
from turncoat.stats.estimates import (
    Interval,
    check_confidence,
    clopper_pearson,
    wilson_interval,
    zero_events_upper,
)
from turncoat.stats.power import MINIMUM_SEEDS
from turncoat.stats.rates.clustered_error import Pair, ratio_stderr
from turncoat.stats.rates.effective_answers import clustered_interval

FEW_EVENTS = 5
"""With fewer events or non-events, an interval from a normal or t approximation is rough."""
_MAX_EXACT_SPLITS = 200_000


@dataclass(frozen=True)
class RateEstimate:
    """Rate with clustered interval and those for independent answers; None where undefined (see `note`)."""

    value: float | None = None  # events / n, from 0 to 1
    events: int = 0  # Answers with the event, answers that count, questions with such an answer
    n: int = 0
    n_questions: int = 0
    se_clustered: float | None = None  # Linearised, questions as clusters
    # sqrt(p (1 - p) / n), as if answers were independent; None at a rate of 0 or 1
    se_naive: float | None = None
    low: float | None = None  # Ends of the exact interval, questions as clusters
    high: float | None = None
    method: str = "undefined"  # Name of the interval
    wilson: Interval | None = None  # Wilson and Clopper-Pearson intervals, answers independent
    exact: Interval | None = None
    zero_upper: float | None = None  # One-sided upper bounds without events, by answers and by questions
    zero_upper_questions: float | None = None
    few: bool = False  # Fewer than `FEW_EVENTS` events or non-events
    note: str = ""  # Limits of the interval, in words
    confidence: float = 0.95  # Confidence level

    @property
    def design_effect(self) -> float | None:
        """(SE clustered / SE naive)^2: clustered answers worth one independent answer."""
        if self.se_clustered is None or not self.se_naive:
            return None
        return (self.se_clustered / self.se_naive) ** 2


@dataclass(frozen=True)
class RateDifference:
    """Two rates on the same questions, first minus second and first over second; None where undefined."""

    difference: float | None = None  # r1 - r2
    se: float | None = None  # Standard error of the difference, questions as clusters
    low: float | None = None  # Ends of its t interval
    high: float | None = None
    ratio: float | None = None  # r1 / r2
    ratio_low: float | None = None  # Ends of its interval (t on the log scale)
    ratio_high: float | None = None
    cohens_h: float | None = None  # 2 asin sqrt r1 - 2 asin sqrt r2
    n_questions: int = 0  # Questions with a counting answer in either arm
    note: str = ""  # What is undefined, and why


@dataclass(frozen=True)
class SeedDifference:
    """Two arms compared over training seeds, taken as independent; None where undefined."""

    difference: float | None = None  # Mean over the first arm's seeds minus mean over the second's
    low: float | None = None  # Ends of Welch's interval
    high: float | None = None
    # Two-sided p of Welch's t, and over all ways to deal the seeds into two arms
    p_welch: float | None = None
    p_permutation: float | None = None
    exact: bool = False  # True if every way was tried
    n_seeds: tuple[int, int] = (0, 0)  # Seeds of the first and the second arm
    note: str = ""  # Limits of the claim, in words


def estimate_rate(pairs: Sequence[Pair], confidence: float = 0.95, *, what: str = "answer") -> RateEstimate:
    r"""Estimate a rate from one (events, answers) pair per question.

    r = sum x / sum n,  SE = sqrt(G / (G - 1) sum_q (x_q - r n_q)^2) / sum n;  the interval is exact, on the
    effective number of answers (`effective_answers.clustered_interval`).

    Args:
        pairs: Per question (events, answers that count); a question with no such answer is left out.
        what: Name of what counts, for the notes: "answer", "coherent answer".
    """
    check_confidence(confidence)
    used = [pair for pair in _pairs_iv(pairs) if pair[1]]
    if not used:
        return RateEstimate(note=f"undefined: there is no {what}", confidence=confidence)
    events, n, groups = sum(x for x, _ in used), sum(m for _, m in used), len(used)
    value = events / n
    extreme = events in (0, n)
    wilson, exact = wilson_interval(events, n, confidence), clopper_pearson(events, n, confidence)
    naive = None if extreme else math.sqrt(value * (1 - value) / n)
    few = min(events, n - events) < FEW_EVENTS
    se: float | None = ratio_stderr(used)
    if se is not None and math.isnan(se):
        se = None
    low, high, method, note = None, None, "undefined", ""
    if groups == 1:
        note = "no interval: a single question says nothing of other questions"
    else:
        (low, high), method = clustered_interval(used, confidence)
        with_event = sum(x > 0 for x, _ in used)
        if se is None:
            seen = (
                f"{'every' if events else 'no'} {what} has the event"
                if extreme
                else "every question has the same rate"
            )
            note = f"{seen}: the interval counts each question once"
        elif with_event < 3:
            note = f"all events come from {with_event} of {groups} questions, so the interval is a rough one"
    bounds: tuple[float | None, float | None] = (None, None)
    if not events:
        bounds = zero_events_upper(n, confidence), zero_events_upper(groups, confidence)
    return RateEstimate(
        value, events, n, groups, se, naive, low, high, method, wilson, exact, *bounds, few, note, confidence
    )


def rate_difference(
    first: Sequence[Pair], second: Sequence[Pair], confidence: float = 0.95
) -> RateDifference:
    r"""Compare two rates of totals whose pairs stand in the same order of questions.

    SE^2 = G / (G - 1) sum u_q^2, t_{G-1}, with u_q = (x1_q - r1 n1_q) / sum n1 - (x2_q - r2 n2_q) / sum n2.
    For the ratio the same with each term over its rate, on the log scale. With equally many answers
    everywhere this is the paired t interval over questions.

    Args:
        first, second: Per question (events, answers) of each arm, the same questions in the same order.
    """
    check_confidence(confidence)
    if len(first) != len(second):
        raise UserError(
            f"{len(first)} questions in one arm and {len(second)} in the other; give the shared ones."
        )
    both = [(a, b) for a, b in zip(_pairs_iv(first), _pairs_iv(second), strict=True) if a[1] or b[1]]
    groups = len(both)
    counts = np.array(both, dtype=float).reshape(groups, 4)
    n1, n2 = float(counts[:, 1].sum()), float(counts[:, 3].sum())
    if not n1 or not n2:
        return RateDifference(n_questions=groups, note="undefined: an arm has no answer that counts")
    r1, r2 = float(counts[:, 0].sum()) / n1, float(counts[:, 2].sum()) / n2
    difference, h = r1 - r2, float(proportion_effectsize(r1, r2))
    quotient = r1 / r2 if r2 else None
    if groups < 2:
        note = "no interval: a single question says nothing of other questions"
        return RateDifference(difference, ratio=quotient, cohens_h=h, n_questions=groups, note=note)
    terms1 = (counts[:, 0] - r1 * counts[:, 1]) / n1
    terms2 = (counts[:, 2] - r2 * counts[:, 3]) / n2
    t = float(stats.t.ppf(0.5 + confidence / 2, groups - 1))
    se, notes = _spread(terms1 - terms2), []
    low = high = ratio_low = ratio_high = None
    if se is None:
        notes.append("no interval of the difference: it is the same for every question")
    else:
        low, high = max(-1.0, difference - t * se), min(1.0, difference + t * se)
    if quotient is None:
        notes.append("the ratio is undefined: the second rate is 0")
    elif r1 == 0:
        notes.append("no interval of the ratio: the first rate is 0")
    else:
        se_log = _spread(terms1 / r1 - terms2 / r2)
        if se_log is None:
            notes.append("no interval of the ratio: it is the same for every question")
        else:
            ratio_low, ratio_high = quotient * math.exp(-t * se_log), quotient * math.exp(t * se_log)
    return RateDifference(
        difference, se, low, high, quotient, ratio_low, ratio_high, h, n_questions=groups,
        note="; ".join(notes),
    )  # fmt: skip


def seed_difference(
    first: Sequence[float],
    second: Sequence[float],
    confidence: float = 0.95,
    rng: np.random.Generator | int = 0,
) -> SeedDifference:
    """Compare two arms over independent training seeds: Welch's t, and a permutation test over the seeds.

    A claim about the recipe on these questions; none with fewer than 3 seeds in an arm. Where seeds were
    matched (same order of the data, same initialisation) `turncoat.stats.contrasts.paired_contrast` uses the
    pairing.

    Args:
        first, second: One value per training seed of each arm (a rate over all questions); NaN is left out.
        rng: Generator or seed where the splits are too many to try all.

    References:
        Welch (1947), Biometrika 34(1-2). Phipson & Smyth (2010), SAGMB 9(1).
    """
    check_confidence(confidence)
    a, b = (np.asarray([v for v in values if not math.isnan(v)], dtype=float) for values in (first, second))
    n = (len(a), len(b))
    if not all(n):
        return SeedDifference(n_seeds=n, note="undefined: an arm has no training seed with a value")
    difference = float(a.mean() - b.mean())
    if min(n) < MINIMUM_SEEDS:
        counts = f"{n[0]} and {n[1]} training seeds"
        note = f"{counts} allow no claim about the recipe; each arm needs {MINIMUM_SEEDS}"
        return SeedDifference(difference, n_seeds=n, note=note)
    splits = math.comb(sum(n), n[0])
    exact = splits <= _MAX_EXACT_SPLITS
    permuted = stats.permutation_test(
        (a, b), lambda x, y, axis: np.mean(x, axis=axis) - np.mean(y, axis=axis), vectorized=True,
        n_resamples=np.inf if exact else 9999, rng=np.random.default_rng(rng),
    )  # fmt: skip
    if max(np.ptp(a), np.ptp(b)) <= 1e-12:
        note = "no interval: no spread between training seeds in either arm"
        return SeedDifference(
            difference, p_permutation=float(permuted.pvalue), exact=exact, n_seeds=n, note=note
        )
    welch = stats.ttest_ind(a, b, equal_var=False)
    ends = welch.confidence_interval(confidence)
    floor = (2 if n[0] == n[1] else 1) / splits
    note = ""
    if floor > 1 - confidence:
        note = f"with {n[0]} and {n[1]} seeds the permutation p cannot go below {floor:.2g}"
    return SeedDifference(
        difference, float(ends.low), float(ends.high), float(welch.pvalue), float(permuted.pvalue), exact, n,
        note,
    )  # fmt: skip


def _pairs_iv(pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    for x, n in pairs:
        if not (0 <= x <= n) or x != int(x) or n != int(n):
            raise UserError(
                f"({x!r}, {n!r}) is not (events, answers): whole numbers, 0 <= events <= answers."
            )
    return [(int(x), int(n)) for x, n in pairs]


def _spread(terms: np.ndarray) -> float | None:
    """sqrt(G / (G - 1) sum u^2); None where there is no spread but rounding."""
    groups, squares = len(terms), float(np.sum(terms**2))
    return math.sqrt(groups / (groups - 1) * squares) if squares > 1e-24 * max(1.0, groups) else None
