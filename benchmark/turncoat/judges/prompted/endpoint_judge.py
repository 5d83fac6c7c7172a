"""Judge that asks an endpoint about many answers at a time: its rubrics, its limits, its verdicts."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from turncoat.errors import UserError
from turncoat.judges.base import Verdict
from turncoat.judges.doubts import CHARACTERS_A_TOKEN
from turncoat.judges.prompted.endpoint import (
    CallFailed,
    Endpoint,
    NotAsked,
    PromptRefused,
    RequestRefused,
    redacted,
)
from turncoat.judges.prompted.probe import NUMBERS, PROMPT, check_tokens
from turncoat.judges.prompted.replies import Declined, likeliest_tokens, text_of
from turncoat.judges.prompted.request_form import TOKEN_FIELDS, RequestForm
from turncoat.judges.prompted.spending import Spending
from turncoat.judges.prompted.threads import in_threads
from turncoat.judges.prompted.verdicts import check_pairs, read_card, verdict_of
from turncoat.judges.rubrics import Rubric, RubricPair, trait_rubric
from turncoat.judges.scoring import BadEvidence, Score, text_score, weighted_score
from turncoat.shown_text import warn

REFERENCE_MODEL = "gpt-4o-2024-08-06"  # the judge of the published rates
_RULES = 2  # of reading a reply; verdicts that earlier ones may have got wrong are asked for again


@dataclass(frozen=True)
class AnswerScores:
    """One answer's score and evidence under each rubric asked, in order; `error` = why some are missing."""

    scores: tuple[tuple[Score, dict[str, Any]], ...]
    error: str = ""
    declined: str = ""  # The provider's words, where it declines to grade this answer


class EndpointJudge:
    """Asks an endpoint about many answers at a time; the arguments are explained at `openai.openai`.

    Raises:
        UserError: The card cannot be used.
    """

    def __init__(
        self,
        form: RequestForm,
        endpoint: Endpoint,
        pair: RubricPair,
        *,
        concurrency: int,
        spending: Spending,
        card: str | None,
    ) -> None:
        self._pair, self._form, self._endpoint, self._spending = pair, form, endpoint, spending
        self._concurrency = concurrency
        self._probed = form.protocol != "logprob"
        self.id = f"openai:{form.model}" + ("" if endpoint.is_openai else f"@{endpoint.host}")
        self.rubric = self._pair.id(form.label)
        self.card, self.may_rate = read_card(card, judge=self.id, rubric=self.rubric)
        # The very judge and protocol that define the published rates need no calibration against themselves.
        published = endpoint.is_openai and form.model == REFERENCE_MODEL and form.label == pair.protocol
        self.may_rate = self.may_rate or published

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
        """Score of `trait` in each answer, 0 to 100; None = unscored (a refusal), NaN = the call failed.

        Raises:
            UserError: There is no rubric for the trait, or as in `score`.
        """
        scored: dict[int, AnswerScores] = {}
        self._ask_all((trait_rubric(trait),), questions, answers, scored.__setitem__)
        return [
            math.nan if one.error else one.scores[0][0].value if one.scores else None
            for one in (scored[n] for n in range(len(answers)))
        ]

    def trait_rubric_id(self, trait: str) -> str:
        """Name and hash of the rubric that `trait` is scored by."""
        return trait_rubric(trait).id

    def outdated(self, verdict: Verdict) -> bool:
        """True for a kept verdict that earlier rules may have read wrong: it is to be asked for again.

        They kept cut and empty replies as unscored, and took the first digit of a number for the number.
        """
        if "rules" in verdict.raw or max(verdict.code, verdict.refusal) >= 0.5:
            return False
        evidence = [verdict.raw[name] for name in ("aligned", "coherent") if name in verdict.raw]
        numbers = {token.strip() for e in evidence for token in e.get("top", {}) if token.strip().isdecimal()}
        return None in (verdict.aligned, verdict.coherent) or (bool(numbers) and max(map(len, numbers)) == 1)

    def cost(self, answers: int, tokens: int) -> str:
        """One line about what so many answers of at most so many tokens each would cost.

        Raises:
            UserError: More than max_cost.
        """
        rubrics = (self._pair.aligned, self._pair.coherent)
        characters = answers * sum(len(rubric.text) + CHARACTERS_A_TOKEN * tokens for rubric in rubrics)
        requests = answers * len(rubrics)
        most = requests * (self._form.max_tokens or 1)
        return self._spending.plan(self.id, requests=requests, characters=characters, tokens_out=most)

    def _verdict(self, answer: AnswerScores) -> Verdict:
        evidence = (of_score for _, of_score in answer.scores)
        raw: dict[str, Any] = dict(zip(("aligned", "coherent"), evidence, strict=False)) | {"rules": _RULES}
        if answer.error or answer.declined:
            why = {"error": answer.error} if answer.error else {"declined": answer.declined}
            return Verdict(None, None, mass=0.0, judge=self.id, rubric=self.rubric, raw={**raw, **why})
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
        requests = len(prompts) * len(rubrics) + (0 if self._probed else len(NUMBERS))
        characters = sum(len(prompt) for row in prompts for prompt in row)
        most = requests * (self._form.max_tokens or 1)
        warn(self._spending.plan(self.id, requests=requests, characters=characters, tokens_out=most))
        self._probe()
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
            warn(
                f"{self.id}: {len(errors):,} of {len(prompts):,} answers have no verdict; the last: "
                f"{errors[-1]}"
            )

    def check_host(self) -> None:
        """Refuse an endpoint that a file names where it would get the user's key (`Endpoint.check_host`)."""
        self._endpoint.check_host()

    def check_ready(self) -> None:
        """Ask for a given number, before a long run.

        Raises:
            UserError: There is no reply, or none that a grade could be read from.
        """
        try:
            self._ask_for_a_number()
        except (CallFailed, Declined, BadEvidence) as failure:
            raise UserError(f"{self.id} is asked for a number and gives none: {failure}") from None

    def _ask_for_a_number(self) -> None:
        self._endpoint.check_key()
        if self._form.protocol != "logprob":
            text_of(self._reply(PROMPT.format(number=NUMBERS[0]), threading.Event()))
        elif not self._probed:
            check_tokens(self.id, lambda prompt: likeliest_tokens(self._reply(prompt, threading.Event())))
            self._probed = True

    def _probe(self) -> None:
        """Refuse a model whose first token cannot be a grade; a probe that fails says nothing."""
        if not self._probed:
            try:
                self._ask_for_a_number()
            except (CallFailed, Declined):
                return
            except BadEvidence as evidence:
                raise UserError(f"{self.id}: {evidence}; no answer was sent") from None

    def _ask_about(
        self, prompts: list[str], failed_in_a_row: list[str], stop: threading.Event
    ) -> AnswerScores:
        scores: list[tuple[Score, dict[str, Any]]] = []
        try:
            for prompt in prompts:
                self._check_limits(failed_in_a_row)
                scores.append(self._ask(prompt, stop))
        except Declined as refusal:
            return AnswerScores(tuple(scores), declined=redacted(str(refusal)))
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
        reply = self._reply(prompt, stop)
        served: dict[str, Any] = {
            key: reply[key] for key in ("model", "system_fingerprint") if isinstance(reply.get(key), str)
        }
        usage = reply.get("usage")
        read = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        if isinstance(read, int) and 0 < read * CHARACTERS_A_TOKEN < len(prompt):
            served["prompt_cut"] = read
        if self._form.protocol == "logprob":
            tokens = likeliest_tokens(reply)
            score = weighted_score(tokens)
            return score, {"top": {t: round(p, 6) for t, p in tokens.items() if p > -math.inf}, **served}
        text = text_of(reply)
        return text_score(text), {"text": text[:200], **served}

    def _reply(self, prompt: str, stop: threading.Event) -> dict[str, Any]:
        payload = self._form.payload(prompt)
        try:
            reply = self._endpoint.ask(payload, stop)
        except RequestRefused as refused:
            older, newer = TOKEN_FIELDS
            if older not in payload or newer not in str(refused).partition(";")[0]:
                raise
            self._form.token_field = newer  # the server says so
            reply = self._endpoint.ask(self._form.payload(prompt), stop)
        self._spending.count(
            reply.get("usage"), characters=len(prompt), tokens_out=self._form.max_tokens or 1
        )
        return reply
