r"""Tests against a margin that is fixed before the data are seen: equivalence (TOST) and non-inferiority.

"Not significant" shows no equality. To say "comparable", two one-sided tests must put the difference inside the margin:

    equivalence:      p = max( P(T > (d + m) / se),  P(T < (d - m) / se) )
    non-inferiority:  p = P(T > (d + m) / se) where higher is better, P(T < (d - m) / se) where lower is,    T ~ t_df

The alternatives are |difference| < m, and "worse by less than m". Both nulls exclude "the difference is 0", so a contrast's
margin test and its ordinary test cannot both be false rejections (`turncoat.stats.corrections.holm_exclusive`).

    margin_p(0.01, [TError(0.01, 30)], 0.03, "equivalence") < 0.05

References:
    Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15(6) (two one-sided tests).
    Piaggio et al. (2012), JAMA 308(24) (CONSORT for non-inferiority and equivalence trials).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from turncoat.errors import UserError
from turncoat.stats.estimates import t_summary
from turncoat.stats.t_errors import TError

MarginTest = Literal["equivalence", "non_inferiority"]
Better = Literal["higher", "lower"]
MARGIN_TESTS: tuple[MarginTest, ...] = ("equivalence", "non_inferiority")
BETTER: tuple[Better, ...] = ("higher", "lower")


@dataclass(frozen=True)
class Equivalence:
    """The outcome of two one-sided tests.

    Attributes:
        difference: Mean difference, None if there is no value.
        margin: Largest difference that counts as "the same", fixed before the data were seen.
        low: Lower end of the (1 - 2 alpha) interval; the test says "equivalent" exactly if it lies within -+ margin.
        high: Upper end of that interval.
        p_lower: p of the test of "difference <= -margin".
        p_upper: p of the test of "difference >= +margin".
        p_value: The larger of the two.
        equivalent: True if p_value < alpha. False means "not shown", never "different".
        n: Values used.
        n_dropped: NaN values left out.
        alpha: Level of each one-sided test.
        note: Why there is no test, or empty.
    """

    difference: float | None
    margin: float
    low: float | None
    high: float | None
    p_lower: float | None
    p_upper: float | None
    p_value: float | None
    equivalent: bool
    n: int
    n_dropped: int
    alpha: float
    note: str


def check_margin(margin: float, test: str, better: str | None) -> None:
    """Raise UserError unless the three make a margin test."""
    if not (np.isfinite(margin) and margin > 0):
        raise UserError(
            f"margin = {margin!r} must be a positive number in the units of the metric, such as 0.03 for three "
            "points of a rate."
        )
    if test not in MARGIN_TESTS:
        raise UserError(f"margin test {test!r} is unknown; choose one of {', '.join(MARGIN_TESTS)}.")
    if test == "non_inferiority" and better not in BETTER:
        raise UserError(
            f"better = {better!r}: non-inferiority needs to know which way is better, {' or '.join(BETTER)}."
        )


def one_sided_ps(difference: float, error: TError, margin: float) -> tuple[float, float]:
    """p of the tests of "difference <= -margin" and of "difference >= +margin"."""
    above = float(stats.t.sf((difference + margin) / error.se, error.df))
    below = float(stats.t.cdf((difference - margin) / error.se, error.df))
    return above, below


def margin_p(
    difference: float, errors: Sequence[TError], margin: float, test: MarginTest, better: Better | None = None
) -> float | None:
    """p of the margin test, the largest over the errors that the claim has to allow for; None without an error.

    Args:
        difference: Treated minus reference.
        errors: Standard errors with their degrees of freedom (`Contrast.errors`).
        margin: Positive, in the units of the metric; choose it before looking.
        test: "equivalence" or "non_inferiority".
        better: Which way is better, for non-inferiority.
    """
    check_margin(margin, test, better)
    found = []
    for error in errors:
        above, below = one_sided_ps(difference, error, margin)
        found.append(max(above, below) if test == "equivalence" else above if better == "higher" else below)
    return max(found, default=None)


def equivalence_test(
    differences: pd.Series | np.ndarray | Iterable[float], margin: float, alpha: float = 0.05
) -> Equivalence:
    r"""Test whether a mean difference is smaller than a margin in either direction (TOST).

    p = max( P(T > (d + margin) / se), P(T < (d - margin) / se) ),  T ~ t_{n-1}.

    Say "comparable" only if `equivalent` is True; a difference that is "not significant" shows no equivalence.

    Args:
        differences: Independent differences: one per question (these adapters) or one per training seed (the recipe).
        margin: Positive, in the units of the metric; choose it before looking.
        alpha: Level of each of the two one-sided tests.

    Raises:
        UserError: The margin is not positive, alpha not between 0 and 0.5, or a difference infinite.
    """
    check_margin(margin, "equivalence", None)
    if not 0 < alpha < 0.5:
        raise UserError(f"alpha = {alpha!r} must lie between 0 and 0.5, such as 0.05.")
    raw = np.asarray(
        differences if isinstance(differences, (pd.Series, np.ndarray)) else list(differences), dtype=float
    )
    if np.isinf(raw).any():
        raise UserError("differences hold an infinite value; write NaN to have it dropped and counted.")
    values = raw[~np.isnan(raw)]
    n, dropped = len(values), int(np.isnan(raw).sum())
    if n == 0:
        return Equivalence(
            None, margin, None, None, None, None, None, False, 0, dropped, alpha, "no difference has a value"
        )
    summary = t_summary(values, 1 - 2 * alpha)
    if summary.se is None or summary.df is None:
        why = (
            "one difference has no spread to test with"
            if n == 1
            else "all differences are the same, so there is no spread to test with"
        )
        return Equivalence(summary.mean, margin, None, None, None, None, None, False, n, dropped, alpha, why)
    p_lower, p_upper = one_sided_ps(summary.mean, TError(summary.se, summary.df), margin)
    p_value = max(p_lower, p_upper)
    return Equivalence(
        summary.mean,
        margin,
        summary.low,
        summary.high,
        p_lower,
        p_upper,
        p_value,
        p_value < alpha,
        n,
        dropped,
        alpha,
        "",
    )
