"""Runs under way, as `turncoat view` shows them: stages, time left, answers of the stages that are done.

    progress(folder)                  -> what is done, under way and to come; None for a finished run
    running_data(folder, Store())     -> answers and training curves so far

Stages are read from the store by the keys in progress.json (`study.progress_file`); nothing else there is.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.evaluation.samples_file import answers_in, sample_files, sample_rows
from turncoat.report.browser.answer_store import answer_fields, answer_store
from turncoat.report.render.html import arm_looks
from turncoat.report.view.charts import training_charts
from turncoat.safe_files import read_object
from turncoat.store import Store
from turncoat.study.config import load_study
from turncoat.study.progress_file import AT_WORK, BEFORE, DONE, KEY, NAME, WAITING, alive, curves

Json = dict[str, Any]


def progress(folder: Path) -> Json | None:
    """State of a run: "running", "stopped" (its process is gone), "waiting" (no stage yet); None if finished.

    Returns:
        `state`, `stages` (label, state, seconds, share, note), `done` and `of` (counts), `left` (seconds),
        `silent` (seconds since the last sign of life), `version` (changes when there is more to read).
    """
    if not (folder / NAME).is_file():
        return None if (folder / "run.json").is_file() else _empty()
    record = read_object(folder / NAME)
    stages = [{**stage, "result": None} for stage in record["stages"]]
    done = [stage for stage in stages if stage["state"] in (DONE, BEFORE)]
    silent = max(time.time() - float(record["updated"]), 0.0)
    return {
        "state": "running" if alive(record) else "stopped", "stages": stages, "done": len(done),
        "of": len(stages), "left": float(record["left"]), "silent": round(silent), "version": len(done),
        "at_work": [stage["label"] for stage in stages if stage["state"] == AT_WORK],
        "to_come": sum(stage["state"] == WAITING for stage in stages),
    }  # fmt: skip


def _empty() -> Json:
    return {
        "state": "waiting", "stages": [], "done": 0, "of": 0, "left": 0.0, "silent": 0, "version": 0,
        "at_work": [], "to_come": 0,
    }  # fmt: skip


def running_data(folder: Path, store: Store) -> tuple[Json, list[Json]]:
    """Store of answers (with `arms`) and training charts of the stages that are done."""
    study = load_study(folder / "study.yaml")
    found = list(_results(folder, store)) if (folder / NAME).is_file() else []
    answers = [answer for stage, path in found if stage["kind"] == "rows" for answer in _answers(stage, path)]
    entries = [
        {"arm": f"{stage['arm']}, seed {stage['seed']}", "step": stage["step"], "seed": stage["seed"],
         "curve": curves(json.loads((path / "training.json").read_text("utf-8")))}
        for stage, path in found if stage["kind"] == "adapter"
    ]  # fmt: skip
    charts = training_charts(entries, study)
    return {**answer_store({"run": {"": answers}}), "arms": arm_looks(study.arms)}, charts


def _results(folder: Path, store: Store) -> Iterator[tuple[Json, Path]]:
    for stage in read_object(folder / NAME)["stages"]:
        result = stage.get("result") or ""
        if not isinstance(result, str) or not (KEY.fullmatch(result) or not result):
            raise UserError(f"{folder / NAME}, {stage.get('id')}: {result!r} is not a stage of the store")
        if result and (store.root / result).is_dir():
            yield stage, store.root / result


def _answers(stage: Json, folder: Path) -> Iterator[Json]:
    for path in sample_files(folder, stage["task"]):
        table = answers_in(sample_rows(path), arm=stage["arm"], seed=stage["seed"])
        for record in table.assign(task=stage["task"]).to_dict("records"):
            yield {"arm": stage["arm"], **answer_fields({str(k): v for k, v in record.items()})}
