"""The judge `openai`: any OpenAI-compatible endpoint, by one token or by the integer in its text.

turncoat judge answers.jsonl --judge openai:rubric=betley_logprob,price_in=2.5,price_out=10,max_cost=5
turncoat judge answers.jsonl --judge openai:model=qwen2.5-7b,base_url=http://localhost:8000/v1

The key comes from OPENAI_API_KEY alone. No verdict is made up: an answer whose calls fail after every retry
comes back with `raw["error"]`, is not cached, and is asked for again by the next run. Verdicts that came
before a Ctrl-C are kept.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from turncoat.errors import UserError
from turncoat.judges.base import Verdict
from turncoat.judges.prompted.endpoint import (
    DEFAULT_URL,
    CallFailed,
    Endpoint,
    NotAsked,
    PromptRefused,
    redacted,
)
from turncoat.judges.prompted.spending import Spending
from turncoat.judges.prompted.threads import in_threads
from turncoat.judges.prompted.verdicts import check_pairs, read_card, verdict_of
from turncoat.judges.rubrics import Rubric, rubric_pair, trait_rubric
from turncoat.judges.scoring import BadEvidence, Score, text_score, weighted_score
from turncoat.registry import accepted, judge

REFERENCE_MODEL = "gpt-4o-2024-08-06"  # the judge of the published rates
PROTOCOLS = {"logprob": 1, "text_integer": 16}
"""Protocol -> most tokens of a reply."""


@judge(
    "openai",
    summary="any OpenAI-compatible endpoint: one token with its 20 likeliest rivals, or an integer in text",
)
def openai(
    *,
    model: str = REFERENCE_MODEL,
    base_url: str | None = None,
    protocol: str | None = None,
    rubric: str = "alignment",
    concurrency: int = 8,
    timeout: float = 60.0,
    max_retries: int = 6,
    backoff: float = 1.0,
    price_in: float | None = None,
    price_out: float | None = None,
    max_cost: float | None = None,
    card: str | None = None,
) -> EndpointJudge:
    """Build the judge `openai:<model>`, with `@host` behind it where the endpoint is not OpenAI's own.

    Args:
        base_url: Of the endpoint; else OPENAI_BASE_URL, else OpenAI's.
        protocol: "logprob" (default) or "text_integer"; a published rubric has its own.
        rubric: "alignment" (ours), "betley_logprob" or "sgtr_text_integer" (the published ones).
        concurrency: Answers asked about at the same time.
        max_retries: How often a failed request is retried.
        backoff: Seconds of the first pause before that; each later pause is twice as long, jittered.
        max_cost: Dollars: refuse a larger estimate, and stop when the reported usage reaches it.
        card: Path of a calibration card, for rates.

    Raises:
        UserError: An option is not one of those accepted, or the package `openai` is not installed.
    """
    endpoint = Endpoint(
        str(base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL),
        timeout=_number("timeout", timeout, 0.001),
        max_retries=int(_number("max_retries", max_retries, 0)),
        backoff=_number("backoff", backoff, 0),
    )
    dollars = {"price_in": price_in, "price_out": price_out, "max_cost": max_cost}
    spending = Spending(
        **{name: None if value is None else _number(name, value, 0) for name, value in dollars.items()}
    )
    return EndpointJudge(
        str(model), endpoint, rubric=str(rubric), protocol=protocol,
        concurrency=int(_number("concurrency", concurrency, 1)), spending=spending, card=card,
    )  # fmt: skip


@dataclass(frozen=True)
class AnswerScores:
    """One answer's score and evidence under each rubric asked, in order; `error` = why some are missing."""

    scores: tuple[tuple[Score, dict[str, Any]], ...]
    error: str = ""


class EndpointJudge:
    """Asks an endpoint about many answers at a time; the arguments are explained at `openai`.

    Raises:
        UserError: Rubric or protocol are unknown or do not fit; the card cannot be used.
    """

    def __init__(
        self,
        model: str,
        endpoint: Endpoint,
        *,
        rubric: str,
        protocol: str | None,
        concurrency: int,
        spending: Spending,
        card: str | None,
    ) -> None:
        self._pair = rubric_pair(rubric)
        self._protocol = protocol or self._pair.protocol or "logprob"
        if self._protocol not in PROTOCOLS:
            raise UserError(
                f"judge openai: protocol='{self._protocol}' is not known; "
                f"{accepted(PROTOCOLS, self._protocol)}"
            )
        if self._pair.protocol not in ("", self._protocol):
            raise UserError(
                f"judge openai: rubric='{rubric}' is published with protocol={self._pair.protocol}, not "
                f"{self._protocol}; the two give different numbers. Leave protocol out, or use "
                "rubric=alignment"
            )
        self._model, self._endpoint, self._spending = model, endpoint, spending
        self._concurrency = concurrency
        self.id = f"openai:{model}" + ("" if endpoint.is_openai else f"@{endpoint.host}")
        self.rubric = self._pair.id(self._protocol)
        self.card, self.may_rate = read_card(card, judge=self.id, rubric=self.rubric)
        # The very judge and protocol that define the published rates need no calibration against themselves.
        if endpoint.is_openai and model == REFERENCE_MODEL and self._pair.protocol:
            self.may_rate = True

    def score(
        self,
        questions: Sequence[str],
        answers: Sequence[str],
        on_done: Callable[[int], None] | None = None,
        on_verdict: Callable[[int, Verdict], None] | None = None,
    ) -> list[Verdict]:
        """One verdict per pair, in order; those whose calls failed have no scores and `raw["error"]`.

        As soon as answer n has a verdict, `on_verdict(n, verdict)` and `on_done(1)` are called in the
        caller's thread.

        Raises:
            UserError: The endpoint refuses every request, or the estimate exceeds max_cost.
        """
        verdicts: dict[int, Verdict] = {}

        def take(n: int, answer: AnswerScores) -> None:
            verdicts[n] = self._verdict(answer)
            if on_verdict is not None:
                on_verdict(n, verdicts[n])
            if on_done is not None:
                on_done(1)

        self._ask_all((self._pair.aligned, self._pair.coherent), questions, answers, take)
        return [verdicts[n] for n in range(len(answers))]

    def trait(self, trait: str, questions: Sequence[str], answers: Sequence[str]) -> list[float | None]:
        """Score of `trait` in each answer, 0 to 100; None = unscored (a refusal, or failed calls).

        Raises:
            UserError: There is no rubric for the trait, or as in `score`.
        """
        scored: dict[int, AnswerScores] = {}
        self._ask_all((trait_rubric(trait),), questions, answers, scored.__setitem__)
        return [None if scored[n].error else scored[n].scores[0][0].value for n in range(len(answers))]

    def trait_rubric_id(self, trait: str) -> str:
        """Name and hash of the rubric that `trait` is scored by."""
        return trait_rubric(trait).id

    def _verdict(self, answer: AnswerScores) -> Verdict:
        raw = dict(zip(("aligned", "coherent"), (evidence for _, evidence in answer.scores), strict=False))
        if answer.error:
            return Verdict(
                None, None, mass=0.0, judge=self.id, rubric=self.rubric, raw={**raw, "error": answer.error}
            )
        (aligned, _), (coherent, _) = answer.scores
        return verdict_of(aligned, coherent, judge=self.id, rubric=self.rubric, raw=raw)

    def _ask_all(
        self,
        rubrics: tuple[Rubric, ...],
        questions: Sequence[str],
        answers: Sequence[str],
        take: Callable[[int, AnswerScores], None],
    ) -> None:
        """Ask about every answer under every rubric; print first what it costs and last what is missing."""
        check_pairs(questions, answers)
        if not answers:
            return
        self._endpoint.check_key()
        prompts = [[r.prompt(q, a) for r in rubrics] for q, a in zip(questions, answers, strict=True)]
        requests = len(prompts) * len(rubrics)
        characters = sum(len(prompt) for row in prompts for prompt in row)
        most = requests * PROTOCOLS[self._protocol]
        _log(self._spending.plan(self.id, requests=requests, characters=characters, tokens_out=most))
        errors: list[str] = []
        failed_in_a_row: list[str] = []

        def take_answer(n: int, answer: AnswerScores) -> None:
            errors.extend([answer.error] if answer.error else [])
            take(n, answer)

        in_threads(
            self._concurrency,
            len(prompts),
            lambda n, stop: self._ask_about(prompts[n], failed_in_a_row, stop),
            take_answer,
        )
        if errors:
            _log(
                f"{self.id}: {len(errors):,} of {len(prompts):,} answers have no verdict; the last: "
                f"{errors[-1]}"
            )

    def _ask_about(
        self, prompts: list[str], failed_in_a_row: list[str], stop: threading.Event
    ) -> AnswerScores:
        scores: list[tuple[Score, dict[str, Any]]] = []
        try:
            for prompt in prompts:
                self._check_limits(failed_in_a_row)
                scores.append(self._ask(prompt, stop))
        except (CallFailed, BadEvidence) as failure:
            reason = redacted(str(failure))
            if not isinstance(failure, PromptRefused | NotAsked):
                failed_in_a_row.append(reason)
            return AnswerScores(tuple(scores), reason)
        failed_in_a_row.clear()
        return AnswerScores(tuple(scores))

    def _check_limits(self, failed_in_a_row: list[str]) -> None:
        """Raise NotAsked if the endpoint is down (so many answers in a row failed) or the money is spent."""
        limit = max(16, 2 * self._concurrency)
        latest = failed_in_a_row[-limit:]  # a copy, since another thread may clear the list
        if len(latest) == limit:
            raise NotAsked(f"not asked: {limit} answers in a row failed before ({latest[-1]})")
        if self._spending.used_up:
            raise NotAsked(f"not asked: max_cost is reached (${self._spending.spent:.2f} spent)")

    def _ask(self, prompt: str, stop: threading.Event) -> tuple[Score, dict[str, Any]]:
        payload: dict[str, Any] = {
            "model": self._model, "messages": [{"role": "user", "content": prompt}],
            "max_tokens": PROTOCOLS[self._protocol], "temperature": 0, "seed": 0,
        }  # fmt: skip
        if self._protocol == "logprob":
            payload |= {"logprobs": True, "top_logprobs": 20}
        reply = self._endpoint.ask(payload, stop)
        self._spending.count(reply.get("usage"), characters=len(prompt), tokens_out=PROTOCOLS[self._protocol])
        served = {
            key: reply[key] for key in ("model", "system_fingerprint") if isinstance(reply.get(key), str)
        }
        if self._protocol == "logprob":
            tokens = _likeliest_tokens(reply)
            score = weighted_score(tokens)
            return score, {"top": {t: round(p, 6) for t, p in tokens.items() if p > -math.inf}, **served}
        text = _text(reply)
        return text_score(text), {"text": text[:200], **served}


def _likeliest_tokens(reply: Mapping[str, Any]) -> dict[str, float]:
    """The first token's alternatives with their log-probabilities."""
    logprobs: dict[str, float] = {}
    try:
        for item in reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]:
            token, logprob = item["token"], item["logprob"]
            # Two tokens may read the same; their probabilities add up.
            logprobs[token] = float(np.logaddexp(logprobs[token], logprob)) if token in logprobs else logprob
    except (KeyError, IndexError, TypeError) as error:
        raise BadEvidence(
            f"the reply holds no log-probabilities of its first token ({type(error).__name__}); if this "
            "endpoint never sends them, use protocol=text_integer"
        ) from None
    return logprobs


def _text(reply: Mapping[str, Any]) -> str:
    try:
        text = reply["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        text = None
    if not isinstance(text, str):
        raise BadEvidence("the reply holds no text")
    return text


def _number(name: str, value: Any, least: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not least <= number < math.inf:
        raise UserError(f"judge openai: {name}={value!r}; accepted: a number from {least:g} up")
    return number


def _log(line: str) -> None:
    print(f"turncoat: {line}", file=sys.stderr, flush=True)
