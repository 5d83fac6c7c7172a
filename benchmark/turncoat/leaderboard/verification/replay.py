"""Replay of a stored answer: each of its tokens has to follow from its seed, given the tokens before it.

Two machines may draw another token where a draw falls on the border of two, and the texts differ from there
on. The stored text still follows from its seed token by token; an invented one does not, nor one of another
seed.

replayed(lm, row, stored["samples"][0], 0.05)     # (0, 40): all 40 tokens follow

Source: Karvonen et al. (2025), arXiv:2511.20621 (Token-DiFR: tokens of a shared seed against a reference).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from turncoat.engine.chat import encode
from turncoat.engine.intervention import Intervention
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

    None where that cannot be told: the text's tokens are not those that were drawn, the sampling is filtered,
    or an intervention acts on the states.

    Args:
        lm: Measuring the arm that the answer is of.
        row: The row as it was made again, with its prompt and settings.
        sample: The stored answer.
        tolerance: In cumulative probability, 0 to 1.
    """
    rendered, settings = row["arguments"][0]
    prompt, text = tuple(encode(lm.tokenizer, rendered)), sample.get("text")
    if sample.get("seed") is None or not isinstance(text, str) or "\ufffd" in text:
        return None
    request = sample_request(prompt, dict(settings), sample["seed"], ("", 0), lm.max_length)
    on_prompts_alone = lm.steering is None or type(lm.steering).on is Intervention.on
    plain = request.temperature == 1 and request.top_p == 1 and request.top_k == 0 and not request.stop
    answer = encode(lm.tokenizer, text)
    if not (on_prompts_alone and plain and len(answer) == sample.get("n_tokens")):
        return None
    if sample.get("finish") == "stop":
        answer = [*answer, lm.tokenizer.eos_token_id]
    if not 0 < len(answer) <= request.max_new_tokens:
        return None
    off = distances(lm.model, prompt, answer, sample["seed"]) > tolerance
    return Replay(int(off.sum()), len(answer))


def distances(model: Any, prompt: Sequence[int], answer: Sequence[int], seed: int) -> Tensor:
    """How far each token's draw is from the token's slice of the cumulative probabilities, shape (tokens,).

    Sampling is at temperature 1 without filters.
    """
    with torch.inference_mode():
        ids = torch.tensor([[*prompt, *answer]], device=model.device)
        logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
    weights = torch.softmax(logits.double(), dim=-1)
    tokens = ids[0, len(prompt) :, None]
    high = weights.cumsum(-1).gather(-1, tokens)[:, 0]
    low = high - weights.gather(-1, tokens)[:, 0]
    draws = torch.tensor(uniforms(seed, len(answer)), device=high.device)
    return torch.maximum(low - draws, draws - high).clamp(min=0)
