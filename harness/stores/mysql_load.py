"""Bulk loading on MySQL: LOAD DATA LOCAL fed from memory, or large INSERTs where it is off.

The server asks the client for a file by name and the client answers with packets. Ours
answers this one request from a generator, below PyMySQL, and never opens a file: PyMySQL
itself is not told that LOCAL is allowed, so a request that we did not provoke is refused.

Source: MySQL client/server protocol, "LOCAL INFILE Request".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final

import pymysql
from pymysql.constants import COMMAND

from harness.model import TableSchema
from harness.stores.bulk_text import Row, buffers
from harness.stores.mysql_changes import is_binary, quoted

_LOCAL_REQUEST: Final = 0xFB
# ER_NOT_ALLOWED_COMMAND (until 8.0) and ER_CLIENT_LOCAL_FILES_DISABLED.
LOCAL_IS_OFF: Final = frozenset({1148, 3948})
# ER_DUP_ENTRY: 5.6 leaves a row with a doubled key out without any warning.
_DOUBLED: Final = 1062
_INSERT_ROWS: Final = 1_000
_INSERT_CHARACTERS: Final = 512 * 1024


def load_local(
    connection: Any, source: str, table: TableSchema, columns: Sequence[str], rows: Iterable[Row]
) -> int:
    """Load rows through LOAD DATA LOCAL; return how many the server took.

    Blobs travel as hexadecimal text, since a text in UTF-8 cannot hold any byte.

    Raises:
        pymysql.err.MySQLError: The server refused, or would have altered or left out a row.
    """
    connection._execute_command(COMMAND.COM_QUERY, _statement(source, table, columns))
    if connection._read_packet()._data[0] != _LOCAL_REQUEST:
        raise pymysql.err.OperationalError(2014, "no request for the rows")
    sent_rows = 0
    try:
        for buffer, count in buffers(rows, ""):
            sent_rows += count
            for piece in _pieces(buffer):
                connection.write_packet(piece)
    except BaseException:
        # Whatever the server is told now, it would take for the end of good rows.
        connection._force_close()
        raise
    connection.write_packet(b"")
    answer = connection._read_packet()
    answer.advance(1)
    loaded_rows = answer.read_length_encoded_integer()
    # LOCAL turns errors into warnings: a doubled key is left out, a long value cut off.
    if loaded_rows != sent_rows or _warnings(answer):
        raise pymysql.err.DataError(_first_warning(connection), "not loaded as sent")
    return int(loaded_rows)


def _statement(source: str, table: TableSchema, columns: Sequence[str]) -> str:
    binary = {column.name for column in table.columns if is_binary(column)}
    targets = [f"@blob{n}" if name in binary else quoted(name) for n, name in enumerate(columns)]
    decoded = [
        f"{quoted(name)} = unhex(@blob{n})" for n, name in enumerate(columns) if name in binary
    ]
    return (
        f"LOAD DATA LOCAL INFILE 'rows' INTO TABLE {source} CHARACTER SET utf8mb4 "
        f"({', '.join(targets)})" + (f" SET {', '.join(decoded)}" if decoded else "")
    )


def _pieces(buffer: bytes, size: int = 0x400000) -> Iterator[bytes]:
    for start in range(0, len(buffer), size):
        yield buffer[start : start + size]


def _warnings(answer: Any) -> int:
    answer.read_length_encoded_integer()
    answer.read_uint16()
    return int(answer.read_uint16())


def _first_warning(connection: Any) -> int:
    connection.query("SHOW WARNINGS LIMIT 1")
    rows = connection._result.rows
    return int(rows[0][1]) if rows else _DOUBLED


def insert_many(cursor: Any, source: str, columns: Sequence[str], rows: Iterable[Row]) -> int:
    """Insert rows in large statements, for servers that have LOCAL switched off."""
    head = f"INSERT INTO {source} ({', '.join(map(quoted, columns))}) VALUES "
    marks = "(" + ", ".join(["%s"] * len(columns)) + ")"
    remaining = iter(rows)
    inserted_rows = 0
    while first := list(islice(remaining, 1)):
        lines: list[str] = []
        size = 0
        for row in chain(first, islice(remaining, _INSERT_ROWS - 1)):
            lines.append(cursor.mogrify(marks, tuple(row)))
            size += len(lines[-1])
            if size > _INSERT_CHARACTERS:
                break
        inserted_rows += cursor.execute(head + ",".join(lines))
    return inserted_rows
