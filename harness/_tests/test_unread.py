"""Unread messages on real servers: exactly those, in batches, whatever happens meanwhile."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from harness.errors import ConflictError, StoreError
from harness.manifest import Manifest
from harness.model import EngineKind
from harness.population.people import person
from harness.stores import StoreSet, connect
from harness.stores.unread import count, unread_ids

STORE = "messageStore"
READ = "read_device_timestamp"
COLUMNS = ("key_remote_jid", "key_from_me", "key_id", READ)


def load(store_set: StoreSet, rows: Iterator[tuple[int, str | None, int | None]]) -> None:
    """Load messages: direction, id and time of reading."""
    jid = person(0).jid
    store_set.load(STORE, "messages", COLUMNS, ((jid, *row) for row in rows))


@pytest.fixture
def mixed(store_set: StoreSet) -> StoreSet:
    """Ten messages of every kind, in turn."""
    kinds = [(0, "never", None), (0, "zero", 0), (0, "read", 7), (1, "sent", None), (1, "seen", 7)]
    load(store_set, ((way, f"{name}{n}", at) for n in range(2) for way, name, at in kinds))
    return store_set


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 4, 1000])
def test_inbound_messages_never_read_are_named(mixed: StoreSet, batch_rows: int) -> None:
    """Inbound messages whose time of reading is NULL or 0 are named in order, and no others."""
    found = list(unread_ids(mixed, READ, batch_rows=batch_rows))
    assert found == ["never0", "zero0", "never1", "zero1"]
    assert count(mixed, READ) == 4


def test_nothing_unread_is_nothing(store_set: StoreSet) -> None:
    """Of an empty table nothing is named."""
    assert list(unread_ids(store_set, READ)) == []
    assert count(store_set, READ) == 0


def test_a_message_without_an_id_is_left_out(store_set: StoreSet) -> None:
    """A message without an id cannot be marked, so it is neither named nor counted."""
    load(store_set, iter([(0, None, None), (0, "one", None)]))
    assert list(unread_ids(store_set, READ, batch_rows=1)) == ["one"]
    assert count(store_set, READ) == 1


def test_messages_may_go_meanwhile(mixed: StoreSet) -> None:
    """What is marked read or collected while ids are read neither repeats nor hides any."""
    found = []
    for one in unread_ids(mixed, READ, batch_rows=1):
        found.append(one)
        mixed.execute(STORE, "DELETE FROM messages WHERE key_id = %s", (one,))
    assert found == ["never0", "zero0", "never1", "zero1"]
    assert count(mixed, READ) == 0


def test_memory_does_not_grow_with_messages(store_set: StoreSet) -> None:
    """Twenty times as many unread messages take no more memory."""
    peaks = []
    for most in (2_000, 40_000):
        load(store_set, ((0, f"{most:x}x{n:x}", None) for n in range(most)))
        tracemalloc.start()
        try:
            assert sum(1 for _ in unread_ids(store_set, READ)) >= most
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]


@pytest.mark.parametrize("ask", [count, lambda *asked: list(unread_ids(*asked))])
def test_a_column_that_is_missing_is_named(store_set: StoreSet, ask: object) -> None:
    """Where the column of reading is not there, the sentence names it and where to mend it."""
    assert callable(ask)
    with pytest.raises(StoreError, match=r"no column seen_at, .*policy\.toml"):
        ask(store_set, "seen_at")


def test_a_table_that_is_missing_is_named(store_set: StoreSet) -> None:
    """Where the messages are not there, the sentence says so."""
    with pytest.raises(StoreError, match=r"messageStore\.gone is not there"):
        count(store_set, READ, messages=(STORE, "gone"))


def test_a_table_without_a_key_is_refused(store_set: StoreSet) -> None:
    """Without an integer key ids are not read, since each batch would be a pass over all."""
    store_set.execute(
        STORE, f"CREATE TABLE keyless (key_from_me smallint, key_id varchar(9), {READ} bigint)"
    )
    try:
        with pytest.raises(StoreError, match="no integer key"):
            list(unread_ids(store_set, READ, messages=(STORE, "keyless")))
    finally:
        store_set.execute(STORE, "DROP TABLE keyless")


def test_a_locked_table_is_given_up(mixed: StoreSet, described: Manifest) -> None:
    """Where somebody has locked the messages, the reading ends and does not hang."""
    other = connect(mixed.config, [store.name for store in described.stores])
    try:
        if mixed.config.engine is EngineKind.MYSQL:
            other.execute(STORE, "LOCK TABLES messages WRITE")
        else:
            other.execute(STORE, "BEGIN")
            other.execute(STORE, "LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(ConflictError):
            list(unread_ids(mixed, READ))
    finally:
        other.close()
    assert len(list(unread_ids(mixed, READ))) == 4
