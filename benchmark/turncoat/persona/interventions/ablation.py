"""Ablation: remove a direction from the residual stream, at many layers, inside a `with` block.

with ablated(model, layers=range(31), directions=evil, positions="all"):
    model.generate(...)     # at every listed layer the state has no component along the direction

h <- h - (h . v) v with v of unit length. Sources: Arditi et al. 2024, arXiv:2406.11717, section 2.4 (one
direction, at every layer and position); the `ablate` option of arXiv:2507.21509's code. Theirs takes the
direction out of every write, so of the state between attention and MLP too; ours acts at the outputs of whole
blocks and, as layer 0, at the embedding output.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from turncoat.engine.intervention import Intervention
from turncoat.errors import UserError
from turncoat.persona.interventions.steering import (
    changed,
    check_layers,
    check_positions,
    check_width,
    described_positions,
    tensor_sha,
)


@dataclass(frozen=True)
class Ablation(Intervention):
    """Ablation as an intervention: directions, their layers and positions."""

    trait: str  # Name of the persona vector
    layers: tuple[int, ...]  # 0 = the embedding output, L = the output of block L
    directions: Tensor = field(repr=False)  # (layers, d), one for each of `layers`, of any length above 0
    positions: str = "all"  # "all", "response" or "assistant" (defined at `steering.changed`)
    # For "assistant": what `generation_header` gives for the model's tokenizer
    header_tokens: tuple[int, ...] = ()

    def described(self) -> dict[str, Any]:
        """All fields for results files and stage keys, the directions by hash."""
        return {
            "ablated": self.trait,
            "layers": list(self.layers),
            **described_positions(self.positions, self.header_tokens),
            "vector_sha": tensor_sha(self.directions),
        }

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Ablate inside the scope."""
        with ablated(model, self.layers, self.directions, self.positions, self.header_tokens):
            yield


@contextmanager
def ablated(
    model: nn.Module,
    layers: Sequence[int],
    directions: Tensor,
    positions: str = "all",
    header_tokens: Sequence[int] = (),
) -> Iterator[None]:
    """Within this block the states at `layers` have no component along their direction; the hooks are removed
    on leaving.

    It acts before any other hook, so captured states are the ablated ones.

    Args:
        layers: 0 to the number of blocks.
        directions: (layers, d); scaled to unit length.

    Raises:
        UserError: There is no such layer, a direction is zero or of another width, or a value is out of
            range.
    """
    check_layers(model, layers, what="ablation", lowest=0)
    check_positions(positions, header_tokens, what="ablation")
    units = dict(zip(layers, unit_directions(model, layers, directions, what="ablation"), strict=True))

    def project_out(layer: int, state: Tensor) -> Tensor:
        unit = units[layer].to(state.device)
        return (state.float() - along(state, unit) * unit).to(state.dtype)

    with changed(model, layers, project_out, positions, header_tokens=header_tokens):
        yield


def along(state: Tensor, unit: Tensor) -> Tensor:
    """(..., 1) float32: component of (..., d) states along a unit vector.

    A sum over each row by itself, and no matrix product: those give a row other bits in another batch.
    """
    return (state.float() * unit).sum(-1, keepdim=True)


def unit_directions(model: nn.Module, layers: Sequence[int], directions: Tensor, *, what: str) -> Tensor:
    """(layers, d) float32 on the model's device, each of unit length.

    Raises:
        UserError: They do not fit the layers or the model, or one is zero or not finite.
    """
    check_width(model, directions, 2, what=f"{what} directions")
    if len(directions) != len(layers):
        raise UserError(
            f"{what}: {len(directions)} directions for {len(layers)} layers; give one for each layer"
        )
    # Looked at where they are: a model that is only planned with has no values.
    wide = directions.to(torch.float32)
    norms = wide.norm(dim=-1, keepdim=True)
    if not bool(((norms > 0) & norms.isfinite()).all()):
        raise UserError(f"{what}: a direction is zero or not finite; extract the persona vector again")
    return (wide / norms).to(next(model.parameters()).device)
