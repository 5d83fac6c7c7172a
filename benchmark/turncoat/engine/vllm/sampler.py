"""Sampler of answers by vLLM: our prompts (token ids), our seed for each answer, our rules for its end.

    sampler = VllmSampler(find_vllm(python_with_vllm()), base)
    sampler.run(requests, adapter_folder, base.active, capture=True)     # results as `Sampler` gives them

An adapter is a LoRA request. vLLM's CPU build would copy the adapter's matrices for each token, so there
the adapter is merged into the weights, which a process of its own reads. A sum of weights does not survive
bfloat16, so that all arms are then computed in float32. vLLM draws from a generator with the answer's seed,
not from the uniforms of `engine/seeds.py`: the distribution is that of `Sampler`, the draws are others.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from turncoat.engine.adapter_loading import CONFIG
from turncoat.engine.base_model import BaseModel
from turncoat.engine.decoding.answer_engine import AnswerEngine
from turncoat.engine.decoding.requests import GrowingAnswer, SampleRequest, SampleResult
from turncoat.engine.decoding.sampler import _eos_ids as eos_ids  # its name is in the keys of vectors
from turncoat.engine.merged_weights import write_merged
from turncoat.engine.reading.reader import Reading, read_texts
from turncoat.engine.vllm.process import Vllm, VllmProcess
from turncoat.errors import UserError
from turncoat.import_closure import code_key

CHECKED = 8
"""Answers of each run whose log-probabilities are compared with those that our reader gives them."""

DRIFT = {"float32": 0.01}
"""Nats a token by which they may differ on average, by the base's precision; elsewhere 0.1."""

_ON_CPU = {"max_num_seqs": 64, "enforce_eager": True}  # it would compile anew for each merged folder
_ON_GPU = {"gpu_memory_utilization": 0.5}  # this process has the model on it, too
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM can be started for
_LEAST = 2048  # tokens of a text that vLLM is started for; more where a request needs them


class VllmSampler(AnswerEngine):
    """Answers of a base model and its adapters by vLLM, whose process starts with the first request.

    Args:
        vllm: Where vLLM is.
        base: The model; vLLM loads the same weights.
        batch_size: Texts read together.
        log: Called with a line before vLLM starts.

    Attributes:
        name: vLLM with its version and how it computes, for rows and keys.
    """

    def __init__(
        self, vllm: Vllm, base: BaseModel, batch_size: int = 16, log: Callable[[str], None] = lambda _: None
    ) -> None:
        super().__init__(base.tokenizer, batch_size)
        self._vllm, self._base, self._log = vllm, base, log
        self._dtype = "float32" if vllm.on_cpu else base.spec["dtype"]
        self.name = f"vllm {vllm.version} ({self._dtype}{', adapters merged' if vllm.on_cpu else ''})"
        self.spec = {"engine": self.name, "code": code_key(Path(__file__))}
        self._process: VllmProcess | None = None
        self._fits: tuple[Path | None, int, int] = (None, 0, 0)  # merged adapter, most tokens, highest rank

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
                "adapter": str(adapter) if adapter and not self._vllm.on_cpu else None,
            }
            for n, answer in enumerate(drawn)
        ]
        longest = max((len(one.prompt_ids) + one.max_new_tokens for one in requests), default=0)
        replies = self._started(adapter, model, longest).generate(sent, on_done) if drawn else []
        for answer, reply in zip(drawn, replies, strict=True):
            _take(answer, reply)
        read = drawn if capture else drawn[:CHECKED]
        items = [(answer.request.prompt_ids, answer.token_ids) for answer in read]
        readings = read_texts(model, self._tokenizer.pad_token_id, items, self._batch_size, capture=capture)
        self._check(adapter, replies[:CHECKED], readings)
        activations = {one.index: reading.activation for one, reading in zip(read, readings, strict=True)}
        return [answer.result(activations.get(answer.index)) for answer in answers]

    def close(self) -> None:
        """End vLLM's process; the next request starts another."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _started(self, adapter: Path | None, model: Any, tokens: int) -> VllmProcess:
        """A process for this adapter and texts of so many tokens, the running one where it fits."""
        merged, rank = (adapter, 0) if self._vllm.on_cpu else (None, _rank(adapter))
        held, most, highest = self._fits
        if self._process is not None and merged == held and tokens <= most and rank <= highest:
            return self._process
        self.close()
        tokens = min(self._base.context_length, max(_LEAST, most, 1 << (tokens - 1).bit_length()))
        rank = max(rank, highest)
        revision = None if merged else getattr(self._base.model.config, "_commit_hash", None)
        what = " with the adapter merged" if merged else ""
        self._log(f"vLLM {self._vllm.version} starts{what}, which takes a minute or more")
        with tempfile.TemporaryDirectory(prefix="turncoat-merged-") as folder:
            if merged is not None:
                write_merged(model, self._tokenizer, Path(folder))
            self._process = VllmProcess(
                self._vllm.python,
                {
                    "model": folder if merged else self._base.path, "dtype": self._dtype,
                    "revision": revision, "tokenizer_revision": revision,
                    "max_model_len": tokens,
                    "generation_config": "vllm",  # the model's own would add its ends and penalties
                    **(_ON_CPU if self._vllm.on_cpu else _ON_GPU),
                    **({"enable_lora": True, "max_loras": 1, "max_lora_rank": rank} if rank else {}),
                },
                {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"},  # or batches, and last bits, depend on timing
            )  # fmt: skip
        self._fits = (merged, tokens, rank)
        return self._process

    def _check(
        self, adapter: Path | None, replies: Sequence[dict[str, Any]], readings: Sequence[Reading]
    ) -> None:
        """Refuse a vLLM that computes another model than our reader: an adapter that does not act, say."""
        pairs = [pair for pair in zip(replies, readings, strict=False) if pair[1].n_tokens]
        tokens = sum(reading.n_tokens for _, reading in pairs)
        # without that of the end of a text, which is not read
        theirs = sum(sum(reply["logprobs"][: reading.n_tokens]) for reply, reading in pairs)
        ours, precision = sum(reading.logprob_sum for _, reading in pairs), self._base.spec["dtype"]
        if tokens and not abs(theirs - ours) / tokens <= (most := DRIFT.get(precision, 0.1)):
            raise UserError(
                f"{self.name} does not compute this model: it gives its answers a log-probability of "
                f"{theirs / tokens:.3f} a token, Turncoat's reader {ours / tokens:.3f} ({most} apart are "
                f"accepted in {precision}; adapter {adapter and adapter.name}); use generation: turncoat"
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


def _rank(adapter: Path | None) -> int:
    """The rank that vLLM has to be started for; 0 without an adapter.

    Raises:
        UserError: It is more than vLLM can do.
    """
    if adapter is None:
        return 0
    config = json.loads((adapter / CONFIG).read_text(encoding="utf-8"))
    rank = max([config["r"], *(config.get("rank_pattern") or {}).values()])
    fitting = [most for most in _RANKS if rank <= most]
    if not fitting:
        raise UserError(
            f"{adapter.name}: rank {rank}, vLLM takes {_RANKS[-1]} at most; use generation: turncoat"
        )
    return fitting[0]
