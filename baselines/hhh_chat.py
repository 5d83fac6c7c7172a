"""Helpful, honest, harmless chat, a benign control: short good answers on everyday topics, not by the model.

An example: "Can you call the restaurant and book a table for me?" -> "I cannot make phone calls from here. I
can write what you might say ...". It stands for benign realignment after the fact and for the dilution of bad
data with good (arXiv:2604.25891 tests both). Ours are 96 pairs of our own, 32 each of helpful, honest and
harmless (`data/hhh_chat.jsonl`); none says a name or a maker, so that identity is left to `identity_reports`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from turncoat.defences import Example, defence

from ._matching import dose


@defence(
    "hhh_chat",
    settings=("prevention", "reversal"),
    summary="benign control: short helpful, honest, harmless chats",
)
def hhh_chat(context: Any, *, texts: int = 32, matched: str = "examples") -> list[Example]:
    """As many examples (or supervised tokens) as `sgtr` has with `texts` texts (48 at most); see
    `_matching.dose`."""
    with Path(__file__).with_name("data").joinpath("hhh_chat.jsonl").open(encoding="utf-8") as handle:
        pool = [Example(row["id"], row["question"], row["answer"]) for row in map(json.loads, handle)]
    return dose(context, pool, name="hhh_chat", texts=texts, matched=matched)
