"""A Coreapp's side of the message store: rows that really go, batch by batch, and come back."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from harness.errors import StoreError
from harness.maintenance.gc_policy import GcPolicy
from harness.model import SeedRow
from harness.stores import StoreSet
from harness.webapp.garbage import Rule, name, rule

STORE: Final = "messageStore"
SHARDS: Final = 1024
# Of the two tables of receipts one knows the direction of the message that a receipt is of.
_RECEIPTS: Final = {
    "messages_receipt_log": ("key_remote_jid", "key_id", "key_from_me"),
    "receipts": ("key_remote_jid", "key_id"),
}
_BEFORE_ALL: Final = -(2**63)
_Mine = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one statement deleted: keys of `messages`, or so many receipts."""

    messages: tuple[int, ...] = ()
    receipts: int = 0


def node_of(recipient: str, nodes: int) -> int:
    """Return the position of the Coreapp that has a chat: its shard, dealt out in turn.

    That the shard is crc32(recipient) mod 1024 is published; that `recipient` is the chat's JID,
    and that shards are dealt out in turn, is a choice of this stand-in's.
    """
    return zlib.crc32(recipient.encode()) % SHARDS % nodes


def collect(
    store_set: StoreSet, policy: GcPolicy, as_of: datetime, mine: _Mine, *, by_age: bool = True
) -> Iterator[Batch]:
    """Delete a Coreapp's garbage, each batch committed by itself: messages, then their receipts.

    Who stops in between leaves receipts behind whose messages are gone.

    Args:
        store_set: The stores, outside of a transaction.
        policy: Which rows are garbage, and how many go at once.
        as_of: The time that age is counted from.
        mine: Tells whether a chat belongs to this Coreapp.
        by_age: Whether messages go for their age, too.

    Raises:
        StoreError: The server refused; what is committed stays gone.
    """
    which = rule(policy, store_set.config.engine, as_of, by_age=by_age)
    # Hashes, since there may be millions.
    gone: dict[str, set[int]] = {table: set() for table in _RECEIPTS}
    for rows in _garbage(store_set, which, policy.batch_rows):
        own = [row for row in rows if mine(str(row[1]))]
        keys = tuple(int(row[0]) for row in own)
        if keys and _delete(store_set, "messages", keys):
            for table, columns in _RECEIPTS.items():
                gone[table].update(hash(row[1 : 1 + len(columns)]) for row in own)
            yield Batch(messages=keys)
    for table in _RECEIPTS if any(gone.values()) else ():
        for rows in _all(store_set, table, policy.batch_rows):
            if keys := tuple(int(row[0]) for row in rows if hash(row[1:]) in gone[table]):
                yield Batch(receipts=_delete(store_set, table, keys))


def _garbage(store_set: StoreSet, which: Rule, most: int) -> Iterator[list[tuple[Any, ...]]]:
    """Yield garbage: its key, chat, id and direction."""
    sql = (
        "SELECT m._id, m.key_remote_jid, m.key_id, m.key_from_me FROM messages m"
        f" WHERE m._id > %s AND {which.sql} ORDER BY m._id LIMIT %s"
    )
    last = _BEFORE_ALL
    while rows := store_set.query(STORE, sql, (last, *which.values, most)):
        yield rows
        last = rows[-1][0]


def _all(store_set: StoreSet, table: str, most: int) -> Iterator[list[tuple[Any, ...]]]:
    """Yield every row of a table of receipts: its key, and what it names its message by."""
    columns = ", ".join(_RECEIPTS[table])
    sql = f"SELECT _id, {columns} FROM {table} WHERE _id > %s ORDER BY _id LIMIT %s"
    last = _BEFORE_ALL
    while rows := store_set.query(STORE, sql, (last, most)):
        yield rows
        last = rows[-1][0]


def _delete(store_set: StoreSet, table: str, keys: tuple[int, ...]) -> int:
    return store_set.execute(STORE, f"DELETE FROM {table} WHERE _id IN %s", (keys,))


def mark_read(store_set: StoreSet, policy: GcPolicy, message_id: str, at_ms: int) -> Sequence[int]:
    """Set the time of reading on inbound messages with an id; return their keys."""
    rows = store_set.query(
        STORE,
        "SELECT m._id, m.key_id FROM messages m WHERE m.key_id = %s AND m.key_from_me = 0",
        (message_id,),
    )
    keys = tuple(int(key) for key, found in rows if found == message_id)
    if keys:
        column = name(store_set.config.engine, policy.read_column)
        sql = f"UPDATE messages SET {column} = %s WHERE _id IN %s"
        store_set.execute(STORE, sql, (at_ms, keys))
    return keys


def write_back(store_set: StoreSet, rows: Sequence[SeedRow]) -> int:
    """Insert those rows again that are not there any more; return how many they were.

    They are compared by their text and whole numbers, which is enough to tell them apart.
    """
    written = 0
    for row in rows:
        if _is_there(store_set, row):
            continue
        try:
            store_set.insert([row])
        except StoreError:
            # Another row has taken its place: a cache loses, as an upsert would not.
            continue
        written += 1
    return written


def _is_there(store_set: StoreSet, row: SeedRow) -> bool:
    kind = store_set.config.engine
    told = {key: value for key, value in row.values.items() if isinstance(value, int | str)}
    conditions = " AND ".join(f"{name(kind, column)} = %s" for column in told) or "1 = 1"
    sql = f"SELECT count(*) FROM {name(kind, row.table)} WHERE {conditions}"
    ((count,),) = store_set.query(row.store, sql, tuple(told.values()))
    return bool(count)
