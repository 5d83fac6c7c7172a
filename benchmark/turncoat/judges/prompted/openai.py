"""The judge `openai`: any OpenAI-compatible endpoint, by one token or by the integer in its text.

turncoat judge answers.jsonl --judge openai:rubric=betley_logprob,price_in=2.5,price_out=10,max_cost=5
turncoat judge answers.jsonl --judge openai:model=qwen3-8b,base_url=http://localhost:8000/v1,protocol=text_integer

The key comes from OPENAI_API_KEY alone. For a study's `judge:` it goes to OpenAI's own host, or to the one
that OPENAI_BASE_URL names, and to no other. An address with a secret in its path belongs into that variable
too; it is shown with a hash. No verdict is made up: an answer whose calls fail after every retry comes back
with `raw["error"]`, is not cached, and is asked for again by the next run. An answer that the provider
declines to grade is unscored for good (`raw["declined"]`). Verdicts that came before a Ctrl-C are kept.
"""

from __future__ import annotations

import math
import os
from typing import Any

from turncoat.errors import UserError, accepted
from turncoat.judges.prompted.endpoint import DEFAULT_URL, URL_VARIABLE, Endpoint
from turncoat.judges.prompted.endpoint_judge import REFERENCE_MODEL, EndpointJudge
from turncoat.judges.prompted.request_form import PROTOCOLS, RequestForm
from turncoat.judges.prompted.spending import Spending
from turncoat.judges.rubrics import RubricPair, rubric_pair
from turncoat.registry import judge


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
    max_tokens: int | None = None,
    token_field: str = "max_tokens",
    top_logprobs: int = 20,
    temperature: float | None = 0,
    seed: int | None = 0,
    reasoning_effort: str | None = None,
    extra: str | None = None,
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
        timeout: Seconds that a whole reply may take.
        max_retries: How often a failed request is retried.
        max_tokens: Most tokens of a reply, thoughts included; None = 1 (logprob) or 16 (text_integer).
        token_field: Name of that limit in a request: "max_tokens" or "max_completion_tokens".
        top_logprobs: Alternatives of the first token that are asked for.
        temperature: None = not sent; so are the next two.
        seed: Of the server's sampling.
        reasoning_effort: As the server names it: "none", "minimal", "low", "medium", "high".
        extra: JSON object of further fields of a request.
        max_cost: Dollars: refuse a larger estimate, and stop when the reported usage reaches it.
        card: Path of a calibration card, for rates.

    Raises:
        UserError: An option is not one of those accepted, or the package `openai` is not installed.
    """
    endpoint = Endpoint(
        str(base_url or os.environ.get(URL_VARIABLE) or DEFAULT_URL),
        public=bool(base_url),
        timeout=_number("timeout", timeout, 0.001),
        max_retries=int(_number("max_retries", max_retries, 0)),
    )
    dollars = {"price_in": price_in, "price_out": price_out, "max_cost": max_cost}
    spending = Spending(
        **{name: None if value is None else _number(name, value, 0) for name, value in dollars.items()}
    )
    pair = rubric_pair(str(rubric))
    form = RequestForm(
        str(model), _protocol(protocol, pair, str(rubric)),
        max_tokens=None if max_tokens is None else int(_number("max_tokens", max_tokens, 1)),
        top_logprobs=int(_number("top_logprobs", top_logprobs, 1)),
        temperature=None if temperature is None else _number("temperature", temperature, 0),
        seed=None if seed is None else int(_number("seed", seed, 0)),
        reasoning_effort=None if reasoning_effort is None else str(reasoning_effort),
        token_field=str(token_field), extra=extra,
    )  # fmt: skip
    return EndpointJudge(
        form, endpoint, pair, concurrency=int(_number("concurrency", concurrency, 1)), spending=spending,
        card=card,
    )  # fmt: skip


def _protocol(protocol: str | None, pair: RubricPair, rubric: str) -> str:
    chosen = protocol or pair.protocol or "logprob"
    if chosen not in PROTOCOLS:
        raise UserError(f"judge openai: protocol='{chosen}' is not known; {accepted(PROTOCOLS, chosen)}")
    if pair.protocol not in ("", chosen):
        raise UserError(
            f"judge openai: rubric='{rubric}' is published with protocol={pair.protocol}, not {chosen}; the "
            "two give different numbers. Leave protocol out, or use rubric=alignment"
        )
    return chosen


def _number(name: str, value: Any, least: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not least <= number < math.inf:
        raise UserError(f"judge openai: {name}={value!r}; accepted: a number from {least:g} up")
    return number
