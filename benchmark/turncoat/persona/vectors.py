"""A persona vector: a direction in the residual stream for a trait, in units of the base model's own spread.

Layer convention: index 0 is the embedding output, index L the raw output of block L (before the final norm).
It may hold re-extractions: the same vector and unit from resampled extraction questions. The spread of a
result under them is the instrument's own error.

Source: Chen et al. 2025, arXiv:2507.21509, section 2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from turncoat.errors import UserError

_ALWAYS = ("directions", "mean", "sd")
_LATER = ("norm", "prompt_mean", "prompt_sd")
_AGAIN = "again_"  # prefix of the tensors of the re-extractions


@dataclass(frozen=True)
class Reextractions:
    """K vectors at the chosen layer, each with its own unit, from resampled extraction questions."""

    directions: torch.Tensor  # (K, d) float32, unit length
    mean: torch.Tensor  # (K,) mean and SD of the base's ordinary answers on each, as in `PersonaVector`
    sd: torch.Tensor

    def project(self, activation: torch.Tensor) -> torch.Tensor:
        """Standardised projections of a (d,) mean activation at the chosen layer: (K,), each in its own
        SD."""
        return (self.directions @ activation.float() - self.mean) / self.sd


@dataclass(frozen=True)
class PersonaVector:
    """A trait's direction at every layer."""

    trait: str  # "evil",
    directions: torch.Tensor  # (layers + 1, d) float32, unit length
    mean: torch.Tensor  # (layers + 1,) projection of the base model's ordinary answers, averaged
    # (layers + 1,) standard deviation over questions of that projection: the unit everything is reported in
    sd: torch.Tensor
    layer: int  # The layer to report, chosen on the base model before any finetuning
    card: dict[str, Any]  # Calibration card: how it was made, and its quality
    # (layers + 1,) length of the raw difference vector: the unit of steering strength
    norm: torch.Tensor | None = None
    # (layers + 1,) projection of the last prompt token of ordinary questions on the base, averaged
    prompt_mean: torch.Tensor | None = None
    prompt_sd: torch.Tensor | None = None  # (layers + 1,) its standard deviation over questions
    again: Reextractions | None = None  # None for a vector of an older version, or from too few questions

    def project(self, activation: torch.Tensor) -> torch.Tensor:
        """Standardised projection of (layers + 1, d) mean activations at every layer: (layers + 1,), base
        SD."""
        raw = (activation.float() * self.directions).sum(dim=-1)
        return (raw - self.mean) / self.sd

    def at_layer(self, activation: torch.Tensor) -> float:
        """Standardised projection at the chosen layer, in base SD."""
        return float(self.project(activation)[self.layer])

    def project_prompt(self, state: torch.Tensor) -> torch.Tensor | None:
        """As `project` for the (layers + 1, d) state at the last prompt token, in base SD over ordinary
        prompts.

        None for a vector of an older version, which lacks them.
        """
        if self.prompt_mean is None or self.prompt_sd is None:
            return None
        raw = (state.float() * self.directions).sum(dim=-1)
        return (raw - self.prompt_mean) / self.prompt_sd

    def cosine(self, activation: torch.Tensor) -> torch.Tensor:
        """Cosine between (layers + 1, d) activations and the direction at every layer: no unit, no base in
        it."""
        return torch.cosine_similarity(activation.float(), self.directions, dim=-1)

    def raw(self, layer: int | None = None) -> torch.Tensor:
        """(d,) the difference vector itself at a layer (default: the chosen one), as steering adds it.

        Raises:
            UserError: The vector has no `norm`.
        """
        layer = self.layer if layer is None else layer
        if self.norm is None:
            raise UserError(
                f"persona vector '{self.trait}' holds no 'norm', the unit of steering strength: one from "
                "texts has none (take a trait with prompts, such as 'evil'); one of an older version is made "
                f"again by: turncoat persona extract --trait {self.trait} --model ..."
            )
        if not 0 <= layer < len(self.directions):
            raise UserError(
                f"persona vector '{self.trait}': layer {layer} does not exist; accepted: 0 to "
                f"{len(self.directions) - 1}"
            )
        return self.directions[layer] * self.norm[layer]

    def save(self, folder: Path) -> None:
        """Write `vector.safetensors` and `card.json`."""
        tensors = {name: getattr(self, name) for name in self._present()}
        tensors |= {
            _AGAIN + name: values for name, values in (vars(self.again) if self.again else {}).items()
        }
        save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "vector.safetensors")
        card = {"trait": self.trait, "layer": self.layer, **self.card}
        (folder / "card.json").write_text(json.dumps(card, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def _present(self) -> list[str]:
        return [*_ALWAYS, *(name for name in _LATER if getattr(self, name) is not None)]

    @classmethod
    def load(cls, folder: Path) -> PersonaVector:
        """Read what `save` wrote.

        Raises:
            UserError: The folder holds no persona vector.
        """
        if missing := [name for name in ("card.json", "vector.safetensors") if not (folder / name).is_file()]:
            raise UserError(
                f"{folder}: no {' and no '.join(missing)} there; give the folder that `turncoat persona "
                "extract` printed"
            )
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "vector.safetensors")
        trait, layer = card.pop("trait"), card.pop("layer")
        directions, mean, sd = (tensors[name] for name in _ALWAYS)
        later = {name: tensors.get(name) for name in _LATER}
        found = {k.removeprefix(_AGAIN): v for k, v in tensors.items() if k.startswith(_AGAIN)}
        again = Reextractions(**found) if found else None
        return cls(trait, directions, mean, sd, layer, card, **later, again=again)
