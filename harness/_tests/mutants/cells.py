"""Cells that tell a good search from a mutant: numbers where a rule of the matcher decides.

Everything is put together from synthetic persons' numbers.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from harness.identity import Representation
from harness.identity.spelling import encode_varint
from harness.population.people import mapped_person, neighbours, person, variants

TEXT, JSON = Representation.TEXT, Representation.JSON
BLOB, INTEGER = Representation.BLOB, Representation.INTEGER
N: Final = person(0).number
"""11 digits, a number that its plan gives out."""
NATIONAL: Final = N[1:]
"""10 digits: as packed decimals, whole bytes."""
EIGHT: Final = N[:8]
"""8 digits, which no plan gives out, and which are the beginning of a number that one does."""
SEVEN: Final = N[-7:]
"""7 digits, too few for a varint that can be told from chance."""
LONG: Final = mapped_person(0).number
"""13 digits: packed decimals of seven bytes."""
TWELVE: Final = mapped_person(0).jid_number
NOWHERE: Final = neighbours(person(0))[1].number
"""14 digits with a country code that nobody has."""
BRITISH: Final = person(1_650).number
MEXICAN: Final = variants(3)[1][1].number


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell, whom to look for in it, and in which forms they are found, in order."""

    name: str
    number: str
    content: bytes
    kind: Representation
    forms: tuple[str, ...]


def _text(name: str, number: str, content: str, *forms: str) -> Cell:
    return Cell(name, number, content.encode(), TEXT, forms)


def _json(name: str, number: str, content: str, *forms: str) -> Cell:
    return Cell(name, number, content.encode(), JSON, forms)


def _blob(name: str, number: str, content: bytes, *forms: str) -> Cell:
    return Cell(name, number, content, BLOB, forms)


def _packed(number: str) -> bytes:
    return bytes.fromhex(number + "f" * (len(number) % 2))


def _script(number: str, zero: int, code: str) -> str:
    return "".join(code.format(zero + int(digit)) for digit in number)


def _varint(number: str) -> bytes:
    return encode_varint(int(number))


def _code(content: bytes) -> str:
    return base64.b64encode(content + b"\0").decode()


_WIDE: Final = int(N).to_bytes(8, "big")
BARE, PUNCTUATED, PLUS = "bare number", "punctuated number", "international number"
PACKED, VARINT = "packed decimal", "varint"
BIG: Final = "64-bit integer, big-endian"

CELLS: Final = (
    # --- alone, and beside other digits
    _text("alone", N, N, BARE),
    _blob("alone in a blob", N, N.encode(), BARE),
    _text("in brackets that are no JSON", N, f"[call {N}]", BARE),
    Cell("a fraction", N, f"{N}.5".encode(), INTEGER, ()),
    Cell("a fraction of nothing", N, f"{N}.00".encode(), INTEGER, ("integer",)),
    _text("without a country code", NOWHERE, f"see {NOWHERE}!", BARE),
    _text("a zero before a number without a country code", NOWHERE, f"0 {NOWHERE}", BARE),
    _text("only opening", BRITISH, f"{BRITISH[:2]}(0{BRITISH[2:]}"),
    _text("only closing", BRITISH, f"{BRITISH[:2]}0){BRITISH[2:]}"),
    _text("both brackets", BRITISH, f"{BRITISH[:2]}(0){BRITISH[2:]}", PUNCTUATED),
    _text("dots", N, "1.202.555.0100", PUNCTUATED),
    _text("one dot", N, f"1.{NATIONAL}"),
    _text("one dot and a plus sign", N, f"+1.{NATIONAL}", PUNCTUATED),
    _text("an exit code and the beginning of a number", EIGHT, f"00{EIGHT} {N[8:]}"),
    _text("a plus sign and the beginning of a number", EIGHT, f"+{EIGHT} {N[8:]}"),
    _text("a plus sign and one digit more", EIGHT, f"+{EIGHT} 1", PLUS),
    _text("an exit code and one digit more", EIGHT, f"00{EIGHT} 1", PLUS),
    _text("groups behind", EIGHT, f"{EIGHT} {N[8:]}", BARE),
    _text("twice, the first with a plus sign", EIGHT, f"+{EIGHT} {EIGHT}", PLUS, BARE),
    _text("groups behind seven digits", SEVEN, f"{SEVEN} 10", BARE),
    _text("groups before seven digits", SEVEN, f"20 {SEVEN}", BARE),
    _text(
        "a country code in two groups", BRITISH[2:], f"4 4 {BRITISH[2:6]} {BRITISH[6:]}", PUNCTUATED
    ),
    _text("a country code in one group", BRITISH[2:], f"44 {BRITISH[2:6]} {BRITISH[6:]}"),
    _text("a group before that makes no number", EIGHT, f"1 {EIGHT[:4]} {EIGHT[4:]}", PUNCTUATED),
    _text("a prefix that no number keeps", N, f"1 {N[0]} {N[1:]}", PUNCTUATED),
    _text("a plus sign and no plan's number", NOWHERE, f"+{NOWHERE} 10", PLUS),
    _text(
        "one digit behind that would make a number",
        MEXICAN[:-1],
        f"+{MEXICAN[:-1]} {MEXICAN[-1]}",
        PLUS,
    ),
    _text("a price before", N, f"3,00 3 {N}", BARE),
    _text("a version before", N, f"v.00 3 {N}", BARE),
    # --- JSON, as a number and not
    _text("a comma before and a brace behind", N, f"12,{N}}}", BARE),
    _json("in a list", N, f"[{N}, 1]", "JSON number"),
    _json("behind a quotation mark", N, f'{{"a": "{N}\\n"}}', BARE),
    # --- escapes
    _json(
        "Devanagari digits escaped",
        N,
        f'{{"a": "{_script(N, 0x0966, chr(92) + "u{:04x}")}"}}',
        "JSON-escaped digits",
    ),
    _json(
        "full-width digits escaped",
        N,
        f'{{"a": "{_script(N, 0xFF10, chr(92) + "u{:04x}")}"}}',
        "JSON-escaped digits",
    ),
    _json(
        "full-width digits escaped in capitals",
        N,
        f'{{"a": "{_script(N, 0xFF10, chr(92) + "u{:04X}")}"}}',
        "JSON-escaped digits",
    ),
    _text("escaped for JavaScript", N, f"{N[:4]}\\x35{N[5:]}", "JSON-escaped digits"),
    _text("a plus sign in quoted-printable", N, f"=2B{N}", PLUS),
    _text(
        "brackets in quoted-printable", BRITISH, f"{BRITISH[:2]}=280=29{BRITISH[2:]}", PUNCTUATED
    ),
    _text("blanks in quoted-printable", N, "1=20202=2D555=2E0100", PUNCTUATED),
    _text("a domain in quoted-printable", N, f"{N}=40s.whatsapp.net", "user JID"),
    _text("a letter of several bytes between", N, f"{N[:4]}%C3%A9{N[4:]}"),
    _text("a byte above ASCII between", N, f"{N[:4]}%A0{N[4:]}"),
    _text("a character of no meaning between", N, f"{N[:4]}\\ue000{N[4:]}"),
    _text("a character of no meaning escaped for URLs", N, f"{N[:4]}%EE%80%80{N[4:]}"),
    _text("a slash escaped between", N, f"{N[:4]}\\/{N[4:]}", PUNCTUATED),
    _text("a tab escaped between", N, f"{N[:4]}\\t{N[4:]}", PUNCTUATED),
    _text("a tab escaped behind, and a digit", N, f"{N}\\t7", BARE),
    # --- packed decimals
    _blob("packed without a frame", N, b"\xff" + _packed(N) + b"\xff", PACKED),
    _blob("packed at the beginning, a digit at the end", N, _packed(N) + b"\x01", PACKED),
    _blob("packed, padded, a digit behind", N, b"\xff" + _packed(N) + b"\x12", PACKED),
    _blob("packed, whole bytes, a digit behind", NATIONAL, b"\xff" + _packed(NATIONAL) + b"\x12"),
    _blob(
        "packed, whole bytes, none behind", NATIONAL, b"\xff" + _packed(NATIONAL) + b"\xff", PACKED
    ),
    _blob("packed, a digit before", N, b"\x12" + _packed(N) + b"\xff"),
    _blob("packed, too short to be told", EIGHT, b"\xff" + _packed(EIGHT) + b"\xff"),
    _blob("packed, longer than is said", LONG, b"\x80\x11\x86" + _packed(LONG) + b"\xff", PACKED),
    _blob(
        "packed, shorter than is said",
        EIGHT,
        b"\x80\x11\x86" + _packed(EIGHT) + b"\xff\xff",
        PACKED,
    ),
    _blob(
        "packed, shorter than is said, at the end", EIGHT, b"\x80\x11\x86" + _packed(EIGHT), PACKED
    ),
    _blob(
        "packed, part of what is said", NATIONAL, b"\x80\x11\x86" + _packed(NATIONAL) + b"\x12\xff"
    ),
    _blob(
        "packed, of no frame that was seen", EIGHT, b"\x80\x12\x87" + _packed(EIGHT) + b"\xff\xff"
    ),
    _text("a blob's forms in a text", N, f"{N[0]}\0{N[1:]}"),
    # --- integers
    _blob("64 bits", N, b"\xff" + _WIDE + b"\xff", BIG),
    Cell("64 bits in a text", N, b"\xff" + _WIDE + b"\xff", TEXT, ()),
    _blob("a varint at the beginning", N, _varint(N) + b"\xff", VARINT),
    _blob("a varint behind a byte that ends", N, b"\x7f" + _varint(N), VARINT),
    _blob("a varint behind a byte that goes on", N, b"\x80" + _varint(N)),
    _blob("no varint of seven digits", SEVEN, b"\xff\x08" + _varint(SEVEN) + b"\xff"),
    _blob("seven digits beside anything", SEVEN, b"\xff" + SEVEN.encode() + b"\xff", BARE),
    # --- UTF-16
    *(
        _blob(
            f"narrow blanks in {codec}",
            N,
            b"\xff\xff" + f"+1\u202f202\u202f{SEVEN}".encode(codec) + b"\xff\xff",
            f"{PUNCTUATED} in UTF-16",
        )
        for codec in ("utf-16-le", "utf-16-be")
    ),
    _blob(
        "escapes in UTF-16", N, b"\xff\xff" + f"{N[:4]}%35{N[5:]}".encode("utf-16-le") + b"\xff\xff"
    ),
    _blob(
        "bytes off in UTF-16", N, b"\xff" + N.encode("utf-16-le") + b"\xff\xff", f"{BARE} in UTF-16"
    ),
    # --- base64 and hexadecimal
    _text(
        "base64 for URLs with a hyphen",
        N,
        base64.urlsafe_b64encode(b"\xfb\xff\xbe" + _WIDE + b"\xff\xef\xbe").decode(),
        f"{BIG} in base64",
    ),
    _text("hexadecimal", N, (b"\xff" + _WIDE + b"\xff").hex(), f"{BIG} in hexadecimal"),
    _text(
        "hexadecimal in capitals",
        N,
        (b"\xff" + _WIDE + b"\xff").hex().upper(),
        f"{BIG} in hexadecimal",
    ),
    _text("hexadecimal of mixed case", N, f"801186{N}ffF", f"{PACKED} in hexadecimal"),
    _text(
        "base64 with an escape that stays",
        N,
        "\\" + base64.b64encode(b"\xff" + _WIDE).decode(),
        f"{BIG} in base64",
    ),
    _text("base64 with escapes", person(443).number, r"AAAAAAMI%2BrW\/", f"{BIG} in base64"),
    _text(
        "base64 with a slash escaped for URLs",
        person(43).number,
        "AAAAAALMx1U%2f",
        f"{BIG} in base64",
    ),
)
WHOLE: Final = {N: True, f"+{N}": True, f"{N} ": False, "      ".join(N): False}
"""Texts that are nothing but a number, and such as are more, or longer than such values are."""
REFUSED: Final = (
    _json("a list in which no mask is JSON", N, f"[1, {N}e0]"),
    _json("an object in which no mask is JSON", N, f'{{"a": {N}e0}}'),
    _text("a code that a mask would make another's", person(42).number, "AAAAAALMx1U-AA"),
    *CELLS[-2:],
)
"""Cells that hold a number and cannot be masked."""
ALPHABETS: Final = {
    "with hyphens": (f"----{_code(_WIDE)}", b"+/"),
    "with underscores": (f"____{_code(_WIDE)}", b"+/"),
    "with neither": (_code(_WIDE), b"-_"),
}
"""Codes, and the letters that they do not have and shall not get."""
