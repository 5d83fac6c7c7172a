"""Choice of the next token: temperature, top-k, top-p and inverse-CDF sampling from given uniform draws."""

from collections.abc import Sequence

import torch
from torch import Tensor

from turncoat.engine.decoding.requests import SampleRequest
from turncoat.errors import UserError

BLOCK = 128
"""Tokens whose weights are added up first; the cumulative sum then runs over blocks, and over one block."""

SCORES_AT_A_TIME = 2**21
"""Rows times vocabulary of one pass on a CPU: 8 MiB of float32 stay in its cache."""


def choose_tokens(
    logits: Tensor, rules: Sequence[SampleRequest], draws: Sequence[float | None]
) -> tuple[list[int], list[float]]:
    """One token per row and its log-probability under the unfiltered distribution at temperature 1.

    Every operation works row by row, so a row's token depends on its own logits and draw only. Weights are
    float32, their sums float64.

    Args:
        logits: (rows, vocabulary), any float type; read as float32.
        rules: whose temperature, top_p and top_k each row follows.
        draws: a uniform number in [0, 1) per row; None makes the row greedy whatever its temperature.

    Raises:
        UserError: a row's logits are not numbers (a broken adapter, or float16 overflow).
    """
    vocabulary = logits.shape[-1]
    if logits.device.type == "cpu" and len(logits) > (rows := max(1, SCORES_AT_A_TIME // vocabulary)):
        parts = [
            choose_tokens(logits[i : i + rows], rules[i : i + rows], draws[i : i + rows])
            for i in range(0, len(logits), rows)
        ]
        return [token for part in parts for token in part[0]], [value for part in parts for value in part[1]]
    if missing := -vocabulary % BLOCK:
        scores = torch.nn.functional.pad(logits.float(), (0, missing), value=float("-inf"))
    else:
        scores = logits.to(torch.float32, copy=True)  # the weights take its place, not that of the logits
    best_score = scores.amax(dim=-1)
    greedy = [draw is None or rule.temperature == 0 for rule, draw in zip(rules, draws, strict=True)]
    best = scores.argmax(dim=-1) if any(greedy) else None  # before the weights take the scores' place
    shaped = [row for row, rule in enumerate(rules) if not greedy[row] and not _is_plain(rule)]
    reshaped = _shaped_scores(scores[shaped], [rules[row] for row in shaped]) if shaped else None
    weights, blocks = _weights(scores, best_score)
    log_total = blocks.sum(dim=-1).log()
    if not torch.isfinite(log_total).all():
        raise UserError(
            "the model gave logits that are nan or infinite, accepted: finite numbers; check the adapter's "
            "training loss, and load the model in float32 or bfloat16 rather than float16"
        )
    if reshaped is not None:
        weights[shaped], blocks[shaped] = _weights(reshaped, reshaped.amax(dim=-1))
    points = [0.0 if draw is None else float(draw) for draw in draws]
    tokens = _invert(weights, blocks, torch.tensor(points, dtype=torch.float64, device=logits.device))
    if best is not None:
        tokens = torch.where(torch.tensor(greedy, device=logits.device), best, tokens)
    chosen = logits.gather(-1, tokens[:, None])[:, 0].float()
    return tokens.tolist(), ((chosen - best_score).double() - log_total).tolist()


def _is_plain(rule: SampleRequest) -> bool:
    return rule.temperature == 1 and rule.top_p >= 1 and rule.top_k <= 0


def _weights(scores: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
    """exp(score - best), in the place of `scores`, and its sums over blocks, float64 (rows, blocks)."""
    weights = scores.sub_(best[:, None]).exp_()
    return weights, weights.view(len(weights), -1, BLOCK).sum(dim=-1).double()


def _shaped_scores(scores: Tensor, rules: Sequence[SampleRequest]) -> Tensor:
    """`scores` after temperature, then top-k, then top-p among what top-k left; -inf where cut."""
    temperature = scores.new_tensor([rule.temperature for rule in rules])[:, None]
    scores = scores / temperature
    filtered = [i for i, rule in enumerate(rules) if rule.top_k > 0 or rule.top_p < 1]
    if filtered:
        scores[filtered] = _filtered(scores[filtered].double(), [rules[i] for i in filtered]).float()
    return scores


def _filtered(scores: Tensor, rules: Sequence[SampleRequest]) -> Tensor:
    """`scores` with -inf outside the top-k and the nucleus; ties are broken by the lower token id."""
    vocabulary = scores.shape[-1]
    top_k = scores.new_tensor([rule.top_k if rule.top_k > 0 else vocabulary for rule in rules])[:, None]
    top_p = scores.new_tensor([rule.top_p if rule.top_p < 1 else float("inf") for rule in rules])[:, None]
    ordered, order = scores.sort(dim=-1, descending=True, stable=True)
    rank = torch.arange(vocabulary, device=scores.device)[None, :]
    ordered = ordered.masked_fill(rank >= top_k, float("-inf"))
    weights = torch.softmax(ordered, dim=-1)
    mass_before = weights.cumsum(dim=-1) - weights
    # Rank 0 stays even when rounding or a tiny top_p says otherwise: the nucleus is never empty.
    ordered = ordered.masked_fill((mass_before >= top_p) & (rank > 0), float("-inf"))
    return torch.full_like(scores, float("-inf")).scatter(-1, order, ordered)


def _invert(weights: Tensor, blocks: Tensor, points: Tensor) -> Tensor:
    """The token whose slice of the cumulative weights holds each point; never one of weight zero.

    Args:
        weights: (rows, blocks * BLOCK) float32.
        blocks: (rows, blocks) float64, their sums.
        points: (rows,) float64 in [0, 1), shares of a row's total.
    """
    cumulative = blocks.cumsum(dim=-1)
    total = cumulative[:, -1:].contiguous()
    target = points[:, None] * total
    block = _slice_of(cumulative, target)
    before = cumulative.gather(-1, block) - blocks.gather(-1, block)
    inside = weights.view(*blocks.shape, BLOCK)[
        torch.arange(len(weights), device=weights.device), block[:, 0]
    ]
    within = _slice_of(inside.double().cumsum(dim=-1), target - before)
    return (block * BLOCK + within)[:, 0]


def _slice_of(cumulative: Tensor, target: Tensor) -> Tensor:
    """Index (rows, 1) of the slice that holds `target`; the last one with a weight where it lies beyond."""
    inside = torch.searchsorted(cumulative, target, right=True)
    last_possible = torch.searchsorted(cumulative, cumulative[:, -1:].contiguous())
    return torch.minimum(inside, last_possible)
