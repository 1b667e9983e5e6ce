"""Synthetic persons whose numbers belong to nobody.

Numbers come from ranges that regulators reserve for fiction. Brazil has none, and its
number-to-wa_id rule is needed for mapped subjects, so those use area code 20, which is not
assigned.

Source: NANP 555-0100 to 555-0199; Ofcom's drama range 07700 900000 to 900999; Arcep's
06 39 98 00 00 to 99 99.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

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
_SHORTEST: Final = 7
_LONGEST: Final = 15
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

    # Hypothesis prints and exports the fields of a dataclass unless it is told otherwise.
    def _repr_pretty_(self, printer: Any, _: bool) -> None:  # noqa: ANN401, FBT001  # as IPython's
        printer.text(repr(self))

    def to_json(self) -> str:
        """Return what Hypothesis may export of a person: nothing."""
        return repr(self)


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


def variants(index: int) -> tuple[tuple[Person, Person], ...]:
    """Return pairs of different people whose numbers are two forms of one plan's number.

    Brazil with and without the ninth digit, Mexico with and without 1 after the country
    code, Argentina with and without 9. Area codes are unassigned; `index` is 0 to 9 999.
    """
    line = f"{index:04d}"
    forms = (
        (f"{_UNASSIGNED}95550{line}", f"{_UNASSIGNED}5550{line}"),
        (f"521000555{line}", f"52000555{line}"),
        (f"549000555{line}", f"54000555{line}"),
    )
    return tuple((_named(long, index), _named(short, index + 1)) for long, short in forms)


def neighbours(subject: Person) -> tuple[Person, ...]:
    """Return people whose numbers are made to be mistaken for the subject's.

    They contain it, are contained in it, differ by one digit, or share the last ten digits; where
    the JID has another number than the phone, both have neighbours.
    Where that leaves the ranges reserved for fiction, country code 999 is unassigned, and
    the others are too long or too short for their numbering plan.
    """
    made: list[str] = []
    for number in dict.fromkeys((subject.number, subject.jid_number)):
        flipped = number[:-1] + str(9 - int(number[-1]))
        made += [number + "7", f"999{number}", flipped, f"999{number[-10:]}"]
        made += [number[1:], number[:-1]]
    fitting = [one for one in made if _SHORTEST <= len(one) <= _LONGEST and one[0] != "0"]
    return tuple(
        _named(one, serial)
        for serial, one in enumerate(dict.fromkeys(fitting))
        if one not in subject.numbers
    )


def _named(number: str, index: int) -> Person:
    return Person(number, number, _name(index))


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
