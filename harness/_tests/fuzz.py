"""Time-boxed fuzzing of the matcher: any number, any form, any surroundings, until time is up.

`tox -e fuzz -- --seconds 600` goes on where the tests' fixed number of examples ends: numbers
of any digits instead of a few hundred, and another seed each time. What fails is printed
with the seed and the shrunk example, which is of synthetic numbers.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from harness.identity import Closure, Matcher, WaId, spelled
from harness.masks import Masks
from harness.population.people import Person, neighbours

from .test_matcher import SURFACES, embedded

_EXAMPLES: Final = 500
NUMBERS: Final = st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True).filter(str.isascii)
counts: Counter[str] = Counter()


def found_once(number: str, data: st.DataObject) -> None:
    """The number is found in its forms, passes the filter, and is masked away and back."""
    encoding, cell = data.draw(embedded(number))
    kind, matcher = SURFACES[encoding.surface], Matcher([spelled(number)])
    assert matcher.candidate(cell)
    assert matcher.forms(cell, kind) == Counter(encoding.forms)
    masks = Masks(Closure(WaId(number)))
    masked = masks.mask(cell, kind)
    assert not matcher.hits(masked, kind)
    assert masks.candidate(masked)
    assert masks.unmask(masked, kind) == cell
    counts["found once, and masked"] += 1


def nobody_else(number: str, data: st.DataObject) -> None:
    """A neighbour's number, or any other, is not found."""
    near = [one.number for one in neighbours(Person(number, number, ""))]
    other = data.draw(st.sampled_from(near) | NUMBERS.filter(lambda one: one != number))
    encoding, cell = data.draw(embedded(other))
    assert not Matcher([spelled(number)]).hits(cell, SURFACES[encoding.surface])
    counts["others, not found"] += 1


def filter_misses_nothing(number: str, data: st.DataObject) -> None:
    """Whatever the exact check finds in arbitrary bytes, the filter lets through."""
    pieces = data.draw(st.lists(st.sampled_from(_pieces(number)) | st.binary(max_size=4)))
    cell = b"".join(pieces)
    matcher = Matcher([spelled(number)])
    for kind in set(SURFACES.values()):
        if matcher.hits(cell, kind):
            assert matcher.candidate(cell)
            counts["hits in arbitrary bytes, let through"] += 1
    counts["arbitrary bytes"] += 1


def _pieces(number: str) -> list[bytes]:
    """Return what a hit may be put together from, by chance."""
    half = len(number) // 2
    texts = (number, number[:half], number[half:], "+", "00", " ", "-", "(", ")", "(0)", "@c.us")
    marks = (b"%20", b"=C2=A0", b"\\u00a0", b"\\t", b"\0", b"\xc2\xa0", b"\xe2\x80\xaf", b"\r\n ")
    return [*(text.encode() for text in texts), *marks, number[half:].encode("utf-16-le")]


CHECKS: Final[tuple[Callable[[str, st.DataObject], None], ...]] = (
    found_once,
    nobody_else,
    filter_misses_nothing,
)


def main() -> None:
    """Run every check in turn, each time with a new seed, until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, metavar="S")
    until_s = time.monotonic() + parser.parse_args().seconds
    while time.monotonic() < until_s:
        for check in CHECKS:
            drawn = secrets.randbits(32)
            try:
                _run(check, drawn)
            except BaseException:
                sys.stderr.write(f"{check.__name__} failed with seed {drawn}\n")
                raise
    for what, count in sorted(counts.items()):
        sys.stdout.write(f"{count:>9} {what}\n")


def _run(check: Callable[[str, st.DataObject], None], drawn: int) -> None:
    @seed(drawn)
    @settings(
        max_examples=_EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(number=NUMBERS, data=st.data())
    def checked(number: str, data: st.DataObject) -> None:
        check(number, data)

    checked()


if __name__ == "__main__":
    main()
