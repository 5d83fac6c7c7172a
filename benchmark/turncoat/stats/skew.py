r"""t test of a mean that allows for skewed differences, by Hall's transformation.

With T = mean / se over n values of sample skewness g, and a = g / sqrt(n), the first Edgeworth term of T is
taken out by a cubic that never falls:

    T* = T + a (2 T^2 + 1) / 6 + a^2 T^3 / 27,      compared with t_{n-1}

Without the last term this is Johnson's modified t. It corrects to the order of a studentised bootstrap
without random numbers; `turncoat stats calibrate` shows how often it rejects true nulls, beside the t test.

No test of a mean keeps its level for every distribution: of questions that matter and were not drawn a sample
shows nothing (Bahadur & Savage 1956, Annals of Mathematical Statistics 27(4)).

    skew_p(0.2, 0.07, 23, standardised_skew(differences))

References:
    Hall (1992), JRSS B 54(1) (removal of skewness by transformation).
    Johnson (1978), JASA 73(363) (modified t).
"""

import numpy as np
from scipy import special

Values = float | np.ndarray


def standardised_skew(values: np.ndarray) -> float:
    """Sample skewness (bias-corrected, as Fisher's G1) over sqrt(n); 0 below 3 values or without a spread."""
    n = len(values)
    if n < 3 or float(np.ptp(values)) == 0:
        return 0.0
    rest = values - values.mean()
    g1 = float((rest**3).mean()) / float((rest**2).mean()) ** 1.5
    return g1 * (n - 1) ** 0.5 / (n - 2)  # G1 = g1 sqrt(n (n - 1)) / (n - 2)


def unskewed(t: Values, skew: Values) -> Values:
    """Hall's T* of a t statistic, elementwise.

    Args:
        skew: `standardised_skew` of the values behind it.

    Example:
        >>> unskewed(2.0, 0.0), round(unskewed(-2.0, 0.3), 3)
        (2.0, -1.577)
    """
    return t + skew * (2 * t * t + 1) / 6 + skew**2 * t**3 / 27


def skew_p(difference: float, se: float, df: float, skew: float) -> float:
    """Two-sided p of "the mean is 0", the larger of the t test's and the transformed one's."""
    t = difference / se
    moved = unskewed(t, skew)
    one_sided = special.stdtr(df, -moved if t > 0 else moved)
    return float(min(1.0, 2 * max(special.stdtr(df, -abs(t)), one_sided)))
