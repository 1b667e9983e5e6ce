"""Inbound messages that were never marked read: their ids, in short reads along the key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from harness.errors import StoreError
from harness.model import TableSchema
from harness.stores.keyset import impatient, integer_key, named, quoted, source
from harness.stores.protocol import StoreSet

MESSAGES: Final = ("messageStore", "messages")
_BATCH_ROWS: Final = 1_000
_OUTBOUND: Final = "key_from_me"
_ID: Final = "key_id"


def unread_ids(
    store_set: StoreSet,
    read_column: str,
    *,
    messages: tuple[str, str] = MESSAGES,
    batch_rows: int = _BATCH_ROWS,
) -> Iterator[str]:
    """Yield the ids of inbound messages that were not read, oldest key first.

    Rows stream in batches over connections of their own: memory does not grow with them, and
    rows may come and go meanwhile. An id embeds its sender's number: it is never shown.

    Args:
        store_set: The set with the messages.
        read_column: The column with the time of reading; NULL or 0 where there was none.
        messages: Store and label of the table.
        batch_rows: How many ids are fetched at once.

    Raises:
        StoreError: The table or a column is not there, or somebody has locked the table.
    """
    with impatient(store_set) as own:
        table = _table(own, messages, (_OUTBOUND, _ID, read_column))
        if not (key := integer_key(own, table)):
            raise StoreError(
                f"{'.'.join(messages)} has no integer key to read it by in batches: mark its "
                "messages read by means of the client itself."
            )
        name = quoted(own, key)
        head = f"SELECT {name}, {quoted(own, _ID)} FROM {source(own, table)}"
        tail = f"{_unread(own, read_column)} ORDER BY {name} LIMIT {batch_rows}"
        rows = own.query(table.store, f"{head} WHERE {tail}")
        while rows:
            yield from (_text(value) for _, value in rows if value is not None)
            after = f"{head} WHERE {name} > %s AND {tail}"
            rows = own.query(table.store, after, (rows[-1][0],)) if len(rows) == batch_rows else []


def count(store_set: StoreSet, read_column: str, *, messages: tuple[str, str] = MESSAGES) -> int:
    """Count the inbound messages that were not read, which takes a pass over the table.

    Raises:
        StoreError: See `unread_ids`.
    """
    with impatient(store_set) as own:
        table = _table(own, messages, (_OUTBOUND, _ID, read_column))
        what = f"count({quoted(own, _ID)})"
        sql = f"SELECT {what} FROM {source(own, table)} WHERE {_unread(own, read_column)}"
        return int(own.query(table.store, sql)[0][0])


def _table(own: StoreSet, messages: tuple[str, str], columns: tuple[str, ...]) -> TableSchema:
    table = named(own.tables(), messages)
    name = ".".join(messages)
    if table is None:
        raise StoreError(
            f"{name} is not there, or is hidden from this account: give the account the right to "
            "SELECT from it."
        )
    present = {column.name for column in table.columns}
    if missing := sorted(set(columns) - present):
        raise StoreError(
            f"{name} has no column {' or '.join(missing)}, which tells what was read: name the "
            "right one as inbound.read_column in fixtures/gc/policy.toml."
        )
    return table


def _unread(own: StoreSet, read_column: str) -> str:
    read = quoted(own, read_column)
    return f"{quoted(own, _OUTBOUND)} = 0 AND ({read} IS NULL OR {read} = 0)"


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
