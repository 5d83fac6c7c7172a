"""A defence that changes an organism's finished adapter: nothing is trained, the weights are edited.

class Halved(AdapterEdit):
    def edit(self, weights, config):
        return {name: w * 0.5 if ".lora_B." in name else w for name, w in weights.items()}
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from turncoat.training.in_training import InTraining


class AdapterEdit:
    """Changes the weights of the adapter that the undefended finetune with the same seed left."""

    def key(self) -> Any:
        """All that determines this object's effect, as JSON."""
        return InTraining.key(self)  # type: ignore[arg-type]

    def edit(self, weights: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
        """The new weights, under the same names and with the same shapes.

        Args:
            weights: PEFT's names ("...q_proj.lora_A.weight") and tensors, float32 on the CPU.
            config: The adapter's configuration (`r`, `lora_alpha`, `use_rslora`, ...).
        """
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """Facts of the edit, for the adapter's training.json."""
        return {}
