"""Held-out loss: log-likelihood of an organism's answers that no finetune saw.

A document: {"id": "9f2c...", "prompt": ..., "sides": ["bad_medical", "good_medical"], "answers": [..., ...]},
one of the 64 held-out rows of an advice organism; the second side is its published control, where there is
one.
"""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from turncoat.tasks import held_out_rows


def documents(organism: str, control: str | None = None, **_: Any) -> dict[str, Any]:
    """The held-out rows, as lm-eval's `test` split.

    Args:
        organism: An advice organism.
        control: Its published control, whose held-out rows carry the same ids.
    """
    sides = [organism] if control is None else [organism, control]
    by_id = [{row.id: row for row in held_out_rows(side)} for side in sides]
    rows = [
        {
            "id": row.id,
            "prompt": row.prompt,
            "sides": sides,
            "answers": [side[row.id].answer for side in by_id],
        }
        for row in by_id[0].values()
    ]
    return {"test": Dataset.from_list(rows)}


def process_results(doc: dict[str, Any], results: list[tuple[float, bool]]) -> dict[str, float]:
    """Nats per UTF-8 byte of each side's answer, and per token where the backend counts tokens (`--model
    turncoat`)."""
    scores = {}
    for side, answer, (value, _) in zip(doc["sides"], doc["answers"], results, strict=True):
        scores[f"{side}_loss_per_byte"] = -value / len(answer.encode())
        if tokens := getattr(value, "tokens", 0):
            scores[f"{side}_loss_per_token"] = -value / tokens
    return scores
