"""Rows as PostgreSQL's binary COPY sends them: what is asked for, batched, and taken apart.

Text, bytes and 64-bit integers are sent as they are stored. Everything else is sent as its
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
LOCATOR_BYTES: Final = 10
"""What a row's ctid takes up in front of it: its length, the block, the place in it."""
_ctid: Final = struct.Struct(">4xIH").unpack_from
_length: Final = struct.Struct(">i").unpack_from
_bigint: Final = struct.Struct(">q").unpack
_AS_STORED: Final = re.compile(
    r"text|json|name|bytea|bigint|character varying(\(\d+\))?|character(\(\d+\))?"
)


def sent(column: ColumnSchema) -> str:
    """Return the expression that sends a column."""
    name = quoted(column.name)
    return name if _AS_STORED.fullmatch(column.type_name) else f"{name}::text"


def locator(row: bytes) -> bytes:
    """Return the ctid in front of a row, as PostgreSQL writes it."""
    block, place = _ctid(row)
    return b"(%d,%d)" % (block, place)


def decoder(columns: Sequence[ColumnSchema]) -> Decoder:
    """Return the function that takes a row apart into cells."""
    integers = [column.type_name == "bigint" for column in columns]

    def decode(row: bytes) -> tuple[bytes | None, ...]:
        cells: list[bytes | None] = []
        position = 0
        for is_integer in integers:
            (length,) = _length(row, position)
            position += 4
            if length < 0:
                cells.append(None)
                continue
            cell = row[position : position + length]
            cells.append(b"%d" % _bigint(cell)[0] if is_integer else cell)
            position += length
        return tuple(cells)

    return decode


class Sink:
    """The file that COPY writes to: psycopg2 calls `write` once per row.

    Rows are handed on without the count of their columns, which is the table's.
    """

    def __init__(self, consume: Consumer) -> None:
        self._consume = consume
        self._rows: list[bytes] = []
        self._pending_bytes = 0
        self._started = False
        self.size_bytes = 0

    def write(self, row: bytes) -> None:
        """Take one row; the first comes with the header, and the trailer is none."""
        if not self._started:
            self._started = True
            row = row[_HEADER_BYTES:]
        if row == _TRAILER or not row:
            return
        self._rows.append(row[_COUNT_BYTES:])
        self._pending_bytes += len(row)
        if self._pending_bytes >= _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand on what was written since the last time."""
        rows, self._rows = self._rows, []
        self.size_bytes += self._pending_bytes
        self._pending_bytes = 0
        if rows:
            self._consume(rows)
