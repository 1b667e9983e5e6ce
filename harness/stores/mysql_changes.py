"""The statements that change located rows on MySQL, and no other row.

A snapshot does not protect what it read: a change takes the newest committed row, whatever
that holds by then. So located rows are first locked by key and compared, byte for byte, with
what was located; only then are they deleted or changed, by key again. Each statement names
one key, since a list over much of a table makes MySQL lock all of it. Values are veiled, since
statements are what logs keep.

Source: MySQL reference manual, "Consistent Nonlocking Reads" and "Locking Reads".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from harness.model import ColumnSchema, TableSchema
from harness.stores.mysql_veil import MySqlVeil, is_text, is_too_long

Cells = Sequence[bytes | None]
Escape = Callable[[str], str]

_NUMERIC: Final = re.compile(
    r"(tiny|small|medium|big)?int|integer|decimal|numeric|double|float|year"
)
_BINARY: Final = re.compile(r"(tiny|medium|long)?blob|(var)?binary|bit")
_BITS: Final = re.compile(r"bit\b")
_SELF_UPDATING: Final = re.compile(r"timestamp|datetime")

NO_TRANSACTIONS: Final = "has no transactions"
"""How the reason ends for a table whose rows no rollback brings back."""
CARRIES_ON: Final = "a foreign key carries its changes on to other rows"
HAZARDS: Final = f"""
    SELECT table_name, concat('its engine ', engine, ' {NO_TRANSACTIONS}')
    FROM information_schema.tables JOIN information_schema.engines USING (engine)
    WHERE table_schema = %s AND table_type = 'BASE TABLE' AND transactions <> 'YES'
    UNION ALL
    SELECT event_object_table, concat('a trigger fires on ', event_manipulation)
    FROM information_schema.triggers WHERE event_object_schema = %s
    UNION ALL
    SELECT referenced_table_name, '{CARRIES_ON}'
    FROM information_schema.referential_constraints
    WHERE unique_constraint_schema = %s
      AND (delete_rule NOT IN ('RESTRICT', 'NO ACTION')
           OR update_rule NOT IN ('RESTRICT', 'NO ACTION'))"""


REFERENCES: Final = """
    SELECT table_name, referenced_table_name FROM information_schema.referential_constraints
    WHERE constraint_schema = %s AND unique_constraint_schema = constraint_schema"""


def quoted(name: str) -> str:
    """Return a name as a MySQL identifier."""
    return "`" + name.replace("`", "``") + "`"


def selected(column: ColumnSchema) -> str:
    """Return the expression that sends a column whole.

    A FLOAT is sent with six digits; as a DOUBLE it is sent with all it has. A ZEROFILL
    number is sent without the zeros, which are how it is shown and not what it is.
    """
    name, type_name = quoted(column.name), column.type_name.lower()
    if type_name.startswith("float"):
        return f"{name} + 0e0"
    return f"{name} + 0" if "zerofill" in type_name else name


class Statements:
    """Renders the statements for one table; `escape` quotes a string as the server reads it."""

    def __init__(self, source: str, table: TableSchema, escape: Escape) -> None:
        self._source = source
        self._table = table
        self._escape = escape
        self._veil = MySqlVeil()
        self._key = [
            index for index, column in enumerate(table.columns) if column.name in table.key
        ]

    def where(self, cells: Cells) -> str:
        """Return the condition that a row's key, or without a key all it holds, equals this."""
        if self._key:
            return " AND ".join(self._key_equals(index, cells[index]) for index in self._key)
        return " AND ".join(self._same(index, cell) for index, cell in enumerate(cells))

    def lock(self, conditions: Sequence[str]) -> str:
        """Return the query that locks rows and reads their newest state."""
        columns = ", ".join(selected(column) for column in self._table.columns)
        hint = f" FORCE INDEX ({quoted(self._table.key_index)})" if self._key else ""
        wanted = " OR ".join(f"({condition})" for condition in conditions)
        return f"SELECT {columns} FROM {self._source}{hint} WHERE {wanted} FOR UPDATE"

    def delete(self, condition: str, count: int) -> str:
        """Return the deletion of the `count` rows, one unless there is no key, that match."""
        return f"DELETE FROM {self._source} WHERE {condition}{self._limit(count)}"

    def replace(self, condition: str, count: int, new: Sequence[tuple[int, bytes]]) -> str:
        """Return the replacement of cells; columns that would update themselves are kept."""
        kept = [
            f"{name} = {name}"
            for index, column in enumerate(self._table.columns)
            if _SELF_UPDATING.match(column.type_name.lower())
            and index not in dict(new)
            and (name := quoted(column.name))
        ]
        changed = [
            f"{quoted(self._table.columns[index].name)} = {self._literal(index, cell)}"
            for index, cell in new
        ]
        assignments = ", ".join(changed + kept)
        return f"UPDATE {self._source} SET {assignments} WHERE {condition}{self._limit(count)}"

    def _limit(self, count: int) -> str:
        # A key has one row. A limit would be unsafe under statement-based logging, which then
        # warns in the error log, or in the mixed format keeps the whole row instead.
        return "" if self._key else f" LIMIT {count}"

    def _key_equals(self, index: int, cell: bytes | None) -> str:
        column, value = self._table.columns[index], cell or b""
        if is_text(column):
            literal = self._veil.compared_text(value, column.collation)
        else:
            literal = self._literal(index, value)
        return f"{quoted(column.name)} = {literal}"

    def _same(self, index: int, cell: bytes | None) -> str:
        column = self._table.columns[index]
        if cell is None:
            return f"{quoted(column.name)} IS NULL"
        if _is(_NUMERIC, column):
            return f"{selected(column)} = {self._literal(index, cell)}"
        if _is(_BINARY, column):
            return f"CAST({quoted(column.name)} AS BINARY) = {self._literal(index, cell)}"
        # By bytes: a collation would take neighbours for the same.
        whole = f"CONVERT({quoted(column.name)} USING utf8mb4)"
        return f"CAST({whole} AS BINARY) = {self._veil.binary(cell)}"

    def _literal(self, index: int, cell: bytes) -> str:
        """Return a value as it is stored; to compare a text takes its collation besides."""
        column = self._table.columns[index]
        if _is(_NUMERIC, column):
            return self._veil.number(cell, column)
        if _is(_BITS, column):
            return f"x'{cell.hex()}'"
        if _is(_BINARY, column):
            return self._veil.binary(cell)
        if is_text(column) and not is_too_long(cell):
            return self._veil.stored_text(cell)
        return self._escape(cell.decode("utf-8"))


def is_binary(column: ColumnSchema) -> bool:
    """Tell whether a column holds bytes rather than text or a number."""
    return _is(_BINARY, column)


def _is(kinds: re.Pattern[str], column: ColumnSchema) -> bool:
    return kinds.match(column.type_name.lower()) is not None
