"""Weighing on real servers: every estimate, count and gap is made on purpose, and seen told."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from harness.config import RunConfig
from harness.manifest import Manifest
from harness.model import EngineKind, Moment, Secret, TableSchema
from harness.model.collected import TableWeight, Weighed
from harness.population.people import person
from harness.stores import StoreSet, connect, keyset, postgres_weight, traffic
from harness.stores.keyset import named
from harness.stores.local_disk import fullest, is_here
from harness.stores.scales import UNBOUNDED, Estimate, Limits
from harness.stores.weight import grouped, is_near, weigh

from .powerless import powerless

STORE = "messageStore"
MESSAGES = (STORE, "messages")
QUEUE = ("callbackStore", "queue")
PASSWORD = "of the weighing users"
USER = "waba_weigher"
FAR_ABOVE = Limits(1, 10**7)
FAR_BELOW = Limits(10**6, 10**7)
PROBE_ROWS = 100_000
COLUMNS = ("key_remote_jid", "key_from_me", "key_id", "timestamp")
SETTLING_S = 30.0
FIRST = 10**7
Locking = Callable[[StoreSet, Manifest], AbstractContextManager[None]]
OF_MESSAGES = "pg_stat_user_tables WHERE relname = 'messages'"
on_mysql = pytest.mark.parametrize(
    "kind", [EngineKind.MYSQL], indirect=True, ids=str, scope="session"
)
on_postgres = pytest.mark.parametrize(
    "kind", [EngineKind.POSTGRES], indirect=True, ids=str, scope="session"
)


def weighed(store_set: StoreSet, limits: Limits = FAR_BELOW) -> Weighed:
    """Weigh the store set."""
    return weigh(store_set, "testrun", Moment.BEFORE, limits)


def of_table(found: Weighed, table: str = "messages") -> TableWeight:
    """Return what was found of one table."""
    return next(one for one in found.tables if (one.store, one.table) == (STORE, table))


def load(store_set: StoreSet, times: Sequence[int | None], *, outbound: int = 1) -> None:
    """Load messages of these times, all in one direction."""
    jid = person(0).jid
    # Keys that follow each other: left to itself, MySQL skips some when many rows are loaded.
    ((highest,),) = store_set.query(STORE, "SELECT max(_id) FROM messages")
    key = (highest or FIRST) + 1
    rows = ((key + n, jid, outbound, f"key{key + n:x}", at) for n, at in enumerate(times))
    store_set.load(STORE, "messages", ("_id", *COLUMNS), rows)


def flush(store_set: StoreSet) -> None:
    """End all sessions on PostgreSQL, since each keeps what it changed to itself for a while."""
    if is_mysql(store_set):
        return
    store_set.close()
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    wait_for(lambda: store_set.query(STORE, others) == [(1,)])


def analyse(store_set: StoreSet, table: str = "messages") -> None:
    """Have the server look at a table."""
    if is_mysql(store_set):
        store_set.query(STORE, f"ANALYZE TABLE {table}")
        return
    flush(store_set)
    store_set.execute(STORE, f"VACUUM ANALYZE {table}")
    settled = (
        f"SELECT n_dead_tup, n_mod_since_analyze FROM pg_stat_user_tables WHERE relname = '{table}'"
    )
    wait_for(lambda: store_set.query(STORE, settled) == [(0, 0)])


def wait_for(there: Callable[[], bool]) -> None:
    """Wait until the server's statistics have arrived, which they do a little later."""
    until_s = time.monotonic() + SETTLING_S
    while not there():
        assert time.monotonic() < until_s, "the server's statistics did not arrive"
        time.sleep(0.05)


def is_mysql(store_set: StoreSet) -> bool:
    """Tell the engine."""
    return store_set.config.engine is EngineKind.MYSQL


@pytest.fixture
def full(store_set: StoreSet) -> StoreSet:
    """The store set with 3000 messages of long ago, which the server has looked at."""
    jid = person(0).jid
    # Keys with gaps, as collections leave them, so that they do not tell how many rows there are.
    rows = ((FIRST + 10 * n, jid, 1, f"old{n:x}", 1) for n in range(3000))
    store_set.load(STORE, "messages", ("_id", *COLUMNS), rows)
    follow(store_set)
    analyse(store_set)
    return store_set


# --- counting -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("least", "most", "near"),
    [(1, 9, False), (1, 10, False), (1, 11, True), (10, 11, True), (11, 99, False)],
)
def test_an_estimate_is_near_where_both_sides_are_possible(
    least: int, most: int, *, near: bool
) -> None:
    """A threshold is near when the truth may be above it or not above it."""
    table = TableSchema(STORE, "messages", ())
    assert is_near(Estimate(table, least, least, most, 0), (10, 1000)) is near


@pytest.mark.parametrize("limits", [Limits(2900, 10**7), Limits(1, 3100)])
def test_rows_near_a_threshold_are_counted(full: StoreSet, limits: Limits) -> None:
    """Near either threshold the number of rows is exact."""
    found = of_table(weighed(full, limits))
    assert (found.rows, found.exact) == (3000, True)


@pytest.mark.parametrize("limits", [FAR_ABOVE, FAR_BELOW])
def test_rows_far_from_thresholds_are_estimated(full: StoreSet, limits: Limits) -> None:
    """Where no threshold is near, the estimate serves, and is within what the engine promises."""
    found = of_table(weighed(full, limits))
    assert not found.exact
    assert 1500 <= found.rows <= 4500
    assert found.least <= 3000 <= found.most
    # Far above the lower one, it is seen that there are more rows, and no further.
    assert found.least > limits.large_rows or limits is FAR_BELOW


@on_mysql
def test_statistics_of_long_ago_do_not_make_a_table_large(full: StoreSet) -> None:
    """Where statistics tell of many rows that are gone since, those that are left are counted."""
    full.execute(STORE, "DELETE FROM messages WHERE _id NOT IN (%s, %s)", (FIRST, FIRST + 29990))
    tell_rows(full, "messages", 5_000)
    found = of_table(weighed(full, Limits(1000, 2000)))
    assert (found.rows, found.exact, found.least, found.most) == (2, True, 2, 2)


def tell_rows(store_set: StoreSet, table: str, rows: int, store: str = STORE) -> None:
    """Have MySQL's statistics tell this number of rows of a table."""
    told = (
        "UPDATE mysql.innodb_table_stats SET n_rows = %s WHERE database_name = %s "
        "AND table_name = %s"
    )
    store_set.execute(store, told, (rows, store_set.databases()[store], table))
    store_set.execute(store, f"FLUSH TABLE {store_set.databases()[store]}.{table}")


def of_queue(found: Weighed) -> TableWeight:
    """Return what was found of the queue."""
    return next(one for one in found.tables if (one.store, one.table) == QUEUE)


@pytest.fixture
def waiting(store_set: StoreSet) -> StoreSet:
    """The store set with 7204 callbacks that wait, of which the server's statistics know 4."""
    store, table = QUEUE
    source = f"{store_set.databases()[store]}.{table}" if is_mysql(store_set) else table
    values = (f"({n}, 'nobody')" for n in range(10, 72050, 10))
    sql = f"INSERT INTO {source} (_id, key_remote_jid) VALUES {', '.join(values)}"
    store_set.execute(store, sql)
    if is_mysql(store_set):
        tell_rows(store_set, table, 4, store)
    else:
        analysed = (
            f"UPDATE pg_class SET reltuples = %s, relpages = %s WHERE oid = '{table}'::regclass"
        )
        pages = int(store_set.query(store, f"SELECT pg_relation_size('{table}') / 8192")[0][0])
        store_set.execute(store, analysed, (4, pages))
    return store_set


def test_what_waits_is_counted(waiting: StoreSet) -> None:
    """The queue is counted near its own limit, and otherwise only estimated, within its bounds."""
    loose = of_queue(weighed(waiting))
    assert not loose.exact
    limits = replace(FAR_BELOW, pending_most=1000)
    found = of_queue(weighed(waiting, limits))
    assert (found.rows, found.exact) == (7204, True)
    monstrous = of_queue(weighed(waiting, replace(FAR_BELOW, pending_most=10**6)))
    assert not monstrous.exact


def test_other_tables_are_never_counted(full: StoreSet) -> None:
    """A table that decides nothing keeps its estimate, however near it is."""
    found = of_table(weighed(full, Limits(2900, 3100, messages=(STORE, "receipts"))))
    assert not found.exact


def test_every_table_has_a_size(full: StoreSet, described: Manifest) -> None:
    """Each table of each store is weighed once, with data and indexes."""
    found = weighed(full)
    assert {(one.store, one.table) for one in found.tables} == set(described.tables)
    assert len(found.tables) == len(described.tables)
    assert of_table(found).size_bytes > 3000 * 40


@on_mysql
def test_statistics_of_long_ago_do_not_hide_a_large_table(full: StoreSet) -> None:
    """Where statistics say that there is next to nothing, keys that leave room have it counted."""
    database = full.databases()[STORE]
    full.execute(
        STORE,
        "UPDATE mysql.innodb_table_stats SET n_rows = 3 WHERE database_name = %s "
        "AND table_name = 'messages'",
        (database,),
    )
    full.execute(STORE, "FLUSH TABLE messages")
    assert of_table(weighed(full)).rows == 3
    found = of_table(weighed(full, Limits(2000, 10**7)))
    assert (found.rows, found.exact) == (3000, True)


@on_mysql
def test_keys_that_leave_no_room_settle_it(store_set: StoreSet) -> None:
    """A table whose keys span no more than a threshold is not counted, near as its estimate is."""
    load(store_set, [1] * 3000)
    analyse(store_set)
    assert not of_table(weighed(store_set, Limits(3000, 10**7))).exact
    assert of_table(weighed(store_set, Limits(2999, 10**7))).exact


@on_postgres
def test_changes_since_the_last_look_widen_the_margin(
    full: StoreSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that lost rows since it was analysed is counted, far as its estimate is."""
    monkeypatch.setattr(postgres_weight, "_SMALL_BYTES", 0)
    changed = f"SELECT n_mod_since_analyze FROM {OF_MESSAGES}"
    limits = Limits(1500, 10**7)
    assert not of_table(weighed(full, limits)).exact
    full.execute(STORE, "DELETE FROM messages WHERE _id % 3 <> 0")
    flush(full)
    wait_for(lambda: int(full.query(STORE, changed)[0][0]) >= 2000)
    found = of_table(weighed(full, limits))
    assert (found.rows, found.exact) == (1000, True)


@on_postgres
def test_a_table_never_analysed_is_sampled(store_set: StoreSet) -> None:
    """A large table that was never analysed is estimated from some of its pages, and nearly so."""
    # A tenth of each page is filled, which makes a large table of few rows.
    store_set.execute(
        STORE,
        "CREATE TABLE probe (id bigint) WITH (autovacuum_enabled = off, fillfactor = 10)",
    )
    try:
        filling = f"INSERT INTO probe SELECT generate_series(1, {PROBE_ROWS})"
        store_set.execute(STORE, filling)
        found = of_table(weighed(store_set), "probe")
    finally:
        store_set.execute(STORE, "DROP TABLE probe")
    assert not found.exact
    assert 0.9 * PROBE_ROWS <= found.rows <= 1.1 * PROBE_ROWS


@on_postgres
def test_a_small_table_never_analysed_is_counted(store_set: StoreSet) -> None:
    """A small table that was never analysed is counted, since that costs next to nothing."""
    store_set.execute(
        STORE,
        "CREATE TABLE fresh WITH (autovacuum_enabled = off) AS SELECT generate_series(1, 77) n",
    )
    try:
        found = of_table(weighed(store_set), "fresh")
    finally:
        store_set.execute(STORE, "DROP TABLE fresh")
    assert (found.rows, found.exact) == (77, True)


@on_mysql
def test_a_table_that_counts_its_rows_is_exact(store_set: StoreSet) -> None:
    """MyISAM knows its number of rows, which is told as exact."""
    store_set.execute(STORE, "CREATE TABLE plain (n int) ENGINE=MyISAM")
    try:
        store_set.execute(STORE, "INSERT INTO plain VALUES (1), (2)")
        found = of_table(weighed(store_set), "plain")
    finally:
        store_set.execute(STORE, "DROP TABLE plain")
    assert (found.rows, found.exact) == (2, True)


# --- dead rows, free space ----------------------------------------------------------------------


@on_postgres
def test_dead_rows_are_told(full: StoreSet) -> None:
    """Rows that are gone and still take room are counted as dead, and none beforehand."""
    assert of_table(weighed(full)).dead_rows == 0
    full.execute(STORE, "DELETE FROM messages WHERE _id IN (SELECT _id FROM messages LIMIT 40)")
    flush(full)
    wait_for(lambda: of_table(weighed(full)).dead_rows == 40)


@on_postgres
def test_statistics_that_were_lost_are_not_taken_for_none(full: StoreSet) -> None:
    """After statistics began anew, as after a crash, the number of dead rows is not known."""
    full.execute(STORE, "DELETE FROM messages WHERE _id IN (SELECT _id FROM messages LIMIT 40)")
    flush(full)
    wait_for(lambda: of_table(weighed(full)).dead_rows == 40)
    full.query(STORE, "SELECT pg_stat_reset()")
    wait_for(lambda: of_table(weighed(full)).dead_rows is None)


@on_mysql
@pytest.mark.parametrize("enabled", [True, False])
def test_the_purges_lag_is_told(store_set: StoreSet, *, enabled: bool) -> None:
    """How far purge lags behind is told, by the counter or, where that is off, by the monitor."""
    if not enabled:
        store_set.execute(STORE, "SET GLOBAL innodb_monitor_disable = 'trx_rseg_history_len'")
    try:
        found = weighed(store_set)
    finally:
        store_set.execute(STORE, "SET GLOBAL innodb_monitor_enable = 'trx_rseg_history_len'")
    assert found.purge_lag is not None
    assert found.purge_lag >= 0
    assert not [one for one in found.unseen if "PROCESS" in one]


@on_mysql
def test_a_shared_tablespaces_free_space_is_no_tables(store_set: StoreSet) -> None:
    """Free space is told of a table in a file of its own, also one of an odd name, and of no other."""
    store_set.execute(STORE, "CREATE TABLE `own-file` (n int)")
    store_set.execute(STORE, "SET GLOBAL innodb_file_per_table = OFF")
    try:
        store_set.execute(STORE, "CREATE TABLE shared_file (n int)")
        found = weighed(store_set)
    finally:
        store_set.execute(STORE, "SET GLOBAL innodb_file_per_table = ON")
        store_set.execute(STORE, "DROP TABLE IF EXISTS shared_file, `own-file`")
    assert of_table(found, "shared_file").free_bytes is None
    assert of_table(found, "own-file").free_bytes is not None
    assert of_table(found).free_bytes is not None


def test_sentences_about_many_tables_are_one() -> None:
    """What is the same of many tables is said once, with the first of them and how many there are."""
    said = [f"store.table{n} could not be weighed: wait." for n in range(20)]
    assert list(grouped([*said, "the disk: look."])) == [
        "store.table0, store.table1, store.table2 and 17 more could not be weighed: wait.",
        "the disk: look.",
    ]


# --- what cannot be seen ------------------------------------------------------------------------


LOCK = {
    EngineKind.MYSQL: ("BEGIN", "LOCK TABLES {} WRITE"),
    EngineKind.POSTGRES: ("BEGIN", "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE"),
}
WAITING = {
    EngineKind.MYSQL: "SELECT count(*) FROM information_schema.processlist "
    "WHERE state = 'Waiting for table metadata lock'",
    EngineKind.POSTGRES: "SELECT count(*) FROM pg_locks WHERE NOT granted",
}


@contextmanager
def somebody(store_set: StoreSet, described: Manifest) -> Iterator[StoreSet]:
    """Connect as somebody else."""
    other = connect(store_set.config, [store.name for store in described.stores])
    try:
        yield other
    finally:
        other.close()


@contextmanager
def held(store_set: StoreSet, described: Manifest, table: str = "messages") -> Iterator[None]:
    """Have somebody else lock a table as ALTER TABLE does."""
    with somebody(store_set, described) as other:
        for sql in LOCK[store_set.config.engine]:
            other.execute(STORE, sql.format(table))
        yield


@contextmanager
def awaited(store_set: StoreSet, described: Manifest) -> Iterator[None]:
    """Have somebody else wait for such a lock, behind a reader, and all others behind that."""
    with somebody(store_set, described) as reader, somebody(store_set, described) as other:
        reader.execute(STORE, "BEGIN")
        reader.query(STORE, "SELECT _id FROM messages LIMIT 1")
        first, second = LOCK[store_set.config.engine]
        other.execute(STORE, first)
        waiting = threading.Thread(target=other.execute, args=(STORE, second.format("messages")))
        waiting.start()
        try:
            asked = WAITING[store_set.config.engine]
            wait_for(lambda: bool(store_set.query(STORE, asked)[0][0]))
            yield
        finally:
            reader.execute(STORE, "ROLLBACK")
            waiting.join()


@pytest.mark.parametrize("locked", [held, awaited])
def test_a_locked_table_does_not_hang_a_weighing(
    full: StoreSet, described: Manifest, locked: Locking
) -> None:
    """Where somebody has locked the messages, or waits to, all the rest is weighed, and that told."""
    with locked(full, described):
        found = weighed(full, Limits(2900, 10**7))
    assert {(one.store, one.table) for one in found.tables} == set(described.tables)
    assert not of_table(found).exact
    assert 1500 <= of_table(found).rows <= 4500
    assert of_table(found).size_bytes > 3000 * 40
    assert (of_table(found).least, of_table(found).most) == (0, UNBOUNDED)
    assert "locked" in of_table(found).uncounted
    assert found.sent_per_s is None
    assert len([one for one in found.unseen if "locked" in one]) >= 2
    after = weighed(full, Limits(2900, 10**7))
    assert (of_table(after).exact, after.sent_per_s, after.unseen) == (True, 0.0, ())


@pytest.fixture
def keyless(store_set: StoreSet) -> Iterator[StoreSet]:
    """The store set with a table of 3000 rows, whose keys tell nothing, since it has none."""
    store_set.execute(STORE, "CREATE TABLE keyless (key_from_me smallint, timestamp bigint)")
    try:
        store_set.load(STORE, "keyless", ("timestamp",), ([1] for _ in range(3000)))
        analyse(store_set, "keyless")
        yield store_set
    finally:
        store_set.execute(STORE, "DROP TABLE keyless")


def test_a_count_that_takes_too_long_is_stopped(
    keyless: StoreSet, described: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count beyond its limit is given up, and that told; in time it is exact, and nothing told."""
    limits = Limits(2900, 10**7, messages=(STORE, "keyless"))
    patient = "SET SESSION lock_wait_timeout = 600"
    with held(keyless, described, "keyless"), monkeypatch.context() as patched:
        # What makes the count long is a lock that the session would wait for much longer.
        patched.setitem(keyset._IMPATIENT, EngineKind.MYSQL, patient)
        stopped = weighed(keyless, replace(limits, count_limit_s=0.05))
    assert not of_table(stopped, "keyless").exact
    assert 1500 <= of_table(stopped, "keyless").rows <= 4500
    (told,) = [one for one in stopped.unseen if "exact number of rows" in one]
    assert "longer than 0.05 s" in told
    assert of_table(stopped, "keyless").least <= 2900 < of_table(stopped, "keyless").most
    assert "quiet hour" in of_table(stopped, "keyless").uncounted
    assert "SELECT count(*)" in told
    found = weighed(keyless, replace(limits, count_limit_s=600.0))
    assert (of_table(found, "keyless").rows, of_table(found, "keyless").exact) == (3000, True)
    assert not [one for one in found.unseen if "exact number" in one]
    assert [one for one in found.unseen if "no integer key" in one]


@contextmanager
def humble(store_set: StoreSet, *rights: str) -> Iterator[RunConfig]:
    """Make a user with no rights but these, in the message store."""
    home = "mysql" if is_mysql(store_set) else ""
    if home:
        database = store_set.databases()[STORE].replace("_", r"\_")
        make = [f"CREATE USER '{USER}'@'%%' IDENTIFIED BY '{PASSWORD}'"]
        make += [f"GRANT {right} ON `{database}`.* TO '{USER}'@'%%'" for right in rights]
        undo = [f"DROP USER '{USER}'@'%%'"]
    else:
        make = [f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'"]
        make += [f"GRANT {right} ON ALL TABLES IN SCHEMA public TO {USER}" for right in rights]
        undo = [f"DROP OWNED BY {USER}", f"DROP ROLE {USER}"]
    for sql in make:
        store_set.execute(STORE, sql.replace("%%", "%"))
    try:
        yield replace(store_set.config, username=USER, password=Secret(PASSWORD))
    finally:
        for sql in undo:
            store_set.execute(STORE, sql.replace("%%", "%"))


def weighed_as(config: RunConfig, limits: Limits = FAR_BELOW) -> Weighed:
    """Weigh the message store over a connection of one's own."""
    store_set = connect(config, [STORE])
    try:
        return weighed(store_set, limits)
    finally:
        store_set.close()


def test_what_a_reader_may_not_see_is_told_with_its_grant(full: StoreSet) -> None:
    """A user who may only read weighs tables, and what it may not see is named with the GRANT."""
    with humble(full, "SELECT") as config:
        found = weighed_as(config, Limits(2900, 10**7))
    assert (of_table(found).rows, of_table(found).exact) == (3000, True)
    if is_mysql(full):
        assert found.sent_per_s == 0.0
    else:
        assert found.sent_per_s is None
        assert [one for one in found.unseen if "sequence" in one and "GRANT SELECT" in one]
    right = "GRANT PROCESS ON *.* TO" if is_mysql(full) else "GRANT pg_read_all_settings TO"
    assert len([one for one in found.unseen if right in one]) == 1
    assert not [one for one in weighed(full).unseen if "GRANT" in one]
    if is_mysql(full):
        assert (found.purge_lag, of_table(found).free_bytes) == (None, None)
    else:
        assert found.disk_free_bytes is None


def test_a_table_that_may_not_be_read_keeps_its_estimate(full: StoreSet) -> None:
    """Without the right to read messages there is an estimate at the most, and the gap is told."""
    with humble(full, "INSERT") as config:
        found = weighed_as(config, Limits(2900, 10**7))
    assert not of_table(found).exact
    assert found.sent_per_s is None
    assert "privilege" in of_table(found).uncounted
    assert [one for one in found.unseen if "exact number" in one and "privilege" in one]
    assert [one for one in found.unseen if "rate of outbound" in one and "privilege" in one]


@on_mysql
def test_a_store_that_mysql_may_hide_is_told_with_its_grant(full: StoreSet) -> None:
    """A store that is not listed counts as hidden where the account would not see it."""
    with humble(full, "SELECT") as config:
        store_set = connect(config, [STORE, "callbackStore"])
        try:
            found = weigh(store_set, "r", Moment.BEFORE, FAR_BELOW, [STORE, "callbackStore"])
        finally:
            store_set.close()
    (told,) = found.hidden
    assert told.startswith("callbackStore: GRANT SELECT ON ")
    assert weigh(full, "r", Moment.BEFORE, FAR_BELOW, [STORE, "absentStore"]).hidden == ()


@on_postgres
def test_a_database_that_may_not_be_entered_is_told_with_its_grant(full: StoreSet) -> None:
    """Where CONNECT was revoked, the others are weighed, and this one is named with the GRANT."""
    database = full.databases()["callbackStore"]
    with humble(full, "SELECT") as config:
        full.execute(STORE, f'REVOKE CONNECT ON DATABASE "{database}" FROM PUBLIC')
        store_set = connect(config, [STORE, "callbackStore"])
        try:
            found = weighed(store_set)
        finally:
            store_set.close()
            full.execute(STORE, f'GRANT CONNECT ON DATABASE "{database}" TO PUBLIC')
    (told,) = found.hidden
    assert told.startswith("callbackStore: GRANT CONNECT ON DATABASE ")
    assert of_table(found).rows
    assert weighed(full).hidden == ()


def test_messages_under_another_name_are_told(full: StoreSet) -> None:
    """Where the table with the messages is not there, that is said, and the rest is weighed."""
    found = weighed(full, replace(FAR_BELOW, messages=(STORE, "gone")))
    assert found.sent_per_s is None
    assert [one for one in found.unseen if "messageStore.gone is not there" in one]
    assert of_table(found).rows


def test_columns_that_are_missing_are_told(full: StoreSet) -> None:
    """Without direction or time there is no rate, and the columns that are missing are named."""
    found = weighed(full, replace(FAR_BELOW, messages=(STORE, "receipts")))
    assert found.sent_per_s is None
    assert [one for one in found.unseen if "no column key_from_me or timestamp" in one]


def test_a_weighing_leaves_a_transaction_alone(full: StoreSet) -> None:
    """A set in a transaction can be weighed: neither sees what the other does."""
    with full.transaction():
        load(full, [1] * 500, outbound=0)
        assert of_table(weighed(full, Limits(3200, 10**7))).rows == 3000
        full.commit()
    assert of_table(weighed(full, Limits(3200, 10**7))).rows == 3500


@on_mysql
def test_a_table_that_cannot_be_opened_is_told(full: StoreSet) -> None:
    """A table whose file is damaged is a gap with its way out, and the rest is weighed."""
    damaged = own_file(full).parent / full.databases()[STORE] / "damaged.frm"
    damaged.write_bytes(b"no table at all")
    damaged.chmod(0o644)
    try:
        found = weighed(full)
    finally:
        damaged.unlink()
    assert [one for one in found.unseen if "messageStore.damaged could not be weighed" in one]
    assert "damaged" not in {one.table for one in found.tables}
    assert of_table(found).rows


# --- the disk -----------------------------------------------------------------------------------


def test_the_servers_disk_is_measured(store_set: StoreSet) -> None:
    """The disk of a server on this machine is told, with its free and its whole size."""
    found = weighed(store_set)
    assert found.disk_free_bytes is not None
    assert found.disk_size_bytes is not None
    assert 0 <= found.disk_free_bytes <= found.disk_size_bytes
    assert not [one for one in found.unseen if "disk" in one]


def own_file(store_set: StoreSet) -> Path:
    """Return the file by which the server's data folder tells whose it is."""
    if is_mysql(store_set):
        return Path(store_set.query(STORE, "SELECT @@datadir")[0][0]) / "auto.cnf"
    return Path(store_set.query(STORE, "SHOW data_directory")[0][0]) / "postmaster.pid"


def test_another_servers_folder_is_not_taken_for_its_own(store_set: StoreSet) -> None:
    """A data folder that says it is another server's tells nothing of this one's disk."""
    path = own_file(store_set)
    before = path.read_text()
    lines = before.splitlines()
    if is_mysql(store_set):
        other = before[:-2] + ("0" if before[-2] != "0" else "1") + "\n"
    else:
        other = "\n".join([*lines[:2], str(int(lines[2]) - 3600), *lines[3:]]) + "\n"
    # In place, so that the file stays its owner's.
    path.write_text(other)
    try:
        found = weighed(store_set)
    finally:
        path.write_text(before)
    assert (found.disk_free_bytes, found.disk_size_bytes) == (None, None)
    assert [one for one in found.unseen if "not its own on this machine" in one]


def test_a_folder_that_may_not_be_read_is_told(store_set: StoreSet) -> None:
    """Where this user may not look into the data folder, the disk is a gap with its way out."""
    path = own_file(store_set)
    mode = stat.S_IMODE(path.stat().st_mode)
    path.chmod(0)
    try:
        found: Weighed = powerless(partial(weighed_as, store_set.config))
    finally:
        path.chmod(mode)
    assert found.disk_free_bytes is None
    assert [one for one in found.unseen if "may not read the server's data folder" in one]


@pytest.mark.parametrize(
    ("hostname", "here"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("/var/run/postgresql", True),
        ("203.0.113.7", False),
        ("nowhere.invalid", False),
    ],
)
def test_only_own_addresses_are_here(hostname: str, *, here: bool) -> None:
    """An address counts as this machine's only when it can be bound to."""
    assert is_here(hostname) is here


def test_the_fullest_disk_counts(tmp_path: Path) -> None:
    """Of several folders the disk with the least share of free space is told, and none of none."""
    status = os.statvfs(tmp_path)
    found = fullest([str(tmp_path), str(tmp_path / "absent")])
    assert found is not None
    assert found.size_bytes == status.f_blocks * status.f_frsize
    assert fullest([str(tmp_path / "absent")]) is None


# --- the rate -----------------------------------------------------------------------------------


def server_s(store_set: StoreSet) -> int:
    """Return the server's time."""
    sql = "SELECT unix_timestamp()" if is_mysql(store_set) else "SELECT extract(epoch FROM now())"
    return int(store_set.query(STORE, sql)[0][0])


@pytest.mark.parametrize("unit", [1, 1000], ids=["seconds", "milliseconds"])
def test_the_rate_is_of_outbound_messages_in_the_window(store_set: StoreSet, unit: int) -> None:
    """Only messages that went out within the window count, in seconds as in milliseconds."""
    now_s = server_s(store_set)
    load(store_set, [(now_s - 2000) * unit] * 70)
    load(store_set, [(now_s - 30) * unit] * 50, outbound=0)
    load(store_set, [(now_s - 10 - n) * unit + 1 for n in range(90)])
    follow(store_set)
    found = weighed(store_set)
    assert found.rate_note == ""
    assert found.sent_per_s == pytest.approx(0.1)
    assert found.rate_window_s == 900.0


def test_no_messages_are_a_rate_of_nothing(store_set: StoreSet) -> None:
    """An empty table has a rate of 0, which is no gap."""
    anew = "" if is_mysql(store_set) else " RESTART IDENTITY CASCADE"
    store_set.execute(STORE, f"TRUNCATE TABLE messages{anew}")
    found = weighed(store_set)
    assert found.sent_per_s == 0.0
    assert not [one for one in found.unseen if "rate" in one]


def test_a_busy_window_is_measured_by_its_newest_rows(store_set: StoreSet) -> None:
    """Where the window has more rows than are read, the rate is of the time that these took."""
    now_s = server_s(store_set)
    load(store_set, [now_s - 800 + n // 2 for n in range(1600)])
    found = weighed(store_set, replace(FAR_BELOW, newest_rows=400))
    assert 150 <= found.rate_window_s <= 260
    assert found.sent_per_s == pytest.approx(400 / found.rate_window_s)


def insert(store_set: StoreSet, at_s: int, *, keep: bool) -> None:
    """Make one message with a key of the server's own, and delete it again at once, or not."""
    sql = "INSERT INTO messages (key_remote_jid, key_from_me, key_id, timestamp) VALUES "
    name = f"passing{time.monotonic_ns()}"
    store_set.execute(STORE, f"{sql} ('nobody', 1, %s, %s)", (name, at_s))
    if not keep:
        store_set.execute(STORE, "DELETE FROM messages WHERE key_id = %s", (name,))


@contextmanager
def sending(store_set: StoreSet, described: Manifest, at_s: int, *, keep: bool) -> Iterator[None]:
    """Have somebody else send messages all the time, which bear the time from a moment on."""
    over, begun_s = threading.Event(), time.monotonic()
    with somebody(store_set, described) as other:

        def send() -> None:
            while not over.is_set():
                insert(other, at_s + int(time.monotonic() - begun_s), keep=keep)
                time.sleep(0.002)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            yield
        finally:
            over.set()
            sender.join()


def follow(store_set: StoreSet) -> None:
    """Have the server's next key follow those that are there, as when it gave them all."""
    if is_mysql(store_set):
        # It skips some when many rows are loaded.
        store_set.execute(STORE, "ALTER TABLE messages AUTO_INCREMENT = 1")
        return
    sequence = "pg_get_serial_sequence('messages', '_id')"
    store_set.query(STORE, f"SELECT setval({sequence}, (SELECT max(_id) FROM messages))")


def test_a_message_that_was_seen_in_passing_hides_none(full: StoreSet) -> None:
    """A message that is there for the first look and gone for the next takes nothing off the rate."""
    follow(full)
    for _ in range(600):
        insert(full, server_s(full), keep=False)
    table = next(one for one in full.tables() if one.name == "messages")
    seen = traffic.pulse(full, table)
    assert seen is not None
    first = replace(seen, highest=seen.last)
    found = traffic.rate(full, table, first, (server_s(full), 900.0), 200_000)
    assert found.per_s is not None
    assert found.per_s > 0.5
    assert "at the most" in found.note


def test_messages_that_are_deleted_at_once_have_a_rate(full: StoreSet, described: Manifest) -> None:
    """Where no message stays, the key that moves on tells that they are sent, and how many at most."""
    follow(full)
    now_s = server_s(full)
    for _ in range(600):
        insert(full, now_s, keep=False)
    with sending(full, described, server_s(full), keep=False):
        found = weighed(full)
    assert found.sent_per_s is not None
    assert found.sent_per_s > 0.5
    assert "at the most" in found.rate_note
    assert [one for one in found.unseen if "rate of outbound messages is at the most" in one]


def test_a_clock_that_is_behind_gives_no_rate(full: StoreSet, described: Manifest) -> None:
    """Messages that come now with times of an hour ago are no silence, but a rate that is not seen."""
    follow(full)
    with sending(full, described, server_s(full) - 3600, keep=True):
        found = weighed(full)
    assert found.sent_per_s is None
    assert [one for one in found.unseen if "as if clocks differed" in one]


def test_messages_without_a_time_give_no_rate(full: StoreSet) -> None:
    """Where most of the newest messages bear no time there is no rate but a reason."""
    now_s = server_s(full)
    load(full, [now_s - 5] * 20)
    load(full, [None] * 60)
    found = weighed(full)
    assert found.sent_per_s is None
    assert [one for one in found.unseen if "most of its newest rows bear no time" in one]


def test_a_collection_within_the_window_does_not_hide_its_messages(full: StoreSet) -> None:
    """Of messages of the window that are gone, the key's gap tells how many there were at the most."""
    now_s = server_s(full)
    load(full, [now_s - 800 + n // 10 for n in range(8000)])
    follow(full)
    assert weighed(full).sent_per_s == pytest.approx(8000 / 900)
    full.execute(STORE, "DELETE FROM messages WHERE timestamp > 1 AND _id % 10 <> 0")
    found = weighed(full)
    assert found.sent_per_s is not None
    assert 8.0 <= found.sent_per_s <= 10.5
    assert "at the most" in found.rate_note


def test_a_silence_after_deletions_is_told_as_next_to_none(full: StoreSet) -> None:
    """Rows that were deleted long ago, while the key stands still, make no rate to speak of."""
    follow(full)
    insert(full, 1, keep=False)
    found = weighed(full)
    assert found.sent_per_s == pytest.approx(1 / 900)


def test_times_that_are_yet_to_come_are_no_rate(store_set: StoreSet) -> None:
    """Where the newest rows are ahead of the server's clock, there is no rate but a reason."""
    load(store_set, [server_s(store_set) + 7200] * 20)
    found = weighed(store_set)
    assert found.sent_per_s is None
    assert [one for one in found.unseen if "clock has not reached" in one]


def test_the_rate_reads_no_more_than_the_newest_rows(store_set: StoreSet) -> None:
    """Rows of before the window are read no further than one step."""
    load(store_set, [1] * 25_000)
    table = named(store_set.tables(), MESSAGES)
    assert table
    tally, is_whole = traffic._read(store_set, table, "_id", (server_s(store_set), 0.0, 200_000))
    assert (tally.rows, is_whole) == (25_000, True)
    edge_s = server_s(store_set) - 900.0
    tally, is_whole = traffic._read(store_set, table, "_id", (edge_s + 900, edge_s, 200_000))
    assert (tally.rows, is_whole) == (10_000, True)
