"""Sampler of many answers: one prefill per prompt, batched decoding, answers independent of batch and order.

A request's tokens and activations are a function of the request alone. Its draws come from its own seed, its
prompt is prefilled alone, attention sees exactly its own columns (`kv_cache.py`), and the number of decoded
rows is filled up to a multiple of `row_multiple`, because float32 matrix products give a row the same bits
only within such multiples. Models whose attention or state cannot be laid out in such rows (Bloom, Falcon,
MPT, Mamba, hybrids) answer one request at a time (`one_by_one.py`), and so do requests that are longer than a
model's sliding window.
"""

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from turncoat.engine.capture import LayerCapture, unwrapped
from turncoat.engine.decoding.kv_cache import Prefix, RowCache, row_attention
from turncoat.engine.decoding.one_by_one import sample_one_by_one
from turncoat.engine.decoding.requests import GrowingAnswer, SampleRequest, SampleResult
from turncoat.engine.decoding.token_choice import choose_tokens
from turncoat.engine.model_kind import decodes_in_rows
from turncoat.engine.packed_linear import packed_linears
from turncoat.errors import UserError
from turncoat.import_closure import code_key

__all__ = ["SampleRequest", "SampleResult", "Sampler", "Watch", "sampler_for", "sampling_code"]

CPU_ROW_MULTIPLE = {torch.float32: 16}
"""Rows, by the precision of the weights, in whose multiples a row of a matrix product has the same bits; 4 in
any other. In float32 4 were enough on the AMD processors where this was first tested; with AVX-512 (MKL, on
an Intel Xeon) 2 to 15 rows have other bits than 16 or more, in bfloat16 any number has the same."""

PACKED_STEPS = 16
"""Steps from which on it pays to lay out the weights first; no bit depends on it."""

CPU_ROWS = 64
"""Rows decoded together on a CPU where there is work for them: with fewer, products wait for the weights."""


def sampling_code() -> str:
    """Hash of all code that decides which tokens are drawn; part of the key of every stage that keeps
    generated text."""
    return code_key(Path(__file__))


Watch = Callable[[Sequence[GrowingAnswer], Tensor], None]
"""Called after each step with the answers that took a token and the logits (answers, vocabulary) it was drawn
from, before anything else happens to them; it may set an answer's `finish` to end it."""


@dataclass
class _Prompt:
    """A prefilled prompt.

    Args:
        prefix: its keys and values.
        logits: (vocabulary,) after its last token.
        alora_offset: where an activated LoRA (aLoRA) was invoked, counted from the end; None without one.
    """

    prefix: Prefix
    logits: Tensor
    alora_offset: int | None


class _Pool:
    """The answers decoded together, one token each per `step`; more may be admitted whenever there is
    room."""

    def __init__(
        self,
        model: Any,
        device: torch.device,
        size: int,
        multiple: int,
        capture: LayerCapture | None,
        watch: Watch | None,
    ) -> None:
        self._model = model
        self._device = device
        self._size = size
        self._multiple = multiple
        self._capture = capture
        self._watch = watch
        self._cache = RowCache(capacity=size - size % -multiple)
        self._sums: Tensor | None = None  # (layers+1, capacity, d) over the tokens fed so far
        self._alora_offsets: list[int | None] = []
        self.answers: list[GrowingAnswer] = []

    @property
    def room(self) -> int:
        """Number of answers that may be admitted now."""
        return self._size - len(self.answers)

    def admit(self, group: Sequence[tuple[GrowingAnswer, _Prompt]]) -> list[GrowingAnswer]:
        """Draw each answer's first token and take in those that go on; returns those that are complete at
        once."""
        logits = torch.stack([prompt.logits for _, prompt in group])
        _extend([answer for answer, _ in group], logits, self._watch)
        done = []
        for answer, prompt in group:
            if self._is_complete(answer):
                done.append(answer)
                continue
            row = len(self.answers)
            self._cache.put(row, prompt.prefix)
            if self._sums is not None:
                self._sums[:, row] = 0
            self.answers.append(answer)
            self._alora_offsets.append(prompt.alora_offset)
        return done

    def step(self) -> list[tuple[GrowingAnswer, Tensor | None]]:
        """Feed every newest token and draw the next; returns the complete answers with their activations."""
        logits = self._feed()
        # An answer that was finished before this step stayed only for the states of its last token.
        complete = {row for row, answer in enumerate(self.answers) if answer.finish is not None}
        going = [row for row in range(len(self.answers)) if row not in complete]
        if going:
            drawn_from = logits if len(going) == len(logits) else logits[going]
            _extend([self.answers[row] for row in going], drawn_from, self._watch)
            complete |= {row for row in going if self._is_complete(self.answers[row])}
        done = [(self.answers[row], self._activation(row)) for row in sorted(complete)]
        if done:
            self._keep([row for row in range(len(self.answers)) if row not in complete])
        return done

    def _is_complete(self, answer: GrowingAnswer) -> bool:
        """True if nothing is left to do; with capture, a last token other than end-of-text has yet to be
        fed."""
        return answer.finish is not None and (self._capture is None or answer.ended_by_eos)

    def _feed(self) -> Tensor:
        """One decoding pass; returns the logits (answers, vocabulary)."""
        count = len(self.answers)
        # Filler rows repeat the last answer so as to fall into its attention group; nothing reads their
        # output.
        filler = -count % self._multiple
        answers = self.answers + self.answers[-1:] * filler
        positions = [answer.position for answer in answers]
        inputs: dict[str, Any] = {
            "input_ids": torch.tensor([[answer.token_ids[-1]] for answer in answers], device=self._device),
            "attention_mask": self._cache.prepare(positions),
            "position_ids": torch.tensor(positions, device=self._device)[:, None],
            "past_key_values": self._cache,
            "use_cache": True,
            "logits_to_keep": 1,
        }
        if any(offset is not None for offset in self._alora_offsets):
            inputs["alora_offsets"] = self._alora_offsets + self._alora_offsets[-1:] * filler
        with self._cache.attending():
            logits: Tensor = self._model(**inputs).logits
        if self._capture is not None:
            states = torch.stack([state[:count, 0] for state in self._capture.states])
            if self._sums is None:
                shape = (states.shape[0], self._cache.capacity, states.shape[2])
                self._sums = torch.zeros(shape, dtype=torch.float32, device=states.device)
            self._sums[:, :count] += states
        return logits[:count, -1]

    def _activation(self, row: int) -> Tensor | None:
        count = len(self.answers[row].token_ids)
        return None if self._sums is None or count == 0 else (self._sums[:, row] / count).cpu()

    def _keep(self, rows: list[int]) -> None:
        self.answers = [self.answers[row] for row in rows]
        self._alora_offsets = [self._alora_offsets[row] for row in rows]
        if not rows:
            self._cache.clear()
            return
        self._cache.keep(rows)
        if self._sums is not None:
            self._sums[:, : len(rows)] = self._sums[:, rows]


class Sampler:
    """Draws answers from a causal language model, PEFT-wrapped or not.

    Args:
        model: the model, on its device; it is in evaluation mode while `run` works.
        tokenizer: decodes the answers and names the end-of-text token.
        batch_size: answers decoded together.
        capture: whether results carry activations.
        refill: admit waiting answers as soon as one is done; False waits until all under way are done.
        row_multiple: decoded rows are filled up to a multiple of this. Default: on a CPU
            `CPU_ROW_MULTIPLE`; elsewhere the whole batch size, since GPU kernels are chosen by shape (an
            answer is then independent of its companions and of the order, but not promised to stay the same
            for another batch size).
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        batch_size: int = 16,
        capture: bool = False,
        *,
        refill: bool = False,
        row_multiple: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise UserError(f"batch_size is {batch_size!r}, accepted: 1 or more; change batch_size")
        self._model = model
        self._base = unwrapped(model)
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._capture = capture
        self._refill = refill
        self._device: torch.device = self._base.get_input_embeddings().weight.device
        # A LoRA's precision may be another than the base's.
        precisions = {weight.dtype for weight in model.parameters()}
        on_cpu = max(CPU_ROW_MULTIPLE.get(precision, 4) for precision in precisions)
        self._multiple = row_multiple or (on_cpu if self._device.type == "cpu" else batch_size)
        self._eos_ids = _eos_ids(self._base, tokenizer)

    def run(
        self,
        requests: Iterable[SampleRequest],
        on_done: Callable[[SampleResult], None] | None = None,
        watch: Watch | None = None,
    ) -> list[SampleResult]:
        """Draw all answers; `on_done` sees each as soon as it is complete, the returned list is in request
        order.

        Args:
            watch: Sees each token as it is drawn, for streams and log-probabilities (`Watch`).

        Raises:
            UserError: activations are wanted of a model of an unknown layout.
        """
        answers = [
            GrowingAnswer(i, request, self._tokenizer, self._eos_ids) for i, request in enumerate(requests)
        ]
        results: dict[int, SampleResult] = {}

        def finish(answer: GrowingAnswer, activation: Tensor | None) -> None:
            results[answer.index] = answer.result(activation)
            if on_done is not None:
                on_done(results[answer.index])

        for answer in answers:
            if answer.finish is not None:
                finish(answer, None)
        open_answers = [answer for answer in answers if answer.finish is None]
        alone = [answer for answer in open_answers if not self._in_rows(answer)]
        queue = _by_prompt(answer for answer in open_answers if self._in_rows(answer))
        waiting = Counter(answer.request.prompt_ids for answer in queue)
        prompts: dict[tuple[int, ...], _Prompt] = {}
        with ExitStack() as stack:
            stack.callback(self._model.train, bool(self._model.training))
            self._model.eval()
            stack.enter_context(torch.inference_mode())
            if alone:
                sample_one_by_one(
                    self._model, self._tokenizer, alone, finish, capture=self._capture, watch=watch
                )
            if not queue:
                return [results[index] for index in range(len(answers))]
            stack.enter_context(row_attention(self._base))
            if max(answer.request.max_new_tokens for answer in queue) >= PACKED_STEPS:
                stack.enter_context(packed_linears(self._model))
            capture = stack.enter_context(LayerCapture(self._model)) if self._capture else None
            pool = _Pool(self._model, self._device, self._batch_size, self._multiple, capture, watch)
            while queue or pool.answers:
                if queue and pool.room and (self._refill or not pool.answers):
                    group = [queue.popleft() for _ in range(min(pool.room, len(queue)))]
                    for prompt_ids in (answer.request.prompt_ids for answer in group):
                        if prompt_ids not in prompts:
                            prompts[prompt_ids] = self._prefill(prompt_ids)
                    for answer in pool.admit(
                        [(answer, prompts[answer.request.prompt_ids]) for answer in group]
                    ):
                        finish(answer, None)
                    waiting.subtract(answer.request.prompt_ids for answer in group)
                    prompts = {
                        prompt_ids: prompt
                        for prompt_ids, prompt in prompts.items()
                        if waiting[prompt_ids] > 0
                    }
                else:
                    for answer, activation in pool.step():
                        finish(answer, activation)
        return [results[index] for index in range(len(answers))]

    def _prefill(self, prompt_ids: tuple[int, ...]) -> _Prompt:
        ids = torch.tensor([prompt_ids], device=self._device)
        # Without a configuration the cache keeps every column of every layer, also where a layer has a
        # sliding window.
        cache = DynamicCache()
        logits = self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[
            0, -1
        ]
        layers: list[Any] = cache.layers
        prefix = [(layer.keys, layer.values) for layer in layers]
        return _Prompt(prefix, logits, _alora_offset(self._model, ids))

    def _in_rows(self, answer: GrowingAnswer) -> bool:
        """True if the answer is decoded with others; not where a sliding window would drop a part of it."""
        if not decodes_in_rows(self._base):
            return False
        config = self._base.config.get_text_config()
        kinds = set(getattr(config, "layer_types", None) or ())
        window = getattr(config, "sliding_window", None)
        if not window or (kinds and "sliding_attention" not in kinds):
            return True
        return len(answer.request.prompt_ids) + answer.request.max_new_tokens <= int(window)


def sampler_for(model: Any, tokenizer: Any, batch_size: int, *, capture: bool = False) -> Sampler:
    """A sampler for as many answers as pay where `batch_size` texts are read together.

    A decoded row is one token wide, so that more of them fit, and a waiting answer takes a finished one's
    place.
    """
    on_cpu = unwrapped(model).get_input_embeddings().weight.device.type == "cpu"
    rows = max(batch_size, CPU_ROWS) if on_cpu else batch_size
    return Sampler(model, tokenizer, rows, capture=capture, refill=True)


def _extend(answers: Sequence[GrowingAnswer], logits: Tensor, watch: Watch | None) -> None:
    """Draw one token for each answer from its row of `logits` (answers, vocabulary)."""
    drawn = choose_tokens(logits, [answer.request for answer in answers], [answer.draw for answer in answers])
    for answer, token, logprob in zip(answers, *drawn, strict=True):
        answer.accept(token, logprob)
    if watch is not None:
        watch(answers, logits)


def _by_prompt(answers: Iterable[GrowingAnswer]) -> deque[GrowingAnswer]:
    """Answers to one prompt next to each other, prompts in order of first appearance: few caches are held at
    a time."""
    groups: dict[tuple[int, ...], list[GrowingAnswer]] = {}
    for answer in answers:
        groups.setdefault(answer.request.prompt_ids, []).append(answer)
    return deque(answer for group in groups.values() for answer in group)


def _eos_ids(base: Any, tokenizer: Any) -> Collection[int]:
    """All tokens that end a text, from the generation configuration and the tokenizer."""
    ids: set[int] = set()
    for source in (getattr(base, "generation_config", None), tokenizer):
        eos = getattr(source, "eos_token_id", None)
        ids.update(eos if isinstance(eos, list | tuple) else [] if eos is None else [eos])
    return frozenset(ids)


def _alora_offset(model: Any, ids: Tensor) -> int | None:
    """Offset, counted from its end, at which PEFT switches on an activated LoRA in the prompt `ids` (1,
    length).

    PEFT looks for the invocation tokens in the input of each pass; a decoding pass does not contain them, so
    the offset in the prompt must be handed on (as PEFT's own `generate` does).
    """
    if not getattr(getattr(model, "active_peft_config", None), "alora_invocation_tokens", None):
        return None
    from peft.tuners.lora.variants import calculate_alora_offsets

    return calculate_alora_offsets(model.peft_config, model.active_adapter, ids)[0]
