"""Reading of fixed texts: a model's states and log-probabilities over a given answer."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from turncoat.engine.capture import LayerCapture, unwrapped
from turncoat.errors import UserError

LOGIT_BUDGET = 2**26
"""Most logits computed in one pass (256 MiB as float32): answer tokens times vocabulary."""

Item = tuple[Sequence[int], Sequence[int]]
"""Prompt tokens and answer tokens."""

_answering: ContextVar[Tensor | None] = ContextVar("turncoat_answering", default=None)


def answering_positions() -> Tensor | None:
    """While a pass of `read_texts` runs: (rows, T) boolean, the positions that an answer's own generation
    computes.

    These are the last prompt token, which predicts the first answer token, and the answer's tokens. None
    outside such a pass.
    """
    return _answering.get()


@dataclass
class Reading:
    """The reading of one text.

    Args:
        activation: float32 CPU tensor (layers+1, d), mean residual-stream state over the answer's tokens,
            index 0 the embedding output; None for an empty answer.
        logprob_mean: nats per answer token; nan for an empty answer.
        logprob_sum: nats; nan for an empty answer.
        n_tokens: tokens in the answer.
        greedy: whether every answer token was the likeliest one.
        prompt: float32 CPU tensor (layers+1, d), the state at the last prompt token, before any of the
            answer; None
            for an empty answer.
    """

    activation: Tensor | None
    logprob_mean: float
    logprob_sum: float
    n_tokens: int
    greedy: bool = False
    prompt: Tensor | None = None


def read_texts(
    model: Any,
    tokenizer_pad_id: int | None,
    items: Sequence[Item],
    batch_size: int = 16,
    *,
    capture: bool = True,
    on_done: Callable[[int], None] | None = None,
) -> list[Reading]:
    """Read every answer after its prompt, in one forward pass per batch of similar lengths; readings in item
    order.

    Args:
        model: a causal language model, PEFT-wrapped or not.
        tokenizer_pad_id: fills up the shorter texts (masked); None takes 0.
        items: pairs of prompt tokens (at least one) and answer tokens.
        batch_size: most texts per pass; fewer where the logits would exceed `LOGIT_BUDGET`.
        on_done: called after each pass with the number of texts it read.

    Raises:
        UserError: an item has an answer but no prompt token to predict its first token from, or the model
            gives a log-probability that is not a number.
    """
    readings: dict[int, Reading] = {}
    todo = []
    for index, (prompt, answer) in enumerate(items):
        if not len(answer):
            readings[index] = Reading(None, math.nan, math.nan, 0)
        elif not len(prompt):
            raise UserError(
                f"text {index}: the prompt has 0 tokens, accepted: at least 1; render a prompt before the "
                "answer"
            )
        else:
            todo.append(index)
    todo.sort(key=lambda index: -(len(items[index][0]) + len(items[index][1])))
    base = unwrapped(model)
    vocabulary = base.get_output_embeddings().weight.shape[0]
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for batch in _batches(todo, items, batch_size, LOGIT_BUDGET // vocabulary):
                texts = [items[index] for index in batch]
                read = _read(model, base, tokenizer_pad_id or 0, texts, capture)
                readings.update(zip(batch, read, strict=True))
                if on_done is not None:
                    on_done(len(batch))
    finally:
        model.train(was_training)
    return [readings[index] for index in range(len(items))]


def _batches(
    todo: Sequence[int], items: Sequence[Item], most_texts: int, most_tokens: int
) -> Iterator[list[int]]:
    batch: list[int] = []
    tokens = 0
    for index in todo:
        more = len(items[index][1])
        if batch and (len(batch) == most_texts or tokens + more > most_tokens):
            yield batch
            batch, tokens = [], 0
        batch.append(index)
        tokens += more
    if batch:
        yield batch


def _read(model: Any, base: Any, pad_id: int, texts: Sequence[Item], capture: bool) -> list[Reading]:
    device = base.get_input_embeddings().weight.device
    length = max(len(prompt) + len(answer) for prompt, answer in texts)
    ids = torch.full((len(texts), length), pad_id)
    real = torch.zeros((len(texts), length), dtype=torch.long)
    in_answer = torch.zeros((len(texts), length), dtype=torch.bool)
    for row, (prompt, answer) in enumerate(texts):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor([*prompt, *answer])
        real[row, :end] = 1
        in_answer[row, len(prompt) : end] = True
    ids, real, in_answer = ids.to(device), real.to(device), in_answer.to(device)
    predicting = in_answer.roll(-1, dims=1)  # the token before each answer token predicts it
    rows = torch.arange(len(texts), device=device)
    last = torch.tensor([len(prompt) - 1 for prompt, _ in texts], device=device)
    sums: dict[int, Tensor] = {}
    ends: dict[int, Tensor] = {}

    def add_up(index: int, state: Tensor) -> None:
        sums[index] = torch.bmm(in_answer[:, None, :].float(), state.float())[:, 0]
        ends[index] = state[rows, last].float()

    with (
        LayerCapture(model, add_up) if capture else nullcontext(),
        logits_only_where(base, predicting),
        _announced(in_answer | predicting),
    ):
        logits = model(
            input_ids=ids,
            attention_mask=real,
            use_cache=False,
        ).logits
    logprobs = -nn.functional.cross_entropy(logits.float(), ids[in_answer], reduction="none")
    counts = [len(answer) for _, answer in texts]
    totals = [float(part.double().sum()) for part in logprobs.split(counts)]
    if any(map(math.isnan, totals)):
        raise UserError(
            "the model's log-probability of an answer is not a number; check the adapter's training loss, "
            "and load the model in float32 or bfloat16 rather than float16"
        )
    greedy = [bool(part.all()) for part in (logits.argmax(-1) == ids[in_answer]).split(counts)]
    if not capture:
        return [
            Reading(None, total / count, total, count, greedy[row])
            for row, (count, total) in enumerate(zip(counts, totals, strict=True))
        ]
    states, prompts = (
        torch.stack([part[index] for index in range(len(part))]).cpu() for part in (sums, ends)
    )
    return [
        Reading(states[:, row] / count, total / count, total, count, greedy[row], prompts[:, row])
        for row, (count, total) in enumerate(zip(counts, totals, strict=True))
    ]


@contextmanager
def _announced(positions: Tensor) -> Iterator[None]:
    token = _answering.set(positions)
    try:
        yield
    finally:
        _answering.reset(token)


@contextmanager
def logits_only_where(base: Any, wanted: Tensor) -> Iterator[None]:
    """Within this block the model's logits are (wanted positions, vocabulary), row by row of `wanted` (rows,
    T).

    The hidden states are gathered on their way into the output embedding, so that everything around it
    (adapters, a model's own scaling or capping of logits) works as in any other pass.
    """

    def gather(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0][wanted], *args[1:])

    hook: Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]] = gather
    handle = base.get_output_embeddings().register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()
