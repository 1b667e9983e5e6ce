"""Controls of how a search knows files again: by what they were when they were opened."""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from unittest import mock

from harness._tests.mutants.controls import Control
from harness._tests.mutants.file_bed import (
    BYTES,
    LINE,
    NOBODYS,
    SEEING,
    TEXT,
    file_control,
    files,
    place,
    swept,
)
from harness.surfaces import look as looks
from harness.surfaces import sweep as sweeps
from harness.surfaces import sweep_files
from harness.surfaces.fileset import Found
from harness.surfaces.look import FileSeen


def listing_controls() -> Iterator[Control]:
    """Yield the controls of what is listed, and known again."""
    for claim in _CLAIMS:
        yield file_control(claim)


def _round(sweep: sweeps._Sweep) -> list[str]:
    """Read what is new; return its names."""
    new = list(sweep.listed())
    sweep.read(new)
    return [one.place.path for one in new]


def _a_file_that_was_read_is_known(folder: Path) -> None:
    """A log that grew is not read again; one that is another by now, or packed, is."""
    log = folder / "web.log"
    log.write_bytes(TEXT)
    sweep = sweeps._Sweep(files(folder), SEEING)
    assert _round(sweep) == ["web.log"]
    shut = mock.Mock(side_effect=AssertionError)
    with mock.patch.object(sweeps, "is_packed_file", shut):
        assert _round(sweep) == []
    with log.open("ab") as stream:
        stream.write(NOBODYS)
    assert _round(sweep) == []
    refused = mock.Mock(side_effect=OSError(errno.EIO, "refused"))
    with mock.patch.object(sweeps, "is_packed_file", refused):
        assert _round(sweep) == []
    log.write_bytes(NOBODYS)
    assert _round(sweep) == ["web.log"]
    # An archive that is new has the inode of a log that is gone.
    log.write_bytes(gzip.compress(os.urandom(1 << 16)))
    assert _round(sweep) == ["web.log"]
    assert _round(sweep) == []
    assert sweep.sighting().files == 1
    assert not sweep._knows(Found(place("web.log"), None))


def _an_archive_that_was_read_is_known(folder: Path) -> None:
    """An archive with another size or time is another one, also where it is none any more."""
    archive = folder / "web.gz"
    archive.write_bytes(gzip.compress(NOBODYS))
    sweep = sweeps._Sweep(files(folder), SEEING)
    assert _round(sweep) == ["web.gz"]
    assert _round(sweep) == []
    os.utime(archive, ns=(1, 1))
    assert _round(sweep) == ["web.gz"]
    archive.write_bytes(40 * TEXT)
    assert _round(sweep) == ["web.gz"]
    assert [one.hits for one in sweep.sighting().traces] == [40]


def _what_could_not_be_opened_is_not_tried_again(folder: Path) -> None:
    """A file that is shut is told once, and counts; when it is another one it is tried again."""
    log = folder / "web.log"
    log.write_bytes(TEXT)
    sweep = sweeps._Sweep(files(folder), SEEING)
    refused = mock.Mock(side_effect=OSError(errno.EACCES, "refused"))
    with mock.patch.object(looks, "open_file", refused):
        assert _round(sweep) == ["web.log"]
        assert _round(sweep) == []
        with log.open("ab") as stream:
            stream.write(NOBODYS)
        assert _round(sweep) == ["web.log"]
    sighting = sweep.sighting()
    assert (sighting.files, len(sighting.gaps), sighting.traces) == (1, 1, [])
    # What was opened is known by what it was, and not by how it was listed.
    found = next(files(folder).walk())
    seen = FileSeen(found.place, opened=(5, 3, 1), gaps=[("", "damaged")])
    assert sweep._opened(seen, found) == 5
    assert sweep._opened(FileSeen(found.place), found) == found.key
    assert sweep._opened(FileSeen(found.place, gaps=[("", "why")]), replace(found, status=None)) < 0


def _a_name_that_changed_hands_is_of_no_file(folder: Path) -> None:
    """Where another file was read than was listed, both are found, and what was listed is not told."""
    log = folder / "web.log"
    log.write_bytes(NOBODYS)
    original = sweeps._Sweep.read

    def read(self: Any, new: Any) -> Any:
        if log.exists() and log.read_bytes() == NOBODYS:
            log.rename(folder / "web.log.1")
            log.write_bytes(LINE % BYTES)
        return original(self, new)

    with mock.patch.object(sweeps._Sweep, "read", read):
        seen = swept(folder)
    assert seen.files == 2
    assert [(one.place.path, one.status) for one in seen.marked] == [("web.log", None)]


def _a_log_is_one_by_any_of_its_names(folder: Path) -> None:
    """A log with another name among media is a log, whichever name was read first."""
    logs, media = folder / "logs", folder / "media"
    logs.mkdir()
    media.mkdir()
    (logs / "web.log").write_bytes(TEXT)
    (media / "a.txt").hardlink_to(logs / "web.log")
    own = files(logs, media)
    for backwards in (False, True):
        sweep = sweeps._Sweep(own, SEEING)
        new = list(sweep.listed())
        for one in reversed(new) if backwards else new:
            sweep.read([one])
        seen = sweep.sighting()
        assert [(one.file, one.kept) for one in seen.traces] == [("logs/web.log", False)]
        assert [one.place.root for one in seen.marked] == [0]
    (logs / "web.log").unlink()
    assert [(one.file, one.kept) for one in sweep_files(own, SEEING).traces] == [
        ("media/a.txt", True)
    ]


def _a_link_into_what_may_not_be_looked_at_is_told(folder: Path) -> None:
    """Where nobody can tell whether there is something behind a link out, there may be."""
    (folder / "in").mkdir()
    (folder / "in" / "out").symlink_to(folder / "shut" / "web.log")
    assert swept(folder / "in").gaps == []
    refused = mock.Mock(side_effect=PermissionError(errno.EACCES, "refused"))
    with mock.patch.object(Path, "exists", refused):
        (gap,) = swept(folder / "in").gaps
    assert "link out of the folder" in gap.why


def _what_lies_too_deep_is_told(folder: Path) -> None:
    """A hundred folders may lie in one another, and of one more it is told."""
    deepest = folder.joinpath(*["d"] * 100)
    (deepest / "d").mkdir(parents=True)
    (deepest / "web.log").write_bytes(TEXT)
    (deepest / "d" / "web.log").write_bytes(TEXT)
    seen = swept(folder)
    assert [one.hits for one in seen.traces] == [1]
    ((file, why),) = ((gap.file, gap.why) for gap in seen.gaps)
    assert file == f"{folder.name}{'/d' * 101}"
    assert "more than 100 folders deep" in why


def _a_folder_that_may_not_be_listed_is_not_empty(folder: Path) -> None:
    """Whoever may not look into a folder is told that, and not that nothing is in it."""
    (folder / "web.log").write_bytes(TEXT)
    refused = mock.Mock(side_effect=PermissionError(errno.EACCES, "refused"))
    with mock.patch.object(Path, "iterdir", refused):
        files(folder).require_there(writable=True)


def _one_strange_file_does_not_end_a_search(folder: Path) -> None:
    """What nobody foresaw is told of the file, and the others are searched."""
    (folder / "a.gz").write_bytes(gzip.compress(TEXT))
    (folder / "b.log").write_bytes(TEXT)
    with mock.patch.object(looks, "Walk", side_effect=ZeroDivisionError):
        seen = swept(folder)
    assert [one.hits for one in seen.traces] == [1]
    ((file, why),) = ((gap.file, gap.why) for gap in seen.gaps)
    assert file.endswith("/a.gz")
    assert "ended with ZeroDivisionError" in why


_CLAIMS: Final = (
    _a_file_that_was_read_is_known,
    _an_archive_that_was_read_is_known,
    _what_could_not_be_opened_is_not_tried_again,
    _a_name_that_changed_hands_is_of_no_file,
    _a_log_is_one_by_any_of_its_names,
    _what_lies_too_deep_is_told,
    _a_folder_that_may_not_be_listed_is_not_empty,
    _one_strange_file_does_not_end_a_search,
    _a_link_into_what_may_not_be_looked_at_is_told,
)
