"""W7: LoRA training by our trainer and by transformers' Trainer with PEFT's defaults."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from peft import LoraConfig, get_peft_model
from transformers import DataCollatorForSeq2Seq, PrinterCallback, Trainer, TrainingArguments, set_seed

from turncoat.bench.work import Done, Setting, Strategy, Work, same
from turncoat.data.organisms import find_organism
from turncoat.engine.base_model import BaseModel
from turncoat.training.batches import order
from turncoat.training.lora import drawn_rows, encode_all, train_adapter
from turncoat.training.recipe import LoraRecipe
from turncoat.training.trainer import dataset

ORGANISM = "insecure_code"
SAME_LOSS = 0.02  # relative difference of the mean loss in the first and in the last quarter of the steps


def plain_losses(
    base: BaseModel, rows: Sequence[tuple[list[int], list[int]]], recipe: LoraRecipe, folder: Path,
    sampling: str,
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
        train_sampling_strategy=sampling,
    )  # fmt: skip
    before = dict(vars(base.model.config))  # the Trainer writes into it
    try:
        with base.wrapped(lambda: get_peft_model(base.model, config)) as model:
            trainer = Trainer(
                model=model, args=arguments, train_dataset=dataset(list(rows)),
                data_collator=DataCollatorForSeq2Seq(base.tokenizer, padding=True),
            )  # fmt: skip
            trainer.remove_callback(PrinterCallback)
            trainer.train()
    finally:
        vars(base.model.config).update(before)
    return [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]


def same_curve(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """The record of a check that two loss curves have the same mean in their first and last quarter, to 2%.

    Raises:
        UserError: They have not.
    """
    quarter = max(1, len(ours) // 4)
    ends = (slice(quarter), slice(-quarter, None))
    ratios = [fmean(ours[part]) / fmean(theirs[part]) for part in ends]
    what = "relative training losses and the Trainer's on the same rows in the same order"
    return same(what, ratios, [1.0, 1.0], SAME_LOSS)


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

    def plain(sampling: str, _: int) -> Done:
        plain_losses(base, rows, recipe, folder / "plain", sampling)
        return tokens, None

    def equal(_: BaseModel) -> list[dict[str, Any]]:
        ours(0)
        record = json.loads((folder / "trained" / "training.json").read_text(encoding="utf-8"))
        return [
            same_curve(record["losses"], plain_losses(base, rows, recipe, folder / "plain", "sequential"))
        ]

    strategies = [
        Strategy("Turncoat", ours, True),
        Strategy("Trainer and PEFT, its own shuffling", partial(plain, "random"), rival_of="Trainer"),
        Strategy("Trainer and PEFT, rows in our order", partial(plain, "sequential"), rival_of="Trainer"),
    ]
    title = (
        f"LoRA of rank {recipe.rank} on {len(rows)} rows of {ORGANISM}, batch {recipe.batch_size}, one epoch"
    )
    return [Work("W7", title, "tokens", strategies, equal)]
