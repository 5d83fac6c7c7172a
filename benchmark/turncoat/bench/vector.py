"""W4: a persona vector by the engine, and by `generate` and `output_hidden_states`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from turncoat.bench.reference import generate, hidden_means
from turncoat.bench.work import Done, Setting, Strategy, Work, same
from turncoat.engine.base_model import BaseModel
from turncoat.engine.chat import encode, encode_prompt
from turncoat.engine.decoding.sampler import Sampler, SampleRequest
from turncoat.persona.answers import requests_for
from turncoat.persona.extract import ORDINARY_SAMPLES, ROLLOUTS, TEMPERATURE, TOKENS, extract
from turncoat.persona.traits import TraitQuestions, trait_questions

TRAIT = "evil"
_ROWS = 32


def _questions(few: bool) -> TraitQuestions:
    # The amount of work that the records have: no answers that only test the vector, 32 texts for the layer.
    full = replace(trait_questions(TRAIT), evaluation=())
    full = replace(full, selection=full.selection[:32])
    if not few:
        return full
    return replace(
        full, instructions=full.instructions[:2], questions=full.questions[:6], selection=full.selection[:4]
    )


def _requests(base: BaseModel, questions: TraitQuestions) -> list[SampleRequest]:
    return requests_for(
        base, questions, rollouts=ROLLOUTS, test_rollouts=0, ordinary_samples=ORDINARY_SAMPLES, tokens=TOKENS,
        temperature=TEMPERATURE,
    )  # fmt: skip


def _difference(requests: list[SampleRequest], answers: list[list[int]], model: Any) -> torch.Tensor:
    """Mean state of positive minus negative answers, one text a pass: (layers, d)."""
    read = [(r, ids) for r, ids in zip(requests, answers, strict=True) if ids]
    means = hidden_means(model, [(r.prompt_ids, ids) for r, ids in read])
    sides = [r.key[0] for r, _ in read]  # type: ignore[index]
    positive, negative = (
        means[[n for n, name in enumerate(sides) if name == side]].mean(0)
        for side in ("positive", "negative")
    )
    return positive - negative


def works(setting: Setting) -> list[Work]:
    """The persona-vector work."""
    base, questions = setting.base, _questions(setting.quick)
    requests = _requests(base, questions)

    def ours(_: int) -> Done:
        extract(base, base.model, questions, batch_size=_ROWS)
        return len(requests), None

    def plain(turn: int) -> Done:
        torch.manual_seed(turn)
        drawn = generate(base.model, base.tokenizer, requests, _ROWS)
        _difference(requests, [ids for ids, _ in drawn], base.model)
        texts = [(question, text) for question, *both in questions.selection for text in both]
        prompts = [encode_prompt(base.tokenizer, [{"role": "user", "content": ask}]) for ask, _ in texts]
        answers = [encode(base.tokenizer, text) for _, text in texts]
        hidden_means(base.model, list(zip(prompts, answers, strict=True)))  # for the choice of the layer
        return len(requests), None

    strategies = [
        Strategy("Turncoat", ours, True),
        Strategy(f"generate, batch {_ROWS}, then output_hidden_states", plain),
    ]
    title = f"persona vector '{TRAIT}' from {len(requests)} answers of {TOKENS} tokens, with its layer"
    return [Work("W4", title, "answers", strategies, _equal)]


def _equal(twin: BaseModel) -> list[dict[str, Any]]:
    """The vector at every layer but the last from the same answers, relative to its layer's largest value."""
    questions = _questions(few=True)
    requests = _requests(twin, questions)
    vector = extract(twin, twin.model, questions, batch_size=_ROWS)
    answers = [result.token_ids for result in Sampler(twin.model, twin.tokenizer, _ROWS).run(requests)]
    theirs = _difference(requests, answers, twin.model)
    ours = torch.stack([vector.raw(layer) for layer in range(len(theirs))])
    scale = theirs.abs().amax(dim=1, keepdim=True).clamp_min(1)
    return [same("persona vectors and output_hidden_states", ours / scale, theirs / scale)]
