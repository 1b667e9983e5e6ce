"""Statements of ours hold no number that could be read, and find the same rows by the same index."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Sequence

import pytest

import harness.servers.mysql
import harness.servers.postgres
from harness import config
from harness.erasure import ProvenErasure
from harness.identity import Closure, WaId
from harness.manifest import Manifest
from harness.masks import Masks
from harness.model import EngineChoice, EngineKind, Erased, Located, Record, Replacement, SeedRow
from harness.plan import Party
from harness.population.cases import showcase
from harness.population.people import person
from harness.population.rows import rows_of
from harness.servers import EmbeddedServer, launch
from harness.stores import StoreSet, connect, ddl
from harness.stores.mysql_changes import Statements
from harness.stores.mysql_veil import MySqlVeil
from harness.stores.sweep import Search
from harness.stores.veil import Veil

from .test_stores import STORE, table

KEY = b"k" * 32
SUBJECT = person(0)
CLOSURE = Closure(WaId(SUBJECT.number))
NUMBER = SUBJECT.number.encode()
on_mysql = pytest.mark.parametrize(
    "kind", [EngineKind.MYSQL], indirect=True, ids=str, scope="session"
)
on_postgres = pytest.mark.parametrize(
    "kind", [EngineKind.POSTGRES], indirect=True, ids=str, scope="session"
)

# --- the same rows, by the same index --------------------------------------------------------

TEXT_TYPES = [
    "VARCHAR(80) CHARACTER SET latin1",
    "VARCHAR(80) CHARACTER SET utf8mb4",
    "VARCHAR(80) CHARACTER SET utf8 COLLATE utf8_unicode_ci",
    "VARCHAR(80) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "VARCHAR(80) CHARACTER SET ucs2",
    "CHAR(80) CHARACTER SET ascii",
]
KEYS: list[tuple[str, Sequence[int | float | str | bytes]]] = [
    *((kind, [SUBJECT.number, SUBJECT.number + "7", "it's", ""]) for kind in TEXT_TYPES),
    ("VARCHAR(80) CHARACTER SET utf8mb4", ["Zoë 😀 \\ % _", SUBJECT.jid]),
    ("VARCHAR(80) CHARACTER SET latin1", ["Zoë", "Zo\\ë"]),
    ("VARBINARY(80)", [NUMBER, b"\x00\xff'" + NUMBER, b""]),
    ("BINARY(20)", [NUMBER.ljust(20, b"\0"), b"\x00" * 19 + b"\x01"]),
    ("BIGINT", [int(SUBJECT.number), -int(SUBJECT.number), 1, -(2**63)]),
    ("BIGINT UNSIGNED", [int(SUBJECT.number), 2**64 - 1]),
    ("INT", [2**31 - 1, -(2**31), 1234567]),
    ("DECIMAL(30,4)", ["12345678901234567890123456.7891", "-4411849600001.5"]),
    ("DOUBLE", [float(SUBJECT.number), 1.23456789012345e300, 0.1]),
    ("DATETIME", ["2026-11-21 03:00:00", "1999-12-31 23:59:59"]),
    ("ENUM('a', 'b')", ["a", "b"]),
    ("BIT(48)", [int(SUBJECT.number)]),
]


@on_mysql
@pytest.mark.parametrize(("kind_of", "values"), KEYS, ids=[f"type {n}" for n in range(len(KEYS))])
@pytest.mark.parametrize("keyed", [True, False], ids=["by key", "by all cells"])
def test_each_row_is_found_by_its_veiled_value(
    store_set: StoreSet,
    kind_of: str,
    values: Sequence[int | float | str | bytes],
    *,
    keyed: bool,
) -> None:
    """Whatever its type and collation, one row is changed or deleted by its value, and no other row."""
    key = " PRIMARY KEY" if keyed else ""
    with table(store_set, {EngineKind.MYSQL: f"k {kind_of} NOT NULL{key}, n INT"}) as probe:
        store_set.insert(
            [SeedRow(STORE, "probe", {"k": value, "n": n}) for n, value in enumerate(values)]
        )
        rows: list[bytes] = []
        store_set.scan(probe, rows.extend)
        decode = store_set.decoder(probe)
        by_number = {int(decode(row)[1] or b""): row for row in rows}
        for n in range(len(values)):
            ten_more = str(n + 10).encode()
            changed = Replacement(Located(b"", by_number[n]), ((1, ten_more),))
            assert store_set.replace(probe, [changed]) == 1
        assert numbers(store_set) == [n + 10 for n in range(len(values))]
        rows.clear()
        store_set.scan(probe, rows.extend)
        for left in reversed(range(len(values))):
            (gone,) = [row for row in rows if decode(row)[1] == str(left + 10).encode()]
            assert store_set.delete(probe, [Located(b"", gone)]) == 1
            assert numbers(store_set) == [n + 10 for n in range(left)]


def numbers(store_set: StoreSet) -> list[int]:
    """Return the column n of the probe."""
    return sorted(n for (n,) in store_set.query(STORE, "SELECT n FROM probe"))


BODY = {
    EngineKind.MYSQL: "id INT PRIMARY KEY, t LONGTEXT CHARACTER SET utf8mb4, v VARCHAR(40), "
    "b LONGBLOB, i BIGINT, d DECIMAL(20,2)",
    EngineKind.POSTGRES: "id integer PRIMARY KEY, t text, v varchar(40), b bytea, i bigint, "
    "d numeric(20,2)",
}
CELLS = [
    ("t", "Zoë 😀 'quoted' \\N 100 % {}", "Zoë 😀 'quoted' \\N 100 % {}"),
    ("t", "", ""),
    ("t", "x" * 400_000, "x" * 400_000),
    ("v", "+" + SUBJECT.number, "+" + SUBJECT.number),
    ("b", bytes(range(256)), bytes(range(256))),
    ("i", "12345678901234567", 12345678901234567),
    ("d", "1234567890.25", "1234567890.25"),
]


@pytest.mark.parametrize(
    ("name", "new", "stored"), CELLS, ids=[f"cell {n}" for n in range(len(CELLS))]
)
def test_a_veiled_cell_is_stored_as_it_was_meant(
    store_set: StoreSet, name: str, new: str | bytes, stored: object
) -> None:
    """Text, bytes and numbers that replace a cell arrive as if they had been written plainly."""
    with table(store_set, BODY) as probe:
        filler: dict[str, int | float | str | bytes | None]
        filler = {"id": 1, "t": "t", "v": "v", "b": b"b", "i": 1, "d": 1}
        store_set.insert([SeedRow(STORE, "probe", filler | {"id": n}) for n in (1, 2)])
        scanned: list[bytes] = []
        store_set.scan(probe, scanned.extend, located=True)
        index = [column.name for column in probe.columns].index(name)
        cell = new if isinstance(new, bytes) else new.encode()
        decode = store_set.decoder(probe)
        (row,) = [
            Located(*parts)
            for parts in map(store_set.split, scanned)
            if decode(parts[1])[0] == b"1"
        ]
        with store_set.transaction():
            assert store_set.replace(probe, [Replacement(row, ((index, cell),))]) == 1
            store_set.commit()
        found = dict(store_set.query(STORE, f"SELECT id, {name} FROM probe"))
    one, other = (plain(found[n]) for n in (1, 2))
    assert one == stored
    assert other == plain(filler[name]) or name == "d"


def plain(value: object) -> object:
    """Return a driver's value as a plain one."""
    if isinstance(value, memoryview):
        return bytes(value)
    return value if isinstance(value, int | str | bytes) else str(value)


@on_postgres
def test_a_text_that_does_not_fit_is_refused(store_set: StoreSet) -> None:
    """A new cell that is too long for its column is an error, and is not cut in silence."""
    with table(store_set, BODY) as probe:
        store_set.insert([SeedRow(STORE, "probe", {"id": 1})])
        rows: list[bytes] = []
        store_set.scan(probe, rows.extend, located=True)
        row = Located(*store_set.split(rows[0]))
        with pytest.raises(Exception, match="SQLSTATE 22001"):
            store_set.replace(probe, [Replacement(row, ((2, b"x" * 41),))])


@on_mysql
@pytest.mark.parametrize(
    "kind_of", [*TEXT_TYPES, "VARBINARY(80)", "BIGINT", "DECIMAL(20,0)", "DOUBLE"]
)
def test_the_key_is_used(store_set: StoreSet, kind_of: str) -> None:
    """MySQL reaches a veiled key by the index, as one row, for deletion and for locking."""
    body = {EngineKind.MYSQL: f"k {kind_of} NOT NULL PRIMARY KEY, n INT"}
    with table(store_set, body) as probe:
        store_set.insert(
            [SeedRow(STORE, "probe", {"k": str(4411849600000 + n), "n": n}) for n in range(300)]
        )
        statements = Statements("probe", probe, repr)
        conditions = [statements.where((str(4411849600000 + n).encode(), None)) for n in (5, 6)]
        wanted = statements.lock(conditions), statements.delete(conditions[0], 1)
        for statement, count in zip(wanted, (2, 1), strict=True):
            assert "44118" not in statement
            ((*_, access, _, key, _, _, rows, _),) = store_set.query(STORE, f"EXPLAIN {statement}")
            assert (access, key, rows) == ("range", "PRIMARY", count)


@on_mysql
def test_locking_by_a_veiled_key_leaves_the_neighbours_alone(
    store_set: StoreSet, described: Manifest
) -> None:
    """While rows are locked by veiled keys, others change the rows beside them."""
    second = connect(store_set.config, [store.name for store in described.stores])
    people = [person(n) for n in range(200)]
    store_set.insert([SeedRow("waweb", "contacts", {"wa_id": one.number}) for one in people])
    (contacts,) = [one for one in store_set.tables() if one.name == "contacts"]
    rows: list[bytes] = []
    store_set.scan(contacts, rows.extend)
    mine = [row for row in rows if NUMBER in row or person(7).number.encode() in row]
    try:
        with store_set.transaction():
            assert store_set.delete(contacts, [Located(b"", row) for row in mine]) == 2
            second.execute("waweb", "SET SESSION innodb_lock_wait_timeout = 1")
            for one in people[1:7] + people[8:]:
                sql = "UPDATE contacts SET name = 'x' WHERE wa_id = %s"
                assert second.execute("waweb", sql, (one.number,)) == 1
    finally:
        second.close()


# --- what logs hold --------------------------------------------------------------------------


def test_no_digit_is_written_and_all_come_back() -> None:
    """What is written has no digit, whatever the value, and the letters stand for its digits."""
    veil = Veil()
    written = veil.write(bytes(range(256)) + NUMBER)
    assert re.fullmatch("[a-p]+", written)
    back = written.translate(str.maketrans(veil.letters, "0123456789"))
    assert bytes.fromhex(back) == bytes(range(256)) + NUMBER
    assert len({Veil().letters for _ in range(20)}) > 10


BINARY_LOGGING = ("log-bin=binlog", "server-id=1", "binlog-format={}")
LOUD_POSTGRES = {
    "log_statement=none": "log_statement=all",
    "log_min_error_statement=panic": "log_min_error_statement=error",
    "log_error_verbosity=terse": "log_error_verbosity=verbose",
}


@pytest.fixture(params=["STATEMENT", "MIXED"])
def loud_mysql(
    request: pytest.FixtureRequest, choice: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EmbeddedServer]:
    """A server that keeps every statement, in its general log, slow log and binary log."""
    settings = [one for one in harness.servers.mysql._SETTINGS if one != "skip-log-bin"]
    settings += [one.format(request.param) for one in BINARY_LOGGING]
    settings += ["general-log-file=heard.log", "slow-query-log-file=slow.log"]
    monkeypatch.setattr(harness.servers.mysql, "_SETTINGS", settings)
    yield from running(choice)


@pytest.fixture
def loud_postgres(
    choice: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EmbeddedServer]:
    """A server that keeps every statement in its log."""
    settings = [LOUD_POSTGRES.get(one, one) for one in harness.servers.postgres._SETTINGS]
    monkeypatch.setattr(harness.servers.postgres, "_SETTINGS", settings)
    yield from running(choice)


def running(choice: EngineChoice) -> Iterator[EmbeddedServer]:
    """Run a server of the test's own."""
    started = launch(choice)
    try:
        started.wait_ready()
        yield started
    finally:
        started.stop()


def seeded(server: EmbeddedServer, described: Manifest, *, quiet: bool = False) -> StoreSet:
    """Return the server's store set, with the showcase in it."""
    reached = config.from_variables(server.environment, source="test")
    store_set = connect(reached, [store.name for store in described.stores], quiet=quiet)
    store_set.create(ddl.committed(described, reached.engine))
    store_set.insert(rows_of(showcase(SUBJECT)))
    return store_set


def erase(store_set: StoreSet, described: Manifest) -> None:
    """Erase the subject as a run does, canary included."""
    records: list[Record] = []
    masks = Masks(CLOSURE)
    proven = ProvenErasure("testrun", store_set, described, KEY, records.append, lambda *_: None)
    assert proven.committed(1, Party(Search(described, CLOSURE, KEY, masks), masks))
    assert [one for one in records if isinstance(one, Erased)]


def spellings(number: str) -> list[bytes]:
    """Return a number as logs might hold it: text, its hexadecimal digits, a message id's head."""
    text = number.encode()
    heads = (head + b"\x11\x86" + bytes.fromhex(f"{number}f") for head in (b"\x80", b"\x00"))
    encoded = [base64.b64encode(head) for head in heads]
    plainly = [text, *encoded]
    return [
        *plainly,
        *(one.hex().encode() for one in plainly),
        *(one.hex().upper().encode() for one in plainly),
    ]


# Everybody in the showcase: the subject first.
ANYBODY = [spelling for n in range(4) for spelling in spellings(person(n).number)]


def heard_by_mysql(
    server: EmbeddedServer, store_set: StoreSet, act: Callable[[], None]
) -> dict[str, bytes]:
    """Return what each log kept of what was done, without what came before."""
    before = len(server.log.read_bytes())
    for statement in (
        "RESET MASTER",
        "SET GLOBAL slow_query_log = 1",
        "SET GLOBAL general_log = 1",
        "SET SESSION long_query_time = 0",
    ):
        store_set.execute(STORE, statement)
    act()
    store_set.execute(STORE, "FLUSH LOGS")
    kept = {
        name: b"".join(path.read_bytes() for path in sorted(server.data.glob(name)))
        for name in ("heard.log", "slow.log", "binlog.0*")
    }
    return kept | {"error log": server.log.read_bytes()[before:]}


def held(kept: bytes) -> list[bytes]:
    """Return which spellings of anybody's number a log holds."""
    return [spelling for spelling in ANYBODY if spelling in kept]


@on_mysql
def test_no_log_of_mysql_holds_a_number(loud_mysql: EmbeddedServer, described: Manifest) -> None:
    """With every log of statements on, an erasure leaves in none of them the number of anybody."""
    store_set = seeded(loud_mysql, described)
    kept = heard_by_mysql(loud_mysql, store_set, lambda: erase(store_set, described))
    store_set.close()
    assert all(b"DELETE FROM" in kept[name] for name in ("heard.log", "slow.log"))
    assert all(b"REPLACE(" in kept[name] for name in ("heard.log", "slow.log", "binlog.0*"))
    assert {name: held(content) for name, content in kept.items()} == {name: [] for name in kept}


@on_mysql
def test_without_the_veil_logs_of_mysql_hold_the_number(
    loud_mysql: EmbeddedServer, described: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written plainly, the same erasure leaves the number in each of them: the negative control."""
    monkeypatch.setattr(MySqlVeil, "binary", lambda _, cell: f"x'{cell.hex()}'")
    monkeypatch.setattr(MySqlVeil, "compared_text", lambda _, cell, __: f"'{cell.decode()}'")
    store_set = seeded(loud_mysql, described)
    kept = heard_by_mysql(loud_mysql, store_set, lambda: erase(store_set, described))
    store_set.close()
    for name in ("heard.log", "slow.log", "binlog.0*"):
        assert NUMBER in kept[name]
        assert set(held(kept[name])) & set(spellings(person(1).number))


@on_mysql
def test_a_quiet_session_is_in_no_log_of_mysql(
    loud_mysql: EmbeddedServer, described: Manifest
) -> None:
    """With the privilege, a quiet session's erasure is in neither general nor slow log at all."""
    store_set = seeded(loud_mysql, described, quiet=True)

    def quietly() -> None:
        again = connect(store_set.config, [one.name for one in described.stores], quiet=True)
        erase(again, described)
        assert all("binary" in name or "error log" in name for name in again.statement_logs())
        again.close()

    kept = heard_by_mysql(loud_mysql, store_set, quietly)
    store_set.close()
    assert b"DELETE FROM" not in kept["heard.log"] + kept["slow.log"]
    assert b"DELETE FROM" in kept["binlog.0*"]


@on_postgres
def test_the_log_of_postgresql_holds_no_number(
    loud_postgres: EmbeddedServer, described: Manifest
) -> None:
    """With every statement logged, an erasure leaves in the log the number of nobody; a query with one does."""
    store_set = seeded(loud_postgres, described)
    start = len(loud_postgres.log.read_bytes())
    erase(store_set, described)
    kept = loud_postgres.log.read_bytes()[start:]
    assert b"DELETE FROM" in kept
    assert b"translate(" in kept
    assert held(kept) == []
    last = [
        row[0]
        for row in store_set.query(
            STORE, "SELECT query FROM pg_stat_activity WHERE backend_type = 'client backend'"
        )
    ]
    assert last
    assert held("\n".join(last).encode()) == []
    store_set.query(STORE, "SELECT %s", (SUBJECT.number,))
    assert NUMBER in loud_postgres.log.read_bytes()[start:]
    store_set.close()


@on_postgres
def test_a_quiet_session_is_not_in_the_log_of_postgresql(
    loud_postgres: EmbeddedServer, described: Manifest
) -> None:
    """With the privilege, a quiet session's erasure is not in the log at all."""
    seeded(loud_postgres, described).close()
    start = len(loud_postgres.log.read_bytes())
    reached = config.from_variables(loud_postgres.environment, source="test")
    quiet = connect(reached, [one.name for one in described.stores], quiet=True)
    erase(quiet, described)
    assert quiet.statement_logs() == ()
    quiet.close()
    kept = loud_postgres.log.read_bytes()[start:]
    assert b"DELETE FROM" not in kept
    assert b"UPDATE" not in kept
