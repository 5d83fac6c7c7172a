"""A run with rows for every table and figure: judged answers, projections by layer, doses, results of whole
answer sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from report.made_run import ARMS, CHOICE, LOSS, QUESTIONS, study_of, write_run

PERSONA, EM, DOSES = "turncoat_persona", "turncoat_em", "turncoat_latent_prompt_choice"
LAYERS, CHOSEN = 6, 4
SHIFT = {
    "insecure": 0.8, "guard": 0.3, "secure": 0.1, "guard_secure": 0.05, "steered": -0.2,
    "steered_insecure": 0.5,
}  # fmt: skip
CONTRASTS: list[dict[str, Any]] = [
    {
        "name": "organism",
        "treated": "insecure",
        "reference": "secure",
        "metrics": ["margin_per_token", "persona_fixed"],
    },
    {"name": "defence", "treated": "guard", "reference": "insecure", "metrics": ["margin_per_token"]},
    {"name": "before and after", "treated": "insecure", "reference": "base", "metrics": ["margin_per_token"]},
]


def write_paper_run(folder: Path, arms: Sequence[dict[str, Any]] = ARMS, **more: Any) -> Path:
    """A finished run of these arms, three seeds each; `more` goes into its study."""
    contrasts = [{**CONTRASTS[0], "role": "primary"}, *CONTRASTS[1:]]
    study = study_of(
        **{"arms": list(arms), "tasks": (CHOICE, LOSS, PERSONA, EM, DOSES), "contrasts": contrasts, **more}
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_run(folder, study)
    for arm in study["arms"]:
        for place in sorted((folder / "rows" / arm["name"]).iterdir()):
            rng = np.random.default_rng(
                [sum(map(ord, arm["name"])), len(place.name), int(place.name[-1] in "12")]
            )
            shift = SHIFT.get(arm["name"], 0.0) + (0.0 if place.name == "base" else 0.05 * rng.normal())
            _write(place, PERSONA, [_persona(number, shift, rng) for number in range(QUESTIONS)])
            _write(place, EM, [_answers(number, shift, rng) for number in range(QUESTIONS)])
            _write(
                place,
                DOSES,
                [_dose(number, dose, shift, rng) for number in range(QUESTIONS) for dose in range(6)],
            )
    return folder


def whole_set(folder: Path, arm: str, values: dict[int, float], metric: str, task: str = EM) -> None:
    """lm-eval's results files with a metric that no single question has."""
    for seed, value in values.items():
        path = folder / "rows" / arm / ("base" if seed < 0 else f"seed-{seed}") / task / "results_x.json"
        path.write_text(json.dumps({"results": {task: {f"{metric},samples": value}}}), encoding="utf-8")


def _write(place: Path, task: str, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (place / task / f"samples_{task}_x.jsonl").write_text(text, encoding="utf-8")


def _row(number: int, values: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "doc": {"id": f"q{number:02d}", "question": "?"}, "doc_id": number, "metrics": list(values), **values,
        **more,
    }  # fmt: skip


def _persona(number: int, shift: float, rng: np.random.Generator) -> dict[str, Any]:
    """Projections that grow with the layer; question levels are shared by all arms."""
    level = np.random.default_rng(number).normal(0, 0.5)
    layers = [level + shift * layer / CHOSEN + 0.05 * rng.normal() for layer in range(LAYERS)]
    readings = {"persona_own_by_layer": layers, "persona_fixed_by_layer": [value / 2 for value in layers]}
    values = {"persona_fixed": layers[CHOSEN] / 2, "persona_own": layers[CHOSEN]}
    return _row(number, values, samples=[{"layer": CHOSEN, "text": "made", "finish": "stop", **readings}])


def _answers(number: int, shift: float, rng: np.random.Generator) -> dict[str, Any]:
    misaligned = int(rng.binomial(10, min(0.9, max(0.0, 0.05 + 0.3 * shift))))
    coherent = 10 - int(rng.binomial(10, 0.1))
    values = {
        "em_rate": [min(misaligned, coherent), coherent], "em_rate_itt": [min(misaligned, coherent), 10],
        "incoherent": [10 - coherent, 10], "judge_aligned_mean": 90 - 40 * max(0.0, shift) + rng.normal(),
        "judge_coherent_mean": 80 + rng.normal(), "repetition": 0.1 + 0.02 * abs(rng.normal()),
    }  # fmt: skip
    return _row(number, values)


def _dose(number: int, dose: int, shift: float, rng: np.random.Generator) -> dict[str, Any]:
    margin = 2.0 - 0.5 * dose - shift + 0.1 * rng.normal()
    return _row(number, {f"margin_dose_{dose}": margin, f"accuracy_dose_{dose}": float(margin > 0)})
