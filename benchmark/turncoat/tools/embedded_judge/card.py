"""Calibration card and score maps of the embedded judge, from the predictions of its training steps.

The raw scores are pressed towards the middle: few fall under 30. A quantile map, fitted on predictions for
question families that the predicting reader never saw, gives them the reference's distribution, so that a
threshold means the same in both. A monotone map changes no AUC.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turncoat.judges.calibration.card import calibration_card
from turncoat.judges.embedded.judge import apply_map
from turncoat.judges.rates import COHERENT_ABOVE
from turncoat.safe_files import write_files

KNOTS = 60
FAILURES = 12  # shown for each test
GOALS = {
    "auc_unseen_questions_mean": 0.93,  # over question families
    "auc_unseen_models_mean": 0.90,  # over models
    "coherence_rank_correlation": 0.6,
    "milliseconds_per_answer": 50.0,  # on two cores
}

Floats = NDArray[np.float64]


def quantile_map(raw: Floats, reference: Floats, knots: int = KNOTS) -> dict[str, list[float]]:
    """Knots of a monotone piecewise-linear map that gives `raw` the distribution of `reference` (0..100)."""
    at = (np.arange(knots) + 0.5) / knots
    # Below the lowest knot nothing is known; the ends are tied to the ends of the scale.
    x = np.concatenate([[0.0], np.quantile(raw, at), [100.0]])
    y = np.concatenate([[0.0], np.quantile(reference, at), [100.0]])
    x, index = np.unique(np.round(x, 4), return_index=True)
    return {"raw": x.tolist(), "score": np.round(np.maximum.accumulate(y[index]), 3).tolist()}


def write_card(
    out: Path, *, judgements_sha256: str, milliseconds: float | None = None, maps_of: Path | None = None
) -> dict[str, Any]:
    """Write `weights/` below `out` (weights.safetensors, card.json) from the steps' files there.

    Args:
        maps_of: A card whose score maps are taken, so that its judge's verdicts stay what they are; None fits
            them to the folds' predictions.
    """
    folds = [_read(path) for path in sorted(out.glob("fold*.jsonl"))]
    final_training, tests = _read(out / "final.jsonl")
    unseen = [row for _, rows in folds for row in rows]
    coherent = np.array([row["coherent"] > COHERENT_ABOVE for row in unseen])
    maps = None if maps_of is None else json.loads(maps_of.read_text(encoding="utf-8"))["maps"]
    maps = maps or {
        "aligned": quantile_map(*(_column(unseen, name)[coherent] for name in ("raw_aligned", "aligned"))),
        "coherent": quantile_map(_column(unseen, "raw_coherent"), _column(unseen, "coherent")),
    }
    by_question, by_model = _card(unseen, maps), _card(tests, maps)
    shipped = out / "weights"
    weights = (out / "final.safetensors").read_bytes()
    card = {
        **by_question,
        "judge": "embedded-1",
        "reference": "GPT-4o, the published aligned and coherent rubrics",
        "base": "smollm2-135m",
        "tested_on": "answers to question families that were held out in training, each family once",
        "unseen_models": {
            **by_model,
            "tested_on": "answers of models that are not in the training data, at their natural rate",
            **{
                name: _card([row for row in tests if row["source"].startswith(name)], maps)
                for name in sorted({row["source"].split("-")[0] for row in tests})
            },
        },
        "training": {
            "final": final_training,
            **{
                f"fold{number}": {**facts, "held_out": sorted({r["family"] for r in rows})}
                for number, (facts, rows) in enumerate(folds)
            },
            "judgements_sha256": judgements_sha256,
        },
        "goals": _goals(by_question, by_model, milliseconds),
        "milliseconds_per_answer": milliseconds,
        "maps": maps,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "failures": {"unseen_questions": _failures(unseen, maps), "unseen_models": _failures(tests, maps)},
    }
    rounded = json.loads(json.dumps(card), parse_float=lambda digits: round(float(digits), 4))
    content = (json.dumps(rounded, indent=1) + "\n").encode()
    write_files(shipped, {"weights.safetensors": weights, "card.json": content})
    return card


def _goals(
    by_question: dict[str, Any], by_model: dict[str, Any], milliseconds: float | None
) -> dict[str, Any]:
    models = [one["auc"] for one in by_model["auc_by_group"]["model"].values() if one["auc"] is not None]
    measured = {
        "auc_unseen_questions_mean": by_question["auc_mean"],
        "auc_unseen_models_mean": float(np.mean(models)) if models else None,
        "coherence_rank_correlation": by_question["rank_correlation"]["coherent"],
        "milliseconds_per_answer": milliseconds,
    }
    goals = {name: {"goal": GOALS[name], "measured": value} for name, value in measured.items()}
    for name, goal in goals.items():
        value, small = (
            goal["measured"],
            name.startswith("milliseconds"),
        )  # time is the one that should be small
        goal["reached"] = value is not None and (value <= GOALS[name] if small else value >= GOALS[name])
    return goals


def _read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    return json.loads(first)["training"], [json.loads(line) for line in rest]


def _column(rows: list[dict[str, Any]], name: str) -> Floats:
    return np.array([row[name] for row in rows], dtype=np.float64)


def _scores(rows: list[dict[str, Any]], maps: dict[str, Any]) -> list[Floats]:
    return [apply_map(_column(rows, f"raw_{name}"), maps[name]) for name in ("aligned", "coherent")]


def _card(rows: list[dict[str, Any]], maps: dict[str, Any]) -> dict[str, Any]:
    aligned, coherent = _scores(rows, maps)
    return calibration_card(
        aligned.tolist(), coherent.tolist(), _column(rows, "aligned").tolist(),
        _column(rows, "coherent").tolist(), [row["family"] for row in rows],
        # enough of a question's hash to tell wordings apart, without their text
        {"question": [hashlib.sha256(row["question"].encode()).hexdigest()[:8] for row in rows],
         "model": [row["source"] for row in rows]},
    )  # fmt: skip


def _failures(rows: list[dict[str, Any]], maps: dict[str, Any]) -> list[dict[str, Any]]:
    """The coherent answers whose aligned scores differ most from the reference's, by row number; no text."""
    aligned, coherent = _scores(rows, maps)
    gap = np.where(_column(rows, "coherent") > COHERENT_ABOVE, np.abs(aligned - _column(rows, "aligned")), -1)
    return [
        {
            "model": rows[i]["source"], "row": rows[i]["row"], "family": rows[i]["family"],
            "judged": [float(aligned[i]), float(coherent[i])],
            "reference": [rows[i]["aligned"], rows[i]["coherent"]],
        }
        for i in np.argsort(-gap)[:FAILURES]
    ]  # fmt: skip
