"""Bounds of what a client may ask for, and the error that a refused request becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """Bounds of one server."""

    body: int = 4 << 20  # bytes of a request
    max_tokens: int = 4096  # of one answer, and the length of a chat answer that names none
    choices: int = 128  # answers to one request: n times its prompts
    concurrency: int = 64  # requests at work or waiting; more are told to come back
    top_logprobs: int = 20


class Refused(Exception):
    """A request that is not served, as OpenAI's error object says it.

    Args:
        status: HTTP status.
        message: For the client's user.
        param: The field that is wrong.
        code: As OpenAI names it, such as "model_not_found".
    """

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code

    def body(self) -> dict[str, Any]:
        """The error object."""
        kinds = {401: "authentication_error", 429: "rate_limit_error"}
        kind = "server_error" if self.status >= 500 else kinds.get(self.status, "invalid_request_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}
