"""Mutants that nobody can notice, each with the reason: what they switch off changes no answer.

Each is named as the score names it, operator and place. An entry that no mutant matches any
more is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from harness._tests.mutants.syntax import Operator

_FILTER: Final = "a filter before the exact search, which without it is slower and sees no less"
_QUICK: Final = "a short cut, which without it is a longer way to the same answer"
_NARROWED: Final = "asked again for the type checker: it was answered where the rows are counted"

EQUIVALENTS: Final[Mapping[tuple[Operator, str], str]] = {
    (Operator.ALWAYS, "judge:_unaccounted: if before"): _NARROWED,
    (Operator.ALWAYS, "identity.matcher:Matcher._all: if self._coded(cell)"): _FILTER,
    (Operator.ALWAYS, "identity.matcher:Matcher._inside: if self.candidate(decoded)"): _FILTER,
    (
        Operator.ALWAYS,
        r"identity.packed:in_bytes: if b'\x00' in data",
    ): "digits of ASCII in UTF-16 never stand without a zero byte",
    (
        Operator.ALWAYS,
        "identity.written:_Run.search: if identifier.digits in self._digits",
    ): _QUICK,
    (
        Operator.TERM,
        "identity.written:_Run._bounded: self._ends[last] != end of self._ends[last] != end or "
        "(begun and begun not in _EXIT_CODES)",
    ): "digits that go on in the same group are refused once more, by _goes_on",
    (
        Operator.TERM,
        "identity.written:_Run._follows_country_code: first of first and international",
    ): "a number in the first group is international itself, and was answered before",
    (Operator.CHECK_OFF, "identity.written:_squeeze: if digits.isascii()"): _QUICK,
    (
        Operator.ALWAYS,
        "identity.wrapped:_Stretch.__init__: if not _PLAIN_BASE64.fullmatch(match[0])",
    ): _QUICK,
    (
        Operator.CHECK_OFF,
        "identity.wrapped:in_base64: if match.end() - match.start() < _SHORTEST",
    ): _FILTER,
    (Operator.ALWAYS, "identity.escapes:readings: if _MAY_ESCAPE.search(text)"): _QUICK,
    (
        Operator.ALWAYS,
        "identity.escapes:readings: if decoded != text",
    ): "the same reading twice gives the same places, and each is told once",
    (
        Operator.TERM,
        "identity.escapes:readings: '+' in decoded of '+' in decoded and (form := "
        "_FORM_BLANK.sub(' ', decoded)) != decoded",
    ): _QUICK,
    (
        Operator.ELEMENT,
        "identity.escapes:_character: OPAQUE in (FILL, OPAQUE)",
    ): "what is opaque becomes opaque",
    (
        Operator.CHECK_OFF,
        "identity.escapes:_character: if match['tab']",
    ): "a slash stands between digits as well as a tab does",
    (
        Operator.ALWAYS,
        "identity.escapes:_character: if match['tab']",
    ): "a tab stands between digits as well as a slash does",
}
