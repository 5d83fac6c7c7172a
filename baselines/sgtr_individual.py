"""SGTR on single texts: the model learns to say whether it wrote a summary (individual self-recognition).

Half of the summaries are this very base model's own, half a rival's, of the same texts. It shows no pair, so
a rule that compares two lengths cannot solve it (arXiv:2606.23700 trains the pairwise form, `sgtr`).
"""

from __future__ import annotations

from typing import Any

from turncoat.defences import Check, Example, defence

from ._summary_pairs import individual_check, individual_examples
from .sgtr import pairs_of


def recognises_itself(
    context: Any, *, show_text: bool = True, source: str = "ours", rival: str = "", **_: Any
) -> list[Check]:
    """Manipulation check: does it know its own summaries of unseen texts from a rival's?"""
    return individual_check(
        context, pairs_of(context, "eval", 24, source, rival), "knows its own summary", show_text
    )


@defence(
    "sgtr_individual",
    settings=("prevention", "reversal"),
    summary="self-recognition finetuning, one text at a time: did you write this?",
    control="pick_longer",
    check=recognises_itself,
)
def sgtr_individual(
    context: Any, *, texts: int = 32, show_text: bool = True, source: str = "ours", rival: str = ""
) -> list[Example]:
    """Two examples (own, rival) for each of `texts` texts."""
    return individual_examples(pairs_of(context, "train", texts, source, rival), show_text)
