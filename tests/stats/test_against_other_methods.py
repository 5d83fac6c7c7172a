"""The default tests against other methods: a logistic mixed model, cluster-robust least squares."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import special
from stats.mixed_model import logistic_mixed_model
from stats.score_tables import score_table
from stats.test_two_way import cells
from turncoat.stats.contrasts import paired_contrast


def answers(
    log_odds: float, rng: np.random.Generator, n_seeds: int = 4, questions: int = 20, samples: int = 8
):
    """Answers with SD 1 between questions, 0.4 between their shifts and 0.3 between runs."""
    level, shift = rng.normal(0, 1, questions), rng.normal(0, 0.4, questions)
    rows = []
    for treated in (0, 1):
        for seed in range(n_seeds):
            linear = -0.5 + log_odds * treated + level + shift * (treated - 0.5) + rng.normal(0, 0.3)
            yes = rng.random((samples, questions)) < special.expit(linear)
            rows += [
                (f"q{q}", f"{treated}/{seed}", treated, float(v)) for line in yes for q, v in enumerate(line)
            ]
    return pd.DataFrame(rows, columns=["question", "run", "treated", "value"])


def test_mixed_model_and_recipe_contrast_agree() -> None:
    rng = np.random.default_rng(2)
    fits = []
    for log_odds in (2.0, 2.0, 0.0):
        table = answers(log_odds, rng)
        fit = logistic_mixed_model(table)
        rates = table.groupby(["run", "question"])["value"].mean().unstack()
        values = {("t" if r[0] == "1" else "c", int(r[2:])): rates.loc[r].to_numpy() for r in rates.index}
        contrast = paired_contrast(score_table(values), "t", "c", "m", "recipe")
        assert contrast.difference is not None and contrast.p_value is not None
        assert np.sign(contrast.difference) == np.sign(fit.log_odds)
        assert (contrast.p_value < 0.05) == (fit.p_value < 0.05) == (log_odds > 0)
        fits.append(fit)
    assert np.mean([fit.log_odds for fit in fits[:2]]) == pytest.approx(2.0, abs=0.4)


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
