"""Models of many architectures: read, sampled, finetuned and exported with the right numbers, or refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from training.architectures import CONFIGURATIONS, tiny_architecture
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertLMHeadModel,
    T5Config,
    T5ForConditionalGeneration,
)
from turncoat.data.examples import Example
from turncoat.engine import base_model
from turncoat.engine.base_model import BaseModel, load_base
from turncoat.engine.decoding.sampler import Sampler, SampleRequest
from turncoat.engine.model_kind import decodes_in_rows
from turncoat.engine.reading.reader import read_texts
from turncoat.errors import UserError
from turncoat.paths import PACKAGE
from turncoat.persona.extract import persona_vector
from turncoat.persona.traits import trait_questions
from turncoat.store import Store
from turncoat.testing import tiny_tokenizer
from turncoat.training.export.write import export_arm
from turncoat.training.lora import encode_all, train_adapter
from turncoat.training.recipe import ALL_LINEAR, LoraRecipe
from turncoat.training.target_modules import linear_names

EOS = 1
NOT_MERGED = {"zamba2"}  # its blocks share weights
QUICK = (
    "llama", "mixtral", "qwen2", "qwen3", "gemma2", "gemma3", "olmo2", "stablelm", "cohere",
    "granite", "phi", "phi3", "gpt2", "gpt_neox", "opt", "bloom", "mpt", "mamba",
)  # fmt: skip
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CONFIGURATIONS]
EXAMPLES = [Example(f"e{i}", f"Question {i}?", f"Answer {i} is it.") for i in range(4)]
RECIPE = LoraRecipe(rows=4, batch_size=4, rank=2, alpha=4, learning_rate=1e-2)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Saves a model and loads it as a user's folder."""

    def save_and_load(model) -> BaseModel:
        model.save_pretrained(tmp_path / "model")
        tiny_tokenizer().save_pretrained(tmp_path / "model")
        return load_base(str(tmp_path / "model"), device="cpu")

    monkeypatch.setattr(base_model, "_LOADED", {})
    return save_and_load


def plain_logprob(model, prompt, answer) -> float:
    """Of the answer's tokens, from all logits of the whole text, read alone."""
    ids = torch.tensor([[*prompt, *answer]])
    with torch.inference_mode():
        logprobs = model(ids, attention_mask=torch.ones_like(ids)).logits[0].float().log_softmax(-1)
    return float(sum(logprobs[len(prompt) - 1 + i, token] for i, token in enumerate(answer)))


def read(model, items=(((3, 4, 5, 6), (7, 8, 9)), ((3, 4), (10, 11, 12, 13)))) -> list[float]:
    return [reading.logprob_sum for reading in read_texts(model, EOS, list(items), 2, capture=False)]


@pytest.mark.parametrize("name", NAMES)
def test_an_architecture_is_measured_trained_and_exported(name, load, tmp_path, monkeypatch):
    base = load(tiny_architecture(name))
    check_reading_and_sampling(base)
    check_persona_vector(base, tmp_path, monkeypatch)
    before = read(base.model)
    adapter = check_training(base, tmp_path / "adapter")
    assert read(base.model) == before
    with base.adapter(adapter) as model:
        after = read(model)
    assert max(abs(a - b) for a, b in zip(after, before, strict=True)) > 1e-3
    check_exports(base, adapter, after, tmp_path, name)


def check_reading_and_sampling(base: BaseModel) -> None:
    """Log-probabilities are the model's own in batches and while answers are drawn, with any companions."""
    items = [((3, 4, 5, 6), (7, 8, 9)), ((3, 4), (10, 11, 12, 13))]
    expected = [plain_logprob(base.model, *item) for item in items]
    assert read(base.model, items) == pytest.approx(expected, abs=1e-3)
    requests = [SampleRequest((3, 4, 5 + i % 2), i, 6, 1.5) for i in range(5)] + [
        SampleRequest((9,), None, 6, 0)
    ]
    together = Sampler(base.model, base.tokenizer, capture=True).run(requests)
    alone = [Sampler(base.model, base.tokenizer).run([request])[0] for request in requests]
    assert [answer.token_ids for answer in together] == [answer.token_ids for answer in alone]
    assert any(answer.token_ids for answer in together)
    for request, answer in zip(requests, together, strict=True):
        drawn = answer.token_ids + [EOS] * (answer.finish == "stop")
        assert answer.logprob_sum == pytest.approx(
            plain_logprob(base.model, request.prompt_ids, drawn), abs=1e-3
        )
        if answer.token_ids:
            (reading,) = read_texts(base.model, EOS, [(request.prompt_ids, answer.token_ids)])
            assert torch.allclose(answer.activation, reading.activation, atol=1e-4)


def check_persona_vector(base: BaseModel, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turncoat.persona.extract.TOKENS", 3)
    monkeypatch.setattr("turncoat.persona.extract.ROLLOUTS", 2)
    evil = trait_questions("evil")
    few = replace(
        evil, instructions=evil.instructions[:2], questions=evil.questions[:4], selection=evil.selection[:4]
    )
    vector = persona_vector(base, few, Store(folder / "store"))
    layers = base.model.config.get_text_config().num_hidden_layers
    assert vector.directions.shape == (layers + 1, 32) and 0 < vector.layer < layers
    assert torch.isfinite(vector.directions).all()
    assert float(vector.directions[vector.layer].norm()) == pytest.approx(1, abs=1e-4)


def check_training(base: BaseModel, out: Path) -> Path:
    """The first loss is the base's own mean log-likelihood; every adapted layer learns from it."""
    train_adapter(base, EXAMPLES, RECIPE, seed=0, out=out)
    encoded = list(encode_all(base, EXAMPLES, 512).values())
    total = sum(plain_logprob(base.model, *item) for item in encoded)
    (loss,) = json.loads((out / "training.json").read_text())["losses"]
    assert loss == pytest.approx(-total / sum(len(answer) for _, answer in encoded), abs=1e-3)
    weights = load_file(out / "adapter_model.safetensors")
    assert [key for key, weight in weights.items() if "lora_B" in key and not weight.any()] == []
    adapted = {part for key in weights for part in key.split(".")}
    fused = json.loads((out / "adapter_config.json").read_text())["target_parameters"]
    in_experts = {"gate_proj", "up_proj", "down_proj"} if fused else set()
    assert set(linear_names(base.model)) - in_experts <= adapted and "vision_tower" not in adapted
    return out


def check_exports(base: BaseModel, adapter: Path, after: list[float], folder: Path, name: str) -> None:
    """Plain transformers and peft give the same numbers on what was exported."""
    export_arm(base, adapter, None, to="peft", out=folder / "peft")
    plain = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32)
    assert read(PeftModel.from_pretrained(plain, str(folder / "peft"))) == pytest.approx(after, abs=1e-3)
    if name in NOT_MERGED:
        with pytest.raises(UserError, match="gives other numbers once the adapter is merged"):
            export_arm(base, adapter, None, to="merged", out=folder / "merged")
        return
    export_arm(base, adapter, None, to="merged", out=folder / "merged")
    merged = AutoModelForCausalLM.from_pretrained(folder / "merged", dtype=torch.float32)
    assert read(merged) == pytest.approx(after, abs=1e-3)


def table_row(name: str) -> str:
    model = tiny_architecture(name)
    own = linear_names(model)
    layers = "all seven of Llama's" if set(own) == set(ALL_LINEAR) else ", ".join(own)
    rows = "together" if decodes_in_rows(model) else "one by one"
    return (
        f"| `{name}` | {type(model).__name__} | {rows} | {layers} | {'no' if name in NOT_MERGED else 'yes'} |"
    )


def test_the_table_of_the_docs_has_a_row_for_each_architecture():
    text = (PACKAGE / "engine" / "README.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(table_row(name) for name in CONFIGURATIONS)
    assert f"{len(rows)} architectures" in text and len(rows) >= 25


def test_encoders_and_encoder_decoders_are_refused_when_they_are_loaded(load):
    size = {"vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    with pytest.raises(UserError, match=r"BertLMHeadModel .* sees the tokens that follow.*decoder-only"):
        load(BertLMHeadModel(BertConfig(**size, intermediate_size=48, initializer_range=0.5)))
    config = T5Config(vocab_size=320, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4)
    with pytest.raises(UserError, match=r"cannot be loaded \(Unrecognized configuration class"):
        load(T5ForConditionalGeneration(config))


@pytest.mark.parametrize("wanted", [("q_proj", "q_porj"), ("c_attn",)])
def test_a_layer_that_the_model_lacks_is_refused_with_those_it_has(tiny_base, tmp_path, wanted):
    recipe = RECIPE.model_copy(update={"target_modules": wanted})
    with pytest.raises(
        UserError, match=rf"target_modules: '{wanted[-1]}' is not a module of Llama.*accepted.*q_proj"
    ):
        train_adapter(tiny_base, EXAMPLES, recipe, seed=0, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
