"""No card, no claim."""

from typing import Any

import pandas as pd
import pytest
from turncoat.analysis.analyse import ContrastSpec, analyse
from turncoat.analysis.persona_card import BARRED, barred_metrics, card_failure
from turncoat.study.config import Study

TASKS = [{"task": "turncoat_persona"}, {"task": "turncoat_choice"}]


def card(auc: float, random: float = 0.64, shuffled: float = 0.63, trait: str = "evil") -> dict[str, Any]:
    held_out = {"auc": [0.5, auc], "random_p95": [0.9, random], "shuffled_p95": [0.9, shuffled]}
    return {"trait": trait, "layer": 1, "held_out": held_out}


def study(**keys: Any) -> Study:
    return Study.model_validate(
        {"study": "s", "model": "m", "arms": [{"name": "base"}], "tasks": TASKS, **keys}
    )


@pytest.mark.parametrize(
    ("auc", "words"),
    [(0.70, ()), (0.64, ("0.64", "random")), (0.58, ("0.58", "random", "shuffled")), (0.635, ("random",))],
)
def test_a_vector_has_to_beat_both_controls_at_its_layer(auc: float, words: tuple[str, ...]) -> None:
    failure = card_failure(card(auc))
    assert bool(failure) == bool(words) and all(word in failure for word in words)
    assert ("shuffled" in failure) == ("shuffled" in words)


def test_readings_are_barred_without_a_passed_card_of_their_own_trait_and_nothing_else_is() -> None:
    assert barred_metrics(study(), card(0.7)) == {}
    for failing in (card(0.5), None, card(0.7, trait="misalignment"), {"trait": "evil", "layer": 1}):
        barred = barred_metrics(study(), failing)
        assert barred["persona_fixed"] == BARRED and "margin_per_token" not in barred
    assert barred_metrics(study(claims_without_card=True), card(0.5)) == {}


def test_a_bar_takes_marks_and_margin_tests_away_and_changes_no_other_number() -> None:
    rows = [
        {
            "arm": arm,
            "seed": seed,
            "task": "t",
            "n_samples": 1,
            "question": f"q{q}",
            "metric": metric,
            "value": q % 3 * 0.1 + (arm == "a") * step,
        }
        for arm, seeds in (("a", (0, 1, 2)), ("b", (0, 1, 2)))
        for seed in seeds
        for q in range(12)
        for metric, step in (("persona_fixed", 1 + q % 2 * 0.1), ("margin", 0.5 + q % 2 * 0.1))
    ]
    spec = ContrastSpec(
        "a minus b", "a", "b", ("persona_fixed", "margin"), "primary", margins={"persona_fixed": 5.0}
    )
    free, barred = (
        analyse(pd.DataFrame(rows), [spec], barred=bar)
        .contrasts.query("claim == 'adapters'")
        .set_index("metric")
        for bar in ({}, {"persona_fixed": BARRED})
    )
    assert (
        free.loc["persona_fixed", "withheld"] == "" and free.loc["persona_fixed", "p_margin_adjusted"] < 0.05
    )
    assert barred.loc["persona_fixed", "withheld"] == BARRED
    assert pd.isna(barred.loc["persona_fixed", "p_margin_adjusted"])
    same = ["difference", "low", "high", "p_value", "p_adjusted", "family"]
    assert barred[same].equals(free[same])
    assert barred.loc["margin", "withheld"] == free.loc["margin", "withheld"] == ""
