"""A server of bytes, for what no web framework would send; it shares nothing with the stand-in."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

Script = Callable[[socket.socket], None]
"""What is done with a connection in answer to one request; it is closed afterwards."""
TOKEN = "toKen-9b1f0c77aa"
SAID = "said-by-the-server-39"
"""Stands in everything that the server says, and must never be seen again."""


def raw(*parts: bytes) -> Script:
    """Send these bytes."""

    def send(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)

    return send


def answer(status: int, body: bytes, *headers: str) -> Script:
    """Send an answer with its length."""
    always = (f"Content-Length: {len(body)}", "Connection: close")
    head = "".join(f"{line}\r\n" for line in (*headers, *always))
    return raw(f"HTTP/1.1 {status} {SAID}\r\nX-Said: {SAID}\r\n{head}\r\n".encode() + body)


def document(found: object, status: int = 200) -> Script:
    """Send JSON."""
    return answer(status, json.dumps(found).encode(), "Content-Type: application/json")


def refusal(code: int, status: int, details: str = SAID) -> Script:
    """Send an error of the API's."""
    return document({"errors": [{"code": code, "title": SAID, "details": details}]}, status)


def dripping(part: bytes) -> Callable[[threading.Event], Script]:
    """Send bytes one by one, without an end, until the server stops."""

    def until(stopped: threading.Event) -> Script:
        def send(connection: socket.socket) -> None:
            while not stopped.wait(0.02):
                connection.sendall(part)

        return send

    return until


def logged_in(token: str = TOKEN) -> Script:
    """Send what a login gives."""
    user = {"token": token, "expires_after": "2026-11-29 01:30:00+00:00"}
    return document({"users": [user], "meta": {"version": "v2.45.1", "api_status": "stable"}})


class Bytes:
    """A server on a free loopback port; what it answers, by path, may be changed at any time.

    Each path has a list of scripts, of which the last one stays.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.stopped = threading.Event()
        self.answers: dict[str, list[Script]] = {"/v1/users/login": [logged_in()]}
        self.asked: list[str] = []
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"

    def count(self, start: str) -> int:
        """Return how many requests began so."""
        return sum(line.startswith(start) for line in self.asked)

    def run(self) -> None:
        """Take connections until the server stops."""
        while not self.stopped.is_set():
            with suppress(OSError):
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def stop(self) -> None:
        """Stop, and wake whoever waits for a connection."""
        self.stopped.set()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            pass
        self._listening.close()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError), closing(connection):
            connection.settimeout(10)
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            with closing(connection):
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        if not self._context and connection.recv(1, socket.MSG_PEEK) == b"\x16":
            # A TLS handshake, which every real server answers so.
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        read = connection.makefile("rb")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (line := read.readline()):
                return
            head += line
        length = next(
            (
                int(line[15:])
                for line in head.split(b"\r\n")
                if line[:15].lower() == b"content-length:"
            ),
            0,
        )
        self.bodies.append(read.read(length))
        self.heads.append(head)
        method, path, _ = head.decode().split(" ", 2)
        self.asked.append(f"{method} {path}")
        scripts = self.answers.get(path) or [refusal(1006, 404)]
        (scripts.pop(0) if len(scripts) > 1 else scripts[0])(connection)


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Bytes]:
    """Let a server of bytes run for as long as the block does."""
    server = Bytes(context)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
