"""Persona activation at the layer chosen on the base model, and trait scores of the answers.

A document: {"id": "everyday-07", "question": ..., "trait": "evil"}; the `trait` asks `--model turncoat` for
projections.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

from datasets import Dataset
from turncoat.tasks import (
    evidence_of,
    projections,
    read_documents,
    sample_records,
    samples_of,
    trait_questions,
    warn_without_projections,
)

MORE = ("persona_prompt", "persona_cosine_own", "persona_cosine_fixed", "trait_score")


def documents(trait: str = "evil", **_: Any) -> dict[str, Any]:
    """The everyday questions, as lm-eval's `test` split; none of them served to extract the vector."""
    return read_documents(Path(__file__).with_name("evaluation_questions.jsonl"), trait=trait)


def trait_documents(trait: str, **_: Any) -> dict[str, Any]:
    """The trait's own evaluation questions; none of them served to extract its vector."""
    questions = trait_questions(trait)
    # A role is not a degree of a trait: there is no rubric for the axis.
    constants = {"trait": trait, **({"trait_unscored": True} if questions.is_axis else {})}
    rows = [
        {"id": f"{trait}-{n:02d}", "question": q, **constants} for n, q in enumerate(questions.evaluation, 1)
    ]
    return {"test": Dataset.from_list(rows)}


def process_results(doc: dict[str, Any], results: list[Any]) -> dict[str, Any]:
    """Mean projections over the question's samples, in base SD (up = more of the trait).

    persona_fixed: the base model's own answers, read by this model: isolates what finetuning did to the
        model.
    persona_own: this model's own answers in the pass that wrote them.
    persona_text: this model's answers, read by the base: isolates what changed in the text.
    """
    answers = samples_of(results)
    scores: dict[str, Any] = {"samples": sample_records(doc, answers)}
    found = projections(answers)
    if not found:
        warn_without_projections("turncoat_persona")
    return scores | found


def process_trait_results(doc: dict[str, Any], results: list[Any]) -> dict[str, Any]:
    """As `process_results`, and four more readings, each averaged over the samples that have it.

    persona_prompt: this model at the last prompt token, before any answer, in base SD over prompts.
    persona_cosine_own, persona_cosine_fixed: cosine with the direction, own answers and fixed texts.
    trait_score: 0 to 100 by a judge with a trait rubric (TURNCOAT_JUDGE), absent without one.
    """
    answers = samples_of(results)
    scores: dict[str, Any] = {"samples": sample_records(doc, answers), **projections(answers)}
    if "persona_fixed" not in scores:
        warn_without_projections(f"turncoat_persona_{doc['trait']}")
    for name in MORE:
        values = [value for answer in answers if (value := evidence_of(answer).get(name)) is not None]
        if values:
            scores[name] = fmean(values)
    return scores
