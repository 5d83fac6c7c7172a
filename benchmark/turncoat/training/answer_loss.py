"""Predictions of the answer tokens, and their loss in chunks.

Logits of a large vocabulary never lie there at once: 1,000 answer tokens of 152k words are 0.6 GB of float32
logits, and a plain cross entropy with its gradient holds five such tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

CHUNK = 2**24
"""Most logits that the loss holds at once (64 MiB as float32)."""


@dataclass
class Predictions:
    """Predictions of a pass for the answer tokens, row by row.

    Attributes:
        states: (answer tokens, d), the input of the output embedding `head`; logits are computed when they
            are needed.
        head: The output embedding; None where a model does more to its logits (it caps or scales them, or an
            adapter lies on it). `states` are then the finished logits.
    """

    states: Tensor
    head: nn.Linear | None

    @cached_property
    def logits(self) -> Tensor:
        """(answer tokens, vocabulary) float32, with a gradient where the pass has one."""
        return (self.states if self.head is None else self.head(self.states)).float()

    def loss(self, targets: Tensor) -> Tensor:
        """Summed negative log-likelihood of the answer tokens `targets` (answer tokens,), in nats."""
        if self.head is None:
            return functional.cross_entropy(self.logits, targets, reduction="sum")
        result: Tensor = _ChunkedLoss.apply(self.states, self.head.weight, self.head.bias, targets)
        return result


class _ChunkedLoss(torch.autograd.Function):
    """Summed cross entropy of a frozen linear layer; the gradient is computed on the way, chunk by chunk."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        grad = torch.empty_like(states)
        total = states.new_zeros((), dtype=torch.float32)
        size = max(1, CHUNK // len(weight))
        for part, target, into in zip(states.split(size), targets.split(size), grad.split(size), strict=True):
            scores = functional.linear(part, weight, bias)
            chances = scores.softmax(-1, dtype=torch.float32)
            norm = scores.amax(-1, keepdim=True) - chances.amax(-1, keepdim=True).log()  # log-sum-exp
            places = target[:, None]
            total += (norm - scores.gather(1, places)).sum()
            chances.scatter_add_(1, places, -torch.ones_like(norm))
            into.copy_(chances.to(weight.dtype) @ weight)
        ctx.save_for_backward(grad)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = ctx.saved_tensors
        return grad * grads[0].to(grad.dtype), None, None, None
