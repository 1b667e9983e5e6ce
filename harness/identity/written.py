"""Numbers as people and programs write them: in groups, in any script's digits, in escapes.

A *run* is a stretch of digit groups with nothing but separators between them. A number is
found in a run where its digits begin and end with groups, and where the groups beside it do
not make a longer number of it: 15551234567 in +49 15551234567 is somebody in Germany.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate, pairwise
from typing import Final

import phonenumbers

from harness.identity.spelling import Identifier, country_digits

SEPARATORS: Final = (
    " \t()[]./-~\u00a0\u00ad\u00b7\u1680\u180e"
    + "".join(map(chr, range(0x2000, 0x2016)))
    + "\u2024\u2027\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u202f\u205f\u2060\u2066\u2067"
    "\u2068\u2069\u2212\u2215\u3000\ufe63\ufeff\uff08\uff09\uff0d\uff0e\uff0f"
)
"""What may stand between the digits of one number, with the invisible marks of pasted ones."""

MOST_SEPARATORS: Final = 4
"""How many separators may stand between two digits of one number."""

# Where an escape was decoded in place, the characters that are left over.
_FILL: Final = "\ue000"
_OPAQUE: Final = "\ue001"
_ESCAPE: Final = re.compile(
    r"%[Cc]2%[Aa]0|%(?P<url>[0-9A-Fa-f]{2})|\\+u(?P<json>[0-9A-Fa-f]{4})|\\+x(?P<hex>[0-9A-Fa-f]{2})"
    r"|=C2=A0|=(?P<plus>2B)|(?<=[0-9])=(?P<printable>20|09|28|29|2[DEF])(?=[=0-9(])"
    r"|(?P<opaque>=(?:C[3-9]|[DEF][0-9A-F])(?:=[89AB][0-9A-F]){1,3})|(?P<printables>(?:=3[0-9]){7,})|=(?P<at>40)(?=[a-z])"
    r"|=(?P<soft>\r?\n)|\r?\n(?P<fold>[ \t])|\\+(?P<tab>t)|\\+(?P<slash>/)"
)
_MAY_ESCAPE: Final = re.compile(r"[%=\\]|\n[ \t]")

_DIGIT: Final = re.compile(rf"\d{_FILL}*")
_GROUP: Final = re.compile(rf"(?:\d{_FILL}*)+")
_SEPARATOR: Final = f"[{re.escape(SEPARATORS)}]{_FILL}*"
_RUN: Final = re.compile(
    rf"(?:\d{_FILL}*)+(?:(?:{_SEPARATOR}){{1,{MOST_SEPARATORS}}}+(?:\d{_FILL}*)+)*"
)
_PLUS: Final = re.compile(rf"[+\uff0b]{_FILL}*(?:{_SEPARATOR}){{0,2}}$")
_LONGEST_PLUS: Final = 24
_NOT_DIGIT: Final = re.compile(r"\D+")
_EXIT_CODES: Final = ("00", "011")
_LONGEST: Final = 15
"""The digits of the longest number that E.164 allows."""
_SHORTEST_GROUP: Final = 2

_USER_SUFFIX: Final = re.compile(
    rf"(?P<device>:{_FILL}*[0-9]+)?@{_FILL}*(?:(?P<lid>lid(?![A-Za-z0-9.]))|s\.whatsapp\.net|c\.us)"
)
_GROUP_SUFFIX: Final = re.compile(rf"-[0-9]+@{_FILL}*g\.us")
_JSON_BEFORE: Final = re.compile(r"[:\[,]\s*$")
_JSON_AFTER: Final = re.compile(r"\s*[,\]}]")
_NEAR: Final = 8
_URL_ESCAPE, _QP_ESCAPE, _JSON_ESCAPE = "%", "=", "\\"
_ESCAPE_FORMS: Final = {
    _URL_ESCAPE: "URL-encoded digits",
    _QP_ESCAPE: "quoted-printable digits",
    _JSON_ESCAPE: "JSON-escaped digits",
}


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


def writings(text: str, identifiers: Sequence[Identifier]) -> Iterator[Writing]:
    """Yield each place where a text holds one of the identifiers, each place once."""
    seen: set[int] = set()
    for normal in _readings(text.replace(_FILL, _OPAQUE)):
        for match in _RUN.finditer(normal):
            for writing in _Run(text, normal, match.start(), match.end()).search(identifiers):
                if writing.start not in seen:
                    seen.add(writing.start)
                    yield writing
    for identifier in identifiers:
        if identifier.json != identifier.digits:
            yield from _fractions(text, identifier)


def _readings(text: str) -> Iterator[str]:
    """Yield the text with its escapes decoded in place, and as it stands: either may be meant."""
    if _MAY_ESCAPE.search(text) and (normal := _ESCAPE.sub(_decoded, text)) != text:
        yield normal
    yield text


def _decoded(match: re.Match[str]) -> str:
    """Return an escape as the character it means, and fill up to its length."""
    if match["printables"]:
        return "".join(token[-1] + _FILL * 2 for token in re.findall("=3[0-9]", match[0]))
    code = match["url"] or match["json"] or match["hex"] or match["plus"] or match["printable"]
    if code:
        # A byte above ASCII is part of a character of several bytes.
        single = match["json"] or int(code, 16) < 0x80  # noqa: PLR2004
        character = chr(int(code, 16)) if single else _OPAQUE
    elif match["tab"] or match["slash"]:
        character = "\t" if match["tab"] else "/"
    elif match["at"] or match["opaque"]:
        character = "@" if match["at"] else _OPAQUE
    else:
        character = " "
    return character + _FILL * (len(match[0]) - 1)


class _Run:
    """One run of digit groups in a text."""

    def __init__(self, text: str, normal: str, start: int, end: int) -> None:
        self._text = text
        self._normal = normal
        self._start, self._end = start, end
        self._squeezed = _squeeze(normal[start:end])

    def search(self, identifiers: Sequence[Identifier]) -> Iterator[Writing]:
        """Yield each place where the run holds one of the identifiers."""
        for identifier in identifiers:
            if identifier.digits in self._squeezed:
                yield from self._occurrences(identifier, identifier.digits, trunk=0)
            country, rest = identifier.split
            if country and (written := f"{country}0{rest}") in self._squeezed:
                yield from self._occurrences(identifier, written, trunk=len(country))

    def _occurrences(self, identifier: Identifier, digits: str, trunk: int) -> Iterator[Writing]:
        """Yield where these digits stand; `trunk` is the place of a zero in brackets, if any."""
        tokens = [match.span() for match in _DIGIT.finditer(self._normal, self._start, self._end)]
        sizes = [
            len(_squeeze(match[0]))
            for match in _GROUP.finditer(self._normal, self._start, self._end)
        ]
        ends = list(accumulate(sizes))
        at = self._squeezed.find(digits)
        while at >= 0:
            places = tokens[at : at + len(digits)]
            if trunk:
                zero = places.pop(trunk)
                bracketed = self._normal[zero[0] - 1 : zero[0]], self._normal[zero[1] : zero[1] + 1]
            if (not trunk or bracketed == ("(", ")")) and self._bounded(
                at, at + len(digits), sizes, ends
            ):
                yield self._writing(identifier, places)
            at = self._squeezed.find(digits, at + 1)

    def _bounded(self, start: int, end: int, sizes: list[int], ends: list[int]) -> bool:
        """Tell whether digits `start` to `end` of the run are a number of their own."""
        starts = [end - size for end, size in zip(ends, sizes, strict=True)]
        if end not in ends:
            return False
        last = ends.index(end)
        first = max(index for index, at in enumerate(starts) if at <= start)
        begun = self._squeezed[starts[first] : start]
        if begun and begun not in _EXIT_CODES:
            return False
        together = first == last
        exited = begun or self._squeezed[:start] in _EXIT_CODES
        international = bool(exited) or (first == 0 and self._plus)
        if not international:
            before = starts[:first]
            if self._follows_country_code(before, end) or (
                not together and self._makes_a_number(starts[: first + 1], end)
            ):
                return False
            if together:
                return True
        longer = [self._squeezed[start:later] for later in ends[last + 1 :]]
        sizable = last + 1 < len(sizes) and sizes[last + 1] >= _SHORTEST_GROUP
        return not (sizable and any(map(_possible, longer)))

    def _follows_country_code(self, before: list[int], end: int) -> bool:
        """Tell whether what goes before makes an international number that reaches to `end`."""
        lead = next((code for code in _EXIT_CODES if self._squeezed.startswith(code)), "")
        return bool(before) and (self._plus or lead != "") and end - len(lead) <= _LONGEST

    def _makes_a_number(self, starts: list[int], end: int) -> bool:
        """Tell whether groups before may be the beginning of a number that reaches to `end`.

        Nobody writes a country code in two groups.
        """
        return any(
            _possible(digits := self._squeezed[at:end]) and country_digits(digits) <= after - at
            for at, after in pairwise(starts)
        )

    @property
    def _plus(self) -> bool:
        near = self._normal[max(0, self._start - _LONGEST_PLUS) : self._start]
        return _PLUS.search(near) is not None

    def _writing(self, identifier: Identifier, places: list[tuple[int, int]]) -> Writing:
        start, end = places[0][0], places[-1][1]
        form, user = self._form(start, end, places)
        rewrite: Callable[[Identifier], str] = partial(_rewritten, self._text, places)
        if form == "JSON number":
            rewrite = _json_of
        return Writing(start, end, identifier, form, rewrite, whole=user)

    def _form(self, start: int, end: int, places: list[tuple[int, int]]) -> tuple[str, bool]:
        """Return the form of the number between two places, and whether it is all there is."""
        tokens = [self._text[a:b] for a, b in places]
        user = _USER_SUFFIX.match(self._normal, end)
        rest = self._normal[user.end() if user else end :]
        before = _squeeze_plus(self._normal[:start])
        whole = not rest and before == ""
        escape = next((token[0] for token in tokens if len(token) > 1), "")
        if escape:
            form = _ESCAPE_FORMS[escape]
        elif not all(map(str.isascii, tokens)):
            form = "non-ASCII digits"
        elif end - start > len(places):
            form = "punctuated number"
        elif user:
            form = "LID" if user["lid"] else "device JID" if user["device"] else "user JID"
        else:
            form = self._form_alone(start, end)
        return form, whole

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
        text = self._text
        return (
            ("{" in text or text.lstrip().startswith("["))
            and _JSON_BEFORE.search(text[max(0, start - _NEAR) : start]) is not None
            and _JSON_AFTER.match(text, end) is not None
        )


def _squeeze(text: str) -> str:
    """Return the digits of a text, in ASCII."""
    digits = _NOT_DIGIT.sub("", text)
    return digits if digits.isascii() else "".join(str(unicodedata.decimal(d)) for d in digits)


def _squeeze_plus(before: str) -> str:
    """Return what stands before a number, without what only makes it international."""
    if len(before) > _LONGEST_PLUS:
        return before
    without = _PLUS.sub("", before)
    return "" if without in _EXIT_CODES else without


def _rewritten(text: str, places: list[tuple[int, int]], other: Identifier) -> str:
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
    if len(digits) > _LONGEST or digits.startswith("0"):
        return False
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(f"+{digits}"))
    except phonenumbers.NumberParseException:
        return False
