"""Ranks with ties: what is not told apart shares a place, and nothing but the numbers decides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from turncoat.leaderboard.ranking.entry_scores import claim, paired
from turncoat.leaderboard.ranking.ranks import Pair, compare_all, ranks, separable
from turncoat.stats.paired import Differences


def change(
    mean: float, rng: int, *, questions: int = 24, seeds: int = 5, sd: float = 0.1, first_seed: int = 0
) -> Differences:
    """A change of `mean` with noise per question, seed and cell."""
    draw = np.random.default_rng(rng)
    cells = (
        mean
        + draw.normal(0, sd, (questions, 1))
        + draw.normal(0, sd / 4, (1, seeds))
        + draw.normal(0, sd, (questions, seeds))
    )
    table = pd.DataFrame(
        cells, index=[f"q{i}" for i in range(questions)], columns=range(first_seed, first_seed + seeds)
    )
    return Differences(table.mean(axis=1), table, True, seeds, questions, 0, 1.0, [])


def test_ties_share_a_rank_and_better_follows_the_metric():
    one = change(-0.3, 0)
    found = ranks(["a", "b"], compare_all({"a": one, "b": one}), "lower")
    assert found["a"].text == found["b"].text == "1-2"
    changes = {"good": change(-0.8, 1), "fair": change(-0.1, 2), "also": change(-0.1, 3)}
    pairs = compare_all(changes)
    assert ranks(changes, pairs, "lower")["good"].text == "1"
    assert ranks(changes, pairs, "higher")["good"].text == "3"
    assert ranks(changes, pairs, "lower")["fair"].text == ranks(changes, pairs, "lower")["also"].text == "2-3"
    pairs = [
        Pair("a", "b", -1.0, p_adjusted=0.2),  # a and b tie
        Pair("a", "c", -2.0, p_adjusted=0.01),  # a before c
        Pair("b", "c", -1.0, p_adjusted=0.3),  # b and c tie: no grouping
        Pair("a", "d", None, p_adjusted=None),
        Pair("b", "d", -1.0, p_adjusted=0.05),  # at the level is not below it
        Pair("c", "d", 1.0, p_adjusted=0.001),  # d before c
    ]
    found = ranks(["a", "b", "c", "d"], pairs, "lower")
    assert {name: rank.text for name, rank in found.items()} == {
        "a": "1-3", "b": "1-4", "c": "3-4", "d": "1-3",
    }  # fmt: skip


@pytest.mark.parametrize("rng", range(2))
def test_order_of_entries_changes_nothing(rng):
    changes = {f"e{i}": change(-0.1 * i, i) for i in range(5)}
    shuffled = [f"e{i}" for i in np.random.default_rng(rng).permutation(5)]
    other = {name: changes[name] for name in shuffled}
    assert compare_all(changes) == compare_all(other)
    assert ranks(list(changes), compare_all(changes), "lower") == ranks(shuffled, compare_all(other), "lower")


def test_holm_never_lowers_a_p_and_equal_entries_are_rarely_told_apart():
    pairs = compare_all({f"e{i}": change(-0.05 * i, i) for i in range(5)})
    ordered = sorted(pairs, key=lambda pair: pair.p_value)
    assert len(pairs) == 10 and all(pair.p_adjusted >= pair.p_value for pair in pairs)
    assert ordered[0].p_adjusted == pytest.approx(min(1, 10 * ordered[0].p_value))
    assert [p.p_adjusted for p in ordered] == sorted(p.p_adjusted for p in ordered)
    wrong = 0
    for trial in range(40):
        found = compare_all({f"e{i}": change(0.0, 1000 + 10 * trial + i, seeds=3) for i in range(3)})
        wrong += any(pair.p_adjusted < 0.05 for pair in found)
    assert wrong <= 6  # 5% of 40 is 2; more than 6 has a chance below 1 in 200


def test_more_questions_and_seeds_tell_more_apart():
    few = separable(
        compare_all({"a": change(0, 1, questions=8, seeds=3), "b": change(0, 2, questions=8, seeds=3)})
    )
    many = separable(
        compare_all({"a": change(0, 1, questions=96, seeds=8), "b": change(0, 2, questions=96, seeds=8)})
    )
    assert many < few / 2
    pairs = compare_all({"a": change(-5, 1, seeds=2), "b": change(5, 2, seeds=2)})
    assert pairs[0].p_value is None and separable(pairs) is None
    assert ranks(["a", "b"], pairs, "lower")["a"].text == "1-2"
    one = change(0.0, 1, seeds=5)
    part = one._replace(cells=one.cells[[2, 3, 4]])
    assert claim(paired(one, part)).difference == 0
    assert paired(one, change(0.0, 1, seeds=3, first_seed=7)).cells.shape[1] == 3
