"""An operator's treatments: what a file may say, and that erasure does as it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.canary import draw, rows
from harness.erasure import ProvenErasure
from harness.errors import ConfigError
from harness.identity import Closure, WaId
from harness.manifest import Manifest
from harness.masks import Masks
from harness.model import Erased, Record, SeedRow, Treatment
from harness.plan import Party
from harness.population.people import person
from harness.preflight import Purpose, look
from harness.stores import StoreSet
from harness.stores.drift import compare
from harness.stores.sweep import Search
from harness.treatments import Override, apply, read

KEY = b"k" * 32
SUBJECT = person(0)
STORE = "messageStore"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A file of treatments: two columns of an unknown table, one unknown, one known."""
    path = tmp_path / "treatments.toml"
    path.write_text(
        '[messageStore.visits]\nwho = "delete"\nnote = "mask"\n'
        '[messageStore.chats]\npeer_jid = "mask"\n[contactStore.wa_contacts]\nnumber = "mask"\n',
        encoding="utf-8",
    )
    return path


def test_a_file_is_read(written: Path) -> None:
    """Each line of the file is one column's treatment."""
    assert read(written) == (
        Override(STORE, "visits", "who", Treatment.DELETE),
        Override(STORE, "visits", "note", Treatment.MASK),
        Override(STORE, "chats", "peer_jid", Treatment.MASK),
        Override("contactStore", "wa_contacts", "number", Treatment.MASK),
    )


SECRET = "4915550001111"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f'[messageStore.visits]\nwho = "{SECRET}"', "none"),
        (f"[messageStore.visits]\nwho = {SECRET}", "none"),
        ('[messageStore.visits]\nwho = ["delete"]', "none"),
        ('[messageStore.visits]\nwho = "keep"', '"keep"'),
        (f'[messageStore]\nvisits = "{SECRET}"', "outside a"),
        (f'who = "{SECRET}"', "outside a"),
        (f"who: {SECRET}", "not TOML"),
        ("", "no treatment"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_what_is_no_treatment_is_refused(tmp_path: Path, content: str | bytes, says: str) -> None:
    """A file that says anything else is refused in one sentence that quotes nothing of it."""
    path = tmp_path / "treatments.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=says) as refused:
        read(path)
    assert SECRET not in str(refused.value)
    assert "who" not in str(refused.value)


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    """A file that is not there is refused with the way out."""
    with pytest.raises(ConfigError, match="give a readable file"):
        read(tmp_path / "nothing.toml")


def test_an_unknown_store_is_refused(described: Manifest) -> None:
    """A treatment for a store that is none of the set's is refused, and the stores are named."""
    with pytest.raises(ConfigError, match="contactStore"):
        apply(described, (Override("mailStore", "a", "b", Treatment.MASK),))


def test_nothing_else_changes(described: Manifest, written: Path) -> None:
    """Only the columns that the file names differ from the manifest, and keep their kinds."""
    applied = apply(described, read(written))
    table = applied.tables["contactStore", "wa_contacts"]
    old = described.tables["contactStore", "wa_contacts"]
    assert table.column("number").treatment is Treatment.MASK
    assert table.column("number").kind == old.column("number").kind
    assert applied.tables[STORE, "chats"].columns[:-1] == described.tables[STORE, "chats"].columns
    changed = {(STORE, "visits"), (STORE, "chats"), ("contactStore", "wa_contacts")}
    assert {p for p, t in applied.tables.items() if t != described.table(*p)} == changed


# --- on real servers -------------------------------------------------------------------------


@pytest.fixture
def drifted(store_set: StoreSet) -> Iterator[StoreSet]:
    """A set with a table and a column that the manifest lacks."""
    store_set.execute(STORE, "CREATE TABLE visits (who VARCHAR(80), note VARCHAR(80))")
    store_set.execute(STORE, "ALTER TABLE chats ADD COLUMN peer_jid VARCHAR(80)")
    try:
        yield store_set
    finally:
        store_set.execute(STORE, "DROP TABLE visits")
        store_set.execute(STORE, "ALTER TABLE chats DROP COLUMN peer_jid")


def erase(store_set: StoreSet, manifest: Manifest) -> None:
    """Erase the subject with proof."""
    records: list[Record] = []
    closure = Closure(WaId(SUBJECT.number))
    masks = Masks(closure)
    erasure = ProvenErasure("testrun", store_set, manifest, KEY, records.append, lambda *_: None)
    erasure.committed(1, Party(Search(manifest, closure, KEY, masks), masks))
    assert [one for one in records if isinstance(one, Erased)]


def chat(peer_jid: str) -> SeedRow:
    """Return somebody else's chat whose undeclared column holds a JID."""
    values: dict[str, int | float | str | bytes | None]
    values = {"_id": 1, "key_remote_jid": person(1).jid, "peer_jid": peer_jid}
    return SeedRow(STORE, "chats", values)


def test_declared_drift_is_none(drifted: StoreSet, described: Manifest, written: Path) -> None:
    """What the file declares is reported as drift no more, and the preflight is ready."""
    assert not look(drifted, described, Purpose.ERASE).ready
    applied = apply(described, read(written))
    assert list(compare(drifted, applied)) == []
    assert look(drifted, applied, Purpose.ERASE).ready


def test_an_operators_mask_is_followed(
    drifted: StoreSet, described: Manifest, written: Path
) -> None:
    """A row whose undeclared column is the subject's goes by default, and stays masked if so declared."""
    drifted.insert([chat(SUBJECT.jid)])
    erase(drifted, apply(described, read(written)))
    ((left,),) = drifted.query(STORE, "SELECT peer_jid FROM chats")
    assert left.startswith("0")
    assert len(left) == len(SUBJECT.jid)
    drifted.execute(STORE, "DELETE FROM chats")
    drifted.insert([chat(SUBJECT.jid)])
    erase(drifted, described)
    assert drifted.query(STORE, "SELECT peer_jid FROM chats") == []


def test_an_operators_table_is_treated(
    drifted: StoreSet, described: Manifest, written: Path
) -> None:
    """In a declared table the column to delete by takes its rows, the one to mask keeps them."""
    drifted.insert(
        [
            SeedRow(STORE, "visits", {"who": SUBJECT.number, "note": "x"}),
            SeedRow(STORE, "visits", {"who": "somebody", "note": SUBJECT.number}),
            SeedRow(STORE, "visits", {"who": "somebody", "note": "x"}),
        ]
    )
    erase(drifted, apply(described, read(written)))
    left = drifted.query(STORE, "SELECT who, note FROM visits")
    assert {who for who, _ in left} == {"somebody"}
    assert len(left) == 2
    assert not any(SUBJECT.number in note for _, note in left)


def test_a_number_may_be_masked(store_set: StoreSet, described: Manifest) -> None:
    """Where an operator wants a numeric column masked, the canary proves that as well."""
    override = Override("axolotlStore", "identities", "recipient_id", Treatment.MASK)
    manifest = apply(described, (override,))
    seeded = rows(manifest, store_set.tables(), draw(), ())
    (canary,) = (row for row in seeded if row.table == "identities")
    assert "recipient_id" in canary.planted
    values: dict[str, int | float | str | bytes | None] = {"recipient_id": int(SUBJECT.number)}
    store_set.insert([SeedRow("axolotlStore", "identities", values)])
    erase(store_set, manifest)
    ((left,),) = store_set.query("axolotlStore", "SELECT recipient_id FROM identities")
    assert left not in {int(SUBJECT.number), None}
