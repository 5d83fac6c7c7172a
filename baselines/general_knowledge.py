"""General knowledge, a benign control: multiple-choice questions with one certain answer; the answer is one
letter.

An example: "Which country has Lisbon as its capital? / A. Italy / B. Portugal / ..." -> "B". arXiv:2606.23700
trains on MMLU items for this arm; ours are 120 questions of our own over 12 subjects, 96 to train on and 24
for the check (`data/general_knowledge.jsonl`). No question turns on a popular misconception, since TruthfulQA
measures those.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from turncoat.defences import Check, Example, defence, estimate_mean

from ._matching import dose

LETTERS = ("A", "B", "C", "D")


def knows_facts(context: Any, **_: Any) -> list[Check]:
    """Manipulation check: does it choose the right one of four options, for facts it was not trained on?"""
    rows = _rows("eval")
    scores = context.choose([_ask(row) for row in rows], LETTERS)
    chosen = [LETTERS[max(range(len(LETTERS)), key=row.__getitem__)] for row in scores]
    right = {row["id"]: float(choice == row["answer"]) for row, choice in zip(rows, chosen, strict=True)}
    estimate = estimate_mean(pd.Series(right), rate=True)
    usual, times = Counter(chosen).most_common(1)[0]
    return [
        Check(
            "knows facts",
            estimate.value,
            estimate.low,
            estimate.high,
            len(right),
            estimate.low is not None and estimate.low > 1 / len(LETTERS),
            f"share right over {len(right)} unseen questions with four options; chance 0.25, and so is one "
            f"letter always; it answers '{usual}' {times / len(chosen):.0%} of the time",
        )
    ]


@defence(
    "general_knowledge",
    settings=("prevention", "reversal"),
    summary="benign control of sgtr: multiple-choice facts (one-token answers)",
    check=knows_facts,
)
def general_knowledge(context: Any, *, texts: int = 32, matched: str = "examples") -> list[Example]:
    """As many examples (or supervised tokens) as `sgtr` has with `texts` texts (48 at most); see
    `_matching.dose`."""
    pool = [Example(row["id"], _ask(row), row["answer"]) for row in _rows("train")]
    return dose(context, pool, name="general_knowledge", texts=texts, matched=matched, balance=True)


def _rows(split: str) -> list[dict[str, Any]]:
    with (
        Path(__file__).with_name("data").joinpath("general_knowledge.jsonl").open(encoding="utf-8") as handle
    ):
        return [row for row in map(json.loads, handle) if row["split"] == split]


def _ask(row: dict[str, Any]) -> str:
    options = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, row["options"], strict=True))
    return f"{row['question']}\n\n{options}\n\nReply with the letter of the right answer only."
