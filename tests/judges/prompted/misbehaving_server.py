"""A real HTTP server on this machine that speaks the chat-completions protocol, and misbehaves when told to.

    with MisbehavingServer() as server:
        server.script["[cut]"] = [cut, ok]     # first and later replies to prompts that contain "[cut]"
        judge = openai(base_url=server.url, ...)

Without a script a prompt gets `ok`: the judge it plays says the number behind "score=" in the prompt.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reaction = Callable[["Handler", dict[str, Any]], None]


class MisbehavingServer:
    """The server, in a thread of its own.

    Attributes:
        script: Text in a prompt -> reactions, one per request of that very prompt; the last one is repeated.
        requests: (path, headers by lower-case name, JSON body) of every request about an answer, in order of
            arrival.
        probes: The bodies of requests that ask for a given number (`probe.py`).
        most_at_once: The most requests that were under way together.
    """

    def __init__(self) -> None:
        self.script: dict[str, list[Reaction]] = {}
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.probes: list[dict[str, Any]] = []
        self.most_at_once = 0
        self._now = 0
        self._asked: dict[str, int] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.owner = self  # type: ignore[attr-defined]

    def __enter__(self) -> MisbehavingServer:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def prompts_with(self, text: str) -> int:
        """Number of requests that had `text` in their prompt."""
        return sum(text in prompt_of(body) for _, _, body in self.requests)

    def begin(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Reaction:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            prompt = prompt_of(body)
            if "Reply with this number" in prompt:
                self.probes.append(body)
                return next((r[-1] for text, r in self.script.items() if text in prompt), ok)
            self.requests.append((path, headers, body))
            turn = self._asked[prompt] = self._asked.get(prompt, -1) + 1
            for text, reactions in self.script.items():
                if text in prompt:
                    return reactions[min(turn, len(reactions) - 1)]
        return ok

    def end(self) -> None:
        with self._lock:
            self._now -= 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = (
        True  # else each reply waits 40 ms for the client's acknowledgement of its headers
    )

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        owner: MisbehavingServer = self.server.owner  # type: ignore[attr-defined]
        reaction = owner.begin(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        try:
            reaction(self, body)
        except OSError:
            self.close_connection = True  # the client is gone
        finally:
            owner.end()

    def reply(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            **headers,
        }.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def prompt_of(body: dict[str, Any]) -> str:
    return str(body["messages"][0]["content"])


def answer_body(body: dict[str, Any], top: list[Any] | None = None) -> dict[str, Any]:
    """A well-formed reply: the number behind "score=" in the prompt with probability 0.9, or `top`."""
    number = re.search(r"(?:score=|nothing else: )(\d+)", prompt_of(body))
    said = number[1] if number else "50"
    top = top if top is not None else [{"token": said, "logprob": -0.105361}, {"token": "I", "logprob": -2.4}]
    message = {"role": "assistant", "content": said}
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": "stop"}
    if body.get("logprobs"):
        choice["logprobs"] = {"content": [{"token": said, "logprob": -0.105361, "top_logprobs": top}]}
    return {
        "model": body["model"],
        "system_fingerprint": "fp_test",
        "choices": [choice],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 1},
    }


def ok(handler: Handler, body: dict[str, Any]) -> None:
    handler.reply(200, json.dumps(answer_body(body)).encode())


def zipped(handler: Handler, body: dict[str, Any]) -> None:
    handler.reply(200, gzip.compress(json.dumps(answer_body(body)).encode()), Content_Encoding="gzip")


def status(
    code: int, message: str = "", error_code: str = "", flagged_input: str = "", **headers: str
) -> Reaction:
    """An error reply as OpenAI's servers word it; with a moderated text as OpenRouter does."""
    error: dict[str, Any] = {"message": message, "code": error_code}
    if flagged_input:
        error["metadata"] = {"flagged_input": flagged_input}

    def react(handler: Handler, body: dict[str, Any]) -> None:
        handler.reply(code, json.dumps({"error": error}).encode(), **headers)

    return react


def slow(seconds: float) -> Reaction:
    """A right reply, but late."""

    def react(handler: Handler, body: dict[str, Any]) -> None:
        time.sleep(seconds)
        ok(handler, body)

    return react


def slow_from(number: int, seconds: float) -> Reaction:
    """A right reply, late where the number behind "score=" is this one or a larger one."""

    def react(handler: Handler, body: dict[str, Any]) -> None:
        asked = re.search(r"score=(\d+)", prompt_of(body))
        if asked and int(asked[1]) >= number:
            time.sleep(seconds)
        ok(handler, body)

    return react


def in_company(handler: Handler, body: dict[str, Any]) -> None:
    """A right reply, once two requests have been under way together (or after 15 seconds)."""
    owner: MisbehavingServer = handler.server.owner  # type: ignore[attr-defined]
    until = time.monotonic() + 15
    while owner.most_at_once < 2 and time.monotonic() < until:
        time.sleep(0.005)
    ok(handler, body)


def drip(seconds: float) -> Reaction:
    """A reply that never ends: a space every few milliseconds."""

    def react(handler: Handler, body: dict[str, Any]) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            handler.wfile.write(b" ")
            time.sleep(0.02)
        handler.close_connection = True

    return react


def cut(handler: Handler, body: dict[str, Any]) -> None:
    """The connection ends in the middle of the body."""
    content = json.dumps(answer_body(body)).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.wfile.flush()
    handler.close_connection = True


def hang_up(handler: Handler, body: dict[str, Any]) -> None:
    """The connection ends without a word."""
    handler.close_connection = True


def raw(content: str) -> Reaction:
    """These bytes with status 200."""

    def react(handler: Handler, body: dict[str, Any]) -> None:
        handler.reply(200, content.encode())

    return react


def tokens(*top: Any) -> Reaction:
    """A reply whose first token has these alternatives: (token, logprob) pairs, or any other thing as it
    is."""

    def react(handler: Handler, body: dict[str, Any]) -> None:
        items = [{"token": t[0], "logprob": t[1]} if isinstance(t, tuple) else t for t in top]
        handler.reply(200, json.dumps(answer_body(body, top=items)).encode())

    return react


def says(text: str | None, finish: str = "stop", **more: Any) -> Reaction:
    """A reply with this text; `more` goes into its message."""

    def react(handler: Handler, body: dict[str, Any]) -> None:
        reply = answer_body(body)
        reply["choices"][0]["message"] |= {"content": text, **more}
        reply["choices"][0]["finish_reason"] = finish
        handler.reply(200, json.dumps(reply).encode())

    return react


def error_in_200(handler: Handler, body: dict[str, Any]) -> None:
    """Status 200 with an error in its body, as gateways send it."""
    error = {"message": "Rate limit exceeded: free-models-per-min", "code": 429}
    handler.reply(200, json.dumps({"error": error, "user_id": "u"}).encode())


def echo_key(handler: Handler, body: dict[str, Any]) -> None:
    """Refuses, and says the key aloud, as careless servers do."""
    said = handler.headers.get("Authorization", "nothing")
    handler.reply(
        401, json.dumps({"error": {"message": f"Incorrect key: {said}", "code": "invalid_api_key"}}).encode()
    )
