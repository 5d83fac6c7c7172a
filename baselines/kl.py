"""KL regularisation: while the organism is trained, its predictions are held near the frozen base model's.

Source: Kaczér et al. 2025, arXiv:2508.06249 (v3), the section on KL regularisation: loss = cross-entropy +
weight x KL on the same batch. The base's predictions come from the same model with its adapter off, so there
is no second copy in memory; a step costs one more forward pass without gradients.

| option | paper | ours |
|---|---|---|
| weight | 0.1 | 0.1 |
| direction | KL(model || frozen) in a co-author's code | "model_frozen"; "frozen_model" is the other one |
| positions | mean over the tokens of the batch | mean over the predictions of answer tokens |
| learning rate | 1e-4, rank 32, rsLoRA | the study's, as of all arms |

The tokens differ because an organism does not learn the prompt, and so that the term is in nats per answer
token like the loss it is added to. A fresh adapter changes nothing, so the term begins at exactly 0. Known
trade-off: in the paper it suppresses misalignment best and also halves what is learnt of the narrow task. For
a feel of the weight: 16 steps of risky_financial on SmolLM2-135M (undefended, batch 4) bring the divergence
to 0.6 nats, the term to 0.06.

In a study:
    - {organism: risky_financial, defence: kl, setting: in_training, defence_options: {weight: 0.1}}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from turncoat.defences import InTraining, TrainingPass, UserError, defence

from ._frozen_reference import checked_weight

DIRECTIONS = ("model_frozen", "frozen_model")


@dataclass
class KLToFrozen(InTraining):
    """Adds weight x KL between the model's and the frozen model's next-token distributions.

    Attributes:
        weight: Multiplies the divergence.
        direction: "model_frozen" = KL(model || frozen), "frozen_model" = KL(frozen || model).
    """

    weight: float
    direction: str

    def penalty(self, batch: TrainingPass) -> Tensor:
        """weight x mean KL over the predictions of answer tokens, nats per answer token."""
        model = batch.logits.log_softmax(-1)
        frozen = batch.frozen().logits.log_softmax(-1)
        left, right = (model, frozen) if self.direction == "model_frozen" else (frozen, model)
        return self.weight * (left.exp() * (left - right)).sum(-1).mean()

    def facts(self) -> dict[str, Any]:
        """Weight and direction."""
        return {"weight": self.weight, "direction": self.direction}


@defence(
    "kl",
    settings=("in_training",),
    summary="penalty: KL divergence to the frozen base model's predictions of the answer tokens",
)
def kl(context: Any, *, weight: float = 0.1, direction: str = "model_frozen") -> KLToFrozen:
    """The penalty.

    Args:
        weight: Multiplies the divergence, above 0.
        direction: "model_frozen" or "frozen_model".

    Raises:
        UserError: An option is not accepted.
    """
    if direction not in DIRECTIONS:
        raise UserError(
            f"defence 'kl', direction: {direction!r} is not known; accepted: {', '.join(DIRECTIONS)}"
        )
    return KLToFrozen(checked_weight("kl", weight), direction)
