"""Rows of a run against the results that lm-eval wrote beside them: lost, doubled, changed, another arm's."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.evaluation.samples_file import BASE_SEED, is_number
from turncoat.evaluation.task_catalogue import task_content
from turncoat.safe_files import read_object

_PRECISION = 1e-6  # of a mean


def check_measured(path: Path, rows: Sequence[dict[str, Any]], *, arm: str, seed: int, task: str) -> None:
    """Refuse rows that are not those that were measured; without a results file beside them all are taken.

    Raises:
        UserError: They are another arm's or seed's, of another number, or their means are not those measured.
    """
    beside = max(path.parent.glob("results_*.json"), default=None)
    if beside is None or not rows:
        return
    results = read_object(beside)
    again = f"({beside.name}); run the study again"
    facts = results.get("config", {}).get("turncoat", {}).get("arm", {})
    measured = (facts.get("name", arm), facts.get("seed"))
    if measured[0] != arm or (measured[1] not in (None, seed) and seed != BASE_SEED):
        raise UserError(
            f"{path.parent}: these are the rows of arm '{measured[0]}', seed {measured[1]} {again}"
        )
    first = [row for row in rows if row.get("filter") == rows[0].get("filter")]
    ids = {row["doc_id"] for row in first}
    due = results.get("n-samples", {}).get(task, {}).get("effective", len(ids))
    if not len(first) == len(ids) == due:
        raise UserError(
            f"{path}: {len(first)} rows of {len(ids)} documents, but {due} documents were measured {again}"
        )
    for metric in _means(task):
        values: list[Any] = [row.get(metric) for row in first]
        totals = results.get("results", {}).get(task, {}).items()
        whole: Any = next((value for key, value in totals if key.partition(",")[0] == metric), None)
        if not is_number(whole) or not all(map(is_number, values)):
            continue
        mean = math.fsum(values) / len(values)
        if not math.isclose(mean, whole, rel_tol=_PRECISION, abs_tol=_PRECISION):
            raise UserError(
                f"{path}: the mean of {metric} is {mean:.6g}, but {whole:.6g} was measured: rows were "
                f"changed {again}"
            )


def _means(task: str) -> list[str]:
    """The task's metrics that are plain means over its documents."""
    metrics = task_content(task).get("metric_list") or []
    return [metric["metric"] for metric in metrics if metric.get("aggregation") == "mean"]
