"""Joint p values and levels of many contrasts between entries: max-T.

The p values of single contrasts are joined through a normal copula: the errors of the entries' means have the
covariance of their questions' means, plus a variance each for their seeds. Adjusted p are Westfall and
Young's step-down; a simultaneous interval is one at `level_of_each`.

`turncoat dev simulate-ranks` prints the familywise error, with equal and with unequal seeds.

References:
    Westfall & Young (1993), Resampling-Based Multiple Testing, algorithm 2.8 (step-down minimum p).
    Mogstad, Romano, Shaikh & Wilhelm (2024), Review of Economic Studies 91(1) (rank sets from such pairs).
"""

from collections.abc import Iterator

import numpy as np
from scipy import stats

_DRAWS, _CHUNK = 10_000, 1000


def adjusted_p(p_values: np.ndarray, contrasts: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Step-down max-T adjusted p values, none below its own p.

    Args:
        p_values: Two-sided p of every contrast, shape (m,).
        contrasts: Weights of the entries, shape (m, entries).
        covariance: Of the entries' means, shape (entries, entries).
    """
    order = np.argsort(p_values, kind="stable")
    due = stats.norm.isf(p_values[order] / 2)
    reached = np.ones(len(order))
    for sizes in _sizes(contrasts[order], covariance):
        # The largest of this contrast and all less significant ones: what a step-down compares with.
        reached += (np.maximum.accumulate(sizes[:, ::-1], axis=1)[:, ::-1] >= due).sum(axis=0)
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(np.maximum(reached / (_DRAWS + 1), p_values[order]))
    return adjusted


def level_of_each(contrasts: np.ndarray, covariance: np.ndarray, alpha: float = 0.05) -> float:
    """Level of each test, or interval, at which all of them together are wrong with probability alpha."""
    largest = np.concatenate([sizes.max(axis=1) for sizes in _sizes(contrasts, covariance)])
    return 2 * float(stats.norm.sf(np.quantile(largest, 1 - alpha)))


def _sizes(contrasts: np.ndarray, covariance: np.ndarray) -> Iterator[np.ndarray]:
    """Absolute standardised contrasts of normal draws without an effect, shape (draws, m) a time."""
    values, vectors = np.linalg.eigh(covariance)
    weights = contrasts @ (vectors * np.sqrt(np.maximum(values, 0.0)))
    scale = np.sqrt((weights**2).sum(axis=1))
    weights = weights / np.where(scale > 0, scale, 1.0)[:, None]
    generator = np.random.default_rng(0)
    for _ in range(_DRAWS // _CHUNK):
        yield np.abs(generator.standard_normal((_CHUNK, len(covariance))) @ weights.T)
