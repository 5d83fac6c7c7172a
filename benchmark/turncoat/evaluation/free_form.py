"""What free-form tasks share: keep every sample, store what lm-eval's samples file would lose, average projections."""

from __future__ import annotations

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
    """The answers that `process_results` was handed, whichever shape the lm-eval release gives them."""
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
    """`persona_fixed`, `persona_own`, `persona_text`: means over the answers that have one; {} with other backends."""
    evidence = [evidence_of(answer) for answer in answers]
    found = {}
    for reading in READINGS:
        values = [e[reading] for e in evidence if e.get(reading) is not None]
        if values:
            found[reading] = fmean(values)
    return found


def warn_without_projections(task: str) -> None:
    """Say once, in one line, why a task shows no persona metric."""
    if task not in _warned:
        _warned.add(task)
        print(
            f"{task}: no persona activations: they need Turncoat's own model type "
            "(turncoat lm-eval --model turncoat ...); this backend's answers are kept without them",
            file=sys.stderr,
            flush=True,
        )


def count(items: list[list[Any]]) -> int:
    """Aggregation of the `samples` column: how many answers there are."""
    return sum(len(records) for records in items)
