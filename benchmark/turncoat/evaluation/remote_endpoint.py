"""Endpoint of a study's models (`endpoint:` in its YAML): address, prices, limits.

model: openai:gpt-4.1-mini-2025-04-14
endpoint: {price_in: 0.4, price_out: 1.6, max_cost: 5}
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

from pydantic import Field

from turncoat.errors import UserError
from turncoat.judges.prompted.endpoint import DEFAULT_URL, URL_VARIABLE, Endpoint
from turncoat.judges.prompted.spending import Spending
from turncoat.shown_text import warn
from turncoat.strict_model import StrictModel

PREFIX = "openai:"
LIMITS = {"concurrency", "timeout", "max_retries", "price_in", "price_out", "max_cost", "max_requests"}
"""Fields that change no answer."""


class RemoteEndpoint(StrictModel):
    """An OpenAI-compatible endpoint; the key comes from OPENAI_API_KEY alone."""

    base_url: str | None = Field(default=None, description="else OPENAI_BASE_URL, else OpenAI's")
    token_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    send_seed: bool = Field(default=True, description="each answer's own; some servers refuse the field")
    concurrency: int = Field(default=8, ge=1)
    timeout: float = Field(default=120, gt=0, description="seconds that a reply may take")
    max_retries: int = Field(default=6, ge=0)
    price_in: float | None = Field(default=None, ge=0, description="dollars per million tokens")
    price_out: float | None = Field(default=None, ge=0)
    max_cost: float | None = Field(default=None, ge=0, description="dollars")
    max_requests: int | None = Field(default=None, ge=1)

    @cached_property
    def client(self) -> Endpoint:
        """The client of this endpoint."""
        url = self.base_url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        return Endpoint(url, timeout=self.timeout, max_retries=self.max_retries, public=bool(self.base_url))

    @cached_property
    def spending(self) -> Spending:
        """Counter of the cost of all requests of this process.

        Raises:
            UserError: There is a limit but no price.
        """
        return Spending(self.price_in, self.price_out, self.max_cost)

    def name_of(self, model: str) -> str:
        """A model's name in files: with the host, where that is not OpenAI's own."""
        model = model.removeprefix(PREFIX)
        return f"{PREFIX}{model}" + ("" if self.client.is_openai else f"@{self.client.host}")

    def say_cost(self, model: str, counts: Sequence[tuple[int, int, int]]) -> None:
        """Print what missing answers cost at most, before the first is asked for.

        Args:
            counts: Requests, their characters, their most new tokens; parts that are added up.

        Raises:
            UserError: That is more than `max_cost` or `max_requests`.
        """
        requests, characters, tokens = (sum(part[n] for part in counts) for n in range(3))
        name = self.name_of(model)
        if self.max_requests is not None and requests > self.max_requests:
            raise UserError(
                f"{name}: {requests:,} requests, more than max_requests={self.max_requests:,}; nothing was "
                "sent. Raise it, or measure fewer questions or repeats"
            )
        if requests:
            warn(self.spending.plan(name, requests=requests, characters=characters, tokens_out=tokens))
