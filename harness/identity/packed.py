"""Numbers that are not text: packed decimals, integers of 64 bits, varints, UTF-16.

Source: the message ids of the client, as far as samples tell: two bytes of flags, a byte
`8n`, then n bytes of packed decimals, padded with f where the digits are odd.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from harness.identity.spelling import Identifier
from harness.identity.written import Writing, writings

_FRAME: Final = 0x80
_FLAG: Final = 0x11
# In every sample, whose numbers had 11 digits: the second byte may not be what it seems.
_SEEN: Final = b"\x11\x86"
_SEEN_BYTES: Final = 6
# Fewer bytes stand in any binary by chance.
_UNFRAMED_LEAST: Final = 5
_CONTINUED: Final = 0x80
_LAST_DIGIT: Final = 9
UTF_16: Final = ("utf-16-le", "utf-16-be")
# Text of one order read in the other, a byte off, is the same text, but for the character at
# one end: its byte is taken for half of another. A digit or plus sign there is one all the same.
_MISREAD: Final = {
    "utf-16-le": re.compile("(?<=[\0-\xff])[\u0100-\uffff]"),
    "utf-16-be": re.compile("[\u0100-\uffff](?=[\0-\xff])"),
}
# In UTF-16, digits of ASCII are looked for, with separators of Latin-1 and general punctuation.
_UNSEEN: Final = re.compile("[^\0-\xff\u2000-\u202f\u2212]")
_TELLING: Final = "0123456789+"
_UNIT_BYTES: Final = 2
_WIDE_BYTES: Final = 8
Order = Literal["big", "little"]
_WIDE: Final = {order: f"64-bit integer, {order}-endian" for order in ("big", "little")}
_ORDERS: Final[tuple[Order, ...]] = ("big", "little")


@dataclass(frozen=True, slots=True, repr=False)
class Hit:
    """One identifier found in bytes `start` to `end`; `rewrite` returns what else may stand there.

    What `rewrite` returns is as long as what it replaces, unless the surroundings do not
    allow that. `whole` tells that the identifier, as text, is all there is.
    """

    start: int
    end: int
    identifier: Identifier
    form: str
    rewrite: Callable[[Identifier], bytes]
    whole: bool = False


def packed_decimal(digits: str) -> bytes:
    """Return digits as packed decimals, two a byte, padded with f to whole bytes."""
    return bytes.fromhex(digits + "f" * (len(digits) % 2))


def in_text(data: bytes, identifiers: Sequence[Identifier]) -> Iterator[Hit]:
    """Yield each place where bytes hold an identifier as text in UTF-8."""
    text = data.decode("utf-8", "surrogateescape")
    yield from _in_encoding(text, writings(text, identifiers), "utf-8", "surrogateescape")


def _in_encoding(
    text: str, found: Iterable[Writing], codec: str, errors: str, within: str = ""
) -> Iterator[Hit]:
    """Yield what was found in a text as hits in the bytes from which it was decoded."""
    position = size = 0
    for one in sorted(found, key=lambda one: one.start):

        def rewrite(other: Identifier, of: Callable[[Identifier], str] = one.rewrite) -> bytes:
            return of(other).encode(codec, errors)

        # What was counted is not counted again: there may be very many.
        size += len(text[position : one.start].encode(codec, errors))
        position = one.start
        end = size + len(text[position : one.end].encode(codec, errors))
        yield Hit(size, end, one.identifier, one.form + within, rewrite, one.whole)


def in_bytes(
    data: bytes, identifiers: Sequence[Identifier], *, from_digits: bool = False
) -> Iterator[Hit]:
    """Yield each place where bytes hold an identifier in a form that is not text in UTF-8.

    With `from_digits`, the bytes were read from hexadecimal digits, which look like packed
    decimals wherever they are decimal: only what a message id frames is taken for them.
    """
    for one in identifiers:
        yield from _packed_decimals(data, one, only_framed=from_digits)
        for order in _ORDERS:
            for at in _places(data, _wide(one, order)):
                yield Hit(
                    at, at + _WIDE_BYTES, one, f"64-bit integer, {order}-endian", _widely(order)
                )
        for at in _places(data, one.varint):
            # A varint that goes on from the byte before is another, longer one.
            if at == 0 or data[at - 1] < _CONTINUED:
                yield Hit(at, at + len(one.varint), one, "varint", lambda other: other.varint)
    if b"\0" in data:
        for codec in UTF_16:
            for offset in range(_UNIT_BYTES):
                yield from _utf_16(data, codec, offset, identifiers)


def _places(data: bytes, needle: bytes) -> Iterator[int]:
    at = data.find(needle) if needle else -1
    while at >= 0:
        yield at
        at = data.find(needle, at + 1)


def _wide(identifier: Identifier, order: Order) -> bytes:
    return identifier.integer.to_bytes(_WIDE_BYTES, order)


def _widely(order: Order) -> Callable[[Identifier], bytes]:
    return lambda other: _wide(other, order)


def _packed_decimals(data: bytes, identifier: Identifier, *, only_framed: bool) -> Iterator[Hit]:
    needle = packed_decimal(identifier.digits)
    for at in _places(data, needle):
        end = at + len(needle)
        bounded = not only_framed and _ends_at_nibbles(data, at, end, identifier)
        if bounded or _is_framed(data, at, end):
            yield Hit(
                at, end, identifier, "packed decimal", lambda other: packed_decimal(other.digits)
            )


def _is_framed(data: bytes, start: int, end: int) -> bool:
    """Tell whether the bytes before say that a number of just this size follows."""
    before = data[max(0, start - 2) : start]
    if before == bytes((_FLAG, _FRAME | (end - start))):
        return True
    # Of another size than is said: unless a number of the size that is said stands there.
    longer = end - start > _SEEN_BYTES or not _is_decimal(data[start : start + _SEEN_BYTES])
    return before == _SEEN and longer


def _is_decimal(packed: bytes) -> bool:
    return len(packed) == _SEEN_BYTES and packed.hex().removesuffix("f").isdecimal()


def _ends_at_nibbles(data: bytes, start: int, end: int, identifier: Identifier) -> bool:
    """Tell whether no decimal digit stands in the half-bytes before and behind."""
    if end - start < _UNFRAMED_LEAST:
        return False
    before = data[start - 1] & 0xF if start else 0xF
    padded = len(identifier.digits) % 2
    behind = data[end] >> 4 if end < len(data) and not padded else 0xF
    return before > _LAST_DIGIT and behind > _LAST_DIGIT


def _utf_16(
    data: bytes, codec: str, offset: int, identifiers: Sequence[Identifier]
) -> Iterator[Hit]:
    shifted = b"\0" * offset + data + b"\0" * ((len(data) + offset) % _UNIT_BYTES)
    text = shifted.decode(codec, "surrogatepass")
    seen = _UNSEEN.sub("\ufffd", _MISREAD[codec].sub(_as_low_byte, text))
    # What is not the same in both is read whole in the other order.
    found = (
        one
        for one in writings(seen, identifiers, escapes=False)
        if text[one.start : one.end] == seen[one.start : one.end]
    )
    for hit in _in_encoding(text, found, codec, "surrogatepass", " in UTF-16"):
        yield replace(hit, start=hit.start - offset, end=hit.end - offset, whole=False)


def _as_low_byte(match: re.Match[str]) -> str:
    low = chr(ord(match[0]) & 0xFF)
    return low if low in _TELLING else match[0]
