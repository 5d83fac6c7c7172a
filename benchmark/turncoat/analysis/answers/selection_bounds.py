"""Bounds of a misalignment rate and of a difference, whatever the incoherent answers meant.

The EM rate among coherent answers is a rate in a selected sample: a defence that turns misaligned answers
into gibberish lowers it and has cured nothing. With m misaligned, i incoherent and n answers that are valid
or incoherent:

    L = m / n,  H = (m + i) / n,          L <= rate over all n answers <= H
    L_treated - H_reference <= difference <= H_treated - L_reference

The interval around the bounds covers the true value (not the whole set) with the stated confidence, after
Imbens and Manski: [lower - c SE_lower, upper + c SE_upper] with F(c + (upper - lower) / max SE) - F(-c) =
confidence; F is Student's t with one degree of freedom less than there are questions. The ends of a rate are
those of its exact intervals at the confidence of c, 2 F(c) - 1.

References:
    Manski (1990), American Economic Review 80(2); Horowitz & Manski (1995), Econometrica 63(2) (bounds).
    Imbens & Manski (2004), Econometrica 72(6); Stoye (2009), Econometrica 77(4) (intervals).
    Zhang & Rubin (2003), JEBS 28(4) (outcomes that exist only for some: "truncation by death").
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import pandas as pd
from scipy import optimize
from scipy.special import stdtr, stdtrit

from turncoat.analysis.answers.answer_counts import ArmAnswers, arm_answers, shared_questions
from turncoat.analysis.answers.arm_rates import Thresholds
from turncoat.stats.estimates import Interval, check_confidence
from turncoat.stats.rates.ratios import RateDifference, estimate_rate, rate_difference


@dataclass(frozen=True)
class RateBounds:
    """Bounds of one arm's rate; fractions, None where undefined (`note` says why)."""

    low: float | None = None  # Every answer of unknown alignment counted as aligned
    high: float | None = None  # Every one counted as misaligned
    ci_low: float | None = None  # Ends of the interval for the rate
    ci_high: float | None = None
    n: int = 0  # Answers in the denominator
    n_unknown: int = 0  # Those of unknown alignment
    note: str = ""  # Why something is undefined; "" if nothing


@dataclass(frozen=True)
class DifferenceBounds:
    """Bounds of treated minus reference; fractions, None where undefined (`note` says why)."""

    low: float | None = None  # Unknown answers aligned in the treated arm, misaligned in the reference
    high: float | None = None  # The other way round
    ci_low: float | None = None  # Ends of the interval for the difference
    ci_high: float | None = None
    # The difference with every unknown answer of both arms counted as aligned
    as_aligned: RateDifference = field(default_factory=RateDifference)
    # The difference with every one counted as misaligned
    as_misaligned: RateDifference = field(default_factory=RateDifference)
    note: str = ""  # Why something is undefined; "" if nothing

    @property
    def conclusion(self) -> str:
        """Sign that holds whatever the unknown answers were: "higher", "lower", "unclear", "undefined"."""
        if self.ci_low is None or self.ci_high is None:
            return "undefined"
        return "higher" if self.ci_low > 0 else "lower" if self.ci_high < 0 else "unclear"


class _Ends(NamedTuple):
    """Per question (events, answers) under the two extreme rules, and the number of unknown answers."""

    low: list[tuple[int, int]]
    high: list[tuple[int, int]]
    n_unknown: int


def rate_bounds(frame: pd.DataFrame, arm: str, confidence: float = 0.95) -> RateBounds:
    """Bound one arm's misalignment rate over its coherent and incoherent answers."""
    check_confidence(confidence)
    answers = arm_answers(frame, arm)
    ends = _ends(answers, list(answers.questions))
    low = estimate_rate(ends.low, confidence, what="answer that counts")
    high = estimate_rate(ends.high, confidence, what="answer that counts")
    if low.value is None or high.value is None:
        return RateBounds(note=low.note)
    bounds = RateBounds(low.value, high.value, None, None, low.n, ends.n_unknown)
    if low.se_clustered is not None and high.se_clustered is not None:
        errors = (low.se_clustered, high.se_clustered)
        c = _quantile((low.value, high.value), errors, low.n_questions, confidence)
        each = 2 * float(stdtr(low.n_questions - 1, c)) - 1
        low, high = estimate_rate(ends.low, each), estimate_rate(ends.high, each)
        return replace(bounds, ci_low=low.low, ci_high=high.high)
    if low.low is None or high.high is None:
        return replace(bounds, note=low.note if low.low is None else high.note)
    # At a rate of 0 or 1 there is no standard error; the two ordinary intervals cover the whole set.
    return replace(bounds, ci_low=low.low, ci_high=high.high)


def difference_bounds(
    frame: pd.DataFrame, treated: str, reference: str, confidence: float = 0.95
) -> DifferenceBounds:
    """Bounds of treated minus reference on the questions of both arms: a claim about these adapters."""
    check_confidence(confidence)
    one, other = arm_answers(frame, treated), arm_answers(frame, reference)
    shared = shared_questions(one, other)
    t, r = _ends(one, shared), _ends(other, shared)
    as_aligned = rate_difference(t.low, r.low, confidence)
    as_misaligned = rate_difference(t.high, r.high, confidence)
    low, high = rate_difference(t.low, r.high, confidence), rate_difference(t.high, r.low, confidence)
    if low.difference is None or high.difference is None:
        return DifferenceBounds(note=low.note)
    ci_low = ci_high = None
    note = ""
    if low.se is not None and high.se is not None:
        span = (low.difference, high.difference)
        ci_low, ci_high = bounded_interval(span, (low.se, high.se), low.n_questions, confidence)
        ci_low, ci_high = max(-1.0, ci_low), min(1.0, ci_high)
    elif low.n_questions < 2:
        note = "no interval: a single question says nothing of other questions"
    else:
        ci_low, ci_high = low.low, high.high
        note = "a bound of the difference is the same for every question: its interval is of separate rates"
    return DifferenceBounds(low.difference, high.difference, ci_low, ci_high, as_aligned, as_misaligned, note)


def bounded_interval(
    bounds: tuple[float, float], errors: tuple[float, float], n_questions: int, confidence: float = 0.95
) -> Interval:
    """Imbens and Manski's interval for a value between two estimated bounds, with t for the normal.

    With equal bounds it is the t interval; with distant ones each end is that of a one-sided interval.

    Args:
        bounds: Lower and upper bound, in the units of the value.
        errors: Their standard errors, the larger above 0.
        n_questions: Clusters, at least 2.
    """
    c = _quantile(bounds, errors, n_questions, confidence)
    return Interval(bounds[0] - c * errors[0], bounds[1] + c * errors[1])


def _quantile(
    bounds: tuple[float, float], errors: tuple[float, float], n_questions: int, confidence: float
) -> float:
    """Imbens and Manski's c."""
    df = n_questions - 1
    distance = max(0.0, bounds[1] - bounds[0]) / max(errors)
    ends = stdtrit(df, confidence) - 1, stdtrit(df, 0.5 + confidence / 2) + 1
    return float(optimize.brentq(lambda x: stdtr(df, x + distance) - stdtr(df, -x) - confidence, *ends))


def _ends(arm: ArmAnswers, questions: Sequence[str]) -> _Ends:
    kinds = arm.kinds(Thresholds())
    unknown = kinds.incoherent
    counting = kinds.valid | unknown
    low, high = (arm.count(bad, counting).pairs for bad in (kinds.misaligned, kinds.misaligned | unknown))
    n_unknown = sum(high[q][0] - low[q][0] for q in questions)
    return _Ends([low[q] for q in questions], [high[q] for q in questions], n_unknown)
