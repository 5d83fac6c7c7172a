"""Choice of the next token: temperature, top-k, top-p and inverse-CDF sampling from given uniform draws."""

from collections.abc import Sequence

import torch
from torch import Tensor

from turncoat.engine.requests import SampleRequest
from turncoat.errors import UserError


def choose_tokens(
    logits: Tensor, rules: Sequence[SampleRequest], draws: Sequence[float | None]
) -> tuple[list[int], list[float]]:
    """One token per row and its log-probability under the unfiltered distribution at temperature 1.

    Every operation works row by row in float64, so a row's token depends on its own logits and draw only.

    Args:
        logits: (rows, vocabulary), any float type; read as float32.
        rules: whose temperature, top_p and top_k each row follows.
        draws: a uniform number in [0, 1) per row; None makes the row greedy whatever its temperature.

    Raises:
        UserError: a row's logits are not numbers (a broken adapter, or float16 overflow).
    """
    scores = logits.float().double()
    best_score, best = scores.max(dim=-1)
    weights = torch.softmax(scores, dim=-1)
    # The best token's probability is at least 1/vocabulary, so its logarithm gives the normaliser without
    # underflow.
    log_best = weights.gather(-1, best[:, None])[:, 0].log()
    if not torch.isfinite(log_best).all():
        raise UserError(
            "the model gave logits that are nan or infinite, accepted: finite numbers; check the adapter's "
            "training loss, and load the model in float32 or bfloat16 rather than float16"
        )

    greedy = [draw is None or rule.temperature == 0 for rule, draw in zip(rules, draws, strict=True)]
    shaped = [i for i, rule in enumerate(rules) if not greedy[i] and not _is_plain(rule)]
    if shaped:
        weights[shaped] = _shaped_weights(scores[shaped], [rules[i] for i in shaped])
    points = [0.0 if greedy[i] or draw is None else float(draw) for i, draw in enumerate(draws)]
    drawn = _invert(weights, torch.tensor(points, dtype=torch.float64, device=logits.device))
    tokens = torch.where(torch.tensor(greedy, device=logits.device), best, drawn)
    logprobs = scores.gather(-1, tokens[:, None])[:, 0] - best_score + log_best
    return tokens.tolist(), logprobs.tolist()


def _is_plain(rule: SampleRequest) -> bool:
    return rule.temperature == 1 and rule.top_p >= 1 and rule.top_k <= 0


def _shaped_weights(scores: Tensor, rules: Sequence[SampleRequest]) -> Tensor:
    """Probabilities (rows, vocabulary) after temperature, then top-k, then top-p among what top-k left."""
    temperature = scores.new_tensor([rule.temperature for rule in rules])[:, None]
    scores = scores / temperature
    filtered = [i for i, rule in enumerate(rules) if rule.top_k > 0 or rule.top_p < 1]
    if filtered:
        scores[filtered] = _filtered(scores[filtered], [rules[i] for i in filtered])
    return torch.softmax(scores, dim=-1)


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


def _invert(weights: Tensor, points: Tensor) -> Tensor:
    """The token whose slice of the cumulative `weights` holds each point; never one of weight zero."""
    cumulative = weights.cumsum(dim=-1)
    total = cumulative[:, -1:].contiguous()
    inside = torch.searchsorted(cumulative, points[:, None] * total, right=True)
    last_possible = torch.searchsorted(cumulative, total)
    return torch.minimum(inside, last_possible)[:, 0]
