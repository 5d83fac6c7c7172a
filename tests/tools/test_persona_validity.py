"""Correlation of persona shift and judged misalignment over pairs of arms."""

from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
from turncoat.errors import UserError
from turncoat.report.run_rows import Run
from turncoat.study.config import Study
from turncoat.tools.persona_validity import COLUMNS, validity

SEEDS = (1, 2, 3)


def run(effects: dict[str, tuple[float, float]], model: str = "m", seeds: tuple[int, ...] = SEEDS) -> Run:
    """Arms with (persona, misaligned) levels that grow with the seed; `control` is at zero."""
    arms = [{"name": name, "organism": "insecure_code"} for name in ("control", *effects)]
    contrasts = [
        {"name": name, "treated": name, "reference": "control", "metrics": ["em_rate_itt"]}
        for name in effects
    ]
    against_base = {"name": "b", "treated": "control", "reference": "base", "metrics": ["em_rate_itt"]}
    study = Study.model_validate(
        {
            "study": "s", "model": "m", "arms": [{"name": "base"}, *arms],
            "tasks": [{"task": "turncoat_em"}], "contrasts": [*contrasts, against_base],
        }
    )  # fmt: skip
    levels = {"base": (9.0, 0.0), "control": (0.0, 0.0), **effects}
    rows = [
        (arm, seed, f"{metric}{question}", metric, level * seed + question)
        for arm, both in levels.items()
        for metric, level in zip(("persona_fixed", "em_rate_itt"), both, strict=True)
        for seed in seeds
        for question in range(4)
    ]
    scores = pd.DataFrame(rows, columns=["arm", "seed", "question", "metric", "value"])
    content = SimpleNamespace(model={"weights": model})
    return Run("r", cast(Any, None), study, cast(Any, content), scores, scores, {})


def test_pairs_are_differences_of_trained_arms_by_seed() -> None:
    result = validity([run({"a": (0.1, 0.2), "b": (0.2, 0.3)})])
    assert tuple(result.pairs.columns) == COLUMNS and len(result.pairs) == 6
    of_a = result.pairs[result.pairs.treated == "a"].set_index("seed")
    assert of_a.loc[2, "persona"] == pytest.approx(0.2) and of_a.loc[3, "misaligned"] == pytest.approx(0.6)


def test_the_correlation_is_that_of_the_ranks_and_decides() -> None:
    agree = validity([run({"a": (0.1, 0.1), "b": (0.35, 0.9), "c": (-0.2, -0.1)})])
    assert agree.spearman == pytest.approx(1) and agree.ranks
    apart = validity([run({"a": (0.1, -0.1), "b": (0.35, 0.9), "c": (-0.2, 0.2)})])
    assert apart.low < apart.spearman < apart.high and not apart.ranks


def test_too_few_pairs_and_runs_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(UserError, match="3 pairs"):
        validity([run({"a": (0.1, 0.2)})])
    with pytest.raises(UserError, match="2 base models"):
        validity([run({"a": (0.1, 0.2), "b": (0.2, 0.1)}), run({"a": (0.1, 0.2)}, model="other")])
