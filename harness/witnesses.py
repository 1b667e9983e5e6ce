"""People known to be in the stores, on whom a read-only search proves that it sees.

A canary cannot be planted where nothing may be written. So one cell of each column that
bears identities is read in another way than the search reads, and the search must find
that cell's number again, in that column: a surface it is blind to is noticed, and so is a
broken matcher. Nothing of a witness outlives the process but two counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from harness.errors import StoreError, StoreUnreachableError
from harness.identity import Closure, Matcher, spelled
from harness.manifest import Manifest
from harness.model import EngineKind, TableSchema, TableState, Trace
from harness.stores import StoreSet
from harness.stores.mysql_changes import quoted as mysql_quoted
from harness.stores.postgres_quoting import quoted as postgres_quoted
from harness.stores.representation import representation
from harness.stores.sweep import Cells, Search, Sighting, TablePass, sweep_with

_SAMPLE_ROWS: Final = 200
_JID: Final = re.compile(rb"(?<![0-9])([1-9][0-9]{6,14})@(?:s\.whatsapp\.net|c\.us)")
_WHOLE: Final = re.compile(rb"\+?([1-9][0-9]{6,14})(?:[:@].*)?")
Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True, repr=False)
class Witnesses:
    """Whose number was read in which column; shows nobody."""

    known: dict[Place, str]

    @property
    def cells(self) -> int:
        """How many columns have a witness."""
        return len(self.known)

    @property
    def numbers(self) -> frozenset[str]:
        """The numbers, for redaction."""
        return frozenset(self.known.values())

    def __repr__(self) -> str:
        return f"Witnesses({self.cells})"


def find_witnesses(
    store_set: StoreSet, manifest: Manifest, but: Closure | None = None
) -> Witnesses:
    """Read somebody's number in each column that bears identities, where there is anybody.

    Args:
        store_set: Where to look.
        manifest: Which columns bear identities.
        but: Whose numbers are no witness: the subject's.
    """
    known: dict[Place, str] = {}
    numbers = set(but.numbers) if but else set()
    for table in store_set.tables():
        for column in _bearing(table, manifest):
            number = next(
                (one for one in _sampled(store_set, table, column) if one not in numbers), None
            )
            if number:
                known[table.store, table.label, column] = number
    return Witnesses(known)


def seen_witnesses(
    store_set: StoreSet, search: Search, witnesses: Witnesses
) -> tuple[Sighting, int]:
    """Sweep for the subject and, in the same pass over the same bytes, for the witnesses.

    Returns:
        What the sweep saw, and in how many columns it found the witness again.

    Raises:
        StoreUnreachableError: The server went away.
    """
    passes: list[_WatchedPass] = []

    def begin(table: TableSchema) -> _WatchedPass:
        place = (table.store, table.label)
        mine = {
            column: number
            for (*where, column), number in witnesses.known.items()
            if tuple(where) == place
        }
        passes.append(_WatchedPass(store_set, table, search, mine))
        return passes[-1]

    with store_set.snapshot():
        sighting = sweep_with(
            store_set, begin, lambda table, passing: store_set.scan(table, passing.consume)
        )
    return sighting, sum(len(one.found) for one in passes)


@dataclass(slots=True)
class _Watch:
    """The columns of one table in which a witness is still to be found."""

    matchers: dict[int, Matcher] = field(default_factory=dict)

    def look(self, cells: Cells, table: TableSchema) -> Iterator[str]:
        for index, matcher in list(self.matchers.items()):
            cell, column = cells[index], table.columns[index]
            if cell and matcher.candidate(cell) and matcher.hits(cell, representation(column)):
                del self.matchers[index]
                yield column.name


class _WatchedPass:
    """A pass for the subject that also looks out for witnesses, until it has seen them all."""

    def __init__(
        self, store_set: StoreSet, table: TableSchema, search: Search, known: dict[str, str]
    ) -> None:
        self._subject = TablePass(store_set, table, search)
        self._decode = store_set.decoder(table)
        self._table = table
        self._watch = _Watch(
            {
                index: Matcher((spelled(known[column.name]),))
                for index, column in enumerate(table.columns)
                if column.name in known
            }
        )
        self.found: set[str] = set()
        self.row_digests = self._subject.row_digests
        self.mentions = self._subject.mentions
        self.recognise = self._subject.recognise

    def consume(self, rows: Sequence[bytes]) -> None:
        self._subject.consume(rows)
        if not self._watch.matchers:
            return
        batch = b"".join(rows)
        if any(matcher.candidate(batch) for matcher in self._watch.matchers.values()):
            for row in rows:
                self.found.update(self._watch.look(self._decode(row), self._table))

    def state(self) -> TableState:
        return self._subject.state()

    def traces(self) -> list[Trace]:
        return self._subject.traces()


def _bearing(table: TableSchema, manifest: Manifest) -> Iterator[str]:
    description = manifest.table(table.store, table.label)
    roles = {one.name: one.kind.role for one in description.columns} if description else {}
    yield from (column.name for column in table.columns if roles.get(column.name, "none") != "none")


def _sampled(store_set: StoreSet, table: TableSchema, column: str) -> Iterator[str]:
    """Yield numbers that stand in the first cells of a column, read with a plain query."""
    sql = _SAMPLE[store_set.config.engine](table, column)
    try:
        rows = store_set.query(table.store, sql)
    except StoreUnreachableError:
        raise
    except StoreError:
        return  # the sweep will say that it cannot be read
    for (value,) in rows:
        cell = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
        if match := _WHOLE.fullmatch(cell) or _JID.search(cell):
            yield match[1].decode("ascii")


def _on_mysql(table: TableSchema, column: str) -> str:
    name = mysql_quoted(column)
    source = mysql_quoted(table.name)
    return f"SELECT {name} FROM {source} WHERE {name} IS NOT NULL LIMIT {_SAMPLE_ROWS}"  # noqa: S608  # quoted


def _on_postgres(table: TableSchema, column: str) -> str:
    name = postgres_quoted(column)
    source = f"{postgres_quoted(table.namespace)}.{postgres_quoted(table.name)}"
    return f"SELECT {name} FROM {source} WHERE {name} IS NOT NULL LIMIT {_SAMPLE_ROWS}"  # noqa: S608  # quoted


_SAMPLE: Final = {EngineKind.MYSQL: _on_mysql, EngineKind.POSTGRES: _on_postgres}
