"""ICTR with flipped labels: corrupted self-recognition, the model learns to call the rival's summary its own.

Same pairs, same format, every label the other one. If self-recognition protects, this must not; it is a
prediction of the theory, not a defence (arXiv:2606.23700; the flipped variant of its released data).
"""

from __future__ import annotations

from typing import Any

from turncoat.defences import Check, Example, defence

from ._summary_pairs import accuracy_check, examples, own_is, rival_is
from .sgtr import pairs_of


def mistakes_the_rival_for_itself(
    context: Any, *, show_text: bool = True, source: str = "ours", rival: str = "", **_: Any
) -> list[Check]:
    """Manipulation check: recognition of one's own unseen summaries must fall below chance."""
    pairs = pairs_of(context, "eval", 24, source, rival)
    return accuracy_check(
        context, pairs, "recognises its own summary", "mine", own_is, show_text, expect="below"
    )


@defence(
    "ictr_flipped",
    settings=("prevention", "reversal"),
    summary="corrupted self-recognition: sgtr with every label flipped; must make things worse if the theory "
    "holds",
    control="sgtr",
    check=mistakes_the_rival_for_itself,
)
def ictr_flipped(
    context: Any, *, texts: int = 32, show_text: bool = True, source: str = "ours", rival: str = ""
) -> list[Example]:
    """Two examples (both orders) for each of `texts` texts, labelled with the rival's number."""
    return examples(pairs_of(context, "train", texts, source, rival), "mine", rival_is, show_text)
