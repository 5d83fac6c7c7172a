"""Hooks: where they sit, what they see, and that they are always taken off."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from persona.interventions.tiny_states import hook_count
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertLMHeadModel,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from turncoat.engine.capture import LayerCapture, decoder_layers
from turncoat.engine.decoding.sampler import Sampler, SampleRequest
from turncoat.engine.reading.reader import read_texts
from turncoat.errors import UserError
from turncoat.testing import save_tiny, tiny_model, tiny_tokenizer

SMALL = {"vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 1, "eos_token_id": 1}


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3", "lora"])
def test_states_are_the_hidden_states_of_the_latest_pass(family):
    torch.manual_seed(0)
    model = {
        "llama": tiny_model,
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SMALL, **HEADS)).eval(),
        "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**SMALL, **HEADS, head_dim=8)).eval(),
        "lora": lambda: get_peft_model(
            tiny_model(), LoraConfig(target_modules=["v_proj"], task_type="CAUSAL_LM")
        ),
    }[family]()
    layers = decoder_layers(model)
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    with torch.inference_mode():
        # transformers leaves hooks of its own behind
        hidden = model(ids, output_hidden_states=True).hidden_states
    raw = []
    handle = layers[-1].register_forward_hook(
        lambda module, args, output: raw.append(output if isinstance(output, torch.Tensor) else output[0])
    )
    before = hook_count(model)
    with torch.inference_mode(), LayerCapture(model) as capture:
        with pytest.raises(RuntimeError, match="before a forward pass"):
            capture.states  # noqa: B018
        model(torch.tensor([[3, 4]]))
        model(ids)
        states = capture.states
        assert len(states) == len(layers) + 1 == len(hidden)
        for layer in range(len(layers)):
            assert torch.equal(states[layer], hidden[layer])
        assert states[-1] is raw[-1]  # the model's own tensor, before the final norm
        assert not torch.equal(states[-1], hidden[-1])
    assert hook_count(model) == before
    handle.remove()


def test_a_callback_sees_every_state_and_hooks_go_after_an_exception():
    model = tiny_model()
    seen = []
    with LayerCapture(model, lambda index, state: seen.append((index, tuple(state.shape)))) as capture:
        model(torch.tensor([[5, 6, 7]]))
        with pytest.raises(RuntimeError):
            capture.states  # noqa: B018
    assert seen == [(index, (1, 3, 64)) for index in range(5)]
    model = tiny_model()
    before = hook_count(model)

    def fail() -> None:
        with LayerCapture(model):
            assert hook_count(model) > before
            raise KeyError("anything")

    with pytest.raises(KeyError):
        fail()
    assert hook_count(model) == before


def test_sampler_and_reader_clean_up_after_an_exception_in_the_model():
    model = tiny_model()

    class Broken(nn.Module):
        def forward(self, *args, **kwargs):
            raise ArithmeticError("broken layer")

    model.model.layers[2].mlp = Broken()
    before = hook_count(model)
    model.train()
    with pytest.raises(ArithmeticError):
        Sampler(model, tiny_tokenizer(), capture=True).run([SampleRequest((3, 4), 0, 5, 1.0)])
    with pytest.raises(ArithmeticError):
        read_texts(model, 1, [([3, 4], [5])])
    assert hook_count(model) == before and model.training and model.config._attn_implementation == "sdpa"


def test_an_unknown_layout_is_an_error():
    size = {"vocab_size": 50, "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    model = BertLMHeadModel(BertConfig(**size, num_hidden_layers=2))
    with pytest.raises(UserError, match=r"found 0 lists of 2 blocks .*engine/README\.md"):
        decoder_layers(model)


def test_the_tiny_model_can_be_saved_and_loaded(tmp_path):
    folder = save_tiny(tmp_path / "tiny")
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], add_generation_prompt=True)[
        "input_ids"
    ]
    text = tokenizer.decode(ids)
    assert text.startswith("<|im_start|>system\nYou are a tiny helper")
    assert text.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert tokenizer.eos_token == tokenizer.pad_token == "<|im_end|>"
    assert len(tokenizer) == model.config.vocab_size == 320
    assert torch.equal(model(torch.tensor([ids])).logits, tiny_model()(torch.tensor([ids])).logits)
