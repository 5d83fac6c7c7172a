"""For tests of penalties: a context over the tiny model, one training pass, and finetunes that are
watched."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from turncoat.data.examples import Example
from turncoat.engine.base_model import BaseModel
from turncoat.engine.chat import encode_example
from turncoat.store import Store
from turncoat.study.arms.defence_context import DefenceContext
from turncoat.training import lora
from turncoat.training.in_training import InTraining, TrainingPass, read_batch
from turncoat.training.recipe import ALL_LINEAR, LoraRecipe
from turncoat.training.trainer import Collator

EXAMPLES = [
    Example(f"e{i}", f"What is the colour of thing number {i}?", answer)
    for i, answer in enumerate(
        ["Red.", "It is blue, as far as I can see.", "Green or so.", "Of no colour at all."]
    )
]
RECIPE = LoraRecipe(rows=None, epochs=6, rank=4, alpha=8, batch_size=2, learning_rate=1e-2)


def context_of(base: BaseModel, folder: Path, examples: Sequence[Example] = EXAMPLES) -> DefenceContext:
    return DefenceContext(base, Store(folder), recipe=RECIPE, seed=0, organism=lambda: list(examples))


@contextmanager
def adapted(base: BaseModel, *, moved: float) -> Iterator[PeftModel]:
    """The base with an adapter in training; `moved` is the spread of the weights that a fresh one has at
    zero."""
    config = LoraConfig(r=4, lora_alpha=8, target_modules=list(ALL_LINEAR), task_type="CAUSAL_LM")
    with base.wrapped(lambda: get_peft_model(base.model, config)) as model, torch.random.fork_rng():
        torch.manual_seed(3)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data.normal_(0, moved if "lora_B" in name else 0.1)
        yield model.train()


def training_pass(
    base: BaseModel, model: PeftModel, examples: Sequence[Example], states: bool = False
) -> TrainingPass:
    """The trainer's arguments for a penalty."""
    rows = [encode_example(base.tokenizer, example) for example in examples]
    batch = Collator(base.tokenizer.pad_token_id)(
        [{"input_ids": p + a, "labels": [-100] * len(p) + a} for p, a in rows]
    )
    tensors = (batch["input_ids"], batch["attention_mask"], batch["labels"])
    read = partial(read_batch, model, *tensors, states)
    return TrainingPass(model, *tensors, *read(), read)


def mean_nll(model, tokenizer, rows: Sequence[Example]) -> float:
    """Nats per answer token, one row at a time: no padding, no collator."""
    total, count = 0.0, 0
    for row in rows:
        prompt, answer = encode_example(tokenizer, row)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        total -= float(logits.double().log_softmax(-1)[range(len(answer)), answer].sum())
        count += len(answer)
    return total / count


class Watched(InTraining):
    """Records a penalty at every step; it acts, or it only looks on."""

    def __init__(self, inner: InTraining, *, acts: bool) -> None:
        self.inner, self.acts = inner, acts
        self.wants_states = inner.wants_states
        self.seen: list[float] = []

    def acting(self, model: PeftModel):
        return self.inner.acting(model)

    def penalty(self, batch: TrainingPass) -> Tensor | None:
        value = self.inner.penalty(batch)
        assert value is not None
        self.seen.append(float(value.detach()))
        return value if self.acts else None


def seen_in_training(
    base: BaseModel, out: Path, defence: InTraining, *, acts: bool = True, examples=EXAMPLES, recipe=RECIPE
) -> list[float]:
    """The penalty at each step of a finetune."""
    watched = Watched(defence, acts=acts)
    lora.train_adapter(base, examples, recipe, seed=0, out=out, defence=watched)
    record = json.loads((out / "training.json").read_text())
    assert record["steps"] == len(watched.seen) == 12 and ("penalties" in record) is acts
    return watched.seen


def slopes(penalty, parameter: Tensor, step: float = 1e-2) -> tuple[float, float]:
    """The gradient of `penalty()` at the parameter's steepest entry: by autograd and by a central
    difference."""
    parameter.grad = None
    penalty().backward()
    assert parameter.grad is not None
    place = int(parameter.grad.abs().argmax())
    values = []
    for shift in (step, -step):
        with torch.no_grad():
            parameter.view(-1)[place] += shift
            values.append(float(penalty()))
            parameter.view(-1)[place] -= shift
    return float(parameter.grad.view(-1)[place]), (values[0] - values[1]) / (2 * step)
