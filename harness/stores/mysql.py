"""MySQL: one connection for all databases of the set, rows read as packets.

PyMySQL turns each row into Python objects at about 5 µs a row; the packet below it is
already the encoding that sweep and fingerprint want, so rows are taken from the socket
before PyMySQL sees them (PyMySQL is pinned, and the decoder is tested against its cursor).
"""

from __future__ import annotations

import io
import re
import ssl
import struct
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple
from functools import partial
from typing import Any, BinaryIO, Final

import pymysql
from pymysql.constants import CLIENT, COMMAND

from harness.config import RunConfig, TlsSettings
from harness.errors import ConflictError, StoreError, StoreUnreachableError
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
from harness.stores import mysql_session
from harness.stores.mysql_cascades import cascades
from harness.stores.mysql_changes import HAZARDS, REFERENCES, Statements, quoted, selected
from harness.stores.mysql_load import LOCAL_IS_OFF, insert_many, load_local
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
# CR_SERVER_GONE_ERROR and kin, ER_ACCESS_DENIED, ER_CON_COUNT, ER_SERVER_SHUTDOWN,
# and 0, which PyMySQL reports for a connection it has closed itself.
_UNREACHABLE: Final = frozenset({0, 1040, 1044, 1045, 1053, 2002, 2003, 2006, 2013, 2014, 2055})
# ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK.
_LOST: Final = "stopped answering"
# ER_DBACCESS_DENIED_ERROR.
_NO_DATABASE: Final = 1044
_NO_PRIVILEGE: Final = frozenset({1044, 1142, 1143, 1227})
_CONFLICT: Final = frozenset({1205, 1213})
# ER_BAD_DB_ERROR, ER_BAD_FIELD_ERROR, ER_UNKNOWN_TABLE, ER_NO_SUCH_TABLE, ER_SP_DOES_NOT_EXIST,
# ER_NO_SUCH_USER: what they quote is the object's name, or begins with its kind.
_MISSING: Final = frozenset({1049, 1054, 1109, 1146, 1305, 1449})
_OBJECT: Final = re.compile(
    r"(?:Table|Unknown column|Unknown database|Unknown table|PROCEDURE|FUNCTION"
    r"|The user specified as a definer) \(?'?([^' ]+)"
)
_LOCK_TIMEOUT_S: Final = 5
_PACKET_CHARACTERS: Final = 256 * 1024
_MAX_PACKET: Final = 0xFFFFFF
_HEADER_BYTES: Final = 4
_READ_BYTES: Final = 64 * 1024
_header: Final = struct.Struct("<I").unpack_from
# A row may begin with the same byte as the end of rows, but is longer than that packet.
_LONGEST_END: Final = 8
_END_OF_ROWS, _ERROR, _NULL = 0xFE, 0xFF, 0xFB

INTEGER: Final = re.compile(r"(big|medium)?int\b")

# Separate queries, since 5.6 opens every table once more for a join.
_TABLES = """
    SELECT table_name FROM information_schema.tables
    WHERE table_schema = %s AND table_type = 'BASE TABLE' ORDER BY table_name"""
_COLUMNS = """
    SELECT table_name, column_name, column_type, coalesce(collation_name, '')
    FROM information_schema.columns
    WHERE table_schema = %s ORDER BY table_name, ordinal_position"""
# The primary key sorts first; a unique index serves if none of its columns may be NULL.
_KEYS = """
    SELECT table_name, index_name, group_concat(column_name ORDER BY seq_in_index SEPARATOR '\\0')
    FROM information_schema.statistics
    WHERE table_schema = %s AND non_unique = 0
    GROUP BY table_name, index_name
    HAVING sum(nullable = 'YES') = 0 AND sum(sub_part IS NOT NULL) = 0
    ORDER BY table_name, index_name <> 'PRIMARY', index_name"""


class MySqlStoreSet:
    """A store set on MySQL or MariaDB; see `harness.stores.protocol.StoreSet`."""

    def __init__(
        self,
        config: RunConfig,
        stores: Sequence[str],
        *,
        one_at_a_time: bool = False,
        quiet: bool = False,
    ) -> None:
        self.config = config
        self._quiet = quiet
        self._flags = CLIENT.LOCAL_FILES | (0 if one_at_a_time else CLIENT.MULTI_STATEMENTS)
        self._names = tuple(stores)
        self._databases: dict[str, str] | None = None
        self._streaming = False
        self._in_transaction = False
        self._tables: tuple[TableSchema, ...] | None = None
        with self._wrapped("could not be reached or refused the credentials"):
            self._connection = self._connect()
            self.version = str(self._rows("SELECT version()")[0][0])

    def _connect(self) -> pymysql.Connection[Any]:
        config = self.config
        connection = pymysql.connect(
            host=config.hostname,
            port=config.port,
            user=config.username,
            password=config.password.reveal().encode(),
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=_CONNECT_TIMEOUT_S,
            ssl=_tls_context(config.tls),
            client_flag=self._flags,
        )
        mysql_session.begin(connection, quiet=self._quiet)
        return connection

    def databases(self) -> Mapping[str, str]:
        if self._databases is None:
            present = [str(row[0]) for row in self._rows("SHOW DATABASES")]
            self._databases = fold(self._names, present, self.config.prefix)
        return self._databases

    def create(self, schemas: Mapping[str, str]) -> None:
        for store, sql in schemas.items():
            database = quoted(self.config.database(store))
            self._run(f"CREATE DATABASE {database} CHARACTER SET utf8mb4")
            self._run(f"USE {database}")
            for statement in filter(str.strip, sql.split(";\n")):
                self._run(statement)
        self._databases = None

    def drop(self) -> None:
        for database in self.databases().values():
            self._run(f"DROP DATABASE {quoted(database)}")
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
        columns: dict[str, list[ColumnSchema]] = defaultdict(list)
        for table, *column in self._rows(_COLUMNS, (database,)):
            columns[str(table)].append(ColumnSchema(*map(str, column)))
        keys: dict[str, tuple[str, tuple[str, ...]]] = {}
        for table, index, names in self._rows(_KEYS, (database,)):
            keys.setdefault(str(table), (str(index), tuple(str(names).split("\0"))))
        for (table,) in self._rows(_TABLES, (database,)):
            name = str(table)
            index, key = keys.get(name, ("", ()))
            yield TableSchema(store, name, tuple(columns[name]), key, key_index=index)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        if self._in_transaction:
            yield
            return
        self._run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self._run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        try:
            yield
        except BaseException:
            self._abandon()
            raise
        self._run("COMMIT")

    def _abandon(self) -> None:
        """End the transaction; a connection with rows half read is replaced by a new one."""
        with suppress(pymysql.err.Error, OSError):
            if not self._streaming:
                self._connection.rollback()
                return
            self.close()
            self._streaming = False
            self._connection = self._connect()

    def _source(self, table: TableSchema) -> str:
        return f"{quoted(self.databases()[table.store])}.{quoted(table.name)}"

    def parts(self, table: TableSchema, most: int) -> tuple[str, ...]:
        types = {column.name: column.type_name for column in table.columns}
        if most < 2 or len(table.key) != 1 or not INTEGER.match(types[table.key[0]]):  # noqa: PLR2004
            return ("",)
        key = quoted(table.key[0])
        ((lowest, highest),) = self._rows(
            f"SELECT min({key}), max({key}) FROM {self._source(table)}"
        )
        return cut(key, lowest, highest, most)

    @contextmanager
    def beside(self, store: str) -> Iterator[StoreSet]:
        del store  # one connection reaches them all
        other = MySqlStoreSet(self.config, self._names, quiet=self._quiet)
        try:
            with other.snapshot():
                yield other
        finally:
            other.close()

    def scan(
        self, table: TableSchema, consume: Consumer, *, located: bool = False, part: str = ""
    ) -> int:
        del located  # a row's key is in the row itself
        columns = ", ".join(selected(column) for column in table.columns)
        where = f" WHERE {part}" if part else ""
        return self._read(f"SELECT {columns} FROM {self._source(table)}{where}", consume)

    def split(self, row: bytes) -> tuple[bytes, bytes]:
        return b"", row

    def bare(self, rows: Sequence[bytes]) -> Sequence[bytes]:
        return rows

    def statement_logs(self) -> tuple[str, ...]:
        return mysql_session.logs(self._rows)

    def _read(self, sql: str, consume: Consumer) -> int:
        self._streaming = True
        with self._wrapped():
            try:
                size_bytes = _stream(self._connection, sql, consume)
            except pymysql.err.MySQLError:
                # The server's own error ends the rows; the connection can go on.
                self._streaming = False
                raise
        self._streaming = False
        return size_bytes

    def decoder(self, table: TableSchema) -> Decoder:
        del table  # the encoding is the same for all
        return decode

    def insert(self, rows: Iterable[SeedRow]) -> None:
        batches: dict[tuple[str, str, tuple[str, ...]], list[tuple[object, ...]]] = defaultdict(
            list
        )
        for row in rows:
            batches[row.store, row.table, tuple(row.values)].append(tuple(row.values.values()))
        with self._atomically(), self._wrapped(), self._connection.cursor() as cursor:
            for (store, table, columns), values in batches.items():
                names = ", ".join(map(quoted, columns))
                marks = ", ".join(["%s"] * len(columns))
                into = f"{quoted(self.databases()[store])}.{quoted(table)}"
                cursor.executemany(f"INSERT INTO {into} ({names}) VALUES ({marks})", values)

    def load(
        self, store: str, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
    ) -> int:
        found = self._tables_of(store, self.databases()[store])
        schema = next((one for one in found if one.name == table), None)
        if schema is None:
            raise StoreError(f"{store} has no table {table} to load.")
        source = self._source(schema)
        with self._atomically(), self._wrapped():
            try:
                return load_local(self._connection, source, schema, columns, rows)
            except pymysql.err.Error as error:
                if error.args[0] not in LOCAL_IS_OFF:
                    raise
            with self._connection.cursor() as cursor:
                return insert_many(cursor, source, columns, rows)

    def clear(self) -> None:
        with self._atomically():
            for table in self.tables():
                self._run(f"DELETE FROM {self._source(table)}")

    @contextmanager
    def _atomically(self) -> Iterator[None]:
        if self._in_transaction:
            yield
            return
        with self.transaction():
            yield
            self.commit()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._run(f"SET SESSION innodb_lock_wait_timeout = {_LOCK_TIMEOUT_S}")
        self._run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self._run("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        self._in_transaction = True
        try:
            yield
        finally:
            self._tables = None
            if self._in_transaction:
                self._in_transaction = False
                self._abandon()

    def commit_order(self) -> tuple[str, ...]:
        return committed_in_order(self.databases())

    def is_atomic(self) -> bool:
        return True

    def commit_names(self, token: str) -> tuple[str, ...]:
        del token  # one commit reaches every database
        return ()

    def prepare(self, token: str) -> None:
        del token  # one commit reaches every database

    def commit(self, committed: Callable[[str], object] | None = None) -> None:
        self._run("COMMIT")
        self._in_transaction = False
        for store in self.commit_order():
            (committed or str)(store)

    def prepared(self, names: Sequence[str]) -> tuple[str, ...]:
        del names  # nothing is ever prepared
        return ()

    def settle(self, names: Sequence[str], *, commit: bool) -> int:
        del names, commit  # nothing is ever prepared
        return 0

    def hazards(self) -> tuple[Hazard, ...]:
        found = [
            Hazard(store, str(table), str(why))
            for store, database in self.databases().items()
            for table, why in self._rows(HAZARDS, (database,) * 3)
        ]
        hidden = set(cascades(self._rows, self.databases())).difference(found)
        return (*found, *sorted(hidden, key=astuple))

    def references(self) -> tuple[Reference, ...]:
        return tuple(
            Reference(store, str(child), str(parent))
            for store, database in self.databases().items()
            for child, parent in self._rows(REFERENCES, (database,))
        )

    def delete(self, table: TableSchema, rows: Sequence[Located]) -> int:
        statements = Statements(self._source(table), table, self._connection.escape)
        affected_rows = 0
        for chunk in in_chunks(rows):
            counts = Counter(located.row for located in chunk)
            conditions = self._lock(statements, counts)
            affected_rows += self._run_all(
                statements.delete(conditions[row], count) for row, count in counts.items()
            )
        return affected_rows

    def replace(self, table: TableSchema, rows: Sequence[Replacement]) -> int:
        statements = Statements(self._source(table), table, self._connection.escape)
        affected_rows = 0
        for chunk in in_chunks(rows):
            counts = Counter(replacement.located.row for replacement in chunk)
            new = {replacement.located.row: replacement.cells for replacement in chunk}
            conditions = self._lock(statements, counts)
            affected_rows += self._run_all(
                statements.replace(conditions[row], count, new[row])
                for row, count in counts.items()
            )
        return affected_rows

    def _lock(self, statements: Statements, counts: Counter[bytes]) -> dict[bytes, str]:
        """Lock located rows, see that they are as located, and return each one's condition."""
        conditions = {row: statements.where(decode(row)) for row in counts}
        now: Counter[bytes] = Counter()
        self._read(statements.lock(list(conditions.values())), now.update)
        if now != counts:
            raise ConflictError("Located rows were changed or removed by somebody else meanwhile.")
        return conditions

    def _run_all(self, statements: Iterable[str]) -> int:
        """Run statements in as few packets as they fit; return the rows affected in all."""
        affected_rows = 0
        with self._wrapped(), self._connection.cursor() as cursor:
            for packet in _packets(statements):
                cursor.execute(packet)
                affected_rows += cursor.rowcount
                while cursor.nextset():
                    affected_rows += cursor.rowcount
        return affected_rows

    def execute(self, store: str, sql: str, values: Sequence[object] = ()) -> int:
        self._run(f"USE {quoted(self.databases()[store])}")
        return self._run(sql, values)

    def call(
        self, store: str, sql: str, values: Sequence[object] = (), *, limit_s: float
    ) -> Answer:
        self._run(f"USE {quoted(self.databases()[store])}")
        said: list[bytes] = []
        with self._wrapped(), self._stopped_after(limit_s), self._connection.cursor() as cursor:
            affected_rows = int(cursor.execute(sql, tuple(values) or None))
            more = True
            while more:
                said += [_said(cell) for row in cursor.fetchall() for cell in row]
                more = bool(cursor.nextset())
            cursor.execute("SHOW WARNINGS")
            said += [_said(row[2]) for row in cursor.fetchall()]
        return Answer(affected_rows, tuple(said))

    @contextmanager
    def _stopped_after(self, limit_s: float) -> Iterator[None]:
        """End what this connection runs when time is over: 5.6 has no time limit of its own.

        The connection ends with it, since a routine may catch whatever ends a statement only,
        and is replaced by a new one.
        """
        ((running,),) = self._rows("SELECT connection_id()")
        over = threading.Event()

        def stop() -> None:
            over.set()
            with suppress(pymysql.err.Error, OSError), self._connect() as other:
                other.query(f"KILL CONNECTION {running}")

        clock = threading.Timer(limit_s, stop)
        clock.daemon = True
        clock.start()
        try:
            yield
        except (pymysql.err.Error, OSError):
            if not over.is_set():
                raise
            self._connection = self._connect()
            message = f"MySQL had not ended a call after {limit_s:.0f} s, and was stopped."
            raise StoreError(message, code=STOPPED) from None
        finally:
            clock.cancel()

    def query(self, store: str, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        self._run(f"USE {quoted(self.databases()[store])}")
        return self._rows(sql, values)

    def close(self) -> None:
        if self._connection.open:
            self._connection.close()

    def _run(self, sql: str, values: Sequence[object] = ()) -> int:
        with self._wrapped(), self._connection.cursor() as cursor:
            return int(cursor.execute(sql, tuple(values) or None))

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._wrapped(), self._connection.cursor() as cursor:
            cursor.execute(sql, tuple(values) or None)
            return list(cursor.fetchall())

    @contextmanager
    def _wrapped(self, lost: str = _LOST) -> Iterator[None]:
        """Turn the driver's errors, which quote row values, into ours, which do not."""
        try:
            yield
        except (pymysql.err.Error, OSError) as error:
            code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            # To a session that is open it says that a right is missing, not that it is lost.
            inside = code == _NO_DATABASE and lost == _LOST
            if (code in _UNREACHABLE and not inside) or isinstance(error, OSError):
                raise StoreUnreachableError(unreachable(self.config, lost)) from None
            if code in _CONFLICT:
                raise ConflictError(
                    f"MySQL gave way to another transaction (error {code})."
                ) from None
            raise StoreError(
                refused(self.config, f"error {code}", privilege=code in _NO_PRIVILEGE),
                code=str(code),
                lacks=_lacking(code, error),
                said=partial(str, error),
            ) from None


def _lacking(code: int, error: Exception) -> str:
    """Return the object whose absence an error is about; nobody's data is among these."""
    match = _OBJECT.match(str(error.args[-1])) if code in _MISSING else None
    return UNSPEAKABLE.sub("#", match[1]) if match else ""


def _said(cell: object) -> bytes:
    return cell if isinstance(cell, bytes) else str(cell).encode()


def _packets(statements: Iterable[str]) -> Iterator[str]:
    """Join statements to packets well under the server's max_allowed_packet."""
    packet: list[str] = []
    size_bytes = 0
    for statement in statements:
        if packet and size_bytes + len(statement) > _PACKET_CHARACTERS:
            yield ";".join(packet)
            packet, size_bytes = [], 0
        packet.append(statement)
        size_bytes += len(statement)
    if packet:
        yield ";".join(packet)


def _tls_context(tls: TlsSettings | None) -> ssl.SSLContext | None:
    if tls is None:
        return None
    context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
    # The client's db.env knows one switch for verification; host names are part of it only
    # where the certificate carries them, which the server's own self-made ones do not.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if tls.verify else ssl.CERT_NONE
    if tls.cert and tls.key:
        context.load_cert_chain(str(tls.cert), str(tls.key))
    return context


def _stream(connection: Any, sql: str, consume: Consumer) -> int:
    """Run a query and hand the row packets' payloads to `consume`; return bytes read.

    Source: MySQL client/server protocol, text result set without CLIENT_DEPRECATE_EOF,
    which PyMySQL does not negotiate.
    """
    connection._execute_command(COMMAND.COM_QUERY, sql)
    for _ in range(connection._read_packet().read_length_encoded_integer()):
        connection._read_packet()
    connection._read_packet()
    size_bytes = 0
    for rows in _batches(connection._rfile):
        size_bytes += sum(map(len, rows))
        consume(rows)
    return size_bytes


def _batches(stream: io.BufferedReader) -> Iterator[list[bytes]]:
    """Yield rows, as many at a time as arrived together, until the packet that ends them."""
    rest = b""
    while True:
        if not (arrived := stream.read1(_READ_BYTES)):
            raise pymysql.err.OperationalError(2013, "connection lost between rows")
        buffer = rest + arrived
        rows, taken, ended = _cut(buffer)
        yield rows
        if ended:
            return
        rest = buffer[taken:]
        if len(rest) >= _HEADER_BYTES and int.from_bytes(rest[:3], "little") > _READ_BYTES:
            large = _read_payload(stream, rest)
            rest = b""
            yield [large]


def _cut(buffer: bytes) -> tuple[list[bytes], int, bool]:
    """Cut whole packets off a buffer; return rows, the bytes they took, and if that was all."""
    rows: list[bytes] = []
    position, end = 0, len(buffer)
    while position + _HEADER_BYTES <= end:
        length = _header(buffer, position)[0] & _MAX_PACKET
        start, stop = position + _HEADER_BYTES, position + _HEADER_BYTES + length
        if stop > end:
            break
        row = buffer[start:stop]
        if row[0] >= _END_OF_ROWS:
            if row[0] == _ERROR:
                pymysql.err.raise_mysql_exception(row)
            if length <= _LONGEST_END:
                return rows, stop, True
        rows.append(row)
        position = stop
    return rows, position, False


def _read_payload(stream: BinaryIO, begun: bytes) -> bytes:
    """Read one large payload, joined from as many packets as it takes; `begun` is its start."""
    parts: list[bytes] = []
    header, part = begun[:_HEADER_BYTES], begun[_HEADER_BYTES:]
    while True:
        length = int.from_bytes(header[:3], "little")
        part += stream.read(length - len(part))
        if len(header) < _HEADER_BYTES or len(part) < length:
            raise pymysql.err.OperationalError(2013, "connection lost between rows")
        parts.append(part)
        if length < _MAX_PACKET:
            return b"".join(parts)
        header, part = stream.read(_HEADER_BYTES), b""


def decode(row: bytes) -> tuple[bytes | None, ...]:
    """Take a text-protocol row apart: length-encoded strings, 0xFB for NULL."""
    cells: list[bytes | None] = []
    position, end = 0, len(row)
    while position < end:
        length, position = row[position], position + 1
        if length == _NULL:
            cells.append(None)
            continue
        if length > _NULL:
            width = {0xFC: 2, 0xFD: 3, 0xFE: 8}[length]
            length = int.from_bytes(row[position : position + width], "little")
            position += width
        cells.append(row[position : position + length])
        position += length
    return tuple(cells)
