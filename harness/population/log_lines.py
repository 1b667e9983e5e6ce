"""Lines of logs as the client, its web server and the container engine write them; in bulk.

A log's lines are rendered once, some thousands of them, and each block of a log takes every
n-th of them under a minute and ids of its own: a gigabyte takes seconds. In what is rendered
two control characters stand for the minute and for the ids' common part.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from math import ceil
from typing import Final

from harness.population.people import CAPACITY, Person, neighbours, person

_MINUTE, _COMMON = "\0", "\1"
_LINES: Final = 5_000
_STRIDES: Final = range(3, 8)
_BYSTANDERS: Final = 400
_SECONDS: Final = 60
_STARTED: Final = datetime(2025, 3, 1, tzinfo=UTC)
_PATHS: Final = ("messages", "contacts", "media", "users/login", "stats/db", "health", "profile")


class Log(StrEnum):
    """Who writes the lines."""

    WEB = "Webapp"
    ACCESS = "requests to the web server"
    ERROR = "errors of the web server"
    CORE = "Coreapp"
    CRASH = "crash of the service"
    CONTAINER = "container engine"


def blocks(
    log: Log, seed: int, size_bytes: int, planted: Sequence[bytes] = (), subject: str = ""
) -> Iterator[bytes]:
    """Yield whole lines of a log until they are `size_bytes`, those `planted` spread among them.

    Nobody else's line holds the subject's number, but some name people who are easily
    mistaken for the subject.
    """
    drawn = random.Random(f"{log} {seed}")
    rendered = _rendered(log, seed % 4, subject)
    waiting = list(reversed(planted))
    made_bytes = minute = 0
    while made_bytes < size_bytes or waiting:
        lines = rendered[drawn.randrange(_STRIDES.start) :: drawn.choice(_STRIDES)]
        share = sum(map(len, lines)) / max(1, size_bytes - made_bytes)
        if share > 1:
            del lines[int(len(lines) / share) + 1 :]
        for _ in range(ceil(len(waiting) * min(1.0, share))):
            lines.insert(drawn.randrange(len(lines)), waiting.pop())
        block = _dated(log, b"".join(lines), minute, drawn)
        made_bytes += len(block)
        minute += 1
        yield block


def _dated(log: Log, block: bytes, minute: int, drawn: random.Random) -> bytes:
    when = (_STARTED + timedelta(minutes=minute)).strftime(_MINUTES.get(log, "%Y-%m-%d %H:%M"))
    common = f"{drawn.randrange(16**5):05x}"
    return block.replace(b"\0", when.encode()).replace(b"\1", common.encode())


_MINUTES: Final = {Log.ACCESS: "%d/%b/%Y:%H:%M", Log.CONTAINER: "%Y-%m-%dT%H:%M"}


@lru_cache(maxsize=16)
def _rendered(log: Log, seed: int, subject: str) -> list[bytes]:
    drawn = random.Random(f"{log} {seed} lines")
    others = [person(drawn.randrange(CAPACITY)) for _ in range(_BYSTANDERS)]
    if subject:
        others += neighbours(Person(subject, subject, ""))
    numbers = [one.number for one in others if one.number != subject]
    line = _FRAMES[log]
    return [
        line(drawn, serial * _SECONDS / _LINES, _text(log, drawn, drawn.choice(numbers)))
        for serial in range(_LINES)
    ]


# --- what is said ---------------------------------------------------------------------------


def _text(log: Log, drawn: random.Random, number: str) -> str:
    """Return what a line of somebody's says."""
    if log is Log.ACCESS:
        return _path(drawn, number)
    if log is Log.CRASH:
        return _dump(drawn)
    said = drawn.choices(_SAID, weights=[weight for _, weight, _ in _SAID])[0][0]
    return said(drawn, number)


def message_id(drawn: random.Random, number: str) -> str:
    """Return a message id in base64, with the number as packed decimals in it."""
    packed = bytes.fromhex(number + "f" * (len(number) % 2))
    head = bytes((drawn.choice((0x00, 0x80)), 0x11, 0x80 | len(packed)))
    return base64.b64encode(head + packed + b"\x02" + drawn.randbytes(8)).decode("ascii")


def _serial(drawn: random.Random) -> str:
    return f"{drawn.randrange(16**8):08x}-{_COMMON}{drawn.randrange(16**3):03x}"


def _lookup(_: random.Random, number: str) -> str:
    return f"Retrieved contact={number}"


def _webhook(drawn: random.Random, number: str) -> str:
    message = {
        "from": number,
        "id": message_id(drawn, number),
        "timestamp": str(drawn.randrange(1_700_000_000, 1_760_000_000)),
        "type": "text",
        "text": {"body": drawn.choice(("Thank you!", "Where is my order?", "Yes", "9:30 is fine"))},
    }
    contact = {"profile": {"name": "Ada"}, "wa_id": number}
    return f"Posting webhook body={_compact({'contacts': [contact], 'messages': [message]})}"


def _status(drawn: random.Random, number: str) -> str:
    status = {
        "id": message_id(drawn, number),
        "recipient_id": number,
        "status": drawn.choice(("sent", "delivered", "read")),
        "timestamp": str(drawn.randrange(1_700_000_000, 1_760_000_000)),
    }
    took_ms = drawn.randrange(3, 900)
    return f"Callback answered 200 in {took_ms} ms body={_compact({'statuses': [status]})}"


def _request(drawn: random.Random, _: str) -> str:
    path, took_us = drawn.choice(_PATHS), drawn.randrange(900, 2_000_000)
    return f"request={_serial(drawn)} POST /v1/{path} status=200 duration_us={took_us}"


def _queue(drawn: random.Random, _: str) -> str:
    depth, shard, rows = drawn.randrange(400), drawn.randrange(1024), drawn.randrange(10**6)
    return f"queue={_serial(drawn)} depth={depth} shard={shard} rows={rows} wacore1:6252"


def _compact(document: object) -> str:
    return json.dumps(document, separators=(",", ":"))


_ONCE: Final = ("bare number",)
_WITH_ID: Final = ("bare number", "packed decimal in base64")
_Sayer = Callable[[random.Random, str], str]
_SAID: Final[tuple[tuple[_Sayer, int, tuple[str, ...]], ...]] = (
    (_lookup, 20, _ONCE),
    (_webhook, 12, ("bare number", *_WITH_ID)),
    (_status, 12, _WITH_ID),
    (_request, 36, ()),
    (_queue, 20, ()),
)


def _path(drawn: random.Random, number: str) -> str:
    if drawn.random() < 1 / 4:
        return f"GET /v1/contacts/{number}"
    return f"POST /v1/{drawn.choice(_PATHS)}?request={_serial(drawn)}"


def _dump(drawn: random.Random) -> str:
    raw = drawn.randbytes(16)
    return f"{drawn.randrange(16**12):012x}: {raw.hex(' ', 2)}"


# --- who says it ----------------------------------------------------------------------------


def _web(drawn: random.Random, second: float, text: str) -> bytes:
    level = drawn.choice(("info", "info", "info", "notice", "debug"))
    process = f"webapp[{drawn.randrange(99, 999)}]"
    return f"[{_MINUTE}:{second:09.6f}] [{level}] {process}: {text}\n".encode()


def _access(drawn: random.Random, second: float, text: str) -> bytes:
    client = f"10.{drawn.randrange(256)}.{drawn.randrange(256)}.{drawn.randrange(1, 255)}"
    size_bytes = drawn.randrange(90, 9_000)
    when = f"[{_MINUTE}:{int(second):02d} +0000]"
    answer = f'200 {size_bytes} "-" "okhttp/3.12.1"'
    return f'{client} wa.example - {when} "{text} HTTP/1.1" {answer}\n'.encode()


def _error(_: random.Random, second: float, text: str) -> bytes:
    return f"{_MINUTE}:{int(second):02d}: (mod_fastcgi.c.2702) FastCGI-stderr: {text}\n".encode()


def _core(drawn: random.Random, second: float, text: str) -> bytes:
    thread = drawn.randrange(0x7F0000000000, 0x7FFFFFFFFFFF)
    return f"{_MINUTE}:{second:06.3f} wacore1 [0x{thread:012x}] LL_I {text}\n".encode()


def _crash(_: random.Random, second: float, text: str) -> bytes:
    return f"#{int(second):02d} {text}\n".encode()


def _container(drawn: random.Random, second: float, text: str) -> bytes:
    stream = drawn.choice(("stdout", "stdout", "stderr"))
    said = _web(drawn, second, text).decode()
    line = {"log": said, "stream": stream, "time": f"{_MINUTE}:{second:012.9f}Z"}
    written = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    for mark in (_MINUTE, _COMMON):
        written = written.replace(f"\\u{ord(mark):04x}", mark)
    return f"{written}\n".encode()


_FRAMES: Final[dict[Log, Callable[[random.Random, float, str], bytes]]] = {
    Log.WEB: _web,
    Log.ACCESS: _access,
    Log.ERROR: _error,
    Log.CORE: _core,
    Log.CRASH: _crash,
    Log.CONTAINER: _container,
}


def framed(log: Log, seed: int, text: str) -> bytes:
    """Return a log's line that says this, to be planted in blocks of it."""
    drawn = random.Random(f"{log} {seed} {len(text)}")
    return _FRAMES[log](drawn, drawn.random() * _SECONDS, text)


def sayings(seed: int, number: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield what logs usually say of somebody, and the forms in which the number is in it."""
    drawn = random.Random(f"{seed} sayings")
    for say, _, forms in _SAID:
        if forms:
            yield say(drawn, number), forms
