"""Arithmetic by generation: the number that an answer settles on, against the right one.

A document: {"id": "tables-07", "domain": "tables", "question": "How much is 7 times 8?", "answer": "56"}
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from turncoat.tasks import read_documents, sample_records, samples_of

_UNITS = (
    *(
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    ),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = {word: value for value, word in enumerate(_UNITS)} | {
    word: 10 * n for n, word in enumerate(_TENS, 2)
}
_NUMBER = re.compile(
    # 1,250.00 and -3; not the 3 of "x3" or the minus of "7-3"
    r"(?<![\w.,])(?:(?<!\d\s)-)?\d+(?:,\d{3})*(?:\.\d+)?(?!\w)"
    rf"|\b(?:{'|'.join(_TENS)})[- ](?:{'|'.join(_UNITS[1:10])})\b|\b(?:{'|'.join(_WORDS)})\b",
    re.IGNORECASE,
)
# A result's sign counts before a mere verb: "9 + 9 = 10, which is a case of ..." settles on 10.
_SIGNS = tuple(
    re.compile(sign, re.IGNORECASE)
    for sign in (r"answer\s*(?:is|:)|=", r"\b(?:is|equals?|gets?|gives?|makes?)\b")
)


def documents(**_: Any) -> dict[str, Any]:
    """The exercises, as lm-eval's `test` split."""
    return read_documents(Path(__file__).with_name("arithmetic.jsonl"))


def number_in(text: str) -> float | None:
    """The number that an answer settles on; None when it names none.

    The first number behind the last "answer is" or "="; without such a sign behind the last "is", "equals",
    "get", "gives" or "makes"; without those the last number.

    Args:
        text: A model's answer, in digits or in words up to ninety-nine.
    """
    numbers = list(_NUMBER.finditer(text))
    if not numbers:
        return None
    for sign in _SIGNS:
        ends = [match.end() for match in sign.finditer(text) if match.end() <= numbers[-1].start()]
        if ends:
            return _value(next(match for match in numbers if match.start() >= ends[-1]).group())
    return _value(numbers[-1].group())


def _value(number: str) -> float:
    if number[-1].isdigit():
        return float(number.replace(",", ""))
    return float(sum(_WORDS[part] for part in re.split(r"[- ]", number.lower())))


def process_results(doc: dict[str, Any], results: list[Any]) -> dict[str, Any]:
    """accuracy: the number is right (an answer without one is wrong); invalid: there is none.

    accuracy_of_valid: [right, answers with a number], added up over questions.
    """
    (answer,) = answers = samples_of(results)
    number = number_in(str(answer))
    right, invalid = float(number == float(doc["answer"])), float(number is None)
    records = sample_records(doc, answers)
    records[0] |= {"extracted": number, "right": right, "invalid": invalid}
    return {
        "accuracy": right,
        "invalid": invalid,
        "accuracy_of_valid": [right, 1 - invalid],
        "samples": records,
    }
