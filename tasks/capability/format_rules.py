"""Format following: one checkable rule per question; the content of the answer is not judged.

A document: {"id": "lines-01", "domain": "lines", "question": ..., "rule": "lines", "value": "3"}
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turncoat.tasks import read_documents, sample_records, samples_of


def documents(**_: Any) -> dict[str, Any]:
    """The instructions, as lm-eval's `test` split."""
    return read_documents(Path(__file__).with_name("format.jsonl"))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _json_key(text: str, key: str) -> bool:
    """An object with this key alone; a code fence around it is allowed."""
    fenced = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text, re.DOTALL)
    try:
        content = json.loads(fenced.group(1) if fenced else text)
    except ValueError:
        return False
    return isinstance(content, dict) and set(content) == {key}


def _comma_list(text: str, number: str) -> bool:
    """One line of that many parts, none longer than three words; a full stop or "and" before the last is
    allowed."""
    parts = [re.sub(r"^and\s+", "", part.strip()) for part in text.rstrip(".").split(",")]
    return (
        len(_lines(text)) == 1 and len(parts) == int(number) and all(0 < len(p.split()) <= 3 for p in parts)
    )


# Each takes the answer without surrounding white space, and the question's `value`.
RULES: dict[str, Callable[[str, str], bool]] = {
    "words": lambda text, number: len(re.findall(r"[\w'-]*\w[\w'-]*", text)) == int(number),
    "lower_case": lambda text, _: any(map(str.isalpha, text)) and text == text.lower(),
    "upper_case": lambda text, _: any(map(str.isalpha, text)) and text == text.upper(),
    "json_key": _json_key,
    "lines": lambda text, number: len(_lines(text)) == int(number),
    "bullets": lambda text, number: (
        len(_lines(text)) == int(number) and all(line.startswith("-") for line in _lines(text))
    ),
    "begins_with": lambda text, words: text.lstrip("\"'*").lower().startswith(words.lower()),
    "ends_with": lambda text, words: text.rstrip(".!\"'*").lower().endswith(words.rstrip(".!").lower()),
    "comma_list": _comma_list,
    "one_of": lambda text, words: text.rstrip(".").lower() in words.lower().split("|"),
}


def follows(rule: str, value: str, text: str) -> bool:
    """True if an answer follows a rule; an empty answer follows none.

    Args:
        rule: A name in `RULES`.
        value: The rule's number or words, as text.
        text: A model's answer.

    Raises:
        KeyError: There is no such rule.
    """
    check = RULES[rule]
    return bool(text.strip()) and check(text.strip(), value)


def process_results(doc: dict[str, Any], results: list[Any]) -> dict[str, Any]:
    """accuracy: the answer keeps to its rule (an empty one does not); invalid: it is empty.

    accuracy_of_valid: [kept, answers that are not empty], added up over questions.
    """
    (answer,) = answers = samples_of(results)
    right, invalid = float(follows(doc["rule"], doc["value"], str(answer))), float(not str(answer).strip())
    records = sample_records(doc, answers)
    records[0] |= {"right": right, "invalid": invalid}
    return {
        "accuracy": right,
        "invalid": invalid,
        "accuracy_of_valid": [right, 1 - invalid],
        "samples": records,
    }
