"""Fixtures of the interventions' tests: a tiny model that is found as it was, and its states."""

import torch
from turncoat.engine.capture import LayerCapture

IDS = torch.tensor([[5, 9, 200, 33, 14, 7], [61, 300, 12, 8, 4, 77]])


def hook_count(model: torch.nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def states(model: torch.nn.Module, ids: torch.Tensor = IDS) -> list[torch.Tensor]:
    with torch.inference_mode(), LayerCapture(model) as capture:
        model(ids)
        return list(capture.states)


def unit_rows(seed: int) -> torch.Tensor:
    """A direction for each layer of the tiny model."""
    rows = torch.randn(5, 64, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=-1)
