"""Local server of `turncoat view`: pages of runs on 127.0.0.1, behind a random token, to read only.

    server = ViewServer({"demo": Path("runs/demo")}, port=0)
    print(server.address); server.serve_forever()

A few fixed addresses are answered; no address is ever turned into a path. Requests under another host name
(DNS rebinding) are refused, and so are all without the token.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

from turncoat.errors import UserError
from turncoat.report.browser.page_parts import printable
from turncoat.report.render.html import templates
from turncoat.report.view.page import view_page
from turncoat.report.view.running import progress, running_data
from turncoat.shown_text import visible
from turncoat.store import Store

_HOST = "127.0.0.1"
_HEADERS = {
    "Cache-Control": "no-store", "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}  # fmt: skip
_HTML, _JSON = "text/html; charset=utf-8", "application/json"
_HERE = Path(__file__).parent


class ViewServer(ThreadingHTTPServer):
    """Serves runs by name.

    Args:
        runs: Name -> run folder.
        against: A finished run that stands beside the one run there is.
        port: 0 takes a free one.

    Raises:
        UserError: The port is taken.
    """

    daemon_threads = True

    def __init__(
        self, runs: Mapping[str, Path], *, against: Path | None = None, port: int = 0,
        store: Store | None = None,
    ) -> None:  # fmt: skip
        self.runs, self.against, self.store = list(runs.items()), against, store or Store()
        self.token = secrets.token_urlsafe(18)
        self._pages: dict[int, bytes] = {}  # of finished runs
        self._making = Lock()  # a page takes seconds, and its libraries one thread
        try:
            super().__init__((_HOST, port), _Handler)
        except OSError as error:
            raise UserError(f"--port {port}: {error.strerror}; name another one, or none") from error

    @property
    def address(self) -> str:
        """Address of the pages, the token in it."""
        only = "0/" if len(self.runs) == 1 else ""
        return f"http://{_HOST}:{self.server_port}/{self.token}/{only}"

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """Kind and content at an address below the token; None where there is nothing."""
        if not path:
            return _HTML, self._index().encode()
        number, _, name = path.partition("/")
        known = {"": self._page, "progress.json": self._progress, "data.json": self._data}
        make: Callable[[int], tuple[str, bytes]] | None = known.get(name)
        if make is None or number not in map(str, range(len(self.runs))):
            return None
        return make(int(number))

    def _page(self, number: int) -> tuple[str, bytes]:
        with self._making:
            folder = self.runs[number][1]
            if number not in self._pages:
                finished = progress(folder) is None
                page = view_page(folder, against=self.against, served=True, store=self.store).encode()
                if not finished:
                    return _HTML, page
                self._pages[number] = page
            return _HTML, self._pages[number]

    def _progress(self, number: int) -> tuple[str, bytes]:
        return _JSON, _json(progress(self.runs[number][1]) or {"state": "finished"})

    def _data(self, number: int) -> tuple[str, bytes]:
        answers, charts = running_data(self.runs[number][1], self.store)
        return _JSON, _json({"answers": answers, "charts": charts})

    def _index(self) -> str:
        runs = [(name, folder, progress(folder)) for name, folder in self.runs]
        return templates(_HERE).get_template("runs.html.j2").render(runs=runs)


class _Handler(BaseHTTPRequestHandler):
    server: ViewServer

    def do_GET(self) -> None:
        """Answer under the right host name and token; nothing else says whether something is there."""
        host, (_, token, *rest) = self.headers.get("Host", ""), [*self.path.split("/", 2), ""]
        names = {f"{name}:{self.server.server_port}" for name in (_HOST, "localhost")}
        if host not in names:
            return self._send(HTTPStatus.FORBIDDEN, "text/plain", b"this server answers to 127.0.0.1 alone")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            return self._send(HTTPStatus.NOT_FOUND, "text/plain", b"nothing here")
        try:
            found = self.server.answer(rest[0])
        except UserError as error:
            problem = visible(str(error)).encode("utf-8", "replace")
            return self._send(HTTPStatus.CONFLICT, "text/plain; charset=utf-8", problem)
        if found is None:
            return self._send(HTTPStatus.NOT_FOUND, "text/plain", b"nothing here")
        return self._send(HTTPStatus.OK, *found)

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing is logged: addresses hold the token."""


def _json(value: Any) -> bytes:
    return json.dumps(printable(value), allow_nan=False).encode()
