"""Free-form tasks: keep every sample, store the evidence of each answer, average persona projections."""

import sys
from collections.abc import Iterable
from statistics import fmean
from typing import Any

from lm_eval.api.filter import Filter

from turncoat.engine.evidence import evidence_of

READINGS = ("persona_fixed", "persona_own", "persona_text")
_warned: set[str] = set()


class KeepSamples(Filter):
    """All samples of a document; lm-eval's default filter keeps the first alone."""

    def apply(self, resps: Any, docs: Any) -> list[list[Any]]:
        """One list of answers per document."""
        return [list(answers) for answers in resps]


def samples_of(results: list[Any]) -> list[Any]:
    """The answers passed to `process_results`, in either shape that lm-eval releases give them."""
    if len(results) == 1 and isinstance(results[0], list | tuple):
        return list(results[0])
    return list(results)


def sample_records(doc: dict[str, Any], answers: Iterable[Any]) -> list[dict[str, Any]]:
    """The answers with their evidence as plain JSON; lm-eval's own columns turn everything into text."""
    return [
        {"index": index, **{k: _plain(v) for k, v in evidence_of(answer).items()}, "text": str(answer)}
        for index, answer in enumerate(answers)
    ]


def _plain(value: Any) -> Any:
    # A bare NaN is not JSON.
    return None if isinstance(value, float) and value != value else value


def projections(answers: Iterable[Any]) -> dict[str, float]:
    """`persona_fixed`, `persona_own`, `persona_text`: means over the answers that have one; {} with other
    backends."""
    evidence = [evidence_of(answer) for answer in answers]
    means = {}
    for reading in READINGS:
        values = [e[reading] for e in evidence if e.get(reading) is not None]
        if values:
            means[reading] = fmean(values)
    return means


def warn_without_projections(task: str) -> None:
    """Print one line, once a task, on why it has no persona metric."""
    if task not in _warned:
        _warned.add(task)
        print(
            f"{task}: no persona activations: they need Turncoat's own model type (turncoat lm-eval --model "
            "turncoat ...); this backend's answers are kept without them",
            file=sys.stderr,
            flush=True,
        )


def count(items: list[list[Any]]) -> int:
    """Number of answers: aggregation of the `samples` column."""
    return sum(len(records) for records in items)
