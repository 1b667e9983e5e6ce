"""The canary: a synthetic subject who is planted, seen, erased and not seen, in one transaction.

What is blind to the canary would be blind to the subject. Its rows go in and out inside the
transaction that erases the subject, so nobody else ever sees them: a Coreapp could send what
it finds. Its keys are explicit and negative, which moves no counter.

Source: Ofcom reserves 0118 496 0000 to 0999 for drama; the numbers of the synthetic
population are from other ranges.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from harness.identity import GROUP_DOMAIN, USER_DOMAIN, WaId
from harness.manifest import Column, Manifest, Table
from harness.model import SeedRow, TableSchema, Trace, Treatment

_RANGE: Final = "441184960"
_LINES: Final = 1_000
_OWN_KEY, _MENTION_KEY = -1_018, -1_019
_NOBODY: Final = "canary@broadcast"
_GROUP_CREATED_S: Final = 1_600_000_000
Value = int | str | bytes | float | None


def draw() -> WaId:
    """Return a canary's number, drawn at random from a range that is nobody's."""
    return WaId(f"{_RANGE}{secrets.randbelow(_LINES):03d}")


def rows(
    manifest: Manifest,
    tables: Sequence[TableSchema],
    wa_id: WaId,
    leave_out: Collection[tuple[str, str]],
) -> tuple[SeedRow, ...]:
    """Return the canary's rows: in each table one of its own, and one that mentions it.

    Args:
        manifest: What each column may hold.
        tables: What is on the server; columns that it lacks are left away.
        wa_id: The canary.
        leave_out: Tables, as (store, label), whose rows cannot be taken back.
    """
    made = []
    for table in tables:
        description = manifest.table(table.store, table.label)
        if description and (table.store, table.label) not in leave_out:
            present = {column.name for column in table.columns}
            made += list(_rows_of(description, present, wa_id))
    return tuple(made)


def planted(seeded: Sequence[SeedRow]) -> tuple[Trace, ...]:
    """Return what a sweep must see of the canary, no more and no fewer."""
    cells: dict[tuple[str, str, str], int] = {}
    for row in seeded:
        for column in row.planted:
            place = (row.store, row.table, column)
            cells[place] = cells.get(place, 0) + 1
    return tuple(Trace(*place, count) for place, count in sorted(cells.items()))


def _rows_of(table: Table, present: Collection[str], wa_id: WaId) -> Iterator[SeedRow]:
    columns = [column for column in table.columns if column.name in present]
    bearing = [column for column in columns if column.kind.role != "none"]
    deleting = [column for column in bearing if column.treatment is Treatment.DELETE]
    masking = [column for column in bearing if column.treatment is not Treatment.DELETE]
    if deleting:
        yield _row(table, columns, {c.name: _whole(c, wa_id) for c in bearing}, _OWN_KEY)
    if masking:
        named = {c.name: _inside(c, wa_id) for c in masking}
        yield _row(table, columns, named, _MENTION_KEY)


def _row(table: Table, columns: Sequence[Column], named: Mapping[str, Value], key: int) -> SeedRow:
    """Return a row that holds `named`, with the least that its other columns require."""
    values: dict[str, Value] = dict(named)
    for column in columns:
        if column.name not in values and (column.required or column.name in table.key):
            values[column.name] = _filler(column, key)
        elif column.kind.name == "serial":
            values[column.name] = key
    return SeedRow(table.store, table.name, values, frozenset(named))


def _whole(column: Column, wa_id: WaId) -> Value:
    """Return the canary as the column's whole value, or inside a text."""
    kind, number = column.kind, wa_id.number
    if kind.role == "number":
        return int(number)
    if kind.role == "jid":
        return wa_id.jid
    return _inside(column, wa_id) if kind.role == "text" else number


def _inside(column: Column, wa_id: WaId) -> Value:
    """Return the canary as somebody else's row would mention it."""
    if column.kind.role == "jid":
        return f"{wa_id.number}-{_GROUP_CREATED_S}@{GROUP_DOMAIN}"
    if column.kind.name == "json":
        return f'{{"from": "{wa_id.number}"}}'
    text = f"call +{wa_id.number} or {wa_id.number}@{USER_DOMAIN}"
    return text.encode("ascii") if column.kind.name == "blob" else text


def _filler(column: Column, key: int) -> Value:
    """Return a value of the column's kind that names nobody."""
    if column.kind.role in {"jid", "phone"}:
        return _NOBODY
    if column.kind.role == "number" or column.kind.name in {"serial", "int", "bigint", "time_ms"}:
        return key
    return b"" if column.kind.name == "blob" else "canary"
