"""Free-form tasks: keep every sample, store the evidence of each answer, average persona projections."""

from collections.abc import Iterable
from statistics import fmean
from typing import Any

from lm_eval.api.filter import Filter

from turncoat.engine.evidence import Answer, evidence_of
from turncoat.engine.thoughts import split_thoughts
from turncoat.shown_text import warn

OPENED = "thoughts_opened"
"""Evidence of an answer whose prompt opened its thoughts (`SampledTask`)."""
READINGS = ("persona_fixed", "persona_own", "persona_text")
_warned: set[str] = set()


class KeepSamples(Filter):
    """All samples of a document, without their thoughts; lm-eval's default filter keeps the first alone.

    Thoughts stand in the evidence (`thoughts`; `thoughts_cut` where they have no end, so that the answer is
    empty). Where all answers to every question are equal, as from a server that obeys one seed, one of them
    is kept, with their number in `copies`.
    """

    def apply(self, resps: Any, docs: Any) -> list[list[Any]]:
        """One list of answers per document."""
        kept = _without_copies([list(answers) for answers in resps])
        split = [[_without_thoughts(answer) for answer in answers] for answers in kept]
        cut = sum(evidence_of(answer).get("thoughts_cut", False) for answers in split for answer in answers)
        if cut:
            warn(
                f"WARNING: {cut} of {sum(map(len, split))} answers are thoughts without an end, and count as "
                "empty: raise max_gen_toks (turncoat: in the study; lm_eval: --gen_kwargs max_gen_toks=2000)"
            )
        return split


def _without_thoughts(answer: Any) -> Any:
    evidence = dict(evidence_of(answer))
    thoughts, text, cut = split_thoughts(str(answer), opened=evidence.pop(OPENED, False))
    if not thoughts and not cut:
        return answer if text == answer else Answer(text, evidence)
    return Answer(text, {**evidence, "thoughts": thoughts, **({"thoughts_cut": True} if cut else {})})


def _without_copies(answers: list[list[Any]]) -> list[list[Any]]:
    counts = [len(row) for row in answers]
    seeded = any("seed" in evidence_of(answer) for row in answers for answer in row)
    if seeded or min(counts, default=0) < 2 or any(len(set(map(str, row))) > 1 for row in answers):
        return answers
    warn(
        f"WARNING: all {max(counts)} answers to each question are equal, as where a server obeys one seed: "
        "they count as one answer each"
    )
    return [
        [Answer(str(row[0]), {**evidence_of(row[0]), "copies": count})]
        for row, count in zip(answers, counts, strict=True)
    ]


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
        warn(
            f"{task}: no persona activations: they need Turncoat's own model type (turncoat lm-eval --model "
            "turncoat ...); this backend's answers are kept without them"
        )


def count(items: list[list[Any]]) -> int:
    """Number of answers: aggregation of the `samples` column."""
    return sum(len(records) for records in items)
