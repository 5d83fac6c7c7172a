"""Steering written as a PEFT folder: the same states as the hook gives, where it acts and where it does
not."""

import json
import re

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import Gemma2Config, Gemma2ForCausalLM
from turncoat.engine.capture import LayerCapture
from turncoat.errors import UserError
from turncoat.persona.interventions.steering import generation_header, steered
from turncoat.testing import tiny_model
from turncoat.training.export.steering_adapter import write_steering_adapter
from turncoat.training.stack import CONFIG, WEIGHTS

LAYER = 3
SHIFT = torch.randn(64, generator=torch.Generator().manual_seed(3))
IDS = torch.tensor([[5, 9, 200, 33, 14, 7, 61, 300, 12], [17, 280, 2, 2, 90, 44, 250, 101, 8]])


def states(model: torch.nn.Module, ids: torch.Tensor = IDS) -> list[torch.Tensor]:
    with torch.no_grad(), LayerCapture(model) as capture:
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
        return list(capture.states)


def exported(folder, base=None) -> PeftModel:
    return PeftModel.from_pretrained(base or tiny_model(), str(folder)).eval()


def test_the_blocks_output_differs_by_the_shift(tmp_path):
    base = tiny_model()
    write_steering_adapter(tmp_path, base, LAYER, SHIFT)
    before, after = states(base), states(exported(tmp_path))
    for layer in range(LAYER):
        assert torch.equal(after[layer], before[layer])
    torch.testing.assert_close(
        after[LAYER] - before[LAYER], SHIFT.expand_as(before[LAYER]), atol=1e-5, rtol=0
    )
    with steered(base, LAYER, SHIFT, 1.0):
        torch.testing.assert_close(after[-1], states(base)[-1], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("trained_there", [True, False])
def test_an_adapter_below_keeps_its_effect(trained_there, tiny_adapter, tmp_path):
    below = tiny_adapter
    if not trained_there:  # an adapter on q_proj alone has no down_proj to put the bias on
        below = tmp_path / "below"
        model = exported(tiny_adapter)
        config = model.peft_config["default"]
        weights = {n: w for n, w in load_file(tiny_adapter / WEIGHTS).items() if "q_proj" in n}
        config.target_modules = {"q_proj"}
        config.use_rslora = True
        config.save_pretrained(str(below))
        save_file(weights, below / WEIGHTS)
    write_steering_adapter(tmp_path / "both", tiny_model(), LAYER, SHIFT, below=below)
    alone = exported(below)
    with steered(alone, LAYER, SHIFT, 1.0):
        wanted = states(alone)
    found = states(exported(tmp_path / "both"))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-5)
    assert (found[-1] - states(alone)[-1]).abs().max() > 0.1
    assert (found[1] - states(tiny_model())[1]).abs().max() > 1e-3, "the adapter below acts"


def test_with_an_invocation_it_acts_from_the_last_header_on(tiny_base, tmp_path):
    tokenizer, base = tiny_base.tokenizer, tiny_model()
    header = generation_header(tokenizer)
    write_steering_adapter(tmp_path, base, LAYER, SHIFT, invocation=header)
    text = (
        "<|im_start|>assistant\nYes.<|im_end|>\n<|im_start|>user\nNo?<|im_end|>\n<|im_start|>assistant\nMaybe"
    )
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    start = max(i for i in range(ids.shape[1]) if ids[0, i : i + len(header)].tolist() == list(header))
    before, after = states(base, ids), states(exported(tmp_path), ids)
    moved = (after[LAYER] - before[LAYER])[0]
    assert torch.equal(moved[:start], torch.zeros_like(moved[:start]))
    torch.testing.assert_close(moved[start:], SHIFT.expand_as(moved[start:]), atol=1e-5, rtol=0)
    plain = torch.tensor([tokenizer("No header here.")["input_ids"]])
    assert torch.equal(states(exported(tmp_path), plain)[-1], states(base, plain)[-1])


def test_the_folder_names_every_bias_and_its_base(tiny_base, tiny_adapter, tmp_path):
    write_steering_adapter(tmp_path, tiny_base.model, LAYER, SHIFT, below=tiny_adapter)
    weights, config = load_file(tmp_path / WEIGHTS), json.loads((tmp_path / CONFIG).read_text())
    biases = {name: value for name, value in weights.items() if name.endswith(".bias")}
    assert len(biases) == sum(name.endswith(".lora_B.weight") for name in weights) == 12
    (acting,) = (name for name, value in biases.items() if value.any())
    assert acting == f"base_model.model.model.layers.{LAYER - 1}.mlp.down_proj.lora_B.bias"
    torch.testing.assert_close(biases[acting] * config["lora_alpha"] / config["r"], SHIFT)
    assert config["base_model_name_or_path"] == tiny_base.path
    loaded = exported(tmp_path).state_dict()
    for name, w in weights.items():
        assert torch.equal(loaded[re.sub(r"\.(lora_[AB])\.", r".\1.default.", name)], w)


def test_an_activated_adapter_cannot_carry_one_below(tiny_adapter, tmp_path):
    with pytest.raises(UserError, match="merge that adapter first"):
        write_steering_adapter(tmp_path / "x", tiny_model(), LAYER, SHIFT, below=tiny_adapter, invocation=[1])
    assert not (tmp_path / "x").exists()


def test_only_blocks_that_add_up_are_taken(tmp_path):
    write_steering_adapter(tmp_path, tiny_model(dtype=torch.bfloat16), LAYER, SHIFT)
    assert (tmp_path / WEIGHTS).is_file()
    config = Gemma2Config(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    model = Gemma2ForCausalLM(config).eval()
    with pytest.raises(UserError, match=r"Gemma2ForCausalLM.*not what comes in plus.*--model turncoat"):
        write_steering_adapter(tmp_path / "x", model, 1, torch.ones(16))
    block = tiny_model()
    del block.model.layers[0].mlp.down_proj
    with pytest.raises(UserError, match=r"no linear layer mlp\.down_proj"):
        write_steering_adapter(tmp_path / "x", block, 1, SHIFT)
    assert not (tmp_path / "x").exists()
