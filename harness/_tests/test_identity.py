"""A wa_id is what the gate lets through, and the closure holds what the stores tie to it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InvalidWaIdError
from harness.identity import (
    Closure,
    WaId,
    freeze,
    parse_wa_id,
    variant_of,
)
from harness.population.people import Person, variants
from harness.stores.aliases import changed_numbers

# Put together from pieces, so that no whole number stands in a source file.
AREA, LINE = "1541", "5550123"
NUMBER = AREA + LINE
WA_ID = WaId(NUMBER)

MALFORMED = {
    "letters": "12345abc",
    "plus": "+" + NUMBER,
    "space inside": AREA + " " + LINE,
    "space after": NUMBER + " ",
    "line end": NUMBER + "\n",
    "full-width digits": "".join(chr(ord(digit) + 0xFEE0) for digit in NUMBER),
    "Arabic digits": "".join(chr(ord(digit) - ord("0") + 0x0660) for digit in NUMBER),
    "6 digits": "154155",
    "16 digits": "1" * 16,
    "leading zero": "0" + LINE,
    "own identity": "-1",
    "empty": "",
    "SQL": NUMBER + "; drop table messages",
    "JID": NUMBER + "@s.whatsapp.net",
    "decimal point": NUMBER + ".0",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_wa_id_is_refused_without_being_shown(text: str) -> None:
    """Anything but 7 to 15 ASCII digits is refused, and the refusal does not repeat it."""
    with pytest.raises(InvalidWaIdError) as refusal:
        parse_wa_id(text)
    assert not text.strip() or text.strip() not in str(refusal.value)


@given(st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True).filter(str.isascii))
def test_every_bare_number_is_a_wa_id(text: str) -> None:
    """7 to 15 ASCII digits without a leading zero pass, whatever any numbering plan says."""
    assert parse_wa_id(text).number == text


def test_a_wa_id_never_shows_itself() -> None:
    """Printing a wa_id or a closure shows no digit of it."""
    closure = Closure(WA_ID, frozenset({NUMBER + "9"}))
    shown = f"{WA_ID} {WA_ID!r} {closure} {[WA_ID]}"
    assert NUMBER not in shown


OTHER = "1602" + LINE


@pytest.mark.parametrize(
    ("ties", "aliases"),
    [
        ([(f"+{NUMBER}", f"{OTHER}@s.whatsapp.net")], {OTHER}),
        ([(f"+{OTHER}", f"{NUMBER}@s.whatsapp.net")], {OTHER}),
        ([(f"+{NUMBER}", f"{NUMBER}@s.whatsapp.net")], set()),
        ([(f"+{OTHER}", f"{OTHER}@s.whatsapp.net")], set()),
        ([(f"+{NUMBER}", "status@broadcast"), ("", "")], set()),
    ],
    ids=["phone ties JID", "JID ties phone", "itself", "somebody else", "no number"],
)
def test_the_closure_holds_what_the_stores_tie_to_the_subject(
    ties: list[tuple[str, str]], aliases: set[str]
) -> None:
    """An alias joins the closure when a row ties it to the wa_id, from either side."""
    closure = freeze(WA_ID, [(phone.encode(), jid.encode()) for phone, jid in ties])
    assert closure.aliases == aliases
    assert closure.numbers[0] == NUMBER
    assert dict(closure.by_kind())["alias tied by the stores"] == len(aliases)


def test_a_lid_joins_the_closure() -> None:
    """A JID that hides the number is the subject's when a store ties it to them, and told apart."""
    lid = "98765" + "4321098765"
    closure = freeze(WA_ID, [(f"+{NUMBER}".encode(), f"{lid}@lid".encode())])
    assert not closure.aliases
    assert closure.lids == {lid}
    assert closure.numbers == (NUMBER, lid)
    assert dict(closure.by_kind())["LID tied by the stores"] == 1


def test_a_lid_with_the_subjects_digits_is_nobodys_tie() -> None:
    """A LID whose digits happen to be the wa_id's does not tie its phone number to the subject."""
    ties = [(f"+{OTHER}".encode(), f"{NUMBER}@lid".encode())]
    assert freeze(WA_ID, ties).numbers == (NUMBER,)


@pytest.mark.parametrize("phone", ["+{}", "{}", "00{}", "+{0[0]} ({0[1]}) x"], ids=str)
def test_a_phone_number_ties_however_it_is_punctuated(phone: str) -> None:
    """An alias table may hold its phone numbers with a plus sign, without, or with blanks."""
    written = f"+{NUMBER[0]} ({NUMBER[1:4]}) {NUMBER[4:]}" if "x" in phone else phone.format(NUMBER)
    assert freeze(WA_ID, [(written.encode(), f"{OTHER}@c.us".encode())]).aliases == {OTHER}


PAIRS = list(variants(7))


@pytest.mark.parametrize("pair", PAIRS, ids=["Brazil", "Mexico", "Argentina"])
def test_a_country_variant_joins_only_when_it_is_tied(pair: tuple[Person, Person]) -> None:
    """The other form of a number is a candidate, left alone, until a store ties it."""
    long, short = (one.number for one in pair)
    assert (variant_of(long), variant_of(short)) == (short, long)
    alone = freeze(WaId(long), [])
    assert alone.numbers == (long,)
    assert alone.candidates == {short}
    assert dict(alone.by_kind())["country variant not tied, left alone"] == 1
    tied = freeze(WaId(long), [(f"+{long}".encode(), f"{short}@s.whatsapp.net".encode())])
    assert tied.numbers == (long, short)
    assert not tied.candidates
    assert dict(tied.by_kind())["country variant tied by the stores"] == 1


def test_most_numbers_have_no_other_form() -> None:
    """A number of a plan with one form has no variant."""
    assert variant_of(NUMBER) is None


SYSTEM = {"type": "system", "system": {"body": "x changed", "new_wa_id": OTHER}}


@pytest.mark.parametrize(
    "document",
    [
        {"messages": [{"from": NUMBER, **SYSTEM}]},
        {"messages": [{"system": {"wa_id": NUMBER, "new_wa_id": OTHER}}]},
        [{"nested": {"messages": [{"from": NUMBER, **SYSTEM}]}}],
    ],
    ids=["sender", "system", "nested"],
)
def test_a_change_of_number_ties_both(document: object) -> None:
    """A notification that somebody changed their number ties the new one to the old one."""
    ties = list(changed_numbers(json.dumps(document).encode()))
    assert ties == [(NUMBER.encode(), OTHER.encode())]
    assert freeze(WA_ID, ties).aliases == {OTHER}


@pytest.mark.parametrize(
    "payload",
    [b"", None, b'{"new_wa_id": ', b'{"system": {"new_wa_id": 7}}', b'["new_wa_id"]'],
    ids=["empty", "NULL", "cut off", "no text", "no object"],
)
def test_what_is_no_change_of_number_ties_nobody(payload: bytes | None) -> None:
    """A payload that is no notification, or no JSON, is passed over."""
    assert list(changed_numbers(payload)) == []


def test_a_tie_of_a_tie_is_not_followed() -> None:
    """The next owner of a number is not the subject."""
    third = "1702" + LINE
    ties = [
        (f"+{NUMBER}".encode(), f"{OTHER}@s.whatsapp.net".encode()),
        (f"+{third}".encode(), f"{OTHER}@s.whatsapp.net".encode()),
    ]
    assert freeze(WA_ID, ties).aliases == {OTHER}


@pytest.mark.parametrize(
    ("jid", "tied"),
    [
        (f"{NUMBER}:3@s.whatsapp.net", True),
        (f"{NUMBER}-16@g.us", False),
        ("status@broadcast", False),
    ],
    ids=["device", "group", "broadcast"],
)
def test_the_number_of_a_jid(jid: str, tied: bool) -> None:  # noqa: FBT001  # a parameter
    """A user JID has a number, with or without a device; a group or broadcast has none."""
    ties = [(f"+{OTHER}".encode(), jid.encode())]
    assert freeze(WA_ID, ties).aliases == ({OTHER} if tied else set())
