"""A routine called on real stores: committed when all is clear, else every row is as it was."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from harness import canary, config, manifest, routines
from harness._tests.conftest import PREFIX
from harness._tests.test_plan import everything
from harness.config import RunConfig
from harness.erasure import Settle
from harness.errors import (
    HarnessError,
    PlanError,
    RoutineError,
    SelfCommittingError,
    StoreError,
)
from harness.identity import Closure, WaId
from harness.manifest import Manifest
from harness.masks import Masks
from harness.model import (
    STOPPED,
    Answer,
    Called,
    CanaryFlown,
    EngineChoice,
    EngineKind,
    Erased,
    LeftBehind,
    Moment,
    Record,
    RolledBack,
    RoutineFailed,
    Secret,
    SeedRow,
    Step,
    TableChange,
    TableSchema,
)
from harness.plan import Party
from harness.population.cases import showcase
from harness.population.people import person
from harness.population.rows import rows_of
from harness.proven_call import ProvenCall, removed
from harness.routines import Routine
from harness.routines.catalog import listed
from harness.servers import launch
from harness.stores import StoreSet, connect
from harness.stores.aliases import resolve
from harness.stores.mysql_branch import BranchStoreSet
from harness.stores.postgres_foreign import ForeignStoreSet
from harness.stores.sweep import Search, Sighting, sweep

T = TypeVar("T")
KEY = b"k" * 32
RUN = "callrun"
HOME = "contactStore"
SUBJECT = person(0)
WA_ID = WaId(SUBJECT.number)
FOLDER = Path(__file__).resolve().parent / "routines"
on_mysql = pytest.mark.parametrize(
    "kind", [EngineKind.MYSQL], indirect=True, ids=str, scope="session"
)
on_postgres = pytest.mark.parametrize(
    "kind", [EngineKind.POSTGRES], indirect=True, ids=str, scope="session"
)


@pytest.fixture
def seeded(store_set: StoreSet) -> StoreSet:
    """The showcase: the subject in every surface."""
    store_set.insert(rows_of(showcase(SUBJECT)))
    return store_set


class Bench:
    """One proven call at a time, and what it recorded and saw."""

    def __init__(self, store_set: StoreSet, described: Manifest, folder: Path) -> None:
        self.store_set = store_set
        self.described = described
        self.engine = store_set.config.engine
        self.folder = folder
        self.records: list[Record] = []
        self.seen: dict[Moment, Sighting] = {}

    def of(self, kind: type[T]) -> list[T]:
        """Return the records of one kind."""
        return [record for record in self.records if isinstance(record, kind)]

    def documented(self) -> Routine:
        """Return the published routine."""
        return routines.documented(self.described, self.store_set, RUN)

    def reference(self, edit: Callable[[str], str] = str) -> Routine:
        """Return the tests' own complete routine, edited, for the set at hand."""
        path = FOLDER / f"reference_{self.engine.value}.sql"
        return self.file(edit(path.read_text(encoding="utf-8")))

    def file(self, text: str) -> Routine:
        """Return the routine of a FILE."""
        stores = [store.name for store in self.described.stores]
        if self.engine is EngineKind.MYSQL:
            names = "|".join(stores)
            prefix = self.store_set.config.prefix
            text = re.sub(rf"\b({names})\b", rf"{prefix}\1", text)
        path = self.folder / "routine.sql"
        path.write_text(text, encoding="utf-8")
        file = routines.read(path, stores)
        return routines.from_file(file, self.described, self.store_set, RUN)

    def call(
        self,
        routine: Routine,
        settle: Settle | None = None,
        *,
        masks: bool = True,
    ) -> bool:
        """Call it once, as a live run would."""
        self.records.clear()
        closure = resolve(self.store_set, self.described, Closure(WA_ID))
        search = Search(self.described, closure, KEY)
        proven = replace(self.proven(routine), masks=masks)
        if settle:
            proven = replace(proven, settle=settle)
        return proven.committed(1, Party(search, Masks(closure)))

    def proven(self, routine: Routine) -> ProvenCall:
        """Return the call."""
        return ProvenCall(
            run=RUN,
            store_set=self.store_set,
            manifest=self.described,
            key=KEY,
            record=self.records.append,
            saw=lambda moment, sighting, _: self.seen.update({moment: sighting}),
            routine=routine,
        )


@pytest.fixture
def bench(seeded: StoreSet, described: Manifest, tmp_path: Path) -> Iterator[Bench]:
    """The showcase, and the proof that nothing but rows was ever left changed."""
    before = listed(seeded, HOME)
    yield Bench(seeded, described, tmp_path)
    assert listed(seeded, HOME) == before


@pytest.fixture
def other(seeded: StoreSet, described: Manifest) -> Iterator[StoreSet]:
    """Somebody else's connection to the same store set."""
    connected = connect(seeded.config, [store.name for store in described.stores])
    yield connected
    connected.close()


def test_a_complete_routine_is_committed(bench: Bench) -> None:
    """A FILE that deletes and masks all there is, is committed, and a fresh sweep finds nothing."""
    assert bench.call(bench.reference())
    search = Search(bench.described, resolve(bench.store_set, bench.described, Closure(WA_ID)), KEY)
    assert sweep(bench.store_set, search).traces == []
    assert bench.of(RolledBack) == []
    (called,) = bench.of(Called)
    (flown,) = bench.of(CanaryFlown)
    (erased,) = bench.of(Erased)
    assert flown.planted_cells == flown.seen_cells > 0 == flown.left_cells
    assert called.form == "number"
    before = {(one.store, one.table): one for one in bench.seen[Moment.BEFORE].tables}
    for change in erased.tables:
        state = before[change.store, change.table]
        assert change.deleted_rows == state.subject_rows
        assert change.masked_rows == state.mention_rows


def test_what_is_counted_is_what_is_gone(bench: Bench) -> None:
    """Deleted rows are, table by table, as many as an independent reader misses afterwards."""
    before = everything(bench.store_set)
    assert bench.call(bench.reference())
    after = everything(bench.store_set)
    (erased,) = bench.of(Erased)
    counted = {(one.store, one.table): one.deleted_rows for one in erased.tables}
    assert {
        place: len(rows) - len(after[place])
        for place, rows in before.items()
        if len(rows) != len(after[place])
    } == {place: count for place, count in counted.items() if count}


def test_nobody_else_is_changed(bench: Bench) -> None:
    """After the commit every row without the subject is there, value for value, and no canary."""
    before = everything(bench.store_set)
    assert bench.call(bench.reference())
    after = everything(bench.store_set)
    assert "canary" not in repr(after)
    states = {(one.store, one.table): one for one in bench.seen[Moment.BEFORE].tables}
    for place, rows in before.items():
        kept = [row for row in rows if row in after[place]]
        assert len(kept) >= states[place].bystander_rows
        assert len(after[place]) == states[place].bystander_rows + states[place].mention_rows


def test_the_documented_routine_is_rolled_back(bench: Bench) -> None:
    """The published routine leaves traces, so that it is rolled back with every row as before."""
    before = everything(bench.store_set)
    assert not bench.call(bench.documented(), masks=False)
    assert everything(bench.store_set) == before
    (rolled_back,) = bench.of(RolledBack)
    assert "the subject was still found" in rolled_back.why
    inside, first = bench.seen[Moment.INSIDE], bench.seen[Moment.BEFORE]
    assert sum(one.cells for one in inside.traces) < sum(one.cells for one in first.traces)


def test_the_documented_routine_is_committed_where_it_is_enough(
    store_set: StoreSet, described: Manifest, tmp_path: Path
) -> None:
    """Where the subject is only where the published map looks, the published routine is committed."""
    jid = f"{SUBJECT.number}@s.whatsapp.net"
    store_set.insert(
        [
            SeedRow("callbackStore", "queue", {"key_remote_jid": jid, "payload": "{}"}),
            SeedRow("messageStore", "chats", {"key_remote_jid": jid}),
            SeedRow("messageStore", "chats", {"key_remote_jid": person(1).jid}),
        ]
    )
    bench = Bench(store_set, described, tmp_path)
    assert bench.call(bench.documented(), masks=False)
    (erased,) = bench.of(Erased)
    assert erased.tables == (
        TableChange("callbackStore", "queue", 1, 0),
        TableChange("messageStore", "chats", 1, 0),
    )
    assert [len(rows) for rows in everything(store_set).values() if rows] == [1]


# --- routines that may not be committed ----------------------------------------------------------

_MYSQL = "USE contactStore;\nDELIMITER $$\nCREATE PROCEDURE p(IN phone BIGINT)\nBEGIN\n{}\nEND$$\n"
_POSTGRES = (
    "CREATE FUNCTION public.p(phone bigint) RETURNS void LANGUAGE plpgsql AS $$\n"
    "BEGIN\n{}\nEND $$;\n"
)


def small(bench: Bench, mysql: str, postgres: str = "") -> Routine:
    """Return a routine with a body of its own."""
    if bench.engine is EngineKind.MYSQL:
        return bench.file(_MYSQL.format(mysql))
    return bench.file(_POSTGRES.format(postgres or mysql))


def before_the_end(statement: str) -> Callable[[str], str]:
    """Return an edit that runs a statement last of all in the reference."""
    return lambda text: re.sub(
        r"\nEND ?\$\$|\nEND\n\$routine\$", lambda found: f"\n  {statement}{found[0]}", text, count=1
    )


MEDDLERS = {
    "harms a bystander": (
        before_the_end("UPDATE messageStore.chats SET subject = 'x' WHERE _id > 0 LIMIT 1;"),
        before_the_end(
            "UPDATE public.messages SET data = 'x' WHERE key_remote_jid = "
            "(SELECT min(key_remote_jid) FROM public.messages WHERE key_remote_jid NOT LIKE '44118%');"
        ),
        "somebody else's row differed",
    ),
    "changes whatever it meets": (
        before_the_end("UPDATE messageStore.chats SET subject = 'x';"),
        before_the_end("UPDATE public.chats SET subject = 'x';"),
        "rows of the canary's",
    ),
    "harms what it masked": (
        before_the_end(
            "UPDATE jobqueueStore.jobs SET parameters = CONCAT(parameters, ' ') "
            "WHERE parameters LIKE '%00000000000%';"
        ),
        before_the_end(
            "UPDATE public.jobs SET parameters = parameters || ' ' "
            "WHERE parameters LIKE '%00000000000%';"
        ),
        "somebody else's row differed",
    ),
    "deletes a mention": (
        before_the_end("DELETE FROM jobqueueStore.jobs WHERE _id > 0;"),
        before_the_end("DELETE FROM public.jobs WHERE parameters NOT LIKE '%441184960%';"),
        "somebody else's row differed",
    ),
    "leaves one column": (
        lambda text: re.sub(
            r"DELETE FROM waweb\.contacts\s+WHERE wa_id = own_number OR wa_id = other_number",
            "DELETE FROM waweb.contacts WHERE FALSE",
            text,
        ),
        lambda text: re.sub(
            r"DELETE FROM public\.contacts\s+WHERE wa_id = own_number OR wa_id = other_number",
            "DELETE FROM public.contacts WHERE FALSE",
            text,
        ),
        "the subject was still found",
    ),
}


@pytest.mark.parametrize("name", MEDDLERS)
def test_what_is_not_clear_is_rolled_back(bench: Bench, name: str) -> None:
    """A FILE that harms one row of others, or leaves one column, leaves every row as before."""
    on_the_one, on_the_other, why = MEDDLERS[name]
    edit = on_the_one if bench.engine is EngineKind.MYSQL else on_the_other
    before = everything(bench.store_set)
    assert not bench.call(bench.reference(edit))
    assert everything(bench.store_set) == before
    (rolled_back,) = bench.of(RolledBack)
    assert why in rolled_back.why
    assert bench.of(Erased) == []


def test_a_routine_that_fails_half_way_is_rolled_back(bench: Bench) -> None:
    """A FILE that errs after it deleted is recorded with the code, every row as before."""
    before = everything(bench.store_set)
    routine = small(
        bench,
        "DELETE FROM messageStore.messages; DELETE FROM messageStore.nowhere;",
        "DELETE FROM public.messages; DELETE FROM public.nowhere;",
    )
    assert not bench.call(routine)
    assert everything(bench.store_set) == before
    (failed,) = bench.of(RoutineFailed)
    assert failed.step is Step.CALL
    assert failed.code in {"1146", "42P01"}
    assert len(bench.of(RolledBack)) == 1


@on_mysql
@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT;",
        "ROLLBACK;",
        "START TRANSACTION;",
        "CREATE TABLE archive (a INT);",
        "TRUNCATE TABLE messageStore.messages;",
        "ALTER TABLE messageStore.messages ADD COLUMN x INT;",
    ],
)
def test_a_routine_that_commits_is_refused(bench: Bench, statement: str) -> None:
    """On MySQL a COMMIT, or DDL that commits by the way, is stopped, every row as before."""
    before = everything(bench.store_set)
    with pytest.raises(SelfCommittingError, match="commits by itself"):
        bench.call(small(bench, f"DELETE FROM messageStore.messages; {statement}"))
    assert everything(bench.store_set) == before
    assert bench.of(Erased) == []


@on_mysql
def test_a_commit_that_is_hushed_up_does_nothing(bench: Bench) -> None:
    """A MySQL routine that goes on after its COMMIT was refused has committed nothing."""
    before = everything(bench.store_set)
    hushed = (
        "DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;\n"
        "DELETE FROM messageStore.messages; COMMIT; ROLLBACK;"
    )
    assert not bench.call(small(bench, hushed))
    assert everything(bench.store_set) == before


@on_postgres
def test_a_function_that_commits_is_refused(bench: Bench) -> None:
    """On PostgreSQL a COMMIT inside is stopped, every row as before."""
    before = everything(bench.store_set)
    with pytest.raises(SelfCommittingError, match="commits by itself"):
        bench.call(small(bench, "", "DELETE FROM public.messages; COMMIT;"))
    assert everything(bench.store_set) == before


@on_postgres
def test_connections_of_its_own_are_refused(bench: Bench) -> None:
    """On PostgreSQL a function that opens connections beside postgres_fdw is not called."""
    with pytest.raises(SelfCommittingError, match="connections of its own"):
        bench.call(small(bench, "", "PERFORM dblink_exec('x', 'y');"))
    assert bench.records == []


@on_postgres
@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE public.archive (a int);", "CREATE VIEW public.seen AS SELECT 1;"],
)
def test_objects_made_for_good_are_refused(bench: Bench, statement: str) -> None:
    """On PostgreSQL a function that makes objects is rolled back with them, every row as before."""
    before = everything(bench.store_set)
    with suppress(PlanError):
        assert not bench.call(bench.reference(before_the_end(statement)))
    assert bench.of(Erased) == []
    assert everything(bench.store_set) == before


@on_postgres
def test_settings_that_a_function_leaves_do_not_blind_the_sweep(bench: Bench) -> None:
    """What a routine sets for its session is set back before the sweep: it is committed as ever."""
    statements = "SET bytea_output = escape; SET search_path = pg_catalog; SET DateStyle = German;"
    assert bench.call(bench.reference(before_the_end(statements)))


@on_mysql
def test_settings_that_a_procedure_leaves_do_not_blind_the_sweep(bench: Bench) -> None:
    """A row limit that a routine leaves behind hides no row from the sweep inside."""
    before = everything(bench.store_set)
    assert not bench.call(small(bench, "SET SESSION sql_select_limit = 0;"))
    assert everything(bench.store_set) == before
    (rolled_back,) = bench.of(RolledBack)
    assert "the subject was still found" in rolled_back.why


@on_mysql
def test_tables_without_transactions_are_refused(bench: Bench) -> None:
    """Where any table of the set has no transactions the routine is not called."""
    bench.store_set.execute("waweb", "CREATE TABLE memos (a INT) ENGINE=MyISAM")
    try:
        with pytest.raises(PlanError, match="memos: its engine MyISAM has no transactions"):
            bench.call(bench.reference())
    finally:
        bench.store_set.execute("waweb", "DROP TABLE memos")
    assert bench.of(Called) == []


TRIGGERS = {
    EngineKind.MYSQL: (
        "CREATE TRIGGER tr AFTER DELETE ON receipts FOR EACH ROW SET @x = 1",
        "DROP TRIGGER tr",
    ),
    EngineKind.POSTGRES: (
        (
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
            "CREATE TRIGGER tr AFTER DELETE ON receipts FOR EACH ROW EXECUTE PROCEDURE f()"
        ),
        "DROP FUNCTION f() CASCADE",
    ),
}


def test_a_trigger_on_what_holds_the_subject_is_refused(bench: Bench) -> None:
    """Where a trigger fires on a table that holds the subject the routine is not called."""
    make, undo = TRIGGERS[bench.engine]
    before = everything(bench.store_set)
    bench.store_set.execute("messageStore", make)
    try:
        with pytest.raises(PlanError, match="receipts: a trigger fires"):
            bench.call(bench.reference())
    finally:
        bench.store_set.execute("messageStore", undo)
    assert bench.of(Called) == []
    assert everything(bench.store_set) == before


def test_a_routine_that_does_not_end_is_stopped(bench: Bench) -> None:
    """What has not ended in time is stopped and recorded as such, every row as before."""
    before = everything(bench.store_set)
    routine = small(
        bench,
        "DELETE FROM messageStore.messages; DO SLEEP(600);",
        "DELETE FROM public.messages; PERFORM pg_sleep(600);",
    )
    routine.limit_s = 1.0
    assert not bench.call(routine)
    (failed,) = bench.of(RoutineFailed)
    assert failed.code == STOPPED
    assert everything(bench.store_set) == before


def test_a_blind_sweep_is_rolled_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the canary is not seen exactly as planted the routine is not called at all."""
    before = everything(bench.store_set)
    planted = canary.planted
    monkeypatch.setattr(canary, "planted", lambda seeded: planted(seeded)[1:])
    assert not bench.call(bench.reference())
    assert everything(bench.store_set) == before
    assert bench.of(Called) == []
    (rolled_back,) = bench.of(RolledBack)
    assert "the canary was not seen" in rolled_back.why


def test_a_table_that_cannot_be_searched_is_rolled_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a table cannot be read inside the transaction all is rolled back."""
    before = everything(bench.store_set)
    kind = BranchStoreSet if bench.engine is EngineKind.MYSQL else ForeignStoreSet
    scan = kind.scan

    def blind(self: StoreSet, table: TableSchema, *given: Any, **named: Any) -> int:
        if table.name == "jobs" and bench.of(Called):
            raise StoreError("not today")
        return scan(self, table, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "scan", blind)
    assert not bench.call(bench.reference())
    assert everything(bench.store_set) == before
    (rolled_back,) = bench.of(RolledBack)
    assert "could not be searched" in rolled_back.why


def test_a_second_round_calls_again(bench: Bench) -> None:
    """The same call serves for rows that came too late for the first round."""
    routine = bench.reference()
    assert bench.call(routine)
    jid = f"{SUBJECT.number}@s.whatsapp.net"
    bench.store_set.insert([SeedRow("messageStore", "chats", {"key_remote_jid": jid})])
    assert bench.call(routine)
    (erased,) = bench.of(Erased)
    # What was masked in the first round is a bystander's to the second.
    assert erased.tables == (TableChange("messageStore", "chats", 1, 0),)


def test_many_rows_are_committed(bench: Bench) -> None:
    """Twenty thousand messages of others, and hundreds of the subject's, are told apart."""
    jid, others = f"{SUBJECT.number}@s.whatsapp.net", person(7).jid
    columns = ("key_remote_jid", "key_from_me", "key_id", "data")
    bench.store_set.load(
        "messageStore",
        "messages",
        columns,
        ((jid if n % 50 == 0 else others, 0, f"key {n}", f"row {n}") for n in range(20_000)),
    )
    before = everything(bench.store_set)
    assert bench.call(bench.reference())
    (erased,) = bench.of(Erased)
    deleted = {(one.store, one.table): one.deleted_rows for one in erased.tables}
    assert deleted["messageStore", "messages"] >= 400
    after = everything(bench.store_set)["messageStore", "messages"]
    assert (
        len(after) == len(before["messageStore", "messages"]) - deleted["messageStore", "messages"]
    )


def test_other_databases_than_the_sets_are_refused(bench: Bench) -> None:
    """A routine that reaches a database that is not swept is not called."""
    database = "billing_of_somebody"
    bench.store_set.execute(HOME, f"CREATE DATABASE {database}")
    try:
        if bench.engine is EngineKind.MYSQL:
            text = _MYSQL.format(f"DELETE FROM {database}.bills;")
        else:
            text = (
                f"CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname '{database}');"
                "CREATE FOREIGN TABLE bills (a int) SERVER away;\n"
                + _POSTGRES.format("DELETE FROM bills;")
            )
        with pytest.raises(RoutineError, match="1 databases that are none of this store set's"):
            bench.call(bench.file(text))
    finally:
        bench.store_set.execute(HOME, f"DROP DATABASE {database}")
    assert bench.of(Called) == []


def test_only_what_commits_at_once_is_called_atomic(bench: Bench) -> None:
    """Several databases commit at once on MySQL, and on PostgreSQL do not."""
    proven = bench.proven(bench.documented())
    assert proven.atomic is (bench.engine is EngineKind.MYSQL)


# --- privileges ----------------------------------------------------------------------------------

ACCOUNT, PASSWORD = "caller", "only-a-test"
LACKS = {EngineKind.MYSQL: "GRANT CREATE ROUTINE", EngineKind.POSTGRES: "lacks CREATE on the data"}


@pytest.fixture
def account(seeded: StoreSet) -> Iterator[RunConfig]:
    """An account that may read and change rows, and no more."""
    store_set, databases = seeded, seeded.databases()
    if store_set.config.engine is EngineKind.MYSQL:
        make = [(HOME, f"CREATE USER {ACCOUNT}@'%%' IDENTIFIED BY '{PASSWORD}'")]
        rights = "SELECT, INSERT, UPDATE, DELETE, TRIGGER, CREATE TEMPORARY TABLES"
        make += [(HOME, f"GRANT {rights} ON `{d}`.* TO {ACCOUNT}@'%%'") for d in databases.values()]
        make = [(store, sql.replace("%%", "%")) for store, sql in make]
        undo = [(HOME, f"DROP USER {ACCOUNT}@'%'")]
    else:
        make = [(HOME, f"CREATE ROLE {ACCOUNT} LOGIN PASSWORD '{PASSWORD}'")]
        rights = "SELECT, INSERT, UPDATE, DELETE"
        make += [
            (store, f"GRANT {rights} ON ALL TABLES IN SCHEMA public TO {ACCOUNT}")
            for store in databases
        ]
        make.append((HOME, "CREATE EXTENSION postgres_fdw"))
        undo = [(store, f"DROP OWNED BY {ACCOUNT}") for store in databases]
        undo += [(HOME, "DROP EXTENSION postgres_fdw"), (HOME, f"DROP ROLE {ACCOUNT}")]
    for store, sql in make:
        store_set.execute(store, sql)
    try:
        yield replace(store_set.config, username=ACCOUNT, password=Secret(PASSWORD))
    finally:
        for store, sql in undo:
            store_set.execute(store, sql)


def test_privileges_that_are_missing_are_named(
    seeded: StoreSet, account: RunConfig, described: Manifest, tmp_path: Path
) -> None:
    """An account that lacks what a call needs is told what, and with it the call is committed."""
    everybody = seeded
    limited = connect(account, [store.name for store in described.stores])
    bench = Bench(limited, described, tmp_path)
    try:
        before = everything(everybody)
        with pytest.raises(RoutineError, match=LACKS[bench.engine]):
            bench.call(bench.reference())
        assert everything(everybody) == before
        database = everybody.databases()[HOME]
        if bench.engine is EngineKind.MYSQL:
            rights = "CREATE ROUTINE, ALTER ROUTINE, EXECUTE"
            grants = [f"GRANT {rights} ON `{database}`.* TO {ACCOUNT}@'%'"]
        else:
            grants = [
                f'GRANT CREATE ON DATABASE "{database}" TO {ACCOUNT}',
                f"GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO {ACCOUNT}",
                f"GRANT CREATE ON SCHEMA public TO {ACCOUNT}",
            ]
        for sql in grants:
            everybody.execute(HOME, sql)
        assert bench.call(bench.reference())
    finally:
        limited.close()


# --- others, meanwhile ---------------------------------------------------------------------------


def test_it_is_the_callers_to_commit(bench: Bench) -> None:
    """What settles gets the counts and the function that commits; raising, it rolls back."""
    before = everything(bench.store_set)
    handed: list[object] = []

    def decline(commit: Callable[[], None], *given: object) -> None:
        handed.extend((commit, *given))
        raise HarnessError("not now")

    with pytest.raises(HarnessError, match="not now"):
        bench.call(bench.reference(), decline)
    assert everything(bench.store_set) == before
    assert bench.of(Erased) == []
    assert isinstance(handed[1], tuple)
    assert sum(change.deleted_rows for change in handed[1]) > 0


def test_nothing_is_seen_before_the_commit(bench: Bench, other: StoreSet) -> None:
    """Until it is committed another connection sees every row as before, and no canary."""
    before = everything(other)
    between: list[object] = []

    def look(commit: Callable[[], None], *_: object) -> None:
        between.append(everything(other))
        commit()

    assert bench.call(bench.reference(), look)
    assert between == [before]
    assert everything(other) != before


def test_a_writer_of_other_rows_goes_on(bench: Bench, other: StoreSet) -> None:
    """Somebody who adds rows while the transaction is open has them, at the latest at its end."""
    jid = person(200).jid
    sql = f"INSERT INTO chats (key_remote_jid) VALUES ('{jid}')"
    writer = threading.Thread(target=lambda: other.execute("messageStore", sql), daemon=True)

    def write(commit: Callable[[], None], *_: object) -> None:
        writer.start()
        commit()

    assert bench.call(bench.reference(), write)
    writer.join(timeout=60)
    assert not writer.is_alive()
    assert jid in repr(everything(bench.store_set)["messageStore", "chats"])


@on_mysql
def test_rows_that_nobody_had_seen_are_not_deleted(bench: Bench, other: StoreSet) -> None:
    """A row that came after the snapshot and fell to the routine's DELETE is brought back.

    Tried again, it is seen as somebody else's.
    """
    row = SeedRow("messageStore", "chats", {"key_remote_jid": "late@broadcast"})
    routine = bench.reference(
        before_the_end("DELETE FROM messageStore.chats WHERE key_remote_jid LIKE 'late%';")
    )
    called = routine.call

    def late(value: int | str | None) -> Answer:
        with suppress(StoreError):
            other.insert([row])
        return called(value)

    routine.call = late  # type: ignore[method-assign]
    assert not bench.call(routine)
    assert len(bench.of(Called)) == 2
    assert "late@broadcast" in repr(everything(other)["messageStore", "chats"])
    (rolled_back,) = bench.of(RolledBack)
    assert "somebody else's row differed" in rolled_back.why


def test_a_killed_session_changes_nothing(bench: Bench, other: StoreSet) -> None:
    """A session that is killed between the call and the commit leaves every row as before."""
    before = everything(bench.store_set)

    def kill(commit: Callable[[], None], *given: object) -> None:
        del given
        if bench.engine is EngineKind.MYSQL:
            own = {row[0] for row in other.query(HOME, "SELECT connection_id()")}
            own |= {row[0] for row in bench.store_set.query(HOME, "SELECT connection_id()")}
            for number, *_ in other.query(HOME, "SHOW PROCESSLIST"):
                if number not in own:
                    with suppress(StoreError):
                        other.execute(HOME, f"KILL {number}")
        else:
            sql = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                "state = 'idle in transaction' AND datname = current_database()"
            )
            other.query(HOME, sql)
        commit()

    with pytest.raises(HarnessError):
        bench.call(bench.reference(), kill)
    assert everything(other) == before
    assert bench.of(Erased) == []


@on_postgres
def test_a_commit_that_fails_half_way_says_so(bench: Bench, other: StoreSet) -> None:
    """Where one store's commit fails, which postgres_fdw cannot prevent, the error names them."""
    before = everything(other)

    def cut(commit: Callable[[], None], *_: object) -> None:
        sql = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
            "state = 'idle in transaction' AND datname = current_database()"
        )
        assert other.query("messageStore", sql)
        commit()

    with pytest.raises(PlanError, match="may have reached any of axolotlStore, callbackStore"):
        bench.call(bench.reference(), cut)
    after = everything(other)
    assert all(after[place] == before[place] for place in before if place[0] == HOME)
    assert all(after[place] == before[place] for place in before if place[0] == "messageStore")
    assert bench.of(Erased) == []


def killed_half_way(reached: RunConfig, folder: Path) -> None:
    """Call the reference in a process of its own, which dies before the commit."""
    described = manifest.load()
    store_set = connect(reached, [store.name for store in described.stores])
    bench = Bench(store_set, described, folder)

    def die(commit: Callable[[], None], *_: object) -> None:
        del commit
        os.kill(os.getpid(), signal.SIGKILL)

    bench.call(bench.reference(), die)


def test_a_killed_harness_changes_nothing(bench: Bench) -> None:
    """After kill -9 between the call and the commit all rows are as before, and nothing is left."""
    before = everything(bench.store_set)
    process = multiprocessing.get_context("spawn").Process(
        target=killed_half_way, args=(bench.store_set.config, bench.folder)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert everything(bench.store_set) == before
    assert removed(bench.store_set, RUN) == (1 if bench.engine is EngineKind.MYSQL else 0)


# --- what is left ----------------------------------------------------------------------------------


@on_mysql
def test_what_a_killed_run_left_is_removed_by_name(bench: Bench) -> None:
    """A procedure that was left behind is found by the run's token, and only that one goes."""
    bench.documented().install()
    bench.store_set.execute(HOME, f"CREATE PROCEDURE bystander_{RUN}() SELECT 1")
    try:
        assert removed(bench.store_set, "another") == 0
        assert removed(bench.store_set, RUN) == 1
        assert removed(bench.store_set, RUN) == 0
        assert bench.store_set.query(HOME, "SHOW PROCEDURE STATUS LIKE 'bystander%'")
    finally:
        bench.store_set.execute(HOME, f"DROP PROCEDURE bystander_{RUN}")


@on_mysql
def test_what_could_not_be_removed_is_recorded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A procedure that stays behind after the commit is recorded, and removed by name later."""
    routine = bench.reference()

    def refuse() -> None:
        raise StoreError("not today")

    monkeypatch.setattr(routine, "remove", refuse)
    assert bench.call(routine)
    (left,) = bench.of(LeftBehind)
    assert (left.object_kind, left.count) == ("routine", 1)
    assert removed(bench.store_set, RUN) == 1


@on_postgres
def test_nothing_is_there_to_be_left(bench: Bench, other: StoreSet) -> None:
    """On PostgreSQL nobody else sees the function, its servers or its password at any time."""
    before = listed(other, HOME)

    def look(commit: Callable[[], None], *_: object) -> None:
        del commit
        assert listed(other, HOME) == before
        raise HarnessError("seen")

    with pytest.raises(HarnessError, match="seen"):
        bench.call(bench.reference(), look)
    assert removed(bench.store_set, RUN) == 0


# --- PostgreSQL: the way to the other stores -------------------------------------------------------


@on_postgres
def test_what_the_stand_ins_send_is_what_a_direct_reading_sends(bench: Bench) -> None:
    """Through foreign tables every table has the same rows, digests and traces as read directly."""
    store_set = bench.store_set
    store_set.execute("waweb", "CREATE TYPE mood AS ENUM ('glad', 'sad')")
    store_set.execute("waweb", "CREATE DOMAIN short AS varchar(20)")
    store_set.execute(
        "waweb",
        "CREATE TABLE odd (a mood, b short, c boolean, d numeric(10,2), e timestamptz, f jsonb, "
        "g double precision, h real, i inet, j integer[], k interval, l char(8), m mood[], n bytea,"
        "o uuid, p date, q json)",
    )
    try:
        store_set.execute(
            "waweb",
            "INSERT INTO odd VALUES ('sad', ' x ', true, 1.50, '2020-01-02 03:04:05.678+02', "
            "'{\"b\": 1, \"a\": [2]}', 0.1, 0.1, '10.0.0.1/8', '{1,NULL,3}', '1 day 2 hours', 'ab',"
            "'{glad,sad}', '\\x00ff', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '0044-03-15 BC', "
            "'{ \"x\" :  1}')",
        )
        store_set.execute("waweb", "INSERT INTO odd VALUES (NULL)")
        closure = resolve(store_set, bench.described, Closure(WA_ID))
        direct = sweep(store_set, Search(bench.described, closure, KEY))
        bench.call(bench.documented())
        through = bench.seen[Moment.BEFORE]
        assert through.tables == direct.tables
        assert through.traces == direct.traces
    finally:
        store_set.execute("waweb", "DROP TABLE odd; DROP TYPE mood; DROP DOMAIN short")


@on_postgres
def test_a_hosts_own_foreign_tables_are_used(bench: Bench) -> None:
    """A FILE that relies on the host's foreign tables is swept through their server, and they stay."""
    reached, databases = bench.store_set.config, bench.store_set.databases()
    make = [
        "CREATE EXTENSION postgres_fdw",
        *(
            f"CREATE SERVER {name} FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host "
            f"'{reached.hostname}', port '{reached.port}', dbname '{databases['waweb']}'); "
            f"CREATE USER MAPPING FOR CURRENT_USER SERVER {name} OPTIONS (user "
            f"'{reached.username}', password '{reached.password.reveal()}')"
            for name in ("hosts", "others")
        ),
        "CREATE FOREIGN TABLE contacts (wa_id varchar(256)) SERVER hosts",
    ]
    bench.store_set.clear()
    bench.store_set.insert([SeedRow("waweb", "contacts", {"wa_id": SUBJECT.number})])
    body = "DELETE FROM contacts WHERE wa_id = phone::text;"
    for statement in make:
        bench.store_set.execute(HOME, statement)
    try:
        assert bench.call(small(bench, "", body))
        bench.store_set.execute(
            HOME,
            "CREATE FOREIGN TABLE people (wa_id varchar(256)) SERVER others "
            "OPTIONS (table_name 'contacts')",
        )
        two = small(bench, "", f"{body} DELETE FROM people;")
        with pytest.raises(RoutineError, match="2 foreign servers for waweb"):
            bench.call(two)
    finally:
        bench.store_set.execute(HOME, "DROP EXTENSION postgres_fdw CASCADE")


@on_postgres
@pytest.mark.parametrize(
    ("port", "says"), [("1", "does not reach waweb"), ("", "leads to another database")]
)
def test_a_server_that_leads_elsewhere_is_refused(
    bench: Bench, choice: EngineChoice, port: str, says: str
) -> None:
    """A foreign server to another host, whatever its database is called, is not swept instead."""
    name = bench.store_set.databases()["waweb"]
    elsewhere = launch(choice)
    try:
        elsewhere.wait_ready()
        reached = config.from_variables(elsewhere.environment, source="test")
        away = connect(replace(reached, prefix=PREFIX), ["waweb"])
        away.create({"waweb": "CREATE TABLE contacts (wa_id varchar(256))"})
        away.close()
        bench.store_set.execute(
            HOME,
            "CREATE EXTENSION postgres_fdw; "
            "CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS "
            f"(host '{reached.hostname}', port '{port or reached.port}', dbname '{name}'); "
            "CREATE USER MAPPING FOR CURRENT_USER SERVER away OPTIONS "
            f"(user '{reached.username}', password '{reached.password.reveal()}'); "
            "CREATE FOREIGN TABLE contacts (wa_id varchar(256)) SERVER away",
        )
        with pytest.raises(RoutineError, match=says):
            bench.call(small(bench, "", "DELETE FROM contacts;"))
    finally:
        bench.store_set.execute(HOME, "DROP EXTENSION IF EXISTS postgres_fdw CASCADE")
        elsewhere.stop()
    assert bench.of(Called) == []


@on_postgres
def test_what_a_foreign_table_does_not_show_as_it_is_is_refused(bench: Bench) -> None:
    """Where a table has children, whose rows it would show as well, nothing is called."""
    bench.store_set.execute("messageStore", "CREATE TABLE kid () INHERITS (receipts)")
    try:
        with pytest.raises(RoutineError, match="messageStore has child tables"):
            bench.call(bench.reference())
    finally:
        bench.store_set.execute("messageStore", "DROP TABLE kid")
    assert bench.of(Called) == []
