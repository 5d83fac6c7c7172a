"""The simulation has the truth that it says, a small version of the calibration table holds, and a wrong test
is found out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from turncoat.errors import UserError
from turncoat.tools.calibrate import TESTS, Null, calibration, markdown_table, simulate, verdicts
from turncoat.tools.calibration_page import BEGIN, END, replaced


def test_the_null_has_the_variances_and_means_that_it_names() -> None:
    null = Null(samples=10_000)
    many = [simulate(null, 300, 6, np.random.default_rng(seed)) for seed in range(40)]
    arms = [one.treated for one in many]
    assert np.mean(arms) == pytest.approx(null.mean, abs=0.01)
    assert np.mean([arm[:, 0].std(ddof=1) for arm in arms]) == pytest.approx(null.sd_question, abs=0.02)
    by_seed = [arm.mean(axis=0).std(ddof=1) for arm in arms]
    assert np.mean(by_seed) == pytest.approx(null.sd_seed, rel=0.15)
    assert all(arm.min() >= 0 and arm.max() <= 1 for arm in arms)


@pytest.mark.parametrize(
    "null", [Null(samples=10_000), Null(samples=10_000, sd_reference=0.05)], ids=["even", "skewed"]
)
def test_the_truths_are_what_endless_data_show(null: Null) -> None:
    rng = np.random.default_rng(2)
    wide = simulate(null, 40_000, 3, rng)
    assert (wide.treated - wide.reference).mean() == pytest.approx(wide.of_adapters, abs=0.004)
    deep = simulate(null, 6, 20_000, rng)
    assert (deep.treated - deep.reference).mean() == pytest.approx(deep.of_questions, abs=0.004)
    assert abs(simulate(null, 20_000, 2, rng).of_questions) < 0.01


def test_an_impossible_spread_is_an_error_and_the_same_seed_gives_the_same_table() -> None:
    with pytest.raises(UserError, match="cannot have an SD"):
        simulate(Null(mean=0.1, sd_question=0.5), 8, 3, np.random.default_rng(0))
    with pytest.raises(UserError, match="seeds"):
        calibration(Null(), (8,), (2,), 1)
    first, again = (calibration(Null(), (24,), (3,), replicates=5, rng=7) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)


def test_small_calibration() -> None:
    """Within Monte-Carlo error; the table in stats/README.md is the large version."""
    rows = calibration(Null(), (8, 24), (3,), replicates=120, rng=1)
    told = [line for line in verdicts(rows) if "conservative" not in line]
    assert told == []
    assert (rows["recipe_permutation"] == 0).all()  # 3 seeds: its floor is 0.25
    assert (rows["adapters_covers_recipe"] < rows["adapters_covers"]).all()


def test_verdicts_allow_for_monte_carlo_error_only() -> None:
    names = [name for columns in TESTS.values() for name in columns]
    good = {name: 0.95 if "covers" in name else 0.05 for name in names}
    row = {"questions": 8, "seeds": 3, "replicates": 1000, "adapters_covers_recipe": 0.4}
    assert verdicts(pd.DataFrame([{**row, **good}])) == []
    assert verdicts(pd.DataFrame([{**row, **good, "adapters_t": 0.06}])) == []
    assert verdicts(pd.DataFrame([{**row, **good, "adapters_t": 0.07}])) == [
        "8 questions x 3 seeds: adapters_t rejects 7.0%"
    ]
    assert "covers 91.0%" in verdicts(pd.DataFrame([{**row, **good, "recipe_covers": 0.91}]))[0]
    assert "conservative" in verdicts(pd.DataFrame([{**row, **good, "recipe_covers": 0.99}]))[0]
    cells = [line.count("|") for line in markdown_table(pd.DataFrame([{**row, **good}]))]
    assert len(set(cells)) == 1


def test_the_table_goes_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    assert replaced(page, "new") == f"{BEGIN}\nnew\n{END}\n"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert replaced(page, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    page.write_text("no markers")
    with pytest.raises(UserError, match="calibration: begin"):
        replaced(page, "new")
