"""The share of learning that is kept: its point is the report's, its ends are where the recipe test starts to reject."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from turncoat.leaderboard.ranking.entry_scores import claim
from turncoat.leaderboard.ranking.recipe_share import recipe_share
from turncoat.stats.fieller import kept_share
from turncoat.stats.paired import pair_differences
from turncoat.stats.scores import BASE_SEED, Grid


def losses(
    kept: float, rng: int = 0, *, gain: float = 0.8, seeds: int = 3, questions: int = 30
) -> tuple[Grid, Grid, Grid]:
    """Base, arm and reference: the reference gains `gain`, the arm that share of it."""
    draw = np.random.default_rng(rng)
    hard = draw.normal(2, 0.3, questions)
    names = [f"q{i}" for i in range(questions)]

    def trained(arm: str, size: float) -> Grid:
        values = hard[:, None] - size + draw.normal(0, 0.05, (questions, seeds)) + draw.normal(0, 0.02, (1, seeds))
        return Grid(arm, "loss", pd.DataFrame(values, index=names, columns=range(seeds)), {})

    base = Grid("base", "loss", pd.DataFrame({BASE_SEED: hard}, index=names), {})
    return base, trained("defended", kept * gain), trained("organism", gain)


@pytest.mark.parametrize("kept", [0.0, 0.5, 1.0])
def test_point_is_the_reports_and_the_interval_holds_it(kept):
    base, arm, reference = losses(kept)
    found = recipe_share(base, arm, reference)
    assert found.value == pytest.approx(kept_share(base.values, arm.values, reference.values).value)
    assert found.low < found.value < found.high
    assert found.low - 0.05 < kept < found.high + 0.05


def test_the_ends_are_where_the_recipe_test_starts_to_reject():
    base, arm, reference = losses(0.7)
    found = recipe_share(base, arm, reference)
    top, bottom = pair_differences(base, arm), pair_differences(base, reference)
    for end in (found.low, found.high):
        cells = top.cells - end * bottom.cells
        assert claim(top._replace(cells=cells, by_question=cells.mean(axis=1))).p_value == pytest.approx(0.05, abs=1e-3)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    hits = 0
    for rng in range(15):
        found = recipe_share(*losses(0.6, rng, questions=12))
        hits += found.low <= 0.6 <= found.high
    assert hits >= 12  # 95% would be 14


def test_a_reference_that_learnt_nothing_gives_no_share():
    found = recipe_share(*losses(0.5, gain=0.0))
    assert found.value is None and "not above 0" in found.note


def test_the_same_rows_keep_all_of_it_and_those_of_the_base_nothing():
    base, _, reference = losses(1.0)
    assert recipe_share(base, reference._replace(arm="defended"), reference).value == 1
    copy = Grid("defended", "loss", pd.concat([base.values[BASE_SEED]] * 3, axis=1, keys=range(3)), {})
    found = recipe_share(base, copy, reference)
    assert (found.value, found.low) == (0, None)


def test_two_seeds_give_a_share_without_an_interval():
    found = recipe_share(*losses(0.5, seeds=2))
    assert found.value == pytest.approx(0.5, abs=0.1) and found.low is None and "seeds" in found.note
