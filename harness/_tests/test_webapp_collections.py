"""The stand-in's collections remove what its policy says, on both engines, and tell of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.maintenance import gc_policy
from harness.model import Garbage, SeedRow
from harness.population.people import person
from harness.stores import StoreSet
from harness.webapp import Fault, StandInConfig, garbage, standing

from .webapp_bed import (
    AS_OF,
    Caller,
    Listener,
    ago_ms,
    calling,
    grid,
    ids,
    keys,
    listening,
    message,
    ms,
    receipts,
)

POLICY = replace(gc_policy.load(), batch_rows=7)
GRID = grid()
STALE = {row.values["key_id"] for row in GRID if garbage(POLICY, row.values, AS_OF)}
STAYS = {row.values["key_id"] for row in GRID} - STALE
META = {"api_status": "stable", "version": "v2.45.1"}
OFF = {"garbagecollector_enable": {"messages": False, "media": False}}


@contextmanager
def heard(run_config: RunConfig, **options: Any) -> Iterator[tuple[Caller, Listener]]:
    """Let a stand-in stand that notifies a listener."""
    config = StandInConfig(run_config=run_config, policy=POLICY, as_of=AS_OF, **options)
    with listening() as listener, standing(config) as stand_in, calling(stand_in) as caller:
        caller.listen(listener.url)
        yield caller, listener


def test_the_grid_has_both() -> None:
    """Among the messages of the tests there is garbage, and what is none, in either direction."""
    assert len(STALE) > 20
    assert len(STAYS) > 20
    assert {row.values["key_from_me"] for row in GRID if row.values["key_id"] in STAYS} >= {0, 1}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"key_from_me": 0}, False),
        ({"key_from_me": 0, "read_device_timestamp": 1}, True),
        ({"key_from_me": 0, "receipt_device_timestamp": 1}, False),
        ({"key_from_me": 1, "receipt_device_timestamp": 1}, True),
        ({"key_from_me": 1, "read_device_timestamp": 1}, False),
        ({"read_device_timestamp": 1, "receipt_device_timestamp": 1}, False),
        ({"key_from_me": 0, "timestamp": ago_ms(days=30)}, False),
        ({"key_from_me": 0, "timestamp": ago_ms(days=30, milliseconds=1)}, True),
        ({"timestamp": 0}, True),
        ({}, False),
    ],
)
def test_what_is_garbage(values: dict[str, int], expected: bool) -> None:  # noqa: FBT001
    """Read inbound, delivered outbound and old messages are garbage, and no others."""
    assert garbage(POLICY, values, AS_OF) is expected


def test_age_can_be_switched_off() -> None:
    """Where the policy names no age no message goes for its age."""
    assert not garbage(replace(POLICY, older_than_days=0), {"timestamp": 0}, AS_OF)


def test_a_collection_removes_just_the_garbage(store_set: StoreSet, run_config: RunConfig) -> None:
    """Exactly the messages that Python calls garbage go, with their receipts, and that is told."""
    store_set.insert([*GRID, *receipts(GRID)])
    before = keys(store_set)
    with heard(run_config) as (caller, listener):
        answer = caller.ask("PUT", "services/message/gc")
        assert answer.status_code == 200
        assert answer.json() == {
            "services": {"message": {"gc": {"status": "processing"}}},
            "meta": META,
        }
        gc = {"messages_deleted": len(STALE), "status": "complete"}
        assert listener.hear() == [{"services": [{"message": {"gc": gc}}]}]
        caller.stand_in.wait_idle()
        (collected,) = caller.stand_in.collections
    assert ids(store_set) == STAYS
    assert collected.messages == before - keys(store_set)
    assert (collected.node, collected.failed, collected.told) == ("", False, True)
    assert ids(store_set, "receipts") == STAYS
    assert ids(store_set, "messages_receipt_log") == STAYS
    assert collected.receipts == 2 * len(STALE)


def test_ids_differ_by_case(store_set: StoreSet, run_config: RunConfig) -> None:
    """A receipt of a message whose id differs by case alone stays."""
    rows = (message(1, key_id="gBGGaa", timestamp=0), message(1, key_id="gBGGAA"))
    store_set.insert([rows[0], *receipts(rows)])
    with heard(run_config) as (caller, listener):
        caller.ask("PUT", "services/message/gc")
        listener.hear()
    assert ids(store_set) == set()
    assert ids(store_set, "messages_receipt_log") == {"gBGGAA"}
    assert ids(store_set, "receipts") == {"gBGGAA"}


def test_coreapps_divide_the_messages(store_set: StoreSet, run_config: RunConfig) -> None:
    """In multiconnect each Coreapp removes its own shards' garbage, and tells it under its name."""
    store_set.insert([*GRID, *receipts(GRID)])
    before = keys(store_set)
    with heard(run_config, nodes=3) as (caller, listener):
        answer = caller.ask("PUT", "services/message/gc").json()
        nodes = answer["services"]["message"]["gc"]
        assert nodes == {node: {"status": "processing"} for node in caller.stand_in.nodes}
        told = [one["services"][0]["message"]["gc"] for one in listener.hear(3)]
        caller.stand_in.wait_idle()
        collections = {one.node: one for one in caller.stand_in.collections}
    assert [set(one) for one in told] == [{"messages_deleted", "node", "status"}] * 3
    assert {one["node"]: one["messages_deleted"] for one in told} == {
        node: len(one.messages) for node, one in collections.items()
    }
    assert sum(map(len, (one.messages for one in collections.values()))) == len(STALE)
    assert frozenset().union(*(one.messages for one in collections.values())) == before - keys(
        store_set
    )
    assert all(one.messages for one in collections.values()), "one of them had nothing to do"
    assert ids(store_set) == STAYS


def test_one_collection_at_a_time(store_set: StoreSet, run_config: RunConfig) -> None:
    """While a collection runs a second one of the same kind is refused, and later it is not."""
    store_set.insert(GRID)
    with heard(run_config) as (caller, listener):
        caller.stand_in.faults.add(Fault.STALLS)
        for path in ("services/message/gc", "services/media/gc"):
            assert caller.ask("PUT", path).status_code == 200
            assert caller.error("PUT", path) == (429, 1015)
        caller.stand_in.faults.clear()
        caller.stand_in.wait_idle()
        assert ids(store_set) == {row.values["key_id"] for row in GRID}
        # Who was told asks again at once, three times.
        for left in (len(STALE), 0, 0):
            assert caller.ask("PUT", "services/message/gc").status_code == 200
            (told,) = listener.hear()
            assert told["services"][0]["message"]["gc"]["messages_deleted"] == left


def test_a_collection_is_committed_batch_by_batch(
    store_set: StoreSet, run_config: RunConfig
) -> None:
    """While a collection runs the garbage becomes less, seen from outside."""
    store_set.insert(GRID)
    with heard(run_config, pause_s=0.2) as (caller, _):
        caller.ask("PUT", "services/message/gc")
        seen = {len(keys(store_set))}
        while len(seen) < 3:
            seen.add(len(keys(store_set)))
        assert max(seen) > min(seen) > len(STAYS)
    assert caller.stand_in.collections[0].told is False


def test_a_database_that_refuses_fails_the_collection(
    store_set: StoreSet, run_config: RunConfig
) -> None:
    """A collection whose statement is refused is told as failed, with an error."""
    store_set.insert(GRID)
    store_set.execute("messageStore", "ALTER TABLE receipts RENAME TO receipts_away")
    try:
        with heard(run_config) as (caller, listener):
            caller.ask("PUT", "services/message/gc")
            (told,) = listener.hear()
    finally:
        store_set.execute("messageStore", "ALTER TABLE receipts_away RENAME TO receipts")
    gc = told["services"][0]["message"]["gc"]
    assert gc["status"] == "failed"
    assert gc["errors"][0]["code"] == 1014


def test_media_unused_for_30_days_goes(
    store_set: StoreSet, run_config: RunConfig, tmp_path: Path
) -> None:
    """Files that only old rows lead to, or no row and that are old, go; the rows stay."""
    shared = tmp_path / "shared"
    shared.mkdir()
    young, old = ago_ms(days=29), ago_ms(days=31)
    led = {"old": [old], "young": [young], "both": [old, young], "lost-old": [], "lost-young": []}
    rows = [
        message(10 * at + place, media_url=f"/usr/local/wamedia/shared/{name}", timestamp=at_ms)
        for at, (name, stamps) in enumerate(led.items())
        for place, at_ms in enumerate(stamps)
    ]
    store_set.insert([*rows, message(99, media_name="old", timestamp=old)])
    for name in led:
        file = shared / name
        file.write_bytes(b"picture")
        at_ms = old if name in {"lost-old", "young"} else ms(AS_OF)
        os.utime(file, (at_ms / 1000, at_ms / 1000))
    with heard(run_config, media_dir=tmp_path) as (caller, listener):
        answer = caller.ask("PUT", "services/media/gc").json()
        assert answer["services"] == {"media": {"gc": {"status": "processing"}}}
        gc = {"items_deleted": 2, "status": "complete"}
        assert listener.hear() == [{"services": [{"media": {"gc": gc}}]}]
        caller.stand_in.wait_idle()
        (collected,) = caller.stand_in.collections
    assert collected.files == ("shared/lost-old", "shared/old")
    assert {file.name for file in shared.iterdir()} == {"young", "both", "lost-young"}
    left = store_set.query(
        "messageStore", "SELECT media_url FROM messages WHERE media_url IS NOT NULL"
    )
    assert sorted(url.rsplit("/", 1)[-1] for (url,) in left) == ["both", "both", "young"]
    assert len(keys(store_set)) == 5


def test_media_in_multiconnect_is_the_leaders(
    store_set: StoreSet, run_config: RunConfig, tmp_path: Path
) -> None:
    """In multiconnect one Coreapp removes media, and one notification tells it."""
    assert keys(store_set) == set()
    with heard(run_config, nodes=2, media_dir=tmp_path) as (caller, listener):
        caller.ask("PUT", "services/media/gc")
        listener.hear()
        caller.stand_in.wait_idle()
        assert [one.garbage for one in caller.stand_in.collections] == [Garbage.MEDIA]
        assert listener.heard.empty()


def test_pass_through_removes_what_is_read_or_delivered(
    store_set: StoreSet, run_config: RunConfig
) -> None:
    """With pass-through in force read and delivered messages go by themselves, old ones do not."""
    store_set.insert(
        [
            message(1, read_device_timestamp=5),
            message(2, key_from_me=1, receipt_device_timestamp=5),
            message(3, timestamp=0),
            message(4),
        ]
    )
    with heard(run_config, version="2.27.9") as (caller, _):
        assert caller.stand_in.tick() == 2
        assert ids(store_set) == {"message-3", "message-4"}
        assert caller.ask("PUT", "messages/message-4", json={"status": "read"}).ok
    assert ids(store_set) == {"message-3"}


def test_the_automatic_collector_works_if_it_is_on(
    store_set: StoreSet, run_config: RunConfig
) -> None:
    """What is garbage goes by itself with the automatic collector on, and stays with it off."""
    store_set.insert(GRID)
    with heard(run_config, settings=OFF) as (caller, listener):
        assert caller.stand_in.tick() == 0
        on = {"garbagecollector_enable": {"messages": True}}
        assert caller.ask("PATCH", "settings/application", json=on).ok
        assert caller.stand_in.tick() == 0
        caller.stand_in.restart_coreapps()
        assert caller.stand_in.tick() == len(STALE)
        assert listener.heard.empty()
    assert ids(store_set) == STAYS


def test_a_coreapp_writes_back_what_it_remembers(
    store_set: StoreSet, run_config: RunConfig
) -> None:
    """Rows in a Coreapp's cache that are gone come back, once; a restart forgets them."""
    rows = (
        message(1),
        message(2),
        SeedRow("contactStore", "wa_contacts", {"jid": person(1).jid, "number": None}),
        SeedRow("axolotlStore", "sessions", {"recipient_id": 1, "device_id": 1, "record": b"\0"}),
    )
    store_set.insert(rows[1:2])
    with heard(run_config) as (caller, _):
        caller.stand_in.remember(rows)
        assert caller.stand_in.reinsert() == 3
        assert caller.stand_in.reinsert() == 0
        assert ids(store_set) == {"message-1", "message-2"}
        store_set.clear()
        caller.stand_in.restart_coreapps()
        assert caller.stand_in.reinsert() == 0


def test_a_collection_can_be_when_it_writes_back(
    store_set: StoreSet, run_config: RunConfig
) -> None:
    """A Coreapp made to do so writes back before it tells that a collection is complete."""
    with heard(run_config) as (caller, listener):
        caller.stand_in.remember([message(1)], reinsert_on="collection")
        assert ids(store_set) == set()
        caller.ask("PUT", "services/message/gc")
        listener.hear()
        assert ids(store_set) == {"message-1"}
