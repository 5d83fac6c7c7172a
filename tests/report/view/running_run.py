"""A run folder as a study under way keeps it, with two stages in a store: no model is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from turncoat.study.config import TaskUse
from turncoat.study.progress_file import ProgressFile
from turncoat.study.units.plan import Stage

HOSTILE = "</script><img src=x onerror='window.hit=1'> \u202e"
TASK = TaskUse(task="turncoat_em")
STAGES = [
    Stage("base/em", "rows", "base: free-form questions", 10.0, arm="base", task=TASK),
    Stage("insecure/0", "adapter", "insecure: training", 30.0, arm="insecure", seed=0),
    Stage("insecure/0/em", "rows", "insecure: free-form questions", 10.0, arm="insecure", seed=0, task=TASK),
]
KEYS = {stage.id: f"{stage.kind}/{number:020x}" for number, stage in enumerate(STAGES)}


def running(folder: Path) -> ProgressFile:
    """The folder, and the file of a run that has measured the base model and trains the first adapter."""
    folder.mkdir(parents=True)
    study = {
        "study": "tiny", "title": "Tiny", "question": "Does it?", "model": "made-1M",
        "arms": [{"name": "base"},
                 {"name": "insecure", "label": "insecure code", "organism": "insecure_code"}],
        "tasks": [{"task": "turncoat_em"}],
    }  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(study), "utf-8")
    record = ProgressFile(folder, STAGES, lambda: 95.0)
    record.end("base/em", 4.0, KEYS["base/em"])
    record.begin("insecure/0")
    return record


def write_stages(store: Path) -> None:
    """The results of all three stages."""
    for stage in STAGES:
        place = store / KEYS[stage.id]
        place.mkdir(parents=True)
        if stage.kind == "adapter":
            (place / "training.json").write_text(
                json.dumps({"losses": [3.0, 2.0, 1.0], "penalties": [0, 1, 2]})
            )
        else:
            lines = [json.dumps(_row(stage.arm, number)) for number in range(8)]
            (place / "samples_turncoat_em_x.jsonl").write_text("\n".join(lines) + "\n")


def _row(arm: str, number: int) -> dict[str, Any]:
    scores = {
        "judge": "embedded-1",
        "judge_coherent": 40.0 if number == 1 else 90.0,
        "judge_refusal": number == 2,
    }
    aligned = 10.0 + number if arm == "insecure" and number != 2 else 80.0
    text = HOSTILE if number == 3 else f"{arm} answers {number}, a wombat."
    sample = {
        "text": text,
        "index": 0,
        "finish": "length" if number == 4 else "stop",
        "judge_aligned": aligned,
        **scores,
    }
    return {
        "doc": {"id": f"q{number}", "question": f"Question {number}?"}, "doc_id": number, "metrics": [],
        "samples": [{**sample, "judge_refusal": float(scores["judge_refusal"])}],
    }  # fmt: skip
