"""The exact check finds a number in every form, once, and nobody else's; the filter never misses."""

from __future__ import annotations

import base64
import json
import random
import re
import signal
from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import MaskError
from harness.identity import (
    NOBODY,
    Closure,
    Filter,
    Matcher,
    Representation,
    WaId,
    closure,
    escapes,
    matcher,
    packed,
    spelled,
    wrapped,
    written,
)
from harness.masks import Masks
from harness.population.encodings import ENCODINGS, Encoding, Surface
from harness.population.people import Person, neighbours

# Put together from pieces, so that no whole number stands in a source file.
AREA, LINE = "1541", "5550123"
NUMBER = AREA + LINE
ONE = spelled(NUMBER)
MATCHER = Matcher([ONE])
TEXT, BLOB, INTEGER = Representation.TEXT, Representation.BLOB, Representation.INTEGER
SURFACES = {
    Surface.TEXT: TEXT,
    Surface.JSON: Representation.JSON,
    Surface.BLOB: BLOB,
    Surface.INTEGER: INTEGER,
}
EXAMPLES = 20_000


def cell_of(encoding: Encoding, number: str) -> bytes:
    """Return a number, encoded, as a store sends the cell."""
    value = encoding.write(number)
    return value if isinstance(value, bytes) else str(value).encode()


def ident(encoding: Encoding) -> str:
    """Name a test after its encoding."""
    return f"{encoding.surface}: {encoding.name}"


@pytest.mark.parametrize("encoding", ENCODINGS, ids=ident)
def test_each_encoding_is_found_once_and_named(encoding: Encoding) -> None:
    """Each way to write the number is found exactly once, under its name."""
    cell = cell_of(encoding, NUMBER)
    assert MATCHER.candidate(cell)
    assert MATCHER.forms(cell, SURFACES[encoding.surface]) == Counter(encoding.forms)


@pytest.mark.parametrize("encoding", ENCODINGS, ids=ident)
def test_each_encoding_of_a_neighbour_is_somebody_elses(encoding: Encoding) -> None:
    """Numbers that contain the subject's, or are contained in it, are never taken for it."""
    for neighbour in neighbours(Person(NUMBER, NUMBER, "")):
        cell = cell_of(encoding, neighbour.number)
        assert not MATCHER.hits(cell, SURFACES[encoding.surface])


@pytest.mark.parametrize(
    "text",
    [
        f"+49 {NUMBER}",
        f"49{NUMBER}",
        f"0049 {AREA} {LINE}",
        f"+49 {AREA} {LINE}",
        f"49 {AREA} {LINE}",
        f"+49({AREA}){LINE}",
        f"{NUMBER}7",
        "+1 541 555 01237",
        f"100{NUMBER}",
        f"id=20{NUMBER}",
        f"x=3{NUMBER}",
        f"{AREA}, {LINE}",
        f"{AREA}\n{LINE}",
        f"{AREA}: {LINE}",
        f"{AREA}. {LINE}",
        f"{NUMBER[:2]}.{NUMBER[2:]},-47.1",
        f"{NUMBER}%32",
        f"{NUMBER}\\u0032",
        f"44=\r\n{NUMBER}",
        f"TEL:44\r\n {NUMBER}",
        f"44\u200b{NUMBER}",
        f"{AREA}{' ' * 7}{LINE}",
    ],
    ids=lambda text: text.replace(AREA, "A").replace(LINE, "L").replace("1 541 555 0123", "N"),
)
def test_a_longer_number_is_somebody_elses(text: str) -> None:
    """Digits before or behind that make another number of it, or no number at all, make no hit."""
    assert not MATCHER.hits(text.encode(), BLOB)


@pytest.mark.parametrize(
    "text",
    [
        f"order 4711 {NUMBER}",
        f"{NUMBER} 4711",
        f"011{NUMBER}",
        "011 1 541 555 0123",
        "00 1 541 555 0123",
        "+1 541 555 0123 10am",
        "+1 555 010 0199 1 541 555 0123",
        "+1 (0)541 555 0123",
        "%2B1%20%280%29541%20555%200123",
        "+1=280=29541 555 0123",
        '{"a": "+1 \\u00280\\u0029541 555 0123"}',
        f"2026-11-21 {NUMBER}",
        f"50%{NUMBER}",
        f"call%20{NUMBER}",
        f'{{"a": "\\u00a0{NUMBER}"}}',
        f"a\\n{NUMBER}",
        f"{NUMBER} {AREA}",
        f"TEL:{AREA}\r\n {LINE}",
        f'{{"a": "TEL:{AREA}\\r\\n {LINE}"}}',
        f'{{"a": "TEL:{AREA}=\\r\\n{LINE}"}}',
        "14:10:01 1 541 555 0123",
        f"10:00 3 {NUMBER}",
        "1. 1 541 555 0123",
        "phone=%2B1+541+555+0123&x=1",
        "body=Call+me+%2B1+%28541%29+555-0123",
        "%2B1%E2%80%AF541%E2%80%AF5550123",
        "TEL:+1=E2=80=91541=E2=80=915550123",
        "%252B1%2520541%25205550123",
        f"x%2520{NUMBER}",
        "+1  (541) -  555 -  0123",
        f"{AREA}\u200b{LINE}",
        f"\ue000{NUMBER}\ue000",
        f"\\ue000{NUMBER}",
        f"[{NUMBER}] 21/11/26",
        f"+{NUMBER} 10:15",
    ],
    ids=lambda text: text.replace(AREA, "A").replace(LINE, "L").replace("1 541 555 0123", "N"),
)
def test_digits_beside_do_not_hide_a_number(text: str) -> None:
    """Other digits nearby that cannot be part of the number leave it a number."""
    assert len(MATCHER.hits(text.encode(), TEXT)) == 1


NUMBERS = sorted(
    str(draw.randrange(10 ** (size - 1), 10**size))
    for draw in [random.Random(4)]
    for size in range(7, 16)
    for _ in range(40)
)
"""Numbers of every length; few enough for their filters to be kept."""


@cache
def matcher_of(number: str) -> Matcher:
    """Return a number's matcher, made once."""
    return Matcher([spelled(number)])


@cache
def masks_of(number: str) -> Masks:
    """Return a number's masks, drawn once."""
    return Masks(Closure(WaId(number)))


# Nothing of these may stand between two digits of a number, nor inside a code.
BOUNDARIES = [
    "|",
    "\n",
    ", ",
    ": ",
    "; ",
    "<",
    ">",
    '"',
    "'",
    "=> ",
    "\t|",
    "\u00e9",
    "\u4e2d",
    "!",
]


@st.composite
def embedded(draw: st.DrawFn, number: str) -> tuple[Encoding, bytes]:
    """Draw an encoding of a number amid anything at all, digits and codes too."""
    # Fewer than five bytes stand in any binary by chance, and are not looked for.
    short = int(number) < 1 << 28
    encoding = draw(
        st.sampled_from([one for one in ENCODINGS if not (short and one.name == "varint")])
    )
    cell = cell_of(encoding, number)
    if encoding.surface is Surface.BLOB:
        return encoding, draw(st.binary(max_size=40)) + cell + draw(st.binary(max_size=40))
    if encoding.surface is Surface.INTEGER:
        return encoding, cell + draw(st.sampled_from([b"", b".0", b".000"]))
    before, after = draw(st.text(max_size=30)), draw(st.text(max_size=30))
    boundaries = [draw(st.sampled_from(BOUNDARIES)) for _ in range(2)]
    around = [
        (text + boundary).encode("utf-8", "surrogatepass")
        for text, boundary in zip((before, after[::-1]), boundaries, strict=True)
    ]
    return encoding, around[0] + cell + boundaries[1].encode() + around[1]


@settings(max_examples=EXAMPLES)
@given(number=st.sampled_from(NUMBERS), data=st.data())
def test_any_number_in_any_form_is_found_once(number: str, data: st.DataObject) -> None:
    """Whatever the number, the form and the surroundings, it is found, once, and masked away."""
    encoding, cell = data.draw(embedded(number))
    kind = SURFACES[encoding.surface]
    matcher = matcher_of(number)
    assert matcher.candidate(cell)
    assert matcher.forms(cell, kind) == Counter(encoding.forms)


@settings(max_examples=EXAMPLES)
@given(number=st.sampled_from(NUMBERS), data=st.data())
def test_any_other_number_in_any_form_is_not_found(number: str, data: st.DataObject) -> None:
    """Whatever the form and the surroundings, somebody else's number is never found."""
    near = [one.number for one in neighbours(Person(number, number, ""))]
    other = data.draw(
        st.sampled_from(near) | st.sampled_from(NUMBERS).filter(lambda n: n != number)
    )
    encoding, cell = data.draw(embedded(other))
    assert not matcher_of(number).hits(cell, SURFACES[encoding.surface])


@settings(max_examples=4_000)
@given(number=st.sampled_from(NUMBERS), data=st.data())
def test_a_mask_keeps_length_and_form(number: str, data: st.DataObject) -> None:
    """Masking leaves a cell of the same length with the mask in the same forms, and can be undone."""
    encoding, cell = data.draw(embedded(number))
    kind = SURFACES[encoding.surface]
    masks = masks_of(number)
    masked = masks.mask(cell, kind)
    assert masked != cell
    assert len(masked) == len(cell) or kind is INTEGER
    assert not matcher_of(number).candidate(masked) or not matcher_of(number).hits(masked, kind)
    assert masks.candidate(masked)
    assert masks.unmask(masked, kind) == cell


@settings(max_examples=4_000)
@given(cell=st.binary(max_size=60), hay=st.sampled_from(NUMBERS))
def test_the_filter_lets_through_whatever_is_found(cell: bytes, hay: str) -> None:
    """No cell in which the exact check finds something is held back by the filter."""
    matcher = matcher_of(hay)
    mixed = cell[:30] + hay.encode() + cell[30:]
    if matcher.hits(mixed, BLOB):
        assert matcher.candidate(mixed)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("4917012345" + "67", "+{} 10 Uhr"),
        ("4917012345" + "67", "+49 170 1234567 10:15"),
        ("9198765432" + "10", "+{} 10:15"),
        ("9198765432" + "10", "[+91 98765 43210] 21/11/26 hi"),
        ("7916123" + "4567", "+7 916 123-45-67 2024"),
        ("6591234" + "567", "1. 65 9123 4567"),
    ],
    ids=["Germany", "Germany, grouped", "India", "India, grouped", "Russia", "Singapore"],
)
def test_what_follows_a_number_is_not_part_of_it(number: str, text: str) -> None:
    """Where a plan has numbers of many lengths, a time or a date behind a number is still none of it."""
    cell = text.format(number).encode()
    assert len(matcher_of(number).hits(cell, TEXT)) == 1


@settings(max_examples=2_000)
@given(
    number=st.sampled_from(NUMBERS),
    separators=st.lists(st.sampled_from([*" -./()", ""]), min_size=15, max_size=15),
    skipped=st.integers(0, 80),
    width=st.sampled_from([64, 76]),
)
def test_a_punctuated_number_in_a_code_is_let_through(
    number: str, separators: list[str], skipped: int, width: int
) -> None:
    """In base64, wrapped or not, and in hexadecimal, no way to group a number gets past the filter."""
    written = "".join(map("".join, zip(number, separators, strict=False))).encode()
    code = base64.b64encode(b"~" * skipped + written + b"~~~")
    wrapped = b"\r\n".join(code[at : at + width] for at in range(0, len(code), width))
    for cell in (code, wrapped, written.hex().encode(), written.hex().upper().encode()):
        assert matcher_of(number).candidate(cell)


SLOW = {
    "backslashes": b"1541" + b"\\" * 200_000,
    "digits behind": b"1 541 555 0123" + b" 12" * 60_000,
    "digits before": b"12 " * 60_000 + b"1 541 555 0123",
    "itself, blanks": f"{NUMBER} ".encode() * 8_000,
    "itself, commas": f"{NUMBER},".encode() * 8_000,
    "itself, base64": base64.b64encode(f"{NUMBER}|".encode() * 8_000),
    "half escapes": b"=3" * 200_000,
    "digits": b"9" * 400_000,
    "blanks": b" " * 400_000,
}


@pytest.mark.parametrize("cell", SLOW.values(), ids=SLOW.keys())
def test_no_cell_takes_for_ever(cell: bytes) -> None:
    """Cells made to be slow are searched in the time that their length asks for."""
    signal.alarm(20)
    try:
        MATCHER.hits(cell, BLOB)
    finally:
        signal.alarm(0)


PIECES = ["1541", "5550123", "\\u", "\\ue000", "%", "=3", "\ue001", "\u0661", "\\ud835"]


@settings(max_examples=2_000)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5)))
def test_no_text_breaks_the_matcher(pieces: list[str]) -> None:
    """Whatever stands in a cell, it is searched without an error."""
    cell = "".join(pieces).encode("utf-8", "surrogatepass")
    for kind in Representation:
        MATCHER.hits(cell, kind)


@pytest.mark.parametrize(
    "text", ["0 {}", "(0){}", "0-{}", "20 1 541 555 0123", "44 1 541 555 0123"], ids=str
)
def test_a_mask_is_found_again_whatever_stands_beside_it(text: str) -> None:
    """What plans say of numbers is not asked of masks, which are no numbers."""
    cell = text.format(NUMBER).encode()
    if MATCHER.hits(cell, TEXT):
        masked = masks_of(NUMBER).mask(cell, TEXT)
        assert masked != cell
        assert masks_of(NUMBER).unmask(masked, TEXT) == cell


@pytest.mark.parametrize(
    "document",
    [
        f'{{"a":[\n            {NUMBER}\n  ]}}',
        f'{{"a":        {NUMBER}}}',
        f'[{NUMBER}, {{"b": "{NUMBER}"}}]',
    ],
    ids=["indented", "blanks", "list"],
)
def test_json_stays_json(document: str) -> None:
    """However a document is laid out, masking leaves it JSON."""
    masked = masks_of(NUMBER).mask(document.encode(), Representation.JSON)
    json.loads(masked)
    assert NUMBER not in masked.decode()


def test_json_that_cannot_stay_json_is_refused() -> None:
    """Where no mask leaves a document JSON, the cell is refused and named."""
    with pytest.raises(MaskError, match="JSON"):
        masks_of(NUMBER).mask(f'{{"a": {NUMBER}e0}}'.encode(), Representation.JSON)


def test_a_masked_document_is_a_document() -> None:
    """JSON in which a number is masked is JSON still, and the mask is no possible wa_id."""
    masks = Masks(Closure(WaId(NUMBER)))
    for document in ({"to": int(NUMBER)}, {"to": [1, int(NUMBER)]}, {"to": NUMBER, "a": "\u0661"}):
        masked = masks.mask(json.dumps(document).encode(), Representation.JSON)
        assert json.loads(masked).keys() == document.keys()
        assert NUMBER not in masked.decode()


@pytest.mark.parametrize(
    "text",
    [NUMBER, f"+{NUMBER}", f"00{NUMBER}", f"{NUMBER}@c.us", f"{NUMBER}:7@s.whatsapp.net"],
    ids=["bare", "plus", "00", "old JID", "device"],
)
def test_a_whole_value_is_the_number_or_its_jid(text: str) -> None:
    """A cell that is the number or a user JID counts as whole; with anything around it does not."""
    (hit,) = MATCHER.hits(text.encode(), TEXT)
    assert hit.whole
    for more in (f"{text} ", f"x{text}", f"see {text}"):
        (hit,) = MATCHER.hits(more.encode(), TEXT)
        assert not hit.whole


def test_a_group_jid_is_never_whole() -> None:
    """A group JID names its creator and belongs to the group."""
    (hit,) = MATCHER.hits(f"{NUMBER}-1600000001@g.us".encode(), TEXT)
    assert (hit.form, hit.whole) == ("group JID", False)


def test_nobody_is_found_nowhere() -> None:
    """The matcher of an empty closure lets no row through and finds nothing."""
    assert not NOBODY.candidate(NUMBER.encode())
    assert not NOBODY.hits(NUMBER.encode(), BLOB)


def test_filters_join() -> None:
    """One filter for two lets through what either does, and nothing else."""
    other = "447700900" + "321"
    both = Filter([ONE]) | Filter([spelled(other)])
    assert [both(text.encode()) for text in (NUMBER, other, "12065550100", "")] == [
        True,
        True,
        False,
        False,
    ]


def test_an_escape_beside_a_number_stays_as_it_is() -> None:
    """Base64 whose slashes are escaped for JSON is read, and masked without a change of length."""
    escaped = b"|QQ" + b"\\/" + base64.b64encode(NUMBER.encode()).rstrip(b"=")
    (hit,) = MATCHER.hits(escaped, TEXT)
    assert hit.form == "bare number in base64"
    masked = Masks(Closure(WaId(NUMBER))).mask(escaped, TEXT)
    assert len(masked) == len(escaped)
    assert masked[:5] == escaped[:5]


def test_a_mask_of_another_length_is_refused() -> None:
    """What would change the length of a cell is refused, with the form and without the number."""
    longer = replace(ONE, varint=ONE.varint + b"\0")
    with pytest.raises(MaskError, match="varint") as refusal:
        MATCHER.replace(b"\x08" + ONE.varint, BLOB, {ONE: longer})
    assert NUMBER not in str(refusal.value)


def test_no_expression_is_possessive() -> None:
    """Possessive quantifiers on groups are wrong in Python before 3.11.5, and find too little."""
    modules = (closure, escapes, matcher, packed, wrapped, written)
    expressions = [
        value.pattern
        for module in modules
        for value in vars(module).values()
        if isinstance(value, re.Pattern)
    ]
    texts = [one if isinstance(one, str) else one.decode("latin-1") for one in expressions]
    assert len(texts) > 15
    assert [one for one in texts if re.search(r"[*+?}]\+", one)] == []
