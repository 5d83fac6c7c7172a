"""Detectable effect of a claim about the recipe: all of its tests must reject in the same experiment.

The largest of the tests' own detectable effects is found less often than each of them promises, as one test
may fail where the other succeeds. With d_qs = mu + a_q + b_s + e_qs, all normal, and complete cells,

    M = mean,  A = var(question means) / G,  B = var(seed means) / S,  E = var_e / (G S)

A, B and E are scaled chi squares, independent of M and of each other (the sums of squares of the two-way
layout). A claim rejects if |M| exceeds

    c = max( t_{S-1} sqrt(B),  t_df sqrt(V(A, B, E)),  t_{G-1} sqrt(A),  c_flips )

where c_flips is the largest mean at which exact sign flips over the seeds' deviations do not reject; it
counts where sign flips can reach the level of the family at all (`turncoat.stats.marks`). The power at mu is
the mean over A, B, E and the deviations of P(|M| > c), and mu is solved for. The draws are a Sobol sequence,
so equal designs have equal answers.

References:
    Searle, Casella & McCulloch (1992), Variance Components, chapter 4 (distribution of the sums of squares).
    Hothorn (2020), Biometrical Journal 62 (power of intersection-union tests).
"""

import math
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats
from scipy.stats import qmc

from turncoat.stats.two_way import two_way_error

DRAWS = 2**11
MAX_PATTERNS = 2**11
"""Sign patterns that are tried; from 13 seeds on a random part of all."""


class Variances(NamedTuple):
    """Variances of the difference between two arms, in squared units of the metric."""

    question: float  # Between questions
    seed: float  # Between training seeds
    noise: float  # Of single cells about "question + seed"


def joint_power(
    effect: float,
    variances: Variances,
    n_questions: int,
    n_seeds: int,
    level: float = 0.05,
    flips: bool = False,
) -> float:
    """Power of a claim about the recipe at a true effect; arguments as in `joint_detectable`."""
    cuts = _cuts(variances, n_questions, n_seeds, level, flips)
    spread = _spread(variances, n_questions, n_seeds)
    above, below = stats.norm.sf((cuts - effect) / spread), stats.norm.cdf((-cuts - effect) / spread)
    return float(np.mean(above + below))


def joint_detectable(
    variances: Variances,
    n_questions: int,
    n_seeds: int,
    level: float = 0.05,
    power: float = 0.8,
    flips: bool = False,
) -> float | None:
    """Smallest true effect that the claim finds with the wanted power; None where none is found so often.

    Args:
        level: Level of each test (alpha over the tests of the family).
        flips: True where exact sign flips over the seeds must reject, too.
    """
    cuts = _cuts(variances, n_questions, n_seeds, level, flips)
    if not np.isfinite(cuts).all():
        return None  # sign flips over so few seeds cannot reach the level
    spread = _spread(variances, n_questions, n_seeds)
    # A mean above the cut of all but a few draws, by a margin that it misses as seldom: beyond the root.
    top = float(np.quantile(cuts, 0.5 + power / 2)) + spread * float(stats.norm.ppf(0.75 + power / 4)) * 2

    def missing(effect: float) -> float:
        return joint_power(effect, variances, n_questions, n_seeds, level, flips) - power

    return float(optimize.brentq(missing, 0.0, top, xtol=1e-6 * top))


def _spread(variances: Variances, n_questions: int, n_seeds: int) -> float:
    question, seed, noise = variances
    return math.sqrt(question / n_questions + seed / n_seeds + noise / (n_questions * n_seeds))


@lru_cache(maxsize=256)
def _cuts(variances: Variances, n_questions: int, n_seeds: int, level: float, flips: bool) -> np.ndarray:
    """Value that |M| must exceed, one per draw; infinite where no mean is enough. Shape (DRAWS,)."""
    g, s, noise_df = n_questions, n_seeds, (n_questions - 1) * (n_seeds - 1)
    with np.errstate(divide="ignore"):
        draws = np.clip(qmc.Sobol(s + 2, rng=0).random(DRAWS), 1e-12, 1 - 1e-12)
    shared = variances.noise / (g * s)
    over_questions = (variances.question / g + shared) * stats.chi2.ppf(draws[:, 0], g - 1) / (g - 1)
    noise = shared * stats.chi2.ppf(draws[:, 1], noise_df) / noise_df
    z = stats.norm.ppf(draws[:, 2:])
    rest = math.sqrt(variances.seed + variances.noise / g) * (z - z.mean(axis=1, keepdims=True))
    over_seeds = (rest**2).sum(axis=1) / (s - 1) / s
    both, df = two_way_error(over_questions, over_seeds, noise, (g, s), noise_df)
    cuts = np.maximum(stats.t.isf(level / 2, df) * np.sqrt(both), _t(level, s) * np.sqrt(over_seeds))
    cuts = np.maximum(cuts, _t(level, g) * np.sqrt(over_questions))
    return np.maximum(cuts, _flip_cut(rest, level)) if flips else cuts


def _t(level: float, n: int) -> float:
    return float(stats.t.isf(level / 2, n - 1))


def _flip_cut(rest: np.ndarray, level: float) -> np.ndarray:
    """Mean M that exact sign flips need below the level, for deviations of the seeds from M.

    Flipping the seeds K reaches |M| exactly if M <= -mean of rest over K, or over all but K. The p is (pairs
    of patterns that reach it, the unflipped one among them) over all pairs, so the cut is an order statistic
    of these bounds.

    Args:
        rest: Shape (draws, seeds), each row of sum 0.
    """
    s = rest.shape[1]
    if 2 ** (s - 1) <= MAX_PATTERNS:
        flipped = np.array([(0, *bits) for bits in product((0, 1), repeat=s - 1)][1:], dtype=float)
    else:
        bits = np.random.default_rng(0).integers(0, 2, size=(MAX_PATTERNS, s - 1))
        flipped = np.column_stack([np.zeros(len(bits)), bits])[bits.any(axis=1)]
    counts = flipped.sum(axis=1)
    sums = rest @ flipped.T
    bounds = np.maximum(-sums / counts, sums / (s - counts))
    # p = (1 + reached) / pairs < level, with the patterns that are tried standing for all pairs
    allowed = math.ceil(level * 2 ** (s - 1)) - 2
    if allowed < 0:
        return np.full(len(rest), np.inf)
    rank = min(len(counts) - 1, round(allowed * len(counts) / (2 ** (s - 1) - 1)))
    return -np.partition(-bounds, rank, axis=1)[:, rank]
