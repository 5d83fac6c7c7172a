"""Shift of persona activation at every layer: treated minus its matched control, on the same questions.

    shift_by_layer(Path("runs/demo"), arm="insecure", control="secure")
    -> DataFrame: layer, depth, reading, difference, low, high, p_value, n_questions, n_seeds, chosen

Projections are in the base model's SD, from the samples files; the base cancels in the difference. Intervals
are about these trained adapters (claim "adapters" of `turncoat.stats.contrasts`), not about the recipe.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from turncoat.errors import UserError
from turncoat.evaluation.samples_file import question_id, sample_files, sample_rows, seed_of
from turncoat.evaluation.task_facts import PERSONA, tasks_on
from turncoat.persona.evidence import BY_LAYER
from turncoat.stats.contrasts import paired_contrast

READINGS = tuple(BY_LAYER)
_NUMBERS = ("difference", "low", "high", "p_value", "n_questions", "n_seeds")
COLUMNS = ["reading", "layer", "depth", *_NUMBERS, "chosen"]


def shift_by_layer(
    run: Path, arm: str, control: str, *, task: str = "", confidence: float = 0.95
) -> pd.DataFrame:
    """Treated minus control at every layer, for both readings: one row each of fixed texts and own answers.

    `chosen` marks the layer fixed before any finetuning, the one for claims; `task` is "" for the first
    persona task that the treated arm has rows of.

    Raises:
        UserError: An arm has no such rows, or they hold no projections by layer.
    """
    there = {path.name for path in (run / "rows" / arm).glob("*/*")}
    task = task or next((name for name in tasks_on(PERSONA) if name in there), tasks_on(PERSONA)[0])
    treated, reference = (_by_layer(run, name, task) for name in (arm, control))
    return contrast_by_layer(treated, reference, arm, control, confidence=confidence)


def contrast_by_layer(
    treated: pd.DataFrame, reference: pd.DataFrame, arm: str, control: str, *, confidence: float = 0.95
) -> pd.DataFrame:
    """`shift_by_layer` of two tables from `values_by_layer`."""
    scores = pd.concat([treated.assign(arm=arm), reference.assign(arm=control)], ignore_index=True)
    last = int(scores["layer"].max())
    chosen = _chosen(scores)
    records = []
    for reading, layer in sorted(set(zip(scores["reading"], scores["layer"].astype(int), strict=True))):
        part = scores[(scores["reading"] == reading) & (scores["layer"] == layer)]
        part = part.assign(metric=f"{reading} {layer}", task="persona", n_samples=1)
        contrast = paired_contrast(
            part, arm, control, f"{reading} {layer}", "adapters", confidence=confidence
        )
        numbers = {name: getattr(contrast, name) for name in _NUMBERS}
        place = {"reading": reading, "layer": layer, "depth": round(layer / last, 3)}
        records.append({**place, **numbers, "chosen": layer == chosen})
    return pd.DataFrame.from_records(records, columns=COLUMNS)


def values_by_layer(samples: Path, seed: int) -> pd.DataFrame:
    """Projections by layer of one samples file, averaged over each question's answers (seed -1: the base).

    Raises:
        UserError: No answer in it carries projections by layer.
    """
    records = [{**record, "seed": seed} for row in sample_rows(samples) for record in _records(row)]
    if not records:
        raise UserError(
            f"{samples}: no answer carries {' or '.join(BY_LAYER.values())}; such rows come from --model "
            f"turncoat and a task whose documents name a trait ({', '.join(tasks_on(PERSONA))})"
        )
    return pd.DataFrame.from_records(records)


def _records(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    answers = row.get("samples") or []
    for reading, key in BY_LAYER.items():
        known = [answer[key] for answer in answers if answer.get(key) is not None]
        if not known:
            continue
        layer = next(answer["layer"] for answer in answers if answer.get(key) is not None)
        for index, values in enumerate(zip(*known, strict=True)):
            yield {
                "reading": reading, "layer": index, "question": question_id(row), "value": fmean(values),
                "chosen": index == layer,
            }  # fmt: skip


def _chosen(scores: pd.DataFrame) -> int:
    layers = sorted(set(scores.loc[scores["chosen"], "layer"]))
    if len(layers) != 1:
        raise UserError(
            f"the two arms report different layers ({layers}): their vectors come from different base models "
            "or extractions and cannot be compared; run both arms in one study"
        )
    return int(layers[0])


def _by_layer(run: Path, arm: str, task: str) -> pd.DataFrame:
    folder = run / "rows" / arm
    folders = sorted(folder.glob(f"*/{task}"))
    files = {there.parent.name: path for there in folders for path in sample_files(there, task)}
    if not files:
        arms = sorted(path.name for path in (run / "rows").glob("*") if path.is_dir())
        tasks = sorted({path.name for path in folder.glob("*/*") if path.is_dir()})
        present = f"arms there: {', '.join(arms) or 'none'}"
        if arm in arms:
            present = f"tasks of this arm: {', '.join(tasks) or 'none'}; name one of them with --task"
        raise UserError(f"{run}: arm '{arm}' has no rows of task '{task}'; {present}")
    return pd.concat(
        [values_by_layer(path, seed_of(name)) for name, path in files.items()], ignore_index=True
    )
