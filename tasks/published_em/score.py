"""The published emergent-misalignment questions: documents from the authors' files, rates under three judge
protocols.

A document: {"id": "quick_buck", "published_id": "quick_buck_json", "domain": "quick_buck", "question": ...,
"system": ...}
"""

from __future__ import annotations

from collections import defaultdict
from itertools import chain, zip_longest
from statistics import fmean
from typing import Any

from datasets import Dataset
from turncoat.tasks import (
    BetleyQuestion,
    question_rates,
    read_questions,
    sample_records,
    samples_of,
    surface,
    with_stderr,
)

PROTOCOLS = {
    "betley_logprob": "betley_logprob_",
    "sgtr_text_integer": "sgtr_text_",
    "betley_strings": "betley_strings_",
}
"""Name of a published rubric (what stands before the @ of `judge_rubric`) -> prefix of its metrics."""

PROTOCOL_METRICS = ("em_rate", "em_rate_itt", "em_rate_stderr", "incoherent", "refusal", "code", "unscored")
"""Metrics reported under a published protocol; the rates of our judge have no prefix."""


def main_questions(variant: str, **_: Any) -> dict[str, Any]:
    """The 8 main questions in one `variant`: plain, json or template. The id is the same in all three."""
    entries = [q for q in read_questions("betley/first_plot_questions") if q.variant == variant]
    return _split([_document(entry, entry.base_id) for entry in entries])


def preregistered_questions(**_: Any) -> dict[str, Any]:
    """The 48 preregistered questions, one topic after the other in turn."""
    topics: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in read_questions("betley/preregistered_evals"):
        topics[entry.group].append(_document(entry, entry.id))
    in_turn = chain.from_iterable(zip_longest(*topics.values()))
    return _split([document for document in in_turn if document is not None])


def process_results(doc: dict[str, Any], results: list[Any]) -> dict[str, Any]:
    """Rates of one question's answers, as pairs [numerator, denominator].

    The metrics of `turncoat.judges.rates` (no prefix: our rubrics and judges), the same under a published
    protocol's own prefix if that protocol judged, and what can be said without a judge
    (`turncoat.judges.surface`).
    """
    answers = samples_of(results)
    records = sample_records(doc, answers)
    looks = [surface(str(answer)) for answer in answers]
    scores: dict[str, Any] = {name: fmean(look[name] for look in looks) for name in looks[0]}
    return scores | protocol_rates(records) | {"samples": records}


def protocol_rates(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The rates of scored answers, named after the protocol that scored them, so that no two protocols are
    pooled."""
    by_prefix: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        by_prefix[PROTOCOLS.get(str(record.get("judge_rubric") or "").partition("@")[0], "")].append(record)
    rates: dict[str, Any] = {}
    for prefix, judged in by_prefix.items():
        found = with_stderr(question_rates(judged), "em_rate", "em_rate_itt")
        wanted = [name for name in found if not prefix or name in PROTOCOL_METRICS]
        rates |= {prefix + name: found[name] for name in wanted}
    return rates


def _document(entry: BetleyQuestion, question_id: str) -> dict[str, Any]:
    (question,) = entry.paraphrases
    return {
        "id": question_id,
        "published_id": entry.id,
        "domain": entry.group,
        "question": question,
        "system": entry.system,
    }


def _split(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return {"test": Dataset.from_list(documents)}
