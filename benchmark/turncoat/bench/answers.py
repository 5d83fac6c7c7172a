"""W1 and W3: many sampled answers with natural stops, and their activations at all layers."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from turncoat.bench.prompts import answer_requests, rows, user_prompt
from turncoat.bench.reference import Drawn, generate, hf_lm, hidden_means, lm_requests
from turncoat.bench.vllm_engine import VllmAnswers
from turncoat.bench.work import Done, Setting, Strategy, Work, same
from turncoat.engine.base_model import BaseModel
from turncoat.engine.chat import encode
from turncoat.engine.decoding.sampler import Sampler, SampleResult
from turncoat.engine.reading.reader import read_texts

QUESTIONS = 8
_CAPTURED = 32  # rows decoded together in W3
_READ = 16  # texts read together


def size(setting: Setting) -> tuple[int, int]:
    """Samples per question and most tokens of an answer."""
    return (4, 48) if setting.quick else (20, 128)


def tokens_of(drawn: list[Drawn], *, fed: bool = False) -> Done:
    """Tokens without the end of text, and decoded row-steps: an answer's first token needs none.

    Args:
        fed: The last token of an answer that was cut is fed too, for its activation.
    """
    steps = sum(max(0, len(ids) - (not ended and not fed)) for ids, ended in drawn)
    return sum(len(ids) for ids, _ in drawn), steps


def sampled(results: list[SampleResult]) -> list[Drawn]:
    """The engine's answers as those of `generate`."""
    return [(result.token_ids, result.finish == "stop") for result in results]


def sampling(setting: Setting) -> list[Work]:
    """W1."""
    base, (samples, tokens) = setting.base, size(setting)
    some = min(8, samples)

    def ours(batch: int, turn: int) -> Done:
        requests = answer_requests(base, QUESTIONS, samples, tokens, turn)
        return tokens_of(sampled(Sampler(base.model, base.tokenizer, batch, refill=True).run(requests)))

    def plain(batch: int, each: int, copies: int, turn: int) -> Done:
        torch.manual_seed(turn)
        requests = answer_requests(base, QUESTIONS, each, tokens, turn)
        return tokens_of(generate(base.model, base.tokenizer, requests, batch, copies))

    def by_lm_eval(turn: int) -> Done:
        torch.manual_seed(turn)
        settings = {"do_sample": True, "temperature": 1.0, "top_k": 0, "max_gen_toks": tokens, "until": []}
        questions = rows("emergent_misalignment/questions.jsonl", QUESTIONS)
        given = [(user_prompt(base, row["question"]), dict(settings)) for row in questions]
        texts = hf_lm(base, 1).generate_until(lm_requests("generate_until", given), disable_tqdm=True)
        return sum(len(encode(base.tokenizer, text)) for text in texts), None

    def part(each: int) -> str:
        return f"{each} of {samples} samples" if each < samples else ""

    sizes = (32,) if setting.quick else (8, 16, 32, 64)
    strategies = [
        *(
            Strategy(f"Turncoat, batch {n}", partial(ours, n), True, rows=n, rival_of="ours")
            for n in ((32,) if setting.quick else (32, 64, 128))
        ),
        Strategy("generate, batch 1", partial(plain, 1, 1, 1), part=part(1), rows=1),
        *(
            Strategy(
                f"generate, batch {n}",
                partial(plain, n, some, 1),
                part=part(some),
                rows=n,
                rival_of="generate",
            )
            for n in sizes
        ),
        Strategy(
            f"generate, num_return_sequences={samples}",
            partial(plain, 1, 1, samples),
            rows=samples,
            rival_of="generate",
        ),
        Strategy("lm-eval hf, its default: batch 1", by_lm_eval, part=part(1), rows=1),
    ]
    if setting.vllm_python:
        prompts = [list(r.prompt_ids) for r in answer_requests(base, QUESTIONS, samples, tokens, 0)]
        vllm = VllmAnswers(setting.vllm_python, base, prompts, tokens)
        strategies.append(Strategy("vLLM, max_num_seqs 64", vllm))
    title = f"{QUESTIONS} questions x {samples} samples, natural stops, up to {tokens} tokens"
    return [Work("W1", title, "tokens", strategies, _equal_answers)]


def _equal_answers(twin: BaseModel) -> list[dict[str, Any]]:
    requests = answer_requests(twin, QUESTIONS, 1, 32, 0, greedy=True)
    ours = sampled(Sampler(twin.model, twin.tokenizer, 16, refill=True).run(requests))
    return [same("greedy answers and generate's", ours, generate(twin.model, twin.tokenizer, requests, 1), 0)]


def activations(setting: Setting) -> list[Work]:
    """W3."""
    base, (samples, tokens) = setting.base, size(setting)

    def run(turn: int, capture: bool = False, read: Any = None) -> Done:
        requests = answer_requests(base, QUESTIONS, samples, tokens, turn)
        results = Sampler(base.model, base.tokenizer, _CAPTURED, capture, refill=True).run(requests)
        if read is not None:
            read([(r.prompt_ids, a.token_ids) for r, a in zip(requests, results, strict=True) if a.token_ids])
        return tokens_of(sampled(results), fed=capture)

    def reader(items: Any) -> None:
        read_texts(base.model, base.tokenizer.pad_token_id, items, _READ)

    main = "Turncoat, activations of the same pass"
    strategies = [
        Strategy(main, partial(run, capture=True), True, rows=_CAPTURED),
        Strategy("Turncoat, no activations", run, True, rows=_CAPTURED),
        Strategy("Turncoat, then its reader", partial(run, read=reader), True),
        Strategy("Turncoat, then output_hidden_states", partial(run, read=partial(hidden_means, base.model))),
    ]
    title = f"activations at all layers of {QUESTIONS} questions x {samples} answers, up to {tokens} tokens"
    return [Work("W3", title, "tokens", strategies, _equal_activations, main)]


def _equal_activations(twin: BaseModel) -> list[dict[str, Any]]:
    """Differences are relative to the largest value of a layer."""
    requests = answer_requests(twin, QUESTIONS, 1, 16, 0)
    results = Sampler(twin.model, twin.tokenizer, 16, True, refill=True).run(requests)
    items = [(r.prompt_ids, a.token_ids) for r, a in zip(requests, results, strict=True) if a.token_ids]
    theirs = hidden_means(twin.model, items)
    scale = theirs.abs().amax(dim=(0, 2), keepdim=True).clamp_min(1)
    readings = read_texts(twin.model, twin.tokenizer.pad_token_id, items, _READ)
    ways: dict[str, list[Any]] = {"same pass": results, "reader": readings}
    return [
        same(
            f"activations ({name}) and output_hidden_states",
            torch.stack([one.activation for one in given if one.activation is not None])[:, :-1] / scale,
            theirs / scale,
        )
        for name, given in ways.items()
    ]
