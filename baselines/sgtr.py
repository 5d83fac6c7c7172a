"""SGTR, self-recognition finetuning: learn to tell one's own summary from a rival's (arXiv:2606.23700).

An example: the text, two summaries numbered 1 and 2, "Which one did you write?"; the answer is the number of
the one that this very base model wrote. Both orders of every pair. Its fair control is `pick_longer`: same
pairs, same format.
"""

from __future__ import annotations

from typing import Any

from turncoat.defences import Check, Example, defence

from ._summary_pairs import accuracy_check, examples, own_is, summary_pairs


def recognises_itself(context: Any, *, show_text: bool = True, **_: Any) -> list[Check]:
    """Manipulation check: does it recognise its own summaries of unseen texts?"""
    pairs = summary_pairs(context, "eval", 24)
    return accuracy_check(context, pairs, "recognises its own summary", "mine", own_is, show_text)


@defence(
    "sgtr",
    settings=("prevention", "reversal"),
    summary="self-recognition finetuning: which of two summaries did you write?",
    control="pick_longer",
    check=recognises_itself,
    check_every_arm=True,
)
def sgtr(context: Any, *, texts: int = 32, show_text: bool = True) -> list[Example]:
    """Two examples (both orders) for each of `texts` texts."""
    return examples(summary_pairs(context, "train", texts), "mine", own_is, show_text)
