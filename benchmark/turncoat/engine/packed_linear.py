"""Linear layers with weights laid out once for oneDNN, for passes over few rows on a CPU.

with packed_linears(model):   # the same bits as without, in less time
    model(...)

A plain bfloat16 product lays its weights out anew in every call; with few rows that takes as long as the
product itself. Inside the scope the weights are in memory twice, and laying them out takes time: callers with
little to do go without.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeGuard

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

ROWS = 64
"""Rows that the layout is chosen for."""


@contextmanager
def packed_linears(model: nn.Module) -> Iterator[None]:
    """A scope in which the model's bfloat16 linear layers on a CPU compute with laid-out weights.

    For inference alone: nothing is differentiated through them. Adapters' factors and layers of other types
    compute as before.
    """
    replaced: list[tuple[nn.Module, Any]] = []
    try:
        if torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported():
            for module in model.modules():
                forward = _forward(module) or _lora_forward(module)
                if forward is not None:
                    replaced.append((module, module.__dict__.get("forward")))
                    module.forward = forward
        yield
    finally:
        for module, earlier in replaced:
            if earlier is None:
                del module.forward
            else:
                module.forward = earlier


def _forward(module: nn.Module) -> Callable[..., Tensor] | None:
    """The forward of a plain linear layer with laid-out weights; None for other modules."""
    if not _fits(module):
        return None
    with torch.no_grad():
        weight = torch.ops.mkldnn._reorder_linear_weight(module.weight.detach(), ROWS)
    bias = module.bias

    def forward(rows: Tensor) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
        return product

    return forward


def _lora_forward(module: nn.Module) -> Callable[..., Tensor] | None:
    """The forward of PEFT's plain LoRA layer with fewer passes over its output; None for other modules.

    The same operations in float32 in the same order, so the same bits, with the sum and the scaling in place.
    """
    if type(module) is not LoraLinear or not _fits(module.base_layer):
        return None
    active = module.active_adapters
    if len(active) != 1 or active[0] in module.lora_variant or active[0] not in module.lora_A:
        return None
    down, second = module.lora_A[active[0]], module.lora_B[active[0]]
    if second.bias is not None or down.weight.dtype != torch.float32:
        return None
    plain, base = module.forward, module.base_layer
    first, up, scaling = down.weight.detach(), second.weight.detach(), module.scaling[active[0]]

    def forward(rows: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if module.disable_adapters or module.merged or kwargs:
            return plain(rows, *args, **kwargs)
        change = nn.functional.linear(nn.functional.linear(rows.float(), first), up)
        return change.mul_(scaling).add_(base(rows)).to(rows.dtype)

    return forward


def _fits(module: nn.Module) -> TypeGuard[nn.Linear]:
    """True for a plain linear layer in bfloat16 on a CPU that nothing trains."""
    if type(module) is not nn.Linear:
        return False
    weight = module.weight
    return weight.dtype == torch.bfloat16 and weight.device.type == "cpu" and not weight.requires_grad
