"""A defence that changes an organism's finished adapter: nothing is trained, the weights are edited.

class Halved(AdapterEdit):
    def edit(self, weights, config):
        return {name: w * 0.5 if ".lora_B." in name else w for name, w in weights.items()}
"""

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from turncoat.errors import UserError
from turncoat.training.in_training import InTraining
from turncoat.training.stack import CONFIG, WEIGHTS


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


def edit_adapter(undefended: Path, edit: AdapterEdit, out: Path) -> None:
    """Write the edited copy of a finished adapter, with its `training.json`.

    Raises:
        UserError: The edit changed names or shapes.
    """
    config = json.loads((undefended / CONFIG).read_text(encoding="utf-8"))
    weights = load_file(undefended / WEIGHTS)
    edited = edit.edit(dict(weights), config)
    if edited.keys() != weights.keys() or any(edited[k].shape != weights[k].shape for k in weights):
        raise UserError(f"{type(edit).__name__}.edit returned other names or shapes than the adapter has")
    save_file(
        {name: tensor.contiguous() for name, tensor in edited.items()},
        out / WEIGHTS,
        metadata={"format": "pt"},
    )
    shutil.copyfile(undefended / CONFIG, out / CONFIG)
    record = json.loads((undefended / "training.json").read_text(encoding="utf-8"))
    record["defence"] = {"edited": type(edit).__name__, **edit.facts()}
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
