"""What a server has and the manifest lacks, the columns that may identify a person first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from harness.model import ColumnSchema, TableSchema
from harness.stores.drift import Drift
from harness.stores.protocol import UNSPEAKABLE

_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_IDENTITY: Final = re.compile(
    r"(waid|wa|jid|lid|phone|number|msisdn|mobile|tel|contact|recipient|receiver|sender|peer"
    r"|from|to|author|participants?|member|admin|owner|creator|customer|user|username|name"
    r"|nickname|mention(s|ed)?|resource)",
    re.IGNORECASE,
)
# What cannot hold the seven digits of the shortest number.
_NARROW: Final = re.compile(
    r"tinyint|smallint|bool|bit\b|date|time|year|enum|set\(|interval|uuid|point"
    r"|(var)?(char|binary)\([0-6]\)|character( varying)?\([0-6]\)"
)


@dataclass(frozen=True, slots=True)
class Undeclared:
    """A column, or with an empty `column` a table, that the manifest lacks.

    `identity` says that it is named like what identifies a person, and `wide` that it can hold
    the digits of a number; `columns` are those of a table of which both is true.
    """

    store: str
    table: str
    column: str
    type_name: str
    identity: bool
    wide: bool
    columns: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """`store.table.column`, as far as there is one."""
        place = ".".join(part for part in (self.store, self.table, self.column) if part)
        return UNSPEAKABLE.sub("#", place)


def undeclared(
    drifts: Iterable[Drift], tables: Iterable[TableSchema]
) -> tuple[tuple[Undeclared, ...], tuple[Drift, ...]]:
    """Part what the manifest lacks, the most telling first, from what the server lacks."""
    schemas = {(table.store, table.label): table for table in tables}
    lacking, absent = [], []
    for drift in drifts:
        table = schemas.get((drift.store, drift.table))
        if table is None:
            absent.append(drift)
        elif not drift.column:
            lacking.append(_table(drift, table))
        elif column := next((one for one in table.columns if one.name == drift.column), None):
            lacking.append(_column(drift, column))
        else:
            absent.append(drift)
    order = sorted(lacking, key=lambda one: (-2 * one.identity - one.wide, one.place))
    return tuple(order), tuple(absent)


def _column(drift: Drift, column: ColumnSchema) -> Undeclared:
    wide = not _NARROW.match(column.type_name.lower())
    identity = wide and _names_somebody(column.name)
    return Undeclared(drift.store, drift.table, column.name, column.type_name, identity, wide)


def _table(drift: Drift, table: TableSchema) -> Undeclared:
    found = [_column(drift, column) for column in table.columns]
    telling = tuple(one.column for one in found if one.identity)
    wide = any(one.wide for one in found)
    return Undeclared(drift.store, drift.table, "", "", bool(telling), wide, telling)


def _names_somebody(name: str) -> bool:
    return any(_IDENTITY.fullmatch(word) for word in _WORDS.findall(name))
