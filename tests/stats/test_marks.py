"""Patterns that bar a mark, named with their numbers, and those that do not."""

import numpy as np
import pytest
from scipy import stats
from stats.score_tables import score_table
from turncoat.stats.contrasts import Contrast, paired_contrast
from turncoat.stats.families import TestedContrast, corrected_rows
from turncoat.stats.marks import bars, effective_carriers, may_be_marked
from turncoat.stats.sign_flip import sign_flip_p

RNG = np.random.default_rng(0)


def recipe(n_seeds: int, questions: int = 24, effect: float = 1.0) -> Contrast:
    rng = np.random.default_rng(3)
    values = {("org", s): effect + rng.normal(0, 0.1, questions) for s in range(n_seeds)}
    values |= {("ctl", s): rng.normal(0, 0.1, questions) for s in range(n_seeds)}
    return paired_contrast(score_table(values), "org", "ctl", "m", "recipe")


def row_of(contrast: Contrast) -> dict[str, object]:
    (row,) = corrected_rows([TestedContrast(contrast, "primary")], 0.95)
    return row


@pytest.mark.parametrize(("n", "level", "may"), [(5, 0.05, False), (6, 0.05, True), (7, 0.01, False)])
def test_units_that_exact_flips_need(n: int, level: float, may: bool) -> None:
    assert may_be_marked(n, level) is may is (sign_flip_p(np.ones(n)) < level)


def test_five_seeds_are_not_marked_however_small_their_p_and_six_are() -> None:
    five, six = row_of(recipe(5)), row_of(recipe(6))
    assert five["p_adjusted"] < 1e-5 and five["p_value"] is not None  # type: ignore[operator]
    assert five["withheld"] == "exact sign flips over 5 training seeds cannot go below p = 0.0625"
    assert six["withheld"] == "" and six["p_value"] == 2 / 2**6  # the larger of the t p and the flips'


def test_a_p_above_the_level_withholds_nothing() -> None:
    assert row_of(recipe(5, effect=0.0))["withheld"] == ""


def test_two_questions_are_never_marked() -> None:
    scores = score_table({("org", 0): [1.0, 1.01], ("ctl", 0): [0.0, 0.0]})
    row = row_of(paired_contrast(scores, "org", "ctl", "m", "adapters"))
    assert row["p_adjusted"] < 0.05  # type: ignore[operator]
    assert row["withheld"] == "exact sign flips over 2 questions cannot go below p = 0.5"


def test_few_questions_that_differ_or_carry_are_named() -> None:
    sparse = np.r_[np.zeros(92), 0.2, 0.3, 0.2, 0.3]
    assert bars(sparse).startswith("only 4 of 96 questions differ at all; exact sign flips")
    carried = np.r_[RNG.normal(-0.1, 0.01, 30), 3.0, 2.0]
    assert bars(carried) == "2 of 32 questions hold 94% of the spread, so the mean rests on too few"
    assert effective_carriers(np.r_[np.zeros(99), 1.0]) == pytest.approx(1.0, abs=0.05)
    assert effective_carriers(np.r_[-np.ones(5), np.ones(5)]) == pytest.approx(10)


@pytest.mark.parametrize("questions", [8, 24, 96])
def test_ordinary_differences_are_seldom_barred(questions: int) -> None:
    """Normal differences of 8, 24 and 96 questions: in under 1 %."""
    barred = [bars(RNG.normal(0, 1, questions)) != "" for _ in range(1000)]
    assert np.mean(barred) < 0.01


def test_skewed_differences_need_a_p_that_allows_for_them() -> None:
    """Quantiles of an exponential whose mean is below 0: the long tail points the other way."""
    differences = stats.expon.ppf((np.arange(24) + 0.5) / 24) - 1.4
    scores = score_table({("org", 0): differences, ("ctl", 0): np.zeros(24)})
    row = row_of(paired_contrast(scores, "org", "ctl", "m", "adapters"))
    assert row["p_value"] < 0.05 < row["p_mark"] and row["barred"] == ""  # type: ignore[operator]
    said = f"skewed differences: the corrected p that allows for them is {row['p_mark']:.2g}"
    assert row["withheld"] == said


def test_skewed_questions_count_in_a_recipe_as_far_as_they_move_its_mean() -> None:
    """All of the two-way error comes from the questions, or hardly any of it."""
    values = stats.expon.ppf((np.arange(24) + 0.5) / 24)
    skews = []
    for seed_sd in (0.0, 5.0):
        shifts = seed_sd * stats.norm.ppf((np.arange(8) + 0.5) / 8) + 1e-3 * np.arange(8)
        table = {("org", s): values + shifts[s] for s in range(8)} | {
            ("ctl", s): np.zeros(24) for s in range(8)
        }
        of = {
            error.method: error
            for error in paired_contrast(score_table(table), "org", "ctl", "m", "recipe").errors
        }
        skews.append(of["t over seeds and questions"].skew / of["t over questions"].skew)
        assert of["t over seeds"].skew == 0
    assert skews[0] == pytest.approx(1.0, abs=0.01) and 0 < skews[1] < 0.01


def test_a_handful_of_questions_bounds_a_recipe() -> None:
    """2 questions and 8 seeds: no interval is narrower than the one over questions."""
    rng = np.random.default_rng(4)
    for _ in range(50):
        cells = rng.normal(0, 1, (2, 1)) + rng.normal(0, 1, (1, 8)) + rng.normal(0, 0.3, (2, 8))
        values = {("org", s): cells[:, s] for s in range(8)} | {("ctl", s): np.zeros(2) for s in range(8)}
        scores = score_table(values)
        over_both = paired_contrast(scores, "org", "ctl", "m", "recipe")
        over_questions = paired_contrast(scores, "org", "ctl", "m", "adapters")
        assert over_both.p_value is not None and over_questions.p_value is not None
        assert over_both.p_value >= over_questions.p_value - 1e-12
