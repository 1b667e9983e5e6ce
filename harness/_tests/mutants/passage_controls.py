"""Controls of how a stream is cut into what may hold an identifier and what cannot."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.file_bed import BYTES, NOBODYS, SEEING
from harness.surfaces.passages import pieces

_MARGIN: Final = 64 << 10
_PAD: Final = b"nothing of anybody's, only words and words\n"
_HERE: Final = (
    b"there is nothing in front of it, but words: "
    + BYTES
    + b", and words behind it too, many of them\n"
)
_TELLING: Final = b"=" + BYTES + b"=" + b"w" * 40
_SIZES: Final = (1, 13, 64, 1000, 1 << 20)


def passage_controls() -> Iterator[Control]:
    """Yield the controls of passages."""
    for claim in _CLAIMS:
        yield Control(f"cut: {named(claim)}", claim)


def _cut(data: bytes, size: int = 1 << 20) -> list[tuple[bytes, bool]]:
    """Return the pieces of a stream that comes in chunks, what is no passage in one."""
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    cut = [(bytes(piece), suspect) for piece, suspect in pieces(chunks, SEEING.candidate)]
    assert all(piece for piece, _ in cut)
    assert b"".join(piece for piece, _ in cut) == data
    joined: list[tuple[bytes, bool]] = []
    for suspect, group in groupby(cut, key=lambda one: one[1]):
        found = [piece for piece, _ in group]
        joined += [(one, True) for one in found] if suspect else [(b"".join(found), False)]
    return joined


def _is_cut(before: bytes, passage: bytes, behind: bytes) -> None:
    """Claim that just this is the passage, in whatever chunks it comes."""
    expected = [(before, False), (passage, True), (behind, False)]
    for size in _SIZES:
        assert _cut(before + passage + behind, size) == [one for one in expected if one[0]]


def _a_line_is_a_passage() -> None:
    """The line that holds the number is the passage, also the first, the last and the only one."""
    for before in (b"", 9 * _PAD, b"\n\n"):
        for behind in (b"", 9 * _PAD, b"\n"):
            _is_cut(before, _HERE, behind)
    _is_cut(9 * _PAD, _HERE.rstrip(b"\n"), b"")
    _is_cut(b"", BYTES, b"")
    far = 3_000 * _PAD
    assert _cut(far + _HERE + far) == [(far, False), (_HERE, True), (far, False)]
    assert _cut(9 * _PAD) == [(9 * _PAD, False)]
    assert _cut(b"") == []


def _two_lines_are_two_passages() -> None:
    """Each line that holds the number is a passage of its own, one behind the other too."""
    data = _PAD + _HERE + _HERE + _PAD + _HERE
    for size in _SIZES:
        assert [one for one, suspect in _cut(data, size) if suspect] == [_HERE] * 3


def _what_is_near_to_an_end_reaches_over_it() -> None:
    """A number beside an end of its line may be told in codes that go on there."""
    first, last = (
        BYTES + b" is the first word of a line that goes on\n",
        b"last word: " + BYTES + b"\n",
    )
    _is_cut(_PAD, _PAD + first, _PAD)
    _is_cut(_PAD, _PAD + last + _PAD, _PAD)


def _lines_that_belong_together_are_one_passage() -> None:
    """Folded lines, and those behind a soft break, are one passage, as far as three lines."""
    for fold in (b" ", b"\t"):
        folded = fold + _PAD
        _is_cut(_PAD, _HERE + folded, _PAD)
        _is_cut(_PAD, _HERE + 3 * folded, folded + _PAD)
        _is_cut(_PAD, _PAD + fold + _HERE, _PAD)
        _is_cut(_PAD + folded, 3 * folded + fold + _HERE, _PAD)
    for newline in (b"\n", b"\r\n"):
        soft, here = (one[:-1] + b"=" + newline for one in (_PAD, _HERE))
        _is_cut(_PAD, here + _PAD, _PAD)
        _is_cut(_PAD, here + 2 * soft + _PAD, _PAD)
        _is_cut(_PAD, soft + _HERE, _PAD)
        _is_cut(soft, 3 * soft + _HERE, _PAD)
    _is_cut(b"", b" " + _HERE, b"\n" + _PAD)
    _is_cut(b"", b" " + _HERE.rstrip(b"\n"), b"")
    _is_cut(b"", b"\t" + _HERE + 3 * (b" " + _PAD), b" " + _PAD)


def _without_lines_a_stretch_is_a_passage() -> None:
    """Where no line ends near, the passage ends at what stands in no number, or at the margin."""
    words = b"w" * (2 * _MARGIN)
    number_at = len(words) + 1
    data = words + _TELLING + words
    before, behind = number_at - _MARGIN, number_at + len(BYTES) + _MARGIN
    plain = _cut(data)
    assert [len(one) for one, _ in plain] == [before, behind - before, len(data) - behind]
    marked = bytearray(data)
    marked[before + 100] = marked[before + 200] = marked[behind - 50] = marked[behind - 90] = 0x2C
    for size in (1000, 1 << 20):
        cut = _cut(bytes(marked), size)
        assert [len(one) for one, _ in cut] == [
            before + 101,
            behind - 49 - (before + 101),
            len(data) - behind + 49,
        ]


def _a_stretch_at_an_end_is_whole() -> None:
    """A line that begins or ends with the stream is not cut at what stands in no number."""
    _is_cut(b"", b'{"a":"' + BYTES + b'","b":"' + b"w" * 40, b"")
    _is_cut(_PAD, b'{"a":"' + b"w" * 40 + BYTES + b'","b":"' + b"w" * 40 + b'"}', b"")


def _a_folded_beginning_hides_nothing() -> None:
    """A stream that begins like a folded line holds its number in a passage all the same."""
    for begins in (b" ", b"\t"):
        data = begins + b"first\n" + b"w" * 100_000 + b"=" + BYTES + b"=" + b"w" * 100_000
        for size in (1000, 1 << 20):
            (passage,) = (one for one, suspect in _cut(data, size) if suspect)
            assert b"=" + BYTES + b"=" in passage
            assert len(passage) == 2 * _MARGIN + len(BYTES)
        near = begins + BYTES + b" " + b"w" * 50 + b"\n" + 3 * _PAD
        assert _cut(near)[0] == (near[: -3 * len(_PAD)], True)


def _memory_does_not_grow() -> None:
    """What is decided about is passed on at once, whether it holds the number or not."""
    for line in (NOBODYS, _HERE, b"w" * 77, b"=" + BYTES + b"="):
        chunk = line * (4096 // len(line))
        taken = given = 0

        def chunks(chunk: bytes = chunk) -> Iterator[bytes]:
            nonlocal taken
            for _ in range(100):
                taken += len(chunk)
                yield chunk

        for piece, _ in pieces(chunks(), SEEING.candidate):
            given += len(piece)
            assert taken - given <= 3 * _MARGIN
        assert given == taken


_CLAIMS: Final = (
    _a_line_is_a_passage,
    _two_lines_are_two_passages,
    _what_is_near_to_an_end_reaches_over_it,
    _lines_that_belong_together_are_one_passage,
    _without_lines_a_stretch_is_a_passage,
    _a_stretch_at_an_end_is_whole,
    _a_folded_beginning_hides_nothing,
    _memory_does_not_grow,
)
