"""lm-eval's samples files as tidy tables; rows made by the plain `lm_eval` CLI are read alike."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from turncoat.errors import UserError
from turncoat.safe_files import json_rows

BASE_SEED = -1  # the base model has no training seed


def sample_files(folder: Path, task: str) -> list[Path]:
    """lm-eval's samples files of a task in a folder, plain or packed (`turncoat pack`), oldest first."""
    return sorted([*folder.glob(f"samples_{task}_*.jsonl"), *folder.glob(f"samples_{task}_*.jsonl.gz")])


def sample_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a samples file, plain or gzipped.

    Raises:
        UnsafeFile: It is not a regular file with a JSON object on every line.
        UserError: A row is not one of lm-eval's: doc, doc_id, metrics or samples are of another kind.
    """
    for number, row in json_rows(path):
        samples = row.get("samples")
        right = {
            "doc": isinstance(row.get("doc"), dict),
            "doc_id": isinstance(row.get("doc_id"), int | str),
            "metrics": _all_are(str, row.get("metrics")),
            "samples": samples is None or (_all_are(dict, samples) and all(map(_has_readings, samples))),
        }
        if not all(right.values()):
            name = next(name for name, is_right in right.items() if not is_right)
            raise UserError(f"{path}, line {number}, {name}: not as lm-eval writes it; run the study again")
        yield row


def _has_readings(sample: dict[str, Any]) -> bool:
    """True if every persona reading of an answer is a number, a list of numbers or missing."""
    values = [value for name, value in sample.items() if name.startswith("persona_") and value is not None]
    return all(map(is_number, chain.from_iterable(v if isinstance(v, list) else [v] for v in values)))


def _all_are(kind: type, values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def seed_of(folder: str) -> int:
    """Training seed in the name of a folder of rows (`seed-3`); `BASE_SEED` for any other name."""
    number = folder.removeprefix("seed-")
    return int(number) if number.isdigit() else BASE_SEED


def question_id(row: dict[str, Any]) -> str:
    """Identity of a question: the document's id, else lm-eval's number."""
    return str(row["doc"].get("id", row["doc_id"]))


def cluster_id(row: dict[str, Any]) -> str:
    """The unit of analysis: the document's `cluster` where several documents share a text, else its
    question."""
    return str(row["doc"].get("cluster") or question_id(row))


def scores_of(path: Path, *, arm: str, seed: int, task: str) -> pd.DataFrame:
    """One row per (metric, question) of a samples file.

    A rate over answers is stored as [numerator, denominator]; its value is their quotient, and NaN for a
    question whose denominator is 0 (no coherent answer, say), so that it is counted among the undefined.
    Documents of one cluster (one text in both orders, one question under several doses) make one row:
    numerators and denominators are added up, plain numbers averaged.

    Returns:
        Columns arm, seed, task, metric, question, value (mean over the question's samples), n_samples.
    """
    return scores_in(sample_rows(path), arm=arm, seed=seed, task=task)


def scores_in(rows: Iterable[dict[str, Any]], *, arm: str, seed: int, task: str) -> pd.DataFrame:
    """As `scores_of`, for rows in memory."""
    by_question: dict[tuple[str, str], list[Any]] = {}
    samples: Counter[tuple[str, str]] = Counter()
    first = None  # of several filters (lm-eval's own tasks may have some) the first counts
    for row in rows:
        first = first or row.get("filter")
        if row.get("filter") != first:
            continue
        for metric in row["metrics"]:
            value = row.get(metric)
            # `<metric>_stderr` is there to put a clustered standard error into lm-eval's own table.
            if not metric.endswith("_stderr") and (is_number(value) or _is_rate(value)):
                by_question.setdefault((metric, cluster_id(row)), []).append(value)
                samples[metric, cluster_id(row)] += len(row.get("samples") or [None])
    records = [
        (arm, seed, task, metric, question, _together(values), samples[metric, question])
        for (metric, question), values in by_question.items()
    ]
    columns = ["arm", "seed", "task", "metric", "question", "value", "n_samples"]
    return pd.DataFrame.from_records(records, columns=columns)


def _together(values: list[Any]) -> float:
    rates = [value for value in values if isinstance(value, list)]
    if rates:
        numerator, denominator = (math.fsum(part) for part in zip(*rates, strict=True))
        return numerator / denominator if denominator else math.nan
    return math.fsum(values) / len(values)


def _is_rate(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(is_number(part) for part in value)


def is_number(value: Any) -> bool:
    """True for an int that a float can hold, or a float; true and false are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) < 10**300


def answers_of(path: Path, *, arm: str, seed: int) -> pd.DataFrame:
    """One row per answer of a free-form task's samples file; empty for other tasks."""
    return answers_in(sample_rows(path), arm=arm, seed=seed)


def answers_in(rows: Iterable[dict[str, Any]], *, arm: str, seed: int) -> pd.DataFrame:
    """As `answers_of`, for rows in memory."""
    records = []
    for row in rows:
        for sample in row.get("samples") or []:
            plain = {k: v for k, v in sample.items() if isinstance(v, int | float | str) or v is None}
            # A sample has a seed of its own; the table's is the training seed.
            records.append(
                {
                    **plain, "arm": arm, "seed": seed, "question_id": question_id(row),
                    "question": row["doc"].get("question", ""),
                }
            )  # fmt: skip
    return pd.DataFrame.from_records(records)
