"""W7: LoRA training by our trainer and by transformers' Trainer with PEFT's defaults."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from peft import LoraConfig, get_peft_model
from torch.utils.data import SequentialSampler
from transformers import DataCollatorForSeq2Seq, PrinterCallback, Trainer, TrainingArguments, set_seed

from turncoat.bench.work import Done, Setting, Strategy, Work, unequal
from turncoat.data.organisms import find_organism
from turncoat.engine.base_model import BaseModel
from turncoat.training.batches import order
from turncoat.training.lora import drawn_rows, encode_all, train_adapter
from turncoat.training.recipe import LoraRecipe
from turncoat.training.trainer import dataset

ORGANISM = "insecure_code"
SAME_LOSS = 0.02  # relative difference of the mean loss in the first and in the last quarter of the steps


class _InOrder(Trainer):
    """The Trainer with rows in the order given."""

    def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
        return SequentialSampler(self.train_dataset)  # type: ignore[arg-type]


def plain_losses(
    base: BaseModel, rows: Sequence[tuple[list[int], list[int]]], recipe: LoraRecipe, folder: Path,
    trainer_class: type[Trainer],
) -> list[float]:  # fmt: skip
    """Losses of a Trainer on a PEFT model with their defaults, at the recipe's batch, rank and rate."""
    set_seed(0)
    config = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    arguments = TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=recipe.batch_size, num_train_epochs=1,
        learning_rate=recipe.learning_rate, lr_scheduler_type=recipe.schedule, logging_steps=1, seed=0,
        report_to="none", save_strategy="no", disable_tqdm=True, use_cpu=base.model.device.type == "cpu",
    )  # fmt: skip
    before = dict(vars(base.model.config))  # the Trainer writes into it
    try:
        with base.wrapped(lambda: get_peft_model(base.model, config)) as model:
            trainer = trainer_class(
                model=model, args=arguments, train_dataset=dataset(list(rows)),
                data_collator=DataCollatorForSeq2Seq(base.tokenizer, padding=True),
            )  # fmt: skip
            trainer.remove_callback(PrinterCallback)
            trainer.train()
    finally:
        vars(base.model.config).update(before)
    return [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]


def same_curve(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """The record of a check for equal loss curves.

    Raises:
        UserError: The number of steps differs, or the mean loss of the first or the last quarter.
    """
    what = "training losses and those of transformers' Trainer on the same rows in the same order"
    if len(ours) != len(theirs):
        raise unequal(what, f"{len(ours)} and {len(theirs)} steps")
    quarter = max(1, len(ours) // 4)
    ends = (slice(quarter), slice(-quarter, None))
    largest = max(abs(fmean(ours[part]) / fmean(theirs[part]) - 1) for part in ends)
    if not largest <= SAME_LOSS:
        raise unequal(what, f"by {largest:.1%} in a quarter of the steps, accepted: {SAME_LOSS:.0%}")
    return {"check": what, "compared": len(ours), "largest_difference": largest, "tolerance": SAME_LOSS}


def works(setting: Setting) -> list[Work]:
    """The training work."""
    base, folder = setting.base, setting.folder
    recipe = LoraRecipe(rows=80 if setting.quick else 400)
    examples = find_organism(ORGANISM).build()
    drawn = drawn_rows(base, examples, recipe, 0)
    encoded = encode_all(base, drawn, recipe.max_length)
    rows = [encoded[e.id] for e in order(drawn, batch_size=recipe.batch_size, epochs=1, seed=0)]
    tokens = sum(len(prompt) + len(answer) for prompt, answer in rows)

    def ours(_: int) -> Done:
        train_adapter(base, examples, recipe, seed=0, out=folder / "trained")
        return tokens, None

    def plain(trainer_class: type[Trainer]) -> Done:
        plain_losses(base, rows, recipe, folder / "plain", trainer_class)
        return tokens, None

    def equal(_: BaseModel) -> list[dict[str, Any]]:
        ours(0)
        record = json.loads((folder / "trained" / "training.json").read_text(encoding="utf-8"))
        return [same_curve(record["losses"], plain_losses(base, rows, recipe, folder / "plain", _InOrder))]

    strategies = [
        Strategy("Turncoat", ours, True),
        Strategy("Trainer and PEFT, its own shuffling", lambda _: plain(Trainer)),
        Strategy("Trainer and PEFT, rows in our order", lambda _: plain(_InOrder)),
    ]
    title = (
        f"LoRA of rank {recipe.rank} on {len(rows)} rows of {ORGANISM}, batch {recipe.batch_size}, one epoch"
    )
    return [Work("W7", title, "tokens", strategies, equal)]
