"""Sessions of ours: they outlast idle timeouts, keep what they commit, and are logged as little as may be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from harness.config import RunConfig
from harness.errors import ConflictError, StoreError
from harness.manifest import Manifest
from harness.model import EngineKind, Secret
from harness.stores import StoreSet, connect, mysql_session, postgres, postgres_session

STORE = "messageStore"
PASSWORD = "little-Known-7"
on_postgres = pytest.mark.parametrize(
    "kind", [EngineKind.POSTGRES], indirect=True, ids=str, scope="session"
)
on_mysql = pytest.mark.parametrize(
    "kind", [EngineKind.MYSQL], indirect=True, ids=str, scope="session"
)
IMPATIENT = {
    EngineKind.MYSQL: (
        ["SET GLOBAL wait_timeout = 1", "SET GLOBAL interactive_timeout = 1"],
        ["SET GLOBAL wait_timeout = 28800", "SET GLOBAL interactive_timeout = 28800"],
    ),
    EngineKind.POSTGRES: (
        ["ALTER ROLE CURRENT_USER SET idle_in_transaction_session_timeout = '180ms'"],
        ["ALTER ROLE CURRENT_USER RESET idle_in_transaction_session_timeout"],
    ),
}
LOGGING = {
    EngineKind.MYSQL: (
        [
            "SET GLOBAL general_log = 1",
            "SET GLOBAL slow_query_log = 1",
            "SET GLOBAL long_query_time = 0",
        ],
        [
            "SET GLOBAL general_log = 0",
            "SET GLOBAL slow_query_log = 0",
            "SET GLOBAL long_query_time = 10",
        ],
        ("general log", "slow query log"),
    ),
    EngineKind.POSTGRES: (
        [
            "ALTER ROLE {} SET log_statement = 'all'",
            "ALTER ROLE {} SET log_min_duration_statement = 0",
            "ALTER ROLE {} SET log_min_error_statement = 'error'",
        ],
        ["ALTER ROLE {} RESET ALL"],
        (
            "server log (log_statement)",
            "server log of slow statements",
            "server log of statements that fail",
        ),
    ),
}


@contextmanager
def ordinary(store_set: StoreSet) -> Iterator[RunConfig]:
    """Somebody who may change the rows of the stores and nothing else, for as long as it takes."""
    config = replace(store_set.config, username="ordinary", password=Secret(PASSWORD))
    if config.engine is EngineKind.MYSQL:
        store_set.execute(STORE, f"CREATE USER ordinary IDENTIFIED BY '{PASSWORD}'")
        for database in store_set.databases().values():
            store_set.execute(
                STORE, f"GRANT SELECT, INSERT, UPDATE, DELETE ON `{database}`.* TO ordinary"
            )
    else:
        store_set.execute(STORE, f"CREATE ROLE ordinary LOGIN PASSWORD '{PASSWORD}'")
    try:
        yield config
    finally:
        store_set.execute(STORE, "DROP USER ordinary")


@contextmanager
def logging(store_set: StoreSet, role: str = "CURRENT_USER") -> Iterator[tuple[str, ...]]:
    """Have the server log every statement; the logs that it then writes, as they are called."""
    on, off, called = LOGGING[store_set.config.engine]
    for statement in on:
        store_set.execute(STORE, statement.format(role))
    try:
        yield called
    finally:
        for statement in off:
            store_set.execute(STORE, statement.format(role))


def names(described: Manifest) -> list[str]:
    """Return the names of all stores."""
    return [store.name for store in described.stores]


def test_a_pause_inside_a_transaction_is_survived(store_set: StoreSet, described: Manifest) -> None:
    """An idle timeout of 180 ms for the role, or a second for everyone, does not end a transaction of ours."""
    impatient, patient = IMPATIENT[store_set.config.engine]
    for statement in impatient:
        store_set.execute(STORE, statement)
    try:
        other = connect(store_set.config, names(described))
        with other.transaction():
            other.execute(STORE, "DELETE FROM receipts")
            time.sleep(1.5 if store_set.config.engine is EngineKind.MYSQL else 0.6)
            other.execute(STORE, "DELETE FROM receipts")
            other.commit()
        other.close()
    finally:
        for statement in patient:
            store_set.execute(STORE, statement)


@on_postgres
def test_the_impatient_role_is_impatient(store_set: StoreSet, described: Manifest) -> None:
    """Without our setting the same pause ends the session: the negative control."""
    impatient, patient = IMPATIENT[store_set.config.engine]
    for statement in impatient:
        store_set.execute(STORE, statement)
    other = connect(store_set.config, names(described))
    try:
        other.execute(STORE, "RESET ALL")
        other.execute(STORE, "SET idle_in_transaction_session_timeout = '180ms'")
        other.execute(STORE, "BEGIN")
        time.sleep(0.6)
        with pytest.raises(StoreError):
            other.execute(STORE, "SELECT 1")
    finally:
        other.close()
        for statement in patient:
            store_set.execute(STORE, statement)


@on_postgres
def test_what_we_commit_is_durable(store_set: StoreSet, described: Manifest) -> None:
    """Where server and role have synchronous_commit off, our sessions have it on."""
    assert store_set.query(STORE, "SHOW synchronous_commit") == [("on",)]
    store_set.execute(STORE, "ALTER ROLE CURRENT_USER SET synchronous_commit = 'remote_apply'")
    try:
        other = connect(store_set.config, names(described))
        assert other.query(STORE, "SHOW synchronous_commit") == [("remote_apply",)]
        other.close()
    finally:
        store_set.execute(STORE, "ALTER ROLE CURRENT_USER RESET synchronous_commit")


@on_postgres
def test_a_newer_servers_timeouts_are_off_too(store_set: StoreSet) -> None:
    """Each version of PostgreSQL is asked to switch off the timeouts that it has, and no other."""
    asked = {
        version: [name for since, name in postgres_session._ENDING.items() if version >= since]
        for version in (90500, 100023, 140000, 180000)
    }
    assert {version: len(found) for version, found in asked.items()} == {
        90500: 0,
        100023: 1,
        140000: 2,
        180000: 3,
    }
    for name in asked[100023]:
        assert store_set.query(STORE, f"SHOW {name}") == [("0",)]


def test_the_logs_that_hear_of_us_are_named(store_set: StoreSet, described: Manifest) -> None:
    """Where a server logs every statement, an ordinary session of ours says in which logs."""
    assert store_set.statement_logs() == ()
    with logging(store_set) as called:
        other = connect(store_set.config, names(described))
        try:
            assert other.statement_logs() == called
        finally:
            other.close()
    assert store_set.statement_logs() == ()


def test_a_quiet_session_is_not_logged_where_it_may(
    store_set: StoreSet, described: Manifest
) -> None:
    """With the privilege to do so, a quiet session switches all of it off, and its companions do."""
    with logging(store_set):
        quiet = connect(store_set.config, names(described), quiet=True)
        try:
            assert quiet.statement_logs() == ()
            with quiet.snapshot(), quiet.beside(STORE) as other:
                assert other.statement_logs() == ()
        finally:
            quiet.close()


def test_a_quiet_session_works_without_privileges(store_set: StoreSet, described: Manifest) -> None:
    """Without the privilege a quiet session begins all the same, and says what still hears of it."""
    with ordinary(store_set) as config, logging(store_set, "ordinary") as called:
        quiet = connect(config, names(described), quiet=True)
        try:
            # Anybody may call their own statements fast.
            on_mysql = config.engine is EngineKind.MYSQL
            assert quiet.statement_logs() == (("general log",) if on_mysql else called)
            assert quiet.query(STORE, "SELECT 1") == [(1,)]
        finally:
            quiet.close()


@on_mysql
def test_a_loud_session_is_left_as_it_is(store_set: StoreSet) -> None:
    """Unless asked to be quiet a session of ours changes nothing about logs."""
    ((off, slow_s),) = store_set.query(STORE, "SELECT @@sql_log_off, @@long_query_time")
    assert (off, slow_s) == (0, 10.0)


BINARY = {"log_bin": "ON", "sql_log_bin": "ON"}
MYSQL_LOGS = [
    ({}, ()),
    ({"general_log": "ON"}, ("general log",)),
    ({"general_log": "ON", "log_output": "NONE"}, ()),
    ({"general_log": "ON", "sql_log_off": "ON"}, ()),
    ({"innodb_print_all_deadlocks": "ON"}, ("error log, of deadlocks",)),
    (BINARY | {"binlog_format": "ROW"}, ()),
    (BINARY | {"binlog_format": "MIXED"}, ("binary log, mixed format",)),
    (BINARY | {"binlog_format": "STATEMENT"}, ("binary log, statement format",)),
    (
        BINARY | {"binlog_format": "STATEMENT", "log_warnings": "1"},
        ("binary log, statement format", "error log, of statements unsafe to replicate"),
    ),
    (
        BINARY | {"binlog_format": "STATEMENT", "log_error_verbosity": "2"},
        ("binary log, statement format", "error log, of statements unsafe to replicate"),
    ),
    (BINARY | {"sql_log_bin": "OFF", "binlog_format": "STATEMENT"}, ()),
    (
        BINARY | {"binlog_format": "ROW", "binlog_rows_query_log_events": "ON"},
        ("binary log, statements beside rows",),
    ),
    (
        BINARY | {"binlog_format": "ROW", "binlog_annotate_row_events": "ON"},
        ("binary log, statements beside rows",),
    ),
]


@pytest.mark.parametrize(
    ("settings", "called"), MYSQL_LOGS, ids=[f"settings {n}" for n in range(len(MYSQL_LOGS))]
)
def test_which_logs_of_mysql_hear_of_us(settings: dict[str, str], called: tuple[str, ...]) -> None:
    """What MySQL's settings say is told as the logs that receive a statement's text."""
    assert tuple(mysql_session._logs(settings)) == called


SILENT = {
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_error_statement": "panic",
}
POSTGRES_LOGS = [
    ({}, ()),
    ({"log_statement": "ddl"}, ()),
    ({"log_statement": "mod"}, ("server log (log_statement)",)),
    ({"log_min_duration_statement": "0"}, ("server log of slow statements",)),
    ({"log_min_duration_sample": "5", "log_statement_sample_rate": "0"}, ()),
    (
        {"log_min_duration_sample": "5", "log_statement_sample_rate": "0.5"},
        ("server log of slow statements",),
    ),
    ({"log_transaction_sample_rate": "0.1"}, ("server log of slow statements",)),
    ({"log_min_error_statement": "error"}, ("server log of statements that fail",)),
    ({"log_min_error_statement": "fatal"}, ()),
    ({"debug_print_plan": "on"}, ("server log (debug_print)",)),
    ({"auto_explain.log_min_duration": "0"}, ("server log (auto_explain)",)),
    ({"pgaudit.log": "write"}, ("audit log (pgaudit)",)),
]


@pytest.mark.parametrize(
    ("settings", "called"), POSTGRES_LOGS, ids=[f"settings {n}" for n in range(len(POSTGRES_LOGS))]
)
def test_which_logs_of_postgresql_hear_of_us(
    settings: dict[str, str], called: tuple[str, ...]
) -> None:
    """What PostgreSQL's settings say is told as the logs that receive a statement's text."""
    assert tuple(postgres_session.logs(SILENT | settings)) == called


@on_postgres
def test_a_search_does_not_wait_for_ever(
    store_set: StoreSet, described: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a table that somebody has locked a search gives way after its time, in every session."""
    monkeypatch.setattr(postgres, "_SEARCH_LOCK_TIMEOUT_S", 1)
    (table,) = (one for one in store_set.tables() if one.label.endswith("receipts"))
    other = connect(store_set.config, names(described))
    try:
        with other.transaction(), store_set.snapshot(), store_set.beside(STORE) as companion:
            other.execute(STORE, "LOCK TABLE receipts IN ACCESS EXCLUSIVE MODE")
            for session in (store_set, companion):
                with pytest.raises(ConflictError):
                    session.scan(table, lambda *_: None)
    finally:
        other.close()


@on_postgres
def test_a_dead_client_is_noticed_within_minutes(store_set: StoreSet) -> None:
    """Both ends ask after 60 s of silence whether the other is there, six times in a minute."""
    for name, value in (("idle", 60), ("interval", 10), ("count", 6)):
        # Over a socket of the same machine there is no such thing, and it is told as 0.
        (asked,) = store_set.query(
            STORE, "SELECT reset_val FROM pg_settings WHERE name = %s", (f"tcp_keepalives_{name}",)
        )
        assert asked == (str(value),)
        assert isinstance(store_set, postgres.PostgresStoreSet)
        connection = store_set._connection(store_set.databases()[STORE])
        assert connection.info.dsn_parameters[f"keepalives_{name}"] == str(value)
