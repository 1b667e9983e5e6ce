"""One decision for several databases: prepared, it survives its client and a crash of the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace

import pytest

from harness import config
from harness.config import RunConfig
from harness.errors import PlanError, StoreError, UnsettledError
from harness.manifest import Manifest
from harness.model import EngineChoice, EngineKind, SeedRow
from harness.servers import EmbeddedServer, launch
from harness.stores import StoreSet, connect, ddl
from harness.stores.protocol import committed_in_order

STORE = "messageStore"
PLACES = ("messageStore", "contactStore")
TABLE = "decided"
on_postgres = pytest.mark.parametrize(
    "kind", [EngineKind.POSTGRES], indirect=True, ids=str, scope="session"
)
on_mysql = pytest.mark.parametrize(
    "kind", [EngineKind.MYSQL], indirect=True, ids=str, scope="session"
)


class AbandonedError(Exception):
    """What ends a transaction half way in these tests."""


@pytest.fixture
def tabled(store_set: StoreSet) -> Iterator[StoreSet]:
    """The store set with a table in two stores, each with one row."""
    make(store_set)
    yield store_set
    for store in PLACES:
        store_set.execute(store, f"DROP TABLE {TABLE}")


@pytest.fixture
def server(choice: EngineChoice) -> Iterator[EmbeddedServer]:
    """A server of the test's own, to be killed."""
    started = launch(choice)
    try:
        started.wait_ready()
        yield started
    finally:
        started.stop()


@pytest.fixture
def other(tabled: StoreSet, described: Manifest) -> Iterator[StoreSet]:
    """Another client of the same store set."""
    reached = again(tabled.config, described)
    yield reached
    reached.close()


def again(reached: RunConfig, described: Manifest) -> StoreSet:
    """Reach a store set over new connections."""
    return connect(reached, [store.name for store in described.stores])


def make(store_set: StoreSet) -> None:
    """Make the table in two stores, each with one row."""
    for store in PLACES:
        store_set.execute(store, f"CREATE TABLE {TABLE} (id INT PRIMARY KEY)")
    store_set.insert([SeedRow(store, TABLE, {"id": 1}) for store in PLACES])


def change(store_set: StoreSet) -> None:
    """Delete the row of each store."""
    for store in PLACES:
        store_set.execute(store, f"DELETE FROM {TABLE}")


def decide(
    store_set: StoreSet,
    then: Callable[[], object] = str,
    *,
    before: Callable[[], object] = str,
) -> None:
    """Prepare a change in a transaction; do something more before and after."""
    with store_set.transaction():
        before()
        change(store_set)
        store_set.prepare("one")
        then()


def left(store_set: StoreSet) -> list[int]:
    """Return how many rows each store holds."""
    return [store_set.query(store, f"SELECT count(*) FROM {TABLE}")[0][0] for store in PLACES]


def prepare_and_abandon(store_set: StoreSet, token: str) -> tuple[str, ...]:
    """Prepare a change and lose every connection, as a killed client does; return the names."""
    names = store_set.commit_names(token)
    with store_set.transaction():
        change(store_set)
        store_set.prepare(token)
        store_set._prepared = {}  # type: ignore[attr-defined]
        store_set._in_transaction = False  # type: ignore[attr-defined]
        store_set.close()
    return names


@pytest.mark.parametrize("prepared", [False, True], ids=["at once", "in two phases"])
def test_a_commit_commits_every_store_the_aliases_last(
    tabled: StoreSet, other: StoreSet, *, prepared: bool
) -> None:
    """Prepared or not, a commit tells of each store once, contactStore last, and all are changed."""
    told: list[str] = []
    with tabled.transaction():
        change(tabled)
        if prepared:
            tabled.prepare("one")
            assert left(other) == [1, 1]
        tabled.commit(told.append)
    assert left(other) == [0, 0]
    assert tuple(told) == tabled.commit_order()
    assert told[-1] == "contactStore"
    assert set(told) == set(tabled.databases())


@on_mysql
def test_one_commit_reaches_all_databases_of_mysql(tabled: StoreSet) -> None:
    """On MySQL one commit is one decision, so nothing is named, prepared or settled."""
    assert tabled.is_atomic()
    assert tabled.commit_names("one") == ()
    assert tabled.prepared(["waba_erasure_one_waweb"]) == ()
    assert tabled.settle(["waba_erasure_one_waweb"], commit=True) == 0


@on_postgres
def test_names_tell_store_and_commit(tabled: StoreSet, other: StoreSet) -> None:
    """What is prepared stands under the names foretold, one per database, and under no other."""
    names = tabled.commit_names("one")
    assert names == tuple(f"waba_erasure_one_{store}" for store in tabled.commit_order())
    assert other.prepared(names) == ()
    with tabled.transaction():
        change(tabled)
        tabled.prepare("one")
        assert other.prepared([*names, "waba_erasure_two_waweb"]) == names
        tabled.commit()
    assert other.prepared(names) == ()


@on_postgres
@pytest.mark.parametrize("token", ["", "a b", "a'b", "ä", "x" * 200])
def test_a_name_that_is_none_is_refused(tabled: StoreSet, token: str) -> None:
    """A token that would make no name, or one too long for the server, is refused before all else."""
    with pytest.raises(PlanError, match="another token"):
        tabled.commit_names(token)


@on_postgres
def test_what_was_prepared_and_not_committed_is_taken_back(
    tabled: StoreSet, other: StoreSet
) -> None:
    """A transaction left without a commit after it was prepared leaves nothing standing and no change."""
    names = tabled.commit_names("one")
    with suppress(AbandonedError), tabled.transaction():
        change(tabled)
        tabled.prepare("one")
        assert other.prepared(names) == names
        raise AbandonedError
    assert other.prepared(names) == ()
    assert left(other) == [1, 1]
    with tabled.transaction():
        change(tabled)
        tabled.commit()
    assert left(other) == [0, 0]


@on_postgres
@pytest.mark.parametrize("commit", [False, True], ids=["rolled back", "committed"])
def test_a_client_that_is_gone_is_finished_by_another(
    tabled: StoreSet, other: StoreSet, *, commit: bool
) -> None:
    """What a client prepared before it died, another finishes by name, either way, once."""
    names = prepare_and_abandon(tabled, "one")
    assert other.prepared(names) == names
    assert other.settle(names, commit=commit) == len(names)
    assert other.settle(names, commit=commit) == 0
    assert left(other) == ([0, 0] if commit else [1, 1])


@on_postgres
@pytest.mark.parametrize("commit", [False, True], ids=["rolled back", "committed"])
def test_a_server_killed_after_preparing(
    server: EmbeddedServer, described: Manifest, choice: EngineChoice, *, commit: bool
) -> None:
    """Killed between prepare and commit, the server comes back with all stores to be finished either way."""
    reached = config.from_variables(server.environment, source="test")
    store_set = again(reached, described)
    store_set.create(ddl.committed(described, choice.kind))
    make(store_set)
    names = store_set.commit_names("one")
    with suppress(StoreError), store_set.transaction():
        change(store_set)
        store_set.prepare("one")
        server.crash()
        if commit:
            store_set.commit()
    server.wait_ready()
    resumed = again(reached, described)
    assert resumed.prepared(names) == names
    assert left(resumed) == [1, 1]
    assert resumed.settle(names, commit=commit) == len(names)
    assert left(resumed) == ([0, 0] if commit else [1, 1])
    resumed.close()


@on_postgres
def test_a_server_killed_between_two_commits(
    server: EmbeddedServer, described: Manifest, choice: EngineChoice
) -> None:
    """Killed after the first store was committed, the server comes back and the rest is committed too."""
    reached = config.from_variables(server.environment, source="test")
    store_set = again(reached, described)
    store_set.create(ddl.committed(described, choice.kind))
    make(store_set)
    names = store_set.commit_names("one")
    committed: list[str] = []

    def note(store: str) -> None:
        committed.append(store)
        if len(committed) == 1:
            server.crash()

    with suppress(UnsettledError):
        decide(store_set, lambda: store_set.commit(note))
    server.wait_ready()
    resumed = again(reached, described)
    # Names of what was already committed are no hindrance.
    assert names[0] not in resumed.prepared(names)
    resumed.settle(names, commit=True)
    assert resumed.prepared(names) == ()
    assert left(resumed) == [0, 0]
    resumed.close()


@on_postgres
def test_sessions_lost_after_preparing_do_not_matter(tabled: StoreSet, other: StoreSet) -> None:
    """When every session ends between prepare and commit, new ones commit what was prepared."""
    with tabled.transaction():
        change(tabled)
        tabled.prepare("one")
        end_sessions(other)
        tabled.commit()
    assert left(other) == [0, 0]


def end_sessions(store_set: StoreSet) -> None:
    """End every session but those of this store set."""
    mine = [
        store_set.query(store, "SELECT pg_backend_pid()")[0][0] for store in store_set.databases()
    ]
    mine.append(store_set._rows("postgres", "SELECT pg_backend_pid()")[0][0])  # type: ignore[attr-defined]
    store_set.query(
        STORE,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> ALL (%s)",
        (mine,),
    )


@on_postgres
def test_a_commit_that_ends_half_way_is_to_be_resumed(
    tabled: StoreSet, other: StoreSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once one store is committed none is rolled back: the rest stands, and is finished by name."""
    names = tabled.commit_names("one")
    real = type(tabled)._run  # type: ignore[attr-defined]
    committed: list[str] = []

    def failing(self: StoreSet, database: str, sql: str, values: tuple[object, ...] = ()) -> int:
        if committed and sql.startswith("COMMIT"):
            raise StoreError("refused")
        answer: int = real(self, database, sql, values)
        return answer

    monkeypatch.setattr(type(tabled), "_run", failing)
    with pytest.raises(UnsettledError, match="--resume"):
        decide(tabled, lambda: tabled.commit(committed.append))
    monkeypatch.undo()
    assert committed == [tabled.commit_order()[0]]
    assert other.prepared(names) == names[1:]
    assert other.settle(names, commit=True) == len(names) - 1
    assert left(other) == [0, 0]


@on_postgres
@pytest.mark.parametrize("at", [0, -1], ids=["the first", "the last"])
def test_a_database_that_cannot_be_prepared(tabled: StoreSet, other: StoreSet, at: int) -> None:
    """Where one database refuses, as after a temporary table, every other one is rolled back too."""
    store = tabled.commit_order()[at]
    names = tabled.commit_names("one")
    with pytest.raises(StoreError) as refusal:
        decide(tabled, before=lambda: tabled.execute(store, "CREATE TEMPORARY TABLE t (id INT)"))
    assert refusal.value.code == "0A000"
    assert other.prepared(names) == ()
    assert left(other) == [1, 1]


@on_postgres
def test_without_room_nothing_is_prepared(tabled: StoreSet, other: StoreSet) -> None:
    """Where others use up max_prepared_transactions the set is not atomic, and preparing is refused."""
    with ExitStack() as stack:
        taken: list[str] = []
        stack.callback(lambda: other.settle(taken, commit=False))
        for number in range(16 - len(tabled.databases()) + 1):
            assert tabled.is_atomic()
            other.execute(STORE, "BEGIN")
            taken.append(f"somebody_{number}")
            other.execute(STORE, "PREPARE TRANSACTION %s", (taken[-1],))
        assert not tabled.is_atomic()
        assert tabled.commit_names("one") == ()
        with tabled.transaction():
            change(tabled)
            with pytest.raises(PlanError, match="max_prepared_transactions"):
                tabled.prepare("one")
            assert left(tabled) == [0, 0]
            tabled.commit()
    assert left(other) == [0, 0]


@on_postgres
def test_a_single_database_needs_no_preparing(tabled: StoreSet) -> None:
    """A set of one database is committed by one decision, without a name."""
    alone = connect(tabled.config, [STORE])
    try:
        assert alone.is_atomic()
        assert alone.commit_names("one") == ()
        with alone.transaction():
            alone.execute(STORE, f"DELETE FROM {TABLE}")
            alone.prepare("one")
            alone.commit()
        assert left(tabled) == [0, 1]
    finally:
        alone.close()


@on_postgres
def test_what_cannot_be_taken_back_is_to_be_resumed(tabled: StoreSet, described: Manifest) -> None:
    """Where the server is gone when prepared transactions are rolled back, the error names the way out."""
    names = tabled.commit_names("one")
    real = tabled.config
    gone = replace(real, port=1)
    with pytest.raises(UnsettledError, match=r"rolled back .*--resume"):
        decide(tabled, lambda: setattr(tabled, "config", gone))
    tabled.config = real
    tabled.close()
    finishing = again(real, described)
    try:
        assert finishing.settle(names, commit=False) == len(names)
    finally:
        finishing.close()


def test_the_store_with_the_aliases_is_last_whatever_the_others() -> None:
    """The order of commits keeps the stores' own, with contactStore last where it is present."""
    assert committed_in_order(["contactStore", "b", "a"]) == ("b", "a", "contactStore")
    assert committed_in_order(["b", "a"]) == ("b", "a")
