"""Rows as PostgreSQL's binary COPY sends them: what is asked for, batched, and taken apart.

Text, bytes and binary numbers are sent as they are stored. Everything else is sent as its
text: the binary form of a number in base 10 000, or of an array, would hide an identifier.

Source: PostgreSQL documentation, COPY, "Binary Format".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Final

from harness.model import ColumnSchema
from harness.stores.postgres_quoting import quoted
from harness.stores.protocol import Consumer, Decoder

_BATCH_BYTES: Final = 64 * 1024
_HEADER_BYTES: Final = 19
_TRAILER: Final = b"\xff\xff"
_COUNT_BYTES: Final = 2
LOCATOR_BYTES: Final = 12
"""What stands before a located row: the count of columns, the ctid's length, block and place."""
_ctid: Final = struct.Struct(">2x4xIH").unpack_from
_length: Final = struct.Struct(">i").unpack_from
_NUMBERS: Final = {
    "smallint": struct.Struct(">h"),
    "integer": struct.Struct(">i"),
    "bigint": struct.Struct(">q"),
    "double precision": struct.Struct(">d"),
}
_AS_STORED: Final = re.compile(
    r"text|json|name|bytea|character varying(\(\d+\))?|character(\(\d+\))?"
)


def sent(column: ColumnSchema) -> str:
    """Return the expression that sends a column."""
    name = quoted(column.name)
    return name if is_as_stored(column) else f"{name}::text"


def is_as_stored(column: ColumnSchema) -> bool:
    """Tell whether a column is sent as it is stored."""
    return column.type_name in _NUMBERS or _AS_STORED.fullmatch(column.type_name) is not None


def locator(row: bytes) -> bytes:
    """Return the ctid in front of a row, as PostgreSQL writes it."""
    block, place = _ctid(row)
    return b"(%d,%d)" % (block, place)


def decoder(columns: Sequence[ColumnSchema]) -> Decoder:
    """Return the function that takes a row apart into cells."""
    numbers = [_NUMBERS.get(column.type_name) for column in columns]

    def decode(row: bytes) -> tuple[bytes | None, ...]:
        cells: list[bytes | None] = []
        position = 0
        for number in numbers:
            (length,) = _length(row, position)
            position += 4
            if length < 0:
                cells.append(None)
                continue
            cell = row[position : position + length]
            cells.append(str(*number.unpack(cell)).encode("ascii") if number else cell)
            position += length
        return tuple(cells)

    return decode


class Sink:
    """The file that COPY writes to: psycopg2 calls `write` once per row.

    Rows are handed on without what stands before their first column, the count of columns,
    or with `located` as they are, for `split` and `bare`.
    """

    def __init__(self, consume: Consumer, *, located: bool) -> None:
        self._consume = consume
        self._located = located
        self._rows: list[bytes] = []
        self._pending_bytes = 0
        self._started = False
        self.size_bytes = 0

    def write(self, row: bytes) -> None:
        """Take one row; the header comes with the first, and the trailer as if it were one."""
        self._rows.append(row)
        self._pending_bytes += len(row)
        if self._pending_bytes >= _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand on what was written since the last time."""
        rows, self._rows = self._rows, []
        self.size_bytes += self._pending_bytes
        self._pending_bytes = 0
        if rows and not self._started:
            self._started = True
            self.size_bytes -= _HEADER_BYTES
            rows[0] = rows[0][_HEADER_BYTES:]
        if rows and rows[-1] in {_TRAILER, b""}:
            self.size_bytes -= len(rows.pop())
        if rows:
            self._consume(rows if self._located else [row[_COUNT_BYTES:] for row in rows])
