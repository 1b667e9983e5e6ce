"""Synthetic persons whose numbers belong to nobody.

Numbers come from ranges that regulators reserve for fiction. Brazil has none, and its
number-to-wa_id rule is needed for mapped subjects, so those use area code 20, which is not
assigned.

Source: NANP 555-0100 to 555-0199; Ofcom's drama range 07700 900000 to 900999; Arcep's
06 39 98 00 00 to 99 99.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.identity import USER_DOMAIN

_AREA_CODES: Final = (
    202,
    206,
    212,
    213,
    303,
    305,
    312,
    404,
    415,
    503,
    512,
    541,
    602,
    617,
    702,
    713,
)
_PER_AREA: Final = 100
_UNASSIGNED: Final = "5520"
_NANP: Final = len(_AREA_CODES) * _PER_AREA
_BRITISH: Final = 1_000
_FRENCH: Final = 10_000
CAPACITY: Final = _NANP + _BRITISH + _FRENCH
"""How many distinct persons `person` can make."""

_GIVEN: Final = ("Ada", "Bashir", "Chiara", "Dragan", "Eun-ji", "Farida", "Goran", "Hala")
_FAMILY: Final = ("Abara", "Brandt", "Castro", "Duarte", "Eriksen", "Fontaine", "Gupta")


@dataclass(frozen=True, slots=True, repr=False)
class Person:
    """Somebody who does not exist: a phone number, the number in the JID, and a name."""

    number: str
    jid_number: str
    name: str

    @property
    def jid(self) -> str:
        """The user JID, which for a mapped person is not the phone number's."""
        return f"{self.jid_number}@{USER_DOMAIN}"

    @property
    def phone(self) -> str:
        """The phone number in international form."""
        return f"+{self.number}"

    @property
    def numbers(self) -> frozenset[str]:
        """Every number of the person."""
        return frozenset({self.number, self.jid_number})

    def __repr__(self) -> str:
        return "Person(***)"


def person(index: int) -> Person:
    """Return the person of that index, 0 to CAPACITY - 1; JID and phone number agree."""
    number = _number(index)
    return Person(number, number, _name(index))


def mapped_person(index: int) -> Person:
    """Return a person, 0 to 9 999, whose JID lacks the phone number's ninth digit.

    Source: Brazil keeps the ninth digit in a wa_id only for certain area codes.
    """
    subscriber = f"5550{index:04d}"
    return Person(f"{_UNASSIGNED}9{subscriber}", f"{_UNASSIGNED}{subscriber}", _name(index))


def _number(index: int) -> str:
    if index < _NANP:
        area, line = divmod(index, _PER_AREA)
        return f"1{_AREA_CODES[area]}555{100 + line:04d}"
    index -= _NANP
    if index < _BRITISH:
        return f"447700{900_000 + index}"
    return f"3363998{index - _BRITISH:04d}"


def _name(index: int) -> str:
    return f"{_GIVEN[index % len(_GIVEN)]} {_FAMILY[index % len(_FAMILY)]}"
