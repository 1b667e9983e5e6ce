"""Was a cell changed in nothing but the subject's identifiers, whoever changed it?

The plan's own masks are turned back and compared exactly. A routine of somebody else's may
mask in its own way, which has to be one that can carry nothing else: zeros, signs that nobody
takes for a digit, a word in brackets, or nothing at all. Around it all must be as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from harness.identity.packed import Hit

_BLANKS: Final = frozenset(b"0xX*#")
"""What a digit may become."""
_WORD: Final = re.compile(rb"\[[A-Za-z ]{0,24}\]|<[A-Za-z ]{0,24}>|\([A-Za-z ]{0,24}\)")
_LONGEST_WORD: Final = 26
_IN_BYTES: Final = ("in base64", "in hexadecimal", "integer", "packed decimal", "varint", "UTF-16")


def is_masked_copy(old: bytes | None, new: bytes | None, hits: Sequence[Hit]) -> bool:
    """Tell whether a cell is its old self, or that with identifiers replaced by blanks.

    Args:
        old: The cell before.
        new: The cell after.
        hits: Where `old` holds identifiers, in order.
    """
    if old == new:
        return True
    if old is None or not hits:
        return False
    if new is None:
        return hits[0].whole
    if hits[0].whole and (not new or _is_blank(old, new) or _WORD.fullmatch(new)):
        return True
    return _fits(old, new, hits) and (not _is_json(old) or _is_json(new))


def _fits(old: bytes, new: bytes, hits: Sequence[Hit]) -> bool:
    """Walk both cells at once; `places` are where in the new one the old one may have got to."""
    places, position = {0}, 0
    for hit in hits:
        places = set(_behind(old[position : hit.start], new, places))
        was = old[hit.start : hit.end]
        places = {end for start in places for end in _replaced(was, new, start, hit)}
        position = hit.end
    return len(new) in _behind(old[position:], new, places)


def _behind(kept: bytes, new: bytes, places: set[int]) -> Iterator[int]:
    return (start + len(kept) for start in places if new.startswith(kept, start))


def _replaced(was: bytes, new: bytes, start: int, hit: Hit) -> Iterator[int]:
    """Yield where a replacement of an identifier may end that begins at `start`."""
    same = start + len(was)
    now = new[start:same]
    if now == was or (now == _zeros(hit) if _is_code(hit) else _is_blank(was, now)):
        yield same
    if _is_code(hit):
        return
    yield start
    if word := _WORD.match(new, start, start + _LONGEST_WORD):
        yield word.end()


def _is_code(hit: Hit) -> bool:
    return any(form in hit.form for form in _IN_BYTES)


def _is_blank(was: bytes, now: bytes) -> bool:
    """Tell whether digits and letters became blanks, and all between them stayed."""
    return len(was) == len(now) and all(
        new in _BLANKS or (new == old and not chr(old).isdigit())
        for old, new in zip(was, now, strict=True)
    )


def _zeros(hit: Hit) -> bytes:
    """Return what stands for an identifier of nothing but zeros in the same code."""
    digits = "0" * len(hit.identifier.digits)
    varint = b"\x80" * (len(hit.identifier.varint) - 1) + b"\x00"
    return hit.rewrite(replace(hit.identifier, digits=digits, integer=0, varint=varint, json="0"))


def _is_json(cell: bytes) -> bool:
    try:
        json.loads(cell)
    except ValueError:
        return False
    return True
