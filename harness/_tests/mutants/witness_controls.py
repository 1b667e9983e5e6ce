"""Controls of a search that may not write: whom it proves itself on, and that it sees them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Final

import pytest

from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.step_controls import (
    CANARY,
    KEY,
    NULL,
    OTHER,
    TYPES,
    WHERE,
    FakeStores,
    N,
    as_stores,
    the_manifest,
)
from harness.errors import StoreError, StoreUnreachableError
from harness.identity import Closure, WaId
from harness.manifest import Column, Manifest
from harness.model import EngineKind, Treatment
from harness.population.people import person
from harness.stores.sweep import Search, sweep
from harness.witnesses import Witnesses, find_witnesses, seen_witnesses

SUBJECT: Final = Closure(WaId(N))
THIRD: Final = person(2).number
KINDS: Final = {"id": "number", "who": "jid", "note": "text", "small": "int"}
QUOTED: Final = {EngineKind.MYSQL: "`", EngineKind.POSTGRES: '"'}
Rows = dict[str, Sequence[bytes]]


def witness_controls() -> Iterator[Control]:
    """Yield the controls of witnesses."""
    for claim in CLAIMS:
        yield Control(f"witness: {named(claim)}", claim)


@dataclass(slots=True)
class Asked(FakeStores):
    """Rows in memory that can be asked for one column of theirs, as text or otherwise."""

    engine: EngineKind = EngineKind.MYSQL
    given: Callable[[bytes], object] = bytes
    unreadable: dict[str, Exception] = field(default_factory=dict)

    @property
    def config(self) -> Any:
        """Of which engine it is."""
        return SimpleNamespace(engine=self.engine)

    def query(self, store: str, sql: str) -> list[tuple[object]]:
        """Return a column's cells."""
        assert store == WHERE
        quote = QUOTED[self.engine]
        found = re.match(rf"SELECT {quote}(\w+){quote} FROM (?:\S+\.)?{quote}(\w+){quote} ", sql)
        assert found
        column, table = found.groups()
        if column in self.unreadable:
            raise self.unreadable[column]
        cells = (row.split(b"|")[list(TYPES).index(column)] for row in self.rows[table])
        return [(self.given(cell),) for cell in cells if cell != NULL]


def _described() -> Manifest:
    """Describe the people's table, whose last column bears no identity."""
    store = the_manifest().stores[0]
    kinds = {c.kind.name: c.kind for table in the_manifest().tables.values() for c in table.columns}
    columns = tuple(
        Column(name, kinds[kind], False, Treatment.MASK) for name, kind in KINDS.items()
    )
    people = replace(store.tables[0], store=WHERE, name="people", columns=columns)
    return Manifest((replace(store, tables=(people,)),))


def _found(rows: Rows, but: Closure | None = SUBJECT, **changes: Any) -> dict[Any, str]:
    return find_witnesses(as_stores(Asked(rows, **changes)), _described(), but).known


def _in(column: str) -> tuple[str, str, str]:
    return (WHERE, "people", column)


def _a_witness_is_read_in_each_column() -> None:
    """The first who is not the subject bears witness, in each column that may name somebody."""
    own = b"%b|%b|~|%b" % ((N.encode(),) * 3)
    theirs = b"%b|%b@s.whatsapp.net|~|%b" % (OTHER.encode(), THIRD.encode(), OTHER.encode())
    last = b"%b|~|~|~" % CANARY.encode()
    for engine in EngineKind:
        for given in (bytes, memoryview, bytes.decode):
            found = _found(
                {"people": (own, theirs, last), "things": (theirs,)}, engine=engine, given=given
            )
            assert found == {_in("id"): OTHER, _in("who"): THIRD}
    assert _found({"people": (own, theirs)}, None) == {_in("id"): N, _in("who"): N}
    assert _found({"people": (own,)}) == {}


def _a_number_is_told_from_other_text() -> None:
    """A whole number, with or without what a JID adds, or a JID among words; nothing else."""
    for cell, whose in {
        OTHER: OTHER,
        f"+{OTHER}": OTHER,
        f"{OTHER}:12@s.whatsapp.net": OTHER,
        f"{OTHER}@anywhere": OTHER,
        f"see {OTHER}@c.us": OTHER,
        f"see {OTHER}@s.whatsapp.net": OTHER,
        f"see {OTHER}": None,
        f"see 12345678901234567{OTHER}@c.us": None,
        "nobody": None,
    }.items():
        found = _found({"people": (f"1|~|{cell}|~".encode(),)})
        assert found == ({_in("note"): whose} if whose else {})


def _what_cannot_be_read_has_no_witness() -> None:
    """A column that is refused has none, which its sweep tells; a lost server ends all."""
    row = b"%b|%b|~|~" % (OTHER.encode(), OTHER.encode())
    refused = {"id": StoreError("denied")}
    assert _found({"people": (row,)}, unreadable=refused) == {_in("who"): OTHER}
    with pytest.raises(StoreUnreachableError):
        _found({"people": (row,)}, unreadable={"id": StoreUnreachableError("gone")})


def _witnesses_are_counted() -> None:
    """Witnesses are told by column and by number, and shown to nobody."""
    witnesses = Witnesses({_in("id"): OTHER, _in("who"): OTHER})
    assert (witnesses.cells, witnesses.numbers) == (2, frozenset({OTHER}))
    assert OTHER not in repr(witnesses)


ROWS: Final = (
    b"1|~|~|~",
    b"2|%b|call %b7|~" % (N.encode(), OTHER.encode()),
    b"3|x|~|%b" % OTHER.encode(),
    b"4|%b|y|~" % OTHER.encode(),
    b"5|%b|z|~" % OTHER.encode(),
)


def _seen(rows: Rows, known: dict[tuple[str, str, str], str], batch: int = 2) -> int:
    stores = Asked(rows, batch=batch)
    search = Search(_described(), SUBJECT, KEY)
    sighting, found = seen_witnesses(as_stores(stores), search, Witnesses(known))
    assert stores.done == [("snapshot", "", 0)]
    alone = sweep(as_stores(Asked(rows)), search)
    assert (sighting.tables, sighting.traces) == (alone.tables, alone.traces)
    return found


def _a_witness_is_found_where_it_was_read() -> None:
    """A witness counts once, in its own column of its own table, and as exactly its number."""
    for batch in (1, 2, 5):
        rows: Rows = {"people": ROWS, "things": ROWS[:1]}
        assert _seen(rows, {_in("who"): OTHER}, batch) == 1
        assert _seen(rows, {_in("who"): OTHER, _in("note"): OTHER}, batch) == 1
        assert _seen(rows, {_in("note"): OTHER}, batch) == 0
        assert _seen(rows, {_in("who"): CANARY}, batch) == 0
        assert _seen(rows, {(WHERE, "things", "who"): OTHER}, batch) == 0
        assert _seen(rows, {}, batch) == 0
        both: Rows = {"people": ROWS, "things": ROWS}
        known = {(WHERE, name, "who"): OTHER for name in both}
        assert _seen(both, known, batch) == 2


CLAIMS: Final = (
    _a_witness_is_read_in_each_column,
    _a_number_is_told_from_other_text,
    _what_cannot_be_read_has_no_witness,
    _witnesses_are_counted,
    _a_witness_is_found_where_it_was_read,
)
