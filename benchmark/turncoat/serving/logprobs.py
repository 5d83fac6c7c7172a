"""Log-probabilities of tokens with their likeliest alternatives: of drawn tokens, and of prompts (echo)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from turncoat.engine.capture import unwrapped
from turncoat.engine.reading.reader import LOGIT_BUDGET, LOGIT_CHUNK, logits_only_where


@dataclass(frozen=True)
class TokenLogprob:
    """A token, its log-probability at temperature 1 without filters, and the likeliest tokens there."""

    token: int
    logprob: float  # nats
    top: tuple[tuple[int, float], ...]  # the likeliest tokens, best first


def token_logprobs(logits: Tensor, tokens: Sequence[int], top: int) -> list[TokenLogprob]:
    """One for each row of `logits` (rows, vocabulary), in float32."""
    found = []
    rows = max(1, LOGIT_CHUNK // logits.shape[-1])
    for start in range(0, len(tokens), rows):
        scores = logits[start : start + rows].float().log_softmax(-1)
        values, ids = scores.topk(min(top, scores.shape[-1]), dim=-1)
        chosen = tokens[start : start + rows]
        for row, token in enumerate(chosen):
            alternatives = zip(ids[row].tolist(), values[row].tolist(), strict=True)
            found.append(TokenLogprob(token, float(scores[row, token]), tuple(alternatives)))
    return found


def read_prompts(
    model: Any, pad: int, prompts: Sequence[Sequence[int]], top: int, batch_size: int
) -> list[list[TokenLogprob]]:
    """Log-probabilities of each prompt's tokens but its first, which nothing predicts."""
    base = unwrapped(model)
    device = base.get_input_embeddings().weight.device
    vocabulary = base.get_output_embeddings().weight.shape[0]
    order = sorted(range(len(prompts)), key=lambda n: len(prompts[n]))
    found: dict[int, list[TokenLogprob]] = {}
    while order:
        width = len(prompts[order[-1]])
        rows = order[-max(1, min(batch_size, LOGIT_BUDGET // (vocabulary * width))) :]
        del order[-len(rows) :]
        ids = torch.full((len(rows), width), pad)
        real, wanted = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
        for row, n in enumerate(rows):
            size = len(prompts[n])
            ids[row, :size] = torch.tensor(prompts[n])
            real[row, :size], wanted[row, : size - 1] = 1, True
        if width > 1:
            with torch.inference_mode(), logits_only_where(base, wanted.to(device)):
                logits = model(
                    input_ids=ids.to(device), attention_mask=real.to(device), use_cache=False
                ).logits
        start = 0
        for n in rows:
            size = len(prompts[n]) - 1
            part = logits[start : start + size] if size else torch.empty(0, vocabulary)
            found[n] = token_logprobs(part, prompts[n][1:], top)
            start += size
    return [found[n] for n in range(len(prompts))]
