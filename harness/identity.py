"""wa_id -> identity closure -> matcher: who the subject is, and how a cell is searched.

A wa_id is a phone number as a bare integer, E.164, 7 to 15 digits. The closure holds every
number that the stores tie to the subject; it is frozen before anything is deleted, since
it cannot be worked out afterwards. The matcher answers for one cell at a time and respects
digit boundaries: a number inside a longer number is another person.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from harness.errors import InvalidWaIdError

USER_DOMAIN: Final = "s.whatsapp.net"
USER_DOMAINS: Final = (USER_DOMAIN, "c.us")
GROUP_DOMAIN: Final = "g.us"

SHORTEST: Final = 7
"""The digits of the shortest wa_id."""

_WA_ID = re.compile(r"[1-9][0-9]{6,14}")
# The user part of a JID, with the number of a linked device where there is one.
_USER_JID = re.compile(rb"\+?([0-9]+)(?::[0-9]+)?@(?:s\.whatsapp\.net|c\.us)")

FORMS: Final = ("bare number", "international number", "user JID", "group JID")
"""The forms that the matcher tells apart, in words for people."""


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


def number_of_jid(value: bytes) -> str | None:
    """Return the number in a user JID, or None where the value is anything else."""
    match = _USER_JID.fullmatch(value)
    return match[1].decode("ascii") if match else None


@dataclass(frozen=True, slots=True, repr=False)
class Closure:
    """Every number of the subject: the wa_id itself, and the aliases the stores tie to it."""

    wa_id: WaId
    aliases: frozenset[str] = frozenset()

    @property
    def numbers(self) -> tuple[str, ...]:
        """All numbers, the wa_id first, aliases sorted."""
        return (self.wa_id.number, *sorted(self.aliases - {self.wa_id.number}))

    def by_kind(self) -> tuple[tuple[str, int], ...]:
        """Explain the closure by kind and count, for evidence."""
        return (("number given", 1), ("alias tied by the stores", len(self.numbers) - 1))

    def __repr__(self) -> str:
        return f"Closure({len(self.numbers)} numbers)"


class Matcher:
    """Find the numbers of a closure in cells, with digit boundaries.

    `candidate` is a cheap superset test over an encoded row; `forms` and `whole` are exact and
    work on a decoded cell. Both know plain forms only: digits as ASCII text, in JIDs and
    in integer columns.
    """

    def __init__(self, closure: Closure | None) -> None:
        plain = [number.encode("ascii") for number in closure.numbers] if closure else []
        # PostgreSQL's COPY writes a bytea as hexadecimal text, so the digits' own codes count.
        self.coded_needles = tuple(number.hex().encode("ascii") for number in plain)
        self.needles = (*plain, *self.coded_needles)
        # Without a closure, an expression that matches nothing at all.
        numbers = b"|".join(plain) or rb"(?!)"
        self._exact = re.compile(
            rb"(?<![0-9])(?P<prefix>\+|00)?(?P<number>" + numbers + rb")(?![0-9])"
            rb"(?:(?P<user>(?::[0-9]+)?@(?:s\.whatsapp\.net|c\.us))|(?P<group>-[0-9]+@g\.us))?"
        )
        self._whole = re.compile(
            rb"(?:\+|00)?(?:" + numbers + rb")(?:(?::[0-9]+)?@(?:s\.whatsapp\.net|c\.us))?"
        )

    def candidate(self, row: bytes) -> bool:
        """Tell whether an encoded row may hold a number; never misses, may be wrong."""
        return any(needle in row for needle in self.needles)

    def forms(self, cell: bytes) -> Counter[str]:
        """Count the forms in which the cell's bytes hold a number of the closure."""
        return Counter(_form_of(match) for match in self._exact.finditer(cell))

    def replace(self, cell: bytes, substitute: Callable[[bytes], bytes]) -> bytes:
        """Return the cell with each number replaced, and all around it as it was."""

        def replaced(match: re.Match[bytes]) -> bytes:
            start, end = match.span("number")
            before, after = cell[match.start() : start], cell[end : match.end()]
            return before + substitute(match["number"]) + after

        return self._exact.sub(replaced, cell)

    def whole(self, cell: bytes) -> bool:
        """Tell whether the cell holds one number or user JID of the closure and nothing else."""
        return self._whole.fullmatch(cell) is not None


def _form_of(match: re.Match[bytes]) -> str:
    if match["user"]:
        return "user JID"
    if match["group"]:
        return "group JID"
    return "international number" if match["prefix"] else "bare number"


NOBODY: Final = Matcher(None)
"""The matcher that finds nothing: for store sets that only have to stay as they are."""


def freeze(wa_id: WaId, ties: Iterable[tuple[bytes, bytes]]) -> Closure:
    """Return the closure of a wa_id, given the (phone, JID) pairs that the stores hold.

    A pair ties its JID's number to the subject when its phone is the wa_id, and its phone
    to the subject when its JID is the wa_id's. One step only: a tie of a tie may be the next
    owner of a number, who is someone else.
    """
    own = wa_id.number
    aliases: set[str] = set()
    for phone, jid in ties:
        phone_number = phone.removeprefix(b"+").decode("ascii", "replace")
        jid_number = number_of_jid(jid)
        if own not in {phone_number, jid_number}:
            continue
        aliases.update(
            number
            for number in (phone_number, jid_number)
            if number and _WA_ID.fullmatch(number) and number != own
        )
    return Closure(wa_id, frozenset(aliases))
