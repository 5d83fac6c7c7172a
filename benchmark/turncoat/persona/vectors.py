"""A persona vector: a direction in the residual stream for a trait, in units of the base model's own spread.

Layer convention: index 0 is the embedding output, index L the raw output of block L (before the final norm).
Source: Chen et al. 2025, arXiv:2507.21509, section 2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file


@dataclass(frozen=True)
class PersonaVector:
    """A trait's direction at every layer.

    Attributes:
        trait: "evil", ...
        directions: (layers + 1, d) float32, unit length.
        mean: (layers + 1,) projection of the base model's ordinary answers, averaged.
        sd: (layers + 1,) standard deviation over questions of that projection: the unit everything is reported in.
        layer: The layer to report, chosen on the base model before any finetuning.
        card: How it was made and how good it is.
    """

    trait: str
    directions: torch.Tensor
    mean: torch.Tensor
    sd: torch.Tensor
    layer: int
    card: dict[str, Any]

    def project(self, activation: torch.Tensor) -> torch.Tensor:
        """Standardised projection of (layers + 1, d) mean activations at every layer: (layers + 1,), base SD."""
        raw = (activation.float() * self.directions).sum(dim=-1)
        return (raw - self.mean) / self.sd

    def at_layer(self, activation: torch.Tensor) -> float:
        """Standardised projection at the chosen layer, in base SD."""
        return float(self.project(activation)[self.layer])

    def save(self, folder: Path) -> None:
        """Write `vector.safetensors` and `card.json`."""
        tensors = {"directions": self.directions, "mean": self.mean, "sd": self.sd}
        save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "vector.safetensors")
        card = {"trait": self.trait, "layer": self.layer, **self.card}
        (folder / "card.json").write_text(json.dumps(card, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> PersonaVector:
        """Read what `save` wrote."""
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "vector.safetensors")
        return cls(card.pop("trait"), tensors["directions"], tensors["mean"], tensors["sd"], card.pop("layer"), card)
