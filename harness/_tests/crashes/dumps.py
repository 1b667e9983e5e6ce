"""What stands in the stores, by a plain client: every row of every table, as the server spells it.

Nothing here knows how the harness searches, erases or masks. A dump is compared with the one
before any erasure and with the one after an erasure that nobody disturbed; of masks, which
are random, only place and length are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol, cast

import psycopg2
import pymysql
from pymysql.converters import encoders, escape_string

from harness.config import RunConfig
from harness.model import EngineKind

Cell = bytes | None
Row = tuple[Cell, ...]
Place = tuple[str, str]
"""A store and a table."""
Dump = Mapping[Place, Counter[Row]]

BEFORE: Final = "before"
AFTER: Final = "after"
MIXED: Final = "mixed"


class Client(Protocol):
    """Reads and restores stores without any of the harness's own code."""

    def dump(self) -> Dump:
        """Return every row of every table."""
        ...

    def restore(self, dump: Dump) -> None:
        """Make all tables hold exactly these rows again."""
        ...

    def prepared(self) -> int:
        """Return how many of the harness's transactions stand prepared."""
        ...


def client(config: RunConfig, stores: Sequence[str]) -> Client:
    """Return the client for an engine; `stores` are logical names."""
    kind = _Postgres if config.engine is EngineKind.POSTGRES else _MySql
    return kind(config, tuple(stores))


@dataclass(frozen=True)
class _MySql:
    config: RunConfig
    stores: tuple[str, ...]

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        connection = pymysql.connect(
            host=self.config.hostname,
            port=self.config.port,
            user=self.config.username,
            password=self.config.password.reveal(),
            charset="utf8mb4",
            use_unicode=False,
            conv=cast("dict[Any, Any]", encoders),  # nothing is decoded
        )
        try:
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
        finally:
            connection.close()

    def dump(self) -> Dump:
        found = {}
        with self._cursor() as cursor:
            for store in self.stores:
                name = self.config.database(store)
                cursor.execute(f"SHOW TABLES FROM `{name}`")
                for (table,) in cursor.fetchall():
                    cursor.execute(f"SELECT * FROM `{name}`.`{table.decode()}`")
                    found[store, table.decode()] = Counter(map(tuple, cursor.fetchall()))
        return found

    def restore(self, dump: Dump) -> None:
        now = self.dump()
        with self._cursor() as cursor:
            cursor.execute("SET SESSION foreign_key_checks = 0, sql_mode = 'NO_AUTO_VALUE_ON_ZERO'")
            for (store, table), rows in dump.items():
                if rows == now[store, table]:
                    continue
                source = f"`{self.config.database(store)}`.`{table}`"
                cursor.execute(f"DELETE FROM {source}")
                lines = [
                    "(" + ", ".join(_mysql_literal(cell) for cell in row) + ")"
                    for row in rows.elements()
                ]
                for start in range(0, len(lines), 500):
                    some = ", ".join(lines[start : start + 500])
                    cursor.execute(f"INSERT INTO {source} VALUES {some}")

    def prepared(self) -> int:
        return 0


def _mysql_literal(cell: Cell) -> str:
    if cell is None:
        return "NULL"
    if not cell.isascii():
        return f"x'{cell.hex()}'"
    # A string in quotes, unlike a hexadecimal literal, is read as a number by numeric columns.
    return f"_binary'{escape_string(cell.decode('ascii'))}'"


@dataclass(frozen=True)
class _Postgres:
    config: RunConfig
    stores: tuple[str, ...]

    @contextmanager
    def _cursor(self, database: str) -> Iterator[Any]:
        connection = psycopg2.connect(
            host=self.config.hostname,
            port=self.config.port,
            user=self.config.username,
            password=self.config.password.reveal(),
            dbname=database,
        )
        try:
            with connection, connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def dump(self) -> Dump:
        found = {}
        for store in self.stores:
            with self._cursor(self.config.database(store)) as cursor:
                cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
                for (table,) in cursor.fetchall():
                    columns = self._columns(cursor, table)
                    spelled = ", ".join(f'"{name}"::text' for name in columns)
                    cursor.execute(f'SELECT {spelled} FROM "{table}"')
                    found[store, table] = Counter(
                        tuple(None if cell is None else cell.encode() for cell in row)
                        for row in cursor.fetchall()
                    )
        return found

    def _columns(self, cursor: Any, table: str) -> list[str]:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = %s ORDER BY ordinal_position",
            (table,),
        )
        return [name for (name,) in cursor.fetchall()]

    def restore(self, dump: Dump) -> None:
        now = self.dump()
        for store in self.stores:
            places = [place for place in dump if place[0] == store and dump[place] != now[place]]
            if not places:
                continue
            with self._cursor(self.config.database(store)) as cursor:
                cursor.execute("SET session_replication_role = replica")
                for place in places:
                    cursor.execute(f'DELETE FROM "{place[1]}"')
                    lines = [
                        cursor.mogrify(
                            "(" + ", ".join(["%s"] * len(row)) + ")",
                            [None if cell is None else cell.decode() for cell in row],
                        )
                        for row in dump[place].elements()
                    ]
                    if lines:
                        head = f'INSERT INTO "{place[1]}" VALUES '.encode()
                        cursor.execute(head + b", ".join(lines))

    def prepared(self) -> int:
        with self._cursor("postgres") as cursor:
            cursor.execute("SELECT count(*) FROM pg_prepared_xacts WHERE gid LIKE 'waba%'")
            return int(cursor.fetchone()[0])


@dataclass(frozen=True, slots=True)
class Seen:
    """What a dump shows: each store's state, that of all, and how many bystanders were hurt."""

    stores: Mapping[str, str]
    harmed_rows: int
    named_cells: int

    @property
    def state(self) -> str:
        """Whether all stores are before the erasure, or all after it; or neither."""
        states = set(self.stores.values())
        return states.pop() if len(states) == 1 else MIXED


@dataclass(frozen=True)
class Yardstick:
    """The stores before any erasure and after one that nobody disturbed, and the numbers."""

    before: Dump
    after: Dump
    numbers: frozenset[str]

    def see(self, dump: Dump) -> Seen:
        """Tell what became of every store, and of everybody else's rows."""
        if dump.keys() != self.before.keys():
            return Seen({"": MIXED}, 1, 0)
        states: dict[str, set[str]] = {}
        harmed = 0
        for place, rows in dump.items():
            table = self._tables[place]
            harmed += table.harmed(rows)
            if table.changes:
                states.setdefault(place[0], set()).add(table.state(rows))
            elif rows != self.before[place]:
                states.setdefault(place[0], set()).add(MIXED)
        named = sum(
            any(number in cell for number in self._spelled)
            for rows in dump.values()
            for row in rows
            for cell in row
            if cell
        )
        seen = Seen(
            {store: one.pop() if len(one) == 1 else MIXED for store, one in states.items()},
            harmed,
            named,
        )
        if seen.state == AFTER and named:
            return Seen({"": MIXED}, harmed, named)
        return seen

    @cached_property
    def _spelled(self) -> tuple[bytes, ...]:
        return tuple(number.encode() for number in self.numbers)

    @cached_property
    def _tables(self) -> dict[Place, _Table]:
        return {place: _Table.of(self.before[place], self.after[place]) for place in self.before}


@dataclass(frozen=True)
class _Table:
    """One table's rows that stay, and the shapes of those that are masked."""

    before: Counter[Row]
    kept: Counter[Row]
    shapes: tuple[tuple[Row, Row], ...]
    """Each masked row with the row it was."""

    @property
    def changes(self) -> bool:
        """Whether the erasure changes anything here."""
        return self.before != self.kept

    @classmethod
    def of(cls, before: Counter[Row], after: Counter[Row]) -> _Table:
        """Compare a table before the erasure with the same after it."""
        kept = before & after
        gone, made = list((before - after).elements()), (after - before).elements()
        shapes = []
        for row in made:
            old = max(gone, key=lambda one: sum(map(_same, one, row)))
            gone.remove(old)
            shapes.append((row, old))
        return cls(before, kept, tuple(shapes))

    def harmed(self, rows: Counter[Row]) -> int:
        """Return how many rows of others are gone or changed, and how many there are too many."""
        missing = (self.kept - rows).total()
        # Whatever is neither a row that was there nor one that is masked as it must be.
        strange = list((rows - self.before).elements())
        self._take_masked(strange)
        return missing + len(strange)

    def state(self, rows: Counter[Row]) -> str:
        """Tell whether the table is before the erasure, after it, or neither."""
        if rows == self.before:
            return BEFORE
        left = list((rows - self.kept).elements())
        whole = self._take_masked(left) == len(self.shapes)
        return AFTER if whole and not left and not self.kept - rows else MIXED

    def _take_masked(self, rows: list[Row]) -> int:
        """Take those rows away that are others' rows masked as they must be; return how many."""
        taken = 0
        for masked, old in self.shapes:
            for row in rows:
                if _is_masked_as(row, masked, old):
                    rows.remove(row)
                    taken += 1
                    break
        return taken


def _same(one: Cell, other: Cell) -> bool:
    return one == other


def _is_masked_as(row: Row, masked: Row, old: Row) -> bool:
    """Tell whether exactly the cells that were masked once are masked again, at their length."""
    return all(
        cell == was if like == was else cell != was and len(cell or b"") == len(like or b"")
        for cell, like, was in zip(row, masked, old, strict=True)
    )
