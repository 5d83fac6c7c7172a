"""HTTP of the server: `http.server`'s threads, a token, bounds on bodies and connections, OpenAI's errors."""

from __future__ import annotations

import hmac
import json
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from turncoat.errors import UserError
from turncoat.serving.arms import ServedArm
from turncoat.serving.limits import Limits, Refused
from turncoat.serving.replies import Reply, model_card
from turncoat.serving.requests import ChatBody, TextBody, parse_request
from turncoat.serving.scheduler import Event, Job, Scheduler
from turncoat.text_files import parse_json

_IDLE_SECONDS = 60  # that a connection may say nothing
_KINDS: dict[str, type[ChatBody] | type[TextBody]] = {
    "/v1/chat/completions": ChatBody, "/v1/completions": TextBody,
}  # fmt: skip


class ArmServer(ThreadingHTTPServer):
    """Serves arms at an address; `serve_forever` and `close` as of any `socketserver`.

    Args:
        address: Host and port; port 0 chooses one.
        arms: By their names.
        scheduler: Started by the caller.
        token: That each request has to bring as `Authorization: Bearer TOKEN`.

    Raises:
        UserError: The address cannot be used.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], arms: Mapping[str, ServedArm], scheduler: Scheduler, *, token: str,
        limits: Limits | None = None,
    ) -> None:  # fmt: skip
        self.arms, self.scheduler, self.token = arms, scheduler, token.encode()
        self.limits = limits or Limits()
        self.created = int(time.time())
        self._places = threading.BoundedSemaphore(4 * self.limits.concurrency)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        try:
            super().__init__(address, _Handler)
        except OSError as error:
            raise UserError(
                f"{address[0]}:{address[1]} cannot be listened on ({error.strerror or error}); give another "
                "--port (0 chooses one) or --host"
            ) from error

    @property
    def url(self) -> str:
        """The `base_url` of clients."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{shown}:{port}/v1"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread, unless there are too many: then it is closed."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """As `ThreadingMixIn`, and the place is free again."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is its client's matter."""


class _Handler(BaseHTTPRequestHandler):
    server: ArmServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "turncoat", ""
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Nothing: requests hold what users type."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """A JSON error for what `http.server` itself refuses, such as a malformed request."""
        self.close_connection = True
        self._send_refusal(Refused(code, message or "this request cannot be answered"))

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, work: Any) -> None:
        self._begun = False
        try:
            work()
        except Refused as refusal:
            if not self._begun:
                self._send_refusal(refusal)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _get(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path == "/health":
            self._send(200, {"status": "ok"})
            return
        self._check_token()
        cards = {name: model_card(arm, self.server.created) for name, arm in self.server.arms.items()}
        if path == "/v1/models":
            self._send(200, {"object": "list", "data": list(cards.values())})
        elif (name := path.removeprefix("/v1/models/")) in cards:
            self._send(200, cards[name])
        else:
            raise self._no_path(path)

    def _post(self) -> None:
        path = urlsplit(self.path).path
        try:
            self._check_token()
            if path not in _KINDS:
                raise self._no_path(path)
            body = self._body()
        except Refused:
            self.close_connection = True  # the body has not been read
            raise
        server = self.server
        asked = parse_request(body, _KINDS[path], server.arms, server.limits)
        reply = Reply(asked, chat=path != "/v1/completions")
        job = server.scheduler.submit(asked)
        try:
            if asked.stream:
                self._stream(reply.chunks(self._events(job)))
            else:
                self._send(200, reply.whole(self._events(job)))
        finally:
            job.cancelled = True  # also where the client is gone

    def _events(self, job: Job) -> Iterator[Event]:
        for event in job.events():
            if event is not None:
                yield event
            elif self._client_is_gone():
                raise ConnectionError

    def _client_is_gone(self) -> bool:
        if not select.select([self.connection], [], [], 0)[0]:
            return False
        return self.connection.recv(1, socket.MSG_PEEK) == b""

    def _no_path(self, path: str) -> Refused:
        served = "GET /v1/models, POST /v1/chat/completions, POST /v1/completions"
        return Refused(
            404, f"{self.command} {path[:200]} is not served; accepted: {served}", code="not_found"
        )

    def _check_token(self) -> None:
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(), self.server.token)
        if kind.lower() != "bearer" or not right:
            message = (
                "the token is missing or wrong: send Authorization: Bearer TOKEN (clients: OPENAI_API_KEY)"
            )
            raise Refused(401, message, code="invalid_api_key")

    def _body(self) -> Any:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            raise Refused(411, "a Content-Length is needed")
        if int(length) > self.server.limits.body:
            raise Refused(413, f"the body has {length} bytes; at most {self.server.limits.body} here")
        data = self.rfile.read(int(length))
        try:
            return parse_json(data, "the body")
        except UserError as error:
            raise Refused(400, str(error)) from error

    def _send_refusal(self, refusal: Refused) -> None:
        headers = {"Retry-After": "1"} if refusal.status in (429, 503) else {}
        headers |= {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
        self._send(refusal.status, refusal.body(), headers)

    def _send(self, status: int, content: dict[str, Any], headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(content, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, chunks: Iterator[dict[str, Any]]) -> None:
        first = next(chunks)  # a refusal still has its status
        self._begun = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self._send_event(first)
            for chunk in chunks:
                self._send_event(chunk)
        except Refused as refusal:
            self._send_event(refusal.body())
        else:
            self._write_chunk(b"data: [DONE]\n\n")
        self._write_chunk(b"")

    def _send_event(self, content: dict[str, Any]) -> None:
        self._write_chunk(b"data: " + json.dumps(content, allow_nan=False).encode() + b"\n\n")

    def _write_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
