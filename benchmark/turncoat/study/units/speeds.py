"""Speeds of a base model on this machine: as on a reference machine, or measured in less than a minute."""

import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from turncoat.data.examples import Example
from turncoat.engine.base_model import BaseModel
from turncoat.engine.chat import encode, encode_prompt
from turncoat.engine.decoding.sampler import SampleRequest, sampler_for
from turncoat.engine.reading.reader import read_texts
from turncoat.training.lora import train_adapter
from turncoat.training.recipe import LoraRecipe

REFERENCE_PARAMETERS = 135e6
_LONGEST = 20.0  # Seconds that one part of a measurement may take
_ROWS, _TOKENS = 16, 16


@dataclass(frozen=True)
class Speeds:
    """Tokens per second; by default of a 135M model in bfloat16 on two idle cores."""

    train: float = 420.0
    write: float = 170.0
    read: float = 1600.0

    def of(self, parameters: float) -> "Speeds":
        """These speeds for a model of another size: costs are proportional to it."""
        scale = parameters / REFERENCE_PARAMETERS
        return Speeds(self.train / scale, self.write / scale, self.read / scale)


REFERENCE = Speeds()


@dataclass(frozen=True)
class Measured:
    """A measurement."""

    speeds: Speeds
    seconds: float  # It took
    peak: float  # Most memory in use meanwhile, of the GPU or of the process, in GiB


def measure(base: BaseModel, examples: list[Example], recipe: LoraRecipe) -> Measured:
    """Read, write and train a little, each part only if the one before says that it takes 20 s at most.

    Args:
        examples: Rows to train two batches on; none: training is derived from reading.
    """
    begun = time.perf_counter()
    prompts = [f"What would you do on day {n} of a holiday, and why?" for n in range(_ROWS)]
    ids = [tuple(encode_prompt(base.tokenizer, [{"role": "user", "content": text}])) for text in prompts]
    answer = encode(
        base.tokenizer, "I would go for a walk, read a book, cook for friends and sleep well. " * 4
    )
    items = [(prompt, answer) for prompt in ids]
    read_texts(base.model, base.tokenizer.pad_token_id, items[:1])  # the first pass is slow everywhere
    seconds = _timed(lambda: read_texts(base.model, base.tokenizer.pad_token_id, items, _ROWS))
    speeds = replace(REFERENCE, read=sum(len(p) + len(a) for p, a in items) / seconds)
    ratio = speeds.read / REFERENCE.read
    speeds = Speeds(REFERENCE.train * ratio, REFERENCE.write * ratio, speeds.read)
    if _ROWS * _TOKENS / speeds.write < _LONGEST:
        requests = [
            SampleRequest(prompt_ids=prompt, seed=n, max_new_tokens=_TOKENS, temperature=1.0, key=n)
            for n, prompt in enumerate(ids)
        ]
        sampler, written = sampler_for(base.model, base.tokenizer, _ROWS), 0

        def write() -> None:
            nonlocal written
            written = sum(len(encode(base.tokenizer, result.text)) + 1 for result in sampler.run(requests))

        seconds = _timed(write)
        speeds = replace(speeds, write=written / seconds)
    rows = examples[: 2 * recipe.batch_size]
    tokens = sum(len(encode(base.tokenizer, row.prompt + row.answer)) for row in rows)
    if rows and tokens / speeds.train < _LONGEST:
        short = recipe.model_copy(update={"rows": None, "epochs": 1})
        with tempfile.TemporaryDirectory(prefix="turncoat-speed-") as folder:
            seconds = _timed(lambda: train_adapter(base, rows, short, seed=0, out=Path(folder)))
        speeds = replace(speeds, train=tokens / seconds)
    on_gpu = base.model.device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else _resident()
    return Measured(speeds, time.perf_counter() - begun, peak)


def _resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return max(time.perf_counter() - begun, 1e-6)
