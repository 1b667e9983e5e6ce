"""The canary: a synthetic subject who is planted, seen, erased and not seen, in one transaction.

What is blind to the canary would be blind to the subject. Its rows go in and out inside the
transaction that erases the subject, so nobody else ever sees them: a Coreapp could send what
it finds. Its keys are explicit and negative, which moves no counter.

Source: Ofcom reserves 0118 496 0000 to 0999 for drama; the numbers of the synthetic
population are from other ranges.
"""

from __future__ import annotations

import base64
import secrets
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from harness.identity import GROUP_DOMAIN, USER_DOMAIN, WaId
from harness.manifest import Column, Manifest, Table
from harness.model import SeedRow, TableSchema, Trace, Treatment

_RANGE: Final = "441184960"
_LINES: Final = 1_000
_OWN_KEY, _MENTION_KEY = -1_018, -1_019
_NOBODY: Final = "canary@broadcast"
_GROUP_CREATED_S: Final = 1_600_000_000
_ARABIC_ZERO: Final = 0x0660
Value = int | str | bytes | float | None
Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Planting:
    """A value that holds the canary, and each form in which it does."""

    value: Value
    forms: tuple[str, ...]


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
    """Return what a sweep must see of the canary, cell by cell and form by form."""
    cells: Counter[Place] = Counter()
    forms: dict[Place, Counter[str]] = defaultdict(Counter)
    for row in seeded:
        cells.update((row.store, row.table, column) for column in row.planted)
        for column, form in row.forms:
            forms[row.store, row.table, column][form] += 1
    return tuple(
        Trace(*place, count, tuple(sorted(forms[place].items())))
        for place, count in sorted(cells.items())
    )


def _rows_of(table: Table, present: Collection[str], wa_id: WaId) -> Iterator[SeedRow]:
    columns = [column for column in table.columns if column.name in present]
    bearing = [column for column in columns if column.kind.role != "none"]
    deleting = [column for column in bearing if column.treatment is Treatment.DELETE]
    masking = [column for column in bearing if column.treatment is not Treatment.DELETE]
    if deleting:
        yield _row(table, columns, {c.name: _whole(c, wa_id) for c in bearing}, _OWN_KEY)
    if masking:
        # Nothing but a whole number fits into a number, which an operator may want masked.
        named = {
            c.name: _whole(c, wa_id) if c.kind.role == "number" else _inside(c, wa_id)
            for c in masking
        }
        yield _row(table, columns, named, _MENTION_KEY)


def _row(
    table: Table, columns: Sequence[Column], named: Mapping[str, _Planting], key: int
) -> SeedRow:
    """Return a row that holds `named`, with the least that its other columns require."""
    values: dict[str, Value] = {name: planting.value for name, planting in named.items()}
    for column in columns:
        if column.name not in values and (column.required or column.name in table.key):
            values[column.name] = _filler(column, key)
        elif column.kind.name == "serial":
            values[column.name] = key
    forms = tuple((name, form) for name, planting in named.items() for form in planting.forms)
    return SeedRow(table.store, table.name, values, frozenset(named), forms)


def _whole(column: Column, wa_id: WaId) -> _Planting:
    """Return the canary as the column's whole value, or inside a text."""
    kind, number = column.kind, wa_id.number
    if kind.role == "number":
        return _Planting(int(number), ("integer",))
    if kind.role == "jid":
        return _Planting(wa_id.jid, ("user JID",))
    return _inside(column, wa_id) if kind.role == "text" else _Planting(number, ("bare number",))


def _inside(column: Column, wa_id: WaId) -> _Planting:
    """Return the canary as somebody else's row would mention it, in every way that fits."""
    number = wa_id.number
    if column.kind.role == "jid":
        return _Planting(f"{number}-{_GROUP_CREATED_S}@{GROUP_DOMAIN}", ("group JID",))
    if column.kind.role == "phone":
        return _Planting(f"+{number[:2]} {number[2:5]} {number[5:]}", ("punctuated number",))
    if column.kind.name == "message_id":
        return _Planting(_message_id(number), ("packed decimal in base64",))
    if column.kind.name == "json":
        escaped = "".join(rf"\u{_ARABIC_ZERO + int(digit):04x}" for digit in number)
        document = f'{{"from": {number}, "id": "{_message_id(number)}", "body": "{escaped}"}}'
        return _Planting(
            document, ("JSON number", "packed decimal in base64", "JSON-escaped digits")
        )
    if column.kind.name == "blob":
        wide = int(number)
        parts = (wide.to_bytes(8, "big"), number.encode("utf-16-le"), _packed(number), b"\x01")
        return _Planting(
            b"\xff\xff".join(parts),
            ("64-bit integer, big-endian", "bare number in UTF-16", "packed decimal"),
        )
    punctuated = f"+{number[:2]} (0){number[2:5]}-{number[5:]}"
    return _Planting(
        f"call {punctuated} or {number}@{USER_DOMAIN}", ("punctuated number", "user JID")
    )


def _message_id(number: str) -> str:
    return base64.b64encode(_packed(number) + b"canary").decode("ascii")


def _packed(number: str) -> bytes:
    packed = bytes.fromhex(number + "f" * (len(number) % 2))
    return bytes((0x80, 0x11, 0x80 | len(packed))) + packed


def _filler(column: Column, key: int) -> Value:
    """Return a value of the column's kind that names nobody."""
    if column.kind.role in {"jid", "phone"}:
        return _NOBODY
    if column.kind.role == "number" or column.kind.name in {"serial", "int", "bigint", "time_ms"}:
        return key
    return b"" if column.kind.name == "blob" else "canary"
