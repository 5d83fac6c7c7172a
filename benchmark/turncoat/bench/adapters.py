"""W6: the base and random adapters, each answering questions and scoring pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from turncoat.bench.answers import sampled, tokens_of
from turncoat.bench.prompts import answer_requests, choice_pairs
from turncoat.bench.reference import Drawn, generate, hf_lm, loglikelihoods
from turncoat.bench.vllm_engine import VllmArmsRun
from turncoat.bench.work import Done, Setting, Strategy, Work, same
from turncoat.engine.base_model import BaseModel
from turncoat.engine.decoding.sampler import Sampler, SampleRequest
from turncoat.engine.vllm.process import find_vllm
from turncoat.engine.vllm.sampler import VllmSampler
from turncoat.evaluation.lm import TurncoatLM
from turncoat.evaluation.vllm_lm import VllmLM

_ROWS = 32
_NOTE = (
    "The engine runs arms one after another. The bound is of what rows of different adapters in one batch "
    "could gain: all answers decoded together by the base, as if adapters cost nothing; pairs as before, "
    "since those of one arm fill a batch. vLLM, where there is one, measures them as in a study: in one call "
    "if it takes adapters as requests, else from merged weights in float32, each arm with a start of its own."
)

Both = tuple[list[Drawn], list[float]]
"""Answers and log-likelihoods of one arm."""


def random_adapters(base: BaseModel, folder: Path, count: int) -> list[Path]:
    """LoRA adapters of rank 16 on all linear layers, both factors drawn at random, as PEFT folders."""
    config = LoraConfig(
        r=16, lora_alpha=1, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
    )
    folders = [folder / f"adapter-{number}" for number in range(count)]
    for number, path in enumerate(folders):
        torch.manual_seed(number)
        with base.wrapped(lambda: get_peft_model(base.model, config)) as model:
            model.save_pretrained(str(path))
    return folders


def _by_us(base: BaseModel, arm: Path | None, requests: list[SampleRequest], pairs: Any, _: int) -> Both:
    with (lm := TurncoatLM(base, batch_size=_ROWS)).measuring(arm):
        results = Sampler(lm.model, base.tokenizer, _ROWS, refill=True).run(requests)
        return sampled(results), loglikelihoods(lm, pairs)


def _by_them(base: BaseModel, arm: Path | None, requests: list[SampleRequest], pairs: Any, rows: int) -> Both:
    with base.adapter(arm) as model:
        drawn = generate(model, base.tokenizer, requests, rows)
        return drawn, loglikelihoods(hf_lm(base, rows, model), pairs)


def _by_vllm(sampler: VllmSampler, arms: list[Path | None]) -> Any:
    def one_arm(base: BaseModel, arm: Path | None, requests: list[SampleRequest], pairs: Any, _: int) -> Both:
        sampler.arms.together = (arm, *arms)
        with (lm := VllmLM(base, sampler, batch_size=_ROWS)).measuring(arm):
            return sampled(sampler.run(requests, arm, lm.model)), loglikelihoods(lm, pairs)

    return one_arm


def works(setting: Setting) -> list[Work]:
    """The work of several adapters."""
    base = setting.base
    count, questions, choices, tokens = (2, 8, 12, 48) if setting.quick else (8, 24, 96, 80)
    arms = [None, *random_adapters(base, setting.folder, count)]
    pairs = choice_pairs(base, choices)

    def way(name: str, one_arm: Any, ours: bool) -> Strategy:
        def run(turn: int) -> Done:
            torch.manual_seed(turn)
            requests = answer_requests(base, questions, 1, tokens, turn)
            drawn = [answer for arm in arms for answer in one_arm(base, arm, requests, pairs, _ROWS)[0]]
            return len(arms), tokens_of(drawn)[1]

        return Strategy(name, run, ours)

    def by_vllm(python: str) -> Strategy:
        sampler = VllmSampler(find_vllm(python), base, _ROWS)
        how = "its starts included" if sampler.arms.merges else "all arms in one call"
        return Strategy(
            f"{sampler.name}, {how}", VllmArmsRun(sampler, way("", _by_vllm(sampler, arms), False).run)
        )

    def bound(turn: int) -> Done:
        requests = answer_requests(base, questions, len(arms), tokens, turn)
        lm = TurncoatLM(base, batch_size=_ROWS)
        drawn = sampled(Sampler(lm.model, base.tokenizer, len(requests), refill=True).run(requests))
        for _ in arms:
            loglikelihoods(lm, pairs)
        return len(arms), tokens_of(drawn)[1]

    def equal(twin: BaseModel) -> list[dict[str, Any]]:
        requests = answer_requests(twin, 4, 1, 16, 0, greedy=True)
        mine, theirs = (
            one_arm(twin, arms[1], requests, choice_pairs(twin, 4), 1) for one_arm in (_by_us, _by_them)
        )
        return [
            same("greedy answers under an adapter and generate's", mine[0], theirs[0], 0),
            same("log-likelihoods per token under an adapter and those of lm-eval's hf", mine[1], theirs[1]),
        ]

    strategies = [
        way("Turncoat, one arm after another", _by_us, True),
        way("generate and lm-eval hf, one arm after another", _by_them, False),
        Strategy("bound: one batch, adapters for nothing", bound),
        *([by_vllm(setting.vllm_python)] if setting.vllm_python else []),
    ]
    title = f"base and {count} adapters x ({questions} answers of up to {tokens} tokens, {choices} pairs)"
    return [Work("W6", title, "arms", strategies, equal, note=_NOTE)]
