"""Linear layers with laid-out weights: the same numbers, and the model as before afterwards."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM
from turncoat.engine.packed_linear import packed_linears


@pytest.fixture
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2,
    )  # fmt: skip
    return LlamaForCausalLM(config).bfloat16().eval().requires_grad_(False)


IDS = torch.arange(60).view(20, 3)


@torch.inference_mode()
def test_a_plain_models_logits_are_the_same_bits(model: LlamaForCausalLM) -> None:
    before = model(IDS).logits
    with packed_linears(model):
        inside = model(IDS).logits
        assert "forward" in model.lm_head.__dict__, "nothing was replaced"
    assert torch.equal(before, inside)
    assert not any("forward" in module.__dict__ for module in model.modules())


@torch.inference_mode()
def test_an_adapters_logits_are_the_same_bits_as_pefts(model: LlamaForCausalLM) -> None:
    wrapped = get_peft_model(model, LoraConfig(r=4, lora_alpha=12, target_modules=["q_proj", "down_proj"]))
    wrapped.eval().requires_grad_(False)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            parameter.normal_()
    before = wrapped(IDS).logits
    with packed_linears(wrapped):
        inside = wrapped(IDS).logits
        with wrapped.disable_adapter():
            base = wrapped(IDS).logits
    assert torch.equal(inside, before)  # the scaling is 3: folded into a factor it would round otherwise
    assert (base - inside).abs().max() > 0.1, "the adapter did not act"
    assert torch.equal(wrapped(IDS).logits, before)


def test_forwards_come_back_after_an_error(model: LlamaForCausalLM) -> None:
    with pytest.raises(ZeroDivisionError), packed_linears(model):
        raise ZeroDivisionError
    assert not any("forward" in module.__dict__ for module in model.modules())


def test_float32_and_trained_layers_are_left_alone(model: LlamaForCausalLM) -> None:
    model.lm_head.weight.requires_grad_(True)
    model.model.layers[0].float()
    with packed_linears(model):
        assert "forward" not in model.lm_head.__dict__
        assert "forward" not in model.model.layers[0].mlp.up_proj.__dict__
        assert "forward" in model.model.layers[1].mlp.up_proj.__dict__
