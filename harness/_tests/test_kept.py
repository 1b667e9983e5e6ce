"""Masks that somebody else's routine chose: recognised where they can carry nothing else."""

from __future__ import annotations

import base64

import pytest

from harness.identity import Closure, Matcher, Representation, WaId, is_masked_copy
from harness.identity.spelling import encode_varint
from harness.population.people import person

NUMBER = person(0).number
OTHER = person(1).number
ZEROS = "0" * len(NUMBER)
JID = f"{NUMBER}@s.whatsapp.net"
MATCHER = Matcher(Closure(WaId(NUMBER)).identifiers)
PACKED = bytes((0x80, 0x11, 0x86)) + bytes.fromhex(f"{NUMBER}f")
ID = base64.b64encode(PACKED + b"\x02tail-ab").decode()
ZERO_ID = base64.b64encode(PACKED[:3] + bytes.fromhex(f"{ZEROS}f") + b"\x02tail-ab").decode()
OTHER_ID = base64.b64encode(PACKED[:3] + bytes.fromhex(f"{OTHER}f") + b"\x02tail-ab").decode()
OTHER_TAIL = base64.b64encode(PACKED[:3] + bytes.fromhex(f"{ZEROS}f") + b"\x02tail-xy").decode()
SPACED = f"+1 ({NUMBER[1:4]}) {NUMBER[4:7]}-{NUMBER[7:]}"

MASKED = {
    "zeros": (f"Call +{NUMBER}, please.", f"Call +{ZEROS}, please."),
    "crosses": (f"Call +{NUMBER}, please.", f"Call +{'x' * 11}, please."),
    "nothing": (f"Call +{NUMBER}, please.", "Call +, please."),
    "a word": (f"Call +{NUMBER}, please.", "Call +[erased], please."),
    "one of two": (f"{NUMBER} and {NUMBER}", f"{NUMBER} and {ZEROS}"),
    "punctuated": (f"at {SPACED}.", "at +0 (000) 000-0000."),
    "a whole JID": (JID, f"{ZEROS}@s.whatsapp.net"),
    "a whole JID, crossed": (JID, "x" * len(JID)),
    "a whole JID, a word": (JID, "[erased]"),
    "a whole JID, blank": (JID, ""),
    "a whole JID, NULL": (JID, None),
    "JSON": (f'{{"to": "{NUMBER}", "n": 1}}', f'{{"to": "{ZEROS}", "n": 1}}'),
    "a message id": (f'{{"id": "{ID}"}}', f'{{"id": "{ZERO_ID}"}}'),
    "unchanged": ("See you", "See you"),
}
HARMED = {
    "another person": (f"Call +{NUMBER}, please.", f"Call +{OTHER}, please."),
    "another person, punctuated": (f"Call +{NUMBER}, you.", f"Call +1 202 {OTHER[4:]}, you."),
    "another person, dialled": (f"Call +{NUMBER}, please.", f"Call +00{OTHER}, please."),
    "another person behind zeros": (JID, f"000{OTHER[3:]}@s.whatsapp.net"),
    "another person, other digits": (JID, "\uff11" * 11 + "@s.whatsapp.net"),
    "another id": (f'{{"id": "{ID}"}}', f'{{"id": "{OTHER_ID}"}}'),
    "another tail of an id": (f'{{"id": "{ID}"}}', f'{{"id": "{OTHER_TAIL}"}}'),
    "a note": (f"Friends of {NUMBER}", "Friends of 0. Also: meet at 5"),
    "a note in brackets": (f"Friends of {NUMBER}", "Friends of [owes 500 to Bob]"),
    "a character more": (f"Call +{NUMBER}, please.", f"Call +{ZEROS}, please. "),
    "a character less": (f"Call +{NUMBER}, please.", f"Call +{ZEROS}, pleas."),
    "a character changed": (f"Call +{NUMBER}, please.", f"Call +{ZEROS}, Please."),
    "too many zeros": (f"Call +{NUMBER}, please.", f"Call +{ZEROS}0, please."),
    "cut off": (f"Friends of {NUMBER}", "Friends of 000"),
    "half of the number": (f"Call +{NUMBER}, please.", f"Call +{NUMBER[:8]}000, please."),
    "what stands between": (f"at {SPACED}.", "at +0 a000b 000c0000."),
    "all of it": (f"Call +{NUMBER}, please.", "0" * 26),
    "JSON no more": (f'{{"n": {NUMBER}}}', '{"n": }'),
    "NULL for a text": (f"Call +{NUMBER}, please.", None),
    "somebody from NULL": (None, "x"),
    "nobody's text": ("See you", "See us"),
}


def recognised(old: str | None, new: str | None) -> bool:
    """Ask whether a cell is a masked copy of its old self."""
    was = old.encode() if old is not None else None
    hits = MATCHER.hits(was or b"", Representation.JSON)
    return is_masked_copy(was, new.encode() if new is not None else None, hits)


@pytest.mark.parametrize(("old", "new"), MASKED.values(), ids=MASKED.keys())
def test_a_blank_in_place_of_the_number_is_a_mask(old: str, new: str | None) -> None:
    """Zeros, crosses, a word in brackets or nothing may stand where the number stood."""
    assert recognised(old, new)


@pytest.mark.parametrize(("old", "new"), HARMED.values(), ids=HARMED.keys())
def test_anything_else_is_harm(old: str | None, new: str | None) -> None:
    """Another number, a note, or any change around the identifier is no mask."""
    assert not recognised(old, new)


def _utf_16(digits: str) -> bytes:
    return digits.encode("utf-16-le")


CODES = {
    "base64": lambda digits: base64.b64encode(digits.encode()),
    "hexadecimal": lambda digits: digits.encode().hex().encode(),
    "64-bit": lambda digits: int(digits).to_bytes(8, "big"),
    "packed": lambda digits: bytes((0x80, 0x11, 0x86)) + bytes.fromhex(f"{digits}f"),
    "varint": lambda digits: _padded(encode_varint(int(digits))),
    "UTF-16": _utf_16,
}


def _padded(varint: bytes) -> bytes:
    length = len(encode_varint(int(NUMBER)))
    if len(varint) == length:
        return varint
    return bytes(byte | 0x80 for byte in varint.ljust(length - 1, b"\0")) + b"\0"


@pytest.mark.parametrize("name", CODES)
def test_in_codes_only_zeros_are_a_mask(name: str) -> None:
    """What is coded must still be a code, of zeros: crosses, words and nothing break it."""
    code = CODES[name](NUMBER)
    old, around = b"\xff\x01" + code + b"\xff\xff", b"\xff\x01%b\xff\xff"
    hits = MATCHER.hits(old, Representation.BLOB)
    assert hits
    assert is_masked_copy(old, around % CODES[name](ZEROS), hits)
    for broken in (b"x" * len(code), b"", b"[erased]"):
        assert not is_masked_copy(old, around % broken, hits)


def test_many_hits_are_judged_one_after_the_other() -> None:
    """A cell that names the subject 400 times is judged, where trying every way would never end."""
    old = f"{NUMBER}, " * 400
    assert recognised(old, "[erased], " * 400)
    assert not recognised(old, "[erased], " * 399 + "[erased]; ")
    assert not recognised(old, ", " * 400 + "!")
