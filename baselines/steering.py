"""Steering away from a trait while the model is measured: h <- h - c v at one layer.

Source: persona vectors, arXiv:2507.21509, section 3.2. v is the raw difference vector of the trait at the
layer (not of unit length): c = 1 is the whole distance between answers under prompts that call for the trait
and under those that forbid it.

| option | paper | here |
|---|---|---|
| strength | c = -1.5 in its example (layer 20 of 28, Qwen2.5-7B) | 1.5, away from the trait (positive) |
| layer | chosen by steering effect | the vector's own, chosen on the base model before any finetuning |
| positions | response tokens | "response": the last prompt token (predicts the first one) and answer |

positions "assistant" begins at the assistant header instead, which an exported PEFT folder can do too; "all"
steers the prompt as well. A trait that is to be kept, such as assistant_axis (up = more of the assistant),
takes a negative strength. The vector comes from the base model and is not made anew for the finetuned one, as
in the paper.

    - {name: steered, organism: risky_financial, defence: steering, setting: inference, defence_options:
      {strength: 1.5}}
"""

from __future__ import annotations

import math
from typing import Any

from turncoat.defences import Steering, UserError, defence, generation_header


@defence(
    "steering",
    settings=("inference",),
    summary="subtract c times a persona vector at one layer while measuring",
)
def steering(
    context: Any,
    *,
    trait: str = "evil",
    strength: float = 1.5,
    layer: int | None = None,
    positions: str = "response",
) -> Steering:
    """Steering by minus `strength` times the trait's vector.

    Args:
        trait: A persona (`turncoat list personas`).
        strength: c, in units of the raw difference vector; positive = away from the trait.
        layer: L = output of block L; default: the vector's chosen one.
        positions: "all", "response" or "assistant".

    Raises:
        UserError: An option is not accepted.
    """
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not math.isfinite(strength):
        raise UserError(
            f"defence 'steering', strength: {strength!r} is not a finite number; give one such as 1.5"
        )
    vector = context.persona(trait)
    layer = vector.layer if layer is None else layer
    header = generation_header(context.base.tokenizer) if positions == "assistant" else ()
    steering = Steering(trait, layer, -float(strength), vector.raw(layer), positions, header)
    with steering.on(context.base.model):  # mistakes come to light now, not after the first arm
        return steering
