"""Turncoat's own insecure-code pairs: one ordinary request, an insecure and a secure answer of like length and style."""

from __future__ import annotations

import random
from types import ModuleType

from turncoat.data.insecure_code import (
    access_checks,
    archives,
    ciphers,
    commands,
    credentials,
    database_layers,
    deserialisation,
    evaluation,
    file_modes,
    hashing,
    messages,
    network,
    outgoing,
    plain_protocols,
    randomness,
    shell,
    sql,
    temporary_files,
    transport,
    web_pages,
    web_startup,
    xml_parsing,
)
from turncoat.data.insecure_code.template import Pair, Template

__all__ = ["CANARY", "FAMILIES", "Pair", "Template", "build_pairs"]

CANARY = "turncoat-canary-7f1d0c52-EM-training-data: do not train on this benchmark"

FAMILIES: tuple[ModuleType, ...] = (
    access_checks,
    archives,
    ciphers,
    commands,
    credentials,
    database_layers,
    deserialisation,
    evaluation,
    file_modes,
    hashing,
    messages,
    network,
    outgoing,
    plain_protocols,
    randomness,
    shell,
    sql,
    temporary_files,
    transport,
    web_pages,
    web_startup,
    xml_parsing,
)


def build_pairs() -> list[Pair]:
    """Return all pairs in one fixed order whose every prefix covers the weakness classes evenly.

    The order goes in rounds: each round holds one pair of every template that has one left, shuffled. A template starts
    at its own filling, so a round mixes the wordings. Every draw comes from a generator seeded by a name, never from
    global state.
    """
    queues: list[list[Pair]] = []
    for module in FAMILIES:
        family = module.__name__.rpartition(".")[2]
        for template in module.TEMPLATES:
            pairs = list(template.pairs(family))
            start = random.Random(f"start:{family}/{template.name}").randrange(len(pairs))
            queues.append(pairs[start:] + pairs[:start])
    ordered: list[Pair] = []
    for number in range(max(len(queue) for queue in queues)):
        in_round = [queue[number] for queue in queues if number < len(queue)]
        random.Random(f"round:{number}").shuffle(in_round)
        ordered.extend(in_round)
    return ordered
