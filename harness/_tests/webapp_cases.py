"""The table of what can come back from the Webapp's address, and what has to be made of it."""

from __future__ import annotations

from dataclasses import dataclass

from harness._tests.webapp_bytes import SAID, Script, answer, document, dripping, raw, refusal

PAGE = f"<!DOCTYPE html><html><body>{SAID}</body></html>".encode()
HEAD = b"HTTP/1.1 200 OK\r\n"


@dataclass(frozen=True)
class Case:
    """One answer: a part of its sentence, its code, and how often a collection and a look ask.

    `started`: whether a collection may have been begun. Two attempts are allowed.
    """

    name: str
    script: Script
    sentence: str
    code: int = 0
    started: bool = False
    put_asked: int = 1
    get_asked: int = 1
    unreachable: bool = False


def known(code: int, status: int, sentence: str) -> Case:
    """Return the case of a documented error, after which nothing was begun."""
    return Case(str(code), refusal(code, status), f"{sentence} ({code})", code)


CASES = (
    known(1005, 403, "denies access"),
    known(1006, 404, "what it was asked for"),
    known(1008, 400, "misses something in the request"),
    known(1009, 400, "a value in the request"),
    known(1010, 400, "everything in the request"),
    known(1011, 500, "not ready"),
    known(1014, 500, "internal error"),
    known(1023, 500, "an error of its own"),
    Case(
        "no Coreapp",
        refusal(1014, 500, f"{SAID}: look whether wacore is there: wacore:6252"),
        "No Coreapp answers the Webapp (1014)",
        1014,
    ),
    Case(
        "no Coreapp, status 200",
        refusal(1014, 200, f"{SAID} wacore:6252"),
        "No Coreapp answers the Webapp (1014)",
        1014,
    ),
    Case("busy", refusal(1015, 429), "(1015)", 1015, put_asked=2, get_asked=2),
    Case("overloaded", refusal(1016, 503), "(1016)", 1016, put_asked=2, get_asked=2),
    Case("unknown code", refusal(4711, 500), "not documented (4711)", 4711, started=True),
    Case("unknown code, 503", refusal(4711, 503), "(4711)", 4711, started=True, get_asked=2),
    Case(
        "a chunk of negative size",
        raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nx\r\n"),
        "hung up",
        started=True,
        get_asked=2,
        unreachable=True,
    ),
    Case("no code", document({"errors": [{"title": SAID}]}, 500), "(0)", started=True),
    Case("a list of no objects", document({"errors": SAID}, 500), "(0)", started=True),
    Case("page of a proxy", answer(502, PAGE), "A page came instead of JSON", started=True),
    Case("page as an answer", answer(200, PAGE), "A page came instead of JSON", started=True),
    Case("page of a 403", answer(403, PAGE), "A page came instead of JSON"),
    Case("redirect", answer(302, b"", f"Location: https://{SAID}.invalid/"), "leads elsewhere"),
    Case("bad JSON", answer(200, b'{"services": {'), "not JSON", started=True),
    Case("another kind of JSON", answer(200, b"[1]"), "not JSON", started=True),
    Case("JSON without an end", answer(200, b"[" * 200_000), "not JSON", started=True),
    Case("another shape", document({SAID: SAID}), "the shape of its API", started=True),
    Case("nothing at all", answer(200, b""), "the shape of its API", started=True),
    Case("bare 503", answer(503, b""), "(HTTP 503)", started=True, get_asked=2),
    Case("bare 429", answer(429, b""), "(HTTP 429)", get_asked=2),
    Case("bare 500", answer(500, SAID.encode()), "HTTP 500", started=True),
    Case("bare 404", answer(404, SAID.encode()), "HTTP 404"),
    Case(
        "too large",
        raw(HEAD, b"\r\n", b'{"x": "', *[b"x" * 2**20] * 5),
        "larger than any",
        started=True,
        unreachable=True,
    ),
    Case("hang-up", raw(), "hung up", started=True, get_asked=2, unreachable=True),
    Case(
        "hang-up in the head",
        raw(HEAD[:9]),
        "not speak HTTP|hung up",
        started=True,
        unreachable=True,
    ),
    Case(
        "hang-up in the body",
        raw(HEAD, b'Content-Length: 500\r\n\r\n{"services": {}}'),
        "hung up",
        started=True,
        get_asked=2,
        unreachable=True,
    ),
    Case(
        "hang-up in a chunk",
        raw(HEAD, b'Transfer-Encoding: chunked\r\n\r\n40\r\n{"services": '),
        "hung up",
        started=True,
        get_asked=2,
        unreachable=True,
    ),
    Case(
        "a length that is too short",
        raw(HEAD, b'Content-Length: 5\r\n\r\n{"services": {}}'),
        "not JSON",
        started=True,
    ),
    Case(
        "another protocol", raw(b"SSH-2.0-x\r\n"), "not speak HTTP", started=True, unreachable=True
    ),
)

DRIPS = {
    "in the body": (raw(HEAD, b'\r\n{"x": "'), dripping(b"x")),
    "in the head": (raw(HEAD, b"X-Said: "), dripping(b"x")),
    "head after head": (raw(HEAD), dripping(b"X: y\r\n")),
}
