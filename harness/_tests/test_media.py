"""Media on real stores: what only the subject's rows lead to goes, what others lead to stays."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from harness import canary
from harness._tests.test_plan import CLOSURE, KEY, SUBJECT, everything, parties
from harness._tests.test_volume import as_ordinary_user, volume
from harness.erasure import ProvenErasure
from harness.errors import ConflictError, StoreError, SurfaceError
from harness.identity import Closure, Representation
from harness.journal import Header, Held, Journal
from harness.keys import SiteKey
from harness.manifest import Manifest
from harness.masks import Masks
from harness.model import (
    FileGap,
    MediaReference,
    MediaReferences,
    MediaRemoved,
    Record,
    RolledBack,
    SeedRow,
    TableSchema,
)
from harness.plan import Party, inspect, watch
from harness.population.cases import showcase
from harness.population.people import person
from harness.population.rows import media_of, rows_of
from harness.stores import StoreSet
from harness.stores.protocol import Consumer
from harness.stores.sweep import Search
from harness.surfaces import media
from harness.surfaces.media import MediaRemoval
from harness.surfaces.volume import Volume, require_removable

__all__ = ["volume"]

ADA = person(1)
STORE = "messageStore"
MINE, HERS, THIRD = (f"0b1c2d3e-0000-4000-8000-00000000000{n}" for n in "abc")
PICTURE, OTHER = b"a picture", b"another picture"


def digest(content: bytes = PICTURE) -> str:
    """Return the digest of a content as the client would keep it."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


@dataclass(slots=True)
class Bed:
    """A store set, a volume of media beside it, and what was erased from them."""

    store_set: StoreSet
    described: Manifest
    folder: Path
    records: list[Record] = field(default_factory=list)
    references: MediaReferences = field(default_factory=MediaReferences)
    masks: Masks = field(default_factory=lambda: Masks(CLOSURE))
    _messages: int = 0

    @property
    def volumes(self) -> list[Volume]:
        """The volume."""
        return [Volume("media", self.folder)]

    def file(self, name: str, content: bytes = PICTURE, folder: str = "shared") -> Path:
        """Put a file into the volume."""
        path = self.folder / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def message(self, chat: str = SUBJECT.jid, **cells: str | bytes) -> None:
        """Put a message into the stores."""
        self._messages += 1
        key = {"key_remote_jid": chat, "key_id": f"M{self._messages}"}
        self.store_set.insert([SeedRow(STORE, "messages", {"key_from_me": 0, **key, **cells})])

    def callback(self, payload: str, chat: str = ADA.jid) -> None:
        """Put a callback into the stores, somebody else's if nothing is said."""
        cells = {"key_remote_jid": chat, "payload": payload}
        self.store_set.insert([SeedRow("callbackStore", "queue", dict(cells))])

    def erase(self, settled: Callable[[MediaReferences], object] = bool) -> bool:
        """Erase the subject's rows; `settled` hears the references just before the commit."""

        def settle(commit: Callable[[], None], _: object, references: MediaReferences) -> None:
            self.references |= references
            settled(references)
            commit()

        saw = lambda *_: None  # noqa: E731  # nobody listens
        proven = (self.store_set, self.described, KEY, self.records.append, saw, settle)
        search = Search(self.described, CLOSURE, KEY, self.masks)
        return ProvenErasure("run", *proven).committed(1, Party(search, self.masks))

    def removal(self, *, withheld: bool = False) -> MediaRemoval:
        """Return what removes files."""
        masked = partial(self.masks.mask, representation=Representation.FILE_NAME)
        return MediaRemoval("run", self.volumes, self.store_set, masked, withheld)

    def removed(self) -> MediaRemoved:
        """Erase the rows and then the files."""
        assert self.erase()
        return self.removal().carried_out(self.references)


@pytest.fixture
def bed(store_set: StoreSet, described: Manifest, tmp_path: Path) -> Bed:
    """Return empty stores, and a volume with a file of somebody else's to which no row leads."""
    made = Bed(store_set, described, tmp_path / "wamedia")
    made.file("nobodys.jpg", b"nobody's")
    return made


def there(bed: Bed) -> set[str]:
    """Return the names of all files."""
    return {path.name for path in bed.folder.rglob("*") if not path.is_dir()}


# --- what goes ------------------------------------------------------------------------------

LEADS = {
    "path": {"media_url": f"/usr/local/wamedia/shared/{MINE}"},
    "URL": {"media_url": f"https://example.org/v/{MINE}?oh=1"},
    "name": {"media_name": MINE},
    "hash": {"media_hash": digest()},
    "hash of the encrypted": {"media_enc_hash": digest()},
    "hexadecimal": {"media_hash": hashlib.sha256(PICTURE).hexdigest()},
}


@pytest.mark.parametrize("cells", LEADS.values(), ids=LEADS)
def test_each_way_leads_to_the_file(bed: Bed, cells: dict[str, str]) -> None:
    """By path, by name and by hash the subject's row leads to its file, and to no other."""
    bed.file(MINE)
    bed.file(HERS, OTHER)
    bed.message(**cells)
    bed.message(ADA.jid, media_url=HERS)
    assert bed.removed() == MediaRemoved("run", 1, 1, (), 0)
    assert there(bed) == {"nobodys.jpg", HERS}


def test_a_notification_leads_to_the_file(bed: Bed) -> None:
    """Where messages are not kept, a callback about the subject's media is all that leads to it."""
    bed.file(MINE)
    bed.file(HERS, OTHER)
    for who, name in ((SUBJECT, MINE), (ADA, HERS)):
        payload = {"messages": [{"from": who.number, "image": {"file": f"shared/{name}"}}]}
        bed.callback(json.dumps(payload), who.jid)
    assert bed.removed() == MediaRemoved("run", 1, 1, (), 0)
    assert there(bed) == {"nobodys.jpg", HERS}


def test_nothing_goes_with_rows_that_lead_nowhere(bed: Bed) -> None:
    """Where no row of the subject's leads to media, every file stays."""
    bed.file(MINE)
    bed.message(data="no picture")
    bed.message(ADA.jid, media_url=MINE)
    assert bed.removed() == MediaRemoved("run", 0, 0, (), 0)
    assert there(bed) == {"nobodys.jpg", MINE}


def test_a_file_counts_once(bed: Bed) -> None:
    """A file to which several rows lead, in several ways, is one file; so is one that is absent."""
    bed.file(MINE)
    bed.message(media_url=f"shared/{MINE}", media_name="holiday.jpg")
    bed.message(media_name=MINE, media_hash=digest())
    bed.message(media_url=HERS)
    bed.message(media_url=HERS, media_hash=digest(OTHER))
    assert bed.removed() == MediaRemoved("run", 2, 1, (), 1)
    assert there(bed) == {"nobodys.jpg"}


def test_every_copy_of_a_content_goes(bed: Bed) -> None:
    """By its hash a file is found under any name, in any folder, and empty files are not."""
    bed.file("copy", folder="sent/2026")
    bed.file(MINE)
    bed.file("empty", b"")
    bed.message(media_hash=digest())
    bed.message(media_hash=digest(b""))
    assert bed.removed() == MediaRemoved("run", 3, 2, (), 1)
    assert there(bed) == {"nobodys.jpg", "empty"}


@pytest.mark.parametrize("cell", ["../outside/secret.txt", "{outside}", "shared/../../outside"])
def test_a_path_never_leads_out_of_the_volume(bed: Bed, cell: str) -> None:
    """A path with .. or from the root leads to a file of that name inside, and to none outside."""
    outside = bed.folder.parent / "outside" / "secret.txt"
    outside.parent.mkdir()
    outside.write_text("somebody else's")
    bed.message(media_url=cell.format(outside=outside))
    assert bed.removed() == MediaRemoved("run", 1, 0, (), 1)
    assert outside.exists()
    bed.file("secret.txt")
    assert bed.removal().carried_out(bed.references).removed == ("secret" in cell or "{" in cell)
    assert outside.exists()


def test_a_link_is_named_and_what_it_leads_to_stays(bed: Bed, tmp_path: Path) -> None:
    """A link of the file's name, and a folder that is a link, are not followed; the link is named."""
    outside = tmp_path / "outside" / MINE
    outside.parent.mkdir()
    outside.write_bytes(PICTURE)
    (bed.folder / "folder").symlink_to(outside.parent)
    (bed.folder / MINE).symlink_to(outside)
    bed.message(media_url=MINE, media_hash=digest())
    removed = bed.removed()
    assert (removed.removed, [gap.file for gap in removed.left]) == (0, [f"media/{MINE}"])
    assert outside.read_bytes() == PICTURE


def test_of_a_whole_population_only_the_subjects_files_go(bed: Bed) -> None:
    """Among everybody's media those of the subject's messages go, and nobody else's."""
    world = showcase(SUBJECT)
    bed.store_set.insert(rows_of(world))
    files = {path: event.peer for event, path, _ in media_of(world)}
    for _, path, content in media_of(world):
        bed.file(Path(path).name, content)
    removed = bed.removed()
    mine = {Path(path).name for path, peer in files.items() if peer == SUBJECT}
    hers = {Path(path).name for path in files} - mine
    assert removed.removed == len(mine) > 0
    assert (removed.shared, removed.left) == ((), ())
    assert there(bed) == {"nobodys.jpg", *hers} > {"nobodys.jpg"}


# --- what stays -----------------------------------------------------------------------------


def _others() -> Iterator[tuple[str, Callable[[Bed], None]]]:
    yield "path", lambda bed: bed.message(ADA.jid, media_url=f"/usr/local/wamedia/{MINE}")
    yield "name", lambda bed: bed.message(ADA.jid, media_name=f"{MINE}.jpg")
    yield "hash", lambda bed: bed.message(ADA.jid, media_hash=digest())
    yield "text", lambda bed: bed.message(ADA.jid, data=f"look at {MINE.upper()}, please")
    yield "blob", lambda bed: bed.message(ADA.jid, raw_data=b"\x8a" + MINE.encode() + b"\xff")
    hexadecimal = hashlib.sha256(PICTURE).hexdigest()
    yield "document", lambda bed: bed.callback(json.dumps({"sha256": hexadecimal}))
    escaped = json.dumps({"sha256": digest()}).replace("/", "\\/")
    yield "escaped", lambda bed: bed.callback(escaped)


OTHERS = dict(_others())


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_what_others_lead_to_stays_and_is_named(bed: Bed, other: Callable[[Bed], None]) -> None:
    """A file stays, by name, if a row of anybody else's mentions its name or hash, in any table."""
    bed.file(MINE)
    bed.file(HERS, OTHER)
    bed.message(media_url=f"shared/{MINE}")
    bed.message(media_url=f"shared/{HERS}")
    other(bed)
    assert bed.removed() == MediaRemoved("run", 2, 1, (f"media/shared/{MINE}",), 0)
    assert there(bed) == {"nobodys.jpg", MINE}


@pytest.mark.parametrize("where", ["media_name", "payload"])
def test_a_name_that_was_masked_stays(bed: Bed, where: str) -> None:
    """A file whose name has the subject's number stays if a row led to it that is masked now."""
    name = f"IMG-{SUBJECT.number}.jpg"
    bed.file(name)
    bed.message(media_name=name)
    if where == "payload":
        bed.callback(json.dumps({"filename": name}))
    else:
        bed.message(ADA.jid, media_name=name)
    assert bed.removed() == MediaRemoved("run", 1, 0, (f"media/shared/{name}",), 0)
    assert SUBJECT.number not in repr(everything(bed.store_set))


def test_a_name_that_only_the_subject_had_goes(bed: Bed) -> None:
    """With the number in its name a file goes like any other if nobody else's row led to it."""
    name = f"IMG-{SUBJECT.number}.jpg"
    bed.file(name)
    bed.message(media_name=name)
    bed.message(ADA.jid, media_name=f"IMG-{ADA.number}.jpg", data=f"call {SUBJECT.phone}")
    assert bed.removed() == MediaRemoved("run", 1, 1, (), 0)


def test_rows_that_only_mention_the_subject_lead_to_others_media(bed: Bed) -> None:
    """A bystander's row that mentions the subject is masked, and its file stays without a word."""
    bed.file(HERS)
    bed.message(ADA.jid, media_url=HERS, data=f"call {SUBJECT.phone}")
    assert bed.removed() == MediaRemoved("run", 0, 0, (), 0)
    assert HERS in there(bed)


def test_a_routine_leads_to_the_same(bed: Bed) -> None:
    """What is watched before a stored routine is called leads to the files that the plan leads to."""
    bed.message(media_url=MINE, media_hash=digest())
    bed.message(ADA.jid, media_url=HERS, data=f"call {SUBJECT.phone}")
    bed.message(ADA.jid, media_url=THIRD)
    subject, _ = parties(bed.described)
    nobody = Closure(canary.draw())
    search = Search(bed.described, nobody, KEY)
    with bed.store_set.snapshot():
        watched = watch(bed.store_set, subject.search, Party(search, Masks(nobody))).media
        planned = inspect(bed.store_set, subject, Party(search, Masks(nobody))).media
    mine = MediaReference(frozenset({MINE}), frozenset({hashlib.sha256(PICTURE).digest()}))
    assert planned.gone == {mine}
    assert planned.kept == {MediaReference(frozenset({HERS}))}
    assert watched == planned


def test_nothing_goes_if_a_table_cannot_be_searched(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody knows who else leads to a file, every file stays and is named; then all goes."""
    bed.file(MINE)
    bed.message(media_url=MINE)
    assert bed.erase()
    real = type(bed.store_set).scan

    def scan(self: StoreSet, table: TableSchema, consume: Consumer) -> int:
        if table.name == "jobs":
            raise refusal
        return real(self, table, consume)

    monkeypatch.setattr(type(bed.store_set), "scan", scan)
    refusal: StoreError = StoreError("no rights")
    removed = bed.removal().carried_out(bed.references)
    assert (removed.referred, removed.removed, removed.shared) == (1, 0, ())
    assert [gap.file for gap in removed.left] == [f"media/shared/{MINE}"]
    refusal = ConflictError("somebody came between")
    with pytest.raises(ConflictError):
        bed.removal().carried_out(bed.references)
    assert MINE in there(bed)
    monkeypatch.undo()
    assert bed.removal().carried_out(bed.references).removed == 1


# --- before anything is deleted -------------------------------------------------------------


def test_a_volume_that_is_missing_is_known_before_anything_is_deleted(bed: Bed) -> None:
    """Asked before the commit, a volume that is not there ends the erasure with every row in place."""
    bed.message(media_url=MINE)
    before = everything(bed.store_set)
    missing = [Volume("media", bed.folder / "absent")]
    with pytest.raises(SurfaceError, match="not there"):
        bed.erase(lambda references: require_removable(missing, references))
    assert everything(bed.store_set) == before
    assert bed.erase(lambda references: require_removable(bed.volumes, references))
    assert everything(bed.store_set) != before
    assert not [one for one in bed.records if isinstance(one, RolledBack)]


def test_a_rehearsal_removes_nothing(bed: Bed) -> None:
    """Inside the transaction it is told what would go, and shared is what others lead to only."""
    bed.file(MINE)
    bed.file(HERS, OTHER)
    bed.message(media_url=MINE)
    bed.message(media_url=HERS)
    bed.message(ADA.jid, media_url=HERS)
    told: list[MediaRemoved] = []
    would = bed.removal(withheld=True)

    def settle(references: MediaReferences) -> None:
        told.append(would.carried_out(references))
        raise StoreError("a rehearsal")

    with pytest.raises(StoreError):
        bed.erase(settle)
    assert told == [MediaRemoved("run", 2, 1, (f"media/shared/{HERS}",), 0, withheld=True)]
    assert there(bed) == {"nobodys.jpg", MINE, HERS}
    assert bed.removed() == MediaRemoved("run", 2, 1, (f"media/shared/{HERS}",), 0)


# --- removal is verified --------------------------------------------------------------------


def one_gap(removed: MediaRemoved) -> str:
    """Return why the only file of the subject's was left."""
    (gap,) = removed.left
    assert gap.file == f"media/shared/{MINE}"
    assert (removed.referred, removed.removed, removed.shared) == (1, 0, ())
    return gap.why


def test_a_file_that_cannot_be_removed_is_left(bed: Bed, volume: Volume) -> None:
    """Where the folder is made read-only meanwhile the file is named as left, and goes later."""
    bed.folder = volume.folder
    bed.file(MINE)
    bed.message(media_url=MINE)
    assert bed.erase()
    (bed.folder / "shared").chmod(0o555)
    with as_ordinary_user():
        assert "could not be removed (Permission denied)" in one_gap(
            bed.removal().carried_out(bed.references)
        )
    (bed.folder / "shared").chmod(0o755)
    assert bed.removal().carried_out(bed.references).removed == 1


@pytest.mark.parametrize("name", [MINE, "copy"])
def test_a_file_that_comes_back_is_left(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Looked for again by name and by content, a file that came back is named as left."""
    bed.file(MINE)
    bed.message(media_url=MINE, media_hash=digest())
    monkeypatch.setattr(media, "_sync", lambda *_: bed.file(name, PICTURE))
    removed = bed.removed()
    assert [gap.file for gap in removed.left] == [f"media/shared/{name}"]
    monkeypatch.undo()
    assert bed.removal().carried_out(bed.references) == MediaRemoved("run", 1, 1, (), 0)


def test_a_file_that_changed_places_is_left(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file that took the name meanwhile is not removed in its place."""
    bed.file(MINE)
    bed.message(media_url=MINE)
    real = media.shared_files

    def swapped(*asked: object) -> object:
        found = real(*asked)  # type: ignore[arg-type]
        bed.file("new", OTHER).replace(bed.folder / "shared" / MINE)
        return found

    monkeypatch.setattr(media, "shared_files", swapped)
    assert "another file has taken its name" in one_gap(bed.removed())
    assert (bed.folder / "shared" / MINE).read_bytes() == OTHER


def test_what_cannot_be_looked_for_again_is_said(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the second look fails the removal is not taken for verified."""
    bed.file(MINE)
    bed.message(media_url=MINE)
    monkeypatch.setattr(media, "_sync", lambda *_: bed.folder.rename(bed.folder.parent / "gone"))
    removed = bed.removed()
    assert [gap.file for gap in removed.left] == ["media volumes"]


def test_a_hard_link_elsewhere_is_said(bed: Bed, tmp_path: Path) -> None:
    """A removed file whose content has another name outside is named; with both inside, neither."""
    os.link(bed.file(MINE), tmp_path / "backup")
    os.link(bed.file(HERS, OTHER), bed.folder / f"{HERS}.jpg")
    bed.message(media_url=MINE)
    bed.message(media_url=HERS)
    removed = bed.removed()
    assert removed.removed == 3
    why = "its content has another name (a hard link), and stays there: find it and decide"
    assert removed.left == (FileGap(f"media/shared/{MINE}", why, lasting=True),)
    assert there(bed) == {"nobodys.jpg"}


# --- after a kill ---------------------------------------------------------------------------


def test_a_kill_between_commit_and_removal_is_finished(bed: Bed, tmp_path: Path) -> None:
    """What was sealed before the commit leads another process to the files, and again harmlessly."""
    name = f"IMG-{SUBJECT.number}.jpg"
    bed.file(name)
    bed.file(HERS, OTHER)
    bed.message(media_name=name, media_hash=digest())
    bed.message(media_url=HERS)
    bed.message(ADA.jid, media_url=HERS, data=f"call {SUBJECT.phone}")
    folder = tmp_path / "session"
    folder.mkdir()
    key = SiteKey(bytes(range(32)))
    journal = Journal(folder, key)
    journal.open(Header("session", "live", "mysql", "own_", "hardened"))
    held = Held(CLOSURE)
    assert bed.erase(lambda references: journal.keep("run", held.with_media(references)))
    sealed = b"".join(path.read_bytes() for path in folder.iterdir())
    assert all(text.encode() not in sealed for text in (name, HERS, digest()))
    recovered = Journal(folder, key).held("run").media
    assert recovered == bed.references
    shared = (f"media/shared/{HERS}",)
    removal = bed.removal()
    assert removal.carried_out(recovered) == MediaRemoved("run", 2, 1, shared, 0)
    assert removal.carried_out(recovered) == MediaRemoved("run", 2, 0, shared, 1)
    assert there(bed) == {"nobodys.jpg", HERS}
