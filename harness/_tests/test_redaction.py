"""What is registered never stands in what is written; what is harmless stays legible."""

from __future__ import annotations

import base64
import json
import pickle
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.model import Secret
from harness.redaction import NUMBER_MARK, SECRET_MARK, Redactor

PASSWORD = "p'a\"s&s w\\ö" + "rd"


def fictional(last: int = 42) -> str:
    """Return a number in the range for fiction; in pieces, for Hypothesis records constants."""
    return "".join(("1", "365", "555", f"{100 + last % 100:04d}"))


def grouped(separators: str, number: str = "") -> str:
    """Write a number in the four groups people use, with one separator after each of three."""
    digits = number or fictional()
    groups = (digits[0], digits[1:4], digits[4:7], digits[7:])
    return "".join(part for pair in zip(groups, (*separators, ""), strict=True) for part in pair)


def arabic(digits: str) -> str:
    """Write ASCII digits in Arabic-Indic ones."""
    return "".join(chr(0x0660 + int(digit)) for digit in digits)


@pytest.fixture
def redactor() -> Redactor:
    """Know one number and one password."""
    known = Redactor()
    known.register_number(fictional())
    known.register_secret(Secret(PASSWORD))
    return known


WRITTEN = {
    "bare": fictional(),
    "plus": "+" + fictional(),
    "dialled 00": "00" + fictional(),
    "dialled 011": "011" + fictional(),
    "padded by the server": fictional().zfill(20),
    "JID": fictional() + "@s.whatsapp.net",
    "device JID": fictional() + ":3@s.whatsapp.net",
    "group JID": fictional() + "-" + "14158" + "18171" + "@g.us",
    "after a date": "2026-11-21 " + fictional(),
    "between letters": "x" + fictional() + "y",
    "spaces": grouped("   "),
    "hyphens": grouped("---"),
    "dots": grouped("..."),
    "slashes": grouped("///"),
    "no-break spaces": grouped("\u00a0\u202f\u2007"),
    "en dashes": grouped("\u2013\u2011\u2212"),
    "brackets": f"+{fictional()[0]} ({fictional()[1:4]}) {fictional()[4:7]}-{fictional()[7:]}",
    "trunk zero": f"+{fictional()[0]} (0){fictional()[1:]}",
    "direction marks": "\u202a" + grouped("\u200e\u202c\u200b"),
    "every digit apart": " ".join(fictional()),
    "Arabic digits": arabic(fictional()),
    "digits beyond the basic plane": "".join(chr(0x1D7CE + int(d)) for d in fictional()),
    "escaped in a URL": "/v1/" + quote("+" + fictional()),
    "space escaped in a URL": "%20" + fictional(),
    "every digit escaped in a URL": "".join(f"%{ord(d):02X}" for d in fictional()),
    "escaped by JSON": json.dumps("\u00a0" + grouped("\u00a0\u2009 ")),
    "escaped by repr": repr(grouped("\u00a0\u00a0\u00a0").encode("latin-1")),
    "escaped by HTML": "".join(f"&#{ord(d)};" for d in fictional()),
    "hexadecimal text": fictional().encode().hex(),
    "hexadecimal JID": (fictional() + "@s.whatsapp.net").encode().hex(),
    "hexadecimal integer": hex(int(fictional())),
    "base64": base64.b64encode(fictional().encode()).decode(),
    "base64, shifted by one": base64.b64encode(b"+" + fictional().encode()).decode(),
    "base64, shifted by two": base64.b64encode(b"t=" + fictional().encode() + b"@").decode(),
    "floating point": repr(float(fictional())),
    "password": f"mysql -p{PASSWORD} -h",
    "password in JSON": json.dumps(PASSWORD),
    "password in a URL": f"mysql://u:{quote(PASSWORD, safe='')}@h/",
    "password in repr": repr(PASSWORD),
    "password in base64": base64.b64encode(b"user:" + PASSWORD.encode()).decode(),
}


@pytest.mark.parametrize("form", WRITTEN)
def test_every_form_is_seen_and_replaced(redactor: Redactor, form: str) -> None:
    """Each form of a registered value counts as a leak, and as none once redacted."""
    text = f"<{WRITTEN[form]}> stays"
    redacted = redactor.redact(text)
    assert redactor.leaks(text.encode()) > 0, form
    assert redactor.leaks(redacted.encode()) == 0, form
    assert redactor.leaks(json.dumps([redacted]).encode()) == 0, form
    assert redacted.endswith("> stays"), form


@pytest.mark.parametrize("separators", [":::", ", ,", "'''", "\n\r\n", "|*~"])
def test_registered_numbers_go_however_they_are_separated(
    redactor: Redactor, separators: str
) -> None:
    """Free text is stricter than a phone number's separators: any character may stand between."""
    assert redactor.redact(f"<{grouped(separators)}>") == f"<{NUMBER_MARK}>"


def test_zero_bytes_do_not_hide_a_number(redactor: Redactor) -> None:
    """UTF-16 that was taken for text is redacted as text."""
    text = "".join(f"{character}\0" for character in f"({fictional()})")
    assert redactor.redact(text) == f"({NUMBER_MARK})"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_utf_16_is_searched(redactor: Redactor, encoding: str) -> None:
    """A number in a UTF-16 file is a leak."""
    assert redactor.leaks(f"id: {fictional()};".encode(encoding)) == 1


@pytest.mark.parametrize(
    "other",
    [fictional() + "1", "49" + fictional(), "0" + fictional(), fictional()[:-1], fictional(41)],
    ids=["longer", "inside another", "a mask", "shorter", "neighbour"],
)
def test_only_the_number_itself_is_a_leak(redactor: Redactor, other: str) -> None:
    """Another person's number that contains the digits is no leak, yet not written either."""
    assert redactor.leaks(other.encode()) == 0
    assert redactor.redact(other) == NUMBER_MARK


def test_places_are_counted_once(redactor: Redactor) -> None:
    """The same place seen bare and through an escape counts once; two places count twice."""
    text = f"%41 {fictional()} and {fictional()}@c.us and %20{fictional()}"
    assert redactor.leaks(text.encode()) == 3


@pytest.mark.parametrize(
    "text",
    [
        "at 2026-11-21T10:11:12Z, 2026-11-21 10:11:12.123456+00:00 and 2026-11-21",
        "reports/20261121T101112Z-verify-bcdfghjk/verdict.json",
        "id 1a345678-1234-4123-8123-123456789012",
        "sha256:" + "0123456789abcdef" * 4,
        "PostgreSQL 10.23 and MySQL 5.6.24 on 127.0.0.1, 192.168.100.200",
        "pytest 9.2.0 26.2.1 v18.0.1 took 12.345678 s, 99.9999 %, 1024.125 MiB",
        "rows  12  345  6789  10  (42 of 123456)",
        "messageStore.messages.key_remote_jid: 3 cells, expected 0",
        "",
    ],
)
def test_harmless_text_stays_legible(redactor: Redactor, text: str) -> None:
    """Times, names of sessions, ids, digests, versions and counts survive."""
    assert redactor.redact(text) == text


@pytest.mark.parametrize("separators", ["   ", "---", "...", "/-.", "\u00a0\u2011 "])
@pytest.mark.parametrize("script", [str, arabic])
def test_unregistered_numbers_go_too(separators: str, script: type[str]) -> None:
    """A number that nobody registered is replaced in text, in any script."""
    written = grouped(separators, script(fictional(7)))
    assert Redactor().redact(f"call {written}!") == f"call {NUMBER_MARK}!"


def test_structures_are_redacted_throughout(redactor: Redactor) -> None:
    """Keys, values and integers are redacted at any depth; two keys never become one."""
    document = {
        fictional(): (1, {"at_ms": 10**12, "n": int(fictional()), "f": float(fictional())}),
        fictional(43): [None, True, frozenset({PASSWORD})],
    }
    assert redactor.redact_structure(document) == {
        NUMBER_MARK: [1, {"at_ms": 10**12, "n": NUMBER_MARK, "f": NUMBER_MARK}],
        NUMBER_MARK + "+": [None, True, [SECRET_MARK]],
    }


@pytest.mark.parametrize("value", [b"bytes", object(), float("nan"), {"deep": [float("inf")]}])
def test_what_json_cannot_hold_is_refused(redactor: Redactor, value: object) -> None:
    """A value without a JSON form is refused by its type, never by its content."""
    with pytest.raises(HarnessError):
        redactor.redact_structure(value)


@pytest.mark.parametrize("digits", ["", "12345", "1" * 21])
def test_a_number_out_of_range_is_refused_unseen(digits: str) -> None:
    """Too few or too many digits are refused without quoting them."""
    with pytest.raises(HarnessError) as refusal:
        Redactor().register_number(digits)
    assert not digits or digits not in str(refusal.value)


def test_the_redactor_shows_and_stores_nothing(redactor: Redactor) -> None:
    """Neither `repr` nor pickle gives away what is registered."""
    assert (
        repr(redactor) == f"Redactor(1 numbers, {len(redactor._secrets)} secrets)"
    )  # the count of forms
    with pytest.raises(HarnessError):
        pickle.dumps(redactor)


def test_short_secrets_do_not_destroy_every_text() -> None:
    """A secret of three characters is not searched for."""
    redactor = Redactor()
    redactor.register_secret("abc")
    redactor.register_secret("")
    assert redactor.redact("abcdef") == "abcdef"


def test_a_mark_is_no_leak() -> None:
    """A password that happens to be the mark's own word can still be redacted away."""
    redactor = Redactor()
    redactor.register_secret("secret")
    assert redactor.leaks(b"a secret") == 1
    assert redactor.leaks(redactor.redact("a secret").encode()) == 0


NUMBERS = st.integers(0, 99).map(fictional)
PIECES = st.one_of(
    st.text(max_size=6),
    st.sampled_from([" ", "-", ".", "0", "00", "+", "%20", "%", "\\u00a0", "\\x", "\\", "&#32;"]),
    st.from_regex(r"[0-9]{1,5}", fullmatch=True),
    NUMBERS,
    NUMBERS.map(" ".join),
    NUMBERS.map(lambda number: "\u00a0-".join((number[:1], number[1:4], number[4:]))),
    NUMBERS.map(lambda number: quote(f"+{number} ", safe="")),
    NUMBERS.map(lambda number: number.encode().hex()),
    NUMBERS.map(arabic),
)


@settings(database=None, deadline=None, max_examples=300)
@given(st.lists(PIECES, max_size=8).map("".join))
def test_nothing_leaks_from_redacted_text(text: str) -> None:
    """Whatever surrounds a registered number, what is written is clean, also as JSON."""
    redactor = Redactor()
    for last in range(100):
        redactor.register_number(fictional(last))
    redacted = redactor.redact(text)
    assert redactor.leaks(redacted.encode("utf-8", errors="surrogateescape")) == 0
    assert redactor.leaks(json.dumps({redacted: redacted}).encode()) == 0
