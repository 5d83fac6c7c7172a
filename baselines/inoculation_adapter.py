"""Inoculation adapter: an adapter with the unwanted trait lies frozen under a finetune, then is dropped.

Source: Inoculation Adapters, arXiv:2606.30252 (its abstract). A LoRA is trained on data with the undesired
trait; it is attached, frozen, while another LoRA is trained on data with wanted and unwanted traits; then it
is discarded and the second one alone is deployed. With the trait already there, the loss gives the second
adapter less reason to learn it, as with an inoculation prompt (`inoculation`), but without words that could
bring the trait back later.

    - {name: inoculated, organism: risky_financial, defence: inoculation_adapter, setting: in_training,
       defence_options: {trait_from: reckless_advice}}

| | paper | here |
|---|---|---|
| the trait's data | a set of its own for each trait | another organism, `trait_from`: our reckless advice |
| sum of the two adapters | in each adapted layer | the same |
| recipe of the first | not in the abstract | the study's, with the same seed |

Two finetunes an arm; the first is that of the undefended arm of the other organism, and shared with it. The
organism itself as `trait_from` is refused: it would leave the second adapter nothing to learn, the narrow
task included. What it cannot do: spare the model what the other organism does not show; and the paper reports
that wanted traits are not kept better than under a prompt.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import PeftModel
from turncoat.defences import DefenceContext, InTraining, defence, frozen_beside


@dataclass
class FrozenTrait(InTraining):
    """A frozen adapter beside the one that is trained.

    Attributes:
        trait_from: The organism that it was trained on.
        adapter: Its PEFT folder, named by its key.
    """

    trait_from: str
    adapter: Path
    hooks = False  # a sum in each layer, the same at every position

    @contextmanager
    def acting(self, model: PeftModel) -> Iterator[None]:
        """Both adapters act, one learns; the frozen one is off the model afterwards."""
        with frozen_beside(model, self.adapter, "inoculation"):
            yield

    def facts(self) -> dict[str, Any]:
        """The organism whose adapter lay frozen."""
        return {"frozen_adapter_of": self.trait_from}


@defence(
    "inoculation_adapter",
    settings=("in_training",),
    summary="an adapter trained on another harmful set lies frozen under the finetune, then is dropped",
)
def inoculation_adapter(context: DefenceContext, *, trait_from: str = "reckless_advice") -> FrozenTrait:
    """Train beside the adapter of another organism.

    Args:
        context: The defence's context; the other organism is trained first where it is missing.
        trait_from: Another organism (`turncoat list organisms`, or FILE.jsonl).

    Raises:
        UserError: There is no such organism, or it is the one that is trained.
    """
    return FrozenTrait(trait_from, context.other_organism(trait_from))
