"""PostgreSQL: one connection per database of the set, rows read with COPY.

COPY TO sends one row per message, and libpq hands each to us whole, so a row is never parsed
unless it deserves a look. In its binary format text and bytes come as they are stored.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import psycopg2
import psycopg2.extensions
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from harness.config import RunConfig
from harness.errors import ConflictError, PlanError, StoreError, StoreUnreachableError
from harness.model import (
    STOPPED,
    Answer,
    ColumnSchema,
    Hazard,
    Located,
    Reference,
    Replacement,
    SeedRow,
    TableSchema,
)
from harness.stores import postgres_session
from harness.stores.bulk_text import buffers
from harness.stores.postgres_changes import update
from harness.stores.postgres_quoting import quoted
from harness.stores.postgres_rows import (
    LOCATOR_BYTES,
    Sink,
    decoder,
    is_as_stored,
    locator,
    sent,
)
from harness.stores.postgres_two_phase import TwoPhase, names_of
from harness.stores.protocol import (
    UNSPEAKABLE,
    Consumer,
    Decoder,
    StoreSet,
    committed_in_order,
    cut,
    fold,
    in_chunks,
    refused,
    unreachable,
)

_CONNECT_TIMEOUT_S: Final = 10
# Undefined table, column, function, schema, object, database: what they quote is its name.
_MISSING: Final = frozenset({"42P01", "42703", "42883", "3F000", "42704", "3D000"})
_OBJECT: Final = re.compile(r'"([^"]+)"|function ([^ (]+)\(')
_MAINTENANCE_DATABASE: Final = "postgres"

# Tables with rows of their own: ordinary, and materialized views, which keep copies.
# Partitioned parents hold none, and foreign tables show another server's.
_TABLES = """
    SELECT n.nspname, c.relname, a.attname,
           CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod)
                ELSE format_type(a.atttypid, a.atttypmod) END,
           c.relkind = 'm'
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    WHERE c.relkind IN ('r', 'm')
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%'
    ORDER BY n.nspname, c.relname, a.attnum"""

INTEGER_KEY = """
    SELECT a.attname
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
    WHERE n.nspname = %s AND c.relname = %s AND i.indisprimary AND i.indnatts = 1
      AND a.atttypid IN ('int4'::regtype, 'int8'::regtype)"""

_HAZARDS = """
    SELECT n.nspname, c.relname, 'a trigger fires on changes'
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT t.tgisinternal
    UNION ALL
    SELECT n.nspname, c.relname, 'a rule rewrites changes'
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND r.ev_type <> '1' AND c.oid >= 16384
    UNION ALL
    SELECT n.nspname, c.relname, 'a foreign key carries its changes on to other rows'
    FROM pg_constraint f JOIN pg_class c ON c.oid = f.confrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE f.contype = 'f' AND (f.confdeltype IN ('c', 'n', 'd') OR f.confupdtype IN ('c', 'n', 'd'))
    UNION ALL
    SELECT n.nspname, c.relname, 'a materialized view is only changed by refreshing it'
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm'"""

_REFERENCES = """
    SELECT cn.nspname, c.relname, pn.nspname, p.relname
    FROM pg_constraint f
    JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
    JOIN pg_class p ON p.oid = f.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
    WHERE f.contype = 'f'"""

# serialization_failure, deadlock_detected, lock_not_available.
_NO_PRIVILEGE: Final = "42501"
_CONFLICT: Final = frozenset({"40001", "40P01", "55P03"})
_LOCK_TIMEOUT_S: Final = 5
# A search may wait longer, and holds up nobody meanwhile; but no signal gets through to it.
_SEARCH_LOCK_TIMEOUT_S: Final = 30
_KEEPALIVES: Final[Mapping[str, Any]] = {
    "keepalives": 1,
    "keepalives_idle": 60,
    "keepalives_interval": 10,
    "keepalives_count": 6,
}


class PostgresStoreSet:
    """A store set on PostgreSQL; see `harness.stores.protocol.StoreSet`."""

    _prepared: Mapping[str, str] = MappingProxyType({})

    def __init__(self, config: RunConfig, stores: Sequence[str], *, quiet: bool = False) -> None:
        self.config = config
        self._quiet = quiet
        self._names = tuple(stores)
        self._databases: dict[str, str] | None = None
        self._in_transaction = False
        self._tables: tuple[TableSchema, ...] | None = None
        self._connections: dict[str, psycopg2.extensions.connection] = {}
        with self._wrapped("could not be reached or refused the credentials"):
            server = self._connection(_MAINTENANCE_DATABASE)
            self.version = str(server.get_parameter_status("server_version"))

    def databases(self) -> Mapping[str, str]:
        if self._databases is None:
            rows = self._rows(_MAINTENANCE_DATABASE, "SELECT datname FROM pg_database")
            self._databases = fold(self._names, (row[0] for row in rows), self.config.prefix)
        return self._databases

    def create(self, schemas: Mapping[str, str]) -> None:
        for store in schemas:
            database = quoted(self.config.database(store))
            self._run(_MAINTENANCE_DATABASE, f"CREATE DATABASE {database}")
        self._databases = None
        for store, sql in schemas.items():
            self.execute(store, sql)

    def drop(self) -> None:
        for database in self.databases().values():
            if connection := self._connections.pop(database, None):
                connection.close()
            self._run(_MAINTENANCE_DATABASE, f"DROP DATABASE {quoted(database)}")
        self._databases = None

    def tables(self) -> tuple[TableSchema, ...]:
        if self._tables is not None:
            return self._tables
        found = tuple(
            table
            for store, database in self.databases().items()
            for table in self._tables_of(store, database)
        )
        # One snapshot has one schema; outside of it, look anew each time.
        self._tables = found if self._in_transaction else None
        return found

    def _tables_of(self, store: str, database: str) -> Iterator[TableSchema]:
        found: dict[tuple[str, str, bool], list[ColumnSchema]] = defaultdict(list)
        for namespace, table, name, type_name, is_view in self._rows(database, _TABLES):
            found[namespace, table, is_view].append(ColumnSchema(name, type_name))
        for (namespace, table, is_view), columns in found.items():
            yield TableSchema(store, table, tuple(columns), namespace=namespace, is_view=is_view)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        if self._in_transaction:
            yield
            return
        databases = tuple(self.databases().values())
        for database in databases:
            self._run(database, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self._run(database, f"SET LOCAL lock_timeout = '{_SEARCH_LOCK_TIMEOUT_S}s'")
        try:
            yield
        except BaseException:
            self.close()
            raise
        for database in databases:
            self._run(database, "COMMIT")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        for database in self.databases().values():
            self._run(database, "BEGIN ISOLATION LEVEL REPEATABLE READ")
            self._run(database, f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_S}s'")
        self._in_transaction = True
        try:
            yield
        finally:
            self._tables = None
            if self._in_transaction:
                # Closing a connection rolls back, also one that is in the middle of a COPY.
                self._in_transaction = False
                self.close()
                names, self._prepared = self._prepared, {}
                self.settle(list(names.values()), commit=False)

    def commit_order(self) -> tuple[str, ...]:
        return committed_in_order(self.databases())

    def is_atomic(self) -> bool:
        stores = len(self.databases())
        return stores <= 1 or self._two_phase().has_room(stores)

    def commit_names(self, token: str) -> tuple[str, ...]:
        names = names_of(token, self.commit_order())
        return tuple(names.values()) if len(names) > 1 and self.is_atomic() else ()

    def prepare(self, token: str) -> None:
        if not self.is_atomic():
            raise PlanError(
                "PostgreSQL has no room to prepare a transaction in every database: set "
                f"max_prepared_transactions to {len(self.databases())} or more than are in use."
            )
        if self.commit_names(token):
            names = names_of(token, self.commit_order())
            self._two_phase().prepare(self.databases(), names)
            self._prepared = names

    def commit(self, committed: Callable[[str], object] | None = None) -> None:
        note = committed or str
        if self._prepared:
            # From here on it is decided: what cannot be committed now is committed later.
            names, self._prepared = self._prepared, {}
            self._in_transaction = False
            self._two_phase().finish(self.databases(), names, note)
        else:
            self._commit_each(note)
            self._in_transaction = False

    def _commit_each(self, note: Callable[[str], object]) -> None:
        committed: list[str] = []
        order = self.commit_order()
        try:
            for store in order:
                self._run(self.databases()[store], "COMMIT")
                committed.append(store)
                note(store)
        except StoreError as error:
            if not committed:
                raise
            raise PlanError(
                f"Committed in {', '.join(committed)} and not in {order[len(committed)]} and "
                f"after ({error}): erase again, what is gone stays gone."
            ) from None

    def prepared(self, names: Sequence[str]) -> tuple[str, ...]:
        standing = self._two_phase().standing(names)
        return tuple(name for name in names if name in standing)

    def settle(self, names: Sequence[str], *, commit: bool) -> int:
        return self._two_phase().settle(names, commit=commit)

    def _two_phase(self) -> TwoPhase:
        return TwoPhase(self._run, self._rows, self._renew, _MAINTENANCE_DATABASE)

    def _renew(self, database: str) -> None:
        """Close a session, which rolls back what it has open; the next one is a new one."""
        if connection := self._connections.pop(database, None):
            connection.close()

    def hazards(self) -> tuple[Hazard, ...]:
        return tuple(
            Hazard(store, _label(namespace, table), str(why))
            for store, database in self.databases().items()
            for namespace, table, why in self._rows(database, _HAZARDS)
        )

    def references(self) -> tuple[Reference, ...]:
        return tuple(
            Reference(store, _label(child_schema, child), _label(parent_schema, parent))
            for store, database in self.databases().items()
            for child_schema, child, parent_schema, parent in self._rows(database, _REFERENCES)
        )

    def delete(self, table: TableSchema, rows: Sequence[Located]) -> int:
        source = f"{quoted(table.namespace)}.{quoted(table.name)}"
        sql = f"DELETE FROM ONLY {source} WHERE ctid = ANY (%s::tid[])"
        return sum(
            self.execute(table.store, sql, ([row.locator.decode("ascii") for row in chunk],))
            for chunk in in_chunks(rows)
        )

    def replace(self, table: TableSchema, rows: Sequence[Replacement]) -> int:
        return sum(self.execute(table.store, *update(table, chunk)) for chunk in in_chunks(rows))

    def split(self, row: bytes) -> tuple[bytes, bytes]:
        return locator(row), row[LOCATOR_BYTES:]

    def bare(self, rows: Sequence[bytes]) -> Sequence[bytes]:
        return [row[LOCATOR_BYTES:] for row in rows]

    def parts(self, table: TableSchema, most: int) -> tuple[str, ...]:
        database = self.databases()[table.store]
        keys = self._rows(database, INTEGER_KEY, (table.namespace, table.name)) if most > 1 else []
        if not keys:
            return ("",)
        key, source = quoted(keys[0][0]), f"{quoted(table.namespace)}.{quoted(table.name)}"
        ((lowest, highest),) = self._rows(
            database, f"SELECT min({key}), max({key}) FROM ONLY {source}"
        )
        return cut(key, lowest, highest, most)

    @contextmanager
    def beside(self, store: str) -> Iterator[StoreSet]:
        database = self.databases()[store]
        ((snapshot,),) = self._rows(database, "SELECT pg_export_snapshot()")
        other = PostgresStoreSet(self.config, (store,), quiet=self._quiet)
        try:
            other._run(database, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            other._run(database, f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            other._run(database, f"SET LOCAL lock_timeout = '{_SEARCH_LOCK_TIMEOUT_S}s'")
            yield other
        finally:
            other.close()

    def scan(
        self, table: TableSchema, consume: Consumer, *, located: bool = False, part: str = ""
    ) -> int:
        columns = ", ".join(["ctid"] * located + [sent(column) for column in table.columns])
        source = f"{quoted(table.namespace)}.{quoted(table.name)}"
        where = f" WHERE {part}" if part else ""
        # ONLY: a child table's rows are read with the child.
        what = f"(SELECT {columns} FROM ONLY {source}{where})"
        as_stored = not table.is_view and all(map(is_as_stored, table.columns))
        if as_stored and not located and not part:
            # The same without a query, which the server does faster.
            what = f"{source} ({columns})"
        sink = Sink(consume, located=located)
        database = self.databases()[table.store]
        with (
            self._sheltered(database),
            self._wrapped(),
            self._connection(database).cursor() as cursor,
        ):
            cursor.copy_expert(f"COPY {what} TO STDOUT (FORMAT binary)", sink)
        sink.flush()
        return sink.size_bytes

    def statement_logs(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for database in self.databases().values():
            names = list(postgres_session.OF_LOGS)
            settings = dict(self._rows(database, postgres_session.SETTINGS, (names,)))
            found |= dict.fromkeys(postgres_session.logs(settings))
        return tuple(found)

    @contextmanager
    def _sheltered(self, database: str) -> Iterator[None]:
        """Keep a transaction usable when one table of it cannot be read."""
        inside = self._connection(database).info.transaction_status != TRANSACTION_STATUS_IDLE
        if inside:
            self._run(database, "SAVEPOINT table_scan")
        try:
            yield
        except StoreUnreachableError:
            raise
        except StoreError:
            if inside:
                self._run(database, "ROLLBACK TO SAVEPOINT table_scan")
            raise
        if inside:
            self._run(database, "RELEASE SAVEPOINT table_scan")

    def decoder(self, table: TableSchema) -> Decoder:
        return decoder(table.columns)

    def insert(self, rows: Iterable[SeedRow]) -> None:
        batches: dict[str, dict[tuple[str, tuple[str, ...]], list[tuple[object, ...]]]]
        batches = defaultdict(lambda: defaultdict(list))
        for row in rows:
            key = (row.table, tuple(row.values))
            batches[row.store][key].append(tuple(row.values.values()))
        for store, tables in batches.items():
            connection = self._connection(self.databases()[store])
            atomically = nullcontext() if self._in_transaction else connection
            with self._wrapped(), atomically, connection.cursor() as cursor:
                for (table, columns), values in tables.items():
                    names = ", ".join(map(quoted, columns))
                    marks = "(" + ", ".join(["%s"] * len(columns)) + ")"
                    lines = b", ".join(cursor.mogrify(marks, row) for row in values)
                    head = f"INSERT INTO {quoted(table)} ({names}) VALUES "
                    cursor.execute(head.encode() + lines)

    def load(
        self, store: str, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
    ) -> int:
        names = ", ".join(map(quoted, columns))
        spring = _Spring(rows)
        connection = self._connection(self.databases()[store])
        try:
            with self._wrapped(), connection.cursor() as cursor:
                # A statement of its own is a transaction of its own.
                cursor.copy_expert(f"COPY {quoted(table)} ({names}) FROM STDIN", spring)
        except StoreError:
            if spring.failure:
                raise spring.failure from None
            raise
        return spring.sent_rows

    def clear(self) -> None:
        for table in self.tables():
            self.execute(table.store, f"DELETE FROM {quoted(table.namespace)}.{quoted(table.name)}")

    def execute(self, store: str, sql: str, values: Sequence[object] = ()) -> int:
        return self._run(self.databases()[store], sql, values)

    def call(
        self, store: str, sql: str, values: Sequence[object] = (), *, limit_s: float
    ) -> Answer:
        database = self.databases()[store]
        del self._connection(database).notices[:]
        with (
            self._stopped_after(limit_s, database),
            self._wrapped(),
            self._connection(database).cursor() as cursor,
        ):
            cursor.execute(sql, tuple(values) or None)
            rows = cursor.fetchall() if cursor.description else []
            said = [str(cell).encode() for row in rows for cell in row]
            affected_rows = max(cursor.rowcount, 0)
        said += [notice.encode() for notice in self._connection(database).notices]
        return Answer(affected_rows, tuple(said))

    @contextmanager
    def _stopped_after(self, limit_s: float, database: str) -> Iterator[None]:
        """End what a connection runs when time is over.

        The connection ends with it, since a function may catch whatever cancels a statement,
        and is replaced by a new one.
        """
        running = self._connection(database).info.backend_pid
        over = threading.Event()

        def stop() -> None:
            over.set()
            other = PostgresStoreSet(self.config, (), quiet=self._quiet)
            with suppress(StoreError):
                other._rows(_MAINTENANCE_DATABASE, f"SELECT pg_terminate_backend({running})")
            other.close()

        clock = threading.Timer(limit_s, stop)
        clock.daemon = True
        clock.start()
        try:
            yield
        except StoreError:
            if not over.is_set():
                raise
            self._connections.pop(database).close()
            message = f"PostgreSQL had not ended a call after {limit_s:.0f} s, and was stopped."
            raise StoreError(message, code=STOPPED) from None
        finally:
            clock.cancel()

    def query(self, store: str, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._rows(self.databases()[store], sql, values)

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _connection(self, database: str) -> psycopg2.extensions.connection:
        if database not in self._connections:
            connection: psycopg2.extensions.connection = psycopg2.connect(
                host=self.config.hostname,
                port=self.config.port,
                user=self.config.username,
                password=self.config.password.reveal(),
                dbname=database,
                connect_timeout=_CONNECT_TIMEOUT_S,
                options=postgres_session.OPTIONS,
                **_KEEPALIVES,
                **_tls_options(self.config),
            )
            connection.autocommit = True
            postgres_session.begin(connection, quiet=self._quiet)
            self._connections[database] = connection
        return self._connections[database]

    def _run(self, database: str, sql: str, values: Sequence[object] = ()) -> int:
        with self._wrapped(), self._connection(database).cursor() as cursor:
            cursor.execute(sql, tuple(values) or None)
            return max(cursor.rowcount, 0)

    def _rows(
        self, database: str, sql: str, values: Sequence[object] = ()
    ) -> list[tuple[Any, ...]]:
        with self._wrapped(), self._connection(database).cursor() as cursor:
            cursor.execute(sql, tuple(values) or None)
            return list(cursor.fetchall())

    @contextmanager
    def _wrapped(self, lost: str = "stopped answering") -> Iterator[None]:
        """Turn the driver's errors, which quote row values, into ours, which do not."""
        try:
            yield
        except psycopg2.Error as error:
            code = error.pgcode
            gone = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
            if (gone and code is None) or (code or "").startswith(("08", "28", "57P", "53300")):
                raise StoreUnreachableError(unreachable(self.config, lost)) from None
            if code in _CONFLICT:
                raise ConflictError(
                    f"PostgreSQL gave way to another transaction (SQLSTATE {code})."
                ) from None
            raise StoreError(
                refused(self.config, f"SQLSTATE {code}", privilege=code == _NO_PRIVILEGE),
                code=code or "",
                lacks=_lacking(error),
                said=partial(_said, error),
            ) from None


def _said(error: psycopg2.Error) -> str:
    """Return what an error says, without the statement that PostgreSQL shows for context."""
    said = (error.diag.message_primary, error.diag.message_detail, error.diag.message_hint)
    return "\n".join(part for part in said if part)


def _lacking(error: psycopg2.Error) -> str:
    """Return the object whose absence an error is about; nobody's data is among these."""
    match = _OBJECT.search(error.diag.message_primary or "")
    found = match[1] or match[2] if match and error.pgcode in _MISSING else ""
    return UNSPEAKABLE.sub("#", found)


def _label(namespace: str, table: str) -> str:
    return TableSchema("", table, (), namespace=namespace).label


def _tls_options(config: RunConfig) -> dict[str, Any]:
    if config.tls is None:
        return {}
    options: dict[str, Any] = {"sslmode": "verify-ca" if config.tls.verify else "require"}
    for name, path in (
        ("sslrootcert", config.tls.ca),
        ("sslcert", config.tls.cert),
        ("sslkey", config.tls.key),
    ):
        if path:
            options[name] = str(path)
    return options


class _Spring:
    """The file that COPY reads from: a whole buffer each time, whatever size is asked for."""

    def __init__(self, rows: Iterable[Sequence[object]]) -> None:
        self._buffers = buffers(rows, r"\\x")
        self.sent_rows = 0
        self.failure: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        del size
        try:
            buffer, count = next(self._buffers, (b"", 0))
        except BaseException as error:
            # psycopg2 would make a text of it and cancel the COPY, as it must be.
            self.failure = error
            raise
        self.sent_rows += count
        return buffer

    def readline(self, size: int = -1, /) -> bytes:
        """Do what psycopg2's types ask for, and psycopg2 itself never does."""
        return self.read(size)
