"""What a routine masked is recognised at eight bytes a row, and what it harmed is not."""

from __future__ import annotations

from typing import cast

from harness import manifest
from harness.identity import Closure, WaId
from harness.model import ColumnSchema, TableSchema
from harness.population.people import person
from harness.stores import StoreSet
from harness.stores.recognition import Memory, WatchingPass
from harness.stores.sweep import Search

SUBJECT, ADA = person(0), person(1)
SEARCH = Search(manifest.load(), Closure(WaId(SUBJECT.number)), b"k" * 32)
TABLE = TableSchema(
    "waweb", "notes", tuple(ColumnSchema(name, "text") for name in ("who", "note", "kind"))
)


class Store:
    """A store that encodes cells with a line between them."""

    def decoder(self, table: TableSchema) -> object:
        """Return what takes a row apart."""
        del table
        return lambda row: tuple(row.split(b"\n"))


def passed(rows: list[tuple[str, str, str]], memory: Memory | None) -> WatchingPass:
    """Return a pass that has seen rows."""
    made = WatchingPass(cast("StoreSet", Store()), TABLE, SEARCH, memory)
    made.consume(["\n".join(row).encode() for row in rows])
    made.recognise()
    return made


BEFORE = [
    (ADA.jid, f"call {SUBJECT.number}", "a"),
    (ADA.jid, f"call {SUBJECT.number}", "b"),
    (ADA.jid, "nobody", "c"),
    (ADA.jid, "nobody", "c"),
]
ZEROS = "0" * len(SUBJECT.number)


def kept(after: list[tuple[str, str, str]]) -> bool:
    """Tell whether a table is as it was before, apart from masks."""
    memory = Memory()
    before = passed(BEFORE, memory).state()
    memory.close()
    return passed(after, memory).state() == before


def masked(row: tuple[str, str, str]) -> tuple[str, str, str]:
    """Return a row with zeros in the number's place."""
    return (row[0], row[1].replace(SUBJECT.number, ZEROS), row[2])


def test_masked_mentions_are_mentions() -> None:
    """Where zeros stand in the number's place, and nothing else differs, nothing was harmed."""
    assert kept(BEFORE)
    assert kept([masked(row) for row in BEFORE])
    assert kept([masked(row) for row in reversed(BEFORE)])


def test_harm_is_not_taken_for_a_mask() -> None:
    """A mention changed besides, missing, doubled, or a bystander's row changed, is not as it was."""
    good = [masked(row) for row in BEFORE]
    assert not kept([(good[0][0], good[0][1] + " ", "a"), *good[1:]])
    assert not kept([(good[0][0], good[0][1], "z"), *good[1:]])
    assert not kept(good[1:])
    assert not kept([*good, good[0]])
    assert not kept(good[:-1])
    assert not kept([*good[:-1], (ADA.jid, "somebody", "c")])
    assert not kept([*good, (ADA.jid, "one more", "d")])


def test_only_what_is_needed_is_kept() -> None:
    """A table that mentions nobody keeps nothing, another eight bytes for each row."""
    memory = Memory()
    passed(BEFORE, memory)
    memory.close()
    (rows,) = memory.tables.values()
    assert rows.heads.itemsize == 8
    assert list(rows.heads) == sorted(rows.heads)
    assert len(rows.heads) == 2
    assert len(rows.mentions) == 2
    nobody = Memory()
    passed(BEFORE[2:], nobody)
    nobody.close()
    assert nobody.tables == {}


def test_a_table_full_of_harm_is_not_collected() -> None:
    """Of new rows, no more are kept than there were mentions, and one, since no more can be masks."""
    memory = Memory()
    passed(BEFORE, memory)
    memory.close()
    found = passed([(ADA.jid, f"row {n}", "x") for n in range(10_000)], memory)
    assert len(found._new) == 3
