"""Phase 6 by itself: what cannot be done is recorded, and what comes after it is done all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.config import RunConfig, WebappConfig
from harness.maintenance import gc_policy
from harness.maintenance.collecting import barred, made
from harness.model import Collected, EngineKind, Garbage, MarkedRead, Secret, SeedRow
from harness.stores import StoreSet
from harness.webapp import StandInConfig, standing

from .webapp_bed import message

POLICY = replace(
    gc_policy.load(), look_every_s=0.05, rest_looks=2, least_s=0.1, wait_s=5.0, marks_per_s=1000.0
)
MESSAGES = (Garbage.MESSAGES,)
one_engine = pytest.mark.parametrize("kind", [EngineKind.POSTGRES], indirect=True, ids=str)


def unread() -> SeedRow:
    """Return a message that nobody has read."""
    return message(1)


def nothing() -> None:
    """Check nothing."""


def collected(run_config: RunConfig, store_set: StoreSet, column: str) -> list[object]:
    """Mark messages read, whose time of reading is in a column, and collect."""
    records: list[object] = []
    with standing(StandInConfig(run_config=run_config)) as stand_in:
        given = WebappConfig(stand_in.url, stand_in.username, Secret(stand_in.password))
        policy = replace(POLICY, read_column=column)
        collecting = made(given, MESSAGES, policy, reads=True)
        collecting.collect("r", store_set, records.append, nothing)
        assert not collecting.due
    return records


def test_messages_are_marked_and_collected(run_config: RunConfig, store_set: StoreSet) -> None:
    """What is unread is marked read before the client collects, and goes then."""
    store_set.insert([unread()])
    read, ended = collected(run_config, store_set, POLICY.read_column)
    assert isinstance(read, MarkedRead)
    assert (read.marked, read.why) == (1, "")
    assert isinstance(ended, Collected)
    assert (ended.complete, ended.rows_before, ended.rows_after) == (True, 1, 0)


@one_engine
def test_what_cannot_be_marked_is_collected_all_the_same(
    run_config: RunConfig, store_set: StoreSet
) -> None:
    """A column that is not there is told, and keeps nothing from being collected."""
    store_set.insert([unread()])
    read, ended = collected(run_config, store_set, "no_such_column")
    assert isinstance(read, MarkedRead)
    assert read.marked == 0
    assert "no_such_column" in read.why
    assert isinstance(ended, Collected)
    assert ended.complete


@one_engine
def test_a_client_that_cannot_be_asked_is_recorded(store_set: StoreSet) -> None:
    """Where nothing may be asked of the client, each collection is recorded as not begun."""
    records: list[object] = []
    collecting = barred(MESSAGES, POLICY, "no credentials were given")
    collecting.look("r", records.append)
    collecting.collect("r", store_set, records.append, nothing)
    (ended,) = records
    assert isinstance(ended, Collected)
    assert (ended.complete, ended.times, ended.why) == (False, 0, "no credentials were given")


@one_engine
def test_what_has_ended_is_not_asked_for_again(store_set: StoreSet) -> None:
    """A collection that a session had seen to its end before it was interrupted is not due."""
    ended = Collected("r", Garbage.MESSAGES, "", 0.0, 1, True, True, 1, 1, 0, ())
    nowhere = WebappConfig("http://127.0.0.1:9", "", Secret(""))
    records: list[object] = []
    collecting = made(nowhere, MESSAGES, POLICY, ended=[ended])
    assert not collecting.due
    collecting.collect("r", store_set, records.append, nothing)
    assert records == []
