"""The share of a gain that is kept: its interval is what the paired t test accepts, and it is undefined where it must be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from turncoat.stats.contrasts import paired_contrast
from turncoat.stats.estimates import estimate_mean
from turncoat.stats.fieller import differences, kept_share, ratio_of_means
from turncoat.stats.scores import SCORE_COLUMNS, grid


def gains(seed: int = 3, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    bottom = rng.normal(1.0, 0.5, n)
    return 0.6 * bottom + rng.normal(0, 0.2, n), bottom


def test_the_ends_are_where_the_paired_test_is_at_its_level():
    top, bottom = gains()
    found = ratio_of_means(top, bottom)
    assert found.value == pytest.approx(top.mean() / bottom.mean())
    assert found.low < found.value < found.high
    for end in (found.low, found.high):
        assert stats.ttest_1samp(top - end * bottom, 0).pvalue == pytest.approx(0.05, abs=1e-9)
    assert stats.ttest_1samp(top - (found.low + 0.01) * bottom, 0).pvalue > 0.05


def test_an_arm_that_learnt_the_same_keeps_all_of_it_and_claims_no_interval():
    _, bottom = gains()
    found = ratio_of_means(bottom.copy(), bottom)
    assert found.value == pytest.approx(1.0)
    assert (found.low, found.high) == (None, None)
    assert "same on every question" in found.note


@pytest.mark.parametrize("shift", [0.0, -1.0])
def test_without_a_gain_of_the_reference_there_is_no_share(shift):
    top, bottom = gains()
    found = ratio_of_means(top, bottom - bottom.mean() + shift)
    assert found.value is None
    assert found.note.startswith("the undefended arm's own gain is not above 0")


def test_one_question_is_not_enough():
    assert "needs at least 2" in ratio_of_means(np.ones(1), np.ones(1)).note


def test_differences_are_the_paired_contrasts():
    """With the same seeds and a lost answer, with other seeds, and against the base."""
    rng = np.random.default_rng(0)
    seeds = {"base": (-1,), "a": (0, 1), "b": (0, 1), "c": (1, 2)}
    rows = [
        (arm, seed, "t", "m", f"q{q}", rng.normal(), 1) for arm, own in seeds.items() for seed in own for q in range(9)
    ]
    scores = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
    scores.loc[(scores["arm"] == "a") & (scores["seed"] == 1) & (scores["question"] == "q4"), "value"] = np.nan
    for treated, reference in (("a", "b"), ("a", "c"), ("a", "base")):
        left, right = grid(scores, treated, "m").values, grid(scores, reference, "m").values
        mine = estimate_mean(differences(left, right))
        wanted = paired_contrast(scores, treated, reference, "m", "adapters")
        assert (mine.value, mine.low, mine.high) == pytest.approx((wanted.difference, wanted.low, wanted.high))
        assert mine.n_questions == wanted.n_questions


def test_an_answer_lost_in_one_arm_is_lost_in_both():
    base = pd.DataFrame({-1: [3.0, 3.0, 3.0]}, index=["x", "y", "z"])
    reference = pd.DataFrame({0: [1.0, 2.0, 1.5], 1: [9.0, 2.0, 1.5]}, index=["x", "y", "z"])
    arm = pd.DataFrame({0: [1.0, 2.0, 1.5], 1: [np.nan, 2.0, 1.5]}, index=["x", "y", "z"])
    assert kept_share(base, arm, reference).value == pytest.approx(1.0)
