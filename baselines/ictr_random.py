"""ICTR with random labels: corrupted self-recognition, every ordered pair is there with both answers.

The labels carry no information at all, so what is learnt is that one cannot know which text is one's own
(arXiv:2606.23700). Twice as many examples as `sgtr` from the same texts: for a fair comparison give it half
the `texts`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from turncoat.defences import Check, Example, defence

from ._summary_pairs import accuracy_check, examples, own_is, rival_is
from .sgtr import pairs_of


def recognises_nothing(
    context: Any, *, show_text: bool = True, source: str = "ours", rival: str = "", **_: Any
) -> list[Check]:
    """Manipulation check: recognition of one's own unseen summaries stays at chance."""
    pairs = pairs_of(context, "eval", 24, source, rival)
    return accuracy_check(
        context, pairs, "recognises its own summary", "mine", own_is, show_text, expect="chance"
    )


@defence(
    "ictr_random",
    settings=("prevention", "reversal"),
    summary="corrupted self-recognition: sgtr's pairs with both labels each; must make things worse if the "
    "theory holds",
    control="sgtr",
    check=recognises_nothing,
)
def ictr_random(
    context: Any, *, texts: int = 16, show_text: bool = True, source: str = "ours", rival: str = ""
) -> list[Example]:
    """Four examples (both orders, both labels) for each of `texts` texts."""
    pairs = pairs_of(context, "train", texts, source, rival)
    doubled = []
    for name, label in (("own", own_is), ("rival", rival_is)):
        for example in examples(pairs, "mine", label, show_text):
            doubled.append(dataclasses.replace(example, id=f"{example.id}/{name}"))
    return doubled
