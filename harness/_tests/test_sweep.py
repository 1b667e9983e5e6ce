"""The pass over every row: what is planted is found, what is altered is noticed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from harness.config import RunConfig
from harness.errors import StoreError
from harness.evidence.forms import account
from harness.identity import Closure, WaId
from harness.judge import judge_run, runs_of
from harness.manifest import Manifest
from harness.model import (
    EngineChoice,
    EngineKind,
    Part,
    Record,
    Secret,
    SeedRow,
    TableSchema,
    TableState,
)
from harness.population.cases import CASES, showcase
from harness.population.people import mapped_person, person
from harness.population.rows import rows_of
from harness.population.world import World
from harness.run import HARDENED, Rehearsal, planted, rehearse
from harness.stores import StoreSet, connect
from harness.stores.aliases import resolve
from harness.stores.protocol import Consumer
from harness.stores.sweep import Search, Sighting, sweep

KEY = b"k" * 32
SUBJECT = person(0)
WORLD = showcase(SUBJECT)
CLOSURE = Closure(WaId(SUBJECT.number))
on_mysql = pytest.mark.parametrize(
    "kind", [EngineKind.MYSQL], indirect=True, ids=str, scope="session"
)
on_postgres = pytest.mark.parametrize(
    "kind", [EngineKind.POSTGRES], indirect=True, ids=str, scope="session"
)


@pytest.fixture
def seeded(store_set: StoreSet) -> StoreSet:
    """The showcase: the subject in every surface."""
    store_set.insert(rows_of(WORLD))
    return store_set


def seen(store_set: StoreSet, described: Manifest, closure: Closure | None = CLOSURE) -> Sighting:
    """Return what one pass sees."""
    return sweep(store_set, Search(described, closure, KEY))


def states(sighting: Sighting) -> dict[tuple[str, str], TableState]:
    """Return table states by place."""
    return {(state.store, state.table): state for state in sighting.tables}


def test_everything_planted_is_seen_and_nothing_else(seeded: StoreSet, described: Manifest) -> None:
    """The hits are the planted cells, column by column and cell by cell."""
    expected = planted("run", rows_of(WORLD))
    sighting = seen(seeded, described)
    assert [replace(trace, forms=()) for trace in sorted(sighting.traces)] == list(expected.traces)
    assert sum(state.bystander_rows for state in sighting.tables) == expected.bystander_rows
    assert sighting.unsearched == []
    assert sighting.size_bytes > 1000


def test_an_unknown_subject_is_seen_nowhere(seeded: StoreSet, described: Manifest) -> None:
    """A neighbour's sweep of the same rows finds no trace."""
    assert seen(seeded, described, Closure(WaId(person(77).number))).traces == []


def test_a_table_outside_the_manifest_is_searched(store_set: StoreSet, described: Manifest) -> None:
    """A trace in a table and columns that the manifest does not know is found all the same."""
    store_set.execute("clusterStore", "CREATE TABLE memo (a INT, b VARCHAR(80))")
    try:
        store_set.insert([SeedRow("clusterStore", "memo", {"a": 1, "b": f"see {SUBJECT.phone}"})])
        (trace,) = seen(store_set, described).traces
    finally:
        store_set.execute("clusterStore", "DROP TABLE memo")
    assert (trace.store, trace.table, trace.column, trace.cells) == ("clusterStore", "memo", "b", 1)
    assert trace.forms == (("international number", 1),)


def test_two_passes_agree(seeded: StoreSet, described: Manifest) -> None:
    """Nothing changed, nothing differs; another key gives other digests."""
    first, second = seen(seeded, described), seen(seeded, described)
    assert first.tables == second.tables
    other = sweep(seeded, Search(described, CLOSURE, b"o" * 32))
    filled = [one for one in first.tables if one.bystander_rows]
    assert filled
    assert all(
        one.bystander_digest != states(other)[one.store, one.table].bystander_digest
        for one in filled
    )


BYSTANDER = f"wa_id = '{person(1).number}'"
ALTERATIONS: dict[str, list[str]] = {
    "one character": [f"UPDATE contacts SET name = 'Ada Abarb' WHERE {BYSTANDER}"],
    "trailing space": [f"UPDATE contacts SET name = concat(name, ' ') WHERE {BYSTANDER}"],
    "case": [f"UPDATE contacts SET name = upper(name) WHERE {BYSTANDER}"],
    "NULL for empty": [f"UPDATE contacts SET name = NULL WHERE {BYSTANDER}"],
    "number off by one": [f"UPDATE contacts SET joined = joined + 1 WHERE {BYSTANDER}"],
    "row deleted": [f"DELETE FROM contacts WHERE {BYSTANDER}"],
    "row added": ["INSERT INTO contacts (wa_id, name) VALUES ('someone', 'x')"],
    "moved to the next column": [
        f"UPDATE contacts SET joined = NULL, timestamp = joined WHERE {BYSTANDER}"
    ],
}


@pytest.mark.parametrize("statements", ALTERATIONS.values(), ids=ALTERATIONS.keys())
def test_a_bystanders_row_that_is_altered_is_noticed(
    seeded: StoreSet, described: Manifest, statements: list[str]
) -> None:
    """Each alteration of one bystander's row changes that table's digest, and no other's."""
    before = states(seen(seeded, described))
    for statement in statements:
        assert seeded.execute("waweb", statement) >= 1
    after = states(seen(seeded, described))
    assert {place for place in before if before[place] != after[place]} == {("waweb", "contacts")}
    place = ("waweb", "contacts")
    assert before[place].bystander_digest != after[place].bystander_digest


def duplicated(store_set: StoreSet, times: int) -> None:
    """Insert rows that are the same to the last byte, in a table without a key."""
    store_set.insert([SeedRow("clusterStore", "twins", {"a": 1, "b": "same"})] * times)


@pytest.mark.parametrize("times", [1, 3, 4], ids=["one of two", "three", "four"])
def test_doubled_rows_do_not_cancel_out(
    store_set: StoreSet, described: Manifest, times: int
) -> None:
    """Identical rows add up: one of two gone, or two more, is noticed (an XOR would not)."""
    store_set.execute("clusterStore", "CREATE TABLE twins (a INT, b VARCHAR(9))")
    try:
        duplicated(store_set, 2)
        before = states(seen(store_set, described))[("clusterStore", "twins")]
        store_set.execute("clusterStore", "DELETE FROM twins")
        duplicated(store_set, times)
        after = states(seen(store_set, described))[("clusterStore", "twins")]
    finally:
        store_set.execute("clusterStore", "DROP TABLE twins")
    assert before.bystander_digest != after.bystander_digest
    assert after.bystander_rows == times


def test_swapped_values_are_noticed(seeded: StoreSet, described: Manifest) -> None:
    """Two bystanders who exchange names are two changed rows."""
    before = states(seen(seeded, described))
    one, two = person(1), person(101)
    for number, name in ((one.number, two.name), (two.number, one.name)):
        seeded.execute("waweb", f"UPDATE contacts SET name = '{name}' WHERE wa_id = '{number}'")
    after = states(seen(seeded, described))
    assert before[("waweb", "contacts")] != after[("waweb", "contacts")]


def test_a_mention_is_not_the_subjects_row(seeded: StoreSet, described: Manifest) -> None:
    """A bystander's row that names the subject is a mention; the subject's own rows are the subject's."""
    found = states(seen(seeded, described))
    assert found[("waweb", "contacts")].subject_rows == 1
    assert found[("waweb", "contacts")].mention_rows == 0
    assert found[("messageStore", "group_participants_history")].mention_rows == 4
    assert found[("axolotlStore", "identities")].bystander_rows == 4


def test_without_a_closure_every_row_counts_alike(seeded: StoreSet, described: Manifest) -> None:
    """In a set that is out of scope the subject's rows are fingerprinted like anyone's."""
    sighting = seen(seeded, described, None)
    assert sighting.traces == []
    assert sum(state.bystander_rows for state in sighting.tables) == len(rows_of(WORLD))


def test_aliases_join_the_closure(store_set: StoreSet, described: Manifest) -> None:
    """A JID that wa_phones ties to the number joins the closure; a stranger's does not."""
    subject = mapped_person(0)
    store_set.insert(rows_of(World(subject, (subject, person(1)))))
    closure = resolve(store_set, described, Closure(WaId(subject.number)))
    assert closure.aliases == {subject.jid_number}


def test_an_alias_table_without_its_columns_is_an_error(
    seeded: StoreSet, described: Manifest
) -> None:
    """A closure that cannot be completed is refused, not silently smaller."""
    rename = {
        EngineKind.MYSQL: "ALTER TABLE wa_phones CHANGE {} {} VARCHAR(64) CHARACTER SET latin1 NOT NULL",
        EngineKind.POSTGRES: "ALTER TABLE wa_phones RENAME {} TO {}",
    }[seeded.config.engine]
    seeded.execute("contactStore", rename.format("phone_number", "renamed"))
    try:
        with pytest.raises(StoreError, match="lacks phone_number or jid"):
            resolve(seeded, described, CLOSURE)
    finally:
        seeded.execute("contactStore", rename.format("renamed", "phone_number"))


def test_a_table_that_may_not_be_read_is_listed(
    seeded: StoreSet, described: Manifest, run_config: RunConfig
) -> None:
    """Without the right to read, a table is listed as not searched, never passed over."""
    create = {
        EngineKind.MYSQL: [
            "CREATE USER 'reader'@'%' IDENTIFIED BY 'reader-word'",
            "GRANT SELECT ON own_messageStore.* TO 'reader'@'%'",
            "GRANT INSERT ON own_waweb.contacts TO 'reader'@'%'",
        ],
        EngineKind.POSTGRES: ["CREATE ROLE reader LOGIN PASSWORD 'reader-word'"],
    }
    drop = {EngineKind.MYSQL: "DROP USER 'reader'@'%'", EngineKind.POSTGRES: "DROP ROLE reader"}
    for statement in create[run_config.engine]:
        seeded.execute("waweb", statement)
    try:
        credentials = {"username": "reader", "password": Secret("reader-word")}
        reader = connect(replace(run_config, **credentials), ["waweb"])  # type: ignore[arg-type]  # by name
        unsearched = seen(reader, described).unsearched
        reader.close()
    finally:
        seeded.execute("waweb", drop[run_config.engine])
    assert [(gap.store, gap.table) for gap in unsearched] == [("waweb", "contacts")]


@on_postgres
def test_tables_of_one_name_in_two_schemas_are_two_tables(
    seeded: StoreSet, described: Manifest
) -> None:
    """On PostgreSQL a table of the same name in another schema hides neither traces nor harm."""
    seeded.execute("waweb", "CREATE SCHEMA y; CREATE TABLE y.contacts (LIKE public.contacts)")
    try:
        before = states(seen(seeded, described))
        seeded.execute("waweb", f"DELETE FROM public.contacts WHERE {BYSTANDER}")
        after = states(seen(seeded, described))
    finally:
        seeded.execute("waweb", "DROP SCHEMA y CASCADE")
    changed = {place for place in before if before[place] != after[place]}
    assert changed == {("waweb", "contacts")}
    assert ("waweb", "y.contacts") in after


@on_postgres
def test_a_table_that_cannot_be_read_hides_no_other(seeded: StoreSet, described: Manifest) -> None:
    """On PostgreSQL one unreadable relation is the only one listed as not searched."""
    seeded.execute("messageStore", "CREATE MATERIALIZED VIEW aaa AS SELECT 1 AS v WITH NO DATA")
    try:
        sighting = seen(seeded, described)
    finally:
        seeded.execute("messageStore", "DROP MATERIALIZED VIEW aaa")
    assert [(gap.store, gap.table) for gap in sighting.unsearched] == [("messageStore", "aaa")]
    assert {state.table for state in sighting.tables} >= {"messages", "chats", "receipts"}


@on_mysql
def test_zeros_that_are_only_shown_are_not_read(store_set: StoreSet, described: Manifest) -> None:
    """On MySQL a ZEROFILL column's number is found like any other."""
    store_set.execute("waweb", "CREATE TABLE filled (v BIGINT(20) ZEROFILL)")
    try:
        store_set.execute("waweb", f"INSERT INTO filled VALUES ({SUBJECT.number})")
        assert [trace.table for trace in seen(store_set, described).traces] == ["filled"]
    finally:
        store_set.execute("waweb", "DROP TABLE filled")


def scattered(store_set: StoreSet) -> None:
    """Insert few messages whose keys are far apart, some of them naming the subject."""
    keys = [-7, 1, 24_999, 25_000, 50_000, 75_000, 99_999, 100_000]
    store_set.insert(
        SeedRow(
            "messageStore",
            "messages",
            {
                "_id": key,
                "key_remote_jid": person(1).jid,
                "key_from_me": 0,
                "key_id": f"k{key}",
                "data": f"call {SUBJECT.phone}" if key % 2 else "call nobody",
            },
        )
        for key in keys
    )


@pytest.mark.parametrize("connections", [2, 3, 4, 7])
def test_several_connections_see_what_one_sees(
    store_set: StoreSet, described: Manifest, connections: int
) -> None:
    """A table read in parts, side by side, gives the same states, traces and digests."""
    scattered(store_set)
    search = Search(described, CLOSURE, KEY, keep_rows=True)
    (messages,) = (t for t in store_set.tables() if t.name == "messages")
    assert len(store_set.parts(messages, connections)) == connections
    alone, together = sweep(store_set, search), sweep(store_set, search, connections)
    assert (together.tables, together.traces) == (alone.tables, alone.traces)
    assert together.row_digests == alone.row_digests
    assert together.size_bytes == alone.size_bytes
    assert states(together)["messageStore", "messages"].mention_rows == 4


def test_a_small_table_is_read_whole(seeded: StoreSet) -> None:
    """Tables with few keys, or without an integer key, are one part."""
    assert {part for table in seeded.tables() for part in seeded.parts(table, 4)} == {""}


def test_a_part_that_cannot_be_read_leaves_the_table_unsearched(
    store_set: StoreSet, described: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When one of several connections fails, the whole table counts as not searched."""
    scattered(store_set)
    real = type(store_set).scan

    def scan(self: StoreSet, table: TableSchema, consume: Consumer, **how: Any) -> int:
        if how.get("part", "").startswith(("`_id` >=", '"_id" >=')):
            raise StoreError("no rights")
        return real(self, table, consume, **how)

    monkeypatch.setattr(type(store_set), "scan", scan)
    sighting = sweep(store_set, Search(described, CLOSURE, KEY), 2)
    assert [(one.store, one.table) for one in sighting.unsearched] == [("messageStore", "messages")]
    assert ("messageStore", "messages") not in states(sighting)


@on_postgres
def test_parts_share_one_snapshot(store_set: StoreSet, described: Manifest) -> None:
    """On PostgreSQL a connection beside reads the snapshot of the first, not what came since."""
    (messages,) = (t for t in store_set.tables() if t.name == "messages")
    writer = connect(store_set.config, [store.name for store in described.stores])
    rows: list[bytes] = []
    with store_set.snapshot():
        store_set.scan(messages, rows.extend)
        scattered(writer)
        with store_set.beside("messageStore") as other:
            other.scan(messages, rows.extend)
    writer.close()
    assert rows == []


def test_a_changed_number_and_a_lid_are_tied_by_the_stores(
    seeded: StoreSet, described: Manifest
) -> None:
    """A notification of a new number, and a contact with a LID, join the closure of the wa_id."""
    new, lid = person(5).number, "99887766" + "5544332"
    change = {"messages": [{"from": SUBJECT.number, "system": {"new_wa_id": new}}]}
    seeded.insert(
        [
            SeedRow(
                "callbackStore",
                "queue",
                {"key_remote_jid": person(1).jid, "payload": json.dumps(change)},
            ),
            SeedRow("contactStore", "wa_contacts", {"jid": f"{lid}@lid", "number": SUBJECT.phone}),
        ]
    )
    closure = resolve(seeded, described, CLOSURE)
    assert closure.aliases == {new}
    assert closure.lids == {lid}
    kinds = dict(closure.by_kind())
    assert kinds["alias tied by the stores"] == kinds["LID tied by the stores"] == 1


def test_what_a_form_is_missed_in_is_told(
    store_set: StoreSet, described: Manifest, choice: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the matcher is blind to one form, the matrix fails and names the column and the form."""
    monkeypatch.setattr("harness.identity.matcher.in_hexadecimal", lambda *_: iter(()))
    case = next(case for case in CASES if case.name == "encodings")
    records: list[Record] = []
    rehearse(
        Rehearsal(
            run="blind",
            case=case,
            engine=choice,
            sets={Part.JUDGED: store_set},
            manifest=described,
            routine=HARDENED,
            control=False,
            pseudonym="p",
        ),
        records.append,
    )
    (run,) = runs_of(tuple(records))
    whys = {one.why for one in judge_run(run).findings}
    assert "not seen before the erasure: bare number in hexadecimal" in whys
    assert [line for line in account(run) if not line.clear and "hexadecimal" in line.form]
