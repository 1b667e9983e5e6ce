"""The manifest, the committed schemas and the published map agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import manifest
from harness.errors import ManifestError
from harness.model import EngineKind, Treatment
from harness.routines import rendering
from harness.stores import ddl

# The vendor's map, typed by hand from the published guide, in the order of its statements:
# store, table, (column, what it is compared with) joined by OR, and whether PostgreSQL has it.
JID, WA_ID = "user_jid", "wa_id"
PUBLISHED = (
    ("callbackStore", "queue", (("key_remote_jid", JID),), True),
    ("messageStore", "chats", (("key_remote_jid", JID), ("group_creator", JID)), True),
    ("messageStore", "group_participants_history", (("jid", JID),), True),
    ("messageStore", "messages", (("key_remote_jid", JID), ("remote_resource", JID)), True),
    (
        "messageStore",
        "messages_pending_actions",
        (("key_remote_jid", JID), ("remote_resource", JID)),
        True,
    ),
    ("messageStore", "messages_receipt_log", (("key_remote_jid", JID),), True),
    ("messageStore", "sender_key_distribution_status", (("jid", JID),), True),
    ("axolotlStore", "identities", (("recipient_id", WA_ID),), True),
    ("axolotlStore", "message_base_key", (("msg_key_remote_jid", JID),), True),
    ("axolotlStore", "sender_keys", (("sender_id", WA_ID),), False),
    ("axolotlStore", "sessions", (("recipient_id", WA_ID),), True),
    ("contactStore", "wa_contacts", (("jid", JID),), True),
    ("contactStore", "wa_phones", (("jid", JID),), True),
)
PREFIX = "acme_"
DESCRIBED = manifest.load()
DATABASES = {store.name: PREFIX + store.name for store in DESCRIBED.stores}
FOREIGN = rendering.ForeignNames("run_schema", {name: f"run_{name}" for name in DATABASES})
_DELETE = re.compile(r"DELETE FROM (\S+)\.(\S+)\s+WHERE ([^;]+);")


def parsed(sql: str, quote: str) -> list[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """Read the DELETE statements of a rendered routine: qualifier, table, comparisons."""
    statements = []
    for database, table, condition in _DELETE.findall(sql):
        arms = tuple(tuple(arm.replace(quote, "").split(" = ")) for arm in condition.split(" OR "))
        statements.append((database.strip(quote), table.strip(quote), arms))
    return statements


def test_the_mysql_procedure_is_the_published_map() -> None:
    """The rendered procedure deletes what was published, in that order, in prefixed databases."""
    sql = rendering.mysql_procedure(DESCRIBED, DATABASES, "erase_one")
    expected = [(PREFIX + store, table, arms) for store, table, arms, _ in PUBLISHED]
    assert parsed(sql, "`") == expected
    assert "CREATE PROCEDURE `acme_contactStore`.`erase_one`(IN wa_id BIGINT)" in sql
    assert "DECLARE user_jid VARCHAR(50);" in sql
    assert "SET user_jid = CONCAT(wa_id, '@s.whatsapp.net');" in sql
    assert "wa_phones p" not in sql


def test_the_postgresql_function_is_the_published_map() -> None:
    """The rendered function deletes what was published, sender_keys forgotten, by foreign tables."""
    sql = rendering.postgres_function(DESCRIBED, FOREIGN, "erase_one")
    expected = [
        ("public" if store == "contactStore" else "run_schema", table, arms)
        for store, table, arms, on_postgres in PUBLISHED
        if on_postgres
    ]
    assert parsed(sql, '"') == expected
    assert 'CREATE FUNCTION public."erase_one"(wa_id bigint) RETURNS void' in sql
    assert "user_jid VARCHAR(56);" in sql
    assert "WHERE p.phone_number = '+' || wa_id;" in sql
    assert "sender_keys" not in sql


def test_foreign_tables_have_just_the_published_columns() -> None:
    """Each foreign table declares the compared columns only, with the published types."""
    sql = rendering.foreign_tables(DESCRIBED, FOREIGN)
    assert len(sql.splitlines()) == 10
    assert (
        'CREATE FOREIGN TABLE "run_schema"."chats" ("key_remote_jid" varchar(256) NOT NULL, '
        '"group_creator" text) SERVER "run_messageStore"'
    ) in sql
    assert '"identities" ("recipient_id" bigint) SERVER "run_axolotlStore"' in sql
    assert "wa_phones" not in sql


def test_a_statement_too_few_is_seen() -> None:
    """The comparison above fails when one statement is taken out of the rendered SQL."""
    sql = rendering.mysql_procedure(DESCRIBED, DATABASES, "erase_one")
    shorter = sql.replace("DELETE FROM `acme_axolotlStore`.`sessions`", "SELECT 1 FROM `a`.`b`")
    assert len(parsed(shorter, "`")) == len(PUBLISHED) - 1


@pytest.mark.parametrize("engine", EngineKind)
def test_the_committed_schemas_are_the_manifests(engine: EngineKind) -> None:
    """fixtures/schemas holds what the manifest renders: `python -m harness.stores.ddl` writes it."""
    rendered = {store.name: ddl.render(store, engine) for store in DESCRIBED.stores}
    assert ddl.committed(DESCRIBED, engine) == rendered
    files = {path.stem for path in (ddl.FOLDER / engine.value).iterdir()}
    assert files == set(rendered)


def test_schemas_say_that_they_are_synthetic() -> None:
    """Nobody can take a fixture schema for the vendor's."""
    for store in DESCRIBED.stores:
        assert "SYNTHETIC" in ddl.render(store, EngineKind.MYSQL).splitlines()[0]


def test_every_store_is_there() -> None:
    """The manifest has the seven schemas of a real install and the Webapp's own."""
    confirmed = {store.name for store in DESCRIBED.stores if store.confirmed}
    assert confirmed == {
        "callbackStore",
        "messageStore",
        "axolotlStore",
        "contactStore",
        "clusterStore",
        "waweb",
    }
    assert {store.name for store in DESCRIBED.stores} - confirmed == {
        "configStore",
        "jobqueueStore",
    }


def test_what_the_vendor_compares_is_deleted_and_the_rest_masked() -> None:
    """A compared column makes the row the subject's; a mention elsewhere is masked."""
    messages = DESCRIBED.tables["messageStore", "messages"]
    assert messages.column("key_remote_jid").treatment is Treatment.DELETE
    assert messages.column("data").treatment is Treatment.MASK
    assert DESCRIBED.tables["waweb", "contacts"].column("wa_id").treatment is Treatment.DELETE
    assert DESCRIBED.tables["axolotlStore", "identities"].own == (("recipient_id", -1),)


def test_what_leads_to_media_is_described() -> None:
    """Messages lead to media by path, name and hashes, callbacks by a document, the rest not."""
    leading = {place[1]: table.media for place, table in DESCRIBED.tables.items() if table.media}
    assert leading == {
        "queue": (("payload", "document"),),
        "messages": (
            ("media_url", "path"),
            ("media_name", "name"),
            ("media_hash", "hash"),
            ("media_enc_hash", "hash"),
        ),
    }


HEAD = """format = 1
[kinds]
jid = { mysql = "TEXT", postgres = "text", role = "jid" }
[someStore]
known = "confirmed"
"""
MEDIA = HEAD + '[someStore.tables.t]\ncolumns = ["a jid"]\nmedia = '


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("format = [", "is not TOML"),
        ("format = 2", "not of format 1"),
        (HEAD + '[someStore.tables.t]\ncolumns = ["a unknown"]', "cannot be read"),
        (HEAD + '[someStore.tables.t]\ncolumns = ["a jid maybe"]', "cannot be read"),
        (HEAD + '[someStore.tables.t]\ncolumns = ["a jid"]\nkey = ["b"]', "has no column b"),
        (
            HEAD + '[someStore.tables.t]\ncolumns = ["a jid"]\n'
            'vendor = { position = 2, engines = ["mysql"], where = ["a = jid"] }',
            "not numbered from 1",
        ),
        (
            HEAD + '[someStore.tables.t]\ncolumns = ["a jid"]\n'
            'vendor = { position = 1, engines = ["mysql"], where = ["a LIKE jid"] }',
            "is not '<column> = jid'",
        ),
        (MEDIA + "{ size = ['a'] }", "someStore.t: media has no 'size', but path, name, hash"),
        (MEDIA + "{ path = ['b'] }", "has no column b"),
        (MEDIA + "{ path = ['a'], hash = ['a'] }", "a leads to media in two ways"),
    ],
    ids=[
        *("no TOML", "format", "kind", "column", "key", "positions", "comparison"),
        *("media", "media column", "media twice"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    tmp_path: Path, text: str, says: str
) -> None:
    """Each contradiction is refused with the place."""
    path = tmp_path / "manifest.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=says):
        manifest.load(path)


def test_a_missing_manifest_is_one_sentence(tmp_path: Path) -> None:
    """A manifest that is not there is named."""
    with pytest.raises(ManifestError, match=r"absent\.toml cannot be read"):
        manifest.load(tmp_path / "absent.toml")
