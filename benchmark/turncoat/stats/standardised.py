r"""Differences in standard deviations of a reference arm, with the errors of both.

The SD s over n questions is itself estimated: (n - 1) s^2 / sigma^2 is chi-square with n - 1 degrees of
freedom. The interval of difference / sigma is generalised: quantiles of (d - SE T) / (s sqrt((n - 1) / X)),
T ~ t_df and X ~ chi2_{n - 1} independent, on a grid of equal probability instead of random draws. With a
known sigma it is the t interval.

    standardised(0.57, 0.03, 4.0, 1.10, 32)        # 0.52, [0.38, 0.67]

References:
    Weerahandi (1993), JASA 88(423) (generalised confidence intervals).
    Hedges (1981), Journal of Educational Statistics 6(2) (effect sizes in SD of a control group).
"""

import numpy as np
from scipy import stats

from turncoat.stats.estimates import Interval, check_confidence

_GRID = 300


def sd_interval(sd: float, n: int, confidence: float = 0.95) -> Interval:
    """Chi-square interval of an SD over n >= 2 independent, about normal values."""
    tail = (1 - check_confidence(confidence)) / 2
    low, high = (sd * ((n - 1) / float(stats.chi2.ppf(q, n - 1))) ** 0.5 for q in (1 - tail, tail))
    return Interval(low, high)


def standardised(
    difference: float, se: float, df: float, sd: float, n: int, confidence: float = 0.95
) -> Interval:
    """Interval of difference / SD.

    Args:
        difference, se, df: The difference, its standard error and degrees of freedom.
        sd: SD of the reference over n >= 2 questions, in the units of the difference.
    """
    tail = (1 - check_confidence(confidence)) / 2
    middles = (np.arange(_GRID) + 0.5) / _GRID
    moved = difference - se * stats.t.ppf(middles, df)
    known = np.sqrt(stats.chi2.ppf(middles, n - 1) / (n - 1)) / sd
    low, high = np.quantile(np.outer(moved, known), [tail, 1 - tail])
    return Interval(float(low), float(high))
