"""The statement that changes located rows on PostgreSQL: by place, with veiled new cells."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model import ColumnSchema, Replacement, TableSchema
from harness.stores.postgres_quoting import quoted
from harness.stores.veil import DIGITS, Veil

_BYTES = "decode(translate(%s, '{}', '" + DIGITS + "'), 'hex')"


def update(table: TableSchema, rows: Sequence[Replacement]) -> tuple[str, list[object]]:
    """Return one UPDATE that gives each row its own new cells, and its values.

    The snapshot guarantees that a row is as it was located, or the update fails with 40001.
    """
    veil = Veil()
    values: list[object] = []
    assignments = []
    for index in sorted({index for row in rows for index, _ in row.cells}):
        column = table.columns[index]
        expression = _restored(column, veil)
        arms = []
        for row in rows:
            if index in (cells := dict(row.cells)):
                arms.append(f"WHEN %s::tid THEN {expression}")
                values += [row.located.locator.decode("ascii"), veil.write(cells[index])]
        name = quoted(column.name)
        assignments.append(f"{name} = CASE ctid {' '.join(arms)} ELSE {name} END")
    values.append([row.located.locator.decode("ascii") for row in rows])
    source = f"{quoted(table.namespace)}.{quoted(table.name)}"
    changes = ", ".join(assignments)
    return f"UPDATE ONLY {source} SET {changes} WHERE ctid = ANY (%s::tid[])", values


def _restored(column: ColumnSchema, veil: Veil) -> str:
    """Return the expression of a veiled value as the column's type, for its letters to go into."""
    restored = _BYTES.format(veil.letters)
    if column.type_name == "bytea":
        return restored
    text = f"convert_from({restored}, 'UTF8')"
    if column.type_name.startswith(("text", "character")):
        # Not cast: that would cut a text that is too long for the column, and say nothing.
        return text
    return f"{text}::{column.type_name}"
