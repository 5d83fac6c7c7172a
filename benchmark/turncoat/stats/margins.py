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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from turncoat.errors import UserError
from turncoat.stats.estimates import t_summary
from turncoat.stats.skew import unskewed
from turncoat.stats.t_errors import TError

MarginTest = Literal["equivalence", "non_inferiority"]
Better = Literal["higher", "lower"]
MARGIN_TESTS: tuple[MarginTest, ...] = ("equivalence", "non_inferiority")
BETTER: tuple[Better, ...] = ("higher", "lower")


@dataclass(frozen=True)
class Equivalence:
    """Outcome of two one-sided tests; None where undefined (`note` says why)."""

    difference: float | None  # Mean difference
    margin: float  # Largest difference that counts as "the same"
    alpha: float  # Level of each one-sided test
    n: int  # Values used, NaN values left out
    n_dropped: int
    # Lower end of the (1 - 2 alpha) interval; the test says "equivalent" exactly if it lies within -+ margin
    low: float | None = None
    high: float | None = None  # Upper end
    p_lower: float | None = None  # p of the test of "difference <= -margin"
    p_upper: float | None = None  # p of the test of "difference >= +margin"
    p_value: float | None = None  # The larger of the two
    note: str = ""  # Why there is no test, or empty

    @property
    def equivalent(self) -> bool:
        """True if p < alpha; False means "not shown", never "different"."""
        return self.p_value is not None and self.p_value < self.alpha


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


def equivalence_test(differences: Iterable[float], margin: float, alpha: float = 0.05) -> Equivalence:
    r"""Test that a mean difference is smaller than a margin in either direction (TOST).

    Args:
        differences: Independent differences: one per question (these adapters) or one per training seed (the
            recipe).
        margin: Positive, in the units of the metric; choose it before looking.
        alpha: Level of each of the two one-sided tests.

    Raises:
        UserError: The margin is not positive, alpha not between 0 and 0.5, or a difference infinite.
    """
    check_margin(margin, "equivalence", None)
    if not 0 < alpha < 0.5:
        raise UserError(f"alpha = {alpha!r} must lie between 0 and 0.5, such as 0.05.")
    raw = np.array(list(differences), dtype=float)
    if np.isinf(raw).any():
        raise UserError("differences hold an infinite value; write NaN to have it dropped and counted.")
    values = raw[~np.isnan(raw)]
    n, dropped = len(values), int(np.isnan(raw).sum())
    if n == 0:
        return Equivalence(None, margin, alpha, 0, dropped, note="no difference has a value")
    summary = t_summary(values, 1 - 2 * alpha)
    if summary.se is None or summary.df is None:
        why = (
            "one difference has no spread"
            if n == 1
            else "all differences are the same, so there is no spread"
        )
        return Equivalence(summary.mean, margin, alpha, n, dropped, note=f"{why} to test with")
    ps = one_sided_ps(summary.mean, TError(summary.se, summary.df), margin)
    return Equivalence(summary.mean, margin, alpha, n, dropped, summary.low, summary.high, *ps, max(ps))
