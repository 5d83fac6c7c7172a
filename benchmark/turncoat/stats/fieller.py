"""How much of a gain is left: the ratio of two gains over the same base, with Fieller's interval over questions.

gains = base minus arm (a loss, so down means learnt); share = mean gain of the arm / mean gain of its reference

A ratio of means has no interval of its own where the denominator may be 0; Fieller's is exact for normal means, and where it
would run to infinity the share is called undefined, with the reason in words.

References:
    Fieller (1954), JRSS B 16(2).
    Franz (2007), arXiv:0710.2024 (geometry, and when the interval is unbounded).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from turncoat.stats.estimates import ROUNDING, t_summary


@dataclass(frozen=True)
class KeptShare:
    """The share of a reference's gain that an arm has.

    Attributes:
        value: The share (1 = all of it), None where it is undefined.
        low: Lower end of Fieller's interval, None where there is none.
        high: Upper end of it.
        n_questions: Questions with a gain of both.
        note: Why something is missing; "" if nothing is.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n_questions: int = 0
    note: str = ""


def differences(treated: pd.DataFrame, reference: pd.DataFrame) -> pd.Series:
    """Treated minus reference per question, seeds averaged: the pairing of `turncoat.stats.contrasts`.

    Args:
        treated: Values, one row per question and one column per training seed (`turncoat.stats.scores.Grid.values`).
        reference: The same of the other arm.
    """
    if list(treated.columns) == list(reference.columns):
        return (treated - reference).mean(axis=1).dropna()
    return (treated.mean(axis=1) - reference.mean(axis=1)).dropna()


def kept_share(base: pd.DataFrame, arm: pd.DataFrame, reference: pd.DataFrame, confidence: float = 0.95) -> KeptShare:
    """(base - arm) / (base - reference), each averaged over the questions that all three have.

    Args:
        base: Losses before any finetuning, questions by seeds.
        arm: Losses of the arm.
        reference: Losses of the undefended arm.
        confidence: Level of the interval.

    Returns:
        A share that is undefined where the reference's own gain is not above 0 at this level.
    """
    if list(arm.columns) == list(reference.columns):  # an answer lost in one must not unbalance the seeds
        lost = arm.isna() | reference.isna()
        arm, reference = arm.mask(lost), reference.mask(lost)
    gains = pd.DataFrame({"arm": differences(base, arm), "reference": differences(base, reference)}).dropna()
    return ratio_of_means(gains["arm"].to_numpy(float), gains["reference"].to_numpy(float), confidence)


def ratio_of_means(top: np.ndarray, bottom: np.ndarray, confidence: float = 0.95) -> KeptShare:
    """Fieller's interval for mean(top) / mean(bottom) from paired values.

    The interval holds every share s for which mean(top - s bottom) is not significantly different from 0.

    Args:
        top: Shape (questions,).
        bottom: Shape (questions,), of the same questions.
        confidence: Level of the interval.
    """
    n = len(bottom)
    if n < 2:
        return KeptShare(n_questions=n, note=f"{n} question(s) in common; a share needs at least 2")
    own = t_summary(bottom, confidence)
    if own.mean <= 0 or (own.low is not None and own.low <= 0):
        seen = f"{own.mean:+.3g}" + (f", {100 * confidence:g}% CI {own.low:+.3g} to {own.high:+.3g}" if own.se else "")
        return KeptShare(n_questions=n, note=f"the undefended arm's own gain is not above 0 ({seen})")
    x, y = float(np.mean(top)), float(np.mean(bottom))
    share = x / y
    left = top - share * bottom
    if float(np.max(np.abs(left))) <= ROUNDING * float(np.max(np.abs(top)) + np.max(np.abs(bottom))):
        return KeptShare(share, n_questions=n, note="no interval: the share is the same on every question")
    cov = np.cov(top, bottom, ddof=1) / n
    t2 = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) ** 2
    a, b, c = y * y - t2 * cov[1, 1], x * y - t2 * cov[0, 1], x * x - t2 * cov[0, 0]
    root = math.sqrt(max(b * b - a * c, 0.0))
    return KeptShare(share, (b - root) / a, (b + root) / a, n)
