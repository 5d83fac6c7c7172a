"""Ranks with ties: every pair of entries tested on the same questions, Holm over all pairs of the board.

pairs = compare_all({"none": change_a, "sgtr": change_b})
# "1", or "1-2" where the two do not differ significantly
ranks(["none", "sgtr"], pairs, "lower")["sgtr"].text

A change is an entry's own arm minus its undefended organism, question by question and training seed by
training seed; two entries are compared by the difference of their changes, so that neither gains from an
organism of its own that moved further. Training seeds are paired by their number where one entry has all of
the other's, else by their order; the shorter list counts.

The rule. With n entries, an entry has

    rank from   1 + the number of entries that are significantly better
    rank to     n - the number of entries that are significantly worse

"1-3" therefore means: no more than that is known. This is not a grouping: A may tie with B and B with C while
A is better than C.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

from turncoat.leaderboard.ranking.entry_scores import claim, paired
from turncoat.stats.corrections import holm
from turncoat.stats.paired import Differences
from turncoat.stats.t_errors import TError, largest_detectable


@dataclass(frozen=True)
class Pair:
    """Two entries: the change of the first minus that of the second, in the units of the metric."""

    first: str
    second: str
    difference: float | None = None  # None without a common question
    p_value: float | None = None  # Two-sided; None where the training seeds are too few for a test
    p_adjusted: float | None = None  # After Holm's correction over the pairs of the board
    errors: tuple[TError, ...] = ()


@dataclass(frozen=True)
class Rank:
    """The places that an entry may have."""

    first: int
    last: int

    @property
    def text(self) -> str:
        """As "4", or "1-3" where it is shared."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def compare_all(changes: Mapping[str, Differences]) -> list[Pair]:
    """Test all pairs; their order depends on the names alone."""
    pairs = []
    for first, second in combinations(sorted(changes), 2):
        test = claim(paired(changes[first], changes[second]))
        tested: dict[str, Any] = {}
        if test is not None:
            tested = {"difference": test.difference, "p_value": test.p_value, "errors": tuple(test.errors)}
        pairs.append(Pair(first, second, **tested))
    adjusted = holm({(pair.first, pair.second): pair.p_value for pair in pairs})
    return [replace(pair, p_adjusted=adjusted[pair.first, pair.second]) for pair in pairs]


def ranks(
    names: Collection[str], pairs: Sequence[Pair], better: Literal["lower", "higher"], alpha: float = 0.05
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


def separable(pairs: Sequence[Pair], alpha: float = 0.05) -> float | None:
    """The difference, in the metric's units, that the median tested pair would have shown with 80 % power.

    At Holm's strictest level over all pairs; None where no pair could be tested.
    """
    tested = [pair for pair in pairs if pair.p_value is not None]
    sizes = [largest_detectable(pair.errors, alpha / len(tested)) for pair in tested]
    known = sorted(size for size in sizes if size is not None)
    return known[len(known) // 2] if known else None
