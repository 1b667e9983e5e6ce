"""Identifiers -> one compiled filter over raw rows, which never misses and may be wrong.

Everything that the exact check can find, in every form and at every alignment, is one regular
expression over bytes. RE2 runs it as an automaton, one step a byte however many needles there
are, and takes back up by itself where the automaton would not fit into memory.
"""

from __future__ import annotations

import re
import struct
import sys
import unicodedata
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator
from functools import cache, cached_property, lru_cache
from typing import Any, Final

import re2

from harness.identity.escapes import INVISIBLE, SEPARATORS
from harness.identity.packed import UTF_16, packed_decimal
from harness.identity.spelling import Identifier

_MEMORY_BYTES: Final = 64 << 20
_BYTE_BITS, _LETTER_BITS = 8, 6

# Between letters of base64: a wrapped line. In place of a letter: its escape.
_WRAPPED: Final = rb"(?:[\r\n \t]|\\+[rn])*"
_PLUS: Final = rb"(?:[+-]|%2[Bb])"
_SLASH: Final = rb"(?:[/_]|\\+/|%2[Ff])"

# Bytes 0x20 to 0x3F, which hold digits and what stands between them, as base64 writes three
# of them; and the same with a byte below 0x30, which no digit has, in one of its places.
_ANY: Final = (rb"[I-P]", rb"[CDSTijyz]", rb"[AEIMQUYcgkosw048]", rb"[g-z0-9+/_-]")
_BREAKING: Final = {0: rb"[I-L]", 1: rb"[CSiy]", 3: rb"[g-v]"}
_THREE: Final = _WRAPPED.join(_ANY) + _WRAPPED
_THREE_BROKEN: Final = b"|".join(
    _WRAPPED.join((*_ANY[:place], broken, *_ANY[place + 1 :])) + _WRAPPED
    for place, broken in _BREAKING.items()
)
_EDGE: Final = 2
_CORE: Final = 6
"""The fewest digits that tell a number in base64 from chance."""

# Separators of ASCII, and everything below the digits, which has the zeros of UTF-16 and, taken
# apart into bytes, its separators.
_BETWEEN: Final = rb"[\x00-\x2f\[\]~\xa0\xad\xb7]"
# As programs escape them; what is no separator is let through as well.
_ESCAPED_BETWEEN: Final = (
    rb"%(?:25)*(?:20|09|28|29|2[B-Fb-f]|5[BDbd]|7[Ee])"
    rb"|%(?:25)*[C-Fc-f][0-9A-Fa-f](?:%(?:25)*[89ABab][0-9A-Fa-f]){1,2}"
    rb"|=(?:20|09|28|29|2[B-F]|[C-F][0-9A-F](?:=[89AB][0-9A-F]){1,2})"
    rb"|=\r?\n|=(?:\\+r)?\\+n|\\+r\\+n|\\+(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[t/])"
)


class Filter:
    """Tells rows that may hold an identifier from rows that cannot.

    With `only_codes`, forms that are text as it stands are left out.
    """

    def __init__(self, identifiers: Iterable[Identifier], *, only_codes: bool = False) -> None:
        self.identifiers = tuple(dict.fromkeys(identifiers))
        self._only_codes = only_codes

    def __or__(self, other: Filter) -> Filter:
        """Return the filter that lets through what either does, at the price of one."""
        return Filter((*self.identifiers, *other.identifiers))

    def __reduce__(self) -> tuple[object, ...]:
        """Be made anew in another process: what is compiled stays in this one."""
        return _filter, (self.identifiers, self._only_codes)

    def __call__(self, data: bytes) -> bool:
        """Tell whether bytes may hold an identifier; never misses, may be wrong."""
        return self._search(data) is not None

    def find(self, data: bytes, start: int = 0) -> tuple[int, int] | None:
        """Return from where to where bytes may first hold an identifier, or None."""
        match = self._search(data, start)
        return match.span() if match else None

    @cached_property
    def _search(self) -> Callable[..., Any]:
        # When it is first asked for: many a filter is only ever joined to another.
        if not self.identifiers:
            return lambda *_: None
        search: Callable[..., Any]
        search = _compiled(self.identifiers, only_codes=self._only_codes).search
        return search


def _filter(identifiers: tuple[Identifier, ...], only_codes: bool) -> Filter:  # noqa: FBT001  # as pickle calls it
    return Filter(identifiers, only_codes=only_codes)


@lru_cache(maxsize=256)
def _compiled(identifiers: tuple[Identifier, ...], *, only_codes: bool) -> Any:  # noqa: ANN401  # re2 has no types
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _MEMORY_BYTES
    options.never_capture = True
    options.log_errors = False
    families = (codes,) if only_codes else (texts, codes)
    alternatives = [needle for one in identifiers for family in families for needle in family(one)]
    alternatives += {_broken_base64(len(one.digits)) for one in identifiers}
    return re2.compile(b"|".join(alternatives), options)


def texts(one: Identifier) -> Iterator[bytes]:
    """Yield the expressions for an identifier as text, in any script and any escape."""
    yield _written(one)
    yield from {_literal(text.encode("ascii")) for text in (one.json, str(one.integer))}
    yield from map(_literal, _stored(one.integer))


def codes(one: Identifier) -> Iterator[bytes]:
    """Yield the expressions for an identifier in bytes, in base64 and in hexadecimal."""
    contents = list(_in_bytes(one))
    yield from map(_literal, contents)
    for content in {*contents, one.digits.encode("ascii"), one.json.encode("ascii")}:
        yield b"(?i:" + content.hex().encode("ascii") + b")"
        for alignment in range(3):
            yield _base64(content, alignment)
    core = one.digits[_EDGE:-_EDGE].encode("ascii")
    if len(core) >= _CORE:
        yield from (_base64(core, alignment) for alignment in range(3))
    yield _hex_written(one)


def _in_bytes(one: Identifier) -> Iterator[bytes]:
    """Yield what stands for the identifier where bytes are not text in UTF-8."""
    yield packed_decimal(one.digits)
    yield one.integer.to_bytes(8, "big")
    yield one.integer.to_bytes(8, "little")
    if one.varint:
        yield one.varint
    for codec in UTF_16:
        yield one.digits.encode(codec)


def _literal(content: bytes) -> bytes:
    return b"".join(rb"\x%02x" % byte for byte in content)


def _stored(integer: int) -> Iterator[bytes]:
    """Yield an integer as a server sends it from a numeric column, but for 64 bits."""
    yield struct.pack(">d", integer)
    if integer < 1 << 31:
        yield struct.pack(">i", integer)


# --- written with separators, in any script, escaped ----------------------------------------


def _written(one: Identifier) -> bytes:
    """Return the expression for digits with any number of separators between them."""
    between = _between()
    country = between.join(map(_digit, one.digits[: one.country_digits]))
    rest = between.join(map(_digit, one.digits[one.country_digits :]))
    # A zero in brackets may stand behind the country code.
    return between.join((country, _digit("0") + b"?", rest)) if country else rest


@cache
def _between() -> bytes:
    every = SEPARATORS + INVISIBLE
    separators = [one.encode("utf-8") for one in every if not one.isascii()]
    return b"(?:" + b"|".join([_BETWEEN, *map(_literal, separators), _ESCAPED_BETWEEN]) + b")*"


@cache
def _digit(digit: str) -> bytes:
    """Return the expression for one decimal digit in every script and every escape.

    The scripts' digits share the last bits of their codes, so what goes before and the last
    byte are told apart: that lets through some characters that are no digits.
    """
    value, plain = int(digit), digit.encode("ascii")
    codes = [zero + value for zero in _zeros()]
    short = [code for code in codes if code < 1 << 16]
    last_hex = {f"{code & 0xF:x}" for code in short} | {f"{code & 0xF:X}" for code in short}
    alternatives = [
        plain,
        rb"(?:%(?:25)*|=)3" + plain,
        rb"\\+(?:x3%b|u[0-9A-Fa-f]{3}[%b])" % (plain, "".join(sorted(last_hex)).encode("ascii")),
    ]
    for size in (2, 3, 4):
        encoded = [one for code in codes if len(one := chr(code).encode("utf-8")) == size]
        places = (_class(one[place] for one in encoded) for place in range(size))
        alternatives.append(b"".join(places))
    return b"(?:" + b"|".join(alternatives) + b")"


def _class(members: Iterable[int]) -> bytes:
    return b"[" + b"".join(rb"\x%02x" % member for member in sorted(set(members))) + b"]"


@cache
def _zeros() -> tuple[int, ...]:
    """Return the code of the zero of every script but ASCII's."""
    every = range(0x80, sys.maxunicode + 1)
    return tuple(code for code in every if unicodedata.decimal(chr(code), None) == 0)


# --- in codes -------------------------------------------------------------------------------


def _hex_written(one: Identifier) -> bytes:
    between = _hex_between()
    digits = [b"3" + digit.encode("ascii") for digit in one.digits]
    country, rest = digits[: one.country_digits], digits[one.country_digits :]
    if not country:
        return between.join(rest)
    return between.join((*country, b"(?:30)?", *rest))


@cache
def _hex_between() -> bytes:
    codes = (one.encode("utf-8").hex() for one in SEPARATORS + INVISIBLE)
    # The zeros of UTF-16 too.
    return b"(?:00|(?i:" + "|".join(codes).encode("ascii") + b"))*"


def _base64(content: bytes, alignment: int) -> bytes:
    """Return the letters that hold nothing but `content`, which begins at that byte of three."""
    padded = b"\0" * alignment + content
    letters = b2a_base64(padded, newline=False)
    first = -(-alignment * _BYTE_BITS // _LETTER_BITS)
    last = len(padded) * _BYTE_BITS // _LETTER_BITS
    escaped = {b"+": _PLUS, b"/": _SLASH}
    return _WRAPPED.join(escaped.get(one, one) for one in re.findall(b".", letters[first:last]))


@cache
def _broken_base64(digits: int) -> bytes:
    """Return the expression for base64 of that many digits with something between them.

    It knows no number: a stretch of bytes that may be digits and separators is rare. Two
    bytes at each end may share their letters with others; where nothing but digits is left
    between them, `codes` has them.
    """
    threes = max(1, (digits + 1 - _EDGE) // 3)
    if digits - 2 * _EDGE < _CORE:
        return b"(?:%s){%d}" % (_THREE, threes)
    return b"|".join(
        b"(?:%s){%d}(?:%s)(?:%s){%d}" % (_THREE, before, _THREE_BROKEN, _THREE, threes - 1 - before)
        for before in range(threes)
    )
