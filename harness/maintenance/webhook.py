"""A receiver of the client's notifications, for disposable clients: a real HTTP server.

A client has one webhook, and a real one's belongs to its owner. Notifications hold messages and
phone numbers: of each only what it says about garbage collection is kept, and nothing is logged.
"""

from __future__ import annotations

import json
import queue
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from harness.maintenance import webapp_shapes as shapes
from harness.maintenance.webapp_shapes import Report

_BODY_BYTES_MOST: Final = 1024 * 1024
_SILENCE_S: Final = 10
_REPORTS_MOST: Final = 10_000


class Receiver:
    """Listens on a free loopback port for as long as it is entered."""

    def __init__(self) -> None:
        self._reports: queue.Queue[Report] = queue.Queue(_REPORTS_MOST)
        self._server = _Server(("127.0.0.1", 0), _handler(self._reports))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="webhook", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where the client has to send its notifications."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def next(self, wait_s: float) -> Report | None:
        """Return the next report of a collection, or None when none came in time."""
        try:
            return self._reports.get(timeout=max(wait_s, 0.001))
        except queue.Empty:
            return None

    def forget(self) -> None:
        """Drop the reports that have come so far."""
        while self.next(0):
            pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Say nothing: a traceback would show what was sent."""


def _handler(reports: queue.Queue[Report]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _SILENCE_S

        def do_POST(self) -> None:
            status = self._taken()
            self.send_response_only(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _taken(self) -> HTTPStatus:
            length = self.headers.get("Content-Length", "")
            if not (length.isascii() and length.isdigit()):
                return HTTPStatus.LENGTH_REQUIRED
            if len(length) > len(str(_BODY_BYTES_MOST)) or int(length) > _BODY_BYTES_MOST:
                return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            try:
                document = json.loads(self.rfile.read(int(length)))
            except (ValueError, RecursionError):
                return HTTPStatus.BAD_REQUEST
            try:
                for report in shapes.reports(document):
                    reports.put_nowait(report)
            except queue.Full:
                return HTTPStatus.SERVICE_UNAVAILABLE
            return HTTPStatus.OK

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing: a request line can hold anything."""

    return Handler
