"""Lines of logs that name a person, in every form that can stand in a line of that log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from harness.population.encodings import ENCODINGS
from harness.population.log_lines import Log, framed, sayings

_IN_PATH: Final = re.compile(r"[A-Za-z0-9%+@:.=_-]+")
_AROUND: Final = {
    Log.WEB: 'webhook said "{}" once',
    Log.ERROR: 'PHP message: no such user: "{}" in /opt/whatsapp/web/index.php',
    Log.CORE: "stanza of [{}] dropped",
    Log.CRASH: 'in parse (text="{}") at stanza.cpp:61',
    Log.CONTAINER: 'webhook said "{}" once',
}


@dataclass(frozen=True, slots=True, repr=False)
class Mention:
    """A line that names somebody, and the forms in which it does, one for each time."""

    line: bytes
    forms: tuple[str, ...]


def mentions(log: Log, number: str, seed: int = 0) -> tuple[Mention, ...]:
    """Return a line for each form of a number that may stand in one, and those usually there."""
    texts = _paths(number) if log is Log.ACCESS else _texts(log, number, seed)
    return tuple(
        Mention(framed(log, seed + serial, text), forms)
        for serial, (text, forms) in enumerate(texts)
    )


def _texts(log: Log, number: str, seed: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    if log in {Log.WEB, Log.CORE, Log.CONTAINER}:
        yield from sayings(seed, number)
    for written, forms in _written(number):
        # An engine that writes JSON escapes a backslash once more: a code inside a code.
        if log is not Log.CONTAINER or "\\" not in written:
            yield _AROUND[log].format(written), forms


def _paths(number: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield requests: what a client sends unescaped may stand in a path."""
    yield f"GET /v1/contacts/{number}", ("bare number",)
    yield f"GET /v1/profile?wa_id=%2B{number}", ("international number",)
    for written, forms in _written(number):
        if _IN_PATH.fullmatch(written):
            yield f"GET /v1/media/{written}", forms


def _written(number: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield every text and document that names a number and is one line."""
    for encoding in ENCODINGS:
        written = encoding.write(number)
        if isinstance(written, str) and not {"\r", "\n"} & set(written):
            yield written, encoding.forms
