"""Names and keys for reads in short steps along an integer key, the same on both engines.

Such reads are over in milliseconds each, need no transaction, and hold up nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from harness.model import EngineKind, TableSchema
from harness.stores import mysql, mysql_changes, postgres, postgres_quoting
from harness.stores.condition import LOCK_WAIT_S
from harness.stores.connection import connect
from harness.stores.protocol import StoreSet

_QUOTED: Final[dict[EngineKind, Callable[[str], str]]] = {
    EngineKind.MYSQL: mysql_changes.quoted,
    EngineKind.POSTGRES: postgres_quoting.quoted,
}
_IMPATIENT: Final = {
    EngineKind.MYSQL: f"SET SESSION lock_wait_timeout = {LOCK_WAIT_S}",
    EngineKind.POSTGRES: f"SET lock_timeout = '{LOCK_WAIT_S}s'",
}


_COUNTER: Final = """
    SELECT auto_increment - 1, @@auto_increment_increment FROM information_schema.tables
    WHERE table_schema = %s AND table_name = %s"""
_SEQUENCE: Final = "SELECT pg_get_serial_sequence(%s, %s)"


@contextmanager
def impatient(store_set: StoreSet, stores: Sequence[str] = ()) -> Iterator[StoreSet]:
    """Reach the same stores, or some of them, over connections of their own.

    These are outside of any transaction.

    They wait for others' locks on whole tables no longer than `LOCK_WAIT_S`, so that somebody's
    ALTER TABLE holds nothing up.

    Raises:
        StoreUnreachableError: The server does not answer.
    """
    own = connect(store_set.config, tuple(stores or store_set.databases()))
    try:
        hurry(own)
        yield own
    finally:
        own.close()


def hurry(store_set: StoreSet) -> None:
    """Ask each session of a set to wait for others' locks no longer than `LOCK_WAIT_S`."""
    stores = list(store_set.databases())
    on_mysql = store_set.config.engine is EngineKind.MYSQL
    for store in stores[:1] if on_mysql else stores:
        store_set.execute(store, _IMPATIENT[store_set.config.engine])


def named(tables: Sequence[TableSchema], place: tuple[str, str]) -> TableSchema | None:
    """Return the table of a store that has a label, or None."""
    return next((table for table in tables if (table.store, table.label) == place), None)


def quoted(store_set: StoreSet, name: str) -> str:
    """Return a name as an identifier of the set's engine."""
    return _QUOTED[store_set.config.engine](name)


def source(store_set: StoreSet, table: TableSchema) -> str:
    """Return what stands behind FROM for a table."""
    before = table.namespace or store_set.databases()[table.store]
    return f"{quoted(store_set, before)}.{quoted(store_set, table.name)}"


def integer_key(store_set: StoreSet, table: TableSchema) -> str:
    """Return the one integer column that is the table's key, or nothing."""
    if store_set.config.engine is EngineKind.POSTGRES:
        names = (table.namespace, table.name)
        found = store_set.query(table.store, postgres.INTEGER_KEY, names)
        return str(found[0][0]) if found else ""
    types = {column.name: column.type_name for column in table.columns}
    is_one = len(table.key) == 1 and mysql.INTEGER.match(types[table.key[0]])
    return table.key[0] if is_one else ""


def counter(store_set: StoreSet, table: TableSchema, key: str) -> tuple[int, int] | None:
    """Return the last number that the server gave to a key, and how far apart numbers are.

    None where the server gives none.

    Raises:
        StoreError: The account may not read the counter; on PostgreSQL that is a sequence.
    """
    if store_set.config.engine is EngineKind.MYSQL:
        place = (store_set.databases()[table.store], table.name)
        found = store_set.query(table.store, _COUNTER, place)
        return (int(found[0][0]), int(found[0][1])) if found and found[0][0] is not None else None
    names = (source(store_set, table), key)
    ((sequence,),) = store_set.query(table.store, _SEQUENCE, names)
    if not sequence:
        return None
    ((last, is_called),) = store_set.query(
        table.store, f"SELECT last_value, is_called FROM {sequence}"
    )
    return int(last) - (not is_called), 1
