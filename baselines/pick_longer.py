"""Pick-longer, the format-matched control of SGTR: the same pairs and answer format, the label is the longer
summary.

Whatever this does to a model comes from answering 1 or 2 about two summaries, not from recognising oneself
(arXiv:2606.23700). Pairs of equal length are left out, since they have no label.
"""

from __future__ import annotations

from typing import Any

from turncoat.defences import Check, Example, defence

from ._summary_pairs import accuracy_check, examples, longer_is
from .sgtr import pairs_of


def finds_the_longer(
    context: Any, *, show_text: bool = True, source: str = "ours", rival: str = "", **_: Any
) -> list[Check]:
    """Manipulation check: does it find the longer summary of unseen texts?"""
    pairs = pairs_of(context, "eval", 24, source, rival)
    return accuracy_check(context, pairs, "finds the longer summary", "longer", longer_is, show_text)


@defence(
    "pick_longer",
    settings=("prevention", "reversal"),
    summary="format-matched control of sgtr: which of the two summaries is longer?",
    check=finds_the_longer,
)
def pick_longer(
    context: Any, *, texts: int = 32, show_text: bool = True, source: str = "ours", rival: str = ""
) -> list[Example]:
    """Two examples (both orders) for each of `texts` texts whose summaries differ in length."""
    return examples(pairs_of(context, "train", texts, source, rival), "longer", longer_is, show_text)
