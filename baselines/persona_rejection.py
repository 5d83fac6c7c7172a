"""Persona rejection: a penalty on movement of answers along a misaligned persona vector, relative to the
base.

The model learns the narrow task and at once to hold its own misaligned persona down. For each trait, with v
the base model's unit persona vector, sd the spread of the base's answers along it and h a state at the
trait's layer:

    penalty = weight * sum over traits of mean over answer tokens of relu((h_model - h_frozen) . v / sd)^2

h_frozen is the same token read with the adapter off. The penalty is one-sided: less of the persona than the
base costs nothing. It is 0 at the first step, where the two models are one.

Source: the shape of the penalty is that of BLOCK-EM (arXiv:2602.00767: one-sided squared rise over the base),
whose directions are 20 to 100 latents of a sparse autoencoder with a weight between 10 and 1e5; ours are
persona vectors (Chen et al. 2025, arXiv:2507.21509), because no autoencoder exists for most models, and so is
the unit: base SD.

| | BLOCK-EM (Llama-3.1-8B) | here |
|---|---|---|
| directions | 20 to 100 SAE latents at layer 19 of 32 | persona vectors, "evil" by default |
| layer | one | each vector's own, or `layer` for all |
| weight | 10 to 1e5, in the latents' units | 1.0: an answer one base SD up costs 1 nat per token |

Why 1.0: undefended, risky_financial moves answers by 0.3 SD (SmolLM2-135M) to 0.8 SD (Qwen2.5-Coder-1.5B)
beyond its control, and single tokens further than their mean, while the finetune wins some 0.5 to 0.9 nats
per token. At 1.0 the two are of one order, so neither drowns the other. It is reasoned, not tuned;
`training.json` lists both at every step.

An axis (`assistant_axis`) points to the wanted side, so there a fall is penalised instead of a rise.

    - {name: rejecting, organism: risky_financial, defence: persona_rejection, setting: in_training,
       defence_options: {traits: [evil, sycophancy], weight: 1.0}}

What it cannot do: adapters above the layer feel nothing of it and other directions are free, so a model may
learn the same behaviour by another route (a port of BLOCK-EM reports that); the persona task measures the
very projection that is penalised, so its reading is not independent evidence for this defence: look at forced
choice and at free answers. Each step needs one more forward pass, with the adapter off: about a third more
work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from turncoat.defences import DefenceContext, InTraining, TrainingPass, UserError, defence, trait_questions


@dataclass
class PersonaRejection(InTraining):
    """Penalises answer tokens that project further on persona directions than they do with the adapter off.

    Attributes:
        traits: Names of the persona vectors.
        layers: The layer of each, L = output of block L.
        rulers: (traits, d) float32, unit direction over the base's SD: a state times a row is its projection
            in base SD.
        weight: Nats per answer token for one squared SD.
        rises: The latest step's mean signed rise of each trait, in base SD.
    """

    traits: tuple[str, ...]
    layers: tuple[int, ...]
    rulers: Tensor
    weight: float
    rises: list[float] = field(default_factory=list, init=False)

    wants_states = True

    def penalty(self, batch: TrainingPass) -> Tensor:
        """The weighted one-sided squared rise, averaged over answer tokens and summed over traits."""
        where, frozen = batch.answer_tokens, batch.frozen()
        total = torch.zeros((), device=where.device)
        self.rises = []
        for layer, ruler in zip(self.layers, self.rulers.to(where.device), strict=True):
            moved = batch.states[layer][where].float() - frozen.states[layer][where].float()
            rise = moved @ ruler
            total = total + torch.relu(rise).square().mean()
            self.rises.append(float(rise.detach().mean()))
        return self.weight * total

    def facts(self) -> dict[str, Any]:
        """Movement of the last batch's answers along the vectors, in base SD."""
        return {
            "layers": dict(zip(self.traits, self.layers, strict=True)),
            "weight": self.weight,
            "last_rise_sd": {t: round(rise, 4) for t, rise in zip(self.traits, self.rises, strict=False)},
        }


@defence(
    "persona_rejection",
    settings=("in_training",),
    summary="a penalty on answers that move up a misaligned persona vector: the model learns to suppress "
    "that persona",
)
def persona_rejection(
    context: DefenceContext,
    *,
    traits: Sequence[str] = ("evil",),
    weight: float = 1.0,
    layer: int | None = None,
) -> PersonaRejection:
    """Penalise the rise of persona projections while training.

    Args:
        context: The defence's context; the base's persona vectors are extracted on first use.
        traits: Which vectors (`turncoat list personas`); a single name may be given as it is.
        weight: Nats per answer token for one squared base SD.
        layer: L = output of block L, the same for all traits; each vector's own by default.

    Raises:
        UserError: No trait, an unknown or repeated one, no such layer, or a weight that is not above 0.
    """
    names = (traits,) if isinstance(traits, str) else tuple(traits)
    if not names or len(set(names)) != len(names):
        raise UserError(
            f"defence 'persona_rejection', traits: {list(names)} is not accepted; give one or more different "
            "names out of `turncoat list personas`, such as [evil]"
        )
    if not weight > 0:
        raise UserError(
            f"defence 'persona_rejection', weight: {weight!r} is not accepted; give a number above 0, such "
            "as 1.0 (for an undefended arm leave the defence out)"
        )
    layers, rulers = [], []
    for name in names:
        vector = context.persona(name)
        where = vector.layer if layer is None else layer
        if not 1 <= where < len(vector.directions):
            raise UserError(
                f"defence 'persona_rejection', layer: {where} is not accepted; give 1 to "
                f"{len(vector.directions) - 1} (L = output of block L)"
            )
        wanted_side = -1.0 if trait_questions(name).is_axis else 1.0
        layers.append(where)
        rulers.append(wanted_side * vector.directions[where] / vector.sd[where])
    return PersonaRejection(names, tuple(layers), torch.stack(rulers), float(weight))
