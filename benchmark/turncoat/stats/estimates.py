"""Means over questions with intervals, and exact intervals for counts.

A question is a cluster: the mean over its samples is one observation, and every question has the same weight.
The interval is the t interval over questions, for equal weights the cluster-robust interval with G - 1
degrees of freedom; of a rate it is the exact one on its effective number of trials (`effective_trials`).

References:
    Miller (2024), "Adding Error Bars to Evals", arXiv:2411.00640 (clustered standard errors).
    Bowyer, Aitchison & Ivanova (2025), arXiv:2503.01747 (do not use the CLT on few items or at rates of 0 and
        1).
    Brown, Cai & DasGupta (2001), Statistical Science 16(2) (Clopper-Pearson intervals).
    Korn & Graubard (1998), Survey Methodology 24(2) (exact interval on the effective number of trials).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from turncoat.errors import UserError

ROUNDING = 1e-12  # share of `rounding_scale` below which a spread is floating-point noise, not data

EXACT = "Clopper-Pearson on effective answers"
EXACT_OVER_QUESTIONS = "Clopper-Pearson over questions"


class Interval(NamedTuple):
    """Ends of a confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class TResult:
    """One-sample t summary; None where undefined."""

    mean: float
    n: int
    low: float | None = None
    high: float | None = None
    se: float | None = None
    df: int | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class Estimate:
    """Mean of one metric for one arm."""

    arm: str  # The arm measured
    seed: int | None  # Training seed, -1 for the base model, None for the mean over seeds
    metric: str  # Metric name
    value: float | None  # Mean over questions, None if no question has a value
    low: float | None  # Ends of the interval, None if undefined (`method` says why)
    high: float | None
    se: float | None  # Standard error over questions
    n_questions: int  # Questions in the mean, and NaN values left out
    n_dropped: int
    confidence: float  # Confidence level and name of the interval
    method: str
    n_seeds: int = 1  # Seeds averaged (1 for a row about one seed)


def rounding_scale(values: np.ndarray) -> float:
    """Size that `ROUNDING` is a share of: the range of the values, and what arithmetic at their level loses.

    Means of numbers of size m are exact to some 16 units in the last place (16 x 2.2e-16 m), whatever their
    range: 1e9 with a noise of 1e-3 differs, 0.1 + 0.2 and 0.3 do not. 0 without finite values.
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if not len(known):
        return 0.0
    last_places = 16 * float(np.finfo(float).eps) / ROUNDING
    return float(np.ptp(known)) + last_places * float(np.max(np.abs(known)))


def check_confidence(confidence: float) -> float:
    """The confidence level; UserError unless 0 < confidence < 1."""
    if not 0 < confidence < 1:
        raise UserError(
            f"confidence = {confidence!r} is not a confidence level: give a number between 0 and 1, such as "
            "0.95."
        )
    return float(confidence)


def t_summary(values: np.ndarray, confidence: float = 0.95, scale: float | None = None) -> TResult:
    r"""One-sample t summary: mean, SE = sd / sqrt(n), interval and p of "the mean is 0".

    Without any spread (n >= 2 equal values) `se`, the interval and `p_value` are None.

    Args:
        values: Finite values, shape (n,), n >= 1.
        scale: `rounding_scale` of the numbers behind `values`; default that of `values`.

    References:
        Student (1908), Biometrika 6(1).
    """
    n = len(values)
    mean = float(np.mean(values))
    if n < 2:
        return TResult(mean, n)
    sd = float(np.std(values, ddof=1))
    if sd <= ROUNDING * (rounding_scale(values) if scale is None else scale):
        return TResult(mean, n, df=n - 1)
    se = sd / float(np.sqrt(n))
    half = float(special.stdtrit(n - 1, 0.5 + confidence / 2)) * se
    p_value = 2 * float(special.stdtr(n - 1, -abs(mean) / se))
    return TResult(mean, n, mean - half, mean + half, se, n - 1, p_value)


def estimate_mean(
    values_by_question: pd.Series,
    confidence: float = 0.95,
    *,
    arm: str = "",
    seed: int | None = None,
    metric: str = "",
    rate: bool = False,
    n_seeds: int = 1,
) -> Estimate:
    r"""Estimate the mean of a metric with the question as the sampling unit.

    value = (1/G) sum_q y_q,  se = sd(y) / sqrt(G),  interval = value -+ t_{G-1} se.

    A rate has the exact interval on `effective_trials`, which is valid near 0 and 1 too.

    Args:
        values_by_question: One value per question (mean over its samples, and over seeds if there are
            several); NaN is dropped.
        rate: True if the metric is a share between 0 and 1.

    Example:
        >>> result = estimate_mean(pd.Series({"q1": 1.0, "q2": 2.0, "q3": 3.0}))
        >>> result.value, round(result.se, 4), result.n_questions
        (2.0, 0.5774, 3)
    """
    check_confidence(confidence)
    raw = np.asarray(values_by_question, dtype=float)
    if np.isinf(raw).any():
        raise UserError(
            f"metric '{metric}' of arm '{arm}' holds an infinite value; write NaN to have it left out."
        )
    values = raw[~np.isnan(raw)]
    if rate and len(values) and (values.min() < -ROUNDING or values.max() > 1 + ROUNDING):
        raise UserError(
            f"metric '{metric}' of arm '{arm}' is called a rate but runs from {values.min():g} to "
            f"{values.max():g}, not 0 to 1."
        )
    dropped = len(raw) - len(values)

    def result(
        value: float | None, low: float | None, high: float | None, se: float | None, method: str
    ) -> Estimate:
        return Estimate(
            arm, seed, metric, value, low, high, se, len(values), dropped, confidence, method, n_seeds
        )

    if len(values) == 0:
        return result(None, None, None, None, "undefined: no question has a value")
    summary = t_summary(values, confidence)
    if rate and (summary.n > 1 or values[0] in (0, 1)):
        touched = (int(np.sum(values > ROUNDING)), int(np.sum(values < 1 - ROUNDING)))
        share = min(max(summary.mean, 0.0), 1.0)
        between = (summary.n, np.inf)
        n = effective_trials(share, summary.se, rare_df(touched, summary.n), between, confidence)
        ends = exact_interval(share * n, n, confidence)
        return result(
            summary.mean, ends.low, ends.high, summary.se, EXACT if summary.se else EXACT_OVER_QUESTIONS
        )
    if summary.n < 2:
        return result(summary.mean, None, None, None, "no interval: a single question")
    if summary.low is None:
        return result(summary.mean, None, None, None, "no interval: all questions have the same value")
    method = "t over questions" if n_seeds == 1 else "t over questions, seeds averaged within each question"
    return result(summary.mean, summary.low, summary.high, summary.se, method)


def _count_iv(successes: int, n: int, confidence: float) -> tuple[int, int, float]:
    if n < 1 or int(n) != n:
        raise UserError(f"n = {n!r}: an interval for a share needs at least one trial, as a whole number.")
    if not 0 <= successes <= n or int(successes) != successes:
        raise UserError(f"successes = {successes!r} must be a whole number from 0 to n = {n}.")
    return int(successes), int(n), check_confidence(confidence)


def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Exact two-sided interval for a share of `n` independent trials.

    References:
        Clopper & Pearson (1934), Biometrika 26(4).
    """
    return exact_interval(*_count_iv(successes, n, confidence))


def exact_interval(successes: float, n: float, confidence: float = 0.95) -> Interval:
    """Clopper and Pearson's interval, also for effective numbers, which are not whole."""
    tail, failures = (1 - confidence) / 2, n - successes
    low = float(special.betaincinv(successes, failures + 1, tail)) if successes > 0 else 0.0
    high = float(special.betainccinv(successes + 1, failures, tail)) if failures > 0 else 1.0
    return Interval(low, high)


def effective_trials(
    share: float, se: float | None, df: float, between: tuple[float, float], confidence: float = 0.95
) -> float:
    """Number of independent trials that would give a share as precise as this standard error does.

    n = share (1 - share) / SE^2 (z / t_df)^2, no fewer than the clusters (as if a cluster's trials were all
    alike) and no more than the trials.

    Args:
        share: The share, 0 to 1.
        se: Its standard error, clusters as units; None without spread, where each cluster counts once.
        between: Clusters and trials.
    """
    if not se:
        return between[0]
    quantile = 0.5 + confidence / 2
    known = float(special.ndtri(quantile) / special.stdtrit(df, quantile)) ** 2
    return float(min(max(share * (1 - share) / se**2 * known, between[0]), between[1]))


def rare_df(touched: tuple[int, int], clusters: int) -> int:
    """Degrees of freedom of a share's standard error: rare events come from few clusters.

    These alone say how much clusters differ, so they are counted: with an event or with a non-event,
    whichever are fewer, at most `clusters` - 1.

    Its coverage, beside that of the t interval: `turncoat.tools.calibrate_rates`, the README of this folder.
    """
    return max(1, min(*touched, clusters - 1))


def zero_events_upper(n: int, confidence: float = 0.95) -> float:
    """Exact one-sided upper bound on a share after 0 events in `n` independent trials: 1 - alpha^(1/n).

    References:
        Hanley & Lippman-Hand (1983), JAMA 249(13) (the rule of three).
    """
    _, n, confidence = _count_iv(0, n, confidence)
    return float(-np.expm1(np.log1p(-confidence) / n))
