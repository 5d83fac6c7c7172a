"""Runs under way, as `turncoat view` shows them: stages, time left, answers of the stages that are done.

    progress(folder)                  -> what is done, under way and to come; None for a finished run
    running_data(folder, Store())     -> answers and training curves so far

Stages are read from the store by the keys in progress.json (`study.progress_file`); nothing else there is.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from turncoat.evaluation.samples_file import answers_in, sample_files, sample_rows
from turncoat.report.browser.answer_store import answer_fields, answer_store
from turncoat.report.render.html import arm_looks
from turncoat.report.view.charts import training_charts
from turncoat.safe_files import read_object
from turncoat.store import Store
from turncoat.study.config import load_study
from turncoat.study.progress_file import StageState, curves, read_progress

Json = dict[str, Any]


def progress(folder: Path) -> Json | None:
    """State of a run: "running", "stopped" (its process is gone), "waiting" (no stage yet); None if finished.

    Returns:
        `state`, `stages` (`StageState`, without keys of the store), `done`, `of`, `to_come` (counts),
        `at_work` (labels), `left` (seconds), `silent` (seconds since the last sign of life).

    Raises:
        UserError: progress.json is not as a run writes it.
    """
    found = read_progress(folder)
    if folder.is_file():
        return None  # a table of answers
    if (folder / "run.json").is_file() and not (found and found.alive):
        return None  # a later run that was stopped has left the rows of the finished one as they were
    stages = found.stages if found else []
    return {
        "state": "waiting" if found is None else "running" if found.alive else "stopped",
        "stages": [stage.model_dump(exclude={"result"}) for stage in stages],
        "done": sum(stage.is_done for stage in stages), "of": len(stages),
        "to_come": sum(stage.state == "to come" for stage in stages),
        "at_work": [stage.label for stage in stages if stage.state == "under way"],
        "left": found.left if found else 0.0, "silent": round(time.time() - found.updated) if found else 0,
    }  # fmt: skip


def running_data(folder: Path, store: Store) -> tuple[Json, list[Json]]:
    """Store of answers (with `arms`) and training charts of the stages that are done."""
    study, found = load_study(folder / "study.yaml"), read_progress(folder)
    made = [(one, store.root / one.result) for one in (found.stages if found else []) if one.result]
    made = [(stage, path) for stage, path in made if path.is_dir()]
    answers = [answer for stage, path in made if stage.kind == "rows" for answer in _answers(stage, path)]
    entries = [
        {"arm": f"{stage.arm}, seed {stage.seed}", "step": stage.step, "seed": stage.seed,
         "curve": curves(read_object(path / "training.json"))}
        for stage, path in made if stage.kind == "adapter"
    ]  # fmt: skip
    arms = arm_looks(study.arms)
    return {**answer_store({"run": {"": answers}}), "arms": arms}, training_charts(entries, study)


def _answers(stage: StageState, folder: Path) -> Iterator[Json]:
    for path in sample_files(folder, stage.task):
        table = answers_in(sample_rows(path), arm=stage.arm, seed=stage.seed)
        for record in table.assign(task=stage.task).to_dict("records"):
            yield {"arm": stage.arm, **answer_fields({str(k): v for k, v in record.items()})}
