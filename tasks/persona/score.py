"""Persona activation on everyday questions, at the layer that was fixed on the base model.

A document: {"id": "everyday-07", "question": ..., "trait": "evil"}; the `trait` asks `--model turncoat` for projections.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from turncoat.lm.documents import read_documents
from turncoat.lm.free_form import projections, sample_records, samples_of, warn_without_projections


def documents(trait: str = "evil", **_: Any) -> dict[str, Any]:
    """The evaluation questions, as lm-eval's `test` split; none of them served to extract the vector."""
    return read_documents(Path(__file__).with_name("evaluation_questions.jsonl"), trait=trait)


def process_results(doc: dict[str, Any], results: list[Any]) -> dict[str, Any]:
    """Mean projections over the question's samples, in base SD (up = more of the trait).

    persona_fixed: the base model's own answers, read by this model: isolates what finetuning did to the model.
    persona_own: this model's own answers in the pass that wrote them.
    persona_text: this model's answers, read by the base: isolates what changed in the text.
    """
    answers = samples_of(results)
    scores: dict[str, Any] = {"samples": sample_records(doc, answers)}
    found = projections(answers)
    if not found:
        warn_without_projections("turncoat_persona")
    return scores | found
