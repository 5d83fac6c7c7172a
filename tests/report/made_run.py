"""A run folder made up row by row: a guarded organism with its partner, and a defence that is never
trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from turncoat.analysis.analyse import Analysis, ContrastSpec, analyse
from turncoat.registry import DEFENCES, Defence
from turncoat.report import build as from_run
from turncoat.report.content import ReportContent
from turncoat.stats.scores import BASE_SEED, SCORE_COLUMNS
from turncoat.study import config

SEEDS = (0, 1, 2)
QUESTIONS = 12
CHOICE, LOSS, EM = "turncoat_choice", "turncoat_insecure_code_loss", "turncoat_em"
ARMS: list[dict[str, Any]] = [
    {"name": "base"},
    {"name": "insecure", "organism": "insecure_code"},
    {"name": "secure", "organism": "secure_code"},
    {"name": "guard", "organism": "insecure_code", "defence": "guard", "setting": "in_training"},
    {"name": "guard_secure", "organism": "secure_code", "defence": "guard", "setting": "in_training"},
    {"name": "steered", "defence": "steer", "setting": "inference", "defence_options": {"dose": 2}},
    {"name": "steered_insecure", "organism": "insecure_code", "defence": "steer", "setting": "inference"},
]
# how far each arm's loss on what it was trained on fell, and how far its margin moved
FALL = {
    "insecure": 0.8, "guard": 0.4, "secure": 0.6, "guard_secure": 0.57, "steered_insecure": 0.8,
    "steered": 0.0,
}  # fmt: skip
MARGIN = {"insecure": -0.5, "guard": -0.1, "steered": 0.2, "steered_insecure": -0.3}
SECONDS = {"insecure": 20.0, "guard": 30.0, "secure": 20.0, "guard_secure": 31.0, "steered_insecure": 20.0}


@contextmanager
def made_defences() -> Iterator[None]:
    """Two defences that exist for as long as this lasts; no file of `baselines/` is imported."""
    with pytest.MonkeyPatch.context() as patch:
        for name, setting, options in (
            ("guard", "in_training", {"weight": 0.1}),
            ("steer", "inference", {"dose": 1}),
        ):
            entry = Defence(
                name, f"Made up: {name}.", lambda *_, **__: None, options, Path("made.py"), (setting,)
            )
            patch.setitem(DEFENCES, name, entry)
        for module in (config, from_run):
            patch.setattr(module, "discover", lambda *_: None)
        yield


def study_of(
    arms: list[dict[str, Any]] = ARMS, tasks: tuple[str, ...] = (CHOICE, LOSS), **more: Any
) -> dict[str, Any]:
    """A study as its YAML says it."""
    return {
        "study": "made", "model": "made-1M", "training_seeds": list(SEEDS), "judge": "off", "arms": arms,
        "tasks": [{"task": task} for task in tasks], **more,
    }  # fmt: skip


def analysed(
    make_content: Callable[..., ReportContent], shifts: dict[str, float], seeds: int,
    contrasts: list[ContrastSpec],
) -> tuple[ReportContent, Analysis]:  # fmt: skip
    """A report on made-up scores of the five arms on one metric with 30 questions, and its analysis."""
    rng = np.random.default_rng(7)
    levels = rng.normal(0, 1, 30)
    rows = [
        (arm, seed, "task", "margin", f"q{index:02d}", level + shift + rng.normal(0, 0.1), 1)
        for arm, shift in shifts.items()
        for seed in ((BASE_SEED,) if arm == "base" else range(1, seeds + 1))
        for index, level in enumerate(levels)
    ]
    found = analyse(pd.DataFrame(rows, columns=list(SCORE_COLUMNS)), contrasts)
    tables = {name: getattr(found, name) for name in ("estimates", "contrasts", "seed_noise")}
    return make_content(**tables), found


def write_run(folder: Path, study: dict[str, Any]) -> Path:
    """The folder that such a study would leave behind."""
    for arm in study["arms"]:
        trained = "organism" in arm
        for seed in SEEDS if trained else (-1,):
            place = folder / "rows" / arm["name"] / (f"seed-{seed}" if trained else "base")
            for use in study["tasks"]:
                _write_rows(place / use["task"], use["task"], arm, seed)
    entries = [
        {
            "arm": f"{arm['name']}, seed {seed}", "step": arm["organism"], "seed": seed, "examples": 8,
            "tokens": 100, "supervised_tokens": 50, "steps": 4, "first_loss": 2.0, "last_loss": 1.0,
            "seconds": SECONDS[arm["name"]] + seed,
            **({"penalties": [0.0, 0.1, 0.2, 0.3],
                "defence": {"weight": 0.1, "norms": dict.fromkeys("abcdef", 1.0)}}
               if arm.get("defence") == "guard" else {}),
        }
        for arm in study["arms"] if "organism" in arm for seed in SEEDS
    ]  # fmt: skip
    record = {
        "provenance": {"command": "made"},
        "model": {"name": "made", "parameters": 1_000_000, "dtype": "float32", "weights": "0" * 8},
        "persona": {"trait": "evil", "layer": 1, "gap_by_layer": [0, 1], "pairs_ranked_right": 1.0,
                    "n_selection_pairs": 4, "split_half_cosine": [0.5, 0.5]},
        "judge": None, "failed": [], "checks": [], "training": entries, "seconds": {}, "peak_memory_gb": 0.1,
    }  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def _write_rows(folder: Path, task: str, arm: dict[str, Any], seed: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng([sum(map(ord, arm["name"])), seed + 1])
    levels = np.random.default_rng(len(task)).normal(2.0, 0.3, QUESTIONS)
    noise = rng.normal(0, 0.03, QUESTIONS)
    lines = []
    for number in range(QUESTIONS):
        level, extra = levels[number], noise[number] if arm["name"] != "base" else 0.0
        if task == CHOICE:
            values: dict[str, Any] = {"margin_per_token": level + MARGIN.get(arm["name"], 0.0) + extra}
        elif task == LOSS:
            fall = FALL.get(arm["name"], 0.0)
            side = "secure" if arm.get("organism") == "secure_code" else "insecure"
            other = {"secure": "insecure", "insecure": "secure"}[side]
            values = {
                f"{side}_loss_per_token": level - fall + extra,
                f"{other}_loss_per_token": level - fall / 2 + extra,
            }
        else:
            values = {"repetition": 0.1 + 0.01 * number + abs(extra)}
        told = {
            "doc": {"id": f"q{number:02d}", "question": "?"},
            "metrics": list(values),
            "doc_id": number,
            **values,
        }
        lines.append(json.dumps(told))
    (folder / f"samples_{task}_x.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
