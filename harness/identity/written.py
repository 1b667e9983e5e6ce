"""Numbers as people and programs write them: in groups, in any script's digits, in escapes.

A *run* is a stretch of digit groups with nothing but separators between them. A number is
found in a run where its digits begin and end with groups, and where the groups beside it do
not make a longer number of it: 15551234567 in +49 15551234567 is somebody in Germany.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import accumulate, pairwise, takewhile
from typing import Final

import phonenumbers

from harness.identity.escapes import FILL, INVISIBLE, OPAQUE, SEPARATORS, readings
from harness.identity.spelling import Identifier, country_digits

MOST_SEPARATORS: Final = 6
"""How many separators may stand between two digits of one number."""

_TOKEN: Final = rf"\d{FILL}*"
_DIGIT: Final = re.compile(_TOKEN)
_DIGITS: Final = rf"\d(?:{FILL}*[{INVISIBLE}]{{0,4}}{FILL}*\d)*{FILL}*"
_GROUP: Final = re.compile(_DIGITS)
# A dot and a blank end a sentence, or the number of a paragraph.
_SEPARATOR: Final = rf"(?:[{re.escape(SEPARATORS.replace('.', ''))}{INVISIBLE}]|\.(?! )){FILL}*"
_BETWEEN: Final = f"(?:{_SEPARATOR}){{1,{MOST_SEPARATORS}}}"
_RUN: Final = re.compile(rf"{_DIGITS}(?:{_BETWEEN}{_DIGITS})*")
_PLUS: Final = re.compile(rf"[+\uff0b]{FILL}*(?:{_SEPARATOR}){{0,2}}$")
_LONGEST_PLUS: Final = 24
_NOT_DIGIT: Final = re.compile(r"\D+")
_EXIT_CODES: Final = ("00", "011")
_LONGEST: Final = 15
"""The digits of the longest number that E.164 allows."""
_LONGEST_WHOLE: Final = 64
_SHORTEST_GROUP: Final = 2

_USER_SUFFIX: Final = re.compile(
    rf"(?P<device>:{FILL}*[0-9]+)?@{FILL}*(?:(?P<lid>lid(?![A-Za-z0-9.]))|s\.whatsapp\.net|c\.us)"
)
_GROUP_SUFFIX: Final = re.compile(rf"-[0-9]+@{FILL}*g\.us")
_JSON_BEFORE: Final = re.compile(r'(?:"\s*:|[\[,])\s*$')
_JSON_AFTER: Final = re.compile(r"\s*(?:[,\]}]|\\+n)")
_JSON_NEAR: Final = 80
_ESCAPE_FORMS: Final = {
    "%": "URL-encoded digits",
    "=": "quoted-printable digits",
    "\\": "JSON-escaped digits",
}
Place = tuple[int, int]


@dataclass(frozen=True, slots=True, repr=False)
class Writing:
    """One number found in a text, from the first of its digits to the last.

    `start` and `end` count characters; `rewrite` returns what stands there for another
    identifier; `whole` tells that nothing but the number, a plus sign and a user's domain
    fill the text.
    """

    start: int
    end: int
    identifier: Identifier
    form: str
    rewrite: Callable[[Identifier], str]
    whole: bool


def writings(
    text: str, identifiers: Sequence[Identifier], *, escapes: bool = True
) -> Iterator[Writing]:
    """Yield each place where a text holds one of the identifiers, each place once.

    Without `escapes`, the text is only read as it stands.
    """
    seen: set[int] = set()
    first = ""
    for reading in readings(text) if escapes else (text.replace(FILL, OPAQUE),):
        first = first or reading
        for match in _RUN.finditer(reading):
            for writing in _Run(text, reading, match.start(), match.end()).search(identifiers):
                if writing.start not in seen and not _goes_on(first, writing):
                    seen.add(writing.start)
                    yield writing
    for identifier in identifiers:
        if identifier.json != identifier.digits:
            yield from _fractions(text, identifier)


def _goes_on(decoded: str, writing: Writing) -> bool:
    """Tell whether an escaped digit stands beside a number that was read without escapes."""
    before = decoded[max(0, writing.start - _LONGEST_PLUS) : writing.start]
    behind = decoded[writing.end : writing.end + _LONGEST_PLUS]
    return (
        before.endswith(FILL) and before.rstrip(FILL + INVISIBLE)[-1:].isdecimal()
    ) or behind.lstrip(FILL + INVISIBLE)[:1].isdecimal()


class _Run:
    """One run of digit groups in a text."""

    def __init__(self, text: str, normal: str, start: int, end: int) -> None:
        self._text = text
        self._normal = normal
        self._start, self._end = start, end
        self._digits = _squeeze(normal[start:end])

    def search(self, identifiers: Sequence[Identifier]) -> Iterator[Writing]:
        """Yield each place where the run holds one of the identifiers."""
        for identifier in identifiers:
            if identifier.digits in self._digits:
                yield from self._occurrences(identifier, identifier.digits, trunk=0)
            country, rest = identifier.split
            if country and (written := f"{country}0{rest}") in self._digits:
                yield from self._occurrences(identifier, written, trunk=len(country))

    def _occurrences(self, identifier: Identifier, digits: str, trunk: int) -> Iterator[Writing]:
        """Yield where these digits stand; `trunk` is the place of a zero in brackets, if any."""
        at = self._digits.find(digits)
        while at >= 0:
            end = at + len(digits)
            places = self._places[at:end]
            bracketed = not trunk or self._in_brackets(places.pop(trunk))
            if bracketed and self._bounded(at, end, identifier) and not self._is_decimal(places):
                yield self._writing(identifier, places)
            at = self._digits.find(digits, at + 1)

    @cached_property
    def _places(self) -> list[Place]:
        """From where to where each digit reaches."""
        return [match.span() for match in _DIGIT.finditer(self._normal, self._start, self._end)]

    @cached_property
    def _ends(self) -> list[int]:
        """How many digits there are up to the end of each group."""
        groups = _GROUP.finditer(self._normal, self._start, self._end)
        return list(accumulate(len(_squeeze(match[0])) for match in groups))

    @cached_property
    def _starts(self) -> list[int]:
        """How many digits there are before each group."""
        return [0, *self._ends[:-1]]

    def _in_brackets(self, zero: Place) -> bool:
        # An escaped bracket is followed by what fills it up.
        before = self._normal[max(0, zero[0] - _LONGEST_PLUS) : zero[0]].rstrip(FILL)
        return before.endswith("(") and self._normal[zero[1] : zero[1] + 1] == ")"

    def _is_decimal(self, places: list[Place]) -> bool:
        """Tell whether a single dot stands between the digits, as in a coordinate or a price."""
        between = self._normal[places[0][0] : places[-1][1]].replace(FILL, "")
        return len(between) == len(places) + 1 and "." in between and not self._plus

    def _bounded(self, start: int, end: int, identifier: Identifier) -> bool:
        """Tell whether digits `start` to `end` of the run are a number of their own."""
        first = bisect_right(self._starts, start) - 1
        last = bisect_right(self._starts, end - 1) - 1
        begun = self._digits[self._starts[first] : start]
        if self._ends[last] != end or (begun and begun not in _EXIT_CODES):
            return False
        if identifier.is_mask:
            # A mask is no number of any plan, and was put only where a number had been.
            return True
        together = first == last
        exited = begun or (first == 1 and self._digits[:start] == self._exit_code)
        if not (exited or (first == 0 and self._plus)):
            if self._follows_country_code(first, end):
                return False
            if together:
                return True
            if self._makes_a_number(first, end):
                return False
        return not self._goes_on_as_number(start, end, last, identifier)

    @cached_property
    def _exit_code(self) -> str:
        """The exit code that the first group is, or begins with; a time of day is none."""
        if self._normal[max(0, self._start - 1) : self._start] in {":", ".", ","}:
            return ""
        group = self._digits[: self._ends[0]]
        return next((code for code in _EXIT_CODES if group.startswith(code)), "")

    def _follows_country_code(self, first: int, end: int) -> bool:
        """Tell whether what goes before makes an international number that reaches to `end`."""
        international = self._plus or self._exit_code
        return bool(first and international) and end - len(self._exit_code) <= _LONGEST

    def _makes_a_number(self, first: int, end: int) -> bool:
        """Tell whether groups before may be the beginning of a number that reaches to `end`.

        Nobody writes a country code in two groups.
        """
        near = self._starts[max(0, first - _LONGEST) : first + 1]
        return any(
            _possible(digits := self._digits[at:end]) and country_digits(digits) <= after - at
            for at, after in pairwise(near)
        )

    def _goes_on_as_number(self, start: int, end: int, last: int, identifier: Identifier) -> bool:
        """Tell whether groups behind make a longer number, and what is there is none by itself."""
        if last + 1 == len(self._ends) or _valid(identifier.digits):
            return False
        if self._ends[last + 1] - end < _SHORTEST_GROUP:
            return False
        behind = takewhile(lambda at: at - start <= _LONGEST, self._ends[last + 1 :])
        return any(_possible(self._digits[start:later]) for later in behind)

    @cached_property
    def _plus(self) -> bool:
        near = self._normal[max(0, self._start - _LONGEST_PLUS) : self._start]
        return _PLUS.search(near) is not None

    # --- what was found, by name --------------------------------------------------------

    def _writing(self, identifier: Identifier, places: list[Place]) -> Writing:
        start, end = places[0][0], places[-1][1]
        form = self._form(start, end, places)
        rewrite: Callable[[Identifier], str] = partial(_rewritten, self._text, places)
        if form == "JSON number":
            rewrite = _json_of
        return Writing(start, end, identifier, form, rewrite, whole=self._whole(start, end))

    def _whole(self, start: int, end: int) -> bool:
        """Tell whether a number, with what makes it international and a domain, is all there is."""
        if len(self._normal) > _LONGEST_WHOLE:
            return False
        user = _USER_SUFFIX.match(self._normal, end)
        before = _PLUS.sub("", self._normal[:start])
        return before in {"", *_EXIT_CODES} and not self._normal[user.end() if user else end :]

    def _form(self, start: int, end: int, places: list[Place]) -> str:
        tokens = [self._text[a:b] for a, b in places]
        escape = next((token[0] for token in tokens if len(token) > 1), "")
        if escape:
            return _ESCAPE_FORMS[escape]
        if not all(map(str.isascii, tokens)):
            return "non-ASCII digits"
        if end - start > len(places):
            return "punctuated number"
        if user := _USER_SUFFIX.match(self._normal, end):
            return "LID" if user["lid"] else "device JID" if user["device"] else "user JID"
        return self._form_alone(start, end)

    def _form_alone(self, start: int, end: int) -> str:
        """Return the form of a number that is written in one piece, and is no person's JID."""
        if _GROUP_SUFFIX.match(self._normal, end):
            return "group JID"
        before = self._normal[max(0, start - _LONGEST_PLUS) : start]
        if before.endswith(_EXIT_CODES) or _PLUS.search(before):
            return "international number"
        return "JSON number" if self._in_json(start, end) else "bare number"

    def _in_json(self, start: int, end: int) -> bool:
        """Tell whether a value of JSON stands between two places, as a number."""
        if "{" not in self._text and "[" not in self._text:
            return False
        before = _JSON_BEFORE.search(self._text[max(0, start - _JSON_NEAR) : start])
        return before is not None and _JSON_AFTER.match(self._text, end) is not None


def _squeeze(text: str) -> str:
    """Return the digits of a text, in ASCII."""
    digits = _NOT_DIGIT.sub("", text)
    return digits if digits.isascii() else "".join(str(unicodedata.decimal(d)) for d in digits)


def _rewritten(text: str, places: list[Place], other: Identifier) -> str:
    """Return the text between the first and the last place with another identifier's digits."""
    parts: list[str] = []
    position = places[0][0]
    for (start, end), digit in zip(places, other.digits, strict=True):
        parts += [text[position:start], _written_like(text[start:end], digit)]
        position = end
    return "".join(parts)


def _written_like(old: str, digit: str) -> str:
    """Return a digit in the script or the escape of the one that it replaces."""
    if len(old) == 1:
        # The ten digits of a script stand in a row.
        return chr(ord(old) - int(old) + int(digit))
    if re.match(r"\\+u", old):
        code = int(old[-4:], 16)
        made = f"{code - unicodedata.decimal(chr(code)) + int(digit):04x}"
        return old[:-4] + (made.upper() if old[-4:].isupper() else made)
    return old[:-1] + digit


def _json_of(other: Identifier) -> str:
    return other.json


def _fractions(text: str, identifier: Identifier) -> Iterator[Writing]:
    """Yield where a mask stands as a JSON number; its digits alone would not be one."""
    at = text.find(identifier.json)
    while at >= 0:
        end = at + len(identifier.json)
        around = text[max(0, at - 1) : at] + text[end : end + 1]
        if not any(map(str.isdigit, around)):
            yield Writing(at, end, identifier, "JSON number", _json_of, whole=around == "")
        at = text.find(identifier.json, at + 1)


@lru_cache(maxsize=4096)
def _possible(digits: str) -> bool:
    """Tell whether digits have the country code and the length of some plan's numbers."""
    number = _parsed(digits)
    return number is not None and phonenumbers.is_possible_number(number)


@lru_cache(maxsize=4096)
def _valid(digits: str) -> bool:
    """Tell whether digits are a number that some plan gives out."""
    number = _parsed(digits)
    return number is not None and phonenumbers.is_valid_number(number)


def _parsed(digits: str) -> phonenumbers.PhoneNumber | None:
    """Return digits as the number of some plan, or None where that would leave a digit out."""
    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return None
    national = phonenumbers.national_significant_number(number)
    return number if f"{number.country_code}{national}" == digits else None
