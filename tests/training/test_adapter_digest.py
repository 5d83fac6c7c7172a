"""An adapter's digest changes with what the adapter computes, and with nothing else."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import IA3Config, LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from turncoat.errors import UserError
from turncoat.store import file_digest
from turncoat.testing import tiny_model
from turncoat.training.adapter_digest import FORM, adapter_digest
from turncoat.training.stack import CONFIG, WEIGHTS

IDS = torch.tensor([[5, 9, 200, 33, 14, 7, 61, 300, 12]])


@pytest.fixture
def folder(tiny_adapter: Path, tmp_path: Path) -> Path:
    """A LoRA of rank 4 and alpha 8 on q_proj, v_proj and down_proj, to be changed."""
    return Path(shutil.copytree(tiny_adapter, tmp_path / "adapter"))


@pytest.fixture
def outputs(tiny_base):
    """Logits of the tiny model with an adapter, as every measurement puts it on; None where it is refused."""

    def run(folder: Path) -> torch.Tensor | None:
        try:
            with tiny_base.adapter(folder) as model, torch.no_grad():
                return model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
        except UserError:
            return None

    return run


def configure(folder: Path, **changes: object) -> None:
    (folder / CONFIG).write_text(json.dumps({**json.loads((folder / CONFIG).read_text()), **changes}))


def change(folder: Path, to, metadata: dict[str, str] | None = None) -> None:
    """Save the weights through `to(name, tensor)`, in another order."""
    weights = load_file(folder / WEIGHTS)
    save_file({key: to(key, weights[key]) for key in reversed(weights)}, folder / WEIGHTS, metadata)


CASES = {
    "another": [
        {"lora_alpha": 16}, {"alpha_pattern": {"v_proj": 16}}, {"use_rslora": True}, {"use_dora": True},
        {"r": 8}, {"rank_pattern": {"q_proj": 8}}, {"alpha_pattern": {"layers.0.*down_proj": 4}},
        {"alora_invocation_tokens": [7, 61]}, {"lora_bias": True}, {"trainable_token_indices": [5]},
    ],
    "the same": [
        {"target_modules": ["down_proj", "v_proj", "q_proj"]}, {"target_modules": ".*([qv]|down)_proj"},
        {"base_model_name_or_path": "elsewhere", "revision": "main", "inference_mode": False},
        {"task_type": None, "peft_version": "0.1", "a_later_field": None}, {"lora_dropout": 0.5},
        {"init_lora_weights": True}, {"bias": "all"}, {"fan_in_fan_out": True},
        {"alpha_pattern": {"q_proj": 8}},
        {"rank_pattern": {"v_proj": 4}}, {"lora_alpha": 16, "alpha_pattern": {".*": 8}},
        {"layers_to_transform": [0, 1, 2, 3]}, {"exclude_modules": ["lm_head"]},
        {"lora_alpha": 4, "use_rslora": True},
    ],
    "refused": [  # so that the weights' names and shapes say all that these fields say
        {"target_modules": ["q_proj", "v_proj"]}, {"target_modules": ".*([qv]|down|up)_proj"},
        {"layers_to_transform": [0]}, {"exclude_modules": ["v_proj"]}, {"modules_to_save": ["lm_head"]},
    ],
}  # fmt: skip


@pytest.mark.parametrize(("due", "changes"), [(due, one) for due, cases in CASES.items() for one in cases])
def test_a_configuration_counts_where_it_acts(folder, outputs, due, changes):
    before, plain = adapter_digest(folder), outputs(folder)
    configure(folder, **changes)
    after = outputs(folder)
    if due == "the same":
        assert torch.equal(after, plain) and adapter_digest(folder) == before
    elif due == "another":
        assert (after is None or not torch.equal(after, plain)) and adapter_digest(folder) != before
    else:
        assert after is None


def test_saved_again_it_is_the_same_adapter(folder, outputs):
    before, plain, file = adapter_digest(folder), outputs(folder), file_digest(folder / WEIGHTS)
    assert before.startswith(FORM) and len(before) == len(FORM) + 64
    change(folder, lambda key, weight: weight, {"format": "pt", "author": "somebody else"})
    assert file_digest(folder / WEIGHTS) != file and adapter_digest(folder) == before
    change(folder, lambda key, weight: weight.double())
    assert torch.equal(outputs(folder), plain) and adapter_digest(folder) == before
    # LoRA's scale, moved into its B, and a weight of the base beside
    change(folder, lambda key, weight: weight.float() / 4 if ".lora_B." in key else weight.float())
    configure(folder, lora_alpha=32)
    name, embedding = "model.embed_tokens.weight", tiny_model().model.embed_tokens.weight.detach()
    save_file({**load_file(folder / WEIGHTS), f"base_model.model.{name}": embedding}, folder / WEIGHTS)
    assert torch.allclose(outputs(folder), plain, atol=1e-5) and adapter_digest(folder) == before


def test_a_value_an_order_and_a_name_count(folder):
    before, first = adapter_digest(folder), "layers.0.self_attn.q_proj.lora_A"
    change(folder, lambda key, weight: weight * (1 + 1e-6) if first in key else weight)
    assert before != (nudged := adapter_digest(folder))
    change(folder, lambda key, weight: weight.flip(0) if first in key else weight)
    assert nudged != (turned := adapter_digest(folder))
    weights = load_file(folder / WEIGHTS).items()
    save_file({key.replace(".layers.1.", ".layers.7."): one for key, one in weights}, folder / WEIGHTS)
    assert turned != adapter_digest(folder)


@pytest.mark.parametrize("kind", ["modules to save", "not a LoRA"])
def test_all_counts_that_is_not_known_to_be_idle(tmp_path, kind):
    lora = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], modules_to_save=["lm_head"])
    other = IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj"], feedforward_modules=[])
    get_peft_model(tiny_model(), other if kind == "not a LoRA" else lora).save_pretrained(tmp_path)
    before = adapter_digest(tmp_path)
    configure(tmp_path, revision="main", peft_version="0.1")
    assert adapter_digest(tmp_path) == before
    if kind == "not a LoRA":
        configure(tmp_path, feedforward_modules=["k_proj"])
    else:
        change(tmp_path, lambda key, weight: weight + 1 if "lm_head" in key else weight)
    assert adapter_digest(tmp_path) != before


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
@pytest.mark.parametrize("content", [None, b"\x00\xff", b'{"peft_type": "LORA", "r": "x"}'])
def test_a_folder_that_cannot_be_read_is_named(folder, name, content):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=r"adapter: no adapter that can be read \(.+\); save it again"):
        adapter_digest(folder)
