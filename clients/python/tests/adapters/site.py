"""Web servers of a test's own, on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Site:
    """Answers by path: a status, headers, a body."""

    pages: dict[str, Any] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    _stopped: bool = False

    def start(self) -> Site:
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0))).decode(errors="replace")
                headers = {name.lower(): value for name, value in self.headers.items()}
                site.requests.append(Request(self.command, self.path, headers, body))
                page = site.pages.get(self.path.partition("?")[0], (404, {}, "nothing here"))
                status, more, content = page() if callable(page) else page
                raw = (content if isinstance(content, str) else json.dumps(content)).encode()
                self.send_response(status)
                kind = "text/html" if isinstance(content, str) else "application/json"
                for name, value in {"content-type": kind, "content-length": str(len(raw)), **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(raw)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _answer

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        self._server.shutdown()
        self._server.server_close()

    def seen(self) -> list[tuple[str, str]]:
        return [(request.method, request.path) for request in self.requests]


Answer = Callable[[], Any]
