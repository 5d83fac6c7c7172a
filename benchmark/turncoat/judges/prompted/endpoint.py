"""One request to an OpenAI-compatible endpoint, asked again when that can help, and errors a user can act on.

>>> endpoint = Endpoint("https://api.openai.com/v1", timeout=60, max_retries=6, backoff=1.0)
>>> endpoint.ask({"model": "gpt-4o-2024-08-06", "messages": [...]}, seed="answer 3")["choices"]

Asked again, with growing and jittered pauses and never sooner than `Retry-After` says: 408, 409, 429, 5xx, timeouts,
refused or cut connections, bodies that are no JSON object. Anything else is the user's to mend (`UserError`), except what
concerns this one prompt alone (`PromptRefused`). The key is read from the environment for each request; it is in no attribute
and no message.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError as TransportError, ReadTimeoutError

from turncoat.errors import UserError

KEY_VARIABLE = "OPENAI_API_KEY"
LONGEST_PAUSE = 60.0  # seconds, of our own choice
LONGEST_RETRY_AFTER = 120.0  # seconds, of the server's
_LARGEST_BODY = 8 << 20
_ONE_PROMPT_ALONE = {"content_filter", "content_policy_violation", "context_length_exceeded", "string_above_max_length"}
_CHECKS = {
    401: "set {key} to a valid key (it is {state}), or give the base_url of an endpoint that needs none",
    403: "check that the key in {key} (it is {state}) may use this model",
    404: "check model and base_url, which ends in /v1 for most servers",
    429: "this account has no credit left: add some, or use another key",
}


class CallFailed(Exception):
    """This prompt got no usable reply; others may."""


class PromptRefused(CallFailed):
    """The server will not read this very prompt (a content filter, its length)."""


class Stopped(Exception):
    """The run was stopped while this call was waiting."""


class _Again(Exception):
    """Asking again may help, after `pause` seconds at least."""

    def __init__(self, message: str, pause: float = 0.0) -> None:
        super().__init__(message)
        self.pause = pause


class _KeyFromEnvironment(requests.auth.AuthBase):
    """Adds the key; being there at all, it keeps requests from putting a password of ~/.netrc in the key's place."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        key = api_key()
        if key:
            request.headers["Authorization"] = f"Bearer {key}"
        return request


def api_key() -> str:
    """The key in the environment, "" if there is none.

    Raises:
        UserError: It holds characters that no key has.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(f"{KEY_VARIABLE} holds white space or characters outside ASCII; set it to the key alone")
    return key


def redacted(text: str) -> str:
    """`text` in one line of at most 300 characters, without the key."""
    key = api_key()
    return " ".join((text.replace(key, "[key]") if key else text).split())[:300]


class Endpoint:
    """A chat-completions endpoint; may be used from many threads.

    Args:
        base_url: What "/chat/completions" is put behind.
        timeout: Seconds that a whole reply may take.
        max_retries: How often a request is asked again.
        backoff: Seconds of the first pause; each later one is twice as long.

    Raises:
        UserError: The URL is none, or carries a password or a query.
    """

    def __init__(self, base_url: str, *, timeout: float, max_retries: int, backoff: float) -> None:
        parts = urlsplit(base_url)
        if parts.username or parts.password or parts.query:
            raise UserError(
                "base_url holds a password or a query, which would end up in logs; accepted: http(s)://host[:port]/path; "
                f"put the key into {KEY_VARIABLE}"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"base_url={base_url!r} is not a URL; accepted: https://host/v1, http://localhost:8000/v1")
        self.url = base_url.rstrip("/") + "/chat/completions"
        self.host = parts.netloc
        self._timeout = timeout
        self._retries = max_retries
        self._backoff = backoff
        self._own = threading.local()  # requests promises thread safety for nothing but one session a thread

    def ask(self, payload: dict[str, Any], *, seed: str, stop: threading.Event | None = None) -> dict[str, Any]:
        """The reply's JSON object.

        Args:
            payload: The request's JSON.
            seed: Decides the jitter of the pauses.
            stop: Once set, waiting ends.

        Raises:
            UserError: The server refuses for a reason that holds for every prompt.
            CallFailed: Every retry failed, or (`PromptRefused`) the server refuses this very prompt.
            Stopped: `stop` was set.
        """
        stop = stop or threading.Event()
        for attempt in range(self._retries + 1):
            if stop.is_set():
                raise Stopped
            try:
                return self._once(payload)
            except _Again as failure:
                if attempt == self._retries:
                    raise CallFailed(f"{redacted(str(failure))} ({attempt + 1} attempts)") from None
                jitter = 0.5 + 0.5 * random.Random(f"{seed}/{attempt}").random()
                pause = max(min(self._backoff * 2**attempt, LONGEST_PAUSE) * jitter, failure.pause)
            if stop.wait(pause):
                raise Stopped
        raise AssertionError("unreachable")

    def _once(self, payload: dict[str, Any]) -> dict[str, Any]:
        begun = time.monotonic()
        try:
            with self._session().post(
                self.url,
                data=json.dumps(payload).encode(),
                headers={"Content-Type": "application/json"},
                timeout=self._timeout,
                allow_redirects=False,  # would turn the POST into a GET
                stream=True,
            ) as response:
                body = _without_key(self._read(response, begun))
        except (requests.Timeout, ReadTimeoutError):
            raise _Again(f"no reply within {self._timeout:g} s") from None
        except (requests.RequestException, TransportError, OSError) as error:
            raise _Again(f"the connection to {self.host} failed ({type(error).__name__})") from None
        if response.status_code == 200:
            return _object(body)
        raise self._failure(response, body)

    def _read(self, response: requests.Response, begun: float) -> bytes:
        """The body; the timeout is for all of it, since a server may send a byte now and then for ever."""
        body = b""
        while piece := response.raw.read1(1 << 16, decode_content=True):
            body += piece
            if time.monotonic() - begun > self._timeout:
                raise requests.Timeout
            if len(body) > _LARGEST_BODY:
                raise _Again(f"the reply is longer than {_LARGEST_BODY} bytes")
        return body

    def _failure(self, response: requests.Response, body: bytes) -> Exception:
        status = response.status_code
        message, code = _said(body)
        said = f"{self.host} answered {status}" + (f": {redacted(message)}" if message else "")
        no_credit = status == 429 and code == "insufficient_quota"
        if (status in (408, 409, 429) and not no_credit) or status >= 500:
            return _Again(said, _retry_after(response.headers.get("Retry-After")))
        if status in (400, 413, 422) and (code in _ONE_PROMPT_ALONE or status == 413):
            return PromptRefused(said)
        default = (
            "check base_url" if status < 400 else "check model, protocol and base_url against what the server says"
        )
        state = "set" if api_key() else "not set"
        return UserError(f"{said}; {_CHECKS.get(status, default).format(key=KEY_VARIABLE, state=state)}")

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = requests.Session()
            session.auth = _KeyFromEnvironment()
        return session


def _without_key(body: bytes) -> bytes:
    """The body without the key, should the server say it: replies are kept as evidence, and errors are shown."""
    key = api_key()
    return body.replace(key.encode(), b"[key]") if key else body


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise _Again("the reply is not a JSON object")
    return value


def _said(body: bytes) -> tuple[str, str]:
    """The server's own message and error code, as far as there are any."""
    try:
        value = json.loads(body)
    except ValueError:
        return body[:300].decode("utf-8", "replace"), ""
    error = value.get("error", value) if isinstance(value, dict) else value
    if not isinstance(error, dict):
        return str(error), ""
    return str(error.get("message", "")), str(error.get("code") or error.get("type") or "")


def _retry_after(header: str | None) -> float:
    """Seconds to wait, from a number or a date; 0 where there is neither."""
    if not header:
        return 0.0
    try:
        seconds = float(header)
    except ValueError:
        try:
            when = parsedate_to_datetime(header)
        except ValueError:
            return 0.0
        seconds = ((when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER) if seconds == seconds else 0.0
