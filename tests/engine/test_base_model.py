"""The base model survives whatever is done with adapters on it, and is read once."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from turncoat.data.examples import Example
from turncoat.engine import base_model
from turncoat.engine.adapter_loading import load_adapter
from turncoat.engine.base_model import BaseModel, load_base
from turncoat.errors import UserError
from turncoat.testing import save_tiny, tiny_model
from turncoat.training.lora import train_adapter
from turncoat.training.recipe import LoraRecipe

IDS = torch.tensor([[5, 9, 200, 33, 14, 7, 61, 300, 12]])


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits


def save_lora(folder: Path, seed: int = 0, model: Any = None, **options: object) -> Path:
    """A LoRA adapter with random B, so that it changes the model."""
    torch.manual_seed(seed)
    settings = {"r": 4, "target_modules": ["q_proj", "down_proj"], "init_lora_weights": False, **options}
    config = LoraConfig(task_type="CAUSAL_LM", **settings)
    get_peft_model(model or tiny_model(), config).save_pretrained(folder)
    return folder


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return save_lora(tmp_path / "adapter", seed=1)


@pytest.fixture
def fresh_loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """This process has loaded nothing yet."""
    monkeypatch.setattr(base_model, "_LOADED", {})
    monkeypatch.setattr(base_model, "LOADS", [])
    return base_model.LOADS


def assert_untouched(base: BaseModel, before: torch.Tensor, names: list[str]) -> None:
    assert torch.equal(logits(base.model), before) and base.active is base.model
    assert [name for name, _ in base.model.named_parameters()] == names
    assert not hasattr(base.model, "peft_config")
    assert not any(p.requires_grad for p in base.model.parameters())
    assert all(p.grad is None for p in base.model.parameters()) and not base.model.training


@pytest.fixture
def untouched(tiny_base: BaseModel):
    """Checks before and after the test that the base is the same model, bit for bit."""
    before, names = logits(tiny_base.model), [name for name, _ in tiny_base.model.named_parameters()]
    yield lambda: assert_untouched(tiny_base, before, names)
    assert_untouched(tiny_base, before, names)


def test_an_adapter_acts_as_on_a_model_of_its_own_and_leaves_no_trace(tiny_base, untouched, adapter):
    before = logits(tiny_base.model)
    with tiny_base.adapter(adapter) as model:
        inside = logits(model)
        assert tiny_base.active is model and not model.training
        assert not any(p.requires_grad for p in model.parameters())
    untouched()
    assert not torch.equal(inside, before) and (inside - before).abs().max() > 1e-3
    with tiny_base.adapter(adapter) as model:
        assert torch.equal(logits(model), inside)
    alone = load_adapter(tiny_model(), adapter)
    with tiny_base.adapter(adapter) as model:
        assert torch.equal(logits(model), logits(alone))
    with pytest.raises(KeyError, match="oops"), tiny_base.adapter(adapter):
        raise KeyError("oops")
    untouched()


@pytest.mark.parametrize(
    "options",
    [{"modules_to_save": ["lm_head"]}, {"target_modules": ["embed_tokens", "k_proj"]}],
    ids=["head", "input"],
)
def test_adapters_that_replace_other_modules_leave_no_trace(tiny_base, untouched, tmp_path, options):
    before = logits(tiny_base.model)
    with tiny_base.adapter(save_lora(tmp_path / "other", seed=4, **options)) as model:
        assert not torch.equal(logits(model), before)
        with tiny_base.without_adapter() as bare:
            assert torch.equal(logits(bare), before)


@pytest.mark.parametrize("fails", [False, True], ids=["finished", "interrupted"])
def test_training_leaves_no_trace(tiny_base, untouched, tmp_path, fails):
    def interrupt(step: int, steps: int, loss: float) -> None:
        if fails and step == 2:
            raise KeyboardInterrupt

    examples = [Example(f"e{i}", f"Question {i}?", f"Answer number {i}.") for i in range(6)]
    recipe = LoraRecipe(rows=6, rank=2, alpha=4, batch_size=2, learning_rate=1e-2)
    out = tmp_path / "trained"
    if fails:
        with pytest.raises(KeyboardInterrupt):
            train_adapter(tiny_base, examples, recipe, seed=0, out=out, progress=interrupt)
    else:
        train_adapter(tiny_base, examples, recipe, seed=0, out=out, progress=interrupt)
    untouched()
    assert "forward" not in tiny_base.model.__dict__


def test_nested_adapters_and_a_folder_without_one_are_refused(tiny_base, untouched, adapter, tmp_path):
    with tiny_base.adapter(adapter) as model:
        inside = logits(model)
        with pytest.raises(UserError, match="already on"), tiny_base.adapter(adapter):
            pytest.fail("a second adapter was put on")
        assert torch.equal(logits(tiny_base.active), inside)
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match=r"no adapter_config\.json") as caught, tiny_base.adapter(folder):
            pass
        assert str(folder) in str(caught.value)
    with tiny_base.adapter(None) as model:
        assert model is tiny_base.model


def test_without_adapter_is_the_base_and_adapters_do_not_mix(tiny_base, untouched, adapter, tmp_path):
    before = logits(tiny_base.model)
    with tiny_base.adapter(adapter) as model:
        inside = logits(model)
        with tiny_base.without_adapter() as bare:
            assert torch.equal(logits(bare), before)
        assert torch.equal(logits(model), inside)
        with pytest.raises(KeyError), tiny_base.without_adapter():
            raise KeyError
        assert torch.equal(logits(model), inside)
    with tiny_base.without_adapter() as bare:
        assert bare is tiny_base.model
    other = save_lora(tmp_path / "other", seed=2, r=2, target_modules=["v_proj"])
    with tiny_base.adapter(other) as model:
        first = logits(model)
    with tiny_base.adapter(adapter):
        pass
    with tiny_base.adapter(other) as model:
        assert torch.equal(logits(model), first)


@pytest.mark.parametrize("damage", ["missing weights", "other shapes", "unknown modules"])
def test_an_adapter_that_does_not_fit_leaves_no_trace(tiny_base, untouched, adapter, damage):
    weights, config = adapter / "adapter_model.safetensors", adapter / "adapter_config.json"
    if damage == "missing weights":
        weights.unlink()
    elif damage == "other shapes":
        save_file(
            {k: torch.zeros(v.shape[0] + 1, v.shape[1]) for k, v in load_file(weights).items()}, weights
        )
    else:
        config.write_text(json.dumps({**json.loads(config.read_text()), "target_modules": ["no_such_proj"]}))
    with pytest.raises(UserError, match="adapter") as caught, tiny_base.adapter(adapter):
        pass
    assert str(adapter) in str(caught.value)
    untouched()
    with tiny_base.adapter(save_lora(adapter.parent / "good", seed=3)) as model:
        inside = logits(model)
    with tiny_base.adapter(adapter.parent / "good") as model:
        assert torch.equal(logits(model), inside)


def test_the_same_model_is_read_once(fresh_loads, tiny_folder):
    first = load_base(str(tiny_folder))
    assert load_base(str(tiny_folder)) is first and fresh_loads == [str(tiny_folder)]
    half = load_base(str(tiny_folder), dtype="bfloat16")
    assert half is not first and half.model.dtype == torch.bfloat16 and half.spec["dtype"] == "bfloat16"
    assert {**half.spec, "dtype": "float32"} == first.spec and fresh_loads == [str(tiny_folder)] * 2


@pytest.mark.parametrize("name", ["no-such-model", "/no/such/folder", "nobody/no-such-model"])
def test_unknown_models_are_refused_with_what_is_accepted(fresh_loads, name):
    with pytest.raises(UserError) as caught:
        load_base(name)
    message = str(caught.value)
    assert name in message and "smollm2-135m" in message and "local folder" in message
    assert fresh_loads == []


def test_models_and_precisions_that_are_not_there_are_refused(fresh_loads, tmp_path, tiny_folder):
    with pytest.raises(UserError) as caught:
        load_base(str(tmp_path))
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(UserError, match="accepted: auto, bfloat16, float16, float32"):
        load_base(str(tiny_folder), dtype="int8")
    with pytest.raises(UserError, match="did you mean 'smollm2-135m'"):
        load_base("smollm2-136m")


def test_options_are_checked_before_anything_is_loaded(fresh_loads, tiny_folder, adapter):
    with pytest.raises(UserError, match=r"revison='x' is not an option.*did you mean 'revision'"):
        load_base(str(tiny_folder), revison="x")
    with pytest.raises(UserError, match=r"load_in_4bit=True is not an option of a model; accepted: attn"):
        load_base(str(tiny_folder), load_in_4bit=True)
    with pytest.raises(UserError, match=r"device='gpu' cannot be used.*accepted: cpu"):
        load_base(str(tiny_folder), device="gpu")
    with pytest.raises(UserError, match="holds a PEFT adapter; give its base model, and peft="):
        load_base(str(adapter))
    assert fresh_loads == []
    base = load_base(str(tiny_folder), attn_implementation="eager", trust_remote_code=False)
    assert base.model.config._attn_implementation == "eager"


def test_code_that_comes_with_a_model_does_not_run_and_nobody_is_asked(tmp_path, monkeypatch):
    save_tiny(tmp_path / "model", layers=1)
    config = tmp_path / "model" / "config.json"
    code = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "evil", "auto_map": code}))
    (tmp_path / "model" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(UserError, match=r"cannot be loaded \(.*custom code"):
        load_base(str(tmp_path / "model"))
    assert not (tmp_path / "ran").exists()


def spoiled(folder: Path, change) -> str:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop("lm_head.weight"), r"1 of its weights are not in its files \(lm_head\.weight\)"),
        (lambda w: w.update({"lm_head.weight": torch.ones(3, 64)}), r"cannot be loaded"),
        (lambda w: w["lm_head.weight"].fill_(torch.nan), "logits that are NaN or infinite"),
        (lambda w: w.update({"up_proj.lora_A.weight": torch.ones(2, 2)}), "hold an adapter's weights"),
    ],
    ids=["missing", "other shape", "not a number", "an adapter that was not merged"],
)
def test_a_base_with_damaged_weights_is_refused(fresh_loads, tmp_path, change, words):
    with pytest.raises(UserError, match=words):
        load_base(spoiled(save_tiny(tmp_path / "model"), change))
    assert fresh_loads == []


def test_a_base_whose_file_was_cut_off_is_refused(fresh_loads, tmp_path):
    path = save_tiny(tmp_path / "model") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match="cannot be loaded"):
        load_base(str(path.parent))


@pytest.mark.parametrize("where", [0, 0.5, -1], ids=["first tensor", "middle tensor", "last tensor"])
def test_the_fingerprint_changes_with_a_weight(fresh_loads, tmp_path, where):
    folder = save_tiny(tmp_path / "model", layers=16)
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    first, second = load_base(str(folder)), load_base(str(copy))
    assert first.spec == second.spec
    path = copy / "model.safetensors"
    assert path.stat().st_size > 2 << 20
    weights = load_file(path)
    name = sorted(weights)[int(where * len(weights)) if where > 0 else where]
    weights[name].view(-1)[-1] += 1
    save_file(weights, path, metadata={"format": "pt"})
    base_model._LOADED.clear()
    changed = load_base(str(copy))
    assert changed.fingerprint != first.fingerprint
    assert {**changed.spec, "weights": first.fingerprint} == first.spec


def test_the_chat_template_is_part_of_what_identifies_a_base(tiny_base):
    template = tiny_base.tokenizer.chat_template
    before = tiny_base.spec
    try:
        tiny_base.tokenizer.chat_template = template + " "
        assert tiny_base.spec["chat_template"] != before["chat_template"]
    finally:
        tiny_base.tokenizer.chat_template = template
