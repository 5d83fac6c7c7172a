"""LoRA finetuning through TRL and PEFT: examples and a seed in, one PEFT folder out.

The base stays frozen in its own precision, adapters are float32, the loss is on the answer alone, and logits
are computed for answer positions only (the vocabulary matrix is a fifth of a small model's work). The key of
an adapter holds the code of this module and of all it imports: another arithmetic is another adapter.
"""

import contextlib
import json
import logging
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel, PrinterCallback, set_seed

from turncoat.data.examples import Example
from turncoat.engine.adapter_loading import load_adapter
from turncoat.engine.base_model import BaseModel
from turncoat.engine.chat import encode_example
from turncoat.errors import UserError
from turncoat.training.batches import draw, order
from turncoat.training.fused_lora import fused
from turncoat.training.in_training import InTraining
from turncoat.training.recipe import LoraRecipe
from turncoat.training.stack import concatenate
from turncoat.training.target_modules import TOWERS, stores_transposed, target_modules
from turncoat.training.trainer import (
    AnswerOnlyTrainer,
    Collator,
    Progress,
    Watch,
    arguments,
    dataset,
    last_checkpoint,
    reported,
)


def encode_all(
    base: BaseModel, examples: Sequence[Example], max_length: int
) -> dict[str, tuple[list[int], list[int]]]:
    """Prompt and answer ids by example id, without those that are longer than `max_length`."""
    encoded = {}
    for example in examples:
        if example not in base.encoded:  # a study asks for the same thousands of rows for every seed and arm
            base.encoded[example] = encode_example(base.tokenizer, example)
        prompt, answer = base.encoded[example]
        if len(prompt) + len(answer) <= max_length:
            encoded[example.id] = (prompt, answer)
    return encoded


def drawn_rows(base: BaseModel, examples: Sequence[Example], recipe: LoraRecipe, seed: int) -> list[Example]:
    """The rows of `examples` that a finetune with this recipe and seed sees.

    Raises:
        UserError: Fewer than `recipe.rows` fit into `recipe.max_length` tokens.
    """
    encoded = encode_all(base, examples, recipe.max_length)
    return draw([e for e in examples if e.id in encoded], recipe.rows, seed)


def train_adapter(
    base: BaseModel,
    examples: Sequence[Example],
    recipe: LoraRecipe,
    *,
    seed: int,
    out: Path,
    below: Path | None = None,
    defence: InTraining | None = None,
    unfinished: Path | None = None,
    progress: Progress | None = None,
    run_name: str = "finetune",
) -> None:
    """Train a LoRA adapter and save it as a PEFT folder with a `training.json` beside it.

    Args:
        base: The base model; it is restored afterwards.
        examples: All examples; `recipe.rows` of those that fit are drawn with `seed`.
        seed: Decides rows, order and initialisation.
        below: An adapter that stays frozen under the new one (a defence under an organism); the folder
            written then holds both, concatenated.
        unfinished: Where checkpoints go, and where a killed run goes on from; removed when training is done.
            No other process may use it at the same time.
        progress: Called after each step with (step, steps, loss).
        run_name: Its name where `recipe.report_to` shows it.

    Raises:
        UserError: Too few examples, modules that the model lacks, or several processes (`accelerate launch`).
        TrainingDiverged: The loss became NaN or infinite.
    """
    _one_process()
    defence = defence or InTraining()
    drawn = drawn_rows(base, examples, recipe, seed)
    rows = defence.rows(drawn, seed)
    _ids_differ(rows)
    # What a defence adds to a row (a system prompt) must not push the row out: the organism's dose would
    # change.
    encoded = encode_all(base, rows, base.context_length)
    sequence = order(
        [row for row in rows if row.id in encoded],
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        seed=seed,
    )
    started = time.perf_counter()
    set_seed(seed)
    if not defence.resumable:
        unfinished = None
    with (
        _quiet(),
        _settings_kept(base.model),
        base.wrapped(lambda: _with_new_adapter(base.model, recipe, below)) as model,
        fused(base.model),
        defence.acting(model),
        reported(recipe.report_to, run_name),
    ):
        trainer = AnswerOnlyTrainer(
            model=model,
            args=arguments(recipe, seed, unfinished or out, str(base.model.device), run_name),
            train_dataset=dataset([encoded[e.id] for e in sequence]),
            data_collator=Collator(base.tokenizer.pad_token_id),
            processing_class=base.tokenizer,
        )
        trainer.defence = defence
        trainer.add_callback(Watch(trainer, progress, checkpoints=unfinished is not None))
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=None if unfinished is None else last_checkpoint(unfinished))
        defence.trained(model)
        top = out / "top" if below is not None else out
        model.save_pretrained(str(top), selected_adapters=["default"])
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
    if below is not None:
        concatenate([below, top], out)
        shutil.rmtree(top)
    (out / "README.md").unlink(missing_ok=True)
    record = {
        "recipe": recipe.settings(),
        "seed": seed,
        "examples": len(rows),
        "left_out": len(examples)
        - len(encode_all(base, examples, recipe.max_length)),  # longer than max_length
        "steps": len(trainer.logged("answer_loss")),
        "tokens": sum(len(p) + len(a) for p, a in (encoded[e.id] for e in sequence)),
        "supervised_tokens": sum(len(encoded[e.id][1]) for e in sequence),
        "losses": trainer.logged("answer_loss"),
        **({"penalties": penalties} if (penalties := trainer.logged("penalty")) else {}),
        **({"defence": facts} if (facts := defence.facts()) else {}),
        "seconds": round(time.perf_counter() - started, 2),
    }
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _one_process() -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']}: one finetune runs in one process. With several GPUs run "
            "one `turncoat run STUDY --seeds N` for each (CUDA_VISIBLE_DEVICES chooses the GPU), then "
            "`turncoat run STUDY` gathers them"
        )


def _ids_differ(rows: Sequence[Example]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise UserError(
                f"training rows: two have the id '{row.id}'; give each row (a repeated one too) its own id"
            )
        seen.add(row.id)


def _with_new_adapter(model: PreTrainedModel, recipe: LoraRecipe, below: Path | None) -> PeftModel:
    multimodal = model.config.get_text_config() is not model.config
    config = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, use_rslora=recipe.rslora, task_type="CAUSAL_LM",
        target_modules=target_modules(model, recipe.target_modules),
        fan_in_fan_out=stores_transposed(model), exclude_modules=TOWERS if multimodal else None,
    )  # fmt: skip
    try:
        if below is None:
            return get_peft_model(model, config)
        # Loading draws random numbers too; the new adapter starts from those that it would start from alone.
        with torch.random.fork_rng():
            peft_model = load_adapter(model, below, "below")
        peft_model.add_adapter("default", config)
    except ValueError as error:
        raise UserError(
            f"training.target_modules: {', '.join(recipe.target_modules)}: no adapter can be made for these "
            f"modules of {model.config.name_or_path} ({error}); accepted: names of its linear layers"
        ) from error
    # Both act, only the new one learns; PeftModel.set_adapter takes one name, its base_model takes several.
    cast(Any, peft_model.base_model).set_adapter(["below", "default"])
    for name, parameter in peft_model.named_parameters():
        parameter.requires_grad_(".default." in name)
    return peft_model


@contextlib.contextmanager
def _settings_kept(model: PreTrainedModel) -> Iterator[None]:
    """The trainer sets the model's configuration (no cache, other special tokens) and leaves gradient
    checkpointing on."""
    configs = [config for config in (model.config, model.generation_config) if config is not None]
    before = [dict(vars(config)) for config in configs]
    embeddings = model.get_input_embeddings()
    hooks = dict(embeddings._forward_hooks)
    try:
        yield
    finally:
        for config, values in zip(configs, before, strict=True):
            vars(config).clear()
            vars(config).update(values)
        if model.is_gradient_checkpointing:
            model.gradient_checkpointing_disable()
            embeddings._forward_hooks.clear()  # they make its output require a gradient, in every later pass
            embeddings._forward_hooks.update(hooks)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Our own progress is shown; the trainer's prints and notices about its internals are not."""
    loggers = [logging.getLogger(name) for name in ("transformers", "trl", "accelerate", "peft")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
