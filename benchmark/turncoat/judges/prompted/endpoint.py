"""Requests to an OpenAI-compatible endpoint through the `openai` client, with errors a user can act on.

>>> endpoint = Endpoint("https://api.openai.com/v1", timeout=60, max_retries=6)
>>> endpoint.ask({"model": "gpt-4o-2024-08-06", "messages": [...]})["choices"]

The client retries what asking again can help (`http_client.py`). Other errors are the user's to fix
(`RequestRefused`), except those about this one prompt. The key is read from the environment for each request,
and is kept nowhere. It goes to a host that a file names only if OPENAI_BASE_URL names that host too.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from turncoat.errors import UserError
from turncoat.judges.prompted.replies import FILTERED, TOO_LONG, Declined
from turncoat.judges.prompted.request_form import advice_for

# The client is imported when a judge is built, not when judges are listed: it takes a second, and may not be
# installed.
if TYPE_CHECKING:
    import openai

KEY_VARIABLE = "OPENAI_API_KEY"
URL_VARIABLE = "OPENAI_BASE_URL"
DEFAULT_URL = "https://api.openai.com/v1"
_SECRETS = (KEY_VARIABLE, "OPENAI_CUSTOM_HEADERS")  # both go along with each request
_PLAIN = re.compile(r"[A-Za-z._~-]{0,32}|[\w.~-]{0,8}", re.ASCII)  # parts of a path that are not a secret
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1", "0.0.0.0"}
_ADVICE = {
    401: "set {key} to a valid key (it is {state}), or give the base_url of an endpoint that needs none",
    403: "check that the key in {key} (it is {state}) may use this model",
    404: "check model and base_url, which ends in /v1 for most servers",
    429: "this account has no credit left: add some, or use another key",
}


class CallFailed(Exception):
    """This prompt got no usable reply; asking again may help."""


class PromptRefused(CallFailed):
    """The server refuses this very prompt, which is too long for it."""


class NotAsked(CallFailed):
    """The prompt was not sent, or not again: the run was stopped, is too dear, or its endpoint is down."""


class RequestRefused(UserError):
    """The server refuses what all prompts have in common: the key, the model, a field of the request."""


LEAST_SECRET = 8
"""Characters of the shortest key that is taken out of messages."""


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


def _without_key(text: str) -> str:
    """`text` without the key, plain or in base64.

    A placeholder that a local server gets for a key, such as "x" or "EMPTY", may be part of a word.
    """
    key = api_key()
    if len(key) < LEAST_SECRET:
        return text
    encoded = base64.b64encode(key.encode()).decode().rstrip("=")
    return text.replace(key, "[key]").replace(json.dumps(key)[1:-1], "[key]").replace(encoded, "[key]")


def redacted(text: str) -> str:
    """`text` in one line of at most 300 characters, without the key."""
    return " ".join(_without_key(text).split())[:300]


def shown_path(path: str) -> str:
    """The path of an address with a hash in place of each part that may be a secret: one of over 32
    characters, of over 8 with a digit among them, or with an unusual character."""
    return "/".join(
        part if _PLAIN.fullmatch(part) else f"~{hashlib.sha256(part.encode()).hexdigest()[:8]}"
        for part in path.split("/")
    )


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def check_named(url: str) -> None:
    """Refuse an address that a file names where it would get the user's key and the user named another host.

    Raises:
        UserError: With what to type.
    """
    secrets = [name for name in _SECRETS if os.environ.get(name, "").strip()]
    if secrets and _origin(url) != _origin(os.environ.get(URL_VARIABLE) or DEFAULT_URL):
        host = urlsplit(url).netloc.rpartition("@")[2]
        raise UserError(
            f"a file names the host {host}, which would get {' and '.join(secrets)}. If that is wanted, name "
            f"the host too: set {URL_VARIABLE}={urlsplit(url).scheme}://{host}/v1 and run it again. If the "
            f"server needs no key: unset {' '.join(secrets)}"
        )


class Endpoint:
    """A chat-completions endpoint; may be used from many threads.

    Args:
        base_url: The URL that "/chat/completions" is appended to.
        timeout: Seconds that a whole reply may take.
        max_retries: How often a request is retried.
        public: The address stands in a judge's name, which files keep; else OPENAI_BASE_URL holds it.

    Raises:
        UserError: It is not a URL, or carries a password, a query, a fragment or (where it is public) a path
            that may be a secret; the package `openai` is not installed.
    """

    def __init__(self, base_url: str, *, timeout: float, max_retries: int, public: bool = True) -> None:
        parts = urlsplit(base_url)
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise UserError(
                "base_url holds a password, a query or a fragment, which would end up in logs; accepted: "
                f"http(s)://host[:port]/path; put the key into {KEY_VARIABLE}"
            )
        if public and shown_path(parts.path) != parts.path:
            raise UserError(
                f"base_url has a path that may be a secret ({parts.netloc}{shown_path(parts.path)}; ~ and a "
                "hash stand for that part), and the judge's name is kept in files: leave base_url out and "
                f"set {URL_VARIABLE} to the address"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(
                f"base_url={base_url!r} is not a URL; accepted: https://host/v1, http://localhost:8000/v1"
            )
        self.url = base_url.rstrip("/")
        path = parts.path.rstrip("/")  # a gateway may have another model of the same name under each path
        self.host = parts.netloc + (shown_path(path) if path != "/v1" else "")
        self._timeout = timeout
        self._attempts = max_retries + 1
        self._run = threading.local()
        try:
            import openai

            from turncoat.judges.prompted.http_client import http_client
        except ImportError:
            raise UserError(
                "judge openai: the package openai is not installed; pip install 'turncoat[openai]'"
            ) from None
        try:
            http = http_client(timeout, proxies=parts.hostname not in _THIS_MACHINE, run=self._run)
        except (ImportError, ValueError) as error:
            raise UserError(
                f"judge openai: a proxy in the environment cannot be used: {error}; change HTTPS_PROXY"
            ) from None
        self._client = openai.OpenAI(
            api_key="-", base_url=self.url, timeout=timeout, max_retries=max_retries, http_client=http
        )

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

    def check_host(self) -> None:
        """Refuse this host, which a file names, where it would get the user's key and the user named another.

        Raises:
            UserError: With what to type.
        """
        check_named(self.url)

    def ask(self, payload: Mapping[str, Any], stop: threading.Event | None = None) -> dict[str, Any]:
        """The reply's JSON object, without the key.

        Args:
            payload: The request's JSON.
            stop: No attempt begins once it is set.

        Raises:
            RequestRefused: The server refuses for a reason that holds for every prompt.
            Declined: The server declines to process this prompt.
            CallFailed: Every attempt failed, the prompt is too long (`PromptRefused`), or `stop` was set
                (`NotAsked`).
        """
        import httpx2
        import openai

        from turncoat.judges.prompted.http_client import BadReply, Stopped

        self._run.stop = stop or threading.Event()
        key = api_key()
        headers = {
            "Authorization": f"Bearer {key}" if key else openai.Omit(),
            "Accept-Encoding": "identity",  # so that a small body cannot unpack to a large one
        }
        try:
            # The way for requests that may hold fields the client has no name for.
            response = self._client.post(
                "/chat/completions", cast_to=httpx2.Response, body=dict(payload), options={"headers": headers}
            )
        except Stopped:
            raise NotAsked("not asked: the run was stopped") from None
        except openai.APIStatusError as error:
            raise self._failure(error, dict(payload)) from None
        except openai.APIConnectionError as error:
            raise CallFailed(f"{self._trouble(error, BadReply)} ({self._attempts} attempts)") from None
        # Replies are kept as evidence, also those of a server that repeats the key, escaped or not.
        try:
            reply: dict[str, Any] = json.loads(_without_key(json.dumps(json.loads(response.content))))
        except ValueError as error:  # a number that holds the key
            raise CallFailed(f"the reply is not JSON without the key: {error}") from None
        return reply

    def _trouble(self, error: openai.APIConnectionError, bad_reply: type[Exception]) -> str:
        import openai

        if isinstance(error, openai.APITimeoutError):
            return f"no reply within {self._timeout:g} s"
        if isinstance(error.__cause__, bad_reply):
            return str(error.__cause__)
        return f"the connection to {self.host} failed ({type(error.__cause__ or error).__name__})"

    def _failure(self, error: openai.APIStatusError, payload: dict[str, Any]) -> Exception:
        from turncoat.judges.prompted.http_client import ANSWERED_200

        status = error.status_code
        details: dict[str, Any] = (
            error.body if isinstance(error.body, dict) else {"message": error.body or ""}
        )
        with suppress(LookupError, TypeError):  # an error in the midst of a reply
            details = {"message": "", **details["choices"][0]["error"]}
        code = str(details.get("code") or details.get("type") or "")
        said = redacted(str(details.get("message") or ""))
        within = " in a reply of status 200" if ANSWERED_200 in error.response.extensions else ""
        message = f"{self.host} answered {status}{within}" + (f": {said}" if said else "")
        metadata = details.get("metadata")
        if code in FILTERED or (isinstance(metadata, dict) and "flagged_input" in metadata):
            return Declined(said or code)
        no_credit = status == 429 and code == "insufficient_quota"
        if (status in (408, 409, 429) and not no_credit) or status >= 500:
            return CallFailed(f"{message} ({self._attempts} attempts)")
        if status == 413 or (status in (400, 422) and code in TOO_LONG):
            return PromptRefused(message)
        field_advice = advice_for(f"{details.get('param') or ''} {said}", payload)
        other = field_advice or (
            "check base_url"
            if status < 400
            else "check model, protocol and base_url against what the server says"
        )
        advice = _ADVICE.get(status, other).format(key=KEY_VARIABLE, state="set" if api_key() else "not set")
        return RequestRefused(f"{message}; {advice}")
