"""Was a cell changed in nothing but the subject's identifiers, whoever changed it?

The plan's own masks are turned back and compared exactly. A routine of somebody else's may
mask in any way: here, all around the identifiers must be as it was, and what took their
place must not be a possible number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from harness.identity.packed import Hit
from harness.identity.spelling import draw_mask

_POSSIBLE: Final = re.compile(rb"(?<![0-9])[1-9][0-9]{6,14}(?![0-9])")
_LONGER: Final = 32
"""How many bytes a replacement may be longer than what it replaces, such as a word in brackets."""
_IN_BYTES: Final = ("in base64", "in hexadecimal", "integer", "packed decimal", "varint", "UTF-16")


def is_masked_copy(old: bytes | None, new: bytes | None, hits: Sequence[Hit]) -> bool:
    """Tell whether a cell is its old self, or that with identifiers replaced.

    Args:
        old: The cell before.
        new: The cell after.
        hits: Where `old` holds identifiers, in order.
    """
    if old == new:
        return True
    if old is None or not hits:
        return False
    if hits[0].whole:
        return new is None or _may_replace(old, new)
    return new is not None and _fits(old, new, hits)


def _fits(old: bytes, new: bytes, hits: Sequence[Hit]) -> bool:
    parts, position = [], 0
    for hit in hits:
        kept, was = old[position : hit.start], old[hit.start : hit.end]
        room = rb"(.{%d})" % len(was) if _is_code(hit) else rb"(.{0,%d}?)" % (len(was) + _LONGER)
        parts += [re.escape(kept), room]
        position = hit.end
    match = re.fullmatch(b"".join([*parts, re.escape(old[position:])]), new, re.DOTALL)
    return match is not None and all(
        _is_replacement(old[hit.start : hit.end], part, hit)
        for hit, part in zip(hits, match.groups(), strict=True)
    )


def _is_code(hit: Hit) -> bool:
    return any(form in hit.form for form in _IN_BYTES)


def _is_replacement(was: bytes, now: bytes, hit: Hit) -> bool:
    if was == now:
        return True
    if not _is_code(hit):
        return _may_replace(was, now)
    # Of a code, only what another number would change may differ.
    others = [hit.rewrite(draw_mask(hit.identifier, choose)) for choose in (_first, _last)]
    return all(
        then == byte or any(other[place : place + 1] != bytes((then,)) for other in others)
        for place, (then, byte) in enumerate(zip(was, now, strict=True))
    )


def _may_replace(was: bytes, now: bytes) -> bool:
    return len(now) <= len(was) + _LONGER and not _POSSIBLE.search(now)


def _first(characters: str) -> str:
    return characters[0]


def _last(characters: str) -> str:
    return characters[-1]
