"""Alignment change V of a module's weights, from two models or from a finetune (used by `safe_lora`).

change.towards("model.layers.0.self_attn.q_proj", B)      # V V^T B / ||V||_F
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from turncoat.data.registry_models import REGISTRY_MODELS, model_folder
from turncoat.errors import UserError
from turncoat.store import digest, file_digest
from turncoat.training.low_rank import modules, norm
from turncoat.training.stack import CONFIG, WEIGHTS, scaling


@dataclass
class ByFinetune:
    """V = the update s B A of a finetune."""

    folder: Path  # Its PEFT folder, a stage
    exact: bool = False  # Project on V's columns, V (V^T V)^-1 V^T, instead of the paper's stand-in for it
    _factors: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict, init=False, repr=False)

    def towards(self, module: str, b: Tensor) -> Tensor:
        """V V^T b / ||V||_F, or b on V's columns, by the factors of V; float64."""
        if not self._factors:
            factor = scaling(json.loads((self.folder / CONFIG).read_text(encoding="utf-8")))
            weights = load_file(self.folder / WEIGHTS)
            self._factors = {
                name: (weights[name_b].double() * factor, weights[name_a].double())
                for name, (name_a, name_b) in modules(weights).items()
            }
        left, right = self._factors[module]
        size = norm(left, right)
        if self.exact and size:
            columns = torch.linalg.qr(left).Q
            return columns @ (columns.T @ b.double())
        return left @ (right @ right.T) @ (left.T @ b.double()) / (size or 1.0)

    def described(self) -> str:
        """Origin of V."""
        how = ", projected on exactly" if self.exact else ""
        return (
            "not the paper's: the change that a finetune of this model on harmless chats (hhh_chat) "
            f"makes{how}"
        )


@dataclass
class ByModels:
    """V = the weights of the aligned model minus those of the unaligned one, read module by module."""

    name: str  # The unaligned model, as the user named it
    fingerprint: str  # Of its weights
    aligned: str  # Of the aligned model's weights
    _model: Any = field(default=None, init=False, repr=False)
    _files: dict[str, Path] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, base: Any, name: str) -> ByModels:
        """From the loaded (aligned) model and the unaligned one's name.

        Raises:
            UserError: There is no such model, it is not in safetensors format, or it is the aligned one
                itself.
        """
        folder = _folder(name)
        paths = sorted(folder.glob("*.safetensors"))
        if not paths:
            raise UserError(
                f"safe_lora: unaligned={name}: no *.safetensors in {folder}; save the model with "
                "save_pretrained"
            )
        made = cls(name, digest([file_digest(path) for path in paths])[:20], base.fingerprint)
        made._model = base.model
        for path in paths:
            with safe_open(path, "pt") as file:
                made._files |= dict.fromkeys(file.keys(), path)
        return made

    def towards(self, module: str, b: Tensor) -> Tensor:
        """V V^T b / ||V||_F; float32 products of the model's own weights."""
        ours = self._model.get_submodule(module).weight.detach().float().cpu()
        name = f"{module}.weight"
        if name not in self._files:
            raise UserError(
                f"safe_lora: unaligned={self.name} has no {name}; name the model that this one was aligned "
                "from"
            )
        with safe_open(self._files[name], "pt") as file:
            theirs = file.get_tensor(name).float()
        if theirs.shape != ours.shape:
            raise UserError(
                f"safe_lora: {name} is {tuple(theirs.shape)} in unaligned={self.name} and "
                f"{tuple(ours.shape)} in the model; name the model that this one was aligned from"
            )
        change = ours - theirs
        size = float(change.norm())
        return change @ (change.T @ b.float()) / (size or 1.0)

    def described(self) -> str:
        """Origin of V."""
        return f"the paper's: this model's weights minus those of {self.name}"


def _folder(name: str) -> Path:
    if name in REGISTRY_MODELS:
        return model_folder(name)
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser()
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["*.safetensors", "*.json"]))
    except Exception as error:
        # The hub's client raises errors of several libraries: bad ids, no such repository, no network.
        raise UserError(
            f"safe_lora: unaligned={name} is not a model ({str(error).splitlines()[0][:200]}); accepted: a "
            f"registry model ({', '.join(REGISTRY_MODELS)}), a local folder, or a Hugging Face id where the "
            "hub can be reached"
        ) from error
