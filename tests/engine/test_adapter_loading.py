"""An adapter acts with all its weights, or it is refused with the reason."""

import json
import logging
from pathlib import Path

import pytest
import torch
from engine.test_base_model import logits, save_lora
from peft import LoraConfig, PeftModel, PrefixTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from turncoat.engine import adapter_loading
from turncoat.engine.base_model import BaseModel
from turncoat.errors import UserError
from turncoat.testing import tiny_model, tiny_tokenizer
from turncoat.training.export.write import export_arm
from turncoat.training.lora import train_adapter
from turncoat.training.recipe import LoraRecipe

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def change_weights(folder: Path, change) -> None:
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS, metadata={"format": "pt"})


def change_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **changes}))


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return save_lora(tmp_path / "adapter")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    """Lines that were logged so far, in this test alone."""
    monkeypatch.setattr(adapter_loading, "_WARNED", set())
    caplog.set_level(logging.WARNING, "turncoat")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "turncoat"]


def refused(base: BaseModel, folder: Path, words: str) -> str:
    """The message; the base is as it was afterwards."""
    before = logits(base.model)
    with pytest.raises(UserError, match=words) as caught, base.adapter(folder):
        pass
    assert str(folder) in str(caught.value)
    assert torch.equal(logits(base.model), before) and base.active is base.model
    return str(caught.value)


def nested(weights):
    """As a text model inside a multimodal one names them."""
    return {
        key.replace(".model.layers.", ".model.language_model.layers."): value
        for key, value in weights.items()
    }


def without_layer(weights):
    return {key: value for key, value in weights.items() if ".layers.2." not in key}


def with_another_layer(weights):
    more = {key.replace(".layers.0.", ".layers.9."): value for key, value in weights.items()}
    return {**weights, **{key: value.clone() for key, value in more.items() if ".layers.9." in key}}


def test_an_adapter_with_keys_of_another_layout_is_refused_with_the_keys(tiny_base, adapter):
    change_weights(adapter, nested)
    said = refused(tiny_base, adapter, r"16 of its weights have no place")
    assert "model.language_model.layers.0.mlp.down_proj.lora_A.weight" in said
    assert "16 weights that its adapter_config.json asks for are not there" in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_layer, r"^peft=\S+: 4 weights that .* asks for"),
        (with_another_layer, r": 4 of its weights have no"),
    ],
    ids=["a layer is missing", "a layer too many"],
)
def test_every_weight_has_a_place_and_every_place_a_weight(tiny_base, adapter, change, words):
    change_weights(adapter, change)
    assert "adapter's name" in refused(tiny_base, adapter, words)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_not_finite_are_refused(tiny_base, adapter, value):
    def spoil(weights):
        next(iter(weights.values()))[0, 1] = value
        return weights

    change_weights(adapter, spoil)
    refused(tiny_base, adapter, r"1 of 16 weights hold NaN or infinite numbers \(model\.layers\.0")


def test_a_grown_vocabulary_is_named_with_the_way_out_which_works(tiny_base, tmp_path):
    grown = tiny_model()
    grown.resize_token_embeddings(322)
    folder = save_lora(tmp_path / "grown", model=grown, modules_to_save=["embed_tokens", "lm_head"])
    said = refused(tiny_base, folder, r"trained with a vocabulary of 322 tokens, \S+ has 320")
    assert "resize_token_embeddings(322)" in said and "merge_and_unload()" in said
    base = tiny_model()
    base.resize_token_embeddings(322)
    wrapped = PeftModel.from_pretrained(base, str(folder))
    expected = logits(wrapped)
    assert torch.allclose(logits(wrapped.merge_and_unload()), expected, atol=1e-4)


def test_an_adapter_that_replaces_weights_of_the_base_is_refused(tiny_base, tmp_path):
    changed = tiny_model()
    with torch.no_grad():
        changed.model.embed_tokens.weight += 1
    wrapped = get_peft_model(changed, LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"))
    wrapped.save_pretrained(tmp_path / "replaces", save_embedding_layers=True)
    refused(tiny_base, tmp_path / "replaces", r"replaces the base model's own model\.embed_tokens\.weight")
    same = get_peft_model(tiny_model(), LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"))
    same.save_pretrained(tmp_path / "same", save_embedding_layers=True)
    before = logits(tiny_base.model)
    with tiny_base.adapter(tmp_path / "same") as model:
        assert torch.equal(logits(model), before)


@pytest.mark.parametrize("start", ["olora", "pissa", "pissa_niter_2"])
def test_an_adapter_that_changes_the_base_as_it_is_put_on_is_refused(tiny_base, tmp_path, start):
    before = logits(tiny_base.model)
    folder = save_lora(tmp_path / "adapter", init_lora_weights=start)
    with (
        pytest.raises(UserError, match=f"init_lora_weights={start} changes the base model's own weights"),
        tiny_base.adapter(folder),
    ):
        pass
    assert torch.equal(logits(tiny_base.model), before)


def test_an_adapter_that_repeats_blocks_of_the_base_is_refused(tiny_base, tmp_path):
    before = logits(tiny_base.model)
    folder = save_lora(tmp_path / "adapter", layer_replication=[[0, 2], [1, 4]])
    refused(tiny_base, folder, r"layer_replication=\[\[0, 2\], \[1, 4\]\] repeats blocks of the base model")
    assert torch.equal(logits(tiny_base.model), before)


def test_an_adapter_of_scale_zero_is_refused(tiny_base, tmp_path):
    folder = save_lora(tmp_path / "adapter", lora_alpha=0)
    refused(tiny_base, folder, "lora_alpha is 0 in its adapter_config.json, so it changes nothing")


def test_virtual_tokens_are_refused(tiny_base, tmp_path):
    config = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    get_peft_model(tiny_model(), config).save_pretrained(tmp_path / "prefix")
    refused(tiny_base, tmp_path / "prefix", "PREFIX_TUNING puts virtual tokens before the prompt")


def test_a_damaged_file_is_refused(tiny_base, adapter):
    (adapter / WEIGHTS).write_bytes(b"cut off")
    refused(tiny_base, adapter, "cannot be read")


@pytest.mark.parametrize(
    "options", [{}, {"use_dora": True}, {"lora_bias": True}, {"rank_pattern": {"q_proj": 2}}]
)
def test_good_adapters_of_several_kinds_act_without_a_word(tiny_base, tmp_path, lines, options):
    folder = save_lora(tmp_path / "good", **options)
    change_config(folder, base_model_name_or_path=tiny_base.path)
    before = logits(tiny_base.model)
    expected = logits(PeftModel.from_pretrained(tiny_model(), str(folder)))
    with tiny_base.adapter(folder) as model:
        assert torch.equal(logits(model), expected) and not torch.equal(expected, before)
        assert not any(parameter.requires_grad for parameter in model.parameters())
    assert lines() == []


def test_another_base_template_or_an_adapter_without_effect_is_said_in_one_line(tiny_base, tmp_path, lines):
    folder = save_lora(tmp_path / "other", init_lora_weights=True)
    change_config(folder, base_model_name_or_path="some-org/Another-Base-7B-Instruct")
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(folder)
    for _ in range(2):
        with tiny_base.adapter(folder):
            pass
    base, zero = lines()  # once each, and the template is the base's
    assert "trained on some-org/Another-Base-7B-Instruct, not on" in base and "\n" not in base
    assert "lora_B are zero" in zero and "\n" not in zero
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    tokenizer.save_pretrained(folder)
    with tiny_base.adapter(folder):
        pass
    assert "another chat template" in lines()[2] and len(lines()) == 3


def test_training_on_top_and_every_export_check_the_adapter_too(tiny_base, adapter, tmp_path):
    from turncoat.data.examples import Example

    change_weights(adapter, nested)
    examples = [Example(f"e{i}", f"Question {i}?", "Answer.") for i in range(4)]
    with pytest.raises(UserError, match="have no place"):
        train_adapter(tiny_base, examples, LoraRecipe(rows=4), seed=0, out=tmp_path / "out", below=adapter)
    for form in ("peft", "merged"):
        with pytest.raises(UserError, match="have no place"):
            export_arm(tiny_base, adapter, None, to=form, out=tmp_path / form)
        assert not (tmp_path / form).exists()


def lone(weights):
    return {key: value for key, value in weights.items() if "0.mlp.down_proj.lora_B" not in key}


def short(weights):
    return {key: value[:2].clone() if "lora_A" in key else value for key, value in weights.items()}


def renamed(weights):
    return {key.replace("q_proj", "k_proj"): value for key, value in weights.items()}


def bare(weights):
    return {key.removeprefix("base_model.model."): value for key, value in weights.items()}


def infinite(weights):
    return {**weights, **{key: value / 0 for key, value in list(weights.items())[:1]}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lone, "1 of its weights have a lora_A or a lora_B alone"), (short, "are not of rank 4"),
        (renamed, "4 of its weights are outside the modules"), (bare, "16 of its weights are outside"),
        (infinite, "1 of 16 weights hold NaN or infinite"),
    ],
)  # fmt: skip
def test_files_are_checked_without_a_base_model(adapter, change, words):
    adapter_loading.check_adapter(adapter)
    change_weights(adapter, change)
    with pytest.raises(UserError, match=words):
        adapter_loading.check_adapter(adapter)


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": "all-linear"}, {"target_modules": r".*\.(q|k)_proj"},
        {"target_modules": ["embed_tokens", "q_proj"]}, {"modules_to_save": ["lm_head"]},
        {"rank_pattern": {"q_proj": 2}}, {"use_dora": True},
    ],
)  # fmt: skip
def test_files_of_every_kind_of_lora_pass(tmp_path, options):
    adapter_loading.check_adapter(save_lora(tmp_path / "adapter", **options))
