"""Sampler of one answer after another with the model's own `generate`: for any kind of cache or state.

Each request is decoded alone with its own draws, so an answer is a function of the request alone, as in
`sampler.py`; it takes as many passes as there are tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, StoppingCriteria

from turncoat.engine.capture import unwrapped
from turncoat.engine.decoding.requests import GrowingAnswer
from turncoat.engine.decoding.token_choice import choose_tokens
from turncoat.engine.reading.reader import read_texts


class _Chooser(LogitsProcessor):
    """Draws the answer's next token and leaves `generate` no other choice."""

    def __init__(
        self, answer: GrowingAnswer, watch: Callable[[Sequence[GrowingAnswer], Tensor], None] | None
    ) -> None:
        self._answer, self._watch = answer, watch

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (1, vocabulary) that allow one token."""
        answer = self._answer
        (token,), (logprob,) = choose_tokens(scores, [answer.request], [answer.draw])
        answer.accept(token, logprob)
        if self._watch is not None:
            self._watch([answer], scores)
        return torch.full_like(scores, -torch.inf).index_fill_(
            1, torch.tensor([token], device=scores.device), 0
        )


class _Finished(StoppingCriteria):
    """Stops when the answer is complete."""

    def __init__(self, answer: GrowingAnswer) -> None:
        self._answer = answer

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """True (1,) when there is nothing left to draw."""
        return torch.tensor([self._answer.finish is not None], device=input_ids.device)


def sample_one_by_one(
    model: Any,
    tokenizer: Any,
    answers: Sequence[GrowingAnswer],
    on_finish: Callable[[GrowingAnswer, Tensor | None], None],
    *,
    capture: bool,
    watch: Callable[[Sequence[GrowingAnswer], Tensor], None] | None = None,
) -> None:
    """Draw each answer to its end.

    Args:
        on_finish: called with each answer and its activation (layers+1, d), None without `capture`.
        watch: called with the answer and the logits (1, vocabulary) after each token.
    """
    base = unwrapped(model)
    pad = tokenizer.pad_token_id
    with _plain_generation(base, pad):
        for answer in answers:
            prompt = answer.request.prompt_ids
            ids = torch.tensor([prompt], device=base.get_input_embeddings().weight.device)
            model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=answer.request.max_new_tokens,
                logits_processor=[_Chooser(answer, watch)],
                stopping_criteria=[_Finished(answer)],
            )
            activation = None
            if capture and answer.token_ids:
                (reading,) = read_texts(model, pad, [(prompt, answer.token_ids)])
                activation = reading.activation
            on_finish(answer, activation)


@contextmanager
def _plain_generation(base: Any, pad: int | None) -> Iterator[None]:
    """Within this block nothing of the model's own generation settings (penalties, minimum lengths) acts."""
    before = base.generation_config
    base.generation_config = GenerationConfig(do_sample=False, use_cache=True, pad_token_id=pad)
    try:
        yield
    finally:
        base.generation_config = before
