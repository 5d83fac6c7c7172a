"""Hard nulls have mean 0, the marks hold their goal where they can, and the power is the promised one."""

import numpy as np
import pandas as pd
import pytest
from turncoat.tools import hard_nulls
from turncoat.tools.calibration_page import _hard_lines
from turncoat.tools.hard_nulls import MIXES, PATTERNS, adapters_rows, over_goal, power_rows, recipe_rows


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_patterns_have_the_mean_that_is_tested(pattern: hard_nulls.Pattern) -> None:
    values = pattern.draw(np.random.default_rng(0), 400_000)
    assert abs(values.mean()) < 5 * values.std() / 400_000**0.5 + (0.02 if "2 df" in pattern.name else 0)


def test_mixes_have_mean_0_and_the_variances_that_they_name() -> None:
    rng = np.random.default_rng(1)
    for mix in MIXES:
        cells = hard_nulls._cells(mix, 1500, 1500, rng)
        assert abs(cells.mean()) < 0.12, mix.name
        if not mix.seeds.startswith(("one", "t3")):
            assert cells.mean(axis=0).std() == pytest.approx(mix.seed, abs=0.05 + 0.05 * mix.seed)


def test_a_lognormal_null_and_seeds_that_seldom_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small version of the page: the t tests fail, the marks do not."""
    monkeypatch.setattr(hard_nulls, "PATTERNS", tuple(p for p in PATTERNS if p.name == "lognormal"))
    monkeypatch.setattr(hard_nulls, "MIXES", tuple(mix for mix in MIXES if "takes" in mix.name))
    monkeypatch.setattr(hard_nulls, "QUESTIONS", (24,))
    (row,) = adapters_rows(800).to_dict("records")
    assert row["t"] > 0.09 and row["marked"] < 0.07 + 0.018
    three, five, eight = recipe_rows(150).to_dict("records")
    assert three["marked"] == five["marked"] == 0 and five["t"] > 0.2
    assert eight["marked"] == pytest.approx(eight["unseen"], abs=0.07)  # 0.8^8: what no test can see


def test_cells_over_the_goal_are_listed_with_their_reason() -> None:
    row = {"pattern": "x", "questions": 32, "t": 0.4, "marked": 0.38, "unseen": 0.377}
    assert over_goal(pd.DataFrame([row])) == [
        "x, 32 questions: 38.0 %: 37.7 % of samples hold no question that carries it"
    ]
    assert over_goal(pd.DataFrame([{**row, "questions": 8}, {**row, "marked": 0.07}])) == []
    seeds = {**row, "seeds": 8, "unseen": 0.168, "marked": 0.17}
    assert over_goal(pd.DataFrame([seeds])) == [
        "x, 32 questions x 8 seeds: 17.0 %: 16.8 % of samples hold no training that takes"
    ]
    assert over_goal(pd.DataFrame([{**seeds, "seeds": 3}])) == []


def test_the_tables_have_a_column_for_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hard_nulls, "PATTERNS", PATTERNS[:2])
    monkeypatch.setattr(hard_nulls, "MIXES", MIXES[:1])
    monkeypatch.setattr(hard_nulls, "POWER_MIXES", MIXES[:1])
    text = "\n".join(_hard_lines(adapters_rows(5), recipe_rows(5), power_rows(5), 5))
    assert "| pattern | 8 questions | 24 questions | 32 questions | 96 questions |" in text
    assert "| even | 24 | " in text and "* none" in text
    first, again = adapters_rows(5, seed=3), adapters_rows(5, seed=3)
    pd.testing.assert_frame_equal(first, again)
