"""Quality of a direction: AUC on held-out answers, beside random directions and shuffled labels.

A direction made from some prompts and questions is tested on answers under other prompts to other questions.
Beside its AUC stand two controls: random directions (how far any direction gets in so anisotropic a space)
and directions made the same way from shuffled labels (how far the procedure gets when there is nothing to
find).
"""

from dataclasses import dataclass

import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

CONTROLS = 200  # random directions, and shufflings, per layer
_BLOCK = 2**24  # most comparisons held in memory at a time


@dataclass(frozen=True)
class HeldOut:
    """Answers split into those a tested direction is made from and those it is tested on."""

    seen: tuple[Tensor, Tensor]  # Mean activations of (positive, negative) answers, each (n, layers + 1, d)
    unseen: tuple[Tensor, Tensor]  # The same of answers under other prompts to other questions


def auc(higher: list[float], lower: list[float]) -> float:
    """Probability that a value of `higher` exceeds one of `lower` (Mann-Whitney U over the number of
    pairs)."""
    return float(mannwhitneyu(higher, lower, method="asymptotic").statistic / (len(higher) * len(lower)))


def held_out_quality(answers: HeldOut, *, controls: int = CONTROLS, seed: int = 0) -> dict[str, list[float]]:
    """AUC on unseen answers and AUC of the two controls, per layer.

    Returns:
        Lists over layers: `auc`; `gap`, the distance between the means of the two sides in pooled SD (the AUC
        without its steps); `random_mean`, `random_p95`, `shuffled_mean`, `shuffled_p95`, the controls' AUC on
        average and at their 95th percentile.
    """
    generator = torch.Generator().manual_seed(seed)
    positive, negative = answers.unseen
    n, total = len(answers.seen[0]), len(answers.seen[0]) + len(answers.seen[1])
    signs = torch.full((total,), -1.0 / (total - n))
    signs[:n] = 1.0 / n
    shuffled = torch.stack([signs[torch.randperm(total, generator=generator)] for _ in range(controls)])
    result: dict[str, list[float]] = {
        name: [] for name in ("auc", "gap", "random_mean", "random_p95", "shuffled_mean", "shuffled_p95")
    }
    for layer in range(positive.shape[1]):
        seen = torch.cat([side[:, layer] for side in answers.seen])
        high, low = positive[:, layer], negative[:, layer]
        direction = signs @ seen
        up, down = high @ direction, low @ direction
        pooled = ((up.var() + down.var()) / 2).sqrt().clamp_min(1e-12)
        result["auc"].append(round(auc(up.tolist(), down.tolist()), 4))
        result["gap"].append(round(float((up.mean() - down.mean()) / pooled), 4))
        random = torch.randn(controls, seen.shape[1], generator=generator)
        for name, directions in (("random", random), ("shuffled", shuffled @ seen)):
            aucs = _aucs(directions @ high.T, directions @ low.T)
            result[f"{name}_mean"].append(round(float(aucs.mean()), 4))
            result[f"{name}_p95"].append(round(float(aucs.quantile(0.95)), 4))
    return result


def _aucs(higher: Tensor, lower: Tensor) -> Tensor:
    """(k,) AUC of each row of `higher` (k, n) over the same row of `lower` (k, m)."""
    rows = max(1, _BLOCK // (higher.shape[1] * lower.shape[1]))
    parts = []
    for up, down in zip(higher.split(rows), lower.split(rows), strict=True):
        difference = up[:, :, None] - down[:, None, :]
        parts.append(((difference > 0).float() + 0.5 * (difference == 0).float()).mean(dim=(1, 2)))
    return torch.cat(parts)


def split_half_cosine(positive: Tensor, negative: Tensor) -> list[float]:
    """Per layer: cosine between the difference vectors of every other answer and of the rest."""
    halves = [positive[k::2].mean(0) - negative[k::2].mean(0) for k in (0, 1)]
    return [round(float(x), 4) for x in torch.cosine_similarity(halves[0], halves[1], dim=-1)]
