"""The trainer: goes on after a kill with the same bytes, uses one GPU, gives the base back as it was."""

import copy
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training.resume_child import CASES, EXAMPLES, KILLED_AT, RECIPE, STEPS, Pulled, finetune
from turncoat.engine.base_model import BaseModel, load_base
from turncoat.errors import UserError
from turncoat.testing import save_tiny
from turncoat.training import lora, trainer
from turncoat.training.in_training import InTraining

HERE = Path(__file__).resolve().parent
SHORT = RECIPE.model_copy(update={"epochs": 1})  # 4 steps


def record(folder: Path) -> dict:
    """training.json without the time it took."""
    content = json.loads((folder / "training.json").read_text())
    del content["seconds"]
    return content


def weights(folder: Path) -> bytes:
    return (folder / "adapter_model.safetensors").read_bytes()


def train(base: BaseModel, out: Path, recipe=SHORT, **settings) -> dict:
    lora.train_adapter(base, EXAMPLES, recipe, seed=0, out=out, **settings)
    return record(out)


@dataclass
class Killed:
    """Four finetunes that were killed, and a base to go on with."""

    base: BaseModel
    folder: Path

    def undisturbed(self, case: str) -> Path:
        """The same finetune without a kill."""
        out = self.folder / f"undisturbed {case}"
        return out if out.exists() else finetune(self.base, case, self.folder, out.name)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    folder = tmp_path_factory.mktemp("killed")
    model = save_tiny(folder / "model", layers=2)
    base = load_base(str(model), device="cpu")
    lora.train_adapter(base, EXAMPLES, SHORT, seed=1, out=folder / "below")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (HERE.parent, HERE.parents[1] / "benchmark"))),
    }
    child = subprocess.run(
        [sys.executable, HERE / "resume_child.py", model, folder], env=environment, capture_output=True,
        text=True,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr[-3000:]
    return Killed(base, folder)


@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(killed, case):
    unfinished = killed.folder / "unfinished" / case
    assert not (killed.folder / case / "training.json").exists()
    assert trainer.last_checkpoint(unfinished) == str(unfinished / f"checkpoint-{2 if case == 'half' else 4}")
    seen: list[int] = []
    resumed = finetune(killed.base, case, killed.folder, progress=lambda step, *_: seen.append(step))
    assert seen == list(range(3 if case == "half" else KILLED_AT, STEPS + 1)), (
        "it did not go on from its checkpoint"
    )
    undisturbed = killed.undisturbed(case)
    assert weights(resumed) == weights(undisturbed) and record(resumed) == record(undisturbed)
    assert len(record(resumed)["losses"]) == STEPS and len(set(record(resumed)["losses"])) == STEPS
    if case == "penalised":
        assert len(record(resumed)["penalties"]) == STEPS
    assert not unfinished.exists()
    assert {path.name for path in resumed.iterdir()} == {path.name for path in undisturbed.iterdir()}


class Stop(BaseException):
    """A run is left in its middle, as Ctrl-C leaves it."""


def leave_at(step: int):
    def progress(done: int, *_) -> None:
        if done == step:
            raise Stop

    return progress


def test_one_checkpoint_is_kept_and_none_is_left(tiny_base, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    unfinished, seen = tmp_path / "unfinished", []

    def look(step: int, *_) -> None:
        seen.append(sorted(path.name for path in unfinished.glob("checkpoint-*")))

    train(tiny_base, tmp_path / "adapter", unfinished=unfinished, progress=look)
    # Step 4 is the last one: no checkpoint of it is written.
    assert seen == [[], ["checkpoint-1"], ["checkpoint-2"], ["checkpoint-3"]] and not unfinished.exists()


@dataclass
class Gathers(InTraining):
    """Keeps something from step to step."""

    resumable = False


def test_a_defence_that_gathers_something_starts_from_the_beginning(tiny_base, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    unfinished = tmp_path / "unfinished"
    with pytest.raises(Stop):
        train(tiny_base, tmp_path / "a", unfinished=unfinished, progress=leave_at(3), defence=Gathers())
    assert not unfinished.exists()
    with pytest.raises(Stop):
        train(tiny_base, tmp_path / "a", unfinished=unfinished, progress=leave_at(3))
    before = {path: path.stat().st_mtime_ns for path in unfinished.rglob("*")}
    assert trainer.last_checkpoint(unfinished) is not None
    seen: list[int] = []
    settings = {"unfinished": unfinished, "progress": lambda step, *_: seen.append(step)}
    train(tiny_base, tmp_path / "b", defence=Gathers(), **settings)
    assert seen == [1, 2, 3, 4]
    assert {path: path.stat().st_mtime_ns for path in unfinished.rglob("*")} == before


@pytest.mark.parametrize(
    "damage", ["state missing", "state cut", "weights gone", "optimizer gone", "random state gone"]
)
def test_an_incomplete_checkpoint_is_passed_over(tmp_path, damage):
    parts = ("adapter.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
    for step in (9, 10, 20):
        (tmp_path / f"checkpoint-{step}").mkdir()
        for part in parts:
            (tmp_path / f"checkpoint-{step}" / part).write_text("{}")
    (tmp_path / "checkpoint-later").mkdir()
    assert trainer.last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-20")
    newest = tmp_path / "checkpoint-20"
    if damage == "state cut":
        (newest / "trainer_state.json").write_text('{"global_step": 2')
    else:
        gone = {"state": parts[4], "weights": parts[0], "optimizer": parts[1], "random": parts[3]}[
            damage.split()[0]
        ]
        (newest / gone).unlink()
    assert trainer.last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    for step in (9, 10):
        shutil.rmtree(tmp_path / f"checkpoint-{step}")
    assert trainer.last_checkpoint(tmp_path) is None
    assert trainer.last_checkpoint(tmp_path / "nothing") is None


@dataclass
class Checkpointing(Pulled):
    """Sees whether the trainer saves memory."""

    strength: float = 0.5
    on: bool = False

    def step_done(self, model, step, steps) -> None:
        self.on = model.get_base_model().is_gradient_checkpointing


@pytest.mark.parametrize("case", ["plain", "stacked", "states"])
def test_gradient_checkpointing_changes_memory_alone(tiny_base, tiny_adapter, tmp_path, case):
    recipe = SHORT.model_copy(update={"target_modules": ("q_proj", "v_proj", "down_proj")})
    results = []
    for on in (False, True):
        defence = Checkpointing() if case == "states" else None
        settings = {"defence": defence, "below": tiny_adapter if case == "stacked" else None}
        out = tmp_path / str(on)
        found = train(tiny_base, out, recipe.model_copy(update={"gradient_checkpointing": on}), **settings)
        assert defence is None or defence.on is on
        results.append((found, load_file(out / "adapter_model.safetensors")))
    (without, expected), (found, got) = results
    assert found["losses"] == pytest.approx(without["losses"], abs=1e-5)
    assert found.get("penalties", []) == pytest.approx(without.get("penalties", []), abs=1e-5)
    assert (case == "states") == ("penalties" in found) and got.keys() == expected.keys()
    assert all(torch.allclose(got[name], expected[name], atol=1e-4) for name in expected)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("left", [False, True])
def test_the_base_is_given_back_as_it_was(tiny_base, tmp_path, checkpointing, left):
    def settings() -> dict:
        model = tiny_base.model
        return {
            "config": model.config.to_dict(),
            "generation": model.generation_config.to_dict(),
            "attention": model.config._attn_implementation,
            "modules": {
                name: (getattr(m, "gradient_checkpointing", None), m.training, len(m._forward_hooks))
                for name, m in model.named_modules()
            },
        }

    before = copy.deepcopy(settings())
    assert before["config"]["use_cache"] is True
    recipe = SHORT.model_copy(update={"gradient_checkpointing": checkpointing})
    if left:
        with pytest.raises(Stop):
            train(tiny_base, tmp_path / "adapter", recipe, progress=leave_at(2))
    else:
        train(tiny_base, tmp_path / "adapter", recipe)
    assert settings() == before and not tiny_base.model(torch.tensor([[5, 6]])).logits.requires_grad


def test_a_machine_with_several_gpus_gets_the_batches_of_one(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    config = trainer.arguments(SHORT, 0, tmp_path, "cuda", "arm")
    assert config.n_gpu == 1 and config.train_batch_size == SHORT.batch_size


def test_several_processes_and_rows_with_one_id_are_refused(tiny_base, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"WORLD_SIZE=2: one finetune.*--seeds N.*CUDA_VISIBLE_DEVICES"):
        train(tiny_base, tmp_path / "adapter")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert train(tiny_base, tmp_path / "adapter")["steps"] == 4
    # They are told apart by it: one would be trained on twice, and the other never.
    repeated = [*EXAMPLES, EXAMPLES[2]]
    with pytest.raises(UserError, match="'r2'"):
        lora.train_adapter(
            tiny_base, repeated, SHORT.model_copy(update={"rows": None}), seed=0, out=tmp_path / "adapter"
        )


def test_a_batch_in_parts_has_every_row_once_and_little_padding():
    rows = [{"input_ids": list(range(n)), "labels": list(range(n))} for n in (3, 9, 4, 8, 2, 7)]
    batch = trainer.Collator(0)(rows)
    split = trainer.parts(batch, 20)
    assert [tuple(part["input_ids"].shape) for part in split] == [(2, 9), (2, 7), (2, 3)]
    assert all(part["input_ids"].numel() <= 20 for part in split)
    whole = sorted(row["input_ids"] for row in rows)
    cut = [
        ids[:n]
        for part in split
        for ids, n in zip(part["input_ids"].tolist(), part["attention_mask"].sum(1).tolist(), strict=True)
    ]
    assert sorted(cut) == whole
    assert [len(part["labels"]) for part in trainer.parts(batch, 5)] == [1] * 6, "one row at least"
    assert len(trainer.parts(batch, 6 * 9)) == 1


@pytest.mark.parametrize("defended", [False, True])
def test_parts_of_a_batch_add_up_to_the_batch(tiny_base, tmp_path, monkeypatch, defended):
    passes: list[int] = []
    real = trainer.read_batch

    def counted(model, ids, *arguments):
        passes.append(len(ids))
        return real(model, ids, *arguments)

    monkeypatch.setattr(trainer, "read_batch", counted)
    results = []
    for tokens in (10**6, 1):
        monkeypatch.setattr(trainer, "PASS_TOKENS", tokens)
        out = tmp_path / str(tokens)
        results.append(train(tiny_base, out, defence=Pulled(0.5) if defended else None))
        results.append(load_file(out / "adapter_model.safetensors"))
    whole, expected, parted, found = results
    size = RECIPE.batch_size  # a penalty reads each of 4 batches twice: with the adapter off as well
    rows = 4 * size
    assert sorted(passes) == sorted([size] * 16 if defended else [size] * 4 + [1] * rows)
    assert parted["losses"] == pytest.approx(whole["losses"], abs=1e-5)
    assert all(torch.allclose(found[name], expected[name], atol=1e-4) for name in expected)


def test_losses_are_reported_as_in_trainer_and_change_no_result(tmp_path, monkeypatch):
    from transformers import TrainerCallback
    from transformers.integrations import integration_utils

    seen: dict[str, list] = {"losses": [], "run": []}

    class Board(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            seen["losses"] += [logs["answer_loss"]] if "answer_loss" in logs else []
            seen["run"] = [args.run_name, os.environ["TENSORBOARD_LOGGING_DIR"]]

    base = load_base(str(save_tiny(tmp_path / "model", layers=1)), device="cpu")
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    shown = SHORT.model_copy(update={"report_to": ("trackio",)})
    real = trainer.importlib.util.find_spec
    monkeypatch.setattr(
        trainer.importlib.util, "find_spec", lambda name, *a: (name != "trackio" and real(name, *a)) or None
    )
    with pytest.raises(UserError, match=r"report_to: trackio is not installed; `pip install trackio`"):
        train(base, tmp_path / "refused", shown)
    monkeypatch.setattr(
        trainer.importlib.util, "find_spec", lambda name, *a: name == "trackio" or real(name, *a)
    )
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "trackio", Board)
    with_board = train(base, tmp_path / "shown", shown, run_name="mine-seed-0")
    assert seen["losses"] == with_board["losses"] and len(seen["losses"]) == 4
    assert seen["run"] == ["mine-seed-0", "runs/tensorboard/mine-seed-0"]
    assert "TENSORBOARD_LOGGING_DIR" not in os.environ
    assert with_board == train(base, tmp_path / "plain") and shown.settings() == SHORT.settings()
    assert weights(tmp_path / "shown") == weights(tmp_path / "plain")
