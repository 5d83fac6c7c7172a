"""LDIFS: while the organism is trained, its residual stream is held near the frozen base model's.

Source: Kaczér et al. 2025, arXiv:2508.06249 (v3), the section on LDIFS; the method is Mukhoti et al. 2023,
arXiv:2308.10103 (distance in feature space as a regulariser of finetuning). The frozen states come from the
same model
with its adapter off: no second copy, one more forward pass without gradients for each step.

| option | paper | ours |
|---|---|---|
| weight | 1.0 (0.1 and 10 in a co-author's code) | 1.0 |
| every | each 5th layer | 5: the outputs of blocks 5, 10, 15, ... |
| distance | squared L2 of features | over the frozen state's squared norm; mean of positions and layers |

The norm of the residual stream differs a hundredfold between models and layers, so the plain squared distance
gives one weight as many meanings as there are models. Ours is without unit: at weight 1, a penalty of 0.01 is
a drift of a tenth of the state's length. It counts every real token, prompt and answer; padding is left out.
Known error elsewhere: features that are read without gradients make a penalty that is reported and trains
nothing. A test compares our gradient with finite differences. In the paper the method does little against
misalignment. For a feel of the weight: 16 steps of risky_financial on SmolLM2-135M (undefended, batch 4)
bring the term to 0.04 beside a loss of 2.9.

In a study:
    - {organism: risky_financial, defence: ldifs, setting: in_training, defence_options: {weight: 1.0, every:
      5}}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from turncoat.defences import InTraining, TrainingPass, UserError, decoder_layers, defence

from ._frozen_reference import checked_weight, relative_distance


@dataclass
class FeatureDistance(InTraining):
    """Adds weight x relative squared distance of the residual stream to the frozen model's.

    Attributes:
        weight: Multiplies the distance.
        layers: Which states count; L = output of block L.
    """

    weight: float
    layers: tuple[int, ...]

    wants_states = True

    def penalty(self, batch: TrainingPass) -> Tensor:
        """weight x mean relative squared distance over real tokens and layers."""
        frozen = batch.frozen().states
        real = batch.attention_mask.bool()
        distances = [relative_distance(batch.states[i][real], frozen[i][real]).mean() for i in self.layers]
        return self.weight * torch.stack(distances).mean()

    def facts(self) -> dict[str, Any]:
        """Weight and layers."""
        return {"weight": self.weight, "layers": list(self.layers)}


@defence(
    "ldifs",
    settings=("in_training",),
    summary="penalty: distance of the residual stream to the frozen base model's, every 5th layer",
)
def ldifs(context: Any, *, weight: float = 1.0, every: int = 5) -> FeatureDistance:
    """The penalty.

    Args:
        context: The defence's context; its base model has the layers.
        weight: Multiplies the distance, above 0.
        every: Blocks from one layer that counts to the next; the first that counts is block `every`.

    Raises:
        UserError: An option is not accepted.
    """
    blocks = len(decoder_layers(context.base.model))
    if isinstance(every, bool) or not isinstance(every, int) or not 1 <= every <= blocks:
        raise UserError(
            f"defence 'ldifs', every: {every!r} is not accepted; {context.base.name} has {blocks} blocks: "
            f"give a whole number from 1 to {blocks}"
        )
    return FeatureDistance(checked_weight("ldifs", weight), tuple(range(every, blocks + 1, every)))
