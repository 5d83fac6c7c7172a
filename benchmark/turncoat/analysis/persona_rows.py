"""Persona evidence of a run's rows by question: cosines, and projections on re-extracted vectors."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from turncoat.analysis.run_scores import run_files
from turncoat.evaluation.samples_file import cluster_id, sample_rows
from turncoat.evaluation.task_catalogue import metric_names
from turncoat.evaluation.task_facts import readings
from turncoat.persona.evidence import AGAIN, COSINE
from turncoat.study.config import Study

COLUMNS = ["arm", "seed", "metric", "question", "cosine", "again"]


def read_persona_rows(rows: Path, study: Study, *, failed: Collection[tuple[str, int]] = ()) -> pd.DataFrame:
    """One row per arm, seed, question and metric that is a persona reading, averaged over its answers.

    Returns:
        `COLUMNS`: `cosine` with the vector (NaN where the rows have none), `again` the K projections on the
        re-extracted vectors in the unit of each (an empty tuple where the rows have none).
    """
    names = {pair: name for name, pair in metric_names(use.task for use in study.tasks).items()}
    known = {use.task: readings(use.task) for use in study.tasks}
    records = [
        (arm, seed, names[task, metric], question, cosine, again)
        for arm, seed, task, path in run_files(rows, study, failed=failed)
        if known[task]
        for metric, question, cosine, again in readings_in(sample_rows(path), known[task])
    ]
    return pd.DataFrame.from_records(records, columns=COLUMNS)


def readings_in(
    rows: Iterable[dict[str, Any]], metrics: Mapping[str, str]
) -> Iterator[tuple[str, str, float, tuple[float, ...]]]:
    """Metric, question, cosine and K projections (`COLUMNS`) of the rows of one task."""
    found: dict[tuple[str, str], list[tuple[float, tuple[float, ...]]]] = {}
    for row in rows:
        answers = row.get("samples") or []
        for metric, reading in metrics.items():
            if metric in row["metrics"]:
                cosines = [[x] for x in _values(answers, COSINE[reading])]
                cosine = next(iter(_means(cosines)), float("nan"))
                values = cosine, _means(_values(answers, AGAIN[reading]))
                found.setdefault((metric, cluster_id(row)), []).append(values)
    for (metric, question), pairs in found.items():
        yield metric, question, fmean(cosine for cosine, _ in pairs), _means([again for _, again in pairs])


def _values(answers: Sequence[dict[str, Any]], key: str) -> list[Any]:
    return [answer[key] for answer in answers if answer.get(key) is not None]


def _means(lists: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Means of lists, place by place; empty where they are of different lengths."""
    return tuple(map(fmean, zip(*lists, strict=True))) if len({len(one) for one in lists}) == 1 else ()
