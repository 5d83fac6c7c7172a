"""Power of the two-sided t test: detectable effects, and how well an SD between seeds is known.

Under a true effect delta the statistic is noncentral t with noncentrality delta / se. Nothing here looks at
an observed effect: "observed power" restates the p value.

References:
    Cohen (1988), Statistical Power Analysis for the Behavioral Sciences.
    Hoenig & Heisey (2001), The American Statistician 55(1) (observed power is not evidence).
"""

import numpy as np
from scipy import optimize, stats

from turncoat.errors import UserError
from turncoat.stats.estimates import Interval, check_confidence


def _power_iv(alpha: float, power: float) -> None:
    if not 0 < alpha < 1:
        raise UserError(f"alpha = {alpha!r} must lie between 0 and 1, such as 0.05.")
    if not alpha < power < 1:
        raise UserError(f"power = {power!r} must lie between alpha = {alpha} and 1, such as 0.8.")


def _sd_iv(seed_sd: float) -> float:
    if not (np.isfinite(seed_sd) and seed_sd > 0):
        raise UserError(
            f"seed_sd = {seed_sd!r} must be positive: without a spread between seeds nothing can be planned."
        )
    return float(seed_sd)


def t_test_power(noncentrality: float, df: float, alpha: float = 0.05) -> float:
    """Power of the two-sided t test: P(|T| > t_{1-alpha/2, df}) for T noncentral t."""
    critical = float(stats.t.isf(alpha / 2, df))
    # The lower tail by its mirror image: scipy's nct.cdf(-critical, df, noncentrality) is NaN for many
    # values from about 5 on.
    return float(stats.nct.sf(critical, df, noncentrality) + stats.nct.sf(critical, df, -noncentrality))


def detectable_effect(se: float, df: float, alpha: float = 0.05, power: float = 0.8) -> float:
    r"""Smallest true effect that a two-sided t test with this standard error rejects with the wanted power.

    Solves  P(|T_{df}(delta / se)| > t_{1-alpha/2, df}) = power  for delta; about 2.80 se for large df,
    alpha = 0.05 and power = 0.8.

    Args:
        se: Standard error of the estimate, > 0, in the units of the metric.
        df: Degrees of freedom, >= 1.

    Returns:
        The effect, positive, in the units of `se`.
    """
    _power_iv(alpha, power)
    if not (np.isfinite(se) and se > 0):
        raise UserError(f"se = {se!r} must be a positive number.")
    if not df >= 1:
        raise UserError(f"df = {df!r} must be at least 1: one observation has no standard error.")
    critical = float(stats.t.isf(alpha / 2, df))
    # T = (Z + shift) / sqrt(V / df). With shift = critical * sqrt(v / df) + z, the events V <= v and Z >=
    # -z, each given probability (1 + power) / 2, put T above the critical value with probability (1 +
    # power)^2 / 4 >= power: this end is past the root.
    far = critical * float(np.sqrt(stats.chi2.ppf(0.5 + power / 2, df) / df)) + float(
        stats.norm.ppf(0.5 + power / 2)
    )
    root = optimize.brentq(lambda shift: t_test_power(shift, df, alpha) - power, 0.0, far, xtol=1e-10)
    return float(root) * float(se)


def seed_sd_interval(seed_sd: float, n_seeds: int, confidence: float = 0.95) -> Interval:
    r"""Chi-square interval for the true SD between seeds: s sqrt((n-1) / chi2_{1-a/2 ... a/2}).

    An SD from 2 seeds is unreliable (0.45 s to 32 s). Assumes normal seed effects.

    References:
        Snedecor & Cochran (1989), Statistical Methods, 8th ed., section 5.11.
    """
    sd = _sd_iv(seed_sd)
    confidence = check_confidence(confidence)
    if n_seeds < 2:
        raise UserError(f"n_seeds = {n_seeds!r}: an SD needs at least 2 seeds.")
    df = n_seeds - 1
    tail = (1 - confidence) / 2
    return Interval(
        sd * float(np.sqrt(df / stats.chi2.isf(tail, df))), sd * float(np.sqrt(df / stats.chi2.ppf(tail, df)))
    )
