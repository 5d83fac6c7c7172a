r"""The error of a measuring instrument in a contrast.

A persona vector and its unit are made from a sample of questions and answers, and then measure every arm. A
claim beyond this one vector needs its sampling error too. With d_k the difference under the k-th of K
instruments that were re-made from resamples:

    SE^2 = SE_of_the_contrast^2 + V,     V = var(d_k) with K - 1 degrees of freedom     (Satterthwaite)

References:
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 6 (standard errors from K
        resamples).
    Satterthwaite (1946), Biometrics Bulletin 2(6).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from turncoat.stats.contrasts import Contrast, TTest, concluded
from turncoat.stats.scores import Grid
from turncoat.stats.t_errors import TError, largest_p, widest


def with_instrument(contrast: Contrast, differences: Sequence[float], confidence: float = 0.95) -> Contrast:
    """The contrast with its instrument's error in every interval, p and margin test.

    The sign-flip p does not hold it; from 6 seeds on it stays the least p of a recipe.

    Args:
        contrast: One with a t test; any other comes back as it is.
        differences: The K differences, in units of the metric; fewer than 2 change nothing.
    """
    if not contrast.errors or len(differences) < 2:
        return contrast
    variance, df = float(np.var(differences, ddof=1)), len(differences) - 1

    def widened(test: TTest) -> TTest:
        if test.se is None or test.df is None or contrast.difference is None:
            return test
        error = TError(test.se, test.df).with_variance(variance, df)
        low, high, _ = widest(contrast.difference, [error], confidence)
        return TTest(low, high, error.se, error.df, largest_p(contrast.difference, [error]))

    over_questions = contrast.questions and contrast.questions.with_variance(variance, df)
    tests = {"seeds": widened(contrast.seeds), "two_way": widened(contrast.two_way)}
    changed = replace(contrast, **tests, questions=over_questions, instrument_se=variance**0.5)
    return concluded(changed, confidence)


def grids_again(again: pd.DataFrame, side: Grid) -> list[Grid]:
    """A side of a contrast under each of the K re-made instruments; empty where a value of it has none.

    Args:
        again: Columns arm, seed, metric, question, again: the K values of a cell, as a tuple.
    """
    of_side = again[(again["arm"] == side.arm) & (again["metric"] == side.metric)]
    there = of_side.set_index(["question", "seed"])["again"]
    cells = side.values.stack().dropna()
    if not len(cells) or not cells.index.isin(there.index).all():
        return []
    values = pd.DataFrame(there[cells.index].tolist(), index=cells.index)
    if values.empty or bool(values.isna().any(axis=None)):
        return []
    return [side._replace(values=values[k].unstack().reindex_like(side.values)) for k in values]
