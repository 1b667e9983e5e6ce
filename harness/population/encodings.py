"""Every way to write a number, made by the encoders that programs use, for the matrix.

Nothing here knows how the harness searches: what is planted by one way and found by another
is found indeed.
"""

from __future__ import annotations

import base64
import json
import quopri
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from harness.identity import GROUP_DOMAIN, LID_DOMAIN, USER_DOMAIN

_NIBBLES: Final = 2
_VARINT_BITS: Final = 7
_CREATED_S: Final = 1_600_000_000
_ARABIC, _DEVANAGARI, _FULL_WIDTH = 0x0660, 0x0966, 0xFF10
# Neither digits nor anything that may stand between two, and no text either.
_BEFORE, _AFTER = b"\x8a\xfe\x0a", b"\x1a\xff\xfe"


class Surface(StrEnum):
    """What kind of column a number is written into."""

    TEXT = "text"
    JSON = "JSON"
    BLOB = "blob"
    INTEGER = "integer"


@dataclass(frozen=True, slots=True)
class Encoding:
    """One way to write a number into a cell: its name, the forms it is found as, how it is made."""

    name: str
    forms: tuple[str, ...]
    surface: Surface
    write: Callable[[str], str | bytes | int]


def _grouped(number: str, separator: str) -> str:
    """Return a number as two digits, groups of three, and a last group of three to five."""
    starts = range(2, len(number) - 2, 3)
    ends = (*starts[1:], len(number))
    groups = (number[start:end] for start, end in zip(starts, ends, strict=True))
    return separator.join((number[:2], *groups))


def _people(number: str) -> str:
    """Return a number with a plus sign, brackets, a blank and a hyphen."""
    country = max(1, len(number) - 10)
    area = max(country + 1, len(number) - 7)
    head, middle, tail = number[:country], number[country:area], number[area:]
    return f"+{head} ({middle}) {tail[:3]}-{tail[3:]}"


def _in_script(number: str, zero: int) -> str:
    return "".join(chr(zero + int(digit)) for digit in number)


def _packed(number: str) -> bytes:
    padded = number + "f" * (len(number) % _NIBBLES)
    pairs = zip(padded[::2], padded[1::2], strict=True)
    return bytes(int(high, 16) << 4 | int(low, 16) for high, low in pairs)


def _framed(number: str) -> bytes:
    packed = _packed(number)
    return bytes((0x80, 0x11, 0x80 | len(packed))) + packed


def _varint(number: str) -> bytes:
    rest, sevens = int(number), []
    while rest:
        rest, seven = divmod(rest, 1 << _VARINT_BITS)
        sevens.append(seven)
    return bytes([*(seven | 0x80 for seven in sevens[:-1]), sevens[-1]])


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _url_safe(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def _quoted_printable(text: str) -> str:
    return quopri.encodestring(text.encode()).decode("ascii")


def _every(number: str, prefix: str, code: Callable[[int], str]) -> str:
    return "".join(prefix + code(ord(digit)) for digit in number)


def _vcard(number: str) -> str:
    lines = (
        "BEGIN:VCARD",
        "VERSION:3.0",
        f"TEL;type=CELL;waid={number}:{_people(number)}",
        "END:VCARD",
    )
    return "\r\n".join(lines)


def _notification(**message: object) -> str:
    return json.dumps({"messages": [{"type": "text", **message}]})


def _blob(middle: Callable[[str], bytes]) -> Callable[[str], bytes]:
    return lambda number: _BEFORE + middle(number) + _AFTER


_TEXTS: Final[tuple[tuple[str, str, Callable[[str], str]], ...]] = (
    ("alone", "bare number", lambda n: f"number {n}, she said"),
    ("with a plus sign", "international number", lambda n: f"call +{n}!"),
    ("with 00", "international number", lambda n: f"call 00{n}!"),
    ("blanks", "punctuated number", lambda n: f"call +{_grouped(n, ' ')}, please"),
    ("hyphens", "punctuated number", lambda n: f"call +{_grouped(n, '-')}, please"),
    ("dots", "punctuated number", lambda n: f"call +{_grouped(n, '.')}, please"),
    ("brackets", "punctuated number", lambda n: f"call {_people(n)}, please"),
    ("no-break blanks", "punctuated number", lambda n: f"call +{_grouped(n, chr(0xA0))}!"),
    ("pasted with direction marks", "punctuated number", lambda n: f"\u202a{_people(n)}\u202c"),
    ("Arabic digits", "non-ASCII digits", lambda n: f"call {_in_script(n, _ARABIC)}!"),
    ("Devanagari digits", "non-ASCII digits", lambda n: f"call {_in_script(n, _DEVANAGARI)}!"),
    ("full-width digits", "non-ASCII digits", lambda n: f"call {_in_script(n, _FULL_WIDTH)}!"),
    ("user JID", "user JID", lambda n: f"see {n}@{USER_DOMAIN}"),
    ("old user JID", "user JID", lambda n: f"see {n}@c.us"),
    ("device JID", "device JID", lambda n: f"see {n}:3@{USER_DOMAIN}"),
    ("LID", "LID", lambda n: f"see {n}@{LID_DOMAIN}"),
    ("group JID", "group JID", lambda n: f"{n}-{_CREATED_S}@{GROUP_DOMAIN}"),
    ("URL, plus sign", "international number", lambda n: urllib.parse.quote(f"tel:+{n}", safe="")),
    ("URL, punctuated", "punctuated number", lambda n: urllib.parse.quote(f"a {_people(n)} b")),
    ("URL, every digit", "URL-encoded digits", lambda n: _every(n, "%", "{:02x}".format)),
    (
        "quoted-printable",
        "punctuated number",
        lambda n: _quoted_printable(f"café {_grouped(n, chr(0xA0))} x"),
    ),
    ("quoted-printable, soft line", "punctuated number", lambda n: f"tel {n[:6]}=\r\n{n[6:]} é"),
    (
        "quoted-printable, every digit",
        "quoted-printable digits",
        lambda n: _every(n, "=", "{:02X}".format),
    ),
    ("vCard", "bare number, punctuated number", _vcard),
    (
        "message id",
        "packed decimal in base64",
        lambda n: _base64(_framed(n) + b"\x02\x09\xf8\x81\xd8\xc3"),
    ),
    (
        "message id, digits",
        "bare number in base64",
        lambda n: f"wamid.{_base64(bytes((0x1C, 0x18, len(n))) + n.encode() + b'|||||')}",
    ),
    *(
        (
            f"base64, {skipped} bytes in",
            "bare number in base64",
            lambda n, skipped=skipped: _base64(b"~" * skipped + n.encode() + b"~~"),
        )
        for skipped in range(3)
    ),
    (
        "base64 for URLs",
        "bare number in base64",
        lambda n: _url_safe(b"\xfb\xff\xfe" + n.encode() + b"\xff\xfe\xfb"),
    ),
    (
        "base64, punctuated",
        "punctuated number in base64",
        lambda n: _base64(f"call {_people(n)}".encode()),
    ),
    (
        "base64, wrapped lines",
        "bare number in base64",
        lambda n: base64.encodebytes(b"x" * 50 + n.encode() + b"x" * 9).decode("ascii"),
    ),
    ("hexadecimal", "bare number in hexadecimal", lambda n: n.encode().hex()),
    (
        "hexadecimal, punctuated",
        "punctuated number in hexadecimal",
        lambda n: _people(n).encode().hex().upper(),
    ),
    (
        "hexadecimal, packed",
        "packed decimal in hexadecimal",
        lambda n: (_framed(n) + b"\xff").hex(),
    ),
)

_DOCUMENTS: Final[tuple[tuple[str, str, Callable[[str], str]], ...]] = (
    ("text", "bare number", lambda n: _notification(**{"from": n})),
    ("number", "JSON number", lambda n: _notification(**{"from": int(n)})),
    ("last number", "JSON number", lambda n: json.dumps({"to": [1, int(n)]})),
    ("in a sentence", "punctuated number", lambda n: _notification(body=f"Call {_people(n)} now")),
    (
        "escaped digits",
        "JSON-escaped digits",
        lambda n: _notification(body=_in_script(n, _ARABIC)),
    ),
    (
        "every character escaped",
        "JSON-escaped digits",
        lambda n: '{"from": "' + _every(n, "\\u", "{:04x}".format) + '"}',
    ),
    (
        "escaped blanks",
        "punctuated number",
        lambda n: _notification(body=f"Call +{_grouped(n, chr(0x202F))}"),
    ),
    ("message id", "packed decimal in base64", lambda n: _notification(id=_base64(_framed(n)))),
    ("JSON inside JSON", "bare number", lambda n: json.dumps({"job": _notification(to=n)})),
)

_BYTES: Final[tuple[tuple[str, str, Callable[[str], bytes]], ...]] = (
    ("text", "bare number", _blob(str.encode)),
    ("punctuated text", "punctuated number", _blob(lambda n: _people(n).encode())),
    ("UTF-16, little-endian", "bare number in UTF-16", _blob(lambda n: n.encode("utf-16-le"))),
    ("UTF-16, big-endian", "bare number in UTF-16", _blob(lambda n: n.encode("utf-16-be"))),
    (
        "UTF-16, punctuated",
        "punctuated number in UTF-16",
        _blob(lambda n: _people(n).encode("utf-16-le")),
    ),
    (
        "64 bits, big-endian",
        "64-bit integer, big-endian",
        _blob(lambda n: int(n).to_bytes(8, "big")),
    ),
    (
        "64 bits, little-endian",
        "64-bit integer, little-endian",
        _blob(lambda n: int(n).to_bytes(8, "little")),
    ),
    ("varint", "varint", _blob(_varint)),
    ("packed decimals", "packed decimal", _blob(_framed)),
    ("base64", "bare number in base64", _blob(lambda n: base64.b64encode(n.encode()))),
    (
        "base64 of packed decimals",
        "packed decimal in base64",
        _blob(lambda n: base64.b64encode(_framed(n) + b"~")),
    ),
    (
        "base64 of 64 bits",
        "64-bit integer, big-endian in base64",
        _blob(lambda n: base64.b64encode(int(n).to_bytes(8, "big"))),
    ),
    ("hexadecimal", "bare number in hexadecimal", _blob(lambda n: n.encode().hex().encode())),
)

ENCODINGS: Final = (
    *(
        Encoding(name, tuple(forms.split(", ")), Surface.TEXT, write)
        for name, forms, write in _TEXTS
    ),
    *(Encoding(name, (form,), Surface.JSON, write) for name, form, write in _DOCUMENTS),
    *(Encoding(name, (form,), Surface.BLOB, write) for name, form, write in _BYTES),
    Encoding("integer", ("integer",), Surface.INTEGER, int),
)
