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
from turncoat.engine.packed_linear import packed_linears
from turncoat.engine.reading.prefix_tree import Pass, row_passes, tree_passes
from turncoat.engine.reading.tree_attention import longest_in_tree, tree_attention
from turncoat.errors import UserError

PACKED_TOKENS = 4096
"""Tokens from which on it pays to lay out the weights first; no bit depends on it."""

LOGIT_BUDGET = 2**26
"""Most logits computed in one pass (256 MiB as float32): answer tokens times vocabulary."""

Item = tuple[Sequence[int], Sequence[int]]
"""Prompt tokens and answer tokens."""

LOGIT_CHUNK = 2**19
"""Logits in float32 at a time: 2 MiB stay in a CPU's cache."""

PASS_TOKENS = 4096
"""Most tokens of a forest of texts in one pass."""

CALL_TOKENS, DEVICE_CALL_TOKENS = 4, 128
"""Tokens that cost as much as a run's own call of attention, on a CPU and on another device."""

_answering: ContextVar[Tensor | None] = ContextVar("turncoat_answering", default=None)
_rows_only: ContextVar[bool] = ContextVar("turncoat_rows_only", default=False)


def answering_positions() -> Tensor | None:
    """While a pass of `read_texts` runs: (rows, T) boolean, the positions that an answer's own generation
    computes.

    These are the last token of a prompt, which predicts the first answer token, and the answer's tokens. A
    row may hold many texts. None outside such a pass.
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
    """Read every answer after its prompt, a beginning that texts have in common once; readings in item order.

    Args:
        model: a causal language model, PEFT-wrapped or not.
        tokenizer_pad_id: fills up the shorter texts (masked); None takes 0.
        items: pairs of prompt tokens (at least one) and answer tokens.
        batch_size: rows per pass, fewer where the logits would exceed `LOGIT_BUDGET`; a pass over a forest of
            texts (`prefix_tree.py`) has at most as many tokens as so many rows, and at most `PASS_TOKENS`.
        on_done: called after each pass with the number of texts it read.

    Raises:
        UserError: an item has an answer but no prompt token to predict its first token from, or the model
            gives a log-probability that is not a number.
    """
    readings: dict[int, Reading] = {}
    todo: list[int] = []
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
    base = unwrapped(model)
    was_training = model.training
    model.eval()
    # An answer's last token predicts nothing: only its own state can need it.
    texts = [_keys(*items[index])[: None if capture else -1] for index in todo]
    much = sum(map(len, texts)) >= PACKED_TOKENS
    try:
        with torch.inference_mode(), packed_linears(model) if much else nullcontext():
            for some in _passes(model, base, texts, batch_size):
                numbers = [todo[n] for n in some.texts]
                read = _read(model, base, tokenizer_pad_id or 0, some, [items[n] for n in numbers], capture)
                readings.update(zip(numbers, read, strict=True))
                if on_done is not None:
                    on_done(len(numbers))
    finally:
        model.train(was_training)
    return [readings[index] for index in range(len(items))]


def _keys(prompt: Sequence[int], answer: Sequence[int]) -> list[int]:
    """Keys that `prefix_tree` knows a text by: equal where token and answering flag are equal."""
    first = len(prompt) - 1
    return [2 * token for token in prompt[:first]] + [2 * token + 1 for token in (prompt[-1], *answer)]


def _passes(model: Any, base: Any, texts: Sequence[list[int]], batch_size: int) -> Iterator[Pass]:
    """Forests of the texts that fit into one, where that is the cheaper way, and rows of the others."""
    most_logits = LOGIT_BUDGET // base.get_output_embeddings().weight.shape[0]
    longest = 0 if _rows_only.get() or _alora(model) else longest_in_tree(base)
    for in_tree in (True, False):
        chosen = [n for n, text in enumerate(texts) if (len(text) <= longest) == in_tree]
        some = [texts[n] for n in chosen]
        passes = row_passes(some, batch_size, most_logits)
        if in_tree and some:
            most_tokens = min(PASS_TOKENS, batch_size * max(map(len, some)))
            forests = tree_passes(some, most_tokens, most_logits)
            on_cpu = base.get_input_embeddings().weight.device.type == "cpu"
            call = CALL_TOKENS if on_cpu else DEVICE_CALL_TOKENS
            cost = sum(part.tokens + call * len(part.runs) for part in forests)
            passes = forests if cost < sum(part.tokens for part in passes) else passes
        for part in passes:
            part.texts = [chosen[n] for n in part.texts]
        yield from passes


def _alora(model: Any) -> bool:
    """True where PEFT looks for an activated LoRA's invocation in each row."""
    return bool(getattr(getattr(model, "active_peft_config", None), "alora_invocation_tokens", None))


def _read(
    model: Any, base: Any, pad_id: int, some: Pass, texts: Sequence[Item], capture: bool
) -> list[Reading]:
    device = base.get_input_embeddings().weight.device
    length = max(map(len, some.rows))
    keys = torch.full((len(some.rows), length), 2 * pad_id)
    real = torch.zeros_like(keys)
    for row, row_keys in enumerate(some.rows):
        keys[row, : len(row_keys)] = torch.tensor(row_keys)
        real[row, : len(row_keys)] = 1
    keys = keys.to(device)
    places = [[row * length + column for column in columns] for row, columns in some.places]
    counts = [len(answer) for _, answer in texts]
    ends = torch.tensor([text[len(prompt) - 1] for text, (prompt, _) in zip(places, texts, strict=True)])
    inside = [text[len(prompt) :] for text, (prompt, _) in zip(places, texts, strict=True)]
    before = [
        place
        for end, text, count in zip(ends.tolist(), inside, counts, strict=True)
        for place in [end, *text][:count]
    ]
    predicting = torch.zeros_like(keys, dtype=torch.bool)
    predicting.view(-1)[before] = True
    seen: dict[int, tuple[Tensor, Tensor]] = {}

    def add_up(index: int, state: Tensor) -> None:
        flat = state.flatten(0, 1)
        sums = [flat[text].sum(0, dtype=torch.float32) for text in inside]
        seen[index] = torch.stack(sums), flat[ends].float()

    inputs: dict[str, Any] = {"attention_mask": real.to(device)}
    if some.positions is not None:
        inputs = {"position_ids": torch.tensor([some.positions], device=device)}
    with (
        LayerCapture(model, add_up) if capture else nullcontext(),
        logits_only_where(base, predicting),
        _set(_answering, keys % 2 == 1),
        tree_attention(base, some.runs) if some.runs else nullcontext(),
    ):
        logits = model(input_ids=keys // 2, use_cache=False, **inputs).logits
    rows = (predicting.flatten().cumsum(0) - 1)[before]
    wanted = torch.tensor([token for _, answer in texts for token in answer], device=device)
    normalisers, likeliest = _normalisers(logits)
    logprobs = logits[rows, wanted].float() - normalisers[rows]
    totals = [float(part.double().sum()) for part in logprobs.split(counts)]
    if any(map(math.isnan, totals)):
        raise UserError(
            "the model's log-probability of an answer is not a number; check the adapter's training loss, "
            "and load the model in float32 or bfloat16 rather than float16"
        )
    greedy = [bool(part.all()) for part in (likeliest[rows] == wanted).split(counts)]
    if not capture:
        return [
            Reading(None, total / count, total, count, greedy[row])
            for row, (count, total) in enumerate(zip(counts, totals, strict=True))
        ]
    states, prompts = (
        torch.stack([seen[index][part] for index in range(len(seen))]).cpu() for part in (0, 1)
    )
    return [
        Reading(states[:, row] / count, total / count, total, count, greedy[row], prompts[:, row])
        for row, (count, total) in enumerate(zip(counts, totals, strict=True))
    ]


def _normalisers(logits: Tensor) -> tuple[Tensor, Tensor]:
    """(positions,) logarithm of each position's sum of exponentials, in float32, and its likeliest token."""
    found = []
    for part in logits.split(max(1, LOGIT_CHUNK // logits.shape[1])):
        part = part.float()
        found.append((part.logsumexp(-1), part.argmax(-1)))
    sums, likeliest = zip(*found, strict=True)
    return torch.cat(sums), torch.cat(likeliest)


@contextmanager
def rows_only() -> Iterator[None]:
    """Within this block `read_texts` gives every text a row of its own, for hooks that look at whole rows."""
    with _set(_rows_only, True):
        yield


@contextmanager
def _set(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


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
