"""Persona vector from texts: aligned and misaligned answers to the same questions, read by the base model.

    made = from_texts(states)          # states: (2, pairs, layers + 1, d); [0] aligned, [1] misaligned
    made.directions[layer] @ state

At each layer the direction is Fisher's linear discriminant, with the correlations within the sides halved:
S^-1 (R + I)^-1 S^-1 (mean misaligned - mean aligned), R the correlations of the dimensions within the sides
and S their standard deviations. A plain difference of means is led by the few dimensions of
large variance, which carry style.

Source: Hastie, Tibshirani & Friedman (2009), The Elements of Statistical Learning, section 4.3.1 (regularised
discriminant analysis).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from turncoat.persona.quality import CONTROLS

FOLDS = 4
_SEED = 0


@dataclass(frozen=True)
class TextDirections:
    """Directions with their test on pairs that they were not made from. Lists are over layers."""

    directions: Tensor  # (layers + 1, d) float32, unit length
    auc: list[float]  # Share of held-out pairs whose misaligned answer lies higher
    gap: list[float]  # Mean over standard deviation of a held-out pair's difference
    controls: dict[str, list[float]]  # `auc` of random directions and of vectors from shuffled sides
    split_half_cosine: list[float]


def from_texts(states: Tensor, controls: int = CONTROLS) -> TextDirections:
    """Directions at every layer, tested in four folds over the questions.

    Args:
        states: (2, pairs, layers + 1, d) mean states of the aligned [0] and the misaligned [1] answers.
        controls: Random directions, and vectors made from pairs whose sides were swapped at random, per
            layer: what any direction ranks right, and what the procedure does where there is nothing.
    """
    generator = torch.Generator().manual_seed(_SEED)
    folds = torch.arange(states.shape[1]) % FOLDS
    swaps = torch.randint(0, 2, (controls, states.shape[1]), generator=generator) * 2.0 - 1
    directions, differences, cosines = [], [], []
    control: dict[str, list[float]] = {
        name: [] for name in ("random_mean", "random_p95", "shuffled_mean", "shuffled_p95")
    }
    for layer in range(states.shape[2]):
        low, high = states[:, :, layer].float()
        directions.append(discriminant(low, high))
        held_out = torch.empty(len(low))
        shuffled = torch.empty(controls, len(low))
        for fold in range(FOLDS):
            seen, unseen = folds != fold, folds == fold
            even = _evening(low[seen], high[seen])
            made = torch.cat([torch.ones(1, int(seen.sum())), swaps[:, seen]]) @ (high - low)[seen] @ even
            ranked = torch.nn.functional.normalize(made, dim=-1) @ (high - low)[unseen].T
            held_out[unseen], shuffled[:, unseen] = ranked[0], ranked[1:]
        differences.append(held_out)
        random = torch.randn(controls, low.shape[1], generator=generator) @ (high - low).T
        for name, ranked in (("random", random), ("shuffled", shuffled)):
            shares = _ranked_right(ranked)
            control[f"{name}_mean"].append(round(float(shares.mean()), 4))
            control[f"{name}_p95"].append(round(float(shares.quantile(0.95)), 4))
        halves = [discriminant(low[k::2], high[k::2]) for k in (0, 1)]
        cosines.append(round(float(halves[0] @ halves[1]), 4))
    held = torch.stack(differences)
    return TextDirections(
        torch.stack(directions),
        [round(float(share), 4) for share in _ranked_right(held)],
        [round(float(gap), 4) for gap in held.mean(1) / held.std(1).clamp_min(1e-12)],
        control, cosines,
    )  # fmt: skip


def discriminant(low: Tensor, high: Tensor) -> Tensor:
    """(d,) unit direction from two sides, each (n, d)."""
    return torch.nn.functional.normalize((high - low).mean(0) @ _evening(low, high), dim=0)


def _evening(low: Tensor, high: Tensor) -> Tensor:
    """(d, d) matrix that turns the difference of the means into the discriminant."""
    centred = torch.cat([low - low.mean(0), high - high.mean(0)])
    sd = centred.std(0).clamp_min(1e-6)
    centred = centred / sd
    correlations = centred.T @ centred / len(centred)
    return torch.linalg.inv(correlations + torch.eye(len(sd))) / sd / sd[:, None]


def _ranked_right(differences: Tensor) -> Tensor:
    """Share of positive differences in each row, ties counted half."""
    return (differences > 0).float().mean(-1) + 0.5 * (differences == 0).float().mean(-1)
