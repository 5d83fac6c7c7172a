"""A judge behind any OpenAI-compatible endpoint, by the one-token protocol or by the integer in its text.

turncoat judge answers.jsonl --judge openai:model=gpt-4o-2024-08-06,rubric=betley_logprob,price_in=2.5,price_out=10,max_cost=5
turncoat judge answers.jsonl --judge openai:model=qwen2.5-7b,base_url=http://localhost:8000/v1

The key comes from OPENAI_API_KEY alone. No verdict is made up: an answer whose calls fail after every retry comes back with
`raw["error"]`, is not cached, and is asked for again by the next run; what was judged until a Ctrl-C is kept.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from turncoat.errors import UserError
from turncoat.judges.base import Verdict
from turncoat.judges.prompted.endpoint import (
    KEY_VARIABLE,
    CallFailed,
    Endpoint,
    PromptRefused,
    Stopped,
    api_key,
    redacted,
)
from turncoat.judges.prompted.replies import likeliest_tokens, reply_text
from turncoat.judges.prompted.spending import Spending
from turncoat.judges.prompted.verdicts import check_pairs, read_card, verdict_of
from turncoat.judges.prompted.workers import Outage, run_all
from turncoat.judges.rubrics import Rubric, rubric_pair, trait_rubric
from turncoat.judges.scoring import BadEvidence, Score, text_score, weighted_score
from turncoat.registry import accepted, judge

DEFAULT_URL = "https://api.openai.com/v1"
REFERENCE_MODEL = "gpt-4o-2024-08-06"  # the judge that the published rates are made with
PROTOCOLS = {"logprob": 1, "text_integer": 16}
"""Protocol -> most tokens of a reply."""
_WORD_TOKENS = 8


@judge(
    "openai", summary="any OpenAI-compatible endpoint: one token with its 20 likeliest rivals, or an integer in text"
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
    """The judge `openai:<model>`, with `@host` behind it where the endpoint is not OpenAI's own.

    Args:
        model: As the endpoint calls it.
        base_url: Of the endpoint; else OPENAI_BASE_URL, else OpenAI's.
        protocol: "logprob" (default) or "text_integer"; a published rubric has its own.
        rubric: "alignment" (ours), "betley_logprob" or "sgtr_text_integer" (the published ones).
        concurrency: Answers asked about at the same time.
        timeout: Seconds for one reply.
        max_retries: How often a failed request is asked again.
        backoff: Seconds of the first pause before that; each later pause is twice as long, jittered.
        price_in: Dollars per million prompt tokens.
        price_out: Dollars per million reply tokens.
        max_cost: Dollars: refuse a larger estimate, and stop when the reported usage reaches it.
        card: Path of a calibration card, for rates.

    Raises:
        UserError: An option is none of those accepted.
    """
    number = {
        "concurrency": _number("concurrency", concurrency, 1),
        "max_retries": _number("max_retries", max_retries, 0),
        "timeout": _number("timeout", timeout, 0.001),
        "backoff": _number("backoff", backoff, 0),
    }
    prices = [
        None if value is None else _number(name, value, 0)
        for name, value in (("price_in", price_in), ("price_out", price_out), ("max_cost", max_cost))
    ]
    endpoint = Endpoint(
        str(base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL),
        timeout=number["timeout"],
        max_retries=int(number["max_retries"]),
        backoff=number["backoff"],
    )
    return EndpointJudge(
        str(model),
        endpoint,
        rubric=str(rubric),
        protocol=protocol,
        concurrency=int(number["concurrency"]),
        spending=Spending(*prices),
        card=card,
    )


@dataclass(frozen=True)
class _Heard:
    """What one answer got: a score and its evidence per rubric, or why not."""

    scores: tuple[tuple[Score, dict[str, Any]], ...]
    error: str = ""


class EndpointJudge:
    """Asks an endpoint about every answer, many at a time; see the module's docstring.

    Args:
        model: As the endpoint calls it.
        endpoint: Where to ask.
        rubric: Name of the pair of rubrics.
        protocol: How to ask; None = the rubric's own, or "logprob".
        concurrency: Answers asked about at the same time.
        spending: Prices and limit.
        card: Path of a calibration card.
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
                f"judge openai: protocol='{self._protocol}' is not known; {accepted(PROTOCOLS, self._protocol)}"
            )
        if self._pair.protocol not in ("", self._protocol):
            raise UserError(
                f"judge openai: rubric='{rubric}' is published with protocol={self._pair.protocol}, not "
                f"{self._protocol}; the two give different numbers. Leave protocol out, or use rubric=alignment"
            )
        self._model = model
        self._endpoint = endpoint
        self._concurrency = concurrency
        self._spending = spending
        own = endpoint.url.startswith(DEFAULT_URL + "/")
        self.id = f"openai:{model}" + ("" if own else f"@{endpoint.host}")
        self.rubric = self._pair.id(self._protocol)
        self.card, self.may_rate = read_card(card, judge=self.id, rubric=self.rubric)
        # The very judge and protocol that define the published rates need no calibration against themselves.
        self.may_rate = self.may_rate or (own and model == REFERENCE_MODEL and bool(self._pair.protocol))

    def score(
        self,
        questions: Sequence[str],
        answers: Sequence[str],
        on_done: Callable[[int], None] | None = None,
        on_verdict: Callable[[int, Verdict], None] | None = None,
    ) -> list[Verdict]:
        """One verdict per pair, in order; those whose calls failed have no scores and `raw["error"]`.

        Args:
            questions: What the model was asked.
            answers: What it said, one per question.
            on_done: Told how many more answers are done.
            on_verdict: Told (number of the answer, its verdict) as soon as there is one, in the caller's thread.

        Raises:
            UserError: The endpoint refuses every request, or the estimate exceeds max_cost.
        """
        verdicts: dict[int, Verdict] = {}

        def take(n: int, heard: _Heard) -> None:
            verdicts[n] = self._verdict(heard)
            if on_verdict is not None:
                on_verdict(n, verdicts[n])
            if on_done is not None:
                on_done(1)

        self._ask_all((self._pair.aligned, self._pair.coherent), questions, answers, take)
        return [verdicts[n] for n in range(len(answers))]

    def trait(self, trait: str, questions: Sequence[str], answers: Sequence[str]) -> list[float | None]:
        """How strongly each answer shows `trait`, 0 to 100; None = unscored (a refusal, or failed calls).

        Raises:
            UserError: There is no rubric for the trait, or as in `score`.
        """
        scores: dict[int, float | None] = {}

        def take(n: int, heard: _Heard) -> None:
            scores[n] = None if heard.error else heard.scores[0][0].value

        self._ask_all((trait_rubric(trait),), questions, answers, take)
        return [scores[n] for n in range(len(answers))]

    def trait_rubric_id(self, trait: str) -> str:
        """Name and hash of the rubric that `trait` is scored by."""
        return trait_rubric(trait).id

    def words(self, prompts: Sequence[str], words: Sequence[str]) -> list[str | None]:
        """The one of `words` that the reply to each prompt begins with; None = none of them, or the call failed.

        Raises:
            UserError: As in `score`.
        """
        if prompts and not api_key() and self._endpoint.url.startswith(DEFAULT_URL):
            raise UserError(f"{KEY_VARIABLE} is not set; set it, or give base_url=... of an endpoint that needs no key")
        characters = sum(map(len, prompts))
        most = _WORD_TOKENS * len(prompts)
        _tell(self._spending.plan(self.id, requests=len(prompts), characters=characters, tokens_out=most))
        found: dict[int, str | None] = {}

        def work(n: int, stop: threading.Event) -> str | None:
            if self._spending.used_up:
                return None
            message = {"role": "user", "content": prompts[n]}
            payload = {
                "model": self._model,
                "messages": [message],
                "max_tokens": _WORD_TOKENS,
                "temperature": 0,
                "seed": 0,
            }
            try:
                body = self._endpoint.ask(payload, seed=f"{n}", stop=stop)
                self._spending.count(body.get("usage"), characters=len(prompts[n]), tokens_out=_WORD_TOKENS)
                text = reply_text(body).strip(" \n\"'*").upper()
            except (CallFailed, BadEvidence, Stopped):
                return None
            return next((word for word in words if text.startswith(word)), None)

        run_all(self._concurrency, range(len(prompts)), work, found.__setitem__)
        return [found[n] for n in range(len(prompts))]

    def _verdict(self, heard: _Heard) -> Verdict:
        raw = dict(zip(("aligned", "coherent"), (evidence for _, evidence in heard.scores), strict=False))
        if heard.error:
            return Verdict(None, None, mass=0.0, judge=self.id, rubric=self.rubric, raw={**raw, "error": heard.error})
        (aligned, _), (coherent, _) = heard.scores
        return verdict_of(aligned, coherent, judge=self.id, rubric=self.rubric, raw=raw)

    def _ask_all(
        self,
        rubrics: tuple[Rubric, ...],
        questions: Sequence[str],
        answers: Sequence[str],
        take: Callable[[int, _Heard], None],
    ) -> None:
        """Ask about every answer under every rubric; say first what it costs and last what is missing."""
        check_pairs(questions, answers)
        if not answers:
            return
        if not api_key() and self._endpoint.url.startswith(DEFAULT_URL):
            raise UserError(f"{KEY_VARIABLE} is not set; set it, or give base_url=... of an endpoint that needs no key")
        prompts = [[r.prompt(q, a) for r in rubrics] for q, a in zip(questions, answers, strict=True)]
        requests = len(prompts) * len(rubrics)
        characters = sum(len(prompt) for row in prompts for prompt in row)
        most = requests * PROTOCOLS[self._protocol]
        _tell(self._spending.plan(self.id, requests=requests, characters=characters, tokens_out=most))
        outage = Outage(after=max(16, 2 * self._concurrency))
        missing: list[str] = []

        def work(n: int, stop: threading.Event) -> _Heard:
            return self._hear(n, prompts[n], outage, stop)

        def keep(n: int, heard: _Heard) -> None:
            if heard.error:
                missing.append(heard.error)
            take(n, heard)

        run_all(self._concurrency, range(len(prompts)), work, keep)
        if missing:
            _tell(f"{self.id}: {len(missing):,} of {len(prompts):,} answers have no verdict; the last: {missing[-1]}")

    def _hear(self, n: int, prompts: list[str], outage: Outage, stop: threading.Event) -> _Heard:
        scores: list[tuple[Score, dict[str, Any]]] = []
        for prompt in prompts:
            if outage.declared:
                return _Heard(tuple(scores), outage.verdict)
            if self._spending.used_up:
                return _Heard(tuple(scores), f"not asked: max_cost is reached (${self._spending.spent:.2f} spent)")
            try:
                scores.append(self._ask(prompt, f"{n}", stop))
            except (CallFailed, BadEvidence) as error:
                reason = redacted(str(error))
                if not isinstance(error, PromptRefused):
                    outage.failure(reason)
                return _Heard(tuple(scores), reason)
            except Stopped:
                return _Heard(tuple(scores), "not asked: the run was stopped")
        outage.success()
        return _Heard(tuple(scores))

    def _ask(self, prompt: str, seed: str, stop: threading.Event) -> tuple[Score, dict[str, Any]]:
        payload: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": PROTOCOLS[self._protocol],
            "temperature": 0,
            "seed": 0,
        }
        if self._protocol == "logprob":
            payload |= {"logprobs": True, "top_logprobs": 20}
        body = self._endpoint.ask(payload, seed=seed, stop=stop)
        self._spending.count(body.get("usage"), characters=len(prompt), tokens_out=PROTOCOLS[self._protocol])
        served = {key: body[key] for key in ("model", "system_fingerprint") if isinstance(body.get(key), str)}
        if self._protocol == "logprob":
            tokens = likeliest_tokens(body)
            return weighted_score(tokens), {
                "top": {t: round(p, 6) for t, p in tokens.items() if p > -math.inf},
                **served,
            }
        text = reply_text(body)
        return text_score(text), {"text": text[:200], **served}


def _number(name: str, value: Any, least: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not least <= number < math.inf:
        raise UserError(f"judge openai: {name}={value!r}; accepted: a number from {least:g} up")
    return number


def _tell(line: str) -> None:
    print(f"turncoat: {line}", file=sys.stderr, flush=True)
