"""LoRA layers and attention with one hand-written gradient each, for less time and memory.

PEFT casts each layer's input to float32, multiplies there and casts the sum back. On a CPU these casts, and
the copies that they leave for the backward pass, cost as much as the matrix products. Here the adapter's
float32 weights are rounded to the base's precision on use, its product is added in place, and an input is
kept once for all layers that share it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

ATTENTION = "turncoat_training"
"""Name under which transformers knows this module's attention."""

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
    to the scores.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(query, key, value, mask)
        ctx.scale = scale
        out = query.new_empty(query.shape[0], query.shape[2], query.shape[1], value.shape[-1])
        for row in range(len(query)):
            mixed = _weights(query[row], key[row], mask[row % len(mask)], scale) @ value[row]
            out[row] = mixed.view(query.shape[1], query.shape[2], -1).transpose(0, 1)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, mask = ctx.saved_tensors
        results = [torch.empty_like(saved) for saved in (query, key, value)]
        for row, grad in enumerate(grads[0]):
            q = _grouped(query[row], len(key[row]))
            out = _grouped(grad.transpose(0, 1), len(key[row]))
            weights = _weights(query[row], key[row], mask[row % len(mask)], ctx.scale)
            results[2][row] = weights.transpose(1, 2) @ out
            scores = torch._softmax_backward_data(out @ value[row].mT, weights, -1, weights.dtype)
            results[0][row] = (scores @ key[row]).mul_(ctx.scale).view_as(query[row])
            results[1][row] = (scores.mT @ q).mul_(ctx.scale)
        return *results, None, None


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
    scaling: float, dropout: float = 0.0, **options: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    if attention_mask is None or dropout or any(options.get(name) is not None for name in _OTHER_ATTENTION):
        plain = sys.modules[type(module).__module__].eager_attention_forward
        result: tuple[Tensor, None] = plain(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **options
        )
        return result
    return _Attention.apply(query, key, value, attention_mask, scaling), None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, eager_mask)


def _forward(layer: LoraLinear, x: Tensor, *args: Any, **options: Any) -> Tensor:
    names = [name for name in layer.active_adapters if name in layer.lora_A]
    base = layer.get_base_layer()
    if args or options or layer.disable_adapters or layer.merged or not names or x.dtype != base.weight.dtype:
        return LoraLinear.forward(layer, x, *args, **options)
    a = torch.cat([layer.lora_A[name].weight for name in names])
    b = torch.cat([layer.lora_B[name].weight * layer.scaling[name] for name in names], dim=1)
    result: Tensor = _AdaptedLinear.apply(x, base.weight, base.bias, a.to(x.dtype), b.to(x.dtype))
    return result


@contextmanager
def fused(model: PreTrainedModel) -> Iterator[None]:
    """Within this block the LoRA layers on `model` are this module's, on a CPU its attention too.

    torch's fused attention takes twice as long backwards on a CPU as plain matrix products on short texts.
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
