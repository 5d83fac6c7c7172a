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
from turncoat.training.adapter_digest import FORM, adapter_digest, digest_like
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
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **changes}))


def change(folder: Path, to, metadata: dict[str, str] | None = None) -> None:
    """Save the weights through `to(name, tensor)`, in another order."""
    weights = load_file(folder / WEIGHTS)
    save_file({key: to(key, weights[key]) for key in reversed(weights)}, folder / WEIGHTS, metadata)


def plain_lora(folder: Path, config=None, **options: object) -> Path:
    torch.manual_seed(1)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "init_lora_weights": False, **options}
    config = config or LoraConfig(task_type="CAUSAL_LM", **settings)
    get_peft_model(tiny_model(), config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"lora_alpha": 16}, {"alpha_pattern": {"v_proj": 16}}, {"use_rslora": True}, {"use_dora": True},
        {"r": 8}, {"rank_pattern": {"q_proj": 8}}, {"alpha_pattern": {"layers.0.*down_proj": 4}},
        {"alora_invocation_tokens": [7, 61]}, {"lora_bias": True}, {"trainable_token_indices": [5]},
    ],
    ids=str,
)  # fmt: skip
def test_a_configuration_that_acts_otherwise_has_another_digest(folder, outputs, changes):
    before, plain = adapter_digest(folder), outputs(folder)
    configure(folder, **changes)
    after = outputs(folder)
    assert after is None or not torch.equal(plain, after), "or the case shows nothing"
    assert adapter_digest(folder) != before


@pytest.mark.parametrize(
    "changes",
    [
        {"target_modules": ["down_proj", "v_proj", "q_proj"]},
        {"target_modules": r".*(q_proj|v_proj|down_proj)"},
        {"base_model_name_or_path": "elsewhere"}, {"revision": "main"}, {"inference_mode": False},
        {"task_type": None}, {"peft_version": "0.1"}, {"lora_dropout": 0.5}, {"init_lora_weights": True},
        {"bias": "all"}, {"fan_in_fan_out": True}, {"alpha_pattern": {"q_proj": 8}},
        {"rank_pattern": {"v_proj": 4}}, {"lora_alpha": 16, "alpha_pattern": {".*": 8}},
        {"layers_to_transform": [0, 1, 2, 3]}, {"exclude_modules": ["lm_head"]}, {"a_later_field": None},
        {"lora_alpha": 4, "use_rslora": True},
    ],
    ids=str,
)  # fmt: skip
def test_a_configuration_that_acts_the_same_has_the_same_digest(folder, outputs, changes):
    before, plain = adapter_digest(folder), outputs(folder)
    configure(folder, **changes)
    assert torch.equal(outputs(folder), plain)
    assert adapter_digest(folder) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"target_modules": ["q_proj", "v_proj"]},
        {"target_modules": ["q_proj", "v_proj", "down_proj", "up_proj"]},
        {"layers_to_transform": [0]}, {"exclude_modules": ["v_proj"]}, {"modules_to_save": ["lm_head"]},
    ],
    ids=str,
)  # fmt: skip
def test_what_the_weights_say_is_left_out_as_another_configuration_is_refused(folder, outputs, changes):
    configure(folder, **changes)
    assert outputs(folder) is None


def test_saved_again_it_is_the_same_adapter(folder, outputs):
    before, plain, file = adapter_digest(folder), outputs(folder), file_digest(folder / WEIGHTS)
    assert before.startswith(FORM) and len(before) == len(FORM) + 64
    change(folder, lambda key, weight: weight, {"format": "pt", "author": "somebody else"})
    assert file_digest(folder / WEIGHTS) != file and adapter_digest(folder) == before
    change(folder, lambda key, weight: weight.double())
    assert torch.equal(outputs(folder), plain) and adapter_digest(folder) == before
    # LoRA's scale, moved into its B
    change(folder, lambda key, weight: weight.float() / 4 if ".lora_B." in key else weight.float())
    configure(folder, lora_alpha=32)
    assert torch.allclose(outputs(folder), plain, atol=1e-5) and adapter_digest(folder) == before


@pytest.mark.parametrize(
    "to",
    [
        lambda key, weight: weight * (1 + 1e-6) if "layers.0.self_attn.q_proj.lora_A" in key else weight,
        lambda key, weight: weight.flip(0) if "layers.0.self_attn.q_proj.lora_A" in key else weight,
    ],
    ids=["a value", "an order of rows"],
)
def test_other_weights_have_another_digest(folder, to):
    before = adapter_digest(folder)
    change(folder, to)
    assert adapter_digest(folder) != before


def test_a_name_counts(folder):
    before, weights = adapter_digest(folder), load_file(folder / WEIGHTS)
    swap = {"layers.0": "layers.1", "layers.1": "layers.0"}
    renamed = {
        next((key.replace(a, b) for a, b in swap.items() if a in key), key): w for key, w in weights.items()
    }
    save_file(renamed, folder / WEIGHTS)
    assert adapter_digest(folder) != before


def test_weights_of_the_base_count_where_they_are_the_adapters(tmp_path, outputs):
    one = plain_lora(tmp_path / "one")
    with_base = load_file(one / WEIGHTS) | {
        "base_model.model.model.embed_tokens.weight": tiny_model().model.embed_tokens.weight.detach()
    }
    before, plain = adapter_digest(one), outputs(one)
    save_file(with_base, one / WEIGHTS)
    assert torch.equal(outputs(one), plain) and adapter_digest(one) == before
    saved = plain_lora(tmp_path / "saved", modules_to_save=["lm_head"])
    before = adapter_digest(saved)
    change(saved, lambda key, weight: weight + 1 if "lm_head" in key else weight)
    assert outputs(saved) is not None and adapter_digest(saved) != before


def test_other_kinds_count_with_all_that_is_not_known_to_be_idle(tmp_path):
    config = IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj"], feedforward_modules=[])
    folder = plain_lora(tmp_path / "ia3", config)
    before = adapter_digest(folder)
    configure(folder, revision="main", peft_version="0.1")
    assert adapter_digest(folder) == before
    configure(folder, feedforward_modules=["k_proj"])
    assert adapter_digest(folder) != before


def test_the_form_of_a_digest_says_what_it_covers(folder):
    assert digest_like(adapter_digest(folder), folder) == adapter_digest(folder)
    assert digest_like("0" * 64, folder) == file_digest(folder / WEIGHTS)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
@pytest.mark.parametrize("content", [None, b"{}", b"\x00\xff", b'{"peft_type": "LORA", "r": "x"}'])
def test_a_folder_that_cannot_be_read_is_named(folder, name, content):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=r"adapter: no adapter that can be read \(.+\); save it again"):
        adapter_digest(folder)
