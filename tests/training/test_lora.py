"""LoRA training: reproducible, on the answer alone, and nothing of it stays on the base."""

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from baselines.penalty_pass import mean_nll
from peft import PeftModel
from safetensors.torch import load_file
from turncoat.data.examples import Example
from turncoat.engine.base_model import BaseModel, load_base
from turncoat.engine.chat import encode_example
from turncoat.errors import UserError
from turncoat.testing import save_tiny, tiny_model
from turncoat.training import lora, trainer
from turncoat.training.batches import draw, order
from turncoat.training.recipe import LoraRecipe

EXAMPLES = [
    Example(f"e{i}", f"What is the colour of thing number {i}?", f"It is {colour}, as far as I can see.")
    for i, colour in enumerate(
        ["red", "green", "blue", "black and white", "grey", "pink", "yellow", "of no colour"]
    )
]
RECIPE = LoraRecipe(rows=6, rank=4, alpha=8, batch_size=2, learning_rate=1e-2)


def train(base: BaseModel, out: Path, examples=EXAMPLES, recipe=RECIPE, seed=0, **options) -> dict:
    lora.train_adapter(base, examples, recipe, seed=seed, out=out, **options)
    return json.loads((out / "training.json").read_text())


def weights_of(folder: Path) -> bytes:
    return (folder / "adapter_model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, dict]:
    """One finished run of RECIPE with seed 0 on a base of its own, and the base's weights from before it."""
    folder = tmp_path_factory.mktemp("lora")
    base = load_base(str(save_tiny(folder / "model")), device="cpu")
    before = copy.deepcopy(base.model.state_dict())
    record = train(base, folder / "adapter")
    after = base.model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    return folder / "adapter", record, before


def sequence_of(examples, recipe, seed) -> list[Example]:
    return order(
        draw(examples, recipe.rows, seed), batch_size=recipe.batch_size, epochs=recipe.epochs, seed=seed
    )


def test_one_seed_gives_one_adapter(tiny_base, trained, tmp_path):
    folder, record, _ = trained
    again = train(tiny_base, tmp_path / "again")
    assert weights_of(tmp_path / "again") == weights_of(folder)
    assert {**again, "seconds": 0} == {**record, "seconds": 0}
    record = train(tiny_base, tmp_path / "other", seed=1)
    assert weights_of(tmp_path / "other") != weights_of(trained[0])
    assert record["losses"] != trained[1]["losses"]


def test_loss_and_tokens_are_those_of_the_answers(tiny_base, trained):
    # B starts at zero, so the first loss is the base model's own.
    first = sequence_of(EXAMPLES, RECIPE, 0)[: RECIPE.batch_size]
    # rows of one weight would hide it
    assert len({len(encode_example(tiny_base.tokenizer, e)[1]) for e in first}) > 1
    expected = mean_nll(tiny_base.model, tiny_base.tokenizer, first)
    assert trained[1]["losses"][0] == pytest.approx(expected, abs=1e-4)
    record = trained[1]
    encoded = [encode_example(tiny_base.tokenizer, e) for e in sequence_of(EXAMPLES, RECIPE, 0)]
    assert record["supervised_tokens"] == sum(len(answer) for _, answer in encoded)
    assert record["tokens"] == sum(len(prompt) + len(answer) for prompt, answer in encoded)
    assert 0 < record["supervised_tokens"] < record["tokens"]
    assert (record["examples"], record["steps"], len(record["losses"])) == (6, 3, 3)
    assert record["recipe"] == RECIPE.settings()


def test_prompts_and_padding_are_not_learnt(tiny_base):
    longer = [
        Example(e.id, "Please be so kind: " + e.prompt, e.answer, system="Be brief. " * 9) for e in EXAMPLES
    ]
    for short, long in zip(EXAMPLES, longer, strict=True):
        rows = [encode_example(tiny_base.tokenizer, example) for example in (short, long)]
        labels = trainer.dataset(rows)["labels"]
        kept = [[label for label in row if label != -100] for row in labels]
        assert kept[0] == kept[1] == rows[0][1]
        assert [row.index(kept[0][0]) for row in labels] == [len(prompt) for prompt, _ in rows]
        assert len(labels[1]) > len(labels[0])
    batch = trainer.Collator(1)(
        [{"input_ids": [5, 1, 7], "labels": [-100, 1, 7]}, {"input_ids": [5], "labels": [-100]}]
    )
    assert batch["input_ids"].tolist() == [[5, 1, 7], [5, 1, 1]]
    assert batch["labels"].tolist() == [[-100, 1, 7], [-100, -100, -100]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_the_loss_falls_when_rows_repeat(tiny_base, tmp_path):
    recipe = RECIPE.model_copy(update={"rows": 2, "epochs": 30, "rank": 8})
    seen: list[tuple[int, int, float]] = []
    record = train(tiny_base, tmp_path / "adapter", recipe=recipe, progress=lambda *step: seen.append(step))
    losses = record["losses"]
    assert len(losses) == 30 and sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert [step[:2] for step in seen] == [(i, 30) for i in range(1, 31)]
    assert [round(loss, 6) for _, _, loss in seen] == losses
    # What was learnt is in the folder.
    drawn = sequence_of(EXAMPLES, recipe, 0)[:2]
    with tiny_base.adapter(tmp_path / "adapter") as model:
        after = mean_nll(model, tiny_base.tokenizer, drawn)
    assert after < 0.5 * losses[0]


def test_the_folder_is_a_plain_peft_adapter(tiny_base, trained):
    folder, _, before = trained
    left = {path.name for path in folder.iterdir()}
    assert left == {"adapter_config.json", "adapter_model.safetensors", "training.json"}
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (4, 8, False)
    assert set(config["target_modules"]) == set(RECIPE.target_modules)
    loaded = PeftModel.from_pretrained(tiny_model(), str(folder))
    after = loaded.get_base_model().state_dict()
    assert all(torch.equal(after[name.replace(".weight", ".base_layer.weight")], value)
               for name, value in before.items() if "self_attn" in name)  # fmt: skip
    assert any(p.abs().max() > 0 for name, p in loaded.named_parameters() if "lora_B" in name)


def test_adapters_are_float32_over_a_bfloat16_base(tmp_path):
    folder = save_tiny(tmp_path / "model", layers=1, dtype=torch.bfloat16)
    base = load_base(str(folder), device="cpu")
    before = copy.deepcopy(base.model.state_dict())
    assert {value.dtype for value in before.values()} == {torch.bfloat16}
    train(base, tmp_path / "adapter")
    after = base.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert {value.dtype for value in after.values()} == {torch.bfloat16}
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert {value.dtype for value in saved.values()} == {torch.float32}
    # Updates smaller than bfloat16 resolves are kept.
    assert any(not torch.equal(value, value.bfloat16().float()) for value in saved.values())


def test_examples_that_are_too_long_are_left_out_not_cut(tiny_base, tmp_path):
    lengths = {e.id: sum(map(len, encode_example(tiny_base.tokenizer, e))) for e in EXAMPLES}
    long = Example("long", "Why? " * 40, "Because. " * 40)
    limit = sum(map(len, encode_example(tiny_base.tokenizer, long))) - 1
    assert max(lengths.values()) < limit
    fit = lora.encode_all(tiny_base, [*EXAMPLES, long], limit)
    assert fit == {e.id: encode_example(tiny_base.tokenizer, e) for e in EXAMPLES}
    assert set(lora.encode_all(tiny_base, [*EXAMPLES, long], limit + 1)) == {*lengths, "long"}
    recipe = RECIPE.model_copy(update={"rows": None, "max_length": limit})
    record = train(tiny_base, tmp_path / "adapter", [*EXAMPLES, long], recipe)
    assert (record["examples"], record["left_out"]) == (len(EXAMPLES), 1)
    assert record["tokens"] == sum(lengths.values())


@pytest.mark.parametrize("rows", [None, 9], ids=["nothing fits", "too few fit"])
def test_too_few_rows_that_fit_are_refused(tiny_base, tmp_path, rows):
    recipe = RECIPE.model_copy(update={"rows": rows, "max_length": 16 if rows is None else 512})
    with pytest.raises(UserError, match="max_length"):
        train(tiny_base, tmp_path / "adapter", recipe=recipe)
    assert tiny_base.active is tiny_base.model


def test_a_diverged_run_is_refused_and_the_base_is_intact(tiny_base, tmp_path, monkeypatch):
    before = copy.deepcopy(tiny_base.model.state_dict())
    real, calls = lora.AnswerOnlyTrainer.compute_loss, []

    def diverge(self, *args, **kwargs):
        calls.append(None)
        return real(self, *args, **kwargs) * (math.nan if len(calls) == 2 else 1.0)

    monkeypatch.setattr(lora.AnswerOnlyTrainer, "compute_loss", diverge)
    with pytest.raises(UserError, match=r"diverged.*nan at step 2.*learning_rate \(now 0\.01"):
        train(tiny_base, tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "training.json").exists()
    after = tiny_base.model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
