"""One operator at a time: the second is told, a killed one is no obstacle, a lost lock is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness.config import RunConfig
from harness.errors import BusyError, RefusalError, StoreError
from harness.manifest import Manifest
from harness.model import EngineKind
from harness.stores import Exclusion, StoreSet, connect, ddl, exclusive

LONGEST_PREFIX = "p" * 40
END = {
    EngineKind.MYSQL: "KILL {}",
    EngineKind.POSTGRES: "SELECT pg_terminate_backend({})",
}
ME = {EngineKind.MYSQL: "SELECT connection_id()", EngineKind.POSTGRES: "SELECT pg_backend_pid()"}


@pytest.fixture
def stores(described: Manifest) -> list[str]:
    """The names of all stores."""
    return [store.name for store in described.stores]


def session_of(lock: Exclusion) -> int:
    """Return the server's number for the lock's own session."""
    store_set, store = lock._store_set, lock._store
    ((number,),) = store_set.query(store, ME[store_set.config.engine])
    return int(number)


def end(store_set: StoreSet, session: int) -> None:
    """End a session on the server."""
    store_set.query("contactStore", END[store_set.config.engine].format(session))


def test_a_second_operator_is_refused(store_set: StoreSet, stores: list[str]) -> None:
    """While one operator has the lock a second is refused in one sentence, and may come afterwards."""
    with exclusive(store_set.config, stores, wait_s=0) as first:
        with (
            pytest.raises(BusyError, match="Another operator") as refused,
            exclusive(store_set.config, stores, wait_s=0.3),
        ):
            pass
        first.require_held()
        assert END[store_set.config.engine].format(session_of(first)) in str(refused.value)
    with exclusive(store_set.config, stores, wait_s=10) as second:
        second.require_held()
    assert issubclass(BusyError, RefusalError)


def test_an_operator_who_knows_fewer_stores_meets_the_same_lock(
    store_set: StoreSet, stores: list[str]
) -> None:
    """The lock's place does not depend on the order in which stores are named, nor on the others."""
    with (
        exclusive(store_set.config, stores, wait_s=0),
        pytest.raises(BusyError),
        exclusive(store_set.config, ["waweb", "contactStore"], wait_s=0),
    ):
        pass


@pytest.fixture
def elsewhere(run_config: RunConfig, described: Manifest) -> Iterator[StoreSet]:
    """Another store set on the same server, under the longest prefix there is."""
    made = connect(replace(run_config, prefix=LONGEST_PREFIX), ["waweb", "contactStore"])
    every = ddl.committed(described, run_config.engine)
    made.create({store: every[store] for store in ("waweb", "contactStore")})
    yield made
    made.drop()
    made.close()


def test_another_store_set_has_a_lock_of_its_own(
    store_set: StoreSet, elsewhere: StoreSet, stores: list[str]
) -> None:
    """Store sets with different prefixes on one server are erased from side by side."""
    with (
        exclusive(store_set.config, stores, wait_s=0) as one,
        exclusive(elsewhere.config, stores, wait_s=0) as another,
    ):
        one.require_held()
        another.require_held()
        with pytest.raises(BusyError), exclusive(elsewhere.config, stores, wait_s=0):
            pass


def test_a_lock_whose_connection_was_ended_is_noticed(
    store_set: StoreSet, stores: list[str]
) -> None:
    """When the lock's connection is ended the run is told before it commits, and another may begin."""
    with exclusive(store_set.config, stores, wait_s=0) as lock:
        lock.require_held()
        end(store_set, session_of(lock))
        with pytest.raises(StoreError, match="was lost"):
            lock.require_held()
        with exclusive(store_set.config, stores, wait_s=10) as next_one:
            next_one.require_held()


def test_a_lock_given_back_is_noticed(store_set: StoreSet, stores: list[str]) -> None:
    """A lock that is gone while its connection lives, as behind a pooler, is noticed too."""
    back = {
        EngineKind.MYSQL: "SELECT release_lock(%s)",
        EngineKind.POSTGRES: "SELECT pg_advisory_unlock(%s)",
    }[store_set.config.engine]
    with exclusive(store_set.config, stores, wait_s=0) as lock:
        assert bool(lock._store_set.query(lock._store, back, (lock._name,))[0][0])
        with pytest.raises(StoreError, match="was lost"):
            lock.require_held()


def test_a_dead_operator_is_waited_for(store_set: StoreSet, stores: list[str]) -> None:
    """Whoever comes right after a run was killed gets the lock as soon as its session is gone."""
    with exclusive(store_set.config, stores, wait_s=0) as lock:
        session = session_of(lock)
        end(store_set, session)
        with exclusive(store_set.config, stores, wait_s=10) as after:
            after.require_held()
            assert session_of(after) != session


def test_a_set_without_any_store_has_no_lock(run_config: RunConfig) -> None:
    """Where none of the stores is there, nothing is locked and the sentence says so."""
    nowhere = replace(run_config, prefix="nowhere_")
    with pytest.raises(StoreError, match="None of the stores"), exclusive(nowhere, ["x"], wait_s=0):
        pass


def test_the_longest_prefix_leaves_a_name_that_mysql_takes() -> None:
    """MySQL's lock names have at most 64 characters, and ours never more."""
    assert len(f"waba_erase_{LONGEST_PREFIX}contactStore") <= 64
