"""Requests to an OpenAI-compatible endpoint, retried where that can help, with errors a user can act on.

>>> endpoint = Endpoint("https://api.openai.com/v1", timeout=60, max_retries=6, backoff=1.0)
>>> endpoint.ask({"model": "gpt-4o-2024-08-06", "messages": [...]})["choices"]

Retried, with growing and jittered pauses and never sooner than `Retry-After` says: 408, 409, 429, 5xx,
timeouts, refused or cut connections, bodies that are not a JSON object. The `openai` client sends each
request; its own retries are off, since their pauses would not end with the run. Other errors are the user's
to fix (`UserError`), except those about this one prompt (`PromptRefused`). The key is read from the
environment for each request, and is kept nowhere.
"""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from turncoat.errors import UserError

# The client is imported when a judge is built, not when judges are listed: it takes a second, and may not be
# installed.
if TYPE_CHECKING:
    import openai

KEY_VARIABLE = "OPENAI_API_KEY"
DEFAULT_URL = "https://api.openai.com/v1"
LONGEST_PAUSE = 60.0  # seconds, of our own choice
LONGEST_RETRY_AFTER = 120.0  # seconds, of the server's
_LARGEST_BODY = 8 << 20  # bytes
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1", "0.0.0.0"}
_ABOUT_THE_PROMPT = {
    "content_filter", "content_policy_violation", "context_length_exceeded", "string_above_max_length",
}  # fmt: skip
_ADVICE = {
    401: "set {key} to a valid key (it is {state}), or give the base_url of an endpoint that needs none",
    403: "check that the key in {key} (it is {state}) may use this model",
    404: "check model and base_url, which ends in /v1 for most servers",
    429: "this account has no credit left: add some, or use another key",
}


class CallFailed(Exception):
    """This prompt got no usable reply; asking again may help, after `pause` seconds at least."""

    pause = 0.0


class PromptRefused(CallFailed):
    """The server refuses this very prompt (a content filter, its length)."""


class NotAsked(CallFailed):
    """The prompt was not sent, or not again: the run was stopped, is too dear, or its endpoint is down."""


def api_key() -> str:
    """The key in the environment, "" if there is none.

    Raises:
        UserError: It holds characters that no key has.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(
            f"{KEY_VARIABLE} holds white space or characters outside ASCII; set it to the key alone"
        )
    return key


def redacted(text: str) -> str:
    """`text` in one line of at most 300 characters, without the key."""
    key = api_key()
    return " ".join((text.replace(key, "[key]") if key else text).split())[:300]


class Endpoint:
    """A chat-completions endpoint; may be used from many threads.

    Args:
        base_url: The URL that "/chat/completions" is appended to.
        timeout: Seconds that a whole reply may take.
        max_retries: How often a request is retried.
        backoff: Seconds of the first pause; each later one is twice as long.

    Raises:
        UserError: It is not a URL, or carries a password or a query; the package `openai` is not installed.
    """

    def __init__(self, base_url: str, *, timeout: float, max_retries: int, backoff: float) -> None:
        parts = urlsplit(base_url)
        if parts.username or parts.password or parts.query:
            raise UserError(
                "base_url holds a password or a query, which would end up in logs; accepted: "
                f"http(s)://host[:port]/path; put the key into {KEY_VARIABLE}"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(
                f"base_url={base_url!r} is not a URL; accepted: https://host/v1, http://localhost:8000/v1"
            )
        self.url = base_url.rstrip("/")
        self.host = parts.netloc
        self._timeout = timeout
        self._retries = max_retries
        self._backoff = backoff
        self._client = _client(self.url, timeout, proxies=parts.hostname not in _THIS_MACHINE)

    @property
    def is_openai(self) -> bool:
        """True for OpenAI's own endpoint."""
        return self.url == DEFAULT_URL

    def check_key(self) -> None:
        """Raise UserError if this endpoint takes no request without a key and there is none."""
        if not api_key() and self.is_openai:
            raise UserError(
                f"{KEY_VARIABLE} is not set; set it, or give base_url=... of an endpoint that needs no key"
            )

    def ask(self, payload: Mapping[str, Any], stop: threading.Event | None = None) -> dict[str, Any]:
        """The reply's JSON object.

        Args:
            payload: The request's JSON; it also decides the jitter of the pauses.

        Raises:
            UserError: The server refuses for a reason that holds for every prompt.
            CallFailed: Every retry failed, the server refuses this very prompt (`PromptRefused`), or `stop`
                was set (`NotAsked`).
        """
        stop = stop or threading.Event()
        jitter, failure = random.Random(str(payload)), CallFailed()
        for attempt in range(self._retries + 1):
            if attempt:
                pause = min(self._backoff * 2 ** (attempt - 1), LONGEST_PAUSE) * jitter.uniform(0.5, 1.0)
                stop.wait(max(pause, failure.pause))
            if stop.is_set():
                raise NotAsked("not asked: the run was stopped")
            try:
                return self._send(payload)
            except PromptRefused:
                raise
            except CallFailed as error:
                failure = error
        raise CallFailed(f"{redacted(str(failure))} ({self._retries + 1} attempts)")

    def _send(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        import httpx2
        import openai

        start = time.monotonic()
        key = api_key()
        headers = {"Authorization": f"Bearer {key}" if key else openai.Omit()}
        create: Any = self._client.chat.completions.with_streaming_response.create
        body = b""
        try:
            with create(**payload, extra_headers=headers) as response:
                for piece in response.iter_bytes():
                    body += piece
                    # The client's timeout starts again with every byte; ours is for the whole reply.
                    if time.monotonic() - start > self._timeout:
                        raise CallFailed(f"no reply within {self._timeout:g} s")
                    if len(body) > _LARGEST_BODY:
                        raise CallFailed(f"the reply is longer than {_LARGEST_BODY} bytes")
        except openai.APIStatusError as error:
            raise self._failure(error) from None
        except (openai.APITimeoutError, httpx2.TimeoutException):
            raise CallFailed(f"no reply within {self._timeout:g} s") from None
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            name = type(error.__cause__ or error).__name__
            raise CallFailed(f"the connection to {self.host} failed ({name})") from None
        if key:  # replies are kept as evidence, also those of a server that repeats the key
            body = body.replace(key.encode(), b"[key]")
        try:
            reply = json.loads(body)
        except ValueError:
            reply = None
        if not isinstance(reply, dict):
            raise CallFailed("the reply is not a JSON object")
        return reply

    def _failure(self, error: openai.APIStatusError) -> Exception:
        status = error.status_code
        details = error.body if isinstance(error.body, dict) else {"message": error.body or ""}
        code = details.get("code") or details.get("type") or ""
        words = redacted(str(details.get("message") or ""))
        message = f"{self.host} answered {status}" + (f": {words}" if words else "")
        no_credit = status == 429 and code == "insufficient_quota"
        if (status in (408, 409, 429) and not no_credit) or status >= 500:
            failure = CallFailed(message)
            failure.pause = _retry_after(error.response.headers.get("Retry-After"))
            return failure
        if status in (400, 413, 422) and (code in _ABOUT_THE_PROMPT or status == 413):
            return PromptRefused(message)
        other = (
            "check base_url"
            if status < 400
            else "check model, protocol and base_url against what the server says"
        )
        advice = _ADVICE.get(status, other).format(key=KEY_VARIABLE, state="set" if api_key() else "not set")
        return UserError(f"{message}; {advice}")


def _client(url: str, timeout: float, *, proxies: bool) -> openai.OpenAI:
    try:
        import openai
    except ImportError:
        raise UserError(
            "judge openai: the package openai is not installed; pip install 'turncoat[openai]'"
        ) from None
    try:
        # A redirect would send the prompts, and the key, to a host that nobody named.
        http = openai.DefaultHttpxClient(follow_redirects=False, trust_env=proxies)
    except (ImportError, ValueError) as error:
        raise UserError(
            f"judge openai: a proxy in the environment cannot be used: {error}; change HTTPS_PROXY"
        ) from None
    # One line a request, which lm-eval's logging would print.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    return openai.OpenAI(api_key="-", base_url=url, timeout=timeout, max_retries=0, http_client=http)


def _retry_after(header: str | None) -> float:
    """Seconds to wait, from a number or a date; 0 where there is neither."""
    try:
        seconds = float(header or 0)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(str(header)).timestamp() - time.time()
        except ValueError:
            return 0.0
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER) if seconds == seconds else 0.0
