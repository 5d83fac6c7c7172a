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
    Cohen (1988), Statistical Power Analysis, chapter 6 (h).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_effectsize

from turncoat.errors import UserError
from turncoat.stats.estimates import Interval, check_confidence
from turncoat.stats.rates.clustered_error import Pair, ratio_stderr
from turncoat.stats.rates.effective_answers import clustered_interval

FEWEST_FOR_A_RATIO = 5
"""Questions with an event, in the arm with fewer, below which no ratio is given: its log-scale error rests on
them alone, and of two or three questions may be near 0 by chance."""


@dataclass(frozen=True)
class RateEstimate:
    """Rate with its question-clustered interval; None where undefined (see `note`)."""

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
    naive = None if extreme else math.sqrt(value * (1 - value) / n)
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
    return RateEstimate(value, events, n, groups, se, naive, low, high, method, note, confidence)


def rate_difference(
    first: Sequence[Pair], second: Sequence[Pair], confidence: float = 0.95
) -> RateDifference:
    r"""Compare two rates of totals whose pairs stand in the same order of questions.

    SE^2 = G / (G - 1) sum u_q^2, t_{G-1}, with u_q = (x1_q - r1 n1_q) / sum n1 - (x2_q - r2 n2_q) / sum n2.
    With equally many answers everywhere this is the paired t interval over questions; without any spread (no
    event in either arm, say) it is that of `bounds_of_difference`. For the ratio the same with each term over
    its rate, on the log scale; a ratio rests on the questions with an event, so these are the degrees of
    freedom, and fewer than `FEWEST_FOR_A_RATIO` give none.

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
    if groups < 2:
        note = "no interval: a single question says nothing of other questions"
        return RateDifference(difference, cohens_h=h, n_questions=groups, note=note)
    terms1 = (counts[:, 0] - r1 * counts[:, 1]) / n1
    terms2 = (counts[:, 2] - r2 * counts[:, 3]) / n2
    se, notes = _spread(terms1 - terms2), []
    if se is None:
        low, high = bounds_of_difference(first, second, confidence)
        notes.append("the difference is the same for every question: its interval is of two separate rates")
    else:
        half = float(stats.t.ppf(0.5 + confidence / 2, groups - 1)) * se
        low, high = max(-1.0, difference - half), min(1.0, difference + half)
    with_event = min(int((counts[:, 0] > 0).sum()), int((counts[:, 2] > 0).sum()))
    quotient = ratio_low = ratio_high = None
    if with_event < FEWEST_FOR_A_RATIO:
        notes.append(
            f"no ratio: only {with_event} questions of an arm have an event, {FEWEST_FOR_A_RATIO} are needed"
        )
    else:
        quotient = r1 / r2
        se_log = _spread(terms1 / r1 - terms2 / r2)
        if se_log is None:
            notes.append("no interval of the ratio: it is the same for every question")
        else:
            width = math.exp(float(stats.t.ppf(0.5 + confidence / 2, min(with_event, groups - 1))) * se_log)
            ratio_low, ratio_high = quotient / width, quotient * width
    return RateDifference(
        difference, se, low, high, quotient, ratio_low, ratio_high, h, n_questions=groups,
        note="; ".join(notes),
    )  # fmt: skip


def bounds_of_difference(first: Sequence[Pair], second: Sequence[Pair], confidence: float = 0.95) -> Interval:
    """Interval of r1 - r2 from the two exact ones, where paired differences have no spread to tell an error.

    It covers whatever the dependence of the arms: the upper end is the upper bound of the first rate minus
    the lower one of the second, which share half of the error probability (a bound at 0 or 1 cannot err and
    takes none). Each cluster counts once where a rate has no spread either.
    """
    half = (1 - confidence) / 2

    def end(upper: Sequence[Pair], lower: Sequence[Pair]) -> float:
        can_err = any(x < n for x, n in upper) + any(x > 0 for x, _ in lower)
        each = 1 - 2 * half / max(can_err, 1)
        return clustered_interval(upper, each)[0].high - clustered_interval(lower, each)[0].low

    return Interval(-end(second, first), end(first, second))


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
