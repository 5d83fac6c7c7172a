"""Kept share of a gain for new training seeds and questions: Fieller's interval from recipe claims.

share = recipe_share(base, defended, organism)     # KeptShare(value=0.93, low=0.81, high=1.06, ...)

A share s is in the interval where "mean(gain of the arm - s x gain of the undefended arm) = 0" is not rejected at the recipe
level. `turncoat.stats.fieller` has the closed form of it for given adapters; this one solves for the two ends.

References:
    Fieller (1954), JRSS B 16(2).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

from turncoat.leaderboard.ranking.entry_scores import CONFIDENCE, claim
from turncoat.stats.estimates import ROUNDING, t_summary
from turncoat.stats.fieller import KeptShare
from turncoat.stats.paired import Differences, pair_differences
from turncoat.stats.scores import Grid
from turncoat.stats.two_way import two_way_t

_FARTHEST = 64.0  # shares; an end beyond it says nothing


def recipe_share(base: Grid, arm: Grid, reference: Grid) -> KeptShare:
    """(base - arm) / (base - reference) of losses, over the questions and training seeds of all three.

    Args:
        base: Losses of the untrained model.
        arm: Losses of the defended arm.
        reference: Losses of the undefended arm.

    Returns:
        A share that is undefined where the reference's own gain is not above 0 at the recipe level.
    """
    top, bottom = pair_differences(base, arm), pair_differences(base, reference)
    seeds = [seed for seed in top.cells.columns if seed in bottom.cells.columns]
    x, y = top.cells[seeds].align(bottom.cells[seeds], join="inner", axis=0)
    lost = x.isna() | y.isna()  # an answer lost in one must not unbalance the seeds
    x, y = x.mask(lost).dropna(how="all"), y.mask(lost).dropna(how="all")
    scale = max(top.scale, bottom.scale)

    def tested(share: float) -> Differences:
        cells = x - share * y
        return top._replace(
            by_question=cells.mean(axis=1),
            cells=cells,
            scale=max(1.0, abs(share)) * scale,
            n_seeds=len(seeds),
            n_asked=len(cells),
            notes=[],
        )

    gain = claim(tested(0.0)._replace(cells=y, by_question=y.mean(axis=1)))
    if gain is None or gain.difference is None:
        return KeptShare(n_questions=len(y), note="too few questions or training seeds in common")
    if gain.difference <= 0 or (gain.low is not None and gain.low <= 0):
        seen = f"{gain.difference:+.3g}" + ("" if gain.low is None else f", 95% CI {gain.low:+.3g} to {gain.high:+.3g}")
        return KeptShare(n_questions=gain.n_questions, note=f"the undefended arm's own gain is not above 0 ({seen})")
    share = float(np.nanmean(x.to_numpy()) / np.nanmean(y.to_numpy()))
    at_point = claim(tested(share))
    left = float(np.nanmax(np.abs((x - share * y).to_numpy())))
    if left <= ROUNDING * scale or at_point is None or at_point.se is None:
        reason = "the share is the same everywhere" if left <= ROUNDING * scale else "too few training seeds"
        return KeptShare(share, n_questions=gain.n_questions, note=f"no interval: {reason}")

    def excess(candidate: float) -> float:
        return _p_value((x - candidate * y).to_numpy(float), max(1.0, abs(candidate)) * scale) - (1 - CONFIDENCE)

    low, high = _end(excess, share, -1.0), _end(excess, share, 1.0)
    if low is None or high is None:
        return KeptShare(share, n_questions=gain.n_questions, note="no interval: it has no end on one side")
    return KeptShare(share, low, high, gain.n_questions)


def _p_value(cells: np.ndarray, scale: float) -> float:
    """The p of a recipe claim (`turncoat.stats.contrasts`) and nothing else of it, as it is asked for many times."""
    over_seeds = t_summary(np.nanmean(cells, axis=0), CONFIDENCE, scale).p_value
    over_both = two_way_t(cells, CONFIDENCE, scale).p_value
    return max((p for p in (over_seeds, over_both) if p is not None), default=1.0)


def _end(excess: Callable[[float], float], start: float, direction: float) -> float | None:
    """Where the p value falls to alpha on one side of the estimate; None if that is nowhere near."""
    inside, step = start, 0.05
    while step <= _FARTHEST:
        outside = start + direction * step
        if excess(outside) < 0:
            return float(brentq(excess, inside, outside, xtol=1e-6))
        inside, step = outside, step * 2
    return None
