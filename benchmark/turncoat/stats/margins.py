r"""Tests against a margin that is fixed before the data are seen: equivalence (TOST) and non-inferiority.

"Not significant" shows no equality. To say "comparable", two one-sided tests must put the difference inside
the margin:

    equivalence:      p = max( P(T > (d + m) / se),  P(T < (d - m) / se) )
    non-inferiority:  p = P(T > (d + m) / se) if higher is better, P(T < (d - m) / se) if lower is,  T ~ t_df

Both nulls exclude "the difference is 0", so a contrast's margin test and its ordinary test cannot both be
false rejections (`turncoat.stats.corrections.holm_exclusive`).

    margin_p(0.01, [TError(0.01, 30)], 0.03, "equivalence") < 0.05

References:
    Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15(6) (two one-sided tests).
    Piaggio et al. (2012), JAMA 308(24) (CONSORT for non-inferiority and equivalence trials).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import stats

from turncoat.errors import UserError
from turncoat.stats.skew import unskewed
from turncoat.stats.t_errors import TError

MarginTest = Literal["equivalence", "non_inferiority"]
Better = Literal["higher", "lower"]
MARGIN_TESTS: tuple[MarginTest, ...] = ("equivalence", "non_inferiority")
BETTER: tuple[Better, ...] = ("higher", "lower")


def check_margin(margin: float, test: str, better: str | None) -> None:
    """Raise UserError unless the three make a margin test."""
    if not (np.isfinite(margin) and margin > 0):
        raise UserError(
            f"margin = {margin!r} must be a positive number in the units of the metric, such as 0.03 for "
            "three points of a rate."
        )
    if test not in MARGIN_TESTS:
        raise UserError(f"margin test {test!r} is unknown; choose one of {', '.join(MARGIN_TESTS)}.")
    if test == "non_inferiority" and better not in BETTER:
        raise UserError(
            f"better = {better!r}: non-inferiority needs to know which way is better, {' or '.join(BETTER)}."
        )


def one_sided_ps(difference: float, error: TError, margin: float) -> tuple[float, float]:
    """p of the tests of "difference <= -margin" and of "difference >= +margin", allowing for skew."""
    up, down = (difference + margin) / error.se, (difference - margin) / error.se
    above = max(float(stats.t.sf(t, error.df)) for t in (up, unskewed(up, error.skew)))
    below = max(float(stats.t.cdf(t, error.df)) for t in (down, unskewed(down, error.skew)))
    return above, below


def margin_p(
    difference: float, errors: Sequence[TError], margin: float, test: MarginTest, better: Better | None = None
) -> float | None:
    """p of the margin test, the largest over the errors of the claim; None without an error.

    Args:
        errors: Standard errors with their degrees of freedom (`Contrast.errors`).
        margin: Positive, in the units of the metric.
        better: Direction that is better, for non-inferiority.
    """
    check_margin(margin, test, better)
    p_values = []
    for error in errors:
        above, below = one_sided_ps(difference, error, margin)
        p_values.append(
            max(above, below) if test == "equivalence" else above if better == "higher" else below
        )
    return max(p_values, default=None)
