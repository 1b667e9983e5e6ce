"""The choke point that everything written passes: numbers and passwords go, the rest stays.

Two questions, deliberately not the same. `Redactor.redact` asks of free text "could this
be anybody's number?" and would rather take too much: seven digits or more go, whoever
they belong to. `Redactor.leaks` asks of a finished file "is this one of the numbers we
handled, or a password?" and must not cry wolf: only registered values count. Whatever
`redact` returns, `leaks` finds clean.
"""

from __future__ import annotations

import base64
import html
import json
import math
import re
import sys
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, quote_plus, unquote

from harness.errors import HarnessError
from harness.model import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

NUMBER_MARK: Final = "[number]"
SECRET_MARK: Final = "[secret]"  # noqa: S105  # what replaces a password, not one
# What a mark becomes before a search, so that a password "secret" is not found in it.
_MARK_HOLE: Final = "\ufffc"

_SHORTEST_NUMBER: Final = 7
_LONGEST_NUMBER: Final = 20
_LONGEST_DIALLED: Final = _LONGEST_NUMBER + 4
# One to three characters stand in any text by chance; replacing them would destroy it.
_SHORTEST_SECRET: Final = 4
_DIALLED_PREFIXES: Final = ("011", "0011")

# What people and address books put between the digits: spaces of all widths, invisible
# direction marks, dashes, dots, brackets, slashes.
_SPACE: Final = r" \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_PUNCTUATION: Final = (
    r"\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
    r"\-\u2010-\u2015\u2212\ufe58\ufe63\uff0d.\uff0e\u00b7()\[\]{}\uff08\uff09/\\_"
)
# A file is judged by phone separators; free text by anything that is no letter and no digit.
_PHONE_CHUNK: Final = re.compile(rf"\d(?:[{_SPACE}{_PUNCTUATION}]{{0,3}}\d){{6,}}")
_ANY_CHUNK: Final = re.compile(r"\d(?:[\W_]{0,3}\d){6,}")
# A number nobody registered: two spaces in a row are a table's columns, not a number's groups.
_LIKELY_NUMBER: Final = re.compile(
    rf"\+?\(?\d(?:(?:[{_SPACE}]|[{_SPACE}]?[{_PUNCTUATION}]{{1,2}}[{_SPACE}]?)?\d){{6,}}"
)
_LEGIBLE: Final = re.compile(
    r"""(?<![0-9A-Za-z.])(?:
      (?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:[0-2]\d|3[01])          # ISO date, and time
        (?:[T ][0-2]\d:[0-5]\d(?::[0-6]\d(?:[.,]\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?)?
    | (?:19|20)\d\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])T\d{6}Z     # a session folder's time
    | [0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}                # UUID
    | (?=[0-9]*[a-f])[0-9a-f]{32,128}                            # digest
    | (?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)  # IPv4
    | v?\d{1,2}\.\d{1,3}\.\d{1,3}(?![.-]?\d)                      # version
    | \d{1,6}\.\d{1,6}[ ]?(?:m?s|%|[kMG]i?B)                     # measured value
    )(?![0-9A-Za-z])""",
    re.VERBOSE | re.ASCII,
)

_ESCAPE_SOURCE: Final = (
    r"%[0-9A-Fa-f]{2}(?:%[0-9A-Fa-f]{2})*"  # literals first: the search can skip to them
    r"|\\+(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|U[0-9A-Fa-f]{8})"
    r"(?:\\+(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|U[0-9A-Fa-f]{8}))*"
    r"|&(?:\#[0-9]{1,7}|\#[xX][0-9A-Fa-f]{1,6}|nbsp);"
)
_ESCAPE: Final = re.compile(_ESCAPE_SOURCE)
_ESCAPED_STRETCH: Final = re.compile(
    rf"(?:{_ESCAPE_SOURCE}|\d)(?:[\W_]{{0,3}}?(?:{_ESCAPE_SOURCE}|\d))*"
)
_HEX_OF_TEXT: Final = re.compile(r"(?:3[0-9]){7,}")
_HEX_OF_INTEGER: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:0[xX])?((?=[0-9]*[A-Fa-f])[0-9A-Fa-f]{6,17})(?![0-9A-Za-z])"
)
# Three ASCII digits always become one of these quadruples: few other texts contain them.
_BASE64_OF_DIGITS: Final = re.compile(
    r"[MNO][DTjz][AEIMQUYcgk][w-z0-5](?:[MNO][DTjz][AEIMQUYcgk][w-z0-5])*"
)
_BASE64_TAIL: Final = re.compile(r"[A-Za-z0-9+/_-]{0,4}$")
_BASE64_HEAD: Final = re.compile(r"[A-Za-z0-9+/_-]{0,4}")

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
_Hit = tuple[int, int, int]  # start, end, number


class _Group(NamedTuple):
    """A run of digits as ASCII, whatever its script, and where it stands."""

    start: int
    end: int
    digits: str


class Redactor:
    """Knows every number and password of a session, and shows none of them."""

    def __init__(self) -> None:
        """Start with nothing registered: long digit runs are replaced all the same."""
        # Integers, not strings: half the memory at a million, and every script's digits
        # and leading zeros compare equal.
        self._numbers: set[int] = set()
        self._widths: set[int] = set()
        self._secrets: set[str] = set()
        self._secret_pattern: re.Pattern[str] | None = None

    def __repr__(self) -> str:
        """Name the counts only."""
        return f"Redactor({len(self._numbers)} numbers, {len(self._secrets)} secrets)"

    def __reduce__(self) -> str:
        """Refuse to be pickled: a pickle would be a list of everything to be hidden.

        Raises:
            HarnessError: Always.
        """
        message = "a redactor is never written anywhere; make one in each process"
        raise HarnessError(message)

    # --- what to hide -----------------------------------------------------------------------

    def register_number(self, number: str) -> None:
        """Hide this number of 7 to 20 digits from now on; anything but digits is ignored.

        Raises:
            HarnessError: It has too few digits to be told from a count, or too many.
        """
        digits = re.sub(r"\D", "", number)
        if not _SHORTEST_NUMBER <= len(digits) <= _LONGEST_NUMBER:
            message = "a number to be hidden needs 7 to 20 digits; check where it was taken from"
            raise HarnessError(message)
        self._numbers.add(int(digits))
        self._widths.add(len(digits))

    def register_secret(self, secret: Secret | str) -> None:
        """Hide this password from now on, also in the escapings of JSON, URLs and HTML.

        A secret under four characters is not registered: it would be found in every text.
        """
        value = secret.reveal() if isinstance(secret, Secret) else secret
        if len(value) >= _SHORTEST_SECRET:
            self._secrets.update(_disguises(value))
            self._secret_pattern = None

    # --- writing ----------------------------------------------------------------------------

    def redact(self, text: str) -> str:
        """Return the text without secrets, registered numbers, and runs of 7 digits or more.

        ISO timestamps, UUIDs, IPv4 addresses, digests of 32 hexadecimal digits or more and
        decimal fractions with a unit survive, unless they contain a registered number.
        """
        text = text.replace("\0", "")  # or UTF-16 passed for text would slip through
        if self._secrets:
            text = self._secrets_regex().sub(SECRET_MARK, text)
        if self._numbers:
            text = _cut(text, self._encoded_hits(text))
            text = _cut(text, self._written_hits(text, _ANY_CHUNK))
        text = _ESCAPED_STRETCH.sub(self._redact_escaped, text)
        return _redact_unknown(text)

    def redact_structure(self, value: object) -> Json:
        """Return JSON-like data with every string, key and registered number redacted.

        Tuples and sets become lists. A number that is not registered stays: counts, sizes
        in bytes and times in ms are what evidence is made of.

        Raises:
            HarnessError: The value is something that JSON cannot hold.
        """
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, int | float):
            return self._redact_scalar(value)
        if isinstance(value, dict):
            return self._redact_mapping(value)
        if isinstance(value, list | tuple):
            return [self.redact_structure(item) for item in value]
        if isinstance(value, set | frozenset):
            return [self.redact_structure(item) for item in sorted(value)]
        message = f"evidence cannot hold a {type(value).__name__}; turn it into text or numbers"
        raise HarnessError(message)

    # --- searching --------------------------------------------------------------------------

    def leaks(self, data: bytes) -> int:
        """Count the places where a registered number or secret stands in a file's bytes.

        A number counts with digit boundaries: bare, in a JID, with ``+`` or ``00`` before
        it, with a phone number's separators inside, behind escapes of JSON and URLs, in
        UTF-16, in hexadecimal and in base64. Compressed content is not looked into.
        """
        text = data.decode("utf-8", errors="surrogateescape")
        text = text.replace(NUMBER_MARK, _MARK_HOLE).replace(SECRET_MARK, _MARK_HOLE)
        count = sum(1 for _ in self._secrets_regex().finditer(text)) if self._secrets else 0
        if not self._numbers:
            return count
        # The same place may show in both readings; the union counts it once.
        places = self._count(text)
        other = _unescaped(text)
        if other != text:
            places |= self._count(other)
        return count + places.total() + sum(1 for _ in self._encoded_hits(text))

    # --- inside -----------------------------------------------------------------------------

    def _count(self, text: str) -> Counter[int]:
        hits = self._written_hits(text, _PHONE_CHUNK)
        return Counter(number for _, _, number in hits)

    def _secrets_regex(self) -> re.Pattern[str]:
        """Compile once per registration; the longest first, so that no tail stays behind."""
        if self._secret_pattern is None:
            longest_first = sorted(self._secrets, key=len, reverse=True)
            self._secret_pattern = re.compile("|".join(map(re.escape, longest_first)))
        return self._secret_pattern

    def _known(self, digits: str) -> int | None:
        """Return the registered number that these digits dial, if they do."""
        candidates = [digits.removeprefix(p) for p in _DIALLED_PREFIXES if digits.startswith(p)]
        # A single leading 0 is a mask's; two or more are dialled, or pad a column's width.
        candidates.append(digits.lstrip("0") if digits.startswith("00") else digits)
        known = (n for n in candidates if len(n) in self._widths and not n.startswith("0"))
        return next((int(n) for n in known if int(n) in self._numbers), None)

    def _written_hits(self, text: str, chunks: re.Pattern[str]) -> Iterator[_Hit]:
        """Yield where registered numbers stand, in one piece or as neighbouring groups."""
        for chunk in chunks.finditer(text):
            groups = _groups(chunk.group(), chunk.start())
            hits = set(self._group_hits(groups))
            if len(groups) > 1 and any(group.digits == "0" for group in groups):
                # "+44 (0)20 ...": the bracketed zero is written, never dialled from abroad.
                hits |= set(self._group_hits([group for group in groups if group.digits != "0"]))
            yield from hits

    def _group_hits(self, groups: list[_Group]) -> Iterator[_Hit]:
        """Yield the registered numbers that whole neighbouring groups add up to."""
        joined = "".join(group.digits for group in groups)
        offsets = list(accumulate((len(group.digits) for group in groups), initial=0))
        first = 0
        while first < len(groups):
            last = first
            begin = offsets[first]
            while last < len(groups) and offsets[last + 1] - begin <= _LONGEST_DIALLED:
                end = offsets[last + 1]
                # Most widths belong to no registered number: this is what makes files fast.
                if end - begin in self._widths or joined[begin] == "0":
                    number = self._known(joined[begin:end])
                    if number is not None:
                        yield groups[first].start, groups[last].end, number
                        first = last
                        break
                last += 1
            first += 1

    def _encoded_hits(self, text: str) -> Iterable[_Hit]:
        """Yield where registered numbers stand in hexadecimal or base64."""
        for start, end, digits in _encoded(text):
            number = self._known(digits)
            if number is not None:
                yield start, end, number

    def _redact_escaped(self, stretch: re.Match[str]) -> str:
        """Judge a stretch of digits, separators and escapes by what it means when unescaped."""
        written = stretch.group()
        meant = _ESCAPE.sub(_unescape, written)
        return written if meant == written or self.redact(meant) == meant else NUMBER_MARK

    def _redact_scalar(self, value: float) -> Json:
        if isinstance(value, float) and not math.isfinite(value):
            message = "evidence cannot hold a number that is not finite"
            raise HarnessError(message)
        text = repr(value)
        registered = any(True for _ in self._written_hits(text, _PHONE_CHUNK))
        return NUMBER_MARK if registered else value

    def _redact_mapping(self, mapping: Mapping[object, object]) -> dict[str, Json]:
        redacted: dict[str, Json] = {}
        for key, value in mapping.items():
            name = self.redact(str(key))
            while name in redacted:  # two numbers became the same mark; lose neither value
                name += "+"
            redacted[name] = self.redact_structure(value)
        return redacted


def _cut(text: str, hits: Iterable[_Hit]) -> str:
    """Replace the places by the mark; overlapping ones become one."""
    pieces: list[str] = []
    position = 0
    for start, end, _ in sorted(hits):
        if start >= position:
            pieces += text[position:start], NUMBER_MARK
        position = max(position, end)
    return "".join((*pieces, text[position:]))


def _redact_unknown(text: str) -> str:
    """Replace every phone-like chunk of digits outside the shapes that stay legible."""
    pieces: list[str] = []
    position = 0
    for legible in _LEGIBLE.finditer(text):
        before = text[position : legible.start()]
        pieces += _LIKELY_NUMBER.sub(NUMBER_MARK, before), legible.group()
        position = legible.end()
    pieces.append(_LIKELY_NUMBER.sub(NUMBER_MARK, text[position:]))
    return "".join(pieces)


# --- how values hide --------------------------------------------------------------------


def _disguises(secret: str) -> set[str]:
    """Return the secret as it stands in texts, JSON, URLs, HTML, `repr` and base64."""
    forms = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    forms |= {quote(secret, safe=""), quote_plus(secret), html.escape(secret), repr(secret)[1:-1]}
    data = secret.encode("utf-8", errors="surrogateescape")
    for padding in range(3):
        # The characters at the ends mix with the neighbours' bits: only the middle is sure.
        encoded = base64.b64encode(b"\0" * padding + data).decode()
        core = encoded.rstrip("=")[4 if padding else 0 : -1]
        forms |= {core, core.translate(str.maketrans("+/", "-_"))}
    return {form for form in forms if len(form) >= _SHORTEST_SECRET}


def _groups(chunk: str, offset: int) -> list[_Group]:
    """Return the runs of digits in a chunk that begins at `offset`."""
    groups = []
    for run in re.finditer(r"\d+", chunk):
        digits = run.group()
        if not digits.isascii():
            digits = "".join(str(int(digit)) for digit in digits)
        groups.append(_Group(offset + run.start(), offset + run.end(), digits))
    return groups


def _unescape(escape: re.Match[str]) -> str:
    """Return what a run of escapes stands for."""
    written = escape.group()
    if written.startswith("%"):
        return unquote(written, errors="replace")
    if written.startswith("&"):
        return html.unescape(written)
    codes = (int(code, 16) for code in re.split(r"\\+[uxU]", written)[1:])
    characters = "".join(chr(code) if code <= sys.maxunicode else _MARK_HOLE for code in codes)
    # JSON writes a digit beyond the basic plane as two surrogates: pair them up again.
    return characters.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _unescaped(text: str) -> str:
    """Return the other reading of a file: without escapes, and UTF-16 as text."""
    return _ESCAPE.sub(_unescape, text.replace("\0", ""))


def _encoded(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield places and digits of what could be a number in hexadecimal or base64."""
    for found in _HEX_OF_TEXT.finditer(text):
        yield found.start(), found.end(), found.group()[1::2]
    for found in _HEX_OF_INTEGER.finditer(text):
        yield found.start(), found.end(), str(int(found.group(1), 16))
    for found in _BASE64_OF_DIGITS.finditer(text):
        tail = _BASE64_TAIL.search(text[max(0, found.start() - 4) : found.start()])
        head = _BASE64_HEAD.match(text[found.end() : found.end() + 4])
        left, right = tail.group() if tail else "", head.group() if head else ""
        whole = left.rjust(4, "A") + found.group() + right.ljust(4, "A")
        decoded = base64.b64decode(whole, altchars=b"-_" if set("-_") & set(whole) else None)
        for run in re.finditer(rb"[0-9]{7,}", decoded):
            yield found.start() - len(left), found.end() + len(right), run.group().decode()
