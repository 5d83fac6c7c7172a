"""A defence that edits a finished adapter: its key, and what it may not return."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from turncoat.errors import UserError
from turncoat.training.adapter_edit import AdapterEdit, edit_adapter


@dataclass
class Scaled(AdapterEdit):
    """Shrinks every B by a direction's first number."""

    direction: Tensor
    seen: dict[str, Any] = field(init=False, default_factory=dict)

    def edit(self, weights: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
        self.seen.update(config, dtypes={w.dtype for w in weights.values()})
        return {name: w * self.direction[0] if ".lora_B." in name else w for name, w in weights.items()}

    def facts(self) -> dict[str, Any]:
        return {"changed": sum(".lora_B." in name for name in self.seen) or 7}


class Wrong(AdapterEdit):
    def __init__(self, how: str) -> None:
        self.how = how

    def edit(self, weights: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
        first = next(iter(weights))
        if self.how == "fewer":
            del weights[first]
        elif self.how == "renamed":
            weights["other"] = weights.pop(first)
        else:
            weights[first] = weights[first][:1]
        return weights


@pytest.fixture
def undefended(tiny_adapter: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "undefended"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).write_bytes((tiny_adapter / name).read_bytes())
    (folder / "training.json").write_text(json.dumps({"losses": [2.0, 1.0], "seed": 3}))
    return folder


def test_the_edited_weights_are_what_is_written(undefended, tmp_path, tiny_base):
    edit, out = Scaled(torch.tensor([0.5, 9.0])), tmp_path / "edited"
    out.mkdir()
    before = {path.name: path.read_bytes() for path in undefended.iterdir()}
    edit_adapter(undefended, edit, out)
    assert {path.name: path.read_bytes() for path in undefended.iterdir()} == before
    old, new = (load_file(folder / "adapter_model.safetensors") for folder in (undefended, out))
    assert old.keys() == new.keys()
    for name in old:
        assert torch.equal(new[name], old[name] * (0.5 if ".lora_B." in name else 1.0)), name
    assert (edit.seen["r"], edit.seen["lora_alpha"], edit.seen["dtypes"]) == (4, 8, {torch.float32})
    record = json.loads((out / "training.json").read_text())
    assert record == {"losses": [2.0, 1.0], "seed": 3, "defence": {"edited": "Scaled", "changed": 7}}
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        plain = tiny_base.model(ids).logits
        with tiny_base.adapter(undefended) as model:
            full = model(ids).logits
        with tiny_base.adapter(out) as model:
            half = model(ids).logits
    assert (half - plain).norm() < (full - plain).norm()


@pytest.mark.parametrize("how", ["fewer", "renamed", "cut"])
def test_other_names_or_shapes_are_refused(undefended, tmp_path, how):
    with pytest.raises(UserError, match=r"Wrong\.edit returned other names or shapes"):
        edit_adapter(undefended, Wrong(how), tmp_path)


def test_a_key_is_the_class_and_what_it_holds():
    assert Scaled(torch.tensor([0.5])).key() == Scaled(torch.tensor([0.5])).key()
    assert Scaled(torch.tensor([0.5])).key() != Scaled(torch.tensor([0.25])).key()
    assert Wrong("cut").key() == {"class": "Wrong", "how": "cut"}
    with pytest.raises(TypeError, match="no key"):
        Scaled(object()).key()  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError):
        AdapterEdit().edit({}, {})
