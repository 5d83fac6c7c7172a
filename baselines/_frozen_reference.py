"""Shared parts of the penalties against the frozen model: their weight, and a relative distance of states.

weight = checked_weight("ldifs", 1.0)
relative_distance(now, frozen).mean()     # 0.01 = a tenth of the frozen vectors' length, squared
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from turncoat.defences import UserError


def checked_weight(name: str, weight: Any) -> float:
    """The option `weight` of defence `name` as a float above 0.

    Raises:
        UserError: It is something else.
    """
    if (
        isinstance(weight, bool)
        or not isinstance(weight, int | float)
        or not math.isfinite(weight)
        or weight <= 0
    ):
        raise UserError(
            f"defence '{name}', weight: {weight!r} is not accepted; give a number above 0, or leave the "
            "defence out for the finetune without a penalty"
        )
    return float(weight)


def relative_distance(now: Tensor, frozen: Tensor) -> Tensor:
    """Squared distance of each vector to its frozen counterpart, over the frozen vector's squared norm.

    One ratio for each position: some models carry a first token a thousand times longer than the others, and
    one ratio of sums would measure that token alone.

    Args:
        now: (..., d), any float type; gradients flow through it.
        frozen: (..., d).

    Returns:
        (...) float32, without unit.
    """
    reference = frozen.detach().float()
    squared = (now.float() - reference).square().sum(-1)
    return squared / reference.square().sum(-1).clamp_min(1e-12)
