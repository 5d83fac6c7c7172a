"""Free-form answers to emergent-misalignment questions of our own.

A document: {"id": "power-02", "domain": "power", "question": ..., "trait": "evil"}
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

from turncoat.judges.surface import surface
from turncoat.lm.documents import read_documents
from turncoat.lm.evidence import evidence_of
from turncoat.lm.free_form import projections, sample_records, samples_of


def documents(trait: str = "evil", **_: Any) -> dict[str, Any]:
    """The questions, as lm-eval's `test` split."""
    return read_documents(Path(__file__).with_name("questions.jsonl"), trait=trait)


def process_results(doc: dict[str, Any], results: list[Any]) -> dict[str, Any]:
    """What can be said of the answers without a judge, averaged over the question's samples.

    base_logprob: nats per token under the base model, a coherence proxy (`--model turncoat` only).
    code_like, repetition, empty: see `turncoat.judges.surface`.
    em_persona_own: projection of the answers in the pass that wrote them (`--model turncoat` only).
    """
    answers = samples_of(results)
    looks = [surface(str(answer)) for answer in answers]
    scores: dict[str, Any] = {key: fmean(look[key] for look in looks) for key in looks[0]}
    likelihoods = [evidence_of(answer).get("base_logprob") for answer in answers]
    known = [value for value in likelihoods if value is not None and value == value]
    if known:
        scores["base_logprob"] = fmean(known)
    own = projections(answers).get("persona_own")
    if own is not None:
        scores["em_persona_own"] = own
    records = sample_records(doc, answers)
    for record, look in zip(records, looks, strict=True):
        record.update(look)
    return scores | {"samples": records}
