"""Controls of what each engine's store set promises: snapshots, errors, packets, commits."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final, cast
from unittest import mock

import psycopg2
import pymysql
import pytest

from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.grounds import Ground, case_named
from harness.config import RunConfig
from harness.errors import ConflictError, PlanError, StoreError, StoreUnreachableError
from harness.model import EngineKind, Failed, Hazard, SeedRow, TableSchema, Verdict
from harness.population.people import person
from harness.stores import StoreSet, mysql, postgres
from harness.stores.mysql import MySqlStoreSet, decode
from harness.stores.postgres import PostgresStoreSet

STORE: Final = "messageStore"
PAYLOAD: Final = b"\x05hello\x03you"


def driver_controls() -> list[Control]:
    """Return every control of the drivers' bytes and errors, which needs no server."""
    return [Control(f"driver: {named(claim)}", claim) for claim in DRIVERS]


def engine_controls(ground: Ground) -> list[Control]:
    """Return every control of a store set on a server."""
    return [
        Control(f"engine: {named(claim)}", partial(claim, ground), ground.fresh, ground.renew)
        for claim in CLAIMS
    ]


# --- bytes and errors -----------------------------------------------------------------------


def _packet(payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + b"\0" + payload


END: Final = _packet(b"\xfe\0\0\2\0")


class _Arriving(io.RawIOBase):
    """Bytes that arrive in these pieces."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = list(pieces)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._pieces.pop(0) if self._pieces else b""
        if len(piece) > len(buffer):
            self._pieces.insert(0, piece[len(buffer) :])
            piece = piece[: len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)


def _rows(*pieces: bytes) -> list[bytes]:
    stream = cast("io.BufferedReader", io.BufferedReader(_Arriving(pieces), 1 << 20))
    return [row for rows in mysql._batches(stream) for row in rows]


def _packets_are_cut_into_rows() -> None:
    """However its bytes arrive, each row is whole, and the packet that ends them is none."""
    rows = [PAYLOAD, b"\xfb\xfb", b"\xfe" + PAYLOAD, b"x" * 300]
    sent = b"".join(map(_packet, rows)) + END
    assert _rows(sent) == rows
    assert _rows(*(sent[at : at + 7] for at in range(0, len(sent), 7))) == rows
    large = b"z" * 70_000
    assert _rows(
        _packet(PAYLOAD) + _packet(large)[:9_000], _packet(large)[9_000:] + _packet(PAYLOAD) + END
    ) == [*(PAYLOAD, large, PAYLOAD)]
    torn = _packet(PAYLOAD) + _packet(large)
    assert _rows(torn[: len(PAYLOAD) + 7], torn[len(PAYLOAD) + 7 :] + END) == [PAYLOAD, large]
    huge = b"h" * (mysql._MAX_PACKET + 5)
    head, tail = huge[: mysql._MAX_PACKET], huge[mysql._MAX_PACKET :]
    assert _rows(_packet(head), _packet(tail), _packet(PAYLOAD) + END) == [huge, PAYLOAD]


def _rows_that_break_off_are_an_error() -> None:
    """A stream that ends before its rows do, or brings an error, is an error, and never all."""
    whole, large = _packet(PAYLOAD), _packet(b"z" * 70_000)
    huge = _packet(b"h" * mysql._MAX_PACKET)
    for pieces in ((), (whole,), (whole[:5],), (large[:66_000],), (huge,), (huge, b"\5\0")):
        with pytest.raises(pymysql.err.OperationalError) as refusal:
            _rows(*pieces)
        assert refusal.value.args[0] == 2013
    refused = b"\xff" + (1142).to_bytes(2, "little") + b"#42000denied"
    with pytest.raises(pymysql.err.MySQLError):
        _rows(whole, _packet(refused) + END)


def _cells_are_taken_apart() -> None:
    """Cells of any length, and such as are NULL, are taken apart."""
    for size, head in ((3, b"\x03"), (300, b"\xfc\x2c\x01"), (70_000, b"\xfd\x70\x11\x01")):
        cell = b"c" * size
        assert decode(head + cell + b"\xfb" + b"\x01d\x00") == (cell, None, b"d", b"")
    assert decode(b"\xfe" + (5).to_bytes(8, "little") + b"hello") == (b"hello",)


def _of_mysql() -> MySqlStoreSet:
    made = MySqlStoreSet.__new__(MySqlStoreSet)
    made.config = _config(EngineKind.MYSQL)
    return made


def _config(kind: EngineKind) -> RunConfig:
    return cast("RunConfig", mock.Mock(engine=kind, hostname="host", port=1))


def _refused(wrapped: Callable[[], Any], error: Exception) -> type[Exception]:
    """Return as what an error of the driver leaves a store, without what the driver said."""
    with pytest.raises(StoreError) as refusal, wrapped():
        raise error
    assert "secret" not in str(refusal.value)
    assert refusal.value.__suppress_context__
    return type(refusal.value)


def _errors_of_mysql_are_told_apart() -> None:
    """A lost server, a conflict and a refusal are three kinds of error, and repeat no value."""
    wrapped = _of_mysql()._wrapped
    err = pymysql.err
    for error, kind in (
        (err.OperationalError(2006, "secret"), StoreUnreachableError),
        (err.OperationalError(0, "secret"), StoreUnreachableError),
        (err.InterfaceError("secret"), StoreUnreachableError),
        (err.InterfaceError(), StoreUnreachableError),
        (OSError(32, "secret"), StoreUnreachableError),
        (err.OperationalError(1205, "secret"), ConflictError),
        (err.OperationalError(1213, "secret"), ConflictError),
        (err.ProgrammingError(1146, "secret"), StoreError),
        (err.IntegrityError(1062, "secret"), StoreError),
    ):
        assert _refused(wrapped, error) is kind


def _a_missing_right_is_no_lost_server() -> None:
    """A right that is missing is told with the way out; a database that may not be reached is lost."""
    wrapped = _of_mysql()._wrapped
    for code in (1044, 1142, 1143, 1227):
        assert "want of a privilege" in _told(wrapped, pymysql.err.OperationalError(code, "secret"))
    assert "privilege" not in _told(wrapped, pymysql.err.ProgrammingError(1146, "secret"))
    refused = pymysql.err.OperationalError(1044, "secret")
    assert _refused(wrapped, refused) is StoreError
    assert _refused(partial(wrapped, "cannot be reached"), refused) is StoreUnreachableError
    made = PostgresStoreSet.__new__(PostgresStoreSet)
    made.config = _config(EngineKind.POSTGRES)
    plain = psycopg2.ProgrammingError
    assert "want of a privilege" in _told(made._wrapped, _pg_error("42501", plain))
    assert "privilege" not in _told(made._wrapped, _pg_error("42P01", plain))


def _told(wrapped: Callable[[], Any], error: Exception) -> str:
    with pytest.raises(StoreError) as refusal, wrapped():
        raise error
    return str(refusal.value)


def _pg_error(code: str | None, base: type[psycopg2.Error]) -> psycopg2.Error:
    made: psycopg2.Error = type("Made", (base,), {"pgcode": code})("secret")
    return made


def _errors_of_postgresql_are_told_apart() -> None:
    """A lost server, a conflict and a refusal are three kinds of error, and repeat no value."""
    made = PostgresStoreSet.__new__(PostgresStoreSet)
    made.config = _config(EngineKind.POSTGRES)
    operational, plain = psycopg2.OperationalError, psycopg2.ProgrammingError
    for code, base, kind in (
        (None, operational, StoreUnreachableError),
        (None, psycopg2.InterfaceError, StoreUnreachableError),
        (None, plain, StoreError),
        ("57P01", operational, StoreUnreachableError),
        ("08006", plain, StoreUnreachableError),
        ("40001", operational, ConflictError),
        ("40P01", operational, ConflictError),
        ("55P03", operational, ConflictError),
        ("42501", plain, StoreError),
        ("53100", operational, StoreError),
    ):
        assert _refused(made._wrapped, _pg_error(code, base)) is kind


@contextmanager
def _committing(*outcomes: Exception | int) -> Iterator[tuple[PostgresStoreSet, list[str]]]:
    made = PostgresStoreSet.__new__(PostgresStoreSet)
    made._databases = {name: f"x_{name}" for name in ("contactStore", "aStore", "bStore")}
    made._in_transaction = True
    asked: list[str] = []
    answers = iter(outcomes)

    def run(_: PostgresStoreSet, database: str, sql: str) -> int:
        asked.append(f"{database} {sql}")
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with mock.patch.object(PostgresStoreSet, "_run", run):
        yield made, asked


def _databases_are_committed_in_order() -> None:
    """Each database is committed, the one with the aliases last."""
    with _committing(0, 0, 0) as (made, asked):
        made.commit()
    assert asked == ["x_aStore COMMIT", "x_bStore COMMIT", "x_contactStore COMMIT"]
    assert not made._in_transaction


def _a_commit_that_breaks_off_says_how_far_it_came() -> None:
    """A commit that fails at once changed nothing; one that fails later says what is committed."""
    with (
        _committing(StoreError("refused")) as (made, _),
        pytest.raises(StoreError, match="refused"),
    ):
        made.commit()
    said = r"Committed in aStore, bStore and not in contactStore and after \(refused\)"
    with (
        _committing(0, 0, StoreError("refused")) as (made, _),
        pytest.raises(PlanError, match=said),
    ):
        made.commit()
    assert made._in_transaction


DRIVERS: Final = (
    _packets_are_cut_into_rows,
    _rows_that_break_off_are_an_error,
    _cells_are_taken_apart,
    _errors_of_mysql_are_told_apart,
    _a_missing_right_is_no_lost_server,
    _errors_of_postgresql_are_told_apart,
    _databases_are_committed_in_order,
    _a_commit_that_breaks_off_says_how_far_it_came,
)

# --- on servers -----------------------------------------------------------------------------


def _row(key: int, jid: str = "", table: str = "messages") -> SeedRow:
    values = {"_id": key, "key_remote_jid": jid or person(1).jid, "key_id": f"k{key}"}
    return SeedRow(STORE, table, cast("dict[str, int | float | str | bytes | None]", values))


def _messages(store_set: StoreSet) -> TableSchema:
    return next(table for table in store_set.tables() if table.name == "messages")


def _count(store_set: StoreSet) -> int:
    rows: list[bytes] = []
    store_set.scan(_messages(store_set), rows.extend)
    return len(rows)


SAID: Final = "SELECT count(*) FROM messages"


def _asked(store_set: StoreSet) -> int:
    ((count,),) = store_set.query(STORE, SAID)
    return int(count)


def _loosely(ground: Ground) -> StoreSet:
    """Return the store set with sessions in which each statement would see what is newest."""
    loose = {
        EngineKind.MYSQL: "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        EngineKind.POSTGRES: "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
    }
    ground.store_set.execute(STORE, loose[ground.run_config.engine])
    return ground.store_set


def _a_snapshot_stays_as_it_is(ground: Ground) -> None:
    """What others commit after a snapshot began is not seen in it, and is seen behind it."""
    for begin in (ground.store_set.snapshot, ground.store_set.transaction):
        store_set, second = _loosely(ground), ground.connect()
        store_set.clear()
        second.insert([_row(1)])
        with begin():
            if ground.run_config.engine is EngineKind.POSTGRES:
                # There a snapshot begins with the first statement.
                assert _count(store_set) == 1
            second.insert([_row(2)])
            assert _count(store_set) == 1
            second.insert([_row(3)])
            assert _count(store_set) == 1
        assert _asked(store_set) == 3
        second.insert([_row(4)])
        assert _asked(store_set) == 4


def _fail_in(begin: Callable[[], AbstractContextManager[None]], store_set: StoreSet) -> None:
    with begin():
        assert _count(store_set) == 0
        raise ZeroDivisionError


def _what_fails_leaves_no_transaction(ground: Ground) -> None:
    """After an error in a snapshot or transaction the next statement sees what is newest."""
    second = ground.connect()
    for begin in (ground.store_set.snapshot, ground.store_set.transaction):
        ground.store_set.clear()
        with pytest.raises(ZeroDivisionError):
            _fail_in(begin, ground.store_set)
        second.insert([_row(1)])
        assert _asked(ground.store_set) == 1
        assert _count(ground.store_set) == 1
        with ground.store_set.snapshot():
            assert _count(ground.store_set) == 1
            second.insert([_row(2)])
            assert _count(ground.store_set) == 1


def _what_breaks_off_in_the_middle(ground: Ground) -> None:
    """A pass that breaks off in the middle of many rows spoils nothing for the next one."""
    store_set = ground.store_set
    store_set.insert(_row(number) for number in range(1, 5_001))

    def once(_: Sequence[bytes]) -> None:
        raise ZeroDivisionError

    for begin in (store_set.snapshot, store_set.transaction):
        with pytest.raises(ZeroDivisionError), begin():
            store_set.scan(_messages(store_set), once)
        assert _asked(store_set) == 5_000
        assert _count(store_set) == 5_000


def _what_is_not_committed_is_undone(ground: Ground) -> None:
    """A transaction that is left without a commit leaves nothing, and one with it everything."""
    store_set, second = ground.store_set, ground.connect()
    with store_set.transaction():
        store_set.insert([_row(1)])
        assert _asked(store_set) == 1
        assert _asked(second) == 0
    assert (_asked(store_set), _asked(second)) == (0, 0)
    with store_set.transaction():
        store_set.insert([_row(2)])
        store_set.commit()
        assert _asked(second) == 1
    store_set.insert([_row(3)])
    assert _asked(second) == 2
    with store_set.transaction(), store_set.snapshot():
        store_set.insert([_row(4)])
        assert _asked(second) == 2


def _a_schema_is_looked_at_anew(ground: Ground) -> None:
    """A table that came after a transaction is seen, and one that came within is not asked for."""
    ground.undo.append(("waweb", "DROP TABLE late"))
    with ground.store_set.transaction():
        assert "late" not in {table.name for table in ground.store_set.tables()}
    ground.connect().execute("waweb", "CREATE TABLE late (v INT)")
    assert "late" in {table.name for table in ground.store_set.tables()}


def _others_are_not_waited_for_long(ground: Ground) -> None:
    """In a transaction a row that others hold is waited for as long as the harness says."""
    on_mysql = ground.run_config.engine is EngineKind.MYSQL
    asked = "SELECT @@innodb_lock_wait_timeout" if on_mysql else "SHOW lock_timeout"
    expected = mysql._LOCK_TIMEOUT_S if on_mysql else f"{postgres._LOCK_TIMEOUT_S}s"
    store_set = ground.connect()
    with store_set.transaction():
        assert store_set.query(STORE, asked) == [(expected,)]
    if on_mysql:
        return
    searching = [(f"{postgres._SEARCH_LOCK_TIMEOUT_S}s",)]
    with store_set.snapshot(), store_set.beside(STORE) as other:
        for one in (store_set, other):
            assert one.query(STORE, asked) == searching


def _what_only_the_catalog_knows_is_a_hazard(ground: Ground) -> None:
    """Foreign keys that only InnoDB's own catalog shows are hazards too, each once."""
    if ground.run_config.engine is not EngineKind.MYSQL:
        return
    hidden = [Hazard(STORE, table, "carries on") for table in ("receipts", "chats", "chats")]
    with mock.patch.object(mysql, "cascades", return_value=iter(hidden)):
        assert ground.store_set.hazards() == (hidden[1], hidden[0])


def _lose(
    ground: Ground, victim: StoreSet, begin: Callable[[], AbstractContextManager[None]]
) -> None:
    with begin():
        if ground.run_config.engine is EngineKind.MYSQL:
            ((number,),) = victim.query(STORE, "SELECT connection_id()")
            ground.store_set.execute(STORE, f"KILL {number}")
        else:
            ((number,),) = victim.query(STORE, "SELECT pg_backend_pid()")
            ground.store_set.query(STORE, f"SELECT pg_terminate_backend({number})")
        _count(victim)


def _a_lost_connection_is_told(ground: Ground) -> None:
    """A connection that the server ends in a transaction is a server that cannot be reached."""
    one, two = ground.connect(), ground.connect()
    for victim, begin in ((one, one.transaction), (two, two.snapshot)):
        with pytest.raises(StoreUnreachableError):
            _lose(ground, victim, begin)


def _what_may_not_be_read_is_refused(ground: Ground) -> None:
    """A table that is not there is refused without a driver's word, and the next one is read."""
    store_set = ground.store_set
    store_set.insert([_row(1)])
    messages = _messages(store_set)
    gone = TableSchema(STORE, "gone", messages.columns, namespace=messages.namespace)
    for begin in (store_set.snapshot, store_set.transaction):
        with begin():
            with pytest.raises(StoreError) as refusal:
                store_set.scan(gone, list)
            assert type(refusal.value) is StoreError
            assert _count(store_set) == 1
            with pytest.raises(StoreError):
                store_set.scan(gone, list)
            assert _count(store_set) == 1
    with pytest.raises(StoreError):
        store_set.scan(gone, list)
    assert _count(store_set) == 1


def _a_foreign_key_that_forbids(ground: Ground) -> None:
    """Where somebody else's row names the subject's, the server refuses, and nothing is changed."""
    key = "ALTER TABLE receipts ADD CONSTRAINT tied FOREIGN KEY (_id) REFERENCES messages (_id)"
    drop = "FOREIGN KEY" if ground.run_config.engine is EngineKind.MYSQL else "CONSTRAINT"
    ground.change(STORE, [key], [f"ALTER TABLE receipts DROP {drop} tied"])
    own = SeedRow(
        STORE, "messages", _row(7_001, person(0).jid).values, frozenset({"key_remote_jid"})
    )
    case = case_named("empty")
    further = (own, _row(7_001, table="receipts"))
    outcome = ground.rehearsed(replace(case, further=further))
    assert [(one.phase, one.error) for one in outcome.run.all(Failed)] == [("erase", "StoreError")]
    assert outcome.judgement.verdict is Verdict.UNKNOWN
    assert _asked(ground.connect()) == 1


def _a_connection_beside_reads_a_snapshot(ground: Ground) -> None:
    """A connection beside another reads what was there when it began, and ends with it."""
    store_set, second = ground.store_set, ground.connect()
    with store_set.snapshot():
        messages = _messages(store_set)
        with store_set.beside(STORE) as other:
            for number in range(2):
                rows: list[bytes] = []
                other.scan(messages, rows.extend)
                assert rows == []
                second.insert([_row(number)])
    if ground.run_config.engine is EngineKind.MYSQL:
        with pytest.raises(StoreUnreachableError):
            other.query(STORE, SAID)


def _only_large_tables_are_cut(ground: Ground) -> None:
    """A table is cut along an integer key whose ends are far apart, and no other is."""
    store_set = ground.store_set
    ground.change("waweb", ["CREATE TABLE keyless (a BIGINT)"], ["DROP TABLE keyless"])
    store_set.insert([_row(1), _row(500_000)])
    tables = {table.name: table for table in store_set.tables()}
    assert len(store_set.parts(tables["messages"], 3)) == 3
    assert store_set.parts(tables["messages"], 1) == ("",)
    assert {
        part
        for name in ("contacts", "chats", "keyless")
        for part in store_set.parts(tables[name], 3)
    } == {""}
    parts = store_set.parts(tables["messages"], 3)
    seen: list[bytes] = []
    for part in parts:
        store_set.scan(tables["messages"], seen.extend, part=part)
    assert len(seen) == 2


def _packets_of_statements(ground: Ground) -> None:
    """Rows without a key are deleted and replaced as often as they were located, and counted."""
    ground.change(
        "waweb", ["CREATE TABLE visits (who VARCHAR(80), note TEXT)"], ["DROP TABLE visits"]
    )
    jid, phone = person(0).jid, person(0).phone
    rows = [(jid, "x")] * 3 + [("a", f"call {phone}")] * 2
    further = tuple(SeedRow("waweb", "visits", {"who": who, "note": note}) for who, note in rows)
    case = case_named("empty")
    outcome = ground.rehearsed(replace(case, further=further))
    assert not outcome.run.all(Failed)
    left = ground.store_set.query("waweb", "SELECT who, note FROM visits")
    assert len(left) == 2
    assert all(person(0).number not in note for _, note in left)


CLAIMS: Final = (
    _a_snapshot_stays_as_it_is,
    _what_fails_leaves_no_transaction,
    _what_breaks_off_in_the_middle,
    _what_is_not_committed_is_undone,
    _a_schema_is_looked_at_anew,
    _others_are_not_waited_for_long,
    _what_only_the_catalog_knows_is_a_hazard,
    _a_lost_connection_is_told,
    _what_may_not_be_read_is_refused,
    _a_foreign_key_that_forbids,
    _a_connection_beside_reads_a_snapshot,
    _only_large_tables_are_cut,
    _packets_of_statements,
)
