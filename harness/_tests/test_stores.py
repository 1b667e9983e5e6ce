"""Stores on real servers: what is read is what is there, and no error repeats a value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from harness.config import RunConfig
from harness.errors import StoreError, StoreUnreachableError
from harness.manifest import Manifest
from harness.model import ColumnSchema, EngineKind, Secret, SeedRow, TableSchema
from harness.stores import StoreSet, connect, drift
from harness.stores.protocol import fold

STORE = "messageStore"
on_postgres = pytest.mark.parametrize(
    "kind", [EngineKind.POSTGRES], indirect=True, ids=str, scope="session"
)


@contextmanager
def table(
    store_set: StoreSet, body: dict[EngineKind, str], name: str = "probe"
) -> Iterator[TableSchema]:
    """A table of the test's own in messageStore, introspected."""
    store_set.execute(STORE, f"CREATE TABLE {name} ({body[store_set.config.engine]})")
    try:
        yield next(t for t in store_set.tables() if (t.store, t.name) == (STORE, name))
    finally:
        store_set.execute(STORE, f"DROP TABLE {name}")


def cells(store_set: StoreSet, of: TableSchema) -> list[tuple[bytes | None, ...]]:
    """Return a table's rows as the scan sees them, decoded."""
    rows: list[bytes] = []
    store_set.scan(of, rows.extend)
    return sorted(map(store_set.decoder(of), rows), key=repr)


NAMESPACE = {EngineKind.MYSQL: "", EngineKind.POSTGRES: "public"}
TEXT = {
    EngineKind.MYSQL: "v LONGTEXT CHARACTER SET utf8mb4, w VARCHAR(40)",
    EngineKind.POSTGRES: "v text, w varchar(40)",
}
BLOB = {EngineKind.MYSQL: "v LONGBLOB, w INT", EngineKind.POSTGRES: "v bytea, w integer"}
TEXTS = [
    "",
    " ",
    "trailing ",
    "tab\there",
    "line\nend\r",
    "back\\slash",
    "\\N",
    "\\x41",
    "ünïcode 😀",
    "x" * 300,
    "y" * 70_000,
]
BLOBS = [b"", b"\x00", b"\xff\xfe\x00\\", bytes(range(256)), b"\\x41", b"z" * 300]


@pytest.mark.parametrize("text", TEXTS, ids=[f"text {n}" for n in range(len(TEXTS))])
def test_text_arrives_as_it_was_stored(store_set: StoreSet, text: str) -> None:
    """Whatever a text holds, scanning and decoding gives its UTF-8 bytes; NULL is not the empty text."""
    with table(store_set, TEXT) as probe:
        store_set.insert([SeedRow(STORE, "probe", {"v": text, "w": None})])
        assert cells(store_set, probe) == [(text.encode(), None)]


@pytest.mark.parametrize("blob", BLOBS, ids=[f"blob {n}" for n in range(len(BLOBS))])
def test_a_blob_arrives_as_it_was_stored(store_set: StoreSet, blob: bytes) -> None:
    """Whatever a binary value holds, its own bytes arrive."""
    with table(store_set, BLOB) as probe:
        store_set.insert([SeedRow(STORE, "probe", {"v": blob, "w": -1})])
        assert cells(store_set, probe) == [(blob, b"-1")]


def test_a_row_larger_than_a_packet_arrives_whole(store_set: StoreSet) -> None:
    """A row of more than 16 MiB, which MySQL sends in several packets, is one row."""
    half = 9 * 1024 * 1024
    store_set.execute(
        STORE, f"CREATE VIEW large AS SELECT repeat('x', {half}) v, repeat('y', {half}) w"
    )
    columns = (ColumnSchema("v", "text"), ColumnSchema("w", "text"))
    namespace = NAMESPACE[store_set.config.engine]
    large = TableSchema(STORE, "large", columns, (), namespace, is_view=True)
    try:
        rows: list[bytes] = []
        assert store_set.scan(large, rows.extend) > 2 * half
        (halves,) = map(store_set.decoder(large), rows)
    finally:
        store_set.execute(STORE, "DROP VIEW large")
    assert halves == (b"x" * half, b"y" * half)


def test_scanning_reads_what_the_driver_reads(store_set: StoreSet) -> None:
    """Decoded rows equal those of the driver's own cursor, for every kind of column."""
    body = {
        EngineKind.MYSQL: "a BIGINT, b DOUBLE, c VARCHAR(20), d LONGBLOB, e DECIMAL(30,10), f DATETIME",
        EngineKind.POSTGRES: "a bigint, b double precision, c varchar(20), d bytea, e numeric, f timestamp",
    }
    rows: list[dict[str, int | float | str | bytes | None]] = [
        {
            "a": n * 10**12,
            "b": n / 7,
            "c": f"text {n}",
            "d": bytes([n, 255 - n]),
            "e": n,
            "f": f"2026-01-{n + 1:02d} 10:00:00",
        }
        for n in range(20)
    ]
    with table(store_set, body) as probe:
        store_set.insert([SeedRow(STORE, "probe", row) for row in rows])
        own = cells(store_set, probe)
        driven = store_set.query(STORE, "SELECT a, b, c, d FROM probe")
    assert len(own) == len(driven) == 20
    assert sorted((int(a or b""), float(b or b""), c, d) for a, b, c, d, _, _ in own) == sorted(
        (a, b, c.encode(), bytes(d)) for a, b, c, d in driven
    )


def test_a_float_keeps_all_its_digits(store_set: StoreSet) -> None:
    """Two FLOAT values that differ in the last bit are two different cells."""
    body = {EngineKind.MYSQL: "v FLOAT", EngineKind.POSTGRES: "v real"}
    with table(store_set, body) as probe:
        for value in ("16777215", "16777214"):
            store_set.execute(STORE, f"INSERT INTO probe VALUES ({value})")
        assert len(set(cells(store_set, probe))) == 2


def test_every_table_is_introspected(store_set: StoreSet, described: Manifest) -> None:
    """Tables of the manifest and foreign ones alike are found, with columns and keys."""
    with table(store_set, BLOB, "not_in_the_manifest"):
        found = {(t.store, t.name): t for t in store_set.tables()}
    on_mysql = store_set.config.engine is EngineKind.MYSQL
    assert found.keys() == {*described.tables, (STORE, "not_in_the_manifest")}
    for place, description in described.tables.items():
        assert [c.name for c in found[place].columns] == [c.name for c in description.columns]
        key = description.key or (description.unique[0] if description.unique else ())
        # On PostgreSQL a row has a place, and no key is asked for.
        assert found[place].key == (key if on_mysql else ())


@on_postgres
def test_copies_outside_ordinary_tables_are_found_on_postgresql(store_set: StoreSet) -> None:
    """A materialized view, another schema, a child table: each place that keeps rows is read once."""
    store_set.execute(
        STORE,
        "CREATE SCHEMA extra; CREATE TABLE extra.parent (v text);"
        "CREATE TABLE extra.child () INHERITS (extra.parent);"
        "INSERT INTO extra.child VALUES ('x');"
        "CREATE MATERIALIZED VIEW extra.copy AS SELECT v FROM extra.parent",
    )
    try:
        extra = [t for t in store_set.tables() if t.namespace == "extra"]
        assert {t.name: cells(store_set, t) for t in extra} == {
            "parent": [],
            "child": [(b"x",)],
            "copy": [(b"x",)],
        }
    finally:
        store_set.execute(STORE, "DROP SCHEMA extra CASCADE")


def test_drift_is_named(store_set: StoreSet, described: Manifest) -> None:
    """A table, a column or a store too many or too few is named; an agreeing schema drifts nowhere."""
    assert list(drift.compare(store_set, described)) == []
    with table(store_set, BLOB, "extra_table"):
        store_set.execute(STORE, "ALTER TABLE receipts ADD COLUMN extra_column INT")
        try:
            found = {(d.store, d.table, d.column) for d in drift.compare(store_set, described)}
        finally:
            store_set.execute(STORE, "ALTER TABLE receipts DROP COLUMN extra_column")
    assert found == {(STORE, "extra_table", ""), (STORE, "receipts", "extra_column")}
    elsewhere = connect(replace(store_set.config, prefix="nowhere_"), [STORE])
    with_store = [d for d in drift.compare(elsewhere, described) if d.store == STORE]
    elsewhere.close()
    assert [d.why for d in with_store] == ["the store is not on this server"]


def test_an_error_carries_no_value(store_set: StoreSet) -> None:
    """A unique violation, whose driver's text quotes the key, does not show it, in no chained error either."""
    secret = "someone's number"
    rows = [SeedRow("waweb", "contacts", {"wa_id": secret})] * 2
    with pytest.raises(StoreError) as refusal:
        store_set.insert(rows)
    assert not isinstance(refusal.value, StoreUnreachableError)
    assert secret not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__


def test_a_failed_insert_leaves_nothing(store_set: StoreSet) -> None:
    """Rows go in as one transaction per database."""
    with pytest.raises(StoreError):
        store_set.insert([SeedRow("waweb", "contacts", {"wa_id": "same"})] * 2)
    fresh = connect(store_set.config, ["waweb"])
    (contacts,) = fresh.tables()
    assert cells(fresh, contacts) == []
    fresh.close()


@pytest.mark.parametrize(
    "changes",
    [{"port": 1}, {"password": Secret("wrong")}, {"username": "nobody"}],
    ids=["port", "password", "user"],
)
def test_a_server_that_cannot_be_reached_is_one_sentence(
    run_config: RunConfig, changes: dict[str, Any]
) -> None:
    """A wrong port, password or user is one sentence with the next step, and no password."""
    with pytest.raises(StoreUnreachableError, match="WA_DB_") as refusal:
        connect(replace(run_config, **changes), [STORE])
    assert "\n" not in str(refusal.value)
    assert "wrong" not in str(refusal.value)


def test_a_connection_that_is_killed_is_unreachable(
    run_config: RunConfig, store_set: StoreSet
) -> None:
    """A connection that the server ends becomes StoreUnreachableError at the next use."""
    victim = connect(run_config, [STORE])
    if run_config.engine is EngineKind.MYSQL:
        ((number,),) = victim.query(STORE, "SELECT connection_id()")
        store_set.execute(STORE, f"KILL {number}")
    else:
        ((number,),) = victim.query(STORE, "SELECT pg_backend_pid()")
        store_set.query(STORE, f"SELECT pg_terminate_backend({number})")
    with pytest.raises(StoreUnreachableError):
        victim.query(STORE, "SELECT 1")
    victim.close()


def test_folded_names_are_found() -> None:
    """A store is found under its exact name, else under its name in lower case."""
    assert fold(["aStore", "bStore", "cStore"], ["x_aStore", "x_bstore", "cStore"], "x_") == {
        "aStore": "x_aStore",
        "bStore": "x_bstore",
    }
    assert fold(["aStore"], ["aStore", "astore"], "") == {"aStore": "aStore"}


def test_case_folded_databases_are_reached(run_config: RunConfig) -> None:
    """Databases whose names were folded to lower case serve as the stores they are."""
    small = connect(replace(run_config, prefix="folded_"), ["contactstore"])
    small.create({"contactstore": "CREATE TABLE t (v INT)"})
    small.close()
    store_set = connect(replace(run_config, prefix="folded_"), ["contactStore"])
    assert dict(store_set.databases()) == {"contactStore": "folded_contactstore"}
    assert [t.name for t in store_set.tables()] == ["t"]
    store_set.drop()
    assert dict(store_set.databases()) == {}
    store_set.close()
