"""MySQL: one connection for all databases of the set, rows read as packets.

PyMySQL turns each row into Python objects at about 5 µs a row; the packet below it is
already the encoding that sweep and fingerprint want, so rows are taken from the socket
before PyMySQL sees them (PyMySQL is pinned, and the decoder is tested against its cursor).
"""

from __future__ import annotations

import ssl
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, Final

import pymysql
from pymysql.constants import COMMAND

from harness.config import RunConfig, TlsSettings
from harness.errors import StoreError, StoreUnreachableError
from harness.model import ColumnSchema, SeedRow, TableSchema
from harness.stores.protocol import Consumer, Decoder, fold, unreachable

_CONNECT_TIMEOUT_S: Final = 10
# CR_SERVER_GONE_ERROR and kin, ER_ACCESS_DENIED, ER_CON_COUNT, ER_SERVER_SHUTDOWN,
# and 0, which PyMySQL reports for a connection it has closed itself.
_UNREACHABLE: Final = frozenset({0, 1040, 1044, 1045, 1053, 2002, 2003, 2006, 2013, 2014, 2055})
_MAX_PACKET: Final = 0xFFFFFF
_HEADER_BYTES: Final = 4
# A row may begin with the same byte as the end of rows, but is longer than that packet.
_LONGEST_END: Final = 8
_END_OF_ROWS, _ERROR, _NULL = 0xFE, 0xFF, 0xFB

# Separate queries, since 5.6 opens every table once more for a join.
_TABLES = """
    SELECT table_name FROM information_schema.tables
    WHERE table_schema = %s AND table_type = 'BASE TABLE' ORDER BY table_name"""
_COLUMNS = """
    SELECT table_name, column_name, column_type FROM information_schema.columns
    WHERE table_schema = %s ORDER BY table_name, ordinal_position"""
_KEYS = """
    SELECT table_name, column_name FROM information_schema.key_column_usage
    WHERE table_schema = %s AND constraint_name = 'PRIMARY' ORDER BY table_name, ordinal_position"""


def quoted(name: str) -> str:
    """Return a name as a MySQL identifier."""
    return "`" + name.replace("`", "``") + "`"


class MySqlStoreSet:
    """A store set on MySQL or MariaDB; see `harness.stores.protocol.StoreSet`."""

    def __init__(self, config: RunConfig, stores: Sequence[str]) -> None:
        self.config = config
        self._names = tuple(stores)
        self._databases: dict[str, str] | None = None
        self._streaming = False
        with self._wrapped("could not be reached or refused the credentials"):
            self._connection = pymysql.connect(
                host=config.hostname,
                port=config.port,
                user=config.username,
                password=config.password.reveal(),
                charset="utf8mb4",
                autocommit=True,
                connect_timeout=_CONNECT_TIMEOUT_S,
                ssl=_tls_context(config.tls),
            )
            # Equal values must be equal bytes in every session, and long passes must not
            # run into the client's idle timeout.
            self._run(
                "SET SESSION time_zone = '+00:00', wait_timeout = 28800, net_write_timeout = 600"
            )
            self.version = str(self._rows("SELECT version()")[0][0])

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
        return tuple(
            table
            for store, database in self.databases().items()
            for table in self._tables_of(store, database)
        )

    def _tables_of(self, store: str, database: str) -> Iterator[TableSchema]:
        columns: dict[str, list[ColumnSchema]] = defaultdict(list)
        for table, name, type_name in self._rows(_COLUMNS, (database,)):
            columns[str(table)].append(ColumnSchema(str(name), str(type_name)))
        keys: dict[str, list[str]] = defaultdict(list)
        for table, name in self._rows(_KEYS, (database,)):
            keys[str(table)].append(str(name))
        for (table,) in self._rows(_TABLES, (database,)):
            name = str(table)
            yield TableSchema(store, name, tuple(columns[name]), tuple(keys[name]))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self._run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self._run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        try:
            yield
        except BaseException:
            self._abandon()
            raise
        self._run("COMMIT")

    def _abandon(self) -> None:
        """End the transaction; a connection with rows half read is of no further use."""
        if self._streaming:
            self.close()
            return
        with suppress(pymysql.err.Error):
            self._connection.rollback()

    def scan(self, table: TableSchema, consume: Consumer) -> int:
        columns = ", ".join(_selected(column) for column in table.columns)
        source = f"{quoted(self.databases()[table.store])}.{quoted(table.name)}"
        self._streaming = True
        with self._wrapped():
            try:
                size_bytes = _stream(self._connection, f"SELECT {columns} FROM {source}", consume)
            except pymysql.err.MySQLError:
                # The server's own error ends the rows; the connection can go on.
                self._streaming = False
                raise
        self._streaming = False
        return size_bytes

    def decoder(self, table: TableSchema) -> Decoder:  # noqa: ARG002  # the protocol's
        return decode

    def insert(self, rows: Iterable[SeedRow]) -> None:
        batches: dict[tuple[str, str, tuple[str, ...]], list[tuple[object, ...]]] = defaultdict(
            list
        )
        for row in rows:
            batches[row.store, row.table, tuple(row.values)].append(tuple(row.values.values()))
        self._run("START TRANSACTION")
        with self._wrapped(), self._connection.cursor() as cursor:
            for (store, table, columns), values in batches.items():
                names = ", ".join(map(quoted, columns))
                marks = ", ".join(["%s"] * len(columns))
                into = f"{quoted(self.databases()[store])}.{quoted(table)}"
                cursor.executemany(f"INSERT INTO {into} ({names}) VALUES ({marks})", values)
        self._run("COMMIT")

    def clear(self) -> None:
        self._run("START TRANSACTION")
        for table in self.tables():
            self._run(f"DELETE FROM {quoted(self.databases()[table.store])}.{quoted(table.name)}")
        self._run("COMMIT")

    def execute(self, store: str, sql: str, values: Sequence[object] = ()) -> int:
        self._run(f"USE {quoted(self.databases()[store])}")
        return self._run(sql, values)

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
    def _wrapped(self, lost: str = "stopped answering") -> Iterator[None]:
        """Turn the driver's errors, which quote row values, into ours, which do not."""
        try:
            yield
        except (pymysql.err.Error, OSError) as error:
            code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            if code in _UNREACHABLE or isinstance(error, OSError):
                raise StoreUnreachableError(unreachable(self.config, lost)) from None
            raise StoreError(
                f"MySQL refused a statement with error {code}: look the code up in MySQL's manual."
            ) from None


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


def _selected(column: ColumnSchema) -> str:
    """Return the expression that sends a column whole.

    A FLOAT is sent with six digits; as a DOUBLE it is sent with all it has.
    """
    name = quoted(column.name)
    return f"{name} + 0e0" if column.type_name.lower().startswith("float") else name


def _stream(connection: Any, sql: str, consume: Consumer) -> int:
    """Run a query and hand each row packet's payload to `consume`; return bytes read.

    Source: MySQL client/server protocol, text result set without CLIENT_DEPRECATE_EOF,
    which PyMySQL does not negotiate.
    """
    connection._execute_command(COMMAND.COM_QUERY, sql)
    for _ in range(connection._read_packet().read_length_encoded_integer()):
        connection._read_packet()
    connection._read_packet()
    size_bytes = 0
    while True:
        payload = _read_payload(connection._rfile)
        first = payload[0]
        if first == _END_OF_ROWS and len(payload) <= _LONGEST_END:
            return size_bytes
        if first == _ERROR:
            pymysql.err.raise_mysql_exception(payload)
        size_bytes += len(payload)
        consume(payload)


def _read_payload(stream: BinaryIO) -> bytes:
    """Read one payload, joined from as many packets as it takes."""
    parts: list[bytes] = []
    while True:
        header = stream.read(_HEADER_BYTES)
        length = int.from_bytes(header[:3], "little")
        part = stream.read(length)
        if len(header) < _HEADER_BYTES or len(part) < length:
            raise pymysql.err.OperationalError(2013, "connection lost between rows")
        if length < _MAX_PACKET and not parts:
            return bytes(part)
        parts.append(part)
        if length < _MAX_PACKET:
            return b"".join(parts)


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
