"""Rows as PostgreSQL's binary COPY sends them: what is asked for, batched, and taken apart.

Text, bytes and binary numbers are sent as they are stored. Everything else is sent as its
text: the binary form of a number in base 10 000, or of an array, would hide an identifier.

Source: PostgreSQL documentation, COPY, "Binary Format".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from operator import itemgetter
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
_uncounted: Final = itemgetter(slice(_COUNT_BYTES, None))
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
        rows: list[bytes] = []
        pending_bytes = 0
        started = False
        self.size_bytes = 0

        # What is called for each row looks up as little as it can.
        def write(row: bytes) -> None:
            nonlocal pending_bytes
            rows.append(row)
            pending_bytes += len(row)
            if pending_bytes >= _BATCH_BYTES:
                flush()

        def flush() -> None:
            nonlocal rows, pending_bytes, started
            batch, rows = rows, []
            self.size_bytes += pending_bytes
            pending_bytes = 0
            # The header comes with the first row, the trailer as if it were the last.
            if batch and not started:
                started = True
                self.size_bytes -= _HEADER_BYTES
                batch[0] = batch[0][_HEADER_BYTES:]
            if batch and batch[-1] in {_TRAILER, b""}:
                self.size_bytes -= len(batch.pop())
            if batch:
                consume(batch if located else list(map(_uncounted, batch)))

        self.write = write
        self.flush = flush
