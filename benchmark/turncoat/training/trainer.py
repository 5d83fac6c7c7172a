"""TRL's SFTTrainer as Turncoat uses it: rows in the order given, loss and logits on answer tokens, a
defence's penalty."""

import importlib.util
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from turncoat.errors import TrainingDiverged, UserError
from turncoat.training.in_training import InTraining, TrainingPass, packs, read_batch
from turncoat.training.recipe import LoraRecipe

Progress = Callable[[int, int, float], None]  # step, steps, loss

CHECKPOINT_SECONDS = 120.0  # a kill loses at most about this much training
PASS_TOKENS = 1024  # most tokens of one pass on a CPU: bounds its memory whatever the batch
_TENSORBOARD = "TENSORBOARD_LOGGING_DIR"
_WEIGHTS = "adapter.safetensors"
_STATE = "trainer_state.json"  # written last
_PARTS = (_WEIGHTS, "optimizer.pt", "scheduler.pt", "rng_state.pth", _STATE)


def arguments(recipe: LoraRecipe, seed: int, folder: Path, device: str, run_name: str) -> SFTConfig:
    """TRL's configuration of one finetune; checkpoints go to `folder`."""
    config = SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=recipe.batch_size,
        num_train_epochs=1,  # the epochs are in the dataset's order already
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        seed=seed,
        logging_steps=1,
        # the default logs 0 for a NaN loss, and a diverged run would pass for a fine one
        logging_nan_inf_filter=False,
        # by the clock, below: steps take milliseconds on one model and minutes on another
        save_strategy="no",
        save_total_limit=1,
        report_to=list(recipe.report_to) or "none",
        run_name=run_name,
        disable_tqdm=True,
        use_cpu=device == "cpu",
        bf16=False,  # the base is in bfloat16 by itself where it was saved so; the adapter stays in float32
        # TRL's default is on: a third more work, for memory that small models do not need.
        gradient_checkpointing=recipe.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if recipe.gradient_checkpointing else None,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        max_length=None,
        dataloader_pin_memory=device != "cpu",
    )
    # Where it sees several GPUs the trainer would split batches among them, and multiply the batch size by
    # their number.
    config._n_gpu = min(config.n_gpu, 1)
    return config


@contextmanager
def reported(names: Sequence[str], run_name: str) -> Iterator[None]:
    """Inside, a trainer may report to `names`; TensorBoard's files of a run go to a folder of its own.

    Raises:
        UserError: One of their packages is not installed.
    """
    lacking = [name for name in names if importlib.util.find_spec(name) is None]
    if lacking:
        raise UserError(
            f"training.report_to: {lacking[0]} is not installed; `pip install {lacking[0]}`, or take it out"
        )
    where = os.environ.get(_TENSORBOARD)
    if names:  # its default is below the checkpoints, which go when training is done
        os.environ[_TENSORBOARD] = str(Path(where or "runs/tensorboard") / run_name)
    try:
        yield
    finally:
        if names and where is None:
            del os.environ[_TENSORBOARD]
        elif names and where is not None:
            os.environ[_TENSORBOARD] = where


def dataset(rows: list[tuple[list[int], list[int]]]) -> Dataset:
    """Prompt and answer ids as TRL wants them."""
    return Dataset.from_dict(
        {"input_ids": [p + a for p, a in rows], "labels": [[-100] * len(p) + list(a) for p, a in rows]}
    )


class Collator:
    """Right-pads a batch of `input_ids` and `labels`."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        """One batch as tensors (rows, T)."""
        width = max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), width), self.pad)
        labels = torch.full((len(rows), width), -100)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for i, row in enumerate(rows):
            n = len(row["input_ids"])
            ids[i, :n] = torch.tensor(row["input_ids"])
            labels[i, :n] = torch.tensor(row["labels"])
            mask[i, :n] = 1
        return {"input_ids": ids, "labels": labels, "attention_mask": mask}


def parts(batch: dict[str, torch.Tensor], tokens: int) -> list[dict[str, torch.Tensor]]:
    """A batch (rows, T) in equal parts of rows of like length, with at most `tokens` positions (or one
    row)."""
    lengths = batch["attention_mask"].sum(1)
    longest_first = lengths.argsort(descending=True, stable=True)
    rows_at_once = max(1, tokens // int(lengths.max()))
    if rows_at_once >= len(lengths):
        return [batch]
    split = longest_first.tensor_split(-(-len(lengths) // rows_at_once))
    return [{name: x[rows, : lengths[rows[0]]] for name, x in batch.items()} for rows in split]


class AnswerOnlyTrainer(SFTTrainer):
    """SFTTrainer in the order given, with logits for the answer tokens alone (TRL scores every position on a
    CPU)."""

    defence: InTraining = InTraining()
    answer_loss: float = 0.0  # of the latest step, without the defence's penalty
    penalty: float | None = None  # of the latest step; None where there was none
    _packs: bool | None = None  # rows are read end to end: the model can, and no defence looks on

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        return torch.utils.data.SequentialSampler(cast(Dataset, self.train_dataset))

    def training_step(self, model: Any, inputs: dict[str, torch.Tensor], *_: Any) -> torch.Tensor:
        """Forward and backward pass of a batch, in parts where nothing but the answers' loss counts."""
        self.answer_loss, self.penalty = 0.0, None
        count = (inputs["labels"][:, 1:] != -100).sum()
        penalised = type(self.defence).penalty is not InTraining.penalty
        batches = [inputs] if penalised or not self.args.use_cpu else parts(inputs, PASS_TOKENS)
        if self._packs is None:
            looks_on = self.defence.hooks and type(self.defence).acting is not InTraining.acting
            self._packs = not penalised and not looks_on and packs(model)
        losses = [super(AnswerOnlyTrainer, self).training_step(model, part, count) for part in batches]
        return torch.stack(losses).sum()

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean negative log-likelihood of the answer tokens, and the defence's penalty."""
        inner = self.accelerator.unwrap_model(model)
        ids, mask, labels = (inputs[key] for key in ("input_ids", "attention_mask", "labels"))
        read = partial(read_batch, inner, ids, mask, labels, self.defence.wants_states, bool(self._packs))
        predictions, states = read()
        loss = predictions.loss(labels[:, 1:][labels[:, 1:] != -100]) / num_items_in_batch
        penalty = self.defence.penalty(TrainingPass(inner, ids, mask, labels, predictions, states, read))
        self.answer_loss += float(loss.detach())
        self.penalty = None if penalty is None else float(penalty.detach())
        if penalty is not None:
            loss = loss + penalty
        return (loss, {"loss": loss}) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """The trainer's log, kept with its checkpoints, with the loss without penalty and the penalty
        apart."""
        if "loss" in logs:
            logs["answer_loss"] = round(self.answer_loss, 6)
            if self.penalty is not None:
                logs["penalty"] = round(self.penalty, 6)
        super().log(logs, *args, **kwargs)

    def logged(self, key: str) -> list[float]:
        """A logged quantity at every step, those before a kill too: 0 at a step without it, empty if no step
        has it."""
        steps = [entry for entry in self.state.log_history if "answer_loss" in entry]
        return [float(entry.get(key, 0.0)) for entry in steps] if any(key in entry for entry in steps) else []

    # A checkpoint holds the trained adapter alone: transformers' own would load the frozen one below it back
    # as a trainable one, and leave the new one switched off.

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(str(output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        weights = get_peft_model_state_dict(cast(Any, self.model), adapter_name="default")
        save_file({name: w.detach().contiguous().cpu() for name, w in weights.items()}, folder / _WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        weights = load_file(Path(resume_from_checkpoint) / _WEIGHTS)
        set_peft_model_state_dict(cast(Any, model or self.model), weights, adapter_name="default")


class Watch(TrainerCallback):
    """Reports progress, stops a diverged run, saves by the clock, tells the defence of each step."""

    def __init__(self, trainer: AnswerOnlyTrainer, progress: Progress | None, *, checkpoints: bool) -> None:
        self.trainer = trainer
        self.progress = progress
        self.checkpoints = checkpoints
        self._saved = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called by the trainer after each optimiser step."""
        defence = self.trainer.defence
        defence.step_done(cast(Any, self.trainer.model), int(state.global_step), int(state.max_steps))
        due = time.monotonic() - self._saved >= CHECKPOINT_SECONDS
        if due and self.checkpoints and state.global_step < state.max_steps:
            control.should_save = True
            self._saved = time.monotonic()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        """Called by the trainer after each step."""
        if not logs or "loss" not in logs:
            return
        total = float(logs["loss"])
        if not math.isfinite(total):
            raise TrainingDiverged(
                f"training diverged: the loss is {total} at step {state.global_step}; lower "
                f"training.learning_rate (now {args.learning_rate}) or training.rank"
            )
        if self.progress is not None:
            self.progress(int(state.global_step), int(state.max_steps), self.trainer.answer_loss)


def last_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint below `folder`."""
    steps = [
        int(number)
        for path in folder.glob("checkpoint-*")
        if (number := path.name.partition("-")[2]).isdigit()
    ]
    newest_first = (folder / f"checkpoint-{step}" for step in sorted(steps, reverse=True))
    return next((str(path) for path in newest_first if _complete(path)), None)


def _complete(checkpoint: Path) -> bool:
    """True if the checkpoint is complete: without optimizer.pt, say, the trainer would go on silently."""
    try:
        json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return all((checkpoint / part).is_file() for part in _PARTS)
