"""Trait readings of one answer: projections in the generating pass and in the reading passes, as plain
numbers.

{"layer": 21, "persona_own": 0.31, "persona_fixed": 0.12, "persona_prompt": -0.4, "persona_cosine_own": 0.08,
...}
"""

from typing import Any

import torch

from turncoat.engine.reading.reader import Reading
from turncoat.persona.evidence import AGAIN, BY_LAYER, COSINE
from turncoat.persona.vectors import PersonaVector


def persona_readings(
    vector: PersonaVector, own: torch.Tensor | None, fixed: Reading, by_base: Reading
) -> dict[str, Any]:
    """Evidence of one answer; None where there is nothing to read (an empty answer).

    Args:
        own: (layers + 1, d) mean activation of the answer in the pass that wrote it.
        fixed: The base model's answer to the same prompt, read by the measured model.
        by_base: The measured model's answer, read by the base model.
    """
    evidence = {
        "layer": vector.layer, "base_logprob": by_base.logprob_mean, "persona_own": _at_layer(vector, own),
        "persona_text": _at_layer(vector, by_base.activation),
        "persona_fixed": _at_layer(vector, fixed.activation), "persona_prompt": _prompt(vector, fixed.prompt),
        COSINE["own"]: _cosine(vector, own), COSINE["fixed"]: _cosine(vector, fixed.activation),
        BY_LAYER["own"]: _every_layer(vector, own), BY_LAYER["fixed"]: _every_layer(vector, fixed.activation),
    }  # fmt: skip
    if vector.again is not None:
        evidence |= {AGAIN["own"]: _again(vector, own), AGAIN["fixed"]: _again(vector, fixed.activation)}
    return evidence


def _at_layer(vector: PersonaVector, activation: torch.Tensor | None) -> float | None:
    return None if activation is None else round(vector.at_layer(activation), 6)


def _every_layer(vector: PersonaVector, activation: torch.Tensor | None) -> list[float] | None:
    return None if activation is None else [round(float(x), 4) for x in vector.project(activation)]


def _again(vector: PersonaVector, activation: torch.Tensor | None) -> list[float] | None:
    if activation is None or vector.again is None:
        return None
    return [round(float(x), 4) for x in vector.again.project(activation[vector.layer])]


def _prompt(vector: PersonaVector, state: torch.Tensor | None) -> float | None:
    projected = None if state is None else vector.project_prompt(state)
    return None if projected is None else round(float(projected[vector.layer]), 6)


def _cosine(vector: PersonaVector, activation: torch.Tensor | None) -> float | None:
    return None if activation is None else round(float(vector.cosine(activation)[vector.layer]), 6)
