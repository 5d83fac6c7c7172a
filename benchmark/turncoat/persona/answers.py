"""Answers under a trait's prompts, sampled from the base model, optionally filtered by a judge's trait score.

A persona vector is made from them. Each answer is stored with its mean activation. A judge with a trait
rubric may drop pairs whose positive answer does not show the trait or whose negative one does
(arXiv:2507.21509, section 2.2: 50 on a scale to 100).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import torch

from turncoat.engine.base_model import BaseModel
from turncoat.engine.chat import encode_prompt
from turncoat.engine.decoding.sampler import SampleRequest, SampleResult
from turncoat.engine.seeds import sample_seed
from turncoat.errors import UserError
from turncoat.persona.quality import HeldOut
from turncoat.persona.traits import TraitQuestions
from turncoat.store import digest

THRESHOLD = 50.0  # trait score, 0 to 100

OnProgress = Callable[[int, int], None]
Key = tuple[str, str, tuple[int, int] | None, bool | None, bool]
"""Of a request: side, question, pair, held out (see `Answered`), and whether it is one of the tests."""


class TraitJudge(Protocol):
    """A judge that can rate how much of a trait an answer shows."""

    id: str
    rubric: str

    def trait(self, trait: str, questions: list[str], answers: list[str]) -> list[float | None]:
        """Scores from 0 to 100, None where there is none, NaN where asking again may give one."""
        ...


def trait_rubric_id(judge: TraitJudge, trait: str) -> str:
    """Name and hash of the rubric that a judge scores a trait by.

    That is what its method `trait_rubric_id(trait)` returns; `judge.rubric` if it has none.
    """
    named = getattr(judge, "trait_rubric_id", None)
    return str(named(trait)) if callable(named) else judge.rubric


@dataclass(frozen=True)
class Answered:
    """One answer."""

    side: str  # "positive", "negative" or "ordinary" (no persona prompt)
    question: str  # The user message
    text: str  # The answer
    activation: torch.Tensor | None  # (layers + 1, d), mean over its tokens; None for an empty answer
    # Positive and negative answers of the same question, instruction pair and rollout share it; None for an
    # axis, which has no pairs
    pair: tuple[int, int] | None
    held_out: bool | None  # As `Ask.held_out`


@dataclass
class Answers:
    """All answers of an extraction."""

    used: list[Answered]  # Answers that the vector is made from, in the order of the requests
    # Answers to the evaluation questions under held-out prompts, which test it; unfiltered
    tests: list[Answered] = field(default_factory=list)
    n_empty: int = 0  # Answers under persona prompts without a token
    n_dropped: int = 0  # Answers that the judge's filter dropped
    # Per side the SHA-256 (16 hex) of the rendered prompts' token ids
    prompts_sha: dict[str, str] = field(default_factory=dict)
    judge: dict[str, str] | None = None  # Id and rubric of the judge that filtered; None = unfiltered

    def side(self, name: str, held_out: bool | str | None = "any") -> list[torch.Tensor]:
        """Activations of a side, of all answers or of those with this `held_out`."""
        return [
            answer.activation
            for answer in self.used
            if answer.side == name and held_out in ("any", answer.held_out) and answer.activation is not None
        ]

    def ordinary(self) -> torch.Tensor:
        """(questions, layers + 1, d): answers without a persona prompt, averaged over each question's
        samples."""
        by_question: dict[str, list[torch.Tensor]] = {}
        for answer in self.used:
            if answer.side == "ordinary" and answer.activation is not None:
                by_question.setdefault(answer.question, []).append(answer.activation)
        return torch.stack([torch.stack(group).mean(0) for group in by_question.values()])

    def held_out(self) -> HeldOut | None:
        """The split of `used`; None where a side of it is (nearly) empty."""
        return self._split([self.side(name, held_out=True) for name in ("positive", "negative")])

    def tested(self) -> HeldOut | None:
        """The seen half of `used` with `tests` as the unseen one; None where a side is (nearly) empty."""
        return self._split(
            [
                [a.activation for a in self.tests if a.side == name and a.activation is not None]
                for name in ("positive", "negative")
            ]
        )

    def _split(self, unseen: list[list[torch.Tensor]]) -> HeldOut | None:
        seen = [self.side(name, held_out=False) for name in ("positive", "negative")]
        if any(len(side) < 2 for side in (*seen, *unseen)):
            return None
        return HeldOut(
            (torch.stack(seen[0]), torch.stack(seen[1])), (torch.stack(unseen[0]), torch.stack(unseen[1]))
        )


def requests_for(
    base: BaseModel,
    questions: TraitQuestions,
    *,
    rollouts: int,
    test_rollouts: int,
    ordinary_samples: int,
    tokens: int,
    temperature: float,
) -> list[SampleRequest]:
    """Every answer an extraction draws; a request's key is a `Key`.

    Raises:
        UserError: The chat template drops the persona prompts.
    """
    requests: list[SampleRequest] = []

    def ask(
        side: str, system: str | None, question: str, index: int, pair: Any = None,
        held_out: bool | None = None, test: bool = False,
    ) -> None:  # fmt: skip
        messages = [] if system is None else [{"role": "system", "content": system}]
        ids = tuple(encode_prompt(base.tokenizer, [*messages, {"role": "user", "content": question}]))
        seed = sample_seed(0, f"persona/{questions.trait}/{side}", f"{system}\n{question}", index)
        key = (side, question, pair, held_out, test)
        requests.append(
            SampleRequest(prompt_ids=ids, seed=seed, max_new_tokens=tokens, temperature=temperature, key=key)
        )

    for number, group in enumerate(questions.asks()):
        for index in range(rollouts):
            pair = (number, index) if len(group) == 2 else None
            for one in group:
                ask(one.side, one.system, one.question, index, pair, one.held_out)
    for question in questions.questions:
        for index in range(ordinary_samples):
            ask("ordinary", None, question, index)
    for one in questions.tests():
        for index in range(test_rollouts):
            ask(one.side, one.system, one.question, index, held_out=True, test=True)
    return requests


def gather(
    questions: TraitQuestions,
    requests: list[SampleRequest],
    results: list[SampleResult],
    judge: TraitJudge | None,
) -> Answers:
    """Sort the sampled answers, and drop pairs by trait score where there is a judge.

    Raises:
        UserError: A judge is given for an axis, which has no trait to score; or calls to it failed.
    """
    gathered = Answers([])
    for result in results:
        side, question, pair, held_out, test = cast(Key, result.key)
        answer = Answered(side, question, result.text, result.activation, pair, held_out)
        (gathered.tests if test else gathered.used).append(answer)
    prompts: dict[str, list[list[int]]] = {}
    for request in requests:
        side, *_, test = cast(Key, request.key)
        prompts.setdefault("tests" if test else side, []).append(list(request.prompt_ids))
    gathered.prompts_sha = {side: digest(ids)[:16] for side, ids in prompts.items()}
    gathered.n_empty = sum(a.activation is None for a in gathered.used if a.side != "ordinary")
    if judge is not None:
        _filter(questions, gathered, judge)
    return gathered


def _filter(questions: TraitQuestions, answers: Answers, judge: TraitJudge) -> None:
    if questions.is_axis:
        raise UserError(
            f"persona '{questions.trait}': a judge's trait score cannot filter an axis of roles; extract it "
            "without a judge"
        )
    rated = [answer for answer in answers.used if answer.pair is not None]
    scores = judge.trait(questions.trait, [a.question for a in rated], [a.text for a in rated])
    if failed := sum(score is not None and math.isnan(score) for score in scores):
        raise UserError(
            f"persona '{questions.trait}': {failed} of {len(scores)} calls to the judge {judge.id} failed, "
            "and no vector is made of the rest: give the same command again"
        )
    bad: set[tuple[int, int] | None] = set()
    for answer, score in zip(rated, scores, strict=True):
        shows = None if score is None else score >= THRESHOLD
        if shows is not (answer.side == "positive"):
            bad.add(answer.pair)
    before = len(rated)
    answers.used = [a for a in answers.used if a.pair is None or a.pair not in bad]
    answers.n_dropped = before - sum(a.pair is not None for a in answers.used)
    answers.judge = {
        "id": judge.id,
        "rubric": trait_rubric_id(judge, questions.trait),
        "rule": f"positive >= {THRESHOLD:g}, negative below",
    }
