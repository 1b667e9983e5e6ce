"""wa_id -> identity closure: who the subject is, frozen before anything is deleted.

A wa_id is a phone number as a bare integer, E.164, 7 to 15 digits. The closure holds every
number that the stores tie to the subject; it cannot be worked out once rows are gone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from harness.errors import InvalidWaIdError
from harness.identity.spelling import Identifier, spelled

USER_DOMAIN: Final = "s.whatsapp.net"
GROUP_DOMAIN: Final = "g.us"
LID_DOMAIN: Final = "lid"

_WA_ID = re.compile(r"[1-9][0-9]{6,14}")
# Of at most 18 digits, which 64 bits hold.
_LID = re.compile(r"[1-9][0-9]{6,17}")
# The user part of a JID, with the number of a linked device where there is one.
_USER_JID = re.compile(rb"\+?([0-9]+)(?::[0-9]+)?@(s\.whatsapp\.net|c\.us|lid)")
_PUNCTUATION = re.compile(rb"^00|[+ ().\-]")
# Where one plan's number is written in two forms: what both begin with, the digits that only
# the long form has, and how many digits follow.
_TWO_FORMS: Final = (
    re.compile(r"(?P<head>55[1-9][0-9])(?P<extra>9)?(?P<tail>[0-9]{8})"),
    re.compile(r"(?P<head>52)(?P<extra>1)?(?P<tail>[0-9]{10})"),
    re.compile(r"(?P<head>54)(?P<extra>9)?(?P<tail>[0-9]{10})"),
)
_EXTRA_DIGIT: Final = {"55": "9", "52": "1", "54": "9"}


@dataclass(frozen=True, slots=True, repr=False)
class WaId:
    """A phone number as the client writes it; shows as `***` wherever it is printed."""

    number: str

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    @property
    def jid(self) -> str:
        """The user JID that belongs to the number itself, mapped or not."""
        return f"{self.number}@{USER_DOMAIN}"


def parse_wa_id(text: str) -> WaId:
    """Return the wa_id written in `text`.

    Strict on form and lenient on numbering plans: real wa_ids exist that no numbering
    plan allows (old Brazilian and Mexican forms), and refusing them would refuse an erasure
    that is owed. The installation's own identity, -1, can never pass.

    Raises:
        InvalidWaIdError: The text is not 7 to 15 ASCII digits with a first digit of 1 to 9.
    """
    if _WA_ID.fullmatch(text):
        return WaId(text)
    raise InvalidWaIdError(
        "A wa_id is 7 to 15 digits 0-9, the first not 0, country code first, with no plus "
        "sign, space, letter or other character; the value given is not (and is not shown)."
    )


def variant_of(number: str) -> str | None:
    """Return the other form of a number whose plan has two, or None.

    Source: a Brazilian wa_id keeps the ninth digit for some area codes only, a Mexican one
    may have a 1 after the country code, an Argentine one a 9.
    """
    for plan in _TWO_FORMS:
        if match := plan.fullmatch(number):
            extra = "" if match["extra"] else _EXTRA_DIGIT[number[:2]]
            return match["head"] + extra + match["tail"]
    return None


@dataclass(frozen=True, slots=True, repr=False)
class Closure:
    """Every number of the subject: the wa_id itself, and what the stores tie to it.

    `aliases` are phone numbers, `lids` the numbers of JIDs that hide one.
    """

    wa_id: WaId
    aliases: frozenset[str] = frozenset()
    lids: frozenset[str] = frozenset()

    @property
    def numbers(self) -> tuple[str, ...]:
        """All numbers, the wa_id first, the others sorted."""
        own = self.wa_id.number
        return (own, *sorted((self.aliases | self.lids) - {own}))

    @property
    def identifiers(self) -> tuple[Identifier, ...]:
        """All numbers in each of their spellings, in the order of `numbers`."""
        return tuple(map(spelled, self.numbers))

    @property
    def candidates(self) -> frozenset[str]:
        """Numbers that may be the subject's in another form, and that no store ties to them.

        They are somebody else's until a store says otherwise, and are left alone.
        """
        known = {self.wa_id.number, *self.aliases}
        forms = {form for number in known if (form := variant_of(number))}
        return frozenset(forms - known)

    def by_kind(self) -> tuple[tuple[str, int], ...]:
        """Explain the closure by kind and count, for evidence."""
        variants = {form for n in self.numbers if (form := variant_of(n))} & self.aliases
        return (
            ("number given", 1),
            ("alias tied by the stores", len(self.aliases - variants - {self.wa_id.number})),
            ("country variant tied by the stores", len(variants - {self.wa_id.number})),
            ("LID tied by the stores", len(self.lids)),
            ("country variant not tied, left alone", len(self.candidates)),
        )

    def __repr__(self) -> str:
        return f"Closure({len(self.numbers)} numbers)"


def freeze(wa_id: WaId, ties: Iterable[tuple[bytes, bytes]]) -> Closure:
    """Return the closure of a wa_id, given the pairs of identifiers that the stores tie.

    Each side of a pair is a phone number, with or without a plus sign, or a JID. A pair ties
    the other side to the subject when one side is the wa_id. One step only: a tie of a tie may
    be the next owner of a number, who is someone else.
    """
    own = wa_id.number
    aliases: set[str] = set()
    lids: set[str] = set()
    for pair in ties:
        numbers = [_number(side) for side in pair]
        if (own, False) not in numbers:
            continue
        for number, is_lid in numbers:
            if is_lid and _LID.fullmatch(number):
                lids.add(number)
            elif number != own and _WA_ID.fullmatch(number):
                aliases.add(number)
    return Closure(wa_id, frozenset(aliases), frozenset(lids))


def tied_to(numbers: Collection[str], ties: Iterable[tuple[bytes, bytes]]) -> frozenset[str]:
    """Return every number that a tie puts beside one of these: their persons', or an owner's."""
    found: set[str] = set()
    for pair in ties:
        sides = {_number(side)[0] for side in pair}
        if sides & set(numbers):
            found |= sides
    return frozenset(found - {""})


def _number(side: bytes) -> tuple[str, bool]:
    """Return the number in one side of a tie, and whether it is a LID's."""
    if match := _USER_JID.fullmatch(side):
        return match[1].decode("ascii"), match[2] == b"lid"
    digits = _PUNCTUATION.sub(b"", side)
    return digits.decode("ascii", "replace"), False
