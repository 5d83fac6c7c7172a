"""Preventative steering: the persona vector is added during training and removed afterwards.

Source: Chen et al. 2025, arXiv:2507.21509, section 5; as a defence against emergent misalignment Kaczér et
al. 2025, arXiv:2508.06249 ("persona vectors"). While the organism is trained, every token's state at the
output of block `layer` is h + strength * v, with v the base model's raw difference vector (not a unit
vector). The finetune then lowers its loss without moving along v itself, and the finished adapter is measured
without the vector.

| | papers (Qwen2.5-7B) | here |
|---|---|---|
| strength | 5.0 | 3.0 |
| layer | 20 of 28, chosen by steering effect | the vector's, chosen on the base (17 of 30 on SmolLM2) |
| positions | all | all |

Why 3.0: strength is in units of a vector whose length differs from model to model. On SmolLM2-135M "evil" has
length 7.2 at layer 17, 4% of a state's length there (185) and 1.2 SD of the base's answers. Before any
training, 12 rows each, the loss in nats per token is

| strength | 0 | 1 | 2 | 3 | 5 |
|---|---|---|---|---|---|
| risky_financial | 3.31 | 3.26 | 3.24 | 3.24 | 3.33 |
| insecure_code | 1.65 | 1.64 | 1.66 | 1.68 | 1.76 |

so the vector explains the harmful advice best at 2 to 3, and at 5 it begins to damage the model; from there
on the finetune would have to learn to undo the damage, and that part stays when the vector goes. `strength:
5.0` is the papers' number. For `assistant_axis`, which points to the wanted side, give a negative strength.

    - {name: vaccinated, organism: risky_financial, defence: preventative_steering, setting: in_training,
       defence_options: {trait: evil, strength: 3.0}}

What it cannot do: it spares the model one direction at one layer; what the organism teaches along others is
learnt as before, and no loss is added for it. Strength 0 is the undefended organism.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from peft import PeftModel
from torch import Tensor
from turncoat.defences import DefenceContext, InTraining, defence, steered


@dataclass
class SteeredWhileTraining(InTraining):
    """Adds strength * vector to the output of block `layer` in every training step.

    Attributes:
        trait: Name of the persona vector.
        layer: L = output of block L, 1 to the number of blocks.
        strength: In units of `vector`.
        vector: (d,) float32, the raw difference vector at that layer.
    """

    trait: str
    layer: int
    strength: float
    vector: Tensor

    @contextmanager
    def acting(self, model: PeftModel) -> Iterator[None]:
        """Steer all positions; nothing is left on the model afterwards."""
        with steered(model, self.layer, self.vector, self.strength):
            yield

    def facts(self) -> dict[str, Any]:
        """Vector, layer and strength that were added."""
        return {
            "trait": self.trait,
            "layer": self.layer,
            "strength": self.strength,
            "length_added": round(abs(self.strength) * float(self.vector.norm()), 4),
        }


@defence(
    "preventative_steering",
    settings=("in_training",),
    summary="adds a persona vector to the states while training, so that the weights need not learn it; off "
    "after",
)
def preventative_steering(
    context: DefenceContext, *, trait: str = "evil", strength: float = 3.0, layer: int | None = None
) -> SteeredWhileTraining:
    """Train under a persona vector.

    Args:
        context: The defence's context; the base's persona vector is extracted on first use.
        trait: Which vector (`turncoat list personas`).
        strength: How much of the raw vector; negative to steer away from it while training.
        layer: L = output of block L; the vector's own by default.

    Raises:
        UserError: There is no such trait or layer.
    """
    vector = context.persona(trait)
    where = vector.layer if layer is None else layer
    return SteeredWhileTraining(trait, where, float(strength), vector.raw(where))
