r"""Recipe tests of many contrasts between entries at once, their seed variances pooled.

A contrast of two entries rests on 3 to 8 training seeds, so that its own t has 2 to 7 degrees of freedom and
a correction for many contrasts leaves it without power. Entries of one board are alike in how far their seeds
scatter, as far as the board itself shows that: each contrast's seed variance s^2, with d = S - 1 degrees of
freedom, becomes

    (d0 s0^2 + d s^2) / (d0 + d)    with d0 + d,

s0^2 the mean over the contrasts and d0 from the spread of log s^2 over the entries (`prior_df`): 0 where they
differ, up to that of the pooled variance where they do not. The spread is taken at its upper 75 % limit:
with the estimate itself one noisy entry would borrow the others' precision. Entries with fewer than 5
training seeds neither lend nor borrow: the seeds of a noisy one lie close together too often by chance, and
nobody else's test may depend on how few somebody trained. Without d0 the tests are those of
`turncoat.stats.contrasts`, claim "recipe".

    tests = pooled_tests([pair_cells(a, b), pair_cells(a, c)], {"a": a, "b": b, "c": c})
    tests.p_values, tests.half_widths(0.05)

References:
    Smyth (2004), Statistical Applications in Genetics and Molecular Biology 3(1) (moderated variances).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

from turncoat.leaderboard.ranking.entry_scores import paired
from turncoat.stats.estimates import ROUNDING
from turncoat.stats.paired import Differences
from turncoat.stats.scores import MINIMUM_SEEDS
from turncoat.stats.skew import unskewed
from turncoat.stats.two_way import two_way_error

LENDING_SEEDS = 5
"""Training seeds from which on entries lend each other degrees of freedom."""
_UPPER = 0.25  # the variance of log s^2 at its upper 75 % limit


@dataclass(frozen=True)
class PooledTests:
    """Tests of m contrasts; NaN where there is no difference or no test."""

    differences: np.ndarray  # Shape (m,), in the units of the metric
    # Shape (tests, m): over seeds, over both, over questions; each once more with the instrument's
    errors: np.ndarray
    dfs: np.ndarray  # Their degrees of freedom
    skews: (
        np.ndarray
    )  # `turncoat.stats.skew.standardised_skew` of the questions' differences; 0 for other tests
    floor: float = 0.0  # Size up to which a difference counts as none

    @property
    def p_values(self) -> np.ndarray:
        """Two-sided p of "the difference is at most the floor", the largest of each contrast's tests, skew
        allowed for."""
        beyond = np.maximum(np.abs(self.differences) - self.floor, 0.0)
        t = np.sign(self.differences) * beyond / self.errors
        moved = np.minimum(t * np.sign(self.differences), unskewed(t, self.skews) * np.sign(self.differences))
        return np.minimum(1.0, 2 * stats.t.sf(moved, self.dfs).max(axis=0))

    def half_widths(self, level: float) -> np.ndarray:
        """Half the width of the intervals at 1 - level, the widest of each contrast's tests."""
        return (stats.t.isf(level / 2, self.dfs) * self.errors).max(axis=0)


def change_cells(change: Differences) -> np.ndarray:
    """Cells of the questions with a value at every training seed, shape (questions, seeds)."""
    cells = change.cells.to_numpy(dtype=float)
    return cells[~np.isnan(cells).any(axis=1)] if change.trained else cells[:0]


def pair_cells(first: Differences, second: Differences) -> np.ndarray:
    """`change_cells` of one entry's change minus another's, paired as in `entry_scores.paired`."""
    a, b = first.cells, second.cells
    if not (first.trained and second.trained and a.index.equals(b.index) and a.columns.equals(b.columns)):
        return change_cells(paired(first, second))
    return change_cells(first._replace(cells=pd.DataFrame(a.to_numpy() - b.to_numpy())))


def pooled_tests(
    tables: Sequence[np.ndarray],
    changes: Mapping[str, Differences],
    floor: float = 0.0,
    again: Sequence[Sequence[float]] = (),
) -> PooledTests:
    """Tests of contrasts.

    Args:
        tables: `change_cells` or `pair_cells` of each.
        changes: Those of the entries, which tell how far seeds scatter; without them nothing is pooled.
        floor: Size up to which a difference counts as none, in the units of the metric.
        again: Each contrast under re-made instruments (`turncoat.stats.instrument`), whose variance every
            error then holds; empty for none.
    """
    mean, over_questions, over_seeds, noise, skews = (np.full(len(tables), np.nan) for _ in range(5))
    sizes = np.full((2, len(tables)), np.nan)  # questions, seeds
    for shape in {table.shape for table in tables}:
        here = [index for index, table in enumerate(tables) if table.shape == shape]
        cells = np.stack([tables[index] for index in here])
        if not cells.size:
            continue
        mean[here] = cells.mean(axis=(1, 2))
        if shape[0] < 2 or shape[1] < MINIMUM_SEEDS:
            continue
        by_question, by_seed = cells.mean(axis=2), cells.mean(axis=1)
        rest = cells - by_question[:, :, None] - by_seed[:, None, :] + mean[here][:, None, None]
        sizes[:, here] = np.array(shape)[:, None]
        over_questions[here] = by_question.var(axis=1, ddof=1) / shape[0]
        with np.errstate(invalid="ignore"):  # no spread, no skew
            skews[here] = np.nan_to_num(stats.skew(by_question, axis=1, bias=False)) / shape[0] ** 0.5
        over_seeds[here] = by_seed.var(axis=1, ddof=1) / shape[1]
        noise[here] = (rest**2).sum(axis=(1, 2)) / ((shape[0] - 1) * (shape[1] - 1)) / (shape[0] * shape[1])
    smallest = ROUNDING * min((one.scale for one in changes.values()), default=0.0)
    over_seeds[~(over_seeds * sizes[1] > smallest**2)] = np.nan  # no finetune repeats itself to the last bit
    df_questions, df_seeds = sizes - 1
    lending = sizes[1] >= LENDING_SEEDS
    extra = np.where(lending, _prior_df(changes), 0.0)
    if np.isfinite(over_seeds[lending]).any():
        common = float(np.nanmean((over_seeds * sizes[1])[lending]))
        over_seeds = (extra * common / sizes[1] + df_seeds * over_seeds) / (extra + df_seeds)
    both, df = np.full((2, len(tables)), np.nan)
    for shape in {table.shape for table in tables if len(table)}:
        here = [index for index, table in enumerate(tables) if table.shape == shape]
        of_cells, of_seeds = (shape[0] - 1) * (shape[1] - 1), shape[1] - 1 + extra[here[0]]
        parts = over_questions[here], over_seeds[here], noise[here]
        both[here], df[here] = two_way_error(*parts, shape, of_cells, of_seeds)
    variances = np.stack([over_seeds, both, np.where(np.isnan(over_seeds), np.nan, over_questions)])
    dfs = np.stack([df_seeds + extra, df, df_questions])
    skew = np.stack([np.zeros(len(tables)), np.zeros(len(tables)), skews])
    if any(len(remade) > 1 for remade in again):  # as `TError.plus`
        spread = np.array([np.var(remade, ddof=1) if len(remade) > 1 else 0.0 for remade in again])
        of_spread = np.array([max(1, len(remade) - 1) for remade in again])
        whole = variances + spread
        joint = whole**2 / (variances**2 / dfs + spread**2 / of_spread)
        dfs = np.concatenate([dfs, np.where(spread > 0, joint, dfs)])
        skew = np.concatenate([skew, skew * (variances / np.where(spread > 0, whole, variances)) ** 1.5])
        variances = np.concatenate([variances, whole])
    return PooledTests(mean, np.sqrt(variances), dfs, skew, floor)


def prior_df(variances: np.ndarray, df: float) -> float:
    """Degrees of freedom d0 that the other entries add to the seed variance of one.

    Args:
        variances: Variance between training seeds of every entry, shape (entries,).
        df: Degrees of freedom of each.

    Example:
        >>> alike, unlike = np.array([0.9, 1.0, 1.1, 1.2]), np.array([0.1, 1.0, 5.0, 40.0])
        >>> prior_df(alike, 4), round(prior_df(unlike, 4), 1)
        (8.0, 0.5)
    """
    entries = len(variances)
    if entries < 3 or not (variances > 0).all():
        return 0.0
    most = df * (entries - 2)
    logs = float(np.log(variances).var(ddof=1)) * (entries - 1) / float(stats.chi2.ppf(_UPPER, entries - 1))
    excess = logs - float(special.polygamma(1, df / 2))
    if excess <= float(special.polygamma(1, most / 2)):
        return float(most)
    return 2 * float(optimize.brentq(lambda half: special.polygamma(1, half) - excess, 1e-6, most / 2))


def _prior_df(changes: Mapping[str, Differences]) -> float:
    """`prior_df` of the changes of entries that lend, without what moves all of them at one training seed."""
    changes = {name: one for name, one in changes.items() if one.cells.shape[1] >= LENDING_SEEDS}
    sets = sorted((set(one.cells.columns) for one in changes.values()), key=len)
    nested = all(small <= large for small, large in pairwise(sets))
    means = {name: changes[name].cells.mean(axis=0) for name in sorted(changes)}
    table = pd.DataFrame(means if nested else {name: m.reset_index(drop=True) for name, m in means.items()})
    entries, fewest = table.shape[1], int(table.notna().sum().min()) if len(table) else 0
    if entries < 3 or fewest < LENDING_SEEDS:
        return 0.0
    centred = table.sub(table.mean(axis=1), axis=0)
    return prior_df(centred.var(ddof=1).to_numpy() * entries / (entries - 1), float(fewest - 1))
