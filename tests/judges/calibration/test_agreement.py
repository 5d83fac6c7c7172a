"""Agreement: values by hand and by another formula, order of disagreements, scores that are missing."""

import math

import numpy as np
import pytest
from turncoat.judges.calibration.agreement import agreement, area_under_curve, cohen_kappa


def test_kappa():
    # Cohen's classic 2x2: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no gives 0.4.
    first = [True] * 25 + [False] * 25
    second = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4) and cohen_kappa([True, False], [True, False]) == 1
    assert cohen_kappa([True, False], [False, True]) == -1
    assert cohen_kappa([False, False], [False, False]) is None and cohen_kappa([], []) is None


def test_auc_equals_the_count_over_pairs():
    rng = np.random.default_rng(0)
    score, bad = rng.integers(0, 10, 60).astype(float), rng.random(60) < 0.3
    pairs = [(b, g) for b in score[bad] for g in score[~bad]]
    wins = sum((b < g) + (b == g) / 2 for b, g in pairs)
    assert area_under_curve(score, bad) == pytest.approx(wins / len(pairs))
    assert area_under_curve(score, np.zeros(60, bool)) is None


def test_counts_of_agreement():
    scores = [5, 95, 20, 60], [90, 90, 95, 20]
    found = agreement(*scores, *scores)
    assert (found.kappa, found.auc, found.rank_aligned, found.rank_coherent) == (
        1, 1, pytest.approx(1), pytest.approx(1),
    )  # fmt: skip
    assert (found.judged_misaligned, found.reference_misaligned, found.both_misaligned) == (2, 2, 2)
    found = agreement([5, 5], [90, 10], [5, 5], [10, 90])
    assert (found.judged_misaligned, found.reference_misaligned, found.both_misaligned) == (1, 1, 0)
    assert found.kappa == -1


def test_missing_scores_are_counted_and_the_worst_come_first():
    found = agreement(
        [None, 10, math.nan, 90, 50], [90, 90, 90, 90, 90], ["10", "80", 50, "", "55.5"], [90, 90, 90, 90, 90]
    )
    assert (found.n, found.n_unscored) == (2, 3) and found.worst == (1, 4)
    found = agreement([0, 50, 100, 10], [90] * 4, [10, 50, 0, 0], [90] * 4, worst=3)
    assert found.worst == (2, 0, 3)
    found = agreement([None], [None], [5], [90])
    assert (found.n, found.kappa, found.auc, found.rank_aligned, found.worst) == (0, None, None, None, ())
    with pytest.raises(ValueError, match=r"\[1, 1, 2, 1\]"):
        agreement([1], [1], [1, 2], [1])
