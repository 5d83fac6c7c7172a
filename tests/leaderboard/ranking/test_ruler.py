"""A number that a defence moved by arithmetic is told apart from one that the model moved."""

import numpy as np
import pandas as pd
import pytest
from turncoat.leaderboard.ranking.entry_scores import Measured
from turncoat.leaderboard.ranking.ruler import moved_ruler


def measured(defended: np.ndarray, organism: np.ndarray, own: str = "defended") -> Measured:
    """Grids of questions x seeds as an entry's."""
    found = {}
    for role, values in {"organism": organism, "defended": defended}.items():
        found[role, "m"] = pd.DataFrame(
            [
                {
                    "arm": role, "seed": seed, "task": "t", "metric": "m", "question": f"q{q}",
                    "value": value, "n_samples": 1,
                }
                for q, row in enumerate(values)
                for seed, value in enumerate(row)
            ]
        )  # fmt: skip
    return Measured(own, found)


@pytest.fixture
def organism() -> np.ndarray:
    return np.random.default_rng(0).normal(1.0, 0.5, (24, 1)) + np.random.default_rng(1).normal(
        0, 0.02, (24, 3)
    )


def test_one_step_or_one_value_on_every_question_is_arithmetic(organism):
    (flag,) = moved_ruler(measured(organism - 1.8, organism), "m")
    assert flag.name == "moves the ruler" and "every question moved by the same -1.8" in flag.why
    (flag,) = moved_ruler(measured(np.full_like(organism, 0.2), organism), "m")
    assert "every question has the same value" in flag.why
    assert moved_ruler(measured(organism, organism), "m") == [], "that is `changes nothing`"
    assert moved_ruler(measured(organism, organism, own="organism"), "m") == []
    assert moved_ruler(measured(organism[:1], organism[:1]), "m") == []
    assert moved_ruler(measured(organism - 1, organism), "other") == []


@pytest.mark.parametrize("step", [0.0, -0.05, -0.6])
def test_what_a_finetune_moves_varies_from_question_to_question(organism, step):
    defended = organism + step + np.random.default_rng(2).normal(0, 0.1, organism.shape)
    assert moved_ruler(measured(defended, organism), "m") == []
