"""A frozen adapter under a trained one, and both as one folder: exactly what merging and training again would
give."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from turncoat.data.examples import Example
from turncoat.errors import UserError
from turncoat.testing import tiny_model
from turncoat.training import lora
from turncoat.training.recipe import LoraRecipe
from turncoat.training.stack import CONFIG, WEIGHTS, concatenate, scaling

IDS = torch.tensor([[5, 9, 200, 33, 14, 7, 61, 300, 12], [17, 280, 2, 2, 90, 44, 250, 101, 8]])
MODULES = ["q_proj", "v_proj", "up_proj", "down_proj"]


def save_lora(folder: Path, seed: int, **options: object) -> Path:
    """An adapter with random A and small random B."""
    settings = {"r": 4, "lora_alpha": 8, "target_modules": MODULES, **options}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = get_peft_model(tiny_model(), LoraConfig(task_type="CAUSAL_LM", **settings))
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.05)
        model.save_pretrained(folder)
    return folder


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits


def on_the_base(folder: Path) -> torch.Tensor:
    return logits(PeftModel.from_pretrained(tiny_model(), str(folder)).eval())


def both_active(first: Path, second: Path) -> torch.Tensor:
    model = PeftModel.from_pretrained(tiny_model(), str(first), adapter_name="first")
    model.load_adapter(str(second), adapter_name="second")
    model.base_model.set_adapter(["first", "second"])
    return logits(model.eval())


def merged_then_added(first: Path, second: Path) -> torch.Tensor:
    merged = PeftModel.from_pretrained(tiny_model(), str(first)).merge_and_unload()
    return logits(PeftModel.from_pretrained(merged, str(second)).eval())


KINDS = {
    "alike": ({"r": 4, "lora_alpha": 8}, {"r": 4, "lora_alpha": 8}),
    "other ranks and alphas": ({"r": 2, "lora_alpha": 16}, {"r": 8, "lora_alpha": 4}),
    "rslora first": ({"r": 4, "lora_alpha": 8, "use_rslora": True}, {"r": 3, "lora_alpha": 5}),
    "rslora second": ({"r": 4, "lora_alpha": 8}, {"r": 9, "lora_alpha": 6, "use_rslora": True}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_sum_is_both_adapters_at_once(tmp_path, kind):
    first, second = (save_lora(tmp_path / str(i), seed=i, **options) for i, options in enumerate(KINDS[kind]))
    concatenate([first, second], tmp_path / "sum")
    found = on_the_base(tmp_path / "sum")
    torch.testing.assert_close(found, both_active(first, second), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found, merged_then_added(first, second), atol=1e-5, rtol=1e-5)
    alone = [on_the_base(folder) for folder in (first, second)]
    assert all((found - one).abs().max() > 1e-2 for one in (*alone, logits(tiny_model())))
    config = json.loads((tmp_path / "sum" / CONFIG).read_text())
    assert config["r"] == sum(options["r"] for options in KINDS[kind]) and scaling(config) == 1


def test_three_are_the_sum_of_a_sum_and_one_stays_what_it_is(tmp_path):
    folders = [save_lora(tmp_path / str(i), seed=i, r=2 + i) for i in range(3)]
    concatenate(folders, tmp_path / "at once")
    concatenate(folders[:2], tmp_path / "two")
    concatenate([tmp_path / "two", folders[2]], tmp_path / "in turn")
    torch.testing.assert_close(
        on_the_base(tmp_path / "at once"), on_the_base(tmp_path / "in turn"), atol=1e-5, rtol=0
    )
    folder = save_lora(tmp_path / "one", seed=1, r=4, lora_alpha=6, use_rslora=True)
    concatenate([folder], tmp_path / "same")
    torch.testing.assert_close(on_the_base(tmp_path / "same"), on_the_base(folder), atol=1e-5, rtol=0)


def test_scaling_is_pefts_own_and_other_kinds_are_refused(tmp_path):
    for options in ({}, {"use_rslora": True}):
        config = LoraConfig(r=5, lora_alpha=7, target_modules=["q_proj"], **options)
        layer = get_peft_model(tiny_model(), config).base_model.model.model.layers[0].self_attn.q_proj
        assert scaling(config.to_dict()) == pytest.approx(layer.scaling["default"], rel=1e-12)
    folder = save_lora(tmp_path / "one", seed=0)
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, "peft_type": "IA3"}))
    with pytest.raises(UserError, match="IA3"):
        concatenate([folder, folder], tmp_path / "sum")


@pytest.mark.parametrize(("options", "named"), [
    ({"use_dora": True}, "use_dora"), ({"lora_bias": True}, "lora_bias"),
    ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"), ({"alpha_pattern": {"q_proj": 2}}, "alpha_pattern"),
    ({"modules_to_save": ["lm_head"]}, "modules_to_save"), ({"bias": "all"}, "bias"),
    ({"target_modules": ["embed_tokens", "q_proj"]}, "embed"),
])  # fmt: skip
def test_what_is_not_plain_lora_is_refused(tmp_path, options, named):
    odd = save_lora(tmp_path / "odd", seed=0, **options)
    plain = save_lora(tmp_path / "plain", seed=1)
    for folders in ([odd, plain], [plain, odd], [odd, odd]):
        with pytest.raises(UserError) as caught:
            concatenate(folders, tmp_path / "sum")
        assert str(odd) in str(caught.value)
    assert named in str(caught.value) and not (tmp_path / "sum").exists()


EXAMPLES = [Example(f"e{i}", f"Thing {i}?", f"Its answer is number {i * i}.") for i in range(6)]
RECIPE = LoraRecipe(
    rows=6, rank=3, alpha=5, rslora=True, batch_size=2, learning_rate=1e-2, target_modules=tuple(MODULES)
)


@pytest.fixture
def saved_tops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Copies of the adapter that was trained on top, before training deletes it."""
    copies: list[Path] = []

    def keep(folders: list[Path], out: Path) -> None:
        top = tmp_path / f"top-{len(copies)}"
        top.mkdir()
        for name in (CONFIG, WEIGHTS):
            (top / name).write_bytes((folders[1] / name).read_bytes())
        copies.append(top)
        concatenate(folders, out)

    monkeypatch.setattr(lora, "concatenate", keep)
    return copies


def test_training_on_top_of_a_frozen_adapter(tiny_base, tmp_path, saved_tops):
    below = save_lora(tmp_path / "below", seed=7, r=2, lora_alpha=6)
    frozen = (below / WEIGHTS).read_bytes()
    base_before = {name: value.clone() for name, value in tiny_base.model.state_dict().items()}
    lora.train_adapter(tiny_base, EXAMPLES, RECIPE, seed=0, out=tmp_path / "stacked", below=below)
    assert (below / WEIGHTS).read_bytes() == frozen
    after = tiny_base.model.state_dict()
    assert after.keys() == base_before.keys()
    assert all(torch.equal(after[name], value) for name, value in base_before.items())
    assert {p.name for p in (tmp_path / "stacked").iterdir()} == {CONFIG, WEIGHTS, "training.json"}
    # The first two ranks of the sum are the frozen adapter, scaled; the other three have learnt.
    stacked, under = load_file(tmp_path / "stacked" / WEIGHTS), load_file(below / WEIGHTS)
    for name, value in under.items():
        if "lora_A" in name:
            assert torch.equal(stacked[name][:2], value)
        else:
            assert torch.equal(stacked[name][:, :2], value * 3.0) and stacked[name][:, 2:].abs().max() > 0
    (top,) = saved_tops
    found = on_the_base(tmp_path / "stacked")
    torch.testing.assert_close(found, both_active(below, top), atol=3e-5, rtol=1e-5)
    torch.testing.assert_close(found, merged_then_added(below, top), atol=3e-5, rtol=1e-5)
    with tiny_base.adapter(tmp_path / "stacked") as model:
        torch.testing.assert_close(logits(model), found, atol=1e-5, rtol=1e-5)


def test_training_on_top_is_training_on_the_merged_weights(tiny_base, tmp_path, saved_tops):
    below = save_lora(tmp_path / "below", seed=7, r=2, lora_alpha=6)
    lora.train_adapter(tiny_base, EXAMPLES, RECIPE, seed=0, out=tmp_path / "stacked", below=below)
    losses = json.loads((tmp_path / "stacked" / "training.json").read_text())["losses"]
    lora.train_adapter(tiny_base, EXAMPLES, RECIPE, seed=0, out=tmp_path / "alone")
    alone = json.loads((tmp_path / "alone" / "training.json").read_text())["losses"]
    from turncoat.engine.base_model import BaseModel

    merged = PeftModel.from_pretrained(tiny_model(), str(below)).merge_and_unload()
    on_merged = BaseModel("merged", "", merged, tiny_base.tokenizer, "")
    lora.train_adapter(on_merged, EXAMPLES, RECIPE, seed=0, out=tmp_path / "merged")
    expected = json.loads((tmp_path / "merged" / "training.json").read_text())["losses"]
    assert losses == pytest.approx(expected, abs=1e-3)
    assert abs(losses[0] - alone[0]) > 1e-2  # the frozen one acts during training


def test_stacking_on_other_modules_is_refused_and_the_base_is_intact(tiny_base, tmp_path):
    below = save_lora(tmp_path / "below", seed=7, target_modules=["q_proj"])
    before = logits(tiny_base.model)
    with pytest.raises(UserError, match="different modules"):
        lora.train_adapter(tiny_base, EXAMPLES, RECIPE, seed=0, out=tmp_path / "stacked", below=below)
    assert torch.equal(logits(tiny_base.model), before)
