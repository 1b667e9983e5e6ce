"""The preflight on real servers: what stands in the way is planted, and seen named."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness import keys
from harness.config import RunConfig
from harness.erasure import ProvenErasure
from harness.errors import PlanError
from harness.identity import Closure, WaId
from harness.manifest import Manifest
from harness.masks import Masks
from harness.model import CanaryFlown, EngineKind, Erased, Record, Secret
from harness.plan import Party
from harness.plugin.preflight_screen import render
from harness.population.cases import showcase
from harness.population.people import person
from harness.population.rows import rows_of
from harness.preflight import Preflight, Purpose, look
from harness.stores import StoreSet, connect, ddl
from harness.stores.aliases import resolve
from harness.stores.mysql_changes import CARRIES_ON
from harness.stores.mysql_grants import read, statement
from harness.stores.sweep import Search, sweep

KEY = b"k" * 32
SUBJECT = person(0)
README = Path(__file__).resolve().parents[2] / "README.md"
PASSWORD = "of the own users"
STORE = "messageStore"
on_mysql = pytest.mark.parametrize(
    "kind", [EngineKind.MYSQL], indirect=True, ids=str, scope="session"
)
on_postgres = pytest.mark.parametrize(
    "kind", [EngineKind.POSTGRES], indirect=True, ids=str, scope="session"
)


def names(described: Manifest) -> list[str]:
    """Return every store's name."""
    return [store.name for store in described.stores]


@contextmanager
def reached(config: RunConfig, described: Manifest) -> Iterator[StoreSet]:
    """Connect, since many settings only count for new connections."""
    store_set = connect(config, names(described))
    try:
        yield store_set
    finally:
        store_set.close()


def looked(
    config: RunConfig, described: Manifest, purpose: Purpose = Purpose.ERASE, *, accept: bool = True
) -> Preflight:
    """Return a preflight over a connection of its own."""
    with reached(config, described) as store_set:
        return look(store_set, described, purpose, accept_drift=accept)


def erase(store_set: StoreSet, described: Manifest) -> list[Record]:
    """Erase the subject with proof, and return what was recorded."""
    records: list[Record] = []
    closure = resolve(store_set, described, Closure(WaId(SUBJECT.number)))
    masks = Masks(closure)
    erasure = ProvenErasure("testrun", store_set, described, KEY, records.append, lambda *_: None)
    erasure.committed(1, Party(Search(described, closure, KEY, masks), masks))
    return records


@contextmanager
def planted(store_set: StoreSet, make: Sequence[str], undo: Sequence[str]) -> Iterator[None]:
    """Change a server, and change it back."""
    done = False
    try:
        for sql in make:
            store_set.execute(STORE, sql)
            done = True
        yield
    finally:
        for sql in undo if done else ():
            store_set.execute(STORE, sql)


# --- the least privileges ---------------------------------------------------------------------


def readme_statements(kind: EngineKind, purpose: Purpose) -> list[str]:
    """Return the README's statements for a user, with the test's password."""
    text = README.read_text(encoding="utf-8").partition("## A user with the least")[2]
    blocks = re.findall(r"```sql\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)
    order = [(k, p) for k in EngineKind for p in Purpose]
    block = blocks[order.index((kind, purpose))]
    return re.sub(r"'a(nother)? long password'", f"'{PASSWORD}'", block).splitlines()


@dataclass(frozen=True)
class User:
    """A user with the privileges that the README says."""

    name: str
    config: RunConfig
    grants: dict[str, list[str]]


def drop_user(store_set: StoreSet, name: str) -> None:
    """Take a user away with all that it was granted."""
    if store_set.config.engine is EngineKind.MYSQL:
        store_set.execute(STORE, f"DROP USER '{name}'@'%'")
        return
    for store in store_set.databases():
        store_set.execute(store, f'DROP OWNED BY "{name}"')
    store_set.execute(STORE, f'DROP ROLE "{name}"')


def of_store(line: str, store_set: StoreSet, store: str) -> str:
    """Return a README line for one store of the tests' own prefix."""
    database = store_set.databases()[store]
    if store_set.config.engine is EngineKind.MYSQL:
        database = database.replace("_", r"\_")
    return line.replace(STORE, database)


@contextmanager
def user_for(store_set: StoreSet, purpose: Purpose) -> Iterator[User]:
    """Create the user that the README describes."""
    kind = store_set.config.engine
    first, *grants = readme_statements(kind, purpose)
    name = "waba_eraser" if purpose is Purpose.ERASE else "waba_auditor"
    assert name in first
    store_set.execute(STORE, first)
    made = {
        store: [of_store(line, store_set, store) for line in grants]
        for store in store_set.databases()
    }
    try:
        for store, lines in made.items():
            for line in lines:
                store_set.execute(store, line)
        config = replace(store_set.config, username=name, password=Secret(PASSWORD))
        yield User(name, config, made)
    finally:
        drop_user(store_set, name)


@pytest.fixture
def strict(store_set: StoreSet) -> Iterator[StoreSet]:
    """The store set, on PostgreSQL without the rights that everybody has."""
    if store_set.config.engine is EngineKind.MYSQL:
        yield store_set
        return
    for verb, to in (("REVOKE", "FROM"), ("GRANT", "TO")):
        for store, database in store_set.databases().items():
            store_set.execute(store, f'{verb} CONNECT ON DATABASE "{database}" {to} PUBLIC')
            store_set.execute(store, f"{verb} USAGE ON SCHEMA public {to} PUBLIC")
        if verb == "REVOKE":
            yield store_set


def test_the_readmes_user_can_erase(strict: StoreSet, described: Manifest) -> None:
    """A user with no more than the README's privileges is told ready, and erases with proof."""
    strict.insert(rows_of(showcase(SUBJECT)))
    with user_for(strict, Purpose.ERASE) as user:
        found = looked(user.config, described, accept=False)
        with reached(user.config, described) as store_set:
            records = erase(store_set, described)
    assert found.refusals == ()
    assert [type(one) for one in records if isinstance(one, Erased)] == [Erased]
    search = Search(described, Closure(WaId(SUBJECT.number)), KEY)
    assert sweep(strict, search).traces == []


def test_the_readmes_user_can_audit(strict: StoreSet, described: Manifest) -> None:
    """A user who may only read is told ready for an audit, sees every trace, and may not erase."""
    strict.insert(rows_of(showcase(SUBJECT)))
    search = Search(described, Closure(WaId(SUBJECT.number)), KEY)
    with user_for(strict, Purpose.AUDIT) as user:
        found = looked(user.config, described, Purpose.AUDIT, accept=False)
        for_erasure = looked(user.config, described)
        with reached(user.config, described) as store_set:
            traces = sweep(store_set, search).traces
    assert found.refusals == ()
    assert traces
    assert traces == sweep(strict, search).traces
    assert len(for_erasure.refusals) == 1
    assert "lacks privileges" in for_erasure.refusals[0]
    assert {lack.store for lack in for_erasure.facts.lacks} == set(names(described))


def db_env(config: RunConfig) -> str:
    """Return the db.env that leads to where a configuration leads."""
    values = {
        "ENGINE": {EngineKind.MYSQL: "MYSQL", EngineKind.POSTGRES: "PGSQL"}[config.engine],
        "HOSTNAME": config.hostname,
        "PORT": str(config.port),
        "USERNAME": config.username,
        "PASSWORD": config.password.reveal(),
        "NAME_PREFIX": config.prefix,
    }
    return "".join(f"WA_DB_{name}='{value}'\n" for name, value in values.items())


def commanded(config: RunConfig, folder: Path, *options: str) -> int:
    """Run the live command as an operator does, and return its exit status."""
    for name, text in (("ids", f"{SUBJECT.number}\n"), ("db.env", db_env(config))):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text, encoding="ascii")
    if not (folder / "key").exists():
        keys.make(folder / "key")
    command = [sys.executable, "-m", "pytest", "--live", f"--db-env={folder / 'db.env'}"]
    command += [f"--wa-id-file={folder / 'ids'}", f"--pseudonym-key={folder / 'key'}"]
    command += [f"--reports={folder / 'reports'}", *options]
    return subprocess.run(command, cwd=README.parent, capture_output=True, check=False).returncode


def test_the_readmes_users_run_every_live_command(strict: StoreSet, tmp_path: Path) -> None:
    """The command line itself rehearses, erases and audits as the README's users, and no other."""
    strict.insert(rows_of(showcase(SUBJECT)))
    with user_for(strict, Purpose.ERASE) as user:
        assert commanded(user.config, tmp_path, "--rehearse") == 0
    with user_for(strict, Purpose.AUDIT) as user:
        assert commanded(user.config, tmp_path, "--audit") == 1
        assert commanded(user.config, tmp_path) == 4
    with user_for(strict, Purpose.ERASE) as user:
        assert commanded(user.config, tmp_path) == 0
    with user_for(strict, Purpose.AUDIT) as user:
        assert commanded(user.config, tmp_path, "--audit") == 0


def revocations(store_set: StoreSet, user: User) -> dict[str, list[tuple[str, str]]]:
    """Return, for each privilege, how it is taken away in each store."""
    made: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for store, database in store_set.databases().items():
        if store_set.config.engine is EngineKind.MYSQL:
            place = "`" + database.replace("_", r"\_") + "`.*"
            for one in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRIGGER"):
                made[one].append((store, f"REVOKE {one} ON {place} FROM '{user.name}'@'%'"))
            continue
        gone = f'FROM "{user.name}"'
        made["CONNECT"].append((store, f'REVOKE CONNECT ON DATABASE "{database}" {gone}'))
        made["USAGE"].append((store, f"REVOKE USAGE ON SCHEMA public {gone}"))
        tables = [table.name for table in store_set.tables() if table.store == store]
        for one in ("SELECT", "INSERT", "UPDATE", "DELETE"):
            made[one].append((store, f'REVOKE {one} ON TABLE "{tables[-1]}" {gone}'))
    return made


def test_each_missing_privilege_is_named_with_its_grant(
    strict: StoreSet, described: Manifest
) -> None:
    """Whichever privilege is taken away, in whichever store, is named; the statement given brings it back."""
    with user_for(strict, Purpose.ERASE) as user:
        for privilege, revokes in revocations(strict, user).items():
            for store, revoke in revokes:
                strict.execute(store, revoke)
            found = looked(user.config, described, accept=False)
            assert not found.ready, privilege
            assert [one.store for one in found.grants] == list(strict.databases()), privilege
            for lack in found.grants:
                assert lack.what.split()[0] == privilege
                assert lack.statement.startswith(f"GRANT {privilege} ON ")
                strict.execute(lack.store, lack.statement)
            assert looked(user.config, described, accept=False).ready, privilege


@on_mysql
def test_a_hidden_store_is_not_taken_for_absent(strict: StoreSet, described: Manifest) -> None:
    """A store that MySQL hides for want of any privilege is refused with the grant that shows it."""
    with user_for(strict, Purpose.ERASE) as user:
        place = "`own\\_messageStore`.*"
        strict.execute(STORE, f"REVOKE ALL PRIVILEGES ON {place} FROM '{user.name}'@'%'")
        for purpose in Purpose:
            found = looked(user.config, described, purpose)
            assert found.facts.missing == (STORE,)
            assert ["hidden from the account" in one for one in found.refusals] == [True]
            assert not any("Not on this server" in one for one in found.warnings)
        found = looked(user.config, described)
        (hidden,) = found.facts.hidden
        assert hidden.statement in render(found, width=80, colour=False)
        strict.execute(STORE, hidden.statement)
        assert looked(user.config, described).facts.missing == ()


@pytest.mark.parametrize("place", ["*.*", "`some\\_messageStore`.*"], ids=["global", "its own"])
@on_mysql
def test_a_store_that_would_be_shown_is_known_to_be_absent(
    strict: StoreSet, described: Manifest, place: str
) -> None:
    """A store that is not listed, though the account has a right to see it, is only a warning."""
    with user_for(strict, Purpose.AUDIT) as user:
        config = replace(user.config, prefix="some_")
        right = "SHOW DATABASES" if place == "*.*" else "SELECT"
        strict.execute(STORE, f"GRANT {right} ON {place} TO '{user.name}'@'%'")
        found = looked(config, described, Purpose.AUDIT)
    hidden = {lack.store for lack in found.facts.hidden}
    assert set(found.facts.missing) - hidden == ({STORE} if hidden else set(names(described)))
    (warning,) = (one for one in found.warnings if "so not searched" in one)
    assert STORE in warning


@on_mysql
def test_rights_on_single_tables_are_not_sight(strict: StoreSet, described: Manifest) -> None:
    """Rights on every table that is seen are no right to see all tables, and are refused."""
    with user_for(strict, Purpose.AUDIT) as user:
        place = "`own\\_messageStore`.*"
        strict.execute(STORE, f"REVOKE SELECT ON {place} FROM '{user.name}'@'%'")
        for name in ("chats", "messages"):
            strict.execute(STORE, f"GRANT SELECT ON `own_messageStore`.{name} TO '{user.name}'@'%'")
        found = looked(user.config, described, Purpose.AUDIT)
    assert [(lack.store, lack.what) for lack in found.grants] == [(STORE, "SELECT")]
    assert not found.ready


@on_mysql
def test_a_grant_means_one_database_only(strict: StoreSet, described: Manifest) -> None:
    """The grant for a prefix with an underscore gives no right on a database of a like name."""
    like = strict.databases()[STORE].replace("_", "x")
    strict.execute(STORE, f"CREATE DATABASE `{like}`")
    try:
        with user_for(strict, Purpose.ERASE) as user, reached(user.config, described) as limited:
            assert like not in {row[0] for row in limited.query(STORE, "SHOW DATABASES")}
    finally:
        strict.execute(STORE, f"DROP DATABASE `{like}`")


@on_mysql
def test_what_may_not_be_seen_is_said(strict: StoreSet, described: Manifest) -> None:
    """Without PROCESS and REPLICATION CLIENT, sessions and replication are said to be unseen."""
    with user_for(strict, Purpose.ERASE) as user:
        unseen = looked(user.config, described).facts.condition.unseen
        assert [re.findall("GRANT ([A-Z ]+) ON", one) for one in unseen] == [
            ["PROCESS"],
            ["REPLICATION CLIENT"],
        ]
        for sentence in unseen:
            strict.execute(STORE, sentence[sentence.index("GRANT") :])
        assert looked(user.config, described).facts.condition.unseen == ()


OUTSIDE = "else$where"


@pytest.fixture
def outside(strict: StoreSet) -> Iterator[None]:
    """Another application's database, from which foreign keys cascade to two of our tables."""
    tables = {"receipts": "bystanders", "odd-$name": "more-$bystanders"}
    make = [
        "CREATE TABLE `odd-$name` (_id BIGINT PRIMARY KEY)",
        f"CREATE DATABASE `{OUTSIDE}`",
        *(
            f"CREATE TABLE `{OUTSIDE}`.`{child}` (id BIGINT, FOREIGN KEY (id) "
            f"REFERENCES own_messageStore.`{parent}` (_id) ON DELETE CASCADE)"
            for parent, child in tables.items()
        ),
    ]
    with planted(strict, make, [f"DROP DATABASE `{OUTSIDE}`", "DROP TABLE `odd-$name`"]):
        yield


@on_mysql
@pytest.mark.usefixtures("outside")
def test_a_cascade_of_a_hidden_database_is_a_hazard(strict: StoreSet, described: Manifest) -> None:
    """With PROCESS a foreign key that the account may not see is a hazard; without, that is said."""
    with user_for(strict, Purpose.ERASE) as user:
        blind = looked(user.config, described)
        assert blind.facts.hazards == ()
        assert any("databases hidden from this account" in one for one in blind.warnings)
        audit = looked(user.config, described, Purpose.AUDIT)
        assert not any("databases hidden from this account" in one for one in audit.warnings)
        strict.execute(STORE, f"GRANT PROCESS ON *.* TO '{user.name}'@'%'")
        found = looked(user.config, described)
        assert not any("databases hidden from this account" in one for one in found.warnings)
        hazards = [(one.store, one.table) for one in found.facts.hazards]
        assert hazards == [(STORE, "odd-$name"), (STORE, "receipts")]
        assert {one.why for one in found.facts.hazards} == {CARRIES_ON}


@on_mysql
@pytest.mark.usefixtures("outside")
def test_no_row_of_a_hidden_database_is_deleted(strict: StoreSet, described: Manifest) -> None:
    """A plan that would delete rows of a database that the account may not see is refused."""
    strict.insert(rows_of(showcase(SUBJECT)))
    strict.execute(STORE, f"INSERT INTO `{OUTSIDE}`.bystanders SELECT _id FROM receipts")
    count = f"SELECT count(*) FROM `{OUTSIDE}`.bystanders"
    before = strict.query(STORE, count)
    with user_for(strict, Purpose.ERASE) as user:
        strict.execute(STORE, f"GRANT PROCESS ON *.* TO '{user.name}'@'%'")
        with (
            reached(user.config, described) as store_set,
            pytest.raises(PlanError, match=r"receipts.*foreign key"),
        ):
            erase(store_set, described)
    assert strict.query(STORE, count) == before != [(0,)]


@on_postgres
def test_what_may_not_be_seen_is_said_on_postgres(strict: StoreSet, described: Manifest) -> None:
    """Without pg_monitor, other sessions and preloaded libraries are said to be unseen."""
    with user_for(strict, Purpose.ERASE) as user:
        unseen = looked(user.config, described).facts.condition.unseen
        assert len(unseen) == 2
        for sentence in unseen:
            strict.execute(STORE, sentence[sentence.index("GRANT") :])
        assert looked(user.config, described).facts.condition.unseen == ()


@on_postgres
def test_row_security_is_named(strict: StoreSet, described: Manifest) -> None:
    """A table whose rows a policy may hide is refused, with the statement that shows them all."""
    with user_for(strict, Purpose.ERASE) as user:
        on, off = (f"ALTER TABLE chats {verb} ROW LEVEL SECURITY" for verb in ("ENABLE", "DISABLE"))
        with planted(strict, [on], [off]):
            for purpose in Purpose:
                found = looked(user.config, described, purpose)
                (lack,) = found.grants
                assert "chats" in lack.what
                assert not found.ready
            strict.execute(STORE, lack.statement)
            assert looked(user.config, described).ready


# --- what is on the server -------------------------------------------------------------------


def test_nothing_planted_is_ready(
    run_config: RunConfig, store_set: StoreSet, described: Manifest
) -> None:
    """A store set as the manifest describes it is ready for both purposes, with nothing missing."""
    for purpose in Purpose:
        found = looked(run_config, described, purpose, accept=False)
        assert (found.refusals, found.facts.absent, found.facts.undeclared) == ((), (), ())
        assert (found.facts.missing, found.facts.misfits) == ((), ())
        assert found.facts.condition.sessions == ()
    assert found.version == store_set.version


def test_a_preflight_changes_nothing(store_set: StoreSet, described: Manifest) -> None:
    """A look leaves every row, and every setting of the session, as it was."""
    store_set.insert(rows_of(showcase(SUBJECT)))
    setting = (
        "SELECT @@session.lock_wait_timeout"
        if store_set.config.engine is EngineKind.MYSQL
        else "SELECT current_setting('lock_timeout')"
    )
    search = Search(described, None, KEY)
    before = sweep(store_set, search).tables, store_set.query(STORE, setting)
    look(store_set, described, Purpose.ERASE)
    assert (sweep(store_set, search).tables, store_set.query(STORE, setting)) == before


def test_no_store_is_refused(run_config: RunConfig, described: Manifest) -> None:
    """Where none of the published stores is there, both purposes are refused with the way out."""
    for purpose in Purpose:
        found = looked(replace(run_config, prefix="nobodys_"), described, purpose)
        assert "WA_DB_NAME_PREFIX" in found.refusals[0]


@pytest.mark.usefixtures("store_set")
def test_a_part_of_the_set_is_enough(run_config: RunConfig, described: Manifest) -> None:
    """One published store is enough; what is missing is listed, and that aliases are among it."""
    config = replace(run_config, prefix="part_")
    schemas = ddl.committed(described, config.engine)
    with reached(config, described) as part:
        part.create({STORE: schemas[STORE]})
        try:
            found = look(part, described, Purpose.ERASE)
        finally:
            part.drop()
    assert found.refusals == ()
    assert set(found.facts.missing) == set(names(described)) - {STORE}
    assert sum("identity closure may be incomplete" in one for one in found.warnings) == 2


def test_a_missing_alias_column_is_a_warning(
    store_set: StoreSet, run_config: RunConfig, described: Manifest
) -> None:
    """Without a column that ties numbers to JIDs the closure is said to be incomplete."""
    make, undo = (
        f"ALTER TABLE wa_phones RENAME COLUMN {a} TO {b}" for a, b in (("jid", "x"), ("x", "jid"))
    )
    if run_config.engine is EngineKind.MYSQL:
        make, undo = (
            f"ALTER TABLE wa_phones CHANGE {a} {b} VARCHAR(256) CHARACTER SET latin1 NOT NULL"
            for a, b in (("jid", "x"), ("x", "jid"))
        )
    store_set.execute("contactStore", make)
    try:
        found = looked(run_config, described)
    finally:
        store_set.execute("contactStore", undo)
    assert any("contactStore.wa_phones.jid is not" in one for one in found.warnings)
    assert [one.column for one in found.facts.absent] == ["jid"]


def test_drift_is_refused_until_accepted(
    store_set: StoreSet, run_config: RunConfig, described: Manifest
) -> None:
    """What the manifest lacks is refused for an erasure until accepted, and no obstacle to an audit."""
    make = [
        "CREATE TABLE visits (at BIGINT)",
        "ALTER TABLE chats ADD COLUMN weight SMALLINT",
        "ALTER TABLE chats ADD COLUMN peerPhone VARCHAR(20)",
        "ALTER TABLE chats ADD COLUMN note VARCHAR(20)",
    ]
    undo = [
        "DROP TABLE visits",
        *(f"ALTER TABLE chats DROP COLUMN {one}" for one in ("weight", "note")),
    ]
    quote = "`" if run_config.engine is EngineKind.MYSQL else ""
    undo.append(f"ALTER TABLE chats DROP COLUMN {quote}peerPhone{quote}")
    with planted(store_set, make, undo):
        refused = looked(run_config, described, accept=False)
        accepted = looked(run_config, described)
        audit = looked(run_config, described, Purpose.AUDIT, accept=False)
    assert len(refused.refusals) == 1
    assert "--treatment FILE" in refused.refusals[0]
    assert "--accept-drift" in refused.refusals[0]
    assert accepted.ready
    assert audit.ready
    assert any("not in the manifest" in one for one in audit.warnings)
    columns = [one.column.lower() or one.table for one in refused.facts.undeclared]
    assert sorted(columns) == ["note", "peerphone", "visits", "weight"]


def test_identity_looking_columns_come_first(
    store_set: StoreSet, run_config: RunConfig, described: Manifest
) -> None:
    """Of undeclared columns those named like an identity stand first, too narrow ones last."""
    columns = {"aa": "SMALLINT", "bb": "VARCHAR(20)", "yy_jid": "SMALLINT", "zz_jid": "VARCHAR(90)"}
    make = [f"ALTER TABLE chats ADD COLUMN {name} {kind}" for name, kind in columns.items()]
    undo = [f"ALTER TABLE chats DROP COLUMN {name}" for name in columns]
    with planted(store_set, make, undo):
        found = looked(run_config, described)
    assert [one.column for one in found.facts.undeclared] == ["zz_jid", "bb", "aa", "yy_jid"]


SERVER: dict[EngineKind, dict[str, tuple[list[str], str, list[str]]]] = {
    EngineKind.MYSQL: {
        "no transactions": (
            ["ALTER TABLE receipts ENGINE=MyISAM"],
            r"messageStore\.receipts .* no transactions",
            ["ALTER TABLE receipts ENGINE=InnoDB"],
        ),
        "trigger": (
            ["CREATE TRIGGER tr AFTER DELETE ON receipts FOR EACH ROW SET @x = 1"],
            r"messageStore\.receipts .* trigger",
            ["DROP TRIGGER tr"],
        ),
        "general log": (["SET GLOBAL general_log = ON"], "general log", ["SET GLOBAL general_log = OFF"]),
        "slow log": (["SET GLOBAL slow_query_log = ON"], "slow query log", ["SET GLOBAL slow_query_log = OFF"]),
        "narrow key": (
            ["ALTER TABLE receipts MODIFY _id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT"],
            r"No canary proves messageStore\.receipts: column _id",
            ["ALTER TABLE receipts MODIFY _id BIGINT NOT NULL AUTO_INCREMENT"],
        ),
    },
    EngineKind.POSTGRES: {
        "trigger": (
            [
                "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
                "CREATE TRIGGER tr AFTER DELETE ON receipts FOR EACH ROW EXECUTE PROCEDURE f()",
            ],
            r"messageStore\.receipts .* trigger",
            ["DROP TRIGGER tr ON receipts", "DROP FUNCTION f()"],
        ),
        "statement log": (
            ["ALTER ROLE CURRENT_USER SET log_statement = 'all'"],
            "log_statement is on",
            ["ALTER ROLE CURRENT_USER RESET log_statement"],
        ),
        "slow log": (
            ["ALTER ROLE CURRENT_USER SET log_min_duration_statement = 100"],
            "log_min_duration_statement is on",
            ["ALTER ROLE CURRENT_USER RESET log_min_duration_statement"],
        ),
        "error log": (
            ["ALTER ROLE CURRENT_USER SET log_min_error_statement = 'error'"],
            "statement that fails",
            ["ALTER ROLE CURRENT_USER RESET log_min_error_statement"],
        ),
        "statement log of one store": (
            ['ALTER DATABASE "own_messageStore" SET log_statement = \'mod\''],
            "log_statement is on",
            ['ALTER DATABASE "own_messageStore" RESET log_statement'],
        ),
        "orphan": (
            ["BEGIN", "DELETE FROM chats", "PREPARE TRANSACTION 'waba_erasure_test'"],
            "1 prepared transactions? of an earlier erasure",
            ["ROLLBACK PREPARED 'waba_erasure_test'"],
        ),
        "other type": (
            ["ALTER TABLE receipts ALTER key_remote_jid TYPE bigint USING 0"],
            r"No canary proves messageStore\.receipts: column key_remote_jid",
            ["ALTER TABLE receipts ALTER key_remote_jid TYPE varchar(256)"],
        ),
    },
}  # fmt: skip
ON_SERVER = [(kind, name) for kind, found in SERVER.items() for name in found]


@pytest.mark.parametrize(("kind", "name"), ON_SERVER, indirect=["kind"], ids=str, scope="session")
def test_what_is_on_the_server_is_a_warning(
    store_set: StoreSet, run_config: RunConfig, described: Manifest, name: str
) -> None:
    """Hazards, logs that are on, orphans and tables without a canary are named, and gone with the cause."""
    make, says, undo = SERVER[run_config.engine][name]
    with planted(store_set, make, undo):
        found = looked(run_config, described)
    assert [one for one in found.warnings if re.search(says, one)]
    assert found.ready
    assert not [one for one in looked(run_config, described).warnings if re.search(says, one)]


@on_postgres
def test_stores_that_cannot_be_committed_together_are_told(
    store_set: StoreSet, run_config: RunConfig, described: Manifest
) -> None:
    """As soon as others leave too little room to prepare every store, one warning says so."""
    room = 16 - len(store_set.databases())
    taken = [f"somebody_{number}" for number in range(room + 1)]
    heard = []
    with ExitStack() as stack:
        stack.callback(lambda: store_set.settle(taken, commit=False))
        for gid in taken:
            store_set.execute(STORE, "BEGIN")
            store_set.execute(STORE, "PREPARE TRANSACTION %s", (gid,))
            if gid in taken[-2:]:
                found = looked(run_config, described)
                heard.append([one for one in found.warnings if "one after the other" in one])
    assert heard[0] == []
    (warning,) = heard[1]
    assert f"is 16, of which {room + 1} are in use" in warning


READ_ONLY: dict[EngineKind, dict[str, tuple[list[str], list[str]]]] = {
    EngineKind.MYSQL: {
        "server": (["SET GLOBAL read_only = ON"], ["SET GLOBAL read_only = OFF"]),
        "transactions": (["SET GLOBAL tx_read_only = ON"], ["SET GLOBAL tx_read_only = OFF"]),
    },
    EngineKind.POSTGRES: {
        "transactions": (
            ["ALTER ROLE CURRENT_USER SET default_transaction_read_only = on"],
            ["ALTER ROLE CURRENT_USER RESET default_transaction_read_only"],
        ),
        "database": (
            ['ALTER DATABASE "own_messageStore" SET default_transaction_read_only = on'],
            ['ALTER DATABASE "own_messageStore" RESET default_transaction_read_only'],
        ),
    },
}
ON_READ_ONLY = [(kind, name) for kind, found in READ_ONLY.items() for name in found]


@pytest.mark.parametrize(
    ("kind", "name"), ON_READ_ONLY, indirect=["kind"], ids=str, scope="session"
)
def test_what_cannot_be_written_is_refused(
    store_set: StoreSet, run_config: RunConfig, described: Manifest, name: str
) -> None:
    """A server that takes no changes refuses an erasure with the way out, and serves an audit."""
    with planted(store_set, *READ_ONLY[run_config.engine][name]):
        erasure = looked(run_config, described)
        audit = looked(run_config, described, Purpose.AUDIT)
    assert len(erasure.refusals) == 1
    assert re.search(r"read.only", erasure.refusals[0])
    assert audit.ready
    assert looked(run_config, described).ready


# --- others at work --------------------------------------------------------------------------

LOCKS = {
    EngineKind.MYSQL: (["LOCK TABLES messages WRITE"], ["UNLOCK TABLES"]),
    EngineKind.POSTGRES: (["BEGIN", "LOCK TABLE messages"], ["ROLLBACK"]),
}


@pytest.mark.usefixtures("store_set")
def test_anothers_table_lock_is_named(run_config: RunConfig, described: Manifest) -> None:
    """A table that another session has locked is named, and the look does not wait for it."""
    make, undo = LOCKS[run_config.engine]
    with reached(run_config, described) as second, planted(second, make, undo):
        found = looked(run_config, described)
    (session,) = found.facts.condition.sessions
    assert (session.store, session.table, session.blocks) == (STORE, "messages", True)
    assert any("messageStore.messages" in one for one in found.warnings)
    assert len(found.facts.condition.sizes) == len(described.tables)


@on_mysql
def test_anothers_row_locks_are_named(
    store_set: StoreSet, run_config: RunConfig, described: Manifest
) -> None:
    """Rows that another transaction has locked on MySQL are counted."""
    store_set.insert(rows_of(showcase(SUBJECT)))
    change = ["BEGIN", "UPDATE chats SET archived = 7"]
    with reached(run_config, described) as second, planted(second, change, ["ROLLBACK"]):
        found = looked(run_config, described)
    (session,) = found.facts.condition.sessions
    assert re.search(r"[1-9]\d* rows locked", session.what)
    assert session.age_s is not None
    assert session.age_s < 3600


@on_postgres
@pytest.mark.usefixtures("store_set")
def test_anothers_old_transaction_is_named(
    run_config: RunConfig,
    described: Manifest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A transaction that is older than ours wait is named with its age, even if it only reads."""
    monkeypatch.setattr("harness.stores.postgres_condition.LONG_TRANSACTION_S", 0.0)
    reading = ["BEGIN", "SELECT 1 FROM chats"]
    with reached(run_config, described) as second, planted(second, reading, ["ROLLBACK"]):
        found = looked(run_config, described)
    assert {one.table for one in found.facts.condition.sessions} == {"chats"}
    assert all(one.age_s is not None and not one.blocks for one in found.facts.condition.sessions)


# --- the canary ------------------------------------------------------------------------------


def test_a_column_that_only_the_client_can_fill(
    store_set: StoreSet, run_config: RunConfig, described: Manifest
) -> None:
    """A table that demands an unknown value goes without a canary, is named, and is erased all the same."""
    everything = erase(store_set, described)
    store_set.execute("contactStore", "ALTER TABLE wa_contacts ADD COLUMN hue VARCHAR(9) NOT NULL")
    try:
        found = looked(run_config, described)
        records = erase(store_set, described)
    finally:
        store_set.execute("contactStore", "ALTER TABLE wa_contacts DROP COLUMN hue")
    assert any("No canary proves contactStore.wa_contacts: column hue" in o for o in found.warnings)
    (before,) = (one for one in everything if isinstance(one, CanaryFlown))
    (after,) = (one for one in records if isinstance(one, CanaryFlown))
    assert after.tables == before.tables - 1
    assert [one for one in records if isinstance(one, Erased)]


UNKNOWN_COUNTER = {
    EngineKind.MYSQL: (
        "ALTER TABLE contacts ADD COLUMN n BIGINT NOT NULL AUTO_INCREMENT UNIQUE",
        "SELECT auto_increment FROM information_schema.tables WHERE table_schema = 'own_waweb' AND table_name = 'contacts'",
    ),
    EngineKind.POSTGRES: (
        "ALTER TABLE contacts ADD COLUMN n BIGSERIAL",
        "SELECT is_called FROM contacts_n_seq",
    ),
}


def test_a_counter_that_the_manifest_lacks_is_not_moved(
    store_set: StoreSet, run_config: RunConfig, described: Manifest
) -> None:
    """An unknown counter is given a negative value: the canary flies, and the counter stands still."""
    make, counter = UNKNOWN_COUNTER[run_config.engine]
    store_set.execute("waweb", make)
    try:
        found = looked(run_config, described)
        before = store_set.query("waweb", counter)
        records = erase(store_set, described)
        after = store_set.query("waweb", counter)
    finally:
        store_set.execute("waweb", "ALTER TABLE contacts DROP COLUMN n")
    assert found.facts.misfits == ()
    assert [one for one in records if isinstance(one, Erased)]
    assert after == before


# --- how it is shown -------------------------------------------------------------------------


def test_the_screen_shows_what_decides_first(strict: StoreSet, described: Manifest) -> None:
    """The screen begins with the refusal, and has each grant whole on a line of its own."""
    with user_for(strict, Purpose.AUDIT) as user:
        found = looked(user.config, described)
    lines = render(found, width=80, colour=False)
    assert lines[1] == "REFUSED (for an erasure)"
    assert lines[3].startswith("refused")
    assert {lack.statement for lack in found.grants} <= set(lines)
    assert lines.index(found.grants[0].statement) < next(
        number for number, line in enumerate(lines) if line.startswith("engine ")
    )


def test_long_drift_is_cut(store_set: StoreSet, run_config: RunConfig, described: Manifest) -> None:
    """Twenty lines of drift are shown, the rest counted; the document has all of them."""
    tables = [f"more{number}" for number in range(25)]
    with planted(
        store_set,
        [f"CREATE TABLE {name} (a INT)" for name in tables],
        [f"DROP TABLE {name}" for name in tables],
    ):
        found = looked(run_config, described)
    lines = render(found, width=100, colour=False)
    assert sum("(table)" in line for line in lines) == 20
    assert any("and 5 more in preflight.json" in line for line in lines)
    assert len(found.document()["undeclared"]) == 25


def test_the_document_is_json_without_numbers(
    store_set: StoreSet, run_config: RunConfig, described: Manifest
) -> None:
    """The document can be written as JSON, and a number in a table's name is left out of it."""
    name = f"chat_{SUBJECT.number}"
    with planted(store_set, [f"CREATE TABLE {name} (a INT)"], [f"DROP TABLE {name}"]):
        found = looked(run_config, described, accept=False)
    text = json.dumps(found.document())
    assert SUBJECT.number not in text
    assert SUBJECT.number not in "\n".join(render(found, width=200, colour=False))
    assert '"chat_#"' in text
    assert found.document()["ready"] is False


# --- SHOW GRANTS, in the words of versions that cannot be had here ----------------------------


@pytest.mark.parametrize(
    ("lines", "allowed"),
    [
        ("GRANT ALL PRIVILEGES ON *.* TO 'u'@'%' IDENTIFIED BY PASSWORD '*00'", True),
        ("GRANT SELECT, INSERT ON `a\\_b`.* TO 'u'@'%'", True),
        ("GRANT SELECT ON `a%`.* TO 'u'@'%'", True),
        ('GRANT SELECT ON "a_b".* TO "u"@"%"', True),
        ("GRANT SELECT ON `a\\_c`.* TO 'u'@'%'", False),
        ("GRANT INSERT ON `a_b`.* TO 'u'@'%'", False),
        ("GRANT SELECT ON `a%`.* TO 'u'@'%'\nGRANT INSERT ON `a\\_b`.* TO 'u'@'%'", False),
        ("GRANT SELECT ON `a_b`.`t` TO 'u'@'%'", False),
        ("GRANT SELECT ON `a_b`.`t` TO 'u'@'%'\nGRANT SELECT ON `a_b`.`s` TO 'u'@'%'", True),
        ("GRANT SELECT (x), INSERT ON `a_b`.* TO 'u'@'%'", False),
        ("GRANT SELECT ON *.* TO `u`@`%`\nREVOKE SELECT ON `a_b`.* FROM `u`@`%`", False),
        ("GRANT `role`@`%` TO `u`@`%`", False),
        ("GRANT PROXY ON ''@'' TO 'u'@'%'", False),
    ],
)  # fmt: skip
def test_grants_are_read_as_the_server_means_them(lines: str, allowed: bool) -> None:  # noqa: FBT001
    """Patterns, exactness, single tables, columns, revokes and roles count as MySQL counts them."""
    grants = read(lines.splitlines(), literal=False)
    assert grants.allows("SELECT", "a_b", ["s", "t"]) is allowed


def test_grants_are_written_for_one_database() -> None:
    """A grant escapes what would be a pattern, unless the server takes names as they are."""
    wanted = ("SELECT", "TRIGGER")
    assert (
        statement(wanted, "p_%db", "o'u@10.%", literal=False)
        == r"GRANT SELECT, TRIGGER ON `p\_\%db`.* TO 'o''u'@'10.%';"
    )
    assert statement(wanted, "p_db", "u@%", literal=True).startswith(
        "GRANT SELECT, TRIGGER ON `p_db`.*"
    )
