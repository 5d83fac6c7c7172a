"""Sample requests, growing answers and sample results: one answer from prompt to text."""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from turncoat.engine.seeds import uniforms
from turncoat.engine.thoughts import decode_answer
from turncoat.errors import UserError

_TAIL_MARGIN = 4
"""Extra tokens decoded before a possible stop string, for decoders that treat the first token of a text
specially."""


@dataclass(frozen=True)
class SampleRequest:
    """One answer to draw.

    Args:
        prompt_ids: the rendered prompt, at least one token.
        seed: source of this answer's draws; None is greedy, and so is `temperature` 0.
        max_new_tokens: the answer is cut after so many tokens.
        temperature: divides the logits.
        top_p: nucleus mass in (0, 1], applied after `top_k`.
        top_k: number of tokens kept, 0 for all.
        stop: strings that end the answer; the text is cut before the first one, as lm-eval's `until` does.
        key: whatever the caller wants back in the result.
    """

    prompt_ids: tuple[int, ...]
    seed: int | None
    max_new_tokens: int
    temperature: float
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    key: Hashable = None

    def __post_init__(self) -> None:
        for field, value, fine, accepted in (
            ("prompt_ids", self.prompt_ids, len(self.prompt_ids) > 0, "at least one token"),
            ("max_new_tokens", self.max_new_tokens, self.max_new_tokens >= 0, "0 or more"),
            ("temperature", self.temperature, self.temperature >= 0, "0 (greedy) or more"),
            ("top_p", self.top_p, 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("top_k", self.top_k, self.top_k >= 0, "0 (all tokens) or more"),
        ):
            if not fine:
                raise UserError(
                    f"sample request {self.key!r}: {field} is {value!r}, accepted: {accepted}; change the "
                    "task's generation_kwargs or the prompt"
                )


@dataclass
class SampleResult:
    """One drawn answer.

    Args:
        key: the request's key.
        token_ids: the answer without its end-of-text token; the tokens of a stop string are in.
        text: decoded without special tokens (marks of thoughts apart), cut before the first stop string.
        finish: `stop` for an end-of-text token or a stop string, `length` for `max_new_tokens`.
        activation: float32 CPU tensor (layers+1, d), mean residual-stream state over exactly `token_ids`,
            index 0 the embedding output; None for an empty answer or without capture.
        logprob_sum: log-probability (nats) of every drawn token, the end-of-text token included, at
            temperature 1 without filters.
    """

    key: Hashable
    token_ids: list[int]
    text: str
    finish: Literal["stop", "length"]
    activation: Tensor | None
    logprob_sum: float


class GrowingAnswer:
    """An answer while it is drawn; `finish` is None while it needs more tokens."""

    def __init__(self, index: int, request: SampleRequest, tokenizer: Any, eos_ids: Collection[int]) -> None:
        self.index = index
        self.request = request
        self.token_ids: list[int] = []
        self.logprob_sum = 0.0
        self.newest = -1  # the token drawn last, an end-of-text token too
        self.finish: Literal["stop", "length"] | None = "length" if request.max_new_tokens == 0 else None
        self.ended_by_eos = False
        self._tokenizer = tokenizer
        self._eos_ids = eos_ids
        self._stop = tuple(text for text in request.stop if text)
        # A token adds at least one byte, so a stop string spans at most as many tokens as it has bytes.
        self._tail = max((len(text.encode()) for text in self._stop), default=0) + _TAIL_MARGIN
        greedy = request.seed is None or request.temperature == 0
        self._draws = (
            None if greedy or request.seed is None else uniforms(request.seed, request.max_new_tokens)
        )

    @property
    def draw(self) -> float | None:
        """The uniform number for the next token, None for a greedy answer."""
        return None if self._draws is None else float(self._draws[len(self.token_ids)])

    @property
    def position(self) -> int:
        """True position of the newest token, the one to feed next."""
        return len(self.request.prompt_ids) + len(self.token_ids) - 1

    def accept(self, token: int, logprob: float) -> None:
        """Take the next token; sets `finish` when it was the last."""
        self.newest = token
        self.logprob_sum += logprob
        if token in self._eos_ids:
            self.finish, self.ended_by_eos = "stop", True
            return
        self.token_ids.append(token)
        if (
            self._stop
            and self._holds_stop(self.token_ids[-self._tail :])
            and self._holds_stop(self.token_ids)
        ):
            self.finish = "stop"
        elif len(self.token_ids) == self.request.max_new_tokens:
            self.finish = "length"

    def result(self, activation: Tensor | None) -> SampleResult:
        """The finished answer."""
        if self.finish is None:
            raise RuntimeError(f"answer {self.request.key!r} is not finished")
        text = decode_answer(self._tokenizer, self.token_ids)
        for stop in self._stop:
            text = text.split(stop)[0]
        return SampleResult(self.request.key, self.token_ids, text, self.finish, activation, self.logprob_sum)

    def _holds_stop(self, token_ids: Sequence[int]) -> bool:
        # Special tokens stay in: lm-eval passes the end-of-text token's own spelling among the stop strings.
        text = self._tokenizer.decode(token_ids, skip_special_tokens=False)
        return any(stop in text for stop in self._stop)
