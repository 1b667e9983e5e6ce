"""Nobody else is taken for the subject: millions of neighbours, and text that is full of digits."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterable, Iterator
from itertools import islice

import pytest

from harness.identity import Matcher, Representation, spelled

# Put together from pieces, so that no whole number stands in a source file.
NUMBER = "1541" + "5550123"
MATCHER = Matcher([spelled(NUMBER)])
NEIGHBOURS = 10_000_000
TEXT_BYTES = 100_000_000
BATCH_LINES = 4_000
Told = tuple[int, int, int]


def searched(lines: Iterable[bytes], kind: Representation) -> Told:
    """Search lines in batches, as a sweep does; return lines, batches let through, and hits."""
    source = iter(lines)
    count = passed = hits = 0
    while batch := list(islice(source, BATCH_LINES)):
        count += len(batch)
        if MATCHER.candidate(b"\n".join(batch)):
            passed += 1
            hits += sum(len(MATCHER.hits(line, kind)) for line in batch if MATCHER.candidate(line))
    return count, passed, hits


def neighbours(draw: random.Random) -> Iterator[bytes]:
    """Yield numbers that begin or end like the subject's, or are longer; never the subject's."""
    size = len(NUMBER)
    pick, number = draw.randrange, NUMBER.encode()
    while True:
        kept = pick(1, size)
        rest = b"%0*d" % (size - kept, pick(10 ** (size - kept)))
        for one in (
            number[:kept] + rest,
            rest + number[-kept:],
            b"%d" % pick(1, 1000) + number,
            number + b"%d" % pick(1000),
            number[: kept - 1] + number[kept:],
        ):
            if one != number:
                yield one


def packed_ids(numbers: Iterator[bytes], draw: random.Random) -> Iterator[bytes]:
    """Yield message ids that hold numbers as packed decimals."""
    for number in numbers:
        digits = number.decode()
        packed = bytes.fromhex(digits + "f" * (len(digits) % 2))
        head = bytes((0x80, 0x11, 0x80 | len(packed)))
        yield base64.b64encode(head + packed + draw.randbytes(9))


def records(draw: random.Random) -> Iterator[bytes]:
    """Yield lines as a shop would log them: orders, times, amounts, places, digests, ids."""
    pick = draw.randrange
    while True:
        yield (
            b"%d 2026-11-%02d %02d:%02d:%02d.%06d order %d-%d-%d total %d.%02d EUR lat %d.%07d "
            b"id %032x ref %d/%d [%d] {%d, %d}"
        ) % (
            *(pick(1_600_000_000_000, 1_800_000_000_000), pick(30), pick(24), pick(60), pick(60)),
            *(pick(10**6), pick(1000), pick(10**7), pick(10**7), pick(10**5), pick(100)),
            *(pick(90), pick(10**7), draw.getrandbits(128), pick(10**11), pick(10**4)),
            *(pick(10**10, 10**12), pick(10**11), pick(10**15)),
        )


def up_to(lines: Iterator[bytes], size_bytes: int) -> Iterator[bytes]:
    """Yield lines until there are so many bytes."""
    sent = 0
    for line in lines:
        if sent >= size_bytes:
            return
        sent += len(line)
        yield line


def test_no_neighbour_is_taken_for_the_subject(capsys: pytest.CaptureFixture[str]) -> None:
    """Of ten million numbers made to look like the subject's none is found, plain or in an id."""
    draw = random.Random(1)
    plain = searched(islice(neighbours(draw), NEIGHBOURS), Representation.TEXT)
    ids = islice(packed_ids(neighbours(draw), draw), NEIGHBOURS // 10)
    coded = searched(ids, Representation.TEXT)
    told(capsys, "neighbours", plain)
    told(capsys, "neighbours in message ids", coded)
    assert (plain[0], coded[0]) == (NEIGHBOURS, NEIGHBOURS // 10)
    assert plain[2] == coded[2] == 0


def test_nothing_is_found_in_text_full_of_digits(capsys: pytest.CaptureFixture[str]) -> None:
    """In a hundred megabytes of orders, times, amounts and ids nothing is found."""
    for kind in (Representation.TEXT, Representation.BLOB):
        told_of = searched(up_to(records(random.Random(2)), TEXT_BYTES), kind)
        told(capsys, f"lines of text full of digits, as {kind}", told_of)
        assert told_of[0] * 210 > TEXT_BYTES
        assert told_of[2] == 0


def test_the_number_itself_is_found_among_them() -> None:
    """The same search finds the subject when it is put among the others."""
    others = list(islice(neighbours(random.Random(3)), 9_999))
    hay = [*others, NUMBER.encode(), *islice(records(random.Random(4)), 9_999)]
    assert searched(hay, Representation.TEXT)[2] == 1


def told(capsys: pytest.CaptureFixture[str], what: str, numbers: Told) -> None:
    """Print what a search came to."""
    count, passed, hits = numbers
    with capsys.disabled():
        print(  # noqa: T201  # the count is asked for
            f"\n{count} {what}: {passed} batches of {BATCH_LINES} looked at closely, {hits} hits"
        )
