"""Numbers inside base64 and hexadecimal, wherever in the code they begin.

A stretch of base64 tells nobody where its groups of four begin, since what stands before it
may be of the same letters. So it is read from each of four places, and hexadecimal from
each of two; only one of them makes sense, and in the others nothing is found.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from harness.identity.packed import Hit
from harness.identity.spelling import Identifier

Place = tuple[int, int]
Inner = Callable[[bytes, Sequence[Identifier]], Iterator[Hit]]

# Lines may be wrapped, and a slash or plus sign escaped for JSON or a URL.
_LETTER: Final = rb"(?:[A-Za-z0-9+/_-]|(?<!\\)\\{1,4}/|%2[BFbf])"
_BREAK: Final = rb"(?:\r?\n[ \t]?|(?<!\\)(?:\\{1,4}r)?\\{1,4}n)"
_BASE64: Final = re.compile(_LETTER + rb"+(?:" + _BREAK + _LETTER + rb"+)*")
_TOKEN: Final = re.compile(_BREAK + rb"|(?P<letter>" + _LETTER + rb")")
_PLAIN_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]*")
_HEXADECIMAL: Final = re.compile(rb"[0-9A-Fa-f]{8,}")
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_TO_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_LETTERS, _BYTES = 4, 3
_SHORTEST: Final = 6
"""Characters of the shortest code that can hold a number: four bytes of packed decimals."""


class _Stretch:
    """One stretch of base64 in a cell: its letters, and where each of them stands."""

    def __init__(self, match: re.Match[bytes]) -> None:
        self.data = match.string
        start, end = match.span()
        self.places: Sequence[Place] = [(at, at + 1) for at in range(start, end)]
        self.letters = match[0]
        if not _PLAIN_BASE64.fullmatch(match[0]):
            tokens = [one for one in _TOKEN.finditer(self.data, start, end) if one["letter"]]
            self.places = [one.span() for one in tokens]
            self.letters = b"".join(map(_letter, tokens))
        self._url_safe = b"-" in self.letters or b"_" in self.letters
        self.letters = self.letters.translate(_URL_SAFE)

    def encode(self, content: bytes) -> bytes:
        """Return content in base64, in the alphabet of the stretch."""
        code = binascii.b2a_base64(content, newline=False)
        return code.translate(_TO_URL_SAFE) if self._url_safe else code


def in_base64(data: bytes, identifiers: Sequence[Identifier], inner: Inner) -> Iterator[Hit]:
    """Yield each place where bytes hold an identifier inside base64; `inner` looks inside."""
    for match in _BASE64.finditer(data):
        if match.end() - match.start() < _SHORTEST:
            continue
        stretch = _Stretch(match)
        for skipped in range(_LETTERS):
            code = stretch.letters[skipped:]
            decoded = binascii.a2b_base64(code + b"A" * (-len(code) % _LETTERS))
            decoded = decoded[: len(code) * _BYTES // _LETTERS]
            for hit in inner(decoded, identifiers):
                first = hit.start // _BYTES * _LETTERS
                last = min(-(-hit.end * _LETTERS // _BYTES), len(code))
                places = stretch.places[skipped + first : skipped + last]
                rewrite = partial(_recoded, stretch, decoded, hit, places)
                form = f"{hit.form} in base64"
                yield Hit(places[0][0], places[-1][1], hit.identifier, form, rewrite)


def _letter(token: re.Match[bytes]) -> bytes:
    if len(token[0]) == 1:
        return token[0]
    return b"+" if token[0].upper() == b"%2B" else b"/"


def _recoded(
    stretch: _Stretch, decoded: bytes, hit: Hit, places: Sequence[Place], other: Identifier
) -> bytes:
    """Return the letters that hold the hit, and what stands between them, with another number."""
    begin = hit.start // _BYTES * _BYTES
    before = decoded[begin : hit.start]
    behind = decoded[hit.end : hit.end + _LETTERS]
    contents = (hit.rewrite(other), decoded[hit.start : hit.end])
    code, was = (stretch.encode(before + content + behind) for content in contents)
    parts: list[bytes] = []
    position = places[0][0]
    for index, (start, end) in enumerate(places):
        same = code[index] == was[index]
        letter = stretch.data[start:end] if same else code[index : index + 1]
        parts += [stretch.data[position:start], letter]
        position = end
    return b"".join(parts)


def in_hexadecimal(data: bytes, identifiers: Sequence[Identifier], inner: Inner) -> Iterator[Hit]:
    """Yield each place where bytes hold an identifier in hexadecimal; `inner` looks inside."""
    for match in _HEXADECIMAL.finditer(data):
        upper = any(map(str.isupper, match[0].decode("ascii")))
        for skipped in range(2):
            start = match.start() + skipped
            code = data[start : match.end()]
            decoded = bytes.fromhex(code[: len(code) // 2 * 2].decode("ascii"))
            for hit in inner(decoded, identifiers):
                a, b = start + 2 * hit.start, start + 2 * hit.end
                rewrite = partial(_hexed, data[a:b], hit, upper=upper)
                yield Hit(a, b, hit.identifier, f"{hit.form} in hexadecimal", rewrite)


def _hexed(old: bytes, hit: Hit, other: Identifier, *, upper: bool) -> bytes:
    code = hit.rewrite(other).hex()
    code = code.upper() if upper else code
    # A code of mixed case keeps every letter that need not change.
    kept = zip(old.decode("ascii"), code, strict=True)
    return "".join(was if was.lower() == new.lower() else new for was, new in kept).encode("ascii")
