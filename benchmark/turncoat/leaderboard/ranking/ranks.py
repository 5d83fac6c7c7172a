"""Marks against no defence, and ranks with ties: two families of joint tests, each at 5 %.

against = against_none({"sgtr": change_a, "kl": change_b}, "lower")
against["sgtr"].verdict                                 # "better", "worse", "not shown", ...
pairs = compare_all({"sgtr": change_a, "kl": change_b})
ranks(["sgtr", "kl"], pairs, "lower")["sgtr"].text      # "1", or "1-2" where they are not told apart

A change is an entry's own arm minus its undefended organism, question by question and training seed by
training seed. An entry is held against no defence by its change itself; two entries are compared by the
difference of their changes, so that neither gains from an organism of its own that moved further. Training
seeds are paired by their number where one entry has all of the other's, else by their order; the shorter list
counts. Errors: `pooled_errors`; joint tests: `max_t`. A change up to the floor, which a re-run cannot tell
from none (`verification.draw.Tolerances.resolved`), is none in both.

The rule of ranks. With n entries, an entry has

    rank from   1 + the number of entries that are significantly better
    rank to     n - the number of entries that are significantly worse

"1-3" therefore means: no more than that is known. All these ranges together hold the true ranks in 95 % of
boards. This is not a grouping: A may tie with B and B with C while A is better than C.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd

from turncoat.leaderboard.ranking.max_t import adjusted_p, level_of_each
from turncoat.leaderboard.ranking.pooled_errors import change_cells, pair_cells, pooled_tests
from turncoat.stats.marks import bars
from turncoat.stats.paired import Differences

Better = Literal["lower", "higher"]
Verdict = Literal["better", "worse", "seems better", "seems worse", "not shown"]
_LEVEL = 0.05  # of each family
_NONE: Mapping[str, Sequence[float]] = MappingProxyType({})


@dataclass(frozen=True)
class Pair:
    """Two entries: the change of the first minus that of the second, in the units of the metric."""

    first: str
    second: str
    difference: float | None = None  # None without a common question
    p_value: float | None = None  # Two-sided; None where the training seeds are too few for a test
    p_adjusted: float | None = None  # Step-down max-T over the pairs of the board
    half_width: float | None = None  # Of the interval that holds for all pairs together, 95 %


@dataclass(frozen=True)
class Against:
    """An entry against no defence; its interval holds for all entries of the board together, 95 %.

    It "seems" better or worse where the interval excludes 0, and more than a re-run can tell from it, and the
    data hold a pattern that bars a mark
    (`turncoat.stats.marks`), such as fewer than 6 training seeds.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: Verdict = "not shown"


@dataclass(frozen=True)
class Rank:
    """The places that an entry may have."""

    first: int
    last: int

    @property
    def text(self) -> str:
        """As "4", or "1-3" where it is shared."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def compare_all(
    changes: Mapping[str, Differences], floor: float = 0.0, again: Mapping[str, Sequence[float]] = _NONE
) -> list[Pair]:
    """Test all pairs for a difference above the floor; their order depends on the names alone."""
    names = sorted(changes)
    if len(names) < 2:
        return []
    both = list(combinations(range(len(names)), 2))
    values = [again.get(name, ()) for name in names]
    remade = [
        np.subtract(values[a], values[b]).tolist() if len(values[a]) == len(values[b]) else []
        for a, b in both
    ]
    tests = pooled_tests(
        [pair_cells(changes[names[a]], changes[names[b]]) for a, b in both], changes, floor, remade
    )
    there = np.isfinite(tests.p_values)
    adjusted, half_widths = np.full((2, len(both)), np.nan)
    if there.any():
        unit, covariance = np.eye(len(names)), _covariance(names, changes)
        weights = np.array([unit[a] - unit[b] for a, b in both])[there]
        adjusted[there] = adjusted_p(tests.p_values[there], weights, covariance)
        half_widths = tests.half_widths(level_of_each(weights, covariance, _LEVEL))
    numbers = zip(tests.differences, tests.p_values, adjusted, half_widths, strict=True)
    return [Pair(names[a], names[b], *map(_known, four)) for (a, b), four in zip(both, numbers, strict=True)]


def against_none(
    changes: Mapping[str, Differences],
    better: Better,
    floor: float = 0.0,
    again: Mapping[str, Sequence[float]] = _NONE,
) -> dict[str, Against]:
    """Every entry against its undefended organism, by max-T over the entries; a change up to the floor is
    none, and `again` is that of `compare_all`."""
    names = sorted(changes)
    remade = [again.get(name, ()) for name in names]
    tests = pooled_tests([change_cells(changes[name]) for name in names], changes, floor, remade)
    there = np.isfinite(tests.p_values)
    halves = np.full(len(names), np.nan)
    if there.any():
        halves = tests.half_widths(
            level_of_each(np.eye(len(names))[there], _covariance(names, changes), _LEVEL)
        )
    found = {}
    for name, value, half in zip(names, tests.differences, halves, strict=True):
        low, high = value - half, value + half
        verdict: Verdict = "not shown"
        if low > floor or high < -floor:
            good = (high < 0) == (better == "lower")
            sure = not bars(changes[name].by_question.to_numpy(), changes[name].n_seeds, _LEVEL)
            verdict = ("better" if good else "worse") if sure else ("seems better" if good else "seems worse")
        found[name] = Against(_known(value), _known(low), _known(high), verdict)
    return found


def ranks(
    names: Collection[str], pairs: Sequence[Pair], better: Better, alpha: float = _LEVEL
) -> dict[str, Rank]:
    """The rank of every entry, by the rule in the module's docstring; `alpha` is the level of all pairs
    together."""
    beaten_by = dict.fromkeys(names, 0)
    beats = dict.fromkeys(names, 0)
    for pair in pairs:
        if pair.difference is None or pair.p_adjusted is None or not pair.p_adjusted < alpha:
            continue
        first_wins = (pair.difference < 0) == (better == "lower")
        winner, loser = (pair.first, pair.second) if first_wins else (pair.second, pair.first)
        beats[winner] += 1
        beaten_by[loser] += 1
    return {name: Rank(1 + beaten_by[name], len(beats) - beats[name]) for name in names}


def place(rank: Rank | None, against: Against | None, better: Better) -> tuple[float, float]:
    """Sort key of a row: the worse end of its ranks, then the worse end of its interval against no defence.

    The better ends would put what is hardly known, or harmful, above what is known.
    """
    end = None if against is None else against.high if better == "lower" else against.low
    if against is not None and end is None:
        end = against.value
    worst = float("inf") if end is None else end if better == "lower" else -end
    return (float("inf") if rank is None else rank.last, worst)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _covariance(names: Sequence[str], changes: Mapping[str, Differences]) -> np.ndarray:
    """Covariance of the entries' mean changes: of their questions, plus a variance each for their seeds."""
    questions = pd.DataFrame({name: changes[name].by_question for name in names})
    seeds = [changes[name].cells.mean(axis=0).dropna() for name in names]
    of_seeds = [float(one.var(ddof=1)) / len(one) if len(one) > 1 else 0.0 for one in seeds]
    return questions.cov().fillna(0.0).to_numpy() / len(questions) + np.diag(of_seeds)
