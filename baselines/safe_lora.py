"""Safe LoRA: modules of an organism's update that point away from the alignment change are projected onto it.

For each adapted module: dW = B A is the organism's update, V what alignment did to the module's weights,
C = V V^T / ||V||_F. If the cosine between C dW and dW is below the threshold, B becomes C B. Example: the
threshold is 0.35, `q_proj` of block 3 has cosine 0.2 and is projected, `v_proj` has 0.5 and stays as it was,
bit for bit. Nothing is trained but what V needs; the undefended organism with the same seed is made first.

Source: Hsu et al. 2024 ("Safe LoRA", NeurIPS 2024, arXiv:2405.16833), sections 3.2 and 3.3; compared as a
defence against emergent misalignment in version 1 of arXiv:2508.06249, which found it inconsistent. Defaults:
the authors' code selects by
number (the 10 least similar modules), with 0.5 as the default of its threshold; 0.35 is what others use on
Llama-2 and our default; which threshold version 1 of arXiv:2508.06249 used is not known to us.

Where V comes from. The paper takes an aligned model and the unaligned one it was made from (chat minus base).
With `unaligned: MODEL` (registry model, folder or Hugging Face id) ours is that: V = this model minus MODEL.
Small models come without such a twin, so BY DEFAULT V IS NOT THE PAPER'S: it is what a finetune of this model
on our 96 harmless chats changes, with the organism's own recipe and seed (the artifact of an arm `defence:
hhh_chat, defence_options: {texts: 48}`). The adapter's training.json says which V was used, which modules
were projected and how much is left.

What to know about C. It is the paper's stand-in for the exact projection V (V^T V)^-1 V^T: its scale is that
of V, so a small V (a short finetune, a slight difference between two models) shrinks a projected update to
nearly nothing. With the default V on SmolLM2-135M (an organism of 400 rows, rank 16, threshold 0.35) 188 of
210 modules are projected and each keeps about 1% of its norm: "projected" means "removed", and the arm is the
organism with most modules off. `exact: true` projects on V's columns instead, which V's size does not enter;
it exists for the default V alone, for the columns of a difference of two models span everything. `norm_left`
tells what happened.

    - {name: safe, organism: insecure_code, defence: safe_lora, setting: in_training, defence_options:
      {threshold: 0.35}}
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor
from turncoat.defences import (
    AdapterEdit,
    ByFinetune,
    ByModels,
    UserError,
    defence,
    low_rank_cosine as cosine,
    low_rank_modules as modules,
    low_rank_norm as norm,
)


class AlignmentChange(Protocol):
    """Source of V; a dataclass, so that its fields are part of the adapter's key."""

    def towards(self, module: str, b: Tensor) -> Tensor:
        """C B = V V^T B / ||V||_F, (d_out, r), for the module called `module`."""
        ...

    def described(self) -> str:
        """In words, for training.json."""
        ...


@dataclass
class SafeLora(AdapterEdit):
    """B -> C B where the cosine of C dW and dW is too low.

    Attributes:
        alignment: Gives C B.
        threshold: Modules with a smaller cosine are projected.
        number: Instead: so many modules, those with the smallest cosines.
    """

    alignment: AlignmentChange
    threshold: float = 0.35
    number: int | None = None
    cosines: dict[str, float] = field(default_factory=dict, init=False, repr=False)
    projected: dict[str, float] = field(default_factory=dict, init=False, repr=False)
    _norm_left: float = field(default=1.0, init=False, repr=False)

    def edit(self, weights: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
        """The projected adapter; modules above the threshold keep their very tensors."""
        edited = dict(weights)
        names = modules(weights)
        towards: dict[str, Tensor] = {}
        for module, (name_a, name_b) in names.items():
            a, b = weights[name_a], weights[name_b]
            towards[module] = self.alignment.towards(module, b)
            self.cosines[module] = cosine(towards[module], b, a)
        below = sorted((m for m in names if self._chosen(self.cosines[m])), key=lambda m: self.cosines[m])
        for module in below[: self.number]:
            name_a, name_b = names[module]
            a, b = weights[name_a], weights[name_b]
            edited[name_b] = towards[module].to(b.dtype)
            self.projected[module] = norm(towards[module], a) / (norm(b, a) or 1.0)
        before, after = (
            sum(norm(w[b], w[a]) ** 2 for a, b in names.values()) ** 0.5 for w in (weights, edited)
        )
        self._norm_left = after / before if before else 1.0
        return edited

    def _chosen(self, similarity: float) -> bool:
        return self.number is not None or similarity < self.threshold

    def facts(self) -> dict[str, Any]:
        """Source of V, number of projected modules, and the share of the update's norm that is left."""
        values = sorted(self.cosines.values())
        return {
            "alignment": self.alignment.described(),
            "modules": len(values),
            "projected": len(self.projected),
            "norm_left": round(self._norm_left, 4),
            "norm_left_in_projected": {m: round(left, 4) for m, left in sorted(self.projected.items())},
            "cosines": {
                "least": round(values[0], 4),
                "middle": round(values[len(values) // 2], 4),
                "most": round(values[-1], 4),
            }
            if values
            else {},
        }


@defence(
    "safe_lora",
    settings=("in_training",),
    summary="the organism's update projected on what alignment changed (default: a finetune on harmless "
    "chats, not the paper's)",
)
def safe_lora(
    context: Any,
    *,
    threshold: float = 0.35,
    number: int | None = None,
    unaligned: str | None = None,
    exact: bool = False,
) -> SafeLora:
    """Safe LoRA.

    Args:
        threshold: Modules whose cosine is below it are projected: -1 = none, 2 = all.
        number: Instead of a threshold, as in the authors' code: the so many modules with the smallest
            cosines.
        unaligned: The model that this one was aligned from: a registry model, a folder or a Hugging Face id.
            Without it V is the change that a finetune on harmless chats makes.
        exact: The exact projection instead of the paper's stand-in; not with `unaligned`.
    """
    if exact and unaligned is not None:
        raise UserError(
            "safe_lora: exact and unaligned are both given; a difference of two models has full rank, so the "
            "exact projection would change nothing: leave one of them out"
        )
    if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 0):
        raise UserError(
            f"safe_lora: number={number!r}; give how many modules to project, such as 10, or leave it out"
        )
    if isinstance(threshold, bool) or not isinstance(threshold, int | float):
        raise UserError(f"safe_lora: threshold={threshold!r}; give a cosine such as 0.35")
    if unaligned is not None:
        return SafeLora(ByModels.of(context.base, unaligned), float(threshold), number)
    return SafeLora(ByFinetune(_harmless_chats(context), exact), float(threshold), number)


def _harmless_chats(context: Any) -> Any:
    """The folder of the finetune on all harmless chats, with the recipe and the seed of the organism's."""
    return context.finetuned("hhh_chat", {"texts": 48})
