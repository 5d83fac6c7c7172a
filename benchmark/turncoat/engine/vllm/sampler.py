"""Sampler of answers by vLLM: our prompts (token ids), our seed for each answer, our rules for its end.

    sampler = VllmSampler(find_vllm(python_with_vllm()), base)
    sampler.run(requests, adapter_folder, base.active, capture=True)     # results as `Sampler` gives them
    sampler.log_likelihoods(items, adapter_folder, base.active)          # readings as `read_texts` gives them

vLLM draws from a generator with the answer's seed, not from the uniforms of `engine/seeds.py`: the
distribution is that of `Sampler`, the draws are others. `arms.py` says how adapters are computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from turncoat.engine.base_model import BaseModel
from turncoat.engine.decoding.answer_engine import AnswerEngine
from turncoat.engine.decoding.requests import GrowingAnswer, SampleRequest, SampleResult
from turncoat.engine.decoding.sampler import _eos_ids as eos_ids  # its name is in the keys of vectors
from turncoat.engine.reading.reader import Item, Reading, read_texts
from turncoat.engine.vllm.arms import VllmArms
from turncoat.engine.vllm.process import Vllm
from turncoat.errors import UserError
from turncoat.import_closure import code_key

CHECKED = 8
"""Answers of each run whose log-probabilities are compared with those that our reader gives them."""

DRIFT = {"float32": 0.01}
"""Nats a token by which they may differ on average, by the base's precision; elsewhere 0.1."""

_OURS = "take generation: vllm and log_likelihoods: vllm out of the study for Turncoat's own engine"


class VllmSampler(AnswerEngine):
    """Answers of a base model and its adapters by vLLM, whose process starts with the first request.

    Args:
        vllm: Where vLLM is.
        base: The model; vLLM loads the same weights.
        batch_size: Texts read together.
        log: Called with a line before vLLM starts.

    Attributes:
        name: vLLM with its version and how it computes, for rows and keys.
        arms: Its process; `arms.together` has several adapters answer in one call.

    Raises:
        UserError: `TURNCOAT_VLLM_ADAPTERS` is another word.
    """

    def __init__(
        self, vllm: Vllm, base: BaseModel, batch_size: int = 16, log: Callable[[str], None] = lambda _: None
    ) -> None:
        super().__init__(base.tokenizer, batch_size)
        self._base = base
        self.arms = VllmArms(vllm, base, log)
        self.name = self.arms.name
        self.spec = {"engine": self.name, "code": code_key(Path(__file__))}

    def run(
        self,
        requests: Sequence[SampleRequest],
        adapter: Path | None,
        model: Any,
        on_done: Callable[[int], None] = lambda _: None,
        *,
        capture: bool = False,
    ) -> list[SampleResult]:
        """As `AnswerEngine`; activations are of one pass over prompt and answer, and log-probabilities NaN
        but for the first few.

        Raises:
            UserError: vLLM failed, or it computes another model than ours.
        """
        ends = eos_ids(self._base.model, self._tokenizer)
        answers = [GrowingAnswer(n, one, self._tokenizer, ends) for n, one in enumerate(requests)]
        drawn = [answer for answer in answers if answer.finish is None]
        sent = [
            {
                "prompt": list(answer.request.prompt_ids),
                "settings": _settings(answer.request, ends, logprobs=n < CHECKED),
            }
            for n, answer in enumerate(drawn)
        ]
        longest = max((len(one.prompt_ids) + one.max_new_tokens for one in requests), default=0)
        replies = self.arms.replies(sent, adapter, model, longest, on_done)
        for answer, reply in zip(drawn, replies, strict=True):
            _take(answer, reply)
        read = drawn if capture else drawn[:CHECKED]
        items = [(answer.request.prompt_ids, answer.token_ids) for answer in read]
        readings = read_texts(model, self._tokenizer.pad_token_id, items, self._batch_size, capture=capture)
        # without the log-probability of the end of a text, which is not read
        pairs = zip(replies[:CHECKED], readings, strict=False)
        theirs = sum(sum(reply["logprobs"][: reading.n_tokens]) for reply, reading in pairs)
        self._check(adapter, theirs, readings[:CHECKED])
        activations = {one.index: reading.activation for one, reading in zip(read, readings, strict=True)}
        return [answer.result(activations.get(answer.index)) for answer in answers]

    def log_likelihoods(
        self,
        items: Sequence[Item],
        adapter: Path | None,
        model: Any,
        on_done: Callable[[int], None] = lambda _: None,
    ) -> list[Reading]:
        """As `read_texts` without activations; vLLM reads each answer after its prompt.

        Raises:
            UserError: As `run`; or a text is too long for vLLM, or a log-probability not a number.
        """
        longest = max((len(prompt) + len(answer) for prompt, answer in items), default=0)
        if longest >= self._base.context_length:
            raise UserError(
                f"a prompt and an answer have {longest} tokens, vLLM takes {self._base.context_length - 1} "
                f"at most with this model; {_OURS}"
            )
        settings = {"temperature": 0.0, "max_tokens": 1, "prompt_logprobs": 0, "detokenize": False}
        sent = [{"prompt": [*prompt, *answer], "settings": settings} for prompt, answer in items]
        replies = self.arms.replies(sent, adapter, model, longest + 1, on_done)
        readings = []
        for (prompt, answer), reply in zip(items, replies, strict=True):
            steps = reply["read"][len(prompt) - 1 :]
            total = sum(logprob for logprob, _ in steps)
            if math.isnan(total):
                raise UserError(f"{self.name}: the log-probability of an answer is not a number")
            greedy = all(rank == 1 for _, rank in steps)
            count = len(answer)
            readings.append(
                Reading(None, total / count, total, count, greedy)
                if count
                else Reading(None, math.nan, math.nan, 0)
            )
        pad, some = self._tokenizer.pad_token_id, [n for n, item in enumerate(items) if item[1]][:CHECKED]
        ours = read_texts(model, pad, [items[n] for n in some], self._batch_size, capture=False)
        self._check(adapter, sum(readings[n].logprob_sum for n in some), ours)
        return readings

    def close(self) -> None:
        """End vLLM's process; the next request starts another."""
        self.arms.close()

    def _check(self, adapter: Path | None, theirs: float, readings: Sequence[Reading]) -> None:
        """Refuse a vLLM that computes another model than our reader: an adapter that does not act, say.

        Args:
            theirs: Its log-probability of the texts of `readings`.
        """
        read = [reading for reading in readings if reading.n_tokens]
        tokens, ours = sum(one.n_tokens for one in read), sum(one.logprob_sum for one in read)
        precision = self._base.spec["dtype"]
        if tokens and not abs(theirs - ours) / tokens <= (most := DRIFT.get(precision, 0.1)):
            raise UserError(
                f"{self.name} does not compute this model: it gives its answers a log-probability of "
                f"{theirs / tokens:.3f} a token, Turncoat's reader {ours / tokens:.3f} ({most} apart are "
                f"accepted in {precision}; adapter {adapter and adapter.name}); {_OURS}"
            )


def _settings(request: SampleRequest, ends: Collection[int], *, logprobs: bool) -> dict[str, Any]:
    """Arguments of SamplingParams. vLLM ends at our tokens and strings; all else in it is off by default."""
    greedy = request.seed is None or request.temperature == 0
    strings = {"stop": request.stop, "include_stop_str_in_output": True, "skip_special_tokens": False}
    return {
        "temperature": 0.0 if greedy else request.temperature, "top_p": request.top_p, "top_k": request.top_k,
        "seed": request.seed, "max_tokens": request.max_new_tokens,
        "ignore_eos": True, "stop_token_ids": sorted(ends),
        **(strings if request.stop else {"detokenize": False}),
        **({"logprobs": 0} if logprobs else {}),
    }  # fmt: skip


def _take(answer: GrowingAnswer, reply: dict[str, Any]) -> None:
    """Give an answer its tokens one by one, so that it ends where one of ours would."""
    tokens = reply["tokens"]
    for token, logprob in zip(tokens, reply["logprobs"] or [math.nan] * len(tokens), strict=True):
        if answer.finish is None:
            answer.accept(token, logprob)
    if answer.finish is None:
        raise UserError(
            f"vLLM ended answer {answer.request.key!r} after {len(tokens)} tokens, without an end"
        )
