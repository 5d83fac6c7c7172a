"""Share of a gain that an arm keeps: a ratio of two gains over the same base, with Fieller's interval.

    share = mean gain of the arm / mean gain of the reference,    gain = loss of the base - loss of the arm

    kept_share(grid(scores, "base", "loss"), grid(scores, "defended", "loss"), grid(scores, "organism",
    "loss"), "adapters")

A ratio of means has no interval where its denominator may be 0: there the share is undefined, and `note` says
why.

References:
    Fieller (1954), JRSS B 16(2).
    Franz (2007), arXiv:0710.2024 (geometry, and when the interval is unbounded).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import brentq

from turncoat.stats.contrasts import Claim, Contrast, TooFewQuestions, filled_contrast
from turncoat.stats.estimates import ROUNDING, rounding_scale, t_summary
from turncoat.stats.paired import Differences, pair_differences
from turncoat.stats.scores import Grid
from turncoat.stats.two_way import two_way_t

_FARTHEST = 64.0  # shares; an interval that ends beyond it is given as none


@dataclass(frozen=True)
class KeptShare:
    """Share of the reference's gain that an arm has."""

    value: float | None = None  # The share (1 = all of it); None where undefined
    low: float | None = None  # Ends of the interval; None where there is none
    high: float | None = None
    n_questions: int = 0  # Questions with a gain of both
    note: str = ""  # Why something is missing; "" if nothing is


def kept_share(base: Grid, arm: Grid, reference: Grid, claim: Claim, confidence: float = 0.95) -> KeptShare:
    """(base - arm) / (base - reference), over the questions that all three have.

    The interval holds every share s for which "mean(gain of the arm - s x gain of the reference) = 0" is not
    rejected by the test of the claim. For `adapters` that is Fieller's closed form; for `recipe`, whose p is
    the larger of two, the ends are found numerically.

    Args:
        base, arm, reference: Losses before any finetuning, of the defended and of the undefended arm.

    Returns:
        A share that is undefined where the reference's own gain is not above 0 at this level.
    """
    if claim == "recipe":
        return _recipe_share(base, arm, reference, confidence)
    if list(arm.values.columns) == list(
        reference.values.columns
    ):  # an answer lost in one must not unbalance the seeds
        lost = arm.values.isna() | reference.values.isna()
        arm, reference = (side._replace(values=side.values.mask(lost)) for side in (arm, reference))
    gains = pd.DataFrame(
        {side.arm: pair_differences(base, side).by_question for side in (arm, reference)}
    ).dropna()
    return ratio_of_means(gains[arm.arm].to_numpy(float), gains[reference.arm].to_numpy(float), confidence)


def ratio_of_means(top: np.ndarray, bottom: np.ndarray, confidence: float = 0.95) -> KeptShare:
    """Fieller's interval for mean(top) / mean(bottom) from paired values."""
    n = len(bottom)
    if n < 2:
        return KeptShare(n_questions=n, note=f"{n} question(s) in common; a share needs at least 2")
    gain = t_summary(bottom, confidence)
    if gain.mean <= 0 or (gain.low is not None and gain.low <= 0):
        return KeptShare(n_questions=n, note=_no_gain(gain.mean, gain.low, gain.high, confidence))
    x, y = float(np.mean(top)), float(np.mean(bottom))
    share = x / y
    rest = top - share * bottom
    if float(np.max(np.abs(rest))) <= ROUNDING * rounding_scale(np.concatenate([top, bottom])):
        return KeptShare(share, n_questions=n, note="no interval: the share is the same on every question")
    cov = np.cov(top, bottom, ddof=1) / n
    t2 = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) ** 2
    a, b, c = y * y - t2 * cov[1, 1], x * y - t2 * cov[0, 1], x * x - t2 * cov[0, 0]
    root = math.sqrt(max(b * b - a * c, 0.0))
    return KeptShare(share, (b - root) / a, (b + root) / a, n)


def _no_gain(mean: float, low: float | None, high: float | None, confidence: float) -> str:
    interval = "" if low is None else f", {100 * confidence:g}% CI {low:+.3g} to {high:+.3g}"
    return f"the undefended arm's own gain is not above 0 ({mean:+.3g}{interval})"


def _recipe_share(base: Grid, arm: Grid, reference: Grid, confidence: float) -> KeptShare:
    top, bottom = pair_differences(base, arm), pair_differences(base, reference)
    seeds = [seed for seed in top.cells.columns if seed in bottom.cells.columns]
    x, y = top.cells[seeds].align(bottom.cells[seeds], join="inner", axis=0)
    lost = x.isna() | y.isna()
    x, y = x.mask(lost).dropna(how="all"), y.mask(lost).dropna(how="all")
    scale = max(top.scale, bottom.scale)

    def contrast(cells: pd.DataFrame, factor: float) -> Contrast | None:
        differences = Differences(
            by_question=cells.mean(axis=1), cells=cells, matched=top.matched, n_seeds=len(seeds),
            n_asked=len(cells), n_dropped=top.n_dropped, scale=max(1.0, abs(factor)) * scale, notes=[],
        )  # fmt: skip
        try:
            return filled_contrast(
                Contrast("", "", "recipe", "gain", "its reference"), differences, confidence, None
            )
        except TooFewQuestions:
            return None

    gain = contrast(y, 0.0)
    if gain is None or gain.difference is None:
        return KeptShare(n_questions=len(y), note="too few questions or training seeds in common")
    n = gain.n_questions
    if gain.difference <= 0 or (gain.low is not None and gain.low <= 0):
        return KeptShare(n_questions=n, note=_no_gain(gain.difference, gain.low, gain.high, confidence))
    share = float(np.nanmean(x.to_numpy()) / np.nanmean(y.to_numpy()))
    if float(np.nanmax(np.abs((x - share * y).to_numpy()))) <= ROUNDING * scale:
        return KeptShare(share, n_questions=n, note="no interval: the share is the same everywhere")
    at_share = contrast(x - share * y, share)
    if at_share is None or at_share.se is None:
        return KeptShare(share, n_questions=n, note="no interval: too few training seeds")

    def excess(candidate: float) -> float:
        cells = (x - candidate * y).to_numpy(float)
        return _recipe_p(cells, max(1.0, abs(candidate)) * scale, confidence) - (1 - confidence)

    low, high = _end(excess, share, -1.0), _end(excess, share, 1.0)
    if low is None or high is None:
        return KeptShare(share, n_questions=n, note="no interval: it has no end on one side")
    return KeptShare(share, low, high, n)


def _recipe_p(cells: np.ndarray, scale: float, confidence: float) -> float:
    """The p of a recipe claim alone, as it is computed for many candidates."""
    over_seeds = t_summary(np.nanmean(cells, axis=0), confidence, scale).p_value
    over_questions = t_summary(np.nanmean(cells, axis=1), confidence, scale).p_value
    over_both = two_way_t(cells, confidence, scale).p_value
    return max((p for p in (over_seeds, over_questions, over_both) if p is not None), default=1.0)


def _end(excess: Callable[[float], float], start: float, direction: float) -> float | None:
    """The bound on one side of the estimate: the p value is alpha there; None if beyond `_FARTHEST`."""
    inside, step = start, 0.05
    while step <= _FARTHEST:
        outside = start + direction * step
        if excess(outside) < 0:
            return float(brentq(excess, inside, outside, xtol=1e-6))
        inside, step = outside, step * 2
    return None
