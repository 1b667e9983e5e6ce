"""A bed for the stand-in: who calls it, who listens to it, and rows that it may remove."""

from __future__ import annotations

import itertools
import json
import queue
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final

import requests

from harness.config import RunConfig
from harness.model import EngineKind, Secret, SeedRow
from harness.population.people import person
from harness.stores import StoreSet
from harness.webapp import StandIn

AS_OF: Final = datetime(2021, 9, 14, 15, 29, 26, tzinfo=UTC)
NOWHERE: Final = RunConfig(EngineKind.POSTGRES, "127.0.0.1", 1, "nobody", Secret("nothing"))
"""Stores that nobody reaches: for what the stand-in answers without them."""
TIMEOUT_S: Final = 20
Values = dict[str, int | float | str | bytes | None]


@dataclass(frozen=True)
class Caller:
    """Somebody with the stand-in's credentials and no parser of the harness's."""

    stand_in: StandIn
    session: requests.Session

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Ask for a path below /v1, with the token if there is one."""
        options.setdefault("timeout", TIMEOUT_S)
        return self.session.request(method, f"{self.stand_in.url}/v1/{path}", **options)

    def log_in(self, **options: Any) -> requests.Response:
        """Log in, and keep the token for what is asked next."""
        options.setdefault("auth", (self.stand_in.username, self.stand_in.password))
        self.session.headers.pop("Authorization", None)
        answer = self.ask("POST", "users/login", **options)
        if answer.ok:
            token = answer.json()["users"][0]["token"]
            self.session.headers["Authorization"] = f"Bearer {token}"
        return answer

    def listen(self, url: str) -> None:
        """Have notifications sent to a URL."""
        patch = {"webhooks": {"url": url}}
        assert self.ask("PATCH", "settings/application", json=patch).ok

    def error(self, method: str, path: str, **options: Any) -> tuple[int, int]:
        """Ask for something that is refused; return the status and the code."""
        answer = self.ask(method, path, **options)
        (error,) = answer.json()["errors"]
        assert set(error) == {"code", "title", "details"}
        return answer.status_code, error["code"]


@contextmanager
def calling(stand_in: StandIn) -> Iterator[Caller]:
    """Log in to a stand-in."""
    with requests.Session() as session:
        session.trust_env = False
        caller = Caller(stand_in, session)
        caller.log_in()
        yield caller


@dataclass(frozen=True)
class Listener:
    """The site's own webhook."""

    url: str
    heard: queue.Queue[Mapping[str, Any]]

    def hear(self, count: int = 1) -> list[Mapping[str, Any]]:
        """Wait for so many notifications."""
        return [self.heard.get(timeout=TIMEOUT_S) for _ in range(count)]


@contextmanager
def listening(context: ssl.SSLContext | None = None) -> Iterator[Listener]:
    """Take notifications on a free port, over TLS if there is a context for it."""
    heard: queue.Queue[Mapping[str, Any]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            heard.put(json.loads(self.rfile.read(length)))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield Listener(f"http{'s' if context else ''}://127.0.0.1:{server.server_port}/", heard)
        finally:
            server.shutdown()
            thread.join()


def ms(at: datetime) -> int:
    """Return milliseconds since 1970."""
    return round(at.timestamp() * 1000)


def ago_ms(**ago: float) -> int:
    """Return the time so long before AS_OF, in milliseconds."""
    return ms(AS_OF - timedelta(**ago))


def message(serial: int, **values: int | str | None) -> SeedRow:
    """Return a young inbound message that nobody has read, but for what is given."""
    made: Values = {
        "key_remote_jid": person(serial % 9).jid,
        "key_from_me": 0,
        "key_id": f"message-{serial}",
        "timestamp": ago_ms(days=1),
        "data": "See you tomorrow.",
        **values,
    }
    return SeedRow("messageStore", "messages", made)


def grid() -> tuple[SeedRow, ...]:
    """Return messages of every direction, state and age, at the limits and beside them."""
    stamps = (None, -1, 0, ago_ms(days=2))
    ages = (None, ago_ms(days=1), ago_ms(days=30), ago_ms(days=30, milliseconds=1), 0)
    cases = itertools.product((0, 1, None), stamps, stamps, ages)
    return tuple(
        message(
            serial,
            key_from_me=sent,
            read_device_timestamp=read,
            receipt_device_timestamp=delivered,
            timestamp=at_ms,
        )
        for serial, (sent, read, delivered, at_ms) in enumerate(cases)
    )


def receipts(rows: tuple[SeedRow, ...]) -> Iterator[SeedRow]:
    """Yield what belongs to messages in both tables of receipts."""
    for row in rows:
        key = {name: row.values[name] for name in ("key_remote_jid", "key_id")}
        yield SeedRow("messageStore", "receipts", dict(key))
        sent = {"key_from_me": row.values["key_from_me"]}
        yield SeedRow("messageStore", "messages_receipt_log", {**key, **sent})


def ids(store_set: StoreSet, table: str = "messages") -> set[str]:
    """Return the message ids that a table of the message store holds."""
    return {row[0] for row in store_set.query("messageStore", f"SELECT key_id FROM {table}")}


def keys(store_set: StoreSet) -> set[int]:
    """Return the keys of all messages."""
    return {row[0] for row in store_set.query("messageStore", "SELECT _id FROM messages")}
