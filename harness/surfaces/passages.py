"""A stream of bytes, cut into what may hold an identifier and what cannot.

The filter runs over whole chunks. Around each place that it lets through stands a *passage*:
the lines that the place touches, with those that belong to them, or, where no line ends, a
stretch that is long enough to judge it. All else passes by untouched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from harness.identity import Filter

Piece = tuple[bytes | memoryview, bool]
"""Bytes, and whether they are a passage; all pieces together are the stream."""

CHUNK_BYTES: Final = 256 << 10
_MARGIN_BYTES: Final = 64 << 10
"""How far a passage reaches from what was found in it, where no line ends before."""
_OVERLAP_BYTES: Final = 8 << 10
"""What is looked at again with the next chunk: no number that is cut is longer than this."""
_EDGE_BYTES: Final = 32
"""A code may reach a little further than what the filter knows of it."""
# What stands inside no number and no code: here a line without end may be cut.
_BREAK: Final = re.compile(rb'["{}<>;,|&\n]')
_BREAK_BYTES: Final = 4 << 10
# A line that belongs to the one before it: folded, or behind a soft break.
_FOLDS: Final = (b" ", b"\t")
_SOFT: Final = (b"=\n", b"=\r\n")
_JOINED_LINES: Final = 3
"""Over how many more lines a number may be spread: log files have whole pages of indented lines."""


def pieces(chunks: Iterable[bytes], candidate: Filter) -> Iterator[Piece]:
    """Yield a stream as pieces, none of them empty; memory does not grow with the stream."""
    cutter = _Cutter(candidate)
    for chunk in chunks:
        yield from cutter.cut(chunk)
    yield from cutter.cut(b"", last=True)


class _Cutter:
    """Holds the end of what came so far, as long as what follows may belong to it."""

    def __init__(self, candidate: Filter) -> None:
        self._find = candidate.find
        self._held = b""
        self._looked = 0

    def cut(self, chunk: bytes, *, last: bool = False) -> Iterator[Piece]:
        """Take a chunk; yield what is decided about by now, `last` the rest."""
        data = self._held + chunk if self._held else chunk
        done, at, keep = 0, self._looked, len(data)
        while found := self._find(data, at):
            begin = _begin(data, done, found[0])
            end = _end(data, found[1], last=last)
            if end is None:
                keep, at = begin, found[0]
                break
            if begin > done:
                yield memoryview(data)[done:begin], False
            yield data[begin:end], True
            done = at = end
        else:
            if not last:
                at = max(at, len(data) - _OVERLAP_BYTES)
                keep = _begin(data, done, at)
        if keep > done:
            yield memoryview(data)[done:keep], False
        self._held, self._looked = data[keep:], at - keep


def _begin(data: bytes, done: int, at: int) -> int:
    """Return where the passage around a place begins, not before what is done."""
    lowest = max(done, at - _MARGIN_BYTES)
    begin = data.rfind(b"\n", lowest, max(lowest, at - _EDGE_BYTES)) + 1
    for _ in range(_JOINED_LINES):
        if begin > lowest and _goes_on(data, begin):
            begin = data.rfind(b"\n", lowest, begin - 1) + 1
    if begin > lowest or lowest == done:
        return max(begin, lowest)
    safe = _BREAK.search(data, lowest, min(lowest + _BREAK_BYTES, at))
    return safe.end() if safe else lowest


def _end(data: bytes, at: int, *, last: bool) -> int | None:
    """Return where the passage around a place ends, or None if that is still to come."""
    highest = min(len(data), at + _MARGIN_BYTES)
    end = data.find(b"\n", min(at + _EDGE_BYTES, highest), highest) + 1
    for _ in range(_JOINED_LINES):
        if 0 < end < highest and _goes_on(data, end):
            end = data.find(b"\n", end, highest) + 1
    if 0 < end < highest:
        return end
    if highest == len(data):
        return highest if last else None
    safe = [one.end() for one in _BREAK.finditer(data, highest - _BREAK_BYTES, highest)]
    return safe[-1] if safe else highest


def _goes_on(data: bytes, begin: int) -> bool:
    """Tell whether the line that begins here belongs to the one before it."""
    return data.startswith(_FOLDS, begin) or data[max(0, begin - 3) : begin].endswith(_SOFT)
