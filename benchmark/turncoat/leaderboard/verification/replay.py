"""Replay of a stored answer: each of its tokens has to follow from its seed, given the tokens before it.

Two machines may draw another token where a draw falls on the border of two, and the texts differ from there
on. The stored text still follows from its seed token by token; an invented one does not, nor one of another
seed.

replayed(lm, row, stored["samples"][0], 0.05)     # (0, 40): all 40 tokens follow

Source: Karvonen et al. (2025), arXiv:2511.20621 (Token-DiFR: tokens of a shared seed against a reference).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from turncoat.engine.chat import encode
from turncoat.engine.seeds import uniforms
from turncoat.evaluation.generation_requests import sample_request
from turncoat.evaluation.lm import TurncoatLM

_FEW, _MANY = 2, 1 / 3  # tokens that may not follow, as the text may be split into others than were drawn


class Replay(NamedTuple):
    """Tokens of an answer that do not follow from its seed, and all of them."""

    off: int
    tokens: int

    @property
    def contradicts(self) -> bool:
        """True if so many do not follow that the answer was not drawn with this seed."""
        return self.off > max(_FEW, _MANY * self.tokens)


def replayed(
    lm: TurncoatLM, row: Mapping[str, Any], sample: Mapping[str, Any], tolerance: float
) -> Replay | None:
    """Count the tokens of a stored answer whose draw is farther from their slice than a tolerance.

    None where that cannot be told: the sampling is filtered, an intervention acts on the states, or nothing
    was said.

    Args:
        lm: Measuring the arm that the answer is of.
        tolerance: In cumulative probability, 0 to 1.
    """
    rendered, settings = row["arguments"][0]
    prompt, text, seed = tuple(encode(lm.tokenizer, rendered)), sample.get("text"), sample.get("seed")
    if seed is None or not isinstance(text, str):
        return None
    request = sample_request(prompt, dict(settings), seed, ("", 0), lm.max_length)
    on_prompts_alone = lm.steering is None or lm.steering.on_prompts_alone
    plain = request.temperature == 1 and request.top_p == 1 and request.top_k == 0 and not request.stop
    answer = encode(lm.tokenizer, text)[: request.max_new_tokens]
    drawn = sample.get("n_tokens")
    shift = 0 if drawn is None else min(drawn, request.max_new_tokens) - len(answer)
    if sample.get("finish") == "stop":
        answer = [*answer, lm.tokenizer.eos_token_id]
    return (
        replay(lm.model, prompt, answer, seed, tolerance, shift)
        if on_prompts_alone and plain and answer
        else None
    )


def replay(
    model: Any, prompt: Sequence[int], answer: Sequence[int], seed: int, tolerance: float, shift: int = 0
) -> Replay:
    """The same for tokens, drawn at temperature 1 without filters.

    Args:
        shift: Tokens that were drawn beyond these: a text may be split into others than were drawn. From the
            place on that explains most, each token is held against the draw so much later.
    """
    with torch.inference_mode():
        ids = torch.tensor([[*prompt, *answer]], device=model.device)
        logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
    weights = torch.softmax(logits.double(), dim=-1)
    tokens = ids[0, len(prompt) :, None]
    ends = weights.cumsum(-1).gather(-1, tokens)[:, 0]
    high, size = ends.cpu().numpy(), weights.gather(-1, tokens)[:, 0].cpu().numpy()
    draws = uniforms(seed, len(answer) + max(0, shift))

    def off(by: int) -> np.ndarray:
        places = np.arange(len(answer)) + by
        draw = np.where(places < 0, np.nan, draws[np.maximum(places, 0)])
        return ~((draw >= high - size - tolerance) & (draw <= high + tolerance))

    before = np.append(0, off(0).cumsum())
    after = np.append(off(shift)[::-1].cumsum()[::-1], 0)
    return Replay(int((before + after).min()), len(answer))
