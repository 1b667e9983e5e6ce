"""Controls of what tells a routine's masks from its faults, where rows are too many to keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.step_controls import (
    BYSTANDER,
    PEOPLE,
    ROWS,
    FakeStores,
    N,
    as_stores,
    parties,
    passed,
    searching,
)
from harness.model import RowClass
from harness.plan import Inspection, watch
from harness.stores.recognition import Memory, WatchingPass

MASKED: Final = b"0" * len(N)
OTHERS: Final = tuple(b"%d|ada|said %d|~" % (number, number) for number in range(9, 15))


def recognition_controls() -> Iterator[Control]:
    """Yield the controls of recognition."""
    for claim in CLAIMS:
        yield Control(f"recognised: {named(claim)}", claim)


def _masked(row: bytes) -> bytes:
    return row.replace(N.encode(), MASKED)


class Counting(FakeStores):
    """Rows in memory; counts how many are taken apart."""

    decoded = 0

    def decoder(self, table: Any) -> Callable[[bytes], tuple[bytes | None, ...]]:
        """Return what takes a row apart, and counts."""
        decode = super().decoder(table)

        def counted(row: bytes) -> tuple[bytes | None, ...]:
            self.decoded += 1
            return decode(row)

        return counted


def _watched(
    rows: Sequence[bytes],
    memory: Memory | None = None,
    others: Sequence[bytes] = (),
    batch: int = 2,
) -> tuple[Inspection, int]:
    """Watch a table, and another in which nobody mentions the subject."""
    stores = Counting({"people": rows, "things": others}, batch=batch)
    subject, canary = parties()
    del subject
    inspection = watch(as_stores(stores), searching(), canary, memory)
    return inspection, stores.decoded


def _kept(inspection: Inspection) -> list[tuple[int, str, int, str]]:
    return [
        (one.mention_rows, one.mention_digest, one.bystander_rows, one.bystander_digest)
        for one in inspection.sighting.tables
    ]


def _whose_a_row_is_is_seen() -> None:
    """Without a memory, and while one is filled, rows are classed, counted and digested as ever."""
    plain = passed(ROWS)
    for memory in (None, Memory()):
        for batch in (1, 2, 5):
            found, _ = _watched(ROWS, memory and Memory(), batch=batch)
            assert found.sighting.tables[0] == plain.state()
            assert found.sighting.traces == plain.traces()
        watching = WatchingPass(as_stores(FakeStores({})), PEOPLE, searching(), memory)
        kinds = [watching.locate(b"", row) for row in ROWS]
        assert kinds == [
            *(RowClass.SUBJECT, RowClass.MENTION, RowClass.MENTION),
            *(RowClass.BYSTANDER, RowClass.BYSTANDER),
        ]
        assert watching.state() == plain.state()
    keeping = WatchingPass(as_stores(FakeStores({})), PEOPLE, searching(keep_rows=True), None)
    keeping.consume(ROWS)
    assert keeping.row_digests == passed(ROWS, keep_rows=True).row_digests


def _only_what_may_be_asked_for_is_kept() -> None:
    """Mentions are kept whole, heads of digests sorted, and of a table without mentions nothing."""
    memory = Memory()
    _watched((*OTHERS, *ROWS), memory, OTHERS)
    assert memory.complete
    ((place, rows),) = memory.tables.items()
    assert place == ("waweb", "people")
    assert len(rows.mentions) == 2
    assert list(rows.heads) == sorted(rows.heads)
    assert len(rows.heads) == len(OTHERS) + 2


def _masked_rows_are_the_mentions_they_were() -> None:
    """Masked and otherwise alike, mentions count as before, however rows come."""
    for batch in (1, 2, 5):
        memory = Memory()
        before, _ = _watched(ROWS, memory, OTHERS, batch)
        rows = (*map(_masked, ROWS[1:3]), *ROWS[3:])
        after, _ = _watched(rows, memory, OTHERS, batch)
        assert _kept(after) == _kept(before)
        assert after.sighting.traces == []
    # Where nobody but the subject was named, any row is new.
    alone = Memory()
    before, _ = _watched(ROWS[1:2], alone)
    after, _ = _watched((_masked(ROWS[1]),), alone)
    assert _kept(after) == _kept(before)


def _a_memory_serves_again() -> None:
    """A memory that is complete is filled no more, and tells a later pass what it told another."""
    memory = Memory()
    before, _ = _watched(ROWS, memory, OTHERS)
    rows = (*map(_masked, ROWS[1:3]), *ROWS[3:])
    _watched(rows, memory, OTHERS)
    after, _ = _watched(rows, memory, OTHERS)
    assert _kept(after) == _kept(before)
    assert len(memory.tables) == 1


def _what_is_still_there_is_still_a_mention() -> None:
    """Rows that a routine left alone are the mentions that they are."""
    memory = Memory()
    before, _ = _watched(ROWS, memory)
    after, _ = _watched(ROWS, memory)
    assert _kept(after) == _kept(before)
    assert after.sighting.traces == before.sighting.traces


def _harmed_rows_are_harmed() -> None:
    """A mention with more than its identifiers changed, and anybody else's row, differ."""
    memory = Memory()
    before, _ = _watched(ROWS, memory, OTHERS)
    good = [*map(_masked, ROWS[1:3]), *ROWS[3:]]
    for rows in (
        [good[0].replace(b"now", b"new"), *good[1:]],
        [*good[:3], BYSTANDER.replace(b"hello", b"hallo")],
        [*good, b"99|somebody|new|~"],
        good[1:],
        [*good, good[0]],
        [*good[:2], good[3]],
    ):
        after, _ = _watched(rows, memory, OTHERS)
        assert _kept(after) != _kept(before)
    changed = (OTHERS[0].replace(b"said", b"sang"), *OTHERS[1:])
    after, _ = _watched(good, memory, changed)
    assert _kept(after) != _kept(before)


def _no_more_rows_are_taken_apart_than_were_mentions() -> None:
    """Known rows are not taken apart, and of new ones no more than one beyond the mentions."""
    memory = Memory()
    _watched((*ROWS, *OTHERS), memory, batch=20)
    for batch in (1, 20):
        _, decoded = _watched((*ROWS[3:4], *OTHERS), memory, batch=batch)
        assert decoded == 1  # LONGER looks like the subject until it is taken apart
        new = tuple(row.replace(b"said", b"sang") for row in OTHERS)
        _, decoded = _watched(new, memory, batch=batch)
        assert decoded == 3


CLAIMS: Final = (
    _whose_a_row_is_is_seen,
    _only_what_may_be_asked_for_is_kept,
    _masked_rows_are_the_mentions_they_were,
    _a_memory_serves_again,
    _what_is_still_there_is_still_a_mention,
    _harmed_rows_are_harmed,
    _no_more_rows_are_taken_apart_than_were_mentions,
)
