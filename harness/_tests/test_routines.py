"""The documented routine on real servers: it comes, it is called, it goes, and takes nothing along."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import routines
from harness.errors import RoutineError, StoreError
from harness.identity import WaId
from harness.manifest import Manifest
from harness.model import EngineChoice, EngineKind
from harness.population.cases import showcase
from harness.population.people import person
from harness.population.rows import rows_of
from harness.routines import Routine
from harness.routines.prediction import DocumentedPrediction
from harness.stores import StoreSet, connect

HOME = "contactStore"
SUBJECT = person(0)
WA_ID = WaId(SUBJECT.number)
on_postgres = pytest.mark.parametrize(
    "kind", [EngineKind.POSTGRES], indirect=True, ids=str, scope="session"
)


@pytest.fixture
def routine(store_set: StoreSet, described: Manifest) -> Iterator[Routine]:
    """The documented routine, installed."""
    made = routines.documented(described, store_set, "test")
    made.install()
    yield made
    made.remove()


def catalog(store_set: StoreSet) -> list[tuple[object, ...]]:
    """Return all objects of the kinds that a routine may make, and the passwords in reach."""
    if store_set.config.engine is EngineKind.MYSQL:
        return store_set.query(
            HOME, "SELECT routine_schema, routine_name FROM information_schema.routines"
        )
    return store_set.query(
        HOME,
        "SELECT 'function', proname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace"
        "  WHERE nspname NOT IN ('pg_catalog', 'information_schema')"
        " UNION ALL SELECT 'schema', nspname::text FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'"
        " UNION ALL SELECT 'server', srvname::text FROM pg_foreign_server"
        " UNION ALL SELECT 'mapping', srvname::text || coalesce(umoptions::text, '') FROM pg_user_mappings"
        " UNION ALL SELECT 'extension', extname::text FROM pg_extension"
        " UNION ALL SELECT 'relation', relname::text FROM pg_class WHERE relkind = 'f' ORDER BY 1, 2",
    )


def counts(store_set: StoreSet) -> dict[tuple[str, str], int]:
    """Return the rows of each table."""
    return {
        (table.store, table.name): int(
            store_set.query(table.store, f"SELECT count(*) FROM {table.name}")[0][0]
        )
        for table in store_set.tables()
    }


def test_install_list_remove_leaves_the_catalog_as_it_was(
    store_set: StoreSet, described: Manifest
) -> None:
    """What installing makes is listed, and removing takes all of it and nothing else."""
    before = catalog(store_set)
    made = routines.documented(described, store_set, "test")
    assert not made.listed()
    made.install()
    assert made.listed()
    assert len(catalog(store_set)) > len(before)
    made.remove()
    assert not made.listed()
    assert made.leftovers() == ()
    assert catalog(store_set) == before
    made.remove()
    assert catalog(store_set) == before


def test_leftovers_are_seen(routine: Routine, store_set: StoreSet) -> None:
    """While it is installed the routine's own objects are counted, the passwords' mappings too."""
    left = dict(routine.leftovers())
    if store_set.config.engine is EngineKind.MYSQL:
        assert left == {"procedure": 1}
    else:
        assert left == {"function": 1, "schema": 1, "foreign server": 3, "user mapping": 3}


@pytest.mark.parametrize("form", ["number", "text"])
def test_a_call_deletes_what_the_map_names(
    routine: Routine, store_set: StoreSet, described: Manifest, choice: EngineChoice, form: str
) -> None:
    """Called with a number or its text, each table loses exactly the rows that the map names."""
    rows = rows_of(showcase(SUBJECT))
    store_set.insert(rows)
    before = counts(store_set)
    routine.call(int(WA_ID.number) if form == "number" else WA_ID.number)
    after = counts(store_set)
    gone = {
        place: before[place] - after[place] for place in before if before[place] != after[place]
    }
    prediction = DocumentedPrediction(described, choice.kind, WA_ID)
    expected = {
        (one.store, one.table): one.count for one in prediction.collateral(str(choice), rows)
    }
    assert gone == expected
    assert ("axolotlStore", "sender_keys") in gone or choice.kind is EngineKind.POSTGRES


def test_success_says_nothing(routine: Routine, store_set: StoreSet) -> None:
    """What a call claims does not depend on whether there was anybody to delete."""
    nobody = routine.call(int(person(99).number)).affected_rows
    store_set.insert(rows_of(showcase(SUBJECT)))
    subject_of_others = routine.call(int(person(98).number)).affected_rows
    assert nobody == subject_of_others


def test_the_name_is_the_runs_own(store_set: StoreSet, described: Manifest) -> None:
    """A routine of the published name that was there before is neither replaced nor dropped."""
    body = {
        EngineKind.MYSQL: "CREATE PROCEDURE deleteUserDataByPhoneNumber(IN wa_id BIGINT) SELECT 42",
        EngineKind.POSTGRES: 'CREATE FUNCTION "deleteUserDataByPhoneNumber"(wa_id bigint) RETURNS int '
        "LANGUAGE sql AS 'SELECT 42'",
    }
    drop = {
        EngineKind.MYSQL: "DROP PROCEDURE deleteUserDataByPhoneNumber",
        EngineKind.POSTGRES: 'DROP FUNCTION "deleteUserDataByPhoneNumber"(bigint)',
    }
    store_set.execute(HOME, body[store_set.config.engine])
    try:
        before = catalog(store_set)
        made = routines.documented(described, store_set, "test")
        made.install()
        made.remove()
        assert catalog(store_set) == before
    finally:
        store_set.execute(HOME, drop[store_set.config.engine])


@on_postgres
def test_an_extension_that_was_there_stays(store_set: StoreSet, described: Manifest) -> None:
    """On PostgreSQL a postgres_fdw in use by others survives, with its servers and mappings."""
    store_set.execute(
        HOME,
        "CREATE EXTENSION postgres_fdw; CREATE SERVER theirs FOREIGN DATA WRAPPER postgres_fdw;"
        "CREATE USER MAPPING FOR CURRENT_USER SERVER theirs OPTIONS (user 'u', password 'p')",
    )
    try:
        before = catalog(store_set)
        made = routines.documented(described, store_set, "test")
        made.install()
        made.remove()
        assert catalog(store_set) == before
    finally:
        store_set.execute(HOME, "DROP EXTENSION postgres_fdw CASCADE")


def test_what_a_refused_install_found_is_not_removed(
    routine: Routine, store_set: StoreSet, described: Manifest
) -> None:
    """A routine whose installation was refused removes nothing: what is there is not its own."""
    before = catalog(store_set)
    second = routines.documented(described, store_set, "test")
    with pytest.raises(RoutineError):
        second.install()
    second.remove()
    assert catalog(store_set) == before
    assert routine.listed()


def test_an_extension_that_others_came_to_use_stays(
    store_set: StoreSet, described: Manifest
) -> None:
    """Where somebody came to use the extension, the routine still takes its passwords away."""
    first = routines.documented(described, store_set, "first")
    second = routines.documented(described, store_set, "second")
    first.install()
    second.install()
    first.remove()
    assert first.leftovers() == ()
    assert second.listed()
    second.remove()
    assert second.leftovers() == ()
    if store_set.config.engine is EngineKind.POSTGRES:
        store_set.execute(HOME, "DROP EXTENSION postgres_fdw")


def test_installing_twice_is_refused(
    routine: Routine, store_set: StoreSet, described: Manifest
) -> None:
    """A name that is taken is refused before anything is made, and what is there stays."""
    before = catalog(store_set)
    with pytest.raises(RoutineError, match="run again"):
        routines.documented(described, store_set, "test").install()
    assert catalog(store_set) == before
    assert routine.listed()


def test_a_missing_store_is_named(store_set: StoreSet, described: Manifest) -> None:
    """Where a store that the map names is absent, the routine is refused and names it."""
    smaller = connect(store_set.config, [HOME, "messageStore", "axolotlStore"])
    with pytest.raises(RoutineError, match="needs callbackStore"):
        routines.documented(described, smaller, "test").install()
    smaller.close()


@on_postgres
def test_an_install_that_fails_half_way_leaves_nothing(
    store_set: StoreSet, described: Manifest
) -> None:
    """A refusal in the middle of installing leaves no server, mapping or password behind."""
    store_set.execute(
        HOME,
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no'; END $$;"
        "CREATE EVENT TRIGGER refusing ON ddl_command_start WHEN TAG IN ('CREATE FUNCTION') "
        "EXECUTE PROCEDURE refuse()",
    )
    try:
        before = catalog(store_set)
        with pytest.raises(StoreError):
            routines.documented(described, store_set, "test").install()
        assert catalog(store_set) == before
    finally:
        store_set.execute(HOME, "DROP EVENT TRIGGER refusing; DROP FUNCTION refuse()")
