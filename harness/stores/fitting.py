"""Which of the canary's rows the tables take, as they are on this server.

The canary's rows follow the manifest. A table of a real server may demand more than that, or
take less: a column without a default, a key that cannot be negative. Such a table goes
without a canary and is named, instead of making every erasure fail.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from harness.identity import Representation
from harness.model import ColumnSchema, EngineKind, SeedRow, TableSchema
from harness.stores import mysql_condition, postgres_condition
from harness.stores.condition import Demand
from harness.stores.protocol import StoreSet
from harness.stores.representation import representation

_DEMANDS: Final[dict[EngineKind, Callable[[StoreSet], tuple[Demand, ...]]]] = {
    EngineKind.MYSQL: mysql_condition.demands,
    EngineKind.POSTGRES: postgres_condition.demands,
}
_FIRST_KEY: Final = -1_100
"""Below every key that means something, such as the -1 of the installation's own identity."""
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Misfit:
    """A table that does not take a row as the manifest describes it, and why."""

    store: str
    table: str
    why: str


def fit(
    store_set: StoreSet, tables: Sequence[TableSchema], rows: Sequence[SeedRow]
) -> tuple[tuple[SeedRow, ...], tuple[Misfit, ...]]:
    """Return the rows of tables that take all of theirs, and the tables that do not.

    A counter that the manifest does not know is given an explicit, negative value, so that
    no row moves it.
    """
    if not rows:
        return (), ()
    schemas = {(table.store, table.label): table for table in tables}
    demands: dict[Place, list[Demand]] = defaultdict(list)
    for demand in _DEMANDS[store_set.config.engine](store_set):
        demands[demand.store, demand.table].append(demand)
    whys: dict[Place, str] = {}
    fitted = []
    for number, row in enumerate(rows):
        place = (row.store, row.table)
        filled, why = _filled(row, _FIRST_KEY - number, demands[place])
        why = why or _unfit(filled, schemas[place])
        if why:
            whys.setdefault(place, why)
        fitted.append(filled)
    return (
        tuple(row for row in fitted if (row.store, row.table) not in whys),
        tuple(Misfit(*place, why) for place, why in whys.items()),
    )


def _filled(row: SeedRow, key: int, demands: Sequence[Demand]) -> tuple[SeedRow, str]:
    """Return the row with every counter filled, and why something else cannot be."""
    values = dict(row.values)
    for demand in demands:
        if demand.column in values:
            continue
        if not demand.fillable:
            return row, f"column {demand.column} wants a value that only the client knows"
        values[demand.column] = key
    return replace(row, values=values), ""


def _unfit(row: SeedRow, schema: TableSchema) -> str:
    """Return why a column cannot hold the value that the manifest expects there."""
    columns = {column.name: column for column in schema.columns}
    for name, value in row.values.items():
        if not _holds(columns[name], value):
            return f"column {name} is of another type than the manifest says"
    return ""


def _holds(column: ColumnSchema, value: object) -> bool:
    if isinstance(value, str | bytes):
        return representation(column) is not Representation.INTEGER
    return not (isinstance(value, int) and value < 0 and "unsigned" in column.type_name.lower())
