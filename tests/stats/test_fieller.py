"""The share of a gain that is kept: its interval is what the paired t test accepts, and it is undefined where
it must be."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from stats.score_tables import grids
from turncoat.stats.contrasts import Contrast, filled_contrast
from turncoat.stats.fieller import kept_share, ratio_of_means
from turncoat.stats.paired import pair_differences
from turncoat.stats.scores import BASE_SEED, Grid


def gains(seed: int = 3, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    bottom = rng.normal(1.0, 0.5, n)
    return 0.6 * bottom + rng.normal(0, 0.2, n), bottom


def test_the_ends_are_where_the_tests_start_to_reject():
    top, bottom = gains()
    found = ratio_of_means(top, bottom)
    assert found.value == pytest.approx(top.mean() / bottom.mean()) and found.low < found.value < found.high
    for end in (found.low, found.high):
        assert stats.ttest_1samp(top - end * bottom, 0).pvalue == pytest.approx(0.05, abs=1e-9)
    assert stats.ttest_1samp(top - (found.low + 0.01) * bottom, 0).pvalue > 0.05
    base, arm, reference = losses(0.7)
    found = kept_share(base, arm, reference, "recipe")
    top, bottom = pair_differences(base, arm), pair_differences(base, reference)
    for end in (found.low, found.high):
        cells = top.cells - end * bottom.cells
        tested = filled_contrast(Contrast("", "", "recipe", "a", "b"), top._replace(cells=cells), 0.95, None)
        assert tested.p_value == pytest.approx(0.05, abs=1e-3)


def test_an_equal_arm_keeps_all_and_lost_answers_are_lost_in_both():
    _, bottom = gains()
    found = ratio_of_means(bottom.copy(), bottom)
    assert found.value == pytest.approx(1.0) and (found.low, found.high) == (None, None)
    assert "same on every question" in found.note
    values = {
        ("base", -1): [3.0, 3.0, 3.0], ("reference", 0): [1.0, 2.0, 1.5], ("reference", 1): [9.0, 2.0, 1.5],
    }  # fmt: skip
    values |= {("arm", 0): [1.0, 2.0, 1.5], ("arm", 1): [np.nan, 2.0, 1.5]}
    for claim in ("adapters", "recipe"):
        assert kept_share(*grids(values, "base", "arm", "reference"), claim).value == pytest.approx(1.0)


@pytest.mark.parametrize("shift", [0.0, -1.0])
def test_without_a_gain_of_the_reference_there_is_no_share(shift):
    top, bottom = gains()
    found = ratio_of_means(top, bottom - bottom.mean() + shift)
    assert found.value is None and found.note.startswith("the undefended arm's own gain is not above 0")


def test_shares_without_gain_seeds_or_questions():
    assert "needs at least 2" in ratio_of_means(np.ones(1), np.ones(1)).note
    found = kept_share(*losses(0.5, gain=0.0), "recipe")
    assert found.value is None and "not above 0" in found.note
    found = kept_share(*losses(0.5, seeds=2), "recipe")
    assert found.value == pytest.approx(0.5, abs=0.1) and found.low is None and "seeds" in found.note


def losses(
    kept: float, rng: int = 0, *, gain: float = 0.8, seeds: int = 3, questions: int = 30
) -> tuple[Grid, Grid, Grid]:
    """Base, arm and reference: the reference gains `gain`, the arm that share of it."""
    draw = np.random.default_rng(rng)
    hard = draw.normal(2, 0.3, questions)
    names = [f"q{i}" for i in range(questions)]

    def trained(arm: str, size: float) -> Grid:
        values = (
            hard[:, None] - size + draw.normal(0, 0.05, (questions, seeds)) + draw.normal(0, 0.02, (1, seeds))
        )
        return Grid(arm, "loss", pd.DataFrame(values, index=names, columns=range(seeds)), {})

    base = Grid("base", "loss", pd.DataFrame({BASE_SEED: hard}, index=names), {})
    return base, trained("defended", kept * gain), trained("organism", gain)


@pytest.mark.parametrize("kept", [0.0, 0.5, 1.0])
def test_recipe_share_has_the_point_of_the_adapters_and_holds_the_truth(kept):
    base, arm, reference = losses(kept)
    found = kept_share(base, arm, reference, "recipe")
    assert found.value == pytest.approx(kept_share(base, arm, reference, "adapters").value)
    assert found.low < found.value < found.high and found.low - 0.05 < kept < found.high + 0.05


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    hits = 0
    for rng in range(15):
        found = kept_share(*losses(0.6, rng, questions=12), "recipe")
        hits += found.low <= 0.6 <= found.high
    assert hits >= 12  # 95% would be 14


def test_the_same_rows_keep_all_of_it_and_those_of_the_base_nothing():
    base, _, reference = losses(1.0)
    assert kept_share(base, reference._replace(arm="defended"), reference, "recipe").value == 1
    copy = Grid("defended", "loss", pd.concat([base.values[BASE_SEED]] * 3, axis=1, keys=range(3)), {})
    found = kept_share(base, copy, reference, "recipe")
    assert (found.value, found.low) == (0, None)
