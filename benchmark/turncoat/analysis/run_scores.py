"""Scores and answers of a run folder as tables."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from turncoat.analysis.measured_rows import check_measured
from turncoat.errors import UserError
from turncoat.evaluation.samples_file import BASE_SEED, answers_in, sample_files, sample_rows, scores_in
from turncoat.evaluation.task_catalogue import metric_names
from turncoat.study.arm_config import Arm
from turncoat.study.config import Study


def units_without_rows(record: dict[str, Any]) -> list[tuple[str, int]]:
    """(arm, seed) of a run (its run.json) whose training failed, or which are not made yet."""
    return [(one["arm"], one["seed"]) for key in ("failed", "missing") for one in record.get(key, ())]


def read_rows(
    rows: Path, study: Study, *, failed: Collection[tuple[str, int]] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and answers of a run; `failed` (arm, seed) have none (`units_without_rows`).

    Raises:
        UserError: An arm's rows are missing or given twice, there are none at all, or they are not those that
            were measured.
    """
    if all((arm.name, seed) in failed for arm in study.arms for seed in _seeds(arm, study)):
        raise UserError(f"{rows}: the training of every arm failed, there is nothing to report on")
    scores, answers = [], []
    known = metric_names(use.task for use in study.tasks)
    names = {pair: name for name, pair in known.items()}
    for arm, seed, task, path in run_files(rows, study, failed=failed):
        lines = list(sample_rows(path))
        check_measured(path, lines, arm=arm, seed=seed, task=task)
        table = scores_in(lines, arm=arm, seed=seed, task=task)
        scores.append(table.assign(metric=[names.get((task, metric), metric) for metric in table["metric"]]))
        answers.append(answers_in(lines, arm=arm, seed=seed).assign(task=task))
    filled = [frame for frame in answers if len(frame)]
    columns = ["arm", "seed", "question_id", "question", "text", "finish"]
    return (
        pd.concat(scores, ignore_index=True),
        pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=columns),
    )


def run_files(
    rows: Path, study: Study, *, failed: Collection[tuple[str, int]] = ()
) -> Iterator[tuple[str, int, str, Path]]:
    """Samples files of a run as (arm, seed, task, path), in the study's order.

    Raises:
        UserError: A file is missing, or there are two of a kind.
    """
    for arm in study.arms:
        for seed in _seeds(arm, study):
            if (arm.name, seed) in failed:
                continue
            for use in (use for use in study.tasks if arm.measured_by(use.task)):
                there = rows / arm.name / ("base" if seed == BASE_SEED else f"seed-{seed}") / use.task
                files = sample_files(there, use.task)
                if len(files) != 1:
                    many = f"{len(files)} samples files for '{use.task}'"
                    raise UserError(f"{there}: {many}, one is due; run the study again")
                yield arm.name, seed, use.task, files[0]


def _seeds(arm: Arm, study: Study) -> tuple[int, ...]:
    return study.training_seeds if arm.is_trained else (BASE_SEED,)
