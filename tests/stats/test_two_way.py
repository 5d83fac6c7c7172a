"""The two-way interval against analysis of variance, and that it covers what the t over seeds alone does
not."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from stats.score_tables import score_table
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from turncoat.errors import UserError
from turncoat.stats.contrasts import paired_contrast
from turncoat.stats.two_way import two_way_t


def cells(
    questions: int, seeds: int, sds: tuple[float, float, float], rng: np.random.Generator
) -> np.ndarray:
    """Differences with the given SDs between questions, between seeds and of single cells."""
    by_question = rng.normal(0, sds[0], (questions, 1))
    return by_question + rng.normal(0, sds[1], (1, seeds)) + rng.normal(0, sds[2], (questions, seeds))


def test_equals_the_mean_squares_of_statsmodels() -> None:
    table = cells(9, 4, (0.2, 0.3, 0.1), np.random.default_rng(1)) + 0.15
    found = two_way_t(table)
    q, s = np.indices(table.shape)
    frame = pd.DataFrame({"y": table.ravel(), "q": q.ravel(), "s": s.ravel()})
    squares = anova_lm(ols("y ~ C(q) + C(s)", frame).fit())["mean_sq"]
    of_q, of_s, of_e = squares["C(q)"], squares["C(s)"], squares["Residual"]
    variance = (of_q + of_s - of_e) / table.size
    df = (of_q + of_s - of_e) ** 2 / (of_q**2 / 8 + of_s**2 / 3 + of_e**2 / 24)
    assert (found.se, found.df) == (pytest.approx(variance**0.5), pytest.approx(df))
    assert found.p_value == pytest.approx(2 * stats.t.sf(table.mean() / variance**0.5, df))
    assert found.sd_seed == pytest.approx(((of_s - of_e) / 9) ** 0.5)
    assert found.sd_question == pytest.approx(((of_q - of_e) / 4) ** 0.5)
    assert found.sd_cell == pytest.approx(of_e**0.5)


def test_no_error_is_smaller_than_one_of_its_parts() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        table = cells(6, 3, (0.02, 0.0, 0.2), rng)
        found = two_way_t(table)
        of_questions, of_seeds = (
            table.mean(axis=axis).std(ddof=1) / table.shape[1 - axis] ** 0.5 for axis in (1, 0)
        )
        assert found.se is not None and found.se >= max(of_questions, of_seeds) * (1 - 1e-12)


def test_missing_cells_change_little_and_hide_nothing():
    rng = np.random.default_rng(3)
    table = cells(60, 5, (0.1, 0.1, 0.1), rng)
    holes = table.copy()
    holes[rng.random(table.shape) < 0.1] = np.nan
    whole, found = two_way_t(table), two_way_t(holes)
    assert found.difference == pytest.approx(np.nanmean(holes, axis=0).mean())
    assert found.sd_cell == pytest.approx(whole.sd_cell, rel=0.15)
    assert found.se == pytest.approx(whole.se, rel=0.15)
    table = np.add.outer(np.arange(6.0), np.array([0.0, 3.0, 5.0]))
    table[0, 0] = table[3, 2] = np.nan
    assert two_way_t(table).sd_cell == pytest.approx(0, abs=1e-6)


def test_covers_new_seeds_and_new_questions_where_the_t_over_seeds_does_not() -> None:
    rng = np.random.default_rng(4)
    covered = over_seeds = 0
    for _ in range(400):
        table = cells(12, 5, (0.12, 0.05, 0.07), rng)
        found = two_way_t(table)
        assert found.low is not None and found.high is not None
        covered += found.low <= 0 <= found.high
        over_seeds += stats.ttest_1samp(table.mean(axis=0), 0).pvalue >= 0.05
    assert 0.92 <= covered / 400 <= 0.985 and over_seeds / 400 < 0.88


@pytest.mark.parametrize(("table", "words"), [
    (np.full((3, 3), np.nan), "no cell has a value"), (np.ones((1, 5)), "at least 2 questions"),
    (np.ones((5, 1)), "at least 2 questions and 2 training seeds"), (np.ones((4, 3)), "the same difference"),
])  # fmt: skip
def test_what_defines_no_interval_says_why(table: np.ndarray, words: str) -> None:
    found = two_way_t(table)
    assert (found.low, found.se, found.p_value) == (None, None, None) and words in found.note


def test_infinite_and_flat_cells_are_refused() -> None:
    with pytest.raises(UserError, match="infinite"):
        two_way_t(np.array([[1.0, np.inf], [0.0, 1.0]]))
    with pytest.raises(UserError, match="row per question"):
        two_way_t(np.ones(4))


def test_standard_errors_are_those_of_clustered_least_squares() -> None:
    rng = np.random.default_rng(8)
    treated, reference = (cells(15, 4, (0.2, 0.1, 0.1), rng) for _ in range(2))
    values = {(arm, s): table[:, s] for arm, table in (("t", treated), ("c", reference)) for s in range(4)}
    adapters = paired_contrast(score_table(values), "t", "c", "m", "adapters")
    recipe = paired_contrast(score_table(values), "t", "c", "m", "recipe")
    difference = (treated - reference).ravel()
    questions, seeds = (index.ravel() for index in np.indices(treated.shape))

    def error(groups: np.ndarray) -> float:
        fit = sm.OLS(difference, np.ones(len(difference))).fit(
            cov_type="cluster", cov_kwds={"groups": groups}
        )
        return float(fit.bse[0])

    assert recipe.seed_sd is not None and error(questions) == pytest.approx(adapters.se)
    assert error(seeds) == pytest.approx(recipe.seed_sd / 2)
    assert error(np.column_stack([questions, seeds])) == pytest.approx(recipe.two_way.se, rel=0.15)
