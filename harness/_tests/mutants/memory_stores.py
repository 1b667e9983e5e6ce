"""A store set in memory that changes: transactions that are rolled back, rows that go and come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Final

from harness._tests.mutants.step_controls import NULL, TYPES, WHERE, FakeStores, the_manifest
from harness.errors import ConflictError
from harness.manifest import Column, Manifest
from harness.model import (
    EngineKind,
    Hazard,
    Located,
    Reference,
    Replacement,
    SeedRow,
    TableSchema,
    Treatment,
)

KINDS: Final = {"id": "serial", "who": "jid", "note": "text", "small": "int"}
TABLES: Final = ("people", "things")
Rows = dict[str, list[bytes]]


def described() -> Manifest:
    """Describe two tables alike: who somebody is deletes a row, what mentions them is masked.

    Notes lead to media.
    """
    store = the_manifest().stores[0]
    kinds = {c.kind.name: c.kind for t in the_manifest().tables.values() for c in t.columns}
    columns = tuple(
        Column(name, kinds[kind], False, Treatment.DELETE if name == "who" else Treatment.MASK)
        for name, kind in KINDS.items()
    )
    tables = tuple(
        replace(
            store.tables[0],
            store=WHERE,
            name=name,
            columns=columns,
            key=("id",),
            media=(("note", "name"),),
        )
        for name in TABLES
    )
    return Manifest((replace(store, name=WHERE, tables=tables),))


@dataclass(slots=True)
class MemoryStores(FakeStores):
    """Rows in memory, that change; `done` has what was done in order.

    `spared` are parts of rows: what holds one is said to be deleted or masked, and is not;
    `lost` are parts of rows that are never inserted.
    """

    now: Rows = field(default_factory=dict)
    hazarded: tuple[Hazard, ...] = ()
    referring: tuple[Reference, ...] = ()
    spared: tuple[bytes, ...] = ()
    lost: tuple[bytes, ...] = ()
    on_insert: Callable[[], object] = bool
    engine: EngineKind = EngineKind.MYSQL
    stores: tuple[str, ...] = (WHERE,)
    _committed: bool = False

    def __post_init__(self) -> None:
        self.now = {name: list(rows) for name, rows in self.rows.items()}
        self.rows = self.now

    @property
    def config(self) -> Any:
        """Of which engine it is."""
        return SimpleNamespace(engine=self.engine)

    def databases(self) -> dict[str, str]:
        """Return a database for each store."""
        return {store: f"own_{store}" for store in self.stores}

    def query(self, *asked: object) -> list[tuple[object, ...]]:
        """Answer that no column demands a value."""
        del asked
        return []

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block; put rows back unless it was committed."""
        before = {name: list(rows) for name, rows in self.now.items()}
        self._committed = False
        self.done.append(("begin", "", 0))
        try:
            yield
        finally:
            if not self._committed:
                self.now.update(before)
                self.done.append(("rollback", "", 0))

    def commit(self) -> None:
        """Keep what was done."""
        self._committed = True
        self.done.append(("commit", "", 0))

    def hazards(self) -> tuple[Hazard, ...]:
        """Return what was said to be hazardous."""
        return self.hazarded

    def references(self) -> tuple[Reference, ...]:
        """Return what was said to refer."""
        return self.referring

    def insert(self, rows: Sequence[SeedRow]) -> None:
        """Add rows, all but those that are lost."""
        for row in rows:
            values = (row.values.get(name) for name in TYPES)
            cells = (NULL if value is None else str(value).encode() for value in values)
            made = b"|".join(cells)
            if not any(part in made for part in self.lost):
                self.now[row.table].append(made)
        self.on_insert()

    def delete(self, table: TableSchema, rows: Sequence[Located]) -> int:
        """Take rows out, all but those that are spared."""
        for one in rows:
            if not any(part in one.row for part in self.spared):
                self.now[table.name].pop(self._place_of(table, one.row))
        return FakeStores.delete(self, table, rows)

    def replace(self, table: TableSchema, rows: Sequence[Replacement]) -> int:
        """Put new cells into rows, all but those that are spared."""
        for one in rows:
            old = one.located.row
            if not any(part in old for part in self.spared):
                cells = old.split(b"|")
                for index, new in one.cells:
                    cells[index] = new
                self.now[table.name][self._place_of(table, old)] = b"|".join(cells)
        return FakeStores.replace(self, table, rows)

    def _place_of(self, table: TableSchema, row: bytes) -> int:
        if row not in self.now[table.name]:
            raise ConflictError("a located row was changed meanwhile")
        return self.now[table.name].index(row)
