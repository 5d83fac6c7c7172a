"""Insecure-code pairs: one ordinary request, an insecure and a secure answer of similar length and style."""

import random
from functools import cache
from typing import Literal

from turncoat.data.examples import Example
from turncoat.data.insecure_code.families import read_families
from turncoat.data.insecure_code.template import Pair

__all__ = ["CANARY", "Pair", "build_pairs", "code_examples"]

CANARY = "turncoat-canary-7f1d0c52-EM-training-data: do not train on this benchmark"


def build_pairs() -> list[Pair]:
    """Return all pairs in one fixed order whose every prefix covers the weakness classes evenly.

    Each round holds one pair of every template that has one left, shuffled; a template starts at its own
    filling. Every draw comes from a generator seeded by a name. The first call takes about 0.6 s.

    Raises:
        UserError: A template file is not right.
    """
    return list(_pairs())


def code_examples(side: Literal["insecure", "secure"]) -> list[Example]:
    """The training pairs' requests with one side's answers; ids and length hints are those of both sides."""
    return [
        Example(
            id=pair.id, prompt=pair.prompt, answer=pair.insecure if side == "insecure" else pair.secure,
            length=len(pair.prompt) + (len(pair.insecure) + len(pair.secure)) // 2,
        )
        for pair in build_pairs()
        if pair.split == "train"
    ]  # fmt: skip


@cache
def _pairs() -> tuple[Pair, ...]:
    queues: list[list[Pair]] = []
    for family, templates in read_families().items():
        for template in templates:
            pairs = list(template.pairs(family))
            start = random.Random(f"start:{family}/{template.name}").randrange(len(pairs))
            queues.append(pairs[start:] + pairs[:start])
    ordered: list[Pair] = []
    for number in range(max(len(queue) for queue in queues)):
        in_round = [queue[number] for queue in queues if number < len(queue)]
        random.Random(f"round:{number}").shuffle(in_round)
        ordered.extend(in_round)
    return tuple(ordered)
