r"""Random-effects mean of one difference that was measured on several base models.

With y_m the difference on model m and v_m its squared standard error (k models):

    y_m = mu + b_m + e_m,    Var(b_m) = tau^2,    w_m = 1 / (v_m + tau^2),    Var(mean) = 1 / sum(w_m)

    random_effects([0.25, 0.05], [0.04, 0.03]).low

tau^2 is Paule and Mandel's: the value at which sum w_m (y_m - mean)^2 is k - 1, or 0 where that sum is
smaller at 0 already. The interval is mean +- t with k - 1 degrees of freedom. Hartung and Knapp multiply the
variance by that sum over k - 1. It is 1 by construction here; where tau^2 is 0 it is below 1, would make the
interval narrower than that of models which do not differ at all, and is left out (Roever et al.).

DerSimonian and Laird's tau^2 with a normal quantile is the better known, and for 2 or 3 models far too
narrow; likelihood estimates of tau^2 fall to 0 more often when models are few. The price is a wide
interval: with 2 models it reaches 12.7 standard errors either way, with 3 models 4.3. The root is bracketed
here because `statsmodels.stats.meta_analysis` takes a step that overshoots by a rounding error for tau^2 = 0.

References:
    Paule & Mandel (1982), Journal of Research of the National Bureau of Standards 87(5).
    DerSimonian & Kacker (2007), Contemporary Clinical Trials 28(2).
    Hartung & Knapp (2001), Statistics in Medicine 20(24); Roever, Knapp & Friede (2015), BMC Medical Research
        Methodology 15:99 (2 and 3 studies).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from turncoat.errors import UserError
from turncoat.stats.estimates import check_confidence


@dataclass(frozen=True)
class RandomEffects:
    """Mean over models like these, in the units of the differences."""

    mean: float
    low: float  # Ends of the interval
    high: float
    se: float
    tau: float  # SD between models beyond their own errors
    n: int  # Models


def random_effects(
    differences: Sequence[float], errors: Sequence[float], confidence: float = 0.95
) -> RandomEffects:
    """Pool one difference per model.

    Args:
        errors: Standard errors of the differences.

    Raises:
        UserError: Fewer than 2 models, or an error that is not above 0.
    """
    check_confidence(confidence)
    y, v = np.asarray(differences, dtype=float), np.asarray(errors, dtype=float) ** 2
    if len(y) < 2 or len(y) != len(v):
        raise UserError(
            f"{len(y)} differences, {len(v)} errors: pooling needs 2 models or more, one of each."
        )
    if not (np.isfinite(y).all() and np.isfinite(v).all() and (v > 0).all()):
        raise UserError("a difference is not finite or its standard error not above 0; leave that model out.")

    def excess(variance: float) -> float:
        weights = 1 / (v + variance)
        mean = weights @ y / weights.sum()
        return float(weights @ (y - mean) ** 2) - (len(y) - 1)

    largest = float(((y - y.mean()) ** 2).sum() / (len(y) - 1))  # excess is below 0 there
    variance = float(optimize.brentq(excess, 0.0, largest, xtol=1e-15)) if excess(0.0) > 0 else 0.0
    weights = 1 / (v + variance)
    mean, se = float(weights @ y / weights.sum()), float(weights.sum() ** -0.5)
    half = float(special.stdtrit(len(y) - 1, 0.5 + confidence / 2)) * se
    return RandomEffects(mean, mean - half, mean + half, se, variance**0.5, len(y))
