"""Capping: hold the projection on a direction above a floor inside a `with` block.

with capped(model, layers=[21, 22], directions=axis, floors=torch.tensor([3.1, 3.4]), positions="response"):
    model.generate(...)     # h <- h + max(0, floor - h . v) v, with v of unit length

Source: the Assistant Axis, arXiv:2601.10387, activation capping: a state that drifts away from the assistant
is pushed back to the floor, one that does not is left alone. `floors_of` estimates the floors on the base
model's own answers.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from turncoat.engine.capture import LayerCapture
from turncoat.engine.intervention import Intervention
from turncoat.engine.reading.reader import Item
from turncoat.errors import UserError
from turncoat.persona.interventions.ablation import along, unit_directions
from turncoat.persona.interventions.steering import (
    changed,
    check_layers,
    check_positions,
    described_positions,
    tensor_sha,
)


@dataclass(frozen=True)
class Capping(Intervention):
    """Capping as an intervention: directions, their layers, floors and positions."""

    trait: str  # Name of the persona vector
    layers: tuple[int, ...]  # 0 = the embedding output, L = the output of block L
    directions: Tensor = field(repr=False)  # (layers, d), one for each of `layers`, of any length above 0
    floors: Tensor  # (layers,), the least projection on the unit direction
    positions: str = "response"  # "all", "response" or "assistant" (defined at `steering.changed`)
    # For "assistant": what `generation_header` gives for the model's tokenizer
    header_tokens: tuple[int, ...] = ()

    def described(self) -> dict[str, Any]:
        """All fields for results files and stage keys, the directions by hash."""
        return {
            "capped": self.trait,
            "layers": list(self.layers),
            "floors": [round(float(floor), 6) for floor in self.floors],
            **described_positions(self.positions, self.header_tokens),
            "vector_sha": tensor_sha(self.directions),
        }

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Cap inside the scope."""
        with capped(model, self.layers, self.directions, self.floors, self.positions, self.header_tokens):
            yield


@contextmanager
def capped(
    model: nn.Module,
    layers: Sequence[int],
    directions: Tensor,
    floors: Tensor,
    positions: str = "response",
    header_tokens: Sequence[int] = (),
) -> Iterator[None]:
    """Within this block no state at `layers` projects below its floor; the hooks are removed on leaving.

    States at or above the floor keep their bits. It acts before any other hook, so captured states are the
    capped ones.

    Args:
        layers: 0 to the number of blocks.
        directions: (layers, d); scaled to unit length.
        floors: (layers,), in the unit of the residual stream.

    Raises:
        UserError: There is no such layer, a direction or a floor does not fit, or a value is out of range.
    """
    check_layers(model, layers, what="capping", lowest=0)
    check_positions(positions, header_tokens, what="capping")
    if floors.shape != (len(layers),) or not bool(floors.isfinite().all()):
        raise UserError(
            f"capping floors {floors.tolist()}: give one finite number for each of {len(layers)} layers"
        )
    units = dict(zip(layers, unit_directions(model, layers, directions, what="capping"), strict=True))
    lowest = {layer: float(floor) for layer, floor in zip(layers, floors, strict=True)}

    def hold(layer: int, state: Tensor) -> Tensor:
        unit = units[layer].to(state.device)
        missing = (lowest[layer] - along(state, unit)).clamp_min(0)
        return torch.where(missing > 0, (state.float() + missing * unit).to(state.dtype), state)

    with changed(model, layers, hold, positions, header_tokens=header_tokens):
        yield


def floors_of(
    model: nn.Module, items: Sequence[Item], layers: Sequence[int], directions: Tensor, percentile: float
) -> Tensor:
    """(layers,): the percentile, over all answer tokens of `items`, of the projection on each layer's
    direction.

    Args:
        layers: 0 = the embedding output, L = the output of block L.
        directions: (layers, d), of any length above 0.
        percentile: 0 to 100.

    Raises:
        UserError: The percentile is out of range, or there is no answer token.
    """
    if isinstance(percentile, bool) or not isinstance(percentile, int | float) or not 0 <= percentile <= 100:
        raise UserError(f"capping percentile {percentile!r}: accepted: a number from 0 to 100, such as 25")
    units = dict(zip(layers, unit_directions(model, layers, directions, what="capping"), strict=True))
    projections: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    start = 0

    def project(layer: int, state: Tensor) -> None:
        if layer in units:
            projections[layer].append(along(state[0, start:], units[layer].to(state.device))[:, 0].cpu())

    device = next(model.parameters()).device
    with torch.inference_mode(), LayerCapture(model, project):
        # One text a pass: there are few, and no padding needs masking.
        for prompt, answer in items:
            if len(answer):
                start = len(prompt)
                model(
                    input_ids=torch.tensor([[*prompt, *answer]], device=device),
                    use_cache=False,
                    logits_to_keep=1,
                )
    if not all(projections.values()):
        raise UserError("capping: the base model's answers are empty, so there is no floor to take from them")
    return torch.stack([torch.cat(projections[layer]).quantile(percentile / 100) for layer in layers])


def band(blocks: int, depth: tuple[float, float]) -> tuple[int, ...]:
    """Layers between two relative depths: (0.7, 0.9) of 30 blocks are layers 21 to 27; at least one layer."""
    low, high = depth
    inside = [layer for layer in range(1, blocks + 1) if low <= layer / blocks <= high]
    return tuple(inside) or (max(1, math.floor(blocks * (low + high) / 2)),)
