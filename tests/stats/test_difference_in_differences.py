"""Difference in differences: what cancels, which cells are used, and that it is the contrast of two
contrasts."""

import numpy as np
import pytest
from scipy import stats
from stats.score_tables import grids, score_table
from turncoat.errors import UserError
from turncoat.stats.contrasts import TooFewQuestions, difference_of_grids, paired_contrast

ARMS = ("org_def", "ctl_def", "org", "ctl")


def four_arms(n_seeds: int = 4, questions: int = 15) -> dict[tuple[str, int], np.ndarray]:
    rng = np.random.default_rng(8)
    return {(arm, seed): rng.normal(0, 1, questions) for arm in ARMS for seed in range(n_seeds)}


def did(values: dict[tuple[str, int], np.ndarray], claim: str = "adapters", arms: tuple[str, ...] = ARMS):
    one, two, three, four = grids(values, *arms)
    return difference_of_grids((one, two), (three, four), claim)  # type: ignore[arg-type]


def test_claims_are_tests_of_the_differences():
    values = four_arms()
    means = {arm: np.mean([values[arm, s] for s in range(4)], axis=0) for arm in ARMS}
    expected = stats.ttest_rel(means["org_def"] - means["ctl_def"], means["org"] - means["ctl"])
    found = did(values)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.difference == pytest.approx(
        np.mean(means["org_def"] - means["ctl_def"]) - np.mean(means["org"] - means["ctl"])
    )
    assert (found.treated, found.reference, found.minus_treated, found.minus_reference) == ARMS
    values = four_arms()
    scores = score_table(values)
    pair, minus = (paired_contrast(scores, *arms, "m", "recipe") for arms in (ARMS[:2], ARMS[2:]))
    found = did(values, "recipe")
    assert found.seed_deltas == pytest.approx(np.subtract(pair.seed_deltas, minus.seed_deltas))
    assert found.seeds.p == pytest.approx(stats.ttest_1samp(found.seed_deltas, 0).pvalue)


def test_whatever_shifts_both_sides_alike_cancels() -> None:
    values = four_arms()
    plain = did(values, "recipe")
    rng = np.random.default_rng(9)
    for seed in range(4):
        for pair in (ARMS[::2], ARMS[1::2]):  # the organisms alike, the controls alike
            shift = rng.normal(0, 5, 15)
            for arm in pair:
                values[arm, seed] = values[arm, seed] + shift
    assert did(values, "recipe").seed_deltas == pytest.approx(plain.seed_deltas)
    assert did(values).p_value == pytest.approx(did(four_arms()).p_value)


def test_a_lost_cell_is_left_out_of_all_four_arms() -> None:
    values = four_arms(2)
    values["ctl", 1][4] = np.nan
    found = did(values)
    cells = np.array(
        [
            (values["org_def", s] - values["ctl_def", s]) - (values["org", s] - values["ctl", s])
            for s in range(2)
        ]
    )
    assert found.difference == pytest.approx(np.nanmean(cells, axis=0).mean())
    assert (found.n_questions, found.n_dropped) == (15, 1)


def test_an_untrained_pair_is_shared_by_all_seeds() -> None:
    """A system prompt on the base model against the base: no seed in it."""
    values = {key: value for key, value in four_arms(3).items() if key[0] in ARMS[:2]}
    rng = np.random.default_rng(10)
    values |= {("org", -1): rng.normal(0, 1, 15), ("ctl", -1): rng.normal(0, 1, 15)}
    found = did(values, "recipe")
    shared = np.mean(values["org", -1] - values["ctl", -1])
    expected = [np.mean(values["org_def", s] - values["ctl_def", s]) - shared for s in range(3)]
    assert found.seed_deltas == pytest.approx(expected)
    mirror = did(values, "recipe", ARMS[2:] + ARMS[:2])
    assert mirror.seed_deltas == pytest.approx([-delta for delta in expected])


def test_pairs_with_other_seeds_and_none():
    values = four_arms(3)
    del values["org", 2], values["ctl", 2]
    assert "different training seeds" in did(values).note and did(values, "recipe").n_seeds == 2
    with pytest.raises(UserError, match="two different pairs"):
        did(four_arms(), arms=("org", "ctl", "org", "ctl"))
    values = four_arms()
    for seed in range(4):
        values["ctl", seed][1:] = np.nan
    with pytest.raises(TooFewQuestions, match="'org_def', 'ctl_def', 'org', 'ctl' share 1 question"):
        did(values)
