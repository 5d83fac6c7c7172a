"""HTTP client of the endpoint judge: the `openai` client's, with whole replies of bounded time and size.

The `openai` client retries (408, 409, 429, 5xx, timeouts, cut connections; never sooner than `Retry-After`).
The hooks here hand it what it would take for a success: an error in the body of a 200, a reply that is not a
JSON object, one that drips or never ends. They also end its retries when the run is stopped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import openai

from turncoat.errors import UserError
from turncoat.judges.prompted.replies import FILTERED, TOO_LONG
from turncoat.text_files import parse_json

LARGEST_BODY = 8 << 20  # bytes
ANSWERED_200 = "turncoat_answered_200"
"""Key of a response's extensions: its status is that of the error in its body."""
_UNTIL = "turncoat_until"  # key of a request's extensions: when its reply must have ended, monotonic seconds


class BadReply(httpx2.TransportError):
    """A reply that cannot be used; the client asks again."""


class Stopped(openai.OpenAIError):
    """The run was stopped; the client passes its own kind of error on without asking again."""


def http_client(timeout: float, *, proxies: bool, run: threading.local) -> httpx2.Client:
    """A client that follows no redirect: the prompts, and the key, would go to a host that nobody named.

    Args:
        timeout: Seconds that a whole reply may take.
        proxies: Whether the environment's proxies are used.
        run: Its `stop` (`threading.Event`) ends a thread's retries once it is set.
    """

    def unless_stopped(request: httpx2.Request) -> None:
        if run.stop.is_set():
            raise Stopped()
        request.extensions[_UNTIL] = time.monotonic() + timeout

    def whole(response: httpx2.Response) -> None:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise BadReply("the reply is compressed, which nobody asked for")
        response.stream = _Bounded(response.stream, response.request.extensions[_UNTIL])
        response.read()
        if response.is_success:
            _check_body(response)
        elif response.status_code == 429 and b"insufficient_quota" in response.content:
            response.headers["x-should-retry"] = "false"  # the client obeys this header

    hooks: dict[str, list[Any]] = {"request": [unless_stopped], "response": [whole]}
    # One line a request, which lm-eval's logging would print.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    return openai.DefaultHttpxClient(follow_redirects=False, trust_env=proxies, event_hooks=hooks)


class _Bounded(httpx2.SyncByteStream):
    """A body that must end in time: the client's timeout starts again with every byte."""

    def __init__(self, stream: Any, until: float) -> None:
        self._stream, self._until = stream, until

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for piece in self._stream:
            size += len(piece)
            if size > LARGEST_BODY:
                raise BadReply(f"the reply is longer than {LARGEST_BODY} bytes")
            if time.monotonic() > self._until:
                raise httpx2.ReadTimeout("the reply did not end in time")
            yield piece

    def close(self) -> None:
        self._stream.close()


def _check_body(response: httpx2.Response) -> None:
    try:
        body = parse_json(response.content, "the reply")
    except UserError:
        body = None
    if not isinstance(body, dict):
        raise BadReply("the reply is not a JSON object")
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    error = body.get("error") or (first.get("error") if isinstance(first, dict) else None)
    if error:  # gateways pass their provider's errors on like this
        code = str(error.get("code")) if isinstance(error, dict) else ""
        about_prompt = code in FILTERED | TOO_LONG
        status = int(code) if code.isdecimal() else 0
        response.status_code = 400 if about_prompt else status if 400 <= status < 600 else 502
        response.extensions[ANSWERED_200] = True
