"""Short everyday reasoning, scored by the option that an answer names, or by the likeliest option.

A document: {"id": "causes-01", "domain": "causes", "question": ..., "options": ["melts", "freezes"],
"answer": "melts"}
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from turncoat.tasks import read_documents, sample_records, samples_of


def documents(**_: Any) -> dict[str, Any]:
    """The questions, as lm-eval's `test` split."""
    return read_documents(Path(__file__).with_name("reasoning.jsonl"))


def option_in(text: str, options: list[str]) -> str | None:
    """The option that an answer names; None when it names none, or several without deciding.

    Looked at in turn: what follows the last "answer is" or "answer:", the first line, its first sentence, the
    whole text. The first of them that names exactly one option decides. Options are whole words, in any case.

    Args:
        text: A model's answer.
        options: The words it could choose from.
    """
    whole = text.strip()
    first_line = whole.split("\n")[0]
    first_sentence = re.split(r"(?<=[.!?])\s", first_line)[0]
    settled = re.split(r"answer\s*(?:is|:)", whole, flags=re.IGNORECASE)[1:]
    for part in (*settled[-1:], first_line, first_sentence, whole):
        named = [o for o in options if re.search(rf"(?<!\w){re.escape(o)}(?!\w)", part, re.IGNORECASE)]
        if len(named) == 1:
            return named[0]
    return None


def process_generated(doc: dict[str, Any], results: list[Any]) -> dict[str, Any]:
    """accuracy: the right option is named (an undecided answer is wrong); invalid: none is named, or several
        are.

    accuracy_of_valid: [right, answers that name one option], added up over questions.
    """
    (answer,) = answers = samples_of(results)
    option = option_in(str(answer), list(doc["options"]))
    right, invalid = float(option == doc["answer"]), float(option is None)
    records = sample_records(doc, answers)
    records[0] |= {"extracted": option, "right": right, "invalid": invalid}
    return {
        "accuracy": right,
        "invalid": invalid,
        "accuracy_of_valid": [right, 1 - invalid],
        "samples": records,
    }


def right_option(doc: dict[str, Any]) -> int:
    """Position of the right answer among the options."""
    return list(doc["options"]).index(doc["answer"])


def process_likelihoods(doc: dict[str, Any], results: list[tuple[float, bool]]) -> dict[str, float]:
    """Log-likelihood of the right option against that of the best wrong one, each over its own length.

    margin_per_byte: nats per UTF-8 byte, any backend; `accuracy` is whether it is above 0. margin_per_token:
    nats per token, where the numbers carry their token counts (`--model turncoat`).
    """
    right = right_option(doc)
    likelihoods = [result[0] for result in results]
    margin = _lead(
        [value / len(o.encode()) for value, o in zip(likelihoods, doc["options"], strict=True)], right
    )
    scores = {"accuracy": float(margin > 0), "margin_per_byte": margin}
    tokens = [getattr(value, "tokens", 0) for value in likelihoods]
    if all(tokens):
        scores["margin_per_token"] = _lead([v / n for v, n in zip(likelihoods, tokens, strict=True)], right)
    return scores


def _lead(values: list[float], right: int) -> float:
    return float(values[right]) - float(max(v for i, v in enumerate(values) if i != right))
