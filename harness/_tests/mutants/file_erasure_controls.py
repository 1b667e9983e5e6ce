"""Controls of the phase of the files: what is asked before, done after, and recorded of it."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from unittest import mock

from harness import file_erasure
from harness._tests.file_makers import as_zip
from harness._tests.mutants.controls import Control
from harness._tests.mutants.file_bed import (
    BYTES,
    CLOSURE,
    LINE,
    NOBODYS,
    TEXT,
    file_control,
    masked,
    masking,
)
from harness._tests.mutants.format_controls import walked
from harness.errors import MaskError
from harness.file_erasure import FileErasure
from harness.identity import Closure, WaId
from harness.masks import Masks
from harness.model import (
    FilesObserved,
    FilesProven,
    MediaReferences,
    MediaRemoved,
    Moment,
    Record,
    Scrubbed,
)
from harness.population.people import person
from harness.surfaces import FileSet, proof, scrub_files, volume

_RUN: Final = "one"
_NOBODY: Final = Closure(WaId(person(8).number))


def file_erasure_controls() -> Iterator[Control]:
    """Yield the controls of the phase of the files."""
    for claim in _CLAIMS:
        yield file_control(claim)


def _erasure(
    folder: Path, *, masking: bool = True, media: bool = True
) -> tuple[FileErasure, list[Record]]:
    logs, volume = folder / "logs", folder / "media"
    for one, name in ((logs, "web.log"), (volume, "a.txt")):
        one.mkdir(exist_ok=True)
        (one / name).write_bytes(TEXT)
    records: list[Record] = []
    own = FileSet.of([logs], [volume] if media else [])
    return FileErasure(_RUN, own, records.append, masking), records


def _without_folders() -> tuple[FileErasure, list[Record]]:
    records: list[Record] = []
    return FileErasure(_RUN, FileSet(), records.append), records


def _without_folders_nothing_is_done(_: Path) -> None:
    """Where no folder is given nothing is looked at, and nothing is recorded."""
    ours, records = _without_folders()
    masks = Masks(CLOSURE)
    ours.begin(writes=True)
    assert ours.observe(Moment.BEFORE, CLOSURE).files == 0
    ours.require_maskable()
    ours.require_removable(MediaReferences())
    store_set: Any = None
    ours.remove_media(store_set, MediaReferences(), masks)
    assert ours.fits(CLOSURE, masks)
    ours.rehearse(CLOSURE, masks)
    ours.erase(CLOSURE, masks)
    assert records == []


def _folders_are_looked_at_as_they_are_used(folder: Path) -> None:
    """Folders must be writable where something is to be written to them, and only there."""
    for writes in (True, False):
        for masks in (True, False):
            ours, records = _erasure(folder, masking=masks)
            with (
                mock.patch.object(FileSet, "require_there") as there,
                mock.patch.object(volume, "look") as looked,
                mock.patch.object(file_erasure, "prove") as proved,
            ):
                proved.return_value = proof.FileProof(10, 51, 51, 0)
                ours.begin(writes=writes)
            there.assert_called_once_with(writable=writes and masks)
            ((volumes,), more) = looked.call_args
            assert [one.label for one in volumes] == ["media"]
            assert more == {"writable": writes}
            proved.assert_called_once_with(masking=writes and masks)
            assert records == [FilesProven(_RUN, 10, 51, 51, 0)]


def _what_is_seen_is_recorded_and_kept(folder: Path) -> None:
    """What a look saw is recorded, and asked of before anything is changed."""
    ours, records = _erasure(folder)
    with mock.patch.object(file_erasure, "require_maskable") as asked:
        ours.require_maskable()
        assert asked.call_count == 0
        seen = ours.observe(Moment.BEFORE, CLOSURE)
        ours.require_maskable()
        asked.assert_called_once_with(ours.file_set, seen)
    (observed,) = records
    assert isinstance(observed, FilesObserved)
    assert (observed.run, observed.moment, observed.files) == (_RUN, Moment.BEFORE, 2)
    assert observed.traces == tuple(seen.traces)
    assert observed.size_bytes == observed.content_bytes == 2 * len(TEXT)
    reporting, _ = _erasure(folder, masking=False)
    reporting.observe(Moment.BEFORE, CLOSURE)
    with mock.patch.object(file_erasure, "require_maskable") as asked:
        reporting.require_maskable()
        assert asked.call_count == 0


def _masks_are_drawn_until_they_fit(folder: Path) -> None:
    """Masks are drawn anew until they fit, four times at most; unseen files refuse none."""
    ours, _ = _erasure(folder)
    stands = Masks(CLOSURE)
    assert ours.fits(CLOSURE, stands)
    log = folder / "logs" / "web.log"
    search = masking()
    assert search.masks
    log.write_bytes(TEXT + masked(search, LINE % BYTES))
    ours.observe(Moment.BEFORE, CLOSURE)
    assert ours.fits(CLOSURE, stands)
    assert not ours.fits(CLOSURE, search.masks)
    drawn = [search.masks, search.masks, stands, search.masks]
    assert ours.fitting(lambda: drawn.pop(0), CLOSURE) is stands
    assert len(drawn) == 1
    drawn = [search.masks] * 5
    assert ours.fitting(lambda: drawn.pop(0), CLOSURE) is search.masks
    assert len(drawn) == 1
    reporting, _ = _erasure(folder, masking=False)
    log.write_bytes(TEXT + masked(search, LINE % BYTES))
    reporting.observe(Moment.BEFORE, CLOSURE)
    assert reporting.fits(CLOSURE, search.masks)


def _media_are_asked_of_where_there_are_volumes(folder: Path) -> None:
    """Media are looked at before, and removed and recorded after, where there are volumes."""
    for media in (True, False):
        ours, records = _erasure(folder, media=media)
        removed = MediaRemoved(_RUN, 1, 1, (), 0)
        store_set: Any = object()
        with (
            mock.patch.object(volume, "require_removable") as asked,
            mock.patch.object(file_erasure, "MediaRemoval") as removal,
        ):
            removal.return_value.carried_out.return_value = removed
            ours.require_removable(MediaReferences())
            ours.remove_media(store_set, MediaReferences(), Masks(CLOSURE), withheld=True)
        assert asked.call_count == removal.call_count == int(media)
        assert records == ([removed] if media else [])
        if media:
            assert removal.call_args.args[0] == _RUN
            assert removal.call_args.args[4] is True


def _kinds(records: list[Record]) -> list[str]:
    return [
        f"{one.moment}" if isinstance(one, FilesObserved) else type(one).__name__ for one in records
    ]


def _a_rehearsal_tells_what_would_be_left(folder: Path) -> None:
    """Media, and what could not be masked, would be left; without masking all would."""
    ours, records = _erasure(folder)
    ours.rehearse(CLOSURE, Masks(CLOSURE))
    assert _kinds(records) == ["before", "Scrubbed", "inside"]
    scrubbed, inside = records[1:]
    assert isinstance(scrubbed, Scrubbed)
    assert isinstance(inside, FilesObserved)
    assert (scrubbed.withheld, scrubbed.files, scrubbed.identifiers) == (True, 1, 1)
    assert [one.file for one in inside.traces] == ["media/a.txt"]
    assert (folder / "logs" / "web.log").read_bytes() == TEXT
    (folder / "logs" / "broken.gz").write_bytes(gzip.compress(TEXT) + b"behind")
    bundle = as_zip({"a.log": TEXT, "b.gz": b"\x1f\x8b\x08"})
    (folder / "logs" / "broken.zip").write_bytes(bundle)
    ours.observe(Moment.BEFORE, CLOSURE)
    records.clear()
    ours.rehearse(CLOSURE, Masks(CLOSURE))
    assert _kinds(records) == ["Scrubbed", "inside"]
    (_, inside) = records
    assert isinstance(inside, FilesObserved)
    assert [one.file for one in inside.traces] == [
        "logs/broken.gz",
        "logs/broken.zip > a.log",
        "media/a.txt",
    ]
    reporting, told = _erasure(folder, masking=False)
    reporting.rehearse(CLOSURE, Masks(CLOSURE))
    assert _kinds(told) == ["before", "Scrubbed", "inside"]
    assert isinstance(told[2], FilesObserved)
    assert len(told[2].traces) == 4
    assert isinstance(told[1], Scrubbed)
    assert (told[1].withheld, told[1].files) == (True, 0)


def _an_erasure_masks_until_nothing_is_left(folder: Path) -> None:
    """Logs are masked and looked at again, until nothing new is to be masked, four times at most."""
    log = folder / "logs" / "web.log"
    ours, records = _erasure(folder)
    search = masking()
    assert search.masks
    ours.erase(CLOSURE, search.masks)
    assert _kinds(records) == ["after", "Scrubbed", "after"]
    last = records[-1]
    assert isinstance(last, FilesObserved)
    assert [one.file for one in last.traces] == ["media/a.txt"]
    assert log.read_bytes() == masked(search, TEXT)
    # Written meanwhile, each time more.
    ours, records = _erasure(folder)
    ours.observe(Moment.BEFORE, CLOSURE)
    records.clear()
    original = ours.observe

    def growing(*args: Any) -> Any:
        with log.open("ab") as stream:
            stream.write(LINE % BYTES)
        return original(*args)

    with mock.patch.object(FileErasure, "observe", lambda _, *args: growing(*args)):
        ours.erase(CLOSURE, search.masks)
    assert _kinds(records) == ["Scrubbed", "after"] * file_erasure.ROUNDS
    # What cannot be masked is not tried again.
    ours, records = _erasure(folder)
    with mock.patch.object(Masks, "mask", side_effect=MaskError("not now")):
        ours.erase(CLOSURE, search.masks)
    assert _kinds(records) == ["after", "Scrubbed", "after"]
    assert isinstance(records[1], Scrubbed)
    assert [(one.file, one.why) for one in records[1].left] == [("logs/web.log", "not now")]
    # Only told, and looked at once more.
    ours, records = _erasure(folder, masking=False)
    ours.observe(Moment.BEFORE, CLOSURE)
    records.clear()
    ours.erase(CLOSURE, search.masks)
    assert _kinds(records) == ["Scrubbed", "after"]
    assert BYTES in log.read_bytes()


def _nothing_of_the_subject_is_nothing_to_mask(folder: Path) -> None:
    """Where the subject is nowhere the files are looked at all the same."""
    ours, records = _erasure(folder)
    ours.erase(_NOBODY, Masks(_NOBODY))
    assert _kinds(records) == ["after", "Scrubbed", "after"]
    assert (folder / "logs" / "web.log").read_bytes() == TEXT
    assert NOBODYS in TEXT


# --- the canary in files --------------------------------------------------------------------


def _a_proof_counts_every_place(_: Path) -> None:
    """A canary stands in every format, five times in a file, and once in a name; none is left."""
    for masks in (True, False):
        with mock.patch.object(proof, "scrub_files", wraps=scrub_files) as scrubs:
            found = proof.prove(masking=masks)
        assert (found.formats, found.planted, found.seen, found.left) == (10, 51, 51, 0)
        assert scrubs.call_count == int(masks)
    with mock.patch.object(proof, "scrub_files"):
        assert proof.prove(masking=True).left == 51


def _a_proof_has_every_format(_: Path) -> None:
    """What is called by a format is of that format, and one is blind without it."""
    number = person(9).number
    begin = {
        "plain": b"2026",
        "gzip": b"\x1f\x8b",
        "members": b"\x1f\x8b",
        "zstd": b"\x28\xb5\x2f\xfd",
        "bzip2": b"BZh",
        "xz": b"\xfd7zXZ",
        "zip": b"PK\x03\x04",
        "tar": b"log/web.log\0",
        "bundle": b"\x1f\x8b",
        "nested": b"PK\x03\x04",
    }
    made = dict(proof._formats())
    assert {name: make(number)[0][: len(begin[name])] for name, make in made.items()} == begin
    (plain, count) = made["plain"](number)
    assert count == 5
    for telling in (b"contact=", b'"wa_id":"', b"%2B", b"see "):
        assert telling + number.encode() in plain
    seen = {}
    for name in ("zip", "tar", "bundle", "nested"):
        ((where, text),) = walked(made[name](number)[0]).contents
        assert text == plain
        seen[name] = where
    assert seen == {
        "zip": " > web.log",
        "tar": " > log/web.log",
        "bundle": " > log/web.log",
        "nested": " > web.log > log/web.log",
    }
    # Packed once more where they lie in one another.
    assert b"\x1f\x8b\x08" in made["tar"](number)[0]
    for name in ("zip", "nested"):
        with zipfile.ZipFile(io.BytesIO(made[name](number)[0])) as archive:
            assert archive.read("web.log").startswith(b"\x1f\x8b")


_CLAIMS: Final = (
    _without_folders_nothing_is_done,
    _folders_are_looked_at_as_they_are_used,
    _what_is_seen_is_recorded_and_kept,
    _masks_are_drawn_until_they_fit,
    _media_are_asked_of_where_there_are_volumes,
    _a_rehearsal_tells_what_would_be_left,
    _an_erasure_masks_until_nothing_is_left,
    _nothing_of_the_subject_is_nothing_to_mask,
    _a_proof_counts_every_place,
    _a_proof_has_every_format,
)
