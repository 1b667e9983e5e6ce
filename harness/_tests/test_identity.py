"""A wa_id is what the gate lets through, and a match respects digit boundaries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InvalidWaIdError
from harness.identity import NOBODY, Closure, Matcher, WaId, freeze, number_of_jid, parse_wa_id

# Put together from pieces, so that no whole number stands in a source file.
AREA, LINE = "1541", "5550123"
NUMBER = AREA + LINE
WA_ID = WaId(NUMBER)
MATCHER = Matcher(Closure(WA_ID))

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


@pytest.mark.parametrize(
    ("cell", "form"),
    [
        (NUMBER, "bare number"),
        (f"+{NUMBER}", "international number"),
        (f"00{NUMBER}", "international number"),
        (f"call {NUMBER}, please", "bare number"),
        (f"{NUMBER}@s.whatsapp.net", "user JID"),
        (f"{NUMBER}@c.us", "user JID"),
        (f"{NUMBER}:2@s.whatsapp.net", "user JID"),
        (f"{NUMBER}-1600000001@g.us", "group JID"),
        (f'{{"from":"{NUMBER}"}}', "bare number"),
        (f"\x8a{NUMBER}\xff", "bare number"),
    ],
    ids=lambda value: value if value.isascii() and not any(map(str.isdigit, value)) else "cell",
)
def test_each_plain_form_is_found_once_and_named(cell: str, form: str) -> None:
    """Each plain form is found exactly once, under its name."""
    assert dict(MATCHER.forms(cell.encode("latin-1"))) == {form: 1}


@pytest.mark.parametrize(
    "cell",
    [
        f"49{NUMBER}",
        f"{NUMBER}7",
        f"9{NUMBER}@s.whatsapp.net",
        NUMBER[:-1],
        f"100{NUMBER}",
        NUMBER[:5] + "-" + NUMBER[5:],
    ],
    ids=[
        "prefixed",
        "followed",
        "in a JID",
        "shorter",
        "zeros inside a longer number",
        "separated",
    ],
)
def test_a_neighbour_is_somebody_else(cell: str) -> None:
    """A number inside a longer one, or cut short, is not the subject's; nor is a separated one yet."""
    assert not MATCHER.forms(cell.encode())


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_the_candidate_filter_never_misses(before: bytes, after: bytes) -> None:
    """Whatever the exact check finds, the filter lets through, also as PostgreSQL's hexadecimal."""
    cell = before + NUMBER.encode() + after
    if MATCHER.forms(cell):
        assert MATCHER.candidate(cell)
        assert MATCHER.candidate(cell.hex().encode())


@pytest.mark.parametrize(
    "suffix",
    ["", "@s.whatsapp.net", "@c.us", ":7@s.whatsapp.net"],
    ids=["bare", "jid", "old jid", "device"],
)
def test_a_whole_value_is_the_number_or_its_jid(suffix: str) -> None:
    """A cell that is the number or a user JID counts as whole; with anything around it does not."""
    cell = (NUMBER + suffix).encode()
    assert MATCHER.whole(cell)
    assert not MATCHER.whole(cell + b" ")
    assert not MATCHER.whole(b"x" + cell)


def test_a_group_jid_is_never_whole() -> None:
    """A group JID names its creator and belongs to the group."""
    assert not MATCHER.whole(f"{NUMBER}-1600000001@g.us".encode())


def test_nobody_is_found_nowhere() -> None:
    """The matcher of an empty closure lets no row through and finds nothing."""
    assert not NOBODY.candidate(NUMBER.encode())
    assert not NOBODY.forms(NUMBER.encode())
    assert not NOBODY.whole(b"")


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


def test_a_tie_of_a_tie_is_not_followed() -> None:
    """The next owner of a number is not the subject."""
    third = "1702" + LINE
    ties = [
        (f"+{NUMBER}".encode(), f"{OTHER}@s.whatsapp.net".encode()),
        (f"+{third}".encode(), f"{OTHER}@s.whatsapp.net".encode()),
    ]
    assert freeze(WA_ID, ties).aliases == {OTHER}


def test_the_number_of_a_jid() -> None:
    """A user JID has a number, with or without a device; a group or broadcast has none."""
    assert number_of_jid(f"{NUMBER}:3@s.whatsapp.net".encode()) == NUMBER
    assert number_of_jid(f"{NUMBER}-16@g.us".encode()) is None
    assert number_of_jid(b"status@broadcast") is None
