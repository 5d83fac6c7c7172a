"""Noise between training seeds that cancels in treated minus control."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from turncoat.stats.estimates import ROUNDING, rounding_scale
from turncoat.stats.scores import Grid


@dataclass(frozen=True)
class SeedNoise:
    """Noise between training seeds, with and without the pairing of arms; None where undefined."""

    n_seeds: int  # Training seeds shared by both arms
    sd_treated: float | None = None  # SD over seeds of each arm's mean
    sd_control: float | None = None
    sd_paired: float | None = None  # SD over seeds of treated_s - control_s
    # SD that a difference between unrelated seeds would have: sqrt(var treated + var control)
    sd_unpaired: float | None = None
    # sd_paired^2 / sd_unpaired^2: 0 means all seed noise cancels, 1 means pairing does nothing
    variance_ratio: float | None = None
    note: str = ""  # How far this can be trusted, in words
    # Pooled SD of the mismatched differences treated_s - control_s', s != s'
    sd_mismatched: float | None = None


def seed_noise(treated: Grid, control: Grid) -> SeedNoise:
    r"""Seed noise of matched pairs (same prompts, order, initialisation) against that of mismatched ones.

    With T_s, C_s the means over the questions that have a value in both arms at every shared seed:

    * paired:      var(T - C) = var(T) + var(C) - 2 cov(T, C), over the n matched seeds.
    * mismatched:  shift the controls by k seeds, k = 1 ... n-1, take the variance (n - 1 df) of each set of n
      differences, and average:
      sum_{s != s'} (T_s - C_s' - mean)^2 / (n - 1)^2 = var(T) + var(C) + 2 cov(T, C) / (n - 1).
    * unpaired:    var(T) + var(C): the mismatched variance without its last term, which flatters the pairing,
      most of all with 2 seeds.
    """
    shared = [seed for seed in treated.seeds if seed in control.seeds]
    n = len(shared)
    if n < 2:
        return SeedNoise(n, note=f"{n} shared training seed(s): a spread between seeds needs at least 2")
    complete = pd.concat([treated.values[shared], control.values[shared]], axis=1).dropna().index
    if complete.empty:
        return SeedNoise(n, note="no question has a value in both arms at every shared seed")
    t = treated.values.loc[complete, shared].mean(axis=0).to_numpy()
    c = control.values.loc[complete, shared].mean(axis=0).to_numpy()
    paired = float(np.var(t - c, ddof=1))
    unpaired = float(np.var(t, ddof=1) + np.var(c, ddof=1))
    mismatched = float(np.mean([np.var(t - np.roll(c, shift), ddof=1) for shift in range(1, n)]))
    noise = ROUNDING * rounding_scale(np.concatenate([t, c]))
    ratio = paired / unpaired if unpaired > noise**2 else None
    if ratio is None:
        note = "the seeds do not differ at all, so there is no seed noise to cancel"
    else:
        low, high = cancelled_share(float(np.var(t + c, ddof=1)), paired, n)
        verb = f"cancels {1 - ratio:.0%}" if ratio <= 1 else f"adds {ratio - 1:.0%}"
        note = (
            f"pairing {verb} of the seed variance; {n} seeds allow for anything from {_effect(low)} to "
            f"{_effect(high)} (95% interval)"
        )
    sd_treated, sd_control = float(np.std(t, ddof=1)), float(np.std(c, ddof=1))
    return SeedNoise(n, sd_treated, sd_control, paired**0.5, unpaired**0.5, ratio, note, mismatched**0.5)


def cancelled_share(
    var_sum: float, var_difference: float, n: int, confidence: float = 0.95
) -> tuple[float, float]:
    r"""Exact interval of the share of the seed variance that pairing cancels: 2 cov(T, C) / (var T + var C).

    In arms of one variance the share is their correlation r, T + C and T - C are independent, and
    (var(T + C) / var(T - C)) / ((1 + r) / (1 - r)) follows F with n - 1 and n - 1 degrees of freedom.

    Args:
        var_sum, var_difference: Sample variances of T + C and of T - C over the n shared seeds.
    """
    quantile = float(stats.f.isf((1 - confidence) / 2, n - 1, n - 1))

    def share(odds: float, per: float) -> float:
        return (odds - per) / (odds + per)

    return share(var_sum, quantile * var_difference), share(var_sum * quantile, var_difference)


def _effect(share: float) -> str:
    return f"cancelling {share:.0%}" if share >= 0 else f"adding {-share:.0%}"
