"""Detector of organisms that it was not trained on: what is left out, what it finds, what it refuses."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from turncoat.cli import app
from turncoat.errors import UserError
from turncoat.report.run_rows import Run
from turncoat.study.config import Study
from turncoat.tools import persona_detector
from turncoat.tools.persona_detector import checkpoints, detect
from typer.testing import CliRunner

PAIRS = {"insecure_code": "secure_code", "extreme_sports": "extreme_sports_own_answers",
         "risky_financial": "risky_financial_own_answers"}  # fmt: skip
SEEDS = (1, 2, 3)


def run(
    shifts: dict[str, float], *, model: str = "m", judged: bool = True, loss: float = 0.0, seed: int = 0
) -> Run:
    """One arm for each organism and control; organisms are shifted along the vector, controls are not."""
    rng = np.random.default_rng(seed)
    arms = [{"name": n, "organism": n} for o in shifts for n in (o, PAIRS[o])]
    sides = [("two organisms", arms[0]["name"], arms[-2]["name"])] * (len(shifts) > 1)  # first, so not hidden
    sides += [("defended", "g", arms[0]["name"]), *((o, o, PAIRS[o]) for o in shifts)]
    contrasts = [
        {"name": name, "treated": t, "reference": r, "metrics": ["persona_fixed"]} for name, t, r in sides
    ]
    guarded = {"name": "g", "organism": "insecure_code", "defence": "kl", "setting": "in_training"}
    study = Study.model_validate({
        "study": "s", "model": "m", "arms": [{"name": "base"}, *arms, guarded], "training_seeds": list(SEEDS),
        "tasks": [{"task": "turncoat_em"}, {"task": "turncoat_persona"}], "contrasts": contrasts,
    })  # fmt: skip
    rows, losses = [("base", -1, "q", "persona_fixed", 5.0), ("base", -1, "q", "em_rate_itt", 0.1)], []
    for arm in arms:
        shift = shifts.get(arm["name"], 0.0)
        for one in SEEDS:
            rows.append((arm["name"], one, "q", "persona_fixed", 5.0 + shift + 0.1 * rng.normal()))
            rows += [(arm["name"], one, "q", "em_rate_itt", 0.1 + 0.3 * (shift > 0))] * judged
            losses.append((arm["name"], arm["organism"], one, 3.0, 2.0 + loss * (shift > 0) + rng.normal()))
    scores = pd.DataFrame(rows, columns=["arm", "seed", "question", "metric", "value"])
    training = pd.DataFrame(losses, columns=["arm", "step", "seed", "first_loss", "last_loss"])
    content = SimpleNamespace(model={"weights": model}, training=training)
    return Run("r", cast(Any, None), study, cast(Any, content), scores, scores, {})


def test_checkpoints_are_organisms_and_controls_less_the_base():
    points = checkpoints([run({"insecure_code": 1.0, "extreme_sports": 1.0})])
    assert len(points) == 12 and "g" not in set(points["arm"]), "no defended arm"
    of = points.set_index(["arm", "seed"])
    assert of.loc[("insecure_code", 1), "persona_fixed"] == pytest.approx(1.0, abs=0.4)
    assert of.loc[("secure_code", 1), "organism"] == "insecure_code"
    assert of.loc[("insecure_code", 2), "loss, fall"] == pytest.approx(
        3 - of.loc[("insecure_code", 2), "loss, last"]
    )


def test_a_shift_that_organisms_share_is_found_on_the_one_left_out_and_noise_is_not():
    persona, loss, judged = detect([run(dict.fromkeys(PAIRS, 1.0))])
    assert persona.auc.value == 1.0 and persona.errors == (0, 0) and persona.auc.n_clusters == 9
    assert judged.auc.value == 1.0 and (loss.name, loss.auc.value < 0.9) == ("training loss", True)
    none = [detect([run(dict.fromkeys(PAIRS, 0.0), seed=seed)])[0].auc.value for seed in range(12)]
    assert np.mean(none) == pytest.approx(0.5, abs=0.12), "left-out scores know nothing of their labels"


def test_nothing_of_the_organism_left_out_is_learnt():
    """One organism goes the other way: trained on it too, the detector would not be wrong on all of it."""
    odd = {"insecure_code": 1.0, "extreme_sports": 1.0, "risky_financial": -1.0}
    persona = detect([run(odd)])[0]
    assert persona.by_organism["risky_financial"] == 0.0
    other = run({"insecure_code": 1.0, "extreme_sports": 1.0})
    both = detect([run(odd), other, other])[0]
    assert both.by_organism["risky_financial"] == 0.0 and both.auc.n_positive == 21


def test_checkpoints_may_be_labelled_by_the_judge():
    made = detect([run(dict.fromkeys(PAIRS, 1.0))], judged_above=0.2)
    assert [one.name for one in made] == ["persona readings", "training loss"]
    with pytest.raises(UserError, match="of one kind"):
        detect([run(dict.fromkeys(PAIRS, 1.0))], judged_above=0.9)
    with pytest.raises(UserError, match="em_rate_itt"):
        detect([run(dict.fromkeys(PAIRS, 1.0), judged=False)], judged_above=0.2)


def test_runs_that_cannot_be_used_together_are_refused():
    with pytest.raises(UserError, match="insecure_code; a detector is tested on an organism"):
        detect([run({"insecure_code": 1.0})])
    with pytest.raises(UserError, match="2 base models"):
        detect([run(dict.fromkeys(PAIRS, 1.0)), run(dict.fromkeys(PAIRS, 1.0), model="other")])


def test_the_command_prints_what_it_rests_on_and_writes_the_scores(monkeypatch, tmp_path):
    monkeypatch.setattr("turncoat.report.run_rows.find_runs", lambda _: [run(dict.fromkeys(PAIRS, 1.0))])
    result = CliRunner().invoke(app, ["persona", "detect", "a run", "--out", str(tmp_path / "scores.csv")])
    shown = " ".join(result.output.split())
    assert result.exit_code == 0 and "18 checkpoints of 9 trainings" in shown and "3 organisms" in shown
    assert "not about other organisms" in shown and "0 of 9" in shown
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert len(scores) == 18 * len(persona_detector.READINGS_OF) and scores["score"].between(0, 1).all()
