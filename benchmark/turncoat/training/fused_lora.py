"""LoRA layers and attention with one hand-written gradient each, for less time and memory.

PEFT casts each layer's input to float32, multiplies there and casts the sum back, and keeps a float32 copy of
every input for the backward pass. Here the adapter's
float32 weights are rounded to the base's precision on use, its product is added in place, and an input is
kept once for all layers that share it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, cast

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

ATTENTION = "turncoat_training"
"""Name under which transformers knows this module's attention."""

Lengths = list[int] | None
_lengths: ContextVar[Lengths] = ContextVar("turncoat_lengths", default=None)

_OTHER_ATTENTION = ("softcap", "s_aux", "position_bias")  # what a few models add to plain attention


class _AdaptedLinear(torch.autograd.Function):
    """x W^T + b + (x A^T) B^T with W and b frozen; x (..., in), W (out, in), A (r, in), B (out, r)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        low = rows @ a.T
        ctx.save_for_backward(x, weight, a, b, low)
        return functional.linear(rows, weight, bias).addmm_(low, b.T).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, b, low = ctx.saved_tensors
        needs_x, _, _, needs_a, needs_b = ctx.needs_input_grad
        out = grads[0].reshape(-1, grads[0].shape[-1])
        through = out @ b
        return (
            (out @ weight).addmm_(through, a).view_as(x) if needs_x else None,
            None,
            None,
            through.T @ x.reshape(-1, x.shape[-1]) if needs_a else None,
            out.T @ low if needs_b else None,
        )


class _Attention(torch.autograd.Function):
    """Softmax attention, one text at a time; the backward pass computes the probabilities again.

    Query (rows, heads, T, d); keys and values (rows, groups, S, d); a mask (rows or 1, 1, T, S) that is added
    to the scores; `lengths` of the texts where they lie end to end in one row.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float, lengths: Lengths
    ) -> Tensor:
        ctx.save_for_backward(query, key, value, mask)
        ctx.scale, ctx.lengths = scale, lengths
        out = query.new_empty(query.shape[0], query.shape[2], query.shape[1], value.shape[-1]).transpose(1, 2)
        texts = (_texts(x, lengths) for x in (query, key, value, out))
        for q, k, v, into, hidden in zip(*texts, _masks(mask, len(query), lengths), strict=True):
            into.copy_((_weights(q, k, hidden, scale) @ v).view_as(into))
        return out.transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, mask = ctx.saved_tensors
        results = [torch.empty_like(saved) for saved in (query, key, value)]
        texts = (_texts(x, ctx.lengths) for x in (query, key, value, grads[0].transpose(1, 2), *results))
        masks = _masks(mask, len(query), ctx.lengths)
        for q, k, v, grad, to_q, to_k, to_v, hidden in zip(*texts, masks, strict=True):
            out = _grouped(grad, len(k))
            weights = _weights(q, k, hidden, ctx.scale)
            to_v.copy_(weights.mT @ out)
            scores = torch._softmax_backward_data(out @ v.mT, weights, -1, weights.dtype).mul_(ctx.scale)
            to_q.copy_((scores @ k).view_as(q))
            to_k.copy_(scores.mT @ _grouped(q, len(k)))
        return *results, None, None, None


def _texts(x: Tensor, lengths: Lengths) -> Sequence[Tensor]:
    """(rows, heads, T, d) as one tensor (heads, length, d) for each text."""
    return list(x) if lengths is None else x[0].split(lengths, 1)


def _masks(mask: Tensor, rows: int, lengths: Lengths) -> list[Tensor]:
    """One mask (1, T, S) for each text."""
    if lengths is None:
        return list(mask.expand(rows, -1, -1, -1))
    ends = list(accumulate(lengths, initial=0))
    return [mask[0, :, start:end, start:end] for start, end in pairwise(ends)]


def _grouped(x: Tensor, groups: int) -> Tensor:
    """(heads, T, d) as (groups, heads / groups x T, d): the heads of a group share its keys and values."""
    return x.reshape(groups, -1, x.shape[-1])


def _weights(query: Tensor, key: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Attention probabilities of one text (groups, heads / groups x T, S)."""
    shape = (len(key), len(query) // len(key), query.shape[1], key.shape[1])
    scores = (_grouped(query, len(key)) @ key.mT).mul_(scale).view(shape).add_(mask)
    return scores.softmax(-1).flatten(1, 2)


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None, dropout: float = 0.0, **options: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    if attention_mask is None or dropout or any(options.get(name) is not None for name in _OTHER_ATTENTION):
        plain = sys.modules[type(module).__module__].eager_attention_forward
        result: tuple[Tensor, None] = plain(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **options
        )
        return result
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return _Attention.apply(query, key, value, attention_mask, scale, _lengths.get()), None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, eager_mask)


def _forward(layer: LoraLinear, x: Tensor, *args: Any, **options: Any) -> Tensor:
    names = [name for name in layer.active_adapters if name in layer.lora_A]
    base = layer.get_base_layer()
    if args or options or layer.disable_adapters or layer.merged or not names or x.dtype != base.weight.dtype:
        return LoraLinear.forward(layer, x, *args, **options)
    down = [cast(Tensor, layer.lora_A[name].weight) for name in names]
    up = [cast(Tensor, layer.lora_B[name].weight) * layer.scaling[name] for name in names]
    a, b = torch.cat(down), torch.cat(up, dim=1)
    result: Tensor = _AdaptedLinear.apply(x, base.weight, base.bias, a.to(x.dtype), b.to(x.dtype))
    return result


@contextmanager
def fused(model: PreTrainedModel) -> Iterator[None]:
    """Within this block the LoRA layers on `model` are this module's, on a CPU its attention too.

    On a CPU and short texts, plain matrix products take less time backwards than torch's fused attention.
    """
    layers = [
        layer
        for layer in model.modules()
        if type(layer) is LoraLinear and type(layer.get_base_layer()) is nn.Linear
    ]
    attention = model.config._attn_implementation
    ours = attention == "sdpa" and model.device.type == "cpu"
    for layer in layers:
        layer.forward = partial(_forward, layer)  # type: ignore[method-assign]
    try:
        if ours:
            model.set_attn_implementation(ATTENTION)
        yield
    finally:
        if ours:
            model.set_attn_implementation(attention)
        for layer in layers:
            del layer.forward


@contextmanager
def end_to_end(lengths: Lengths) -> Iterator[None]:
    """Within this block a row of this module's attention holds texts of these lengths, or one if None."""
    token = _lengths.set(lengths)
    try:
        yield
    finally:
        _lengths.reset(token)
