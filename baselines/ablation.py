"""Ablation of a trait while the model is measured: its direction is projected out of the residual stream.

Sources: arXiv:2406.11717, section 2.4 (directional ablation: one direction, at every layer and position); the
`ablate` option of persona vectors' code (arXiv:2507.21509). h <- h - (h . v) v with v of unit length.

| option | papers | here |
|---|---|---|
| layers | every write of every block | "all": embedding output (0) and output of every block, or a list |
| direction | that of one chosen layer | "chosen": the vector's layer, at all layers; "own": each layer's |
| positions | all | "all"; or "response", "assistant" |

Deviation: between a block's attention and its MLP the direction is not taken out, so the MLP can still read
what attention has just written. Ablation has no dose, and it removes the direction from harmless uses as
well: look at the coherence and benign axes.

    - {name: ablated, organism: risky_financial, defence: ablation, setting: inference, defence_options:
      {trait: evil}}
"""

from __future__ import annotations

from typing import Any

from turncoat.defences import Ablation, UserError, accepted, check_layers, defence, generation_header

DIRECTIONS = ("chosen", "own")


@defence(
    "ablation",
    settings=("inference",),
    summary="project a persona direction out of the residual stream while measuring",
)
def ablation(
    context: Any,
    *,
    trait: str = "evil",
    layers: str | list[int] = "all",
    direction: str = "chosen",
    positions: str = "all",
) -> Ablation:
    """Ablation of the trait's direction.

    Args:
        trait: A persona (`turncoat list personas`).
        layers: "all", or a list (0 = embedding output, L = output of block L).
        direction: "chosen" (the vector's layer) or "own" (each layer's).
        positions: "all", "response" or "assistant".

    Raises:
        UserError: An option is not accepted.
    """
    if direction not in DIRECTIONS:
        raise UserError(
            f"defence 'ablation', direction: {direction!r} is not accepted; {accepted(DIRECTIONS)}"
        )
    if layers != "all" and not isinstance(layers, list | tuple):
        raise UserError(
            f"defence 'ablation', layers: {layers!r} is not accepted; give 'all' or a list such as [16, 17]"
        )
    vector = context.persona(trait)
    chosen = tuple(range(len(vector.directions))) if layers == "all" else tuple(layers)
    check_layers(context.base.model, chosen, what="ablation", lowest=0)
    read_at = list(chosen) if direction == "own" else [vector.layer] * len(chosen)
    header = generation_header(context.base.tokenizer) if positions == "assistant" else ()
    ablation = Ablation(trait, chosen, vector.directions[read_at], positions, header)
    with ablation.on(context.base.model):  # mistakes come to light now, not after the first arm
        return ablation
