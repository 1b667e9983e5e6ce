"""Controls of the search in files: every file and name once, and what was not read is told."""

from __future__ import annotations

import errno
import gzip
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pytest

from harness._tests import grep_proof
from harness._tests.mutants.controls import Control
from harness._tests.mutants.file_bed import (
    BYTES,
    LINE,
    NOBODYS,
    NUMBER,
    SEEING,
    TEXT,
    file_control,
    files,
    hits,
    masked,
    masking,
    place,
    swept,
)
from harness.errors import MaskError, SurfaceError
from harness.masks import Masks
from harness.model import FileGap, FileTrace
from harness.population.estate import make_estate
from harness.surfaces import FileKind, FileSet, fileset, scrub_files, sweep_files
from harness.surfaces import look as looks
from harness.surfaces import sweep as sweeps
from harness.surfaces.crew import carried_out
from harness.surfaces.fileset import Found, Place, Root, open_file, speakable

_CHUNK: Final = 256 << 10


def search_controls() -> Iterator[Control]:
    """Yield the controls of the search in files."""
    for claim in _CLAIMS:
        yield file_control(claim)


def _whole(folder: Path) -> None:
    """A whole estate is found to the identifier, scrubbed, and then found nowhere by others."""
    estate = make_estate(folder / "estate", NUMBER, size_bytes=200_000)
    own = files(estate.folder)
    seen = sweep_files(own, SEEING)
    assert {trace.file.removeprefix("estate/"): trace.forms for trace in seen.traces} == {
        one.file: one.forms for one in estate.planted if one.lines
    }
    assert (seen.gaps, seen.content_bytes) == ([], estate.content_bytes)
    paths = [path for path in estate.folder.rglob("*") if path.is_file()]
    assert (seen.files, seen.size_bytes) == (
        len(paths),
        sum(path.stat().st_size for path in paths),
    )
    search = masking()
    done = scrub_files(own, search, seen)
    assert (done.identifiers, done.left) == (sum(estate.identifiers().values()), [])
    assert sweep_files(own, SEEING).traces == []
    assert sweep_files(own, search).masks > 0
    assert grep_proof.found(estate.folder, NUMBER) == []


def _everything_below_is_listed(folder: Path) -> None:
    """Each file, folder and link is listed, a folder before what is in it."""
    (folder / "b" / "c").mkdir(parents=True)
    (folder / "b" / "c" / "d.log").write_bytes(TEXT)
    (folder / "a.log").write_bytes(b"")
    (folder / "link").symlink_to("b")
    os.mkfifo(folder / "pipe")
    found = {one.place.path: one for one in files(folder).walk()}
    assert list(found) == ["a.log", "b", "b/c", "b/c/d.log", "link", "pipe"]
    regular = [name for name, one in found.items() if one.is_file]
    assert regular == ["a.log", "b/c/d.log"]
    assert {name: one.target for name, one in found.items() if one.target} == {"link": "b"}
    assert found["b/c/d.log"].size_bytes == len(TEXT)
    status = (folder / "a.log").stat()
    assert found["a.log"].key == status.st_dev << 64 | status.st_ino
    lost = Found(place("lost"), None)
    assert (lost.key, lost.size_bytes, lost.is_file, lost.names) == (-1, 0, False, 0)


def _what_cannot_be_listed_is_told(folder: Path) -> None:
    """A folder or file that cannot be read is told with its reason; one that is gone is not."""
    (folder / "shut").mkdir()
    (folder / "a.log").write_bytes(TEXT)
    (folder / "shut" / "b.log").write_bytes(TEXT)
    scan, status = os.scandir, os.stat

    def refused(code: int, name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
        def scanning(at: Any) -> Any:
            if isinstance(at, int) and os.path.samestat(os.fstat(at), status(folder / name)):
                raise OSError(code, "refused")
            return scan(at)

        def looking(path: Any, *args: Any, **more: Any) -> Any:
            if path == name and "dir_fd" in more:
                raise OSError(code, "refused")
            return status(path, *args, **more)

        return scanning, looking

    may_not = "it may not be read by this user: run as one who may"
    cannot = "it cannot be read (refused): mend that"
    for code, why in ((errno.EACCES, may_not), (errno.EIO, cannot)):
        scanning, looking = refused(code, "shut")
        with mock.patch.object(os, "scandir", scanning):
            assert swept(folder).gaps == [FileGap(f"{folder.name}/shut", why)]
        assert hits(folder) == {"a.log": 1, "shut/b.log": 1}
        with mock.patch.object(os, "stat", looking):
            seen = swept(folder)
        assert (seen.gaps, len(seen.traces)) == ([FileGap(f"{folder.name}/shut", why)], 1)
    scanning, _ = refused(errno.EACCES, ".")
    with mock.patch.object(os, "scandir", scanning):
        assert swept(folder).gaps == [FileGap(folder.name, may_not)]
    _, looking = refused(errno.ENOENT, "a.log")
    with mock.patch.object(os, "stat", looking):
        seen = swept(folder)
    assert (seen.gaps, len(seen.traces)) == ([], 1)
    own = FileSet((Root(folder / "gone", FileKind.LOG, "gone"), *files(folder).roots))
    seen = sweep_files(own, SEEING)
    assert [gap.file for gap in seen.gaps] == ["gone"]
    assert len(seen.traces) == 2
    assert fileset._reason(OSError("no number")) == "it cannot be read (None): mend that"


def _folders_are_named_once(folder: Path) -> None:
    """Each folder is a root once, under a label of its own, and of its kind."""
    for name in ("a/logs", "b/logs", "c/media"):
        (folder / name).mkdir(parents=True)
    logs = [folder / "a/logs", folder / "b/logs", folder / "a" / ".." / "a/logs"]
    own = FileSet.of(logs, [folder / "c/media", folder / "a/logs", Path("/")])
    assert [(one.label, one.kind, one.path) for one in own.roots] == [
        ("logs", FileKind.LOG, folder / "a/logs"),
        ("logs#2", FileKind.LOG, folder / "b/logs"),
        ("media", FileKind.MEDIA, folder / "c/media"),
        ("media#2", FileKind.MEDIA, Path("/")),
    ]
    assert [one.label for one in own.of_kind(FileKind.MEDIA)] == ["media", "media#2"]
    assert bool(own)
    assert not FileSet()
    assert speakable("a\x1b[b\n") == "a?[b?"
    assert own.shown(Place(1, ("x\n", "y"))) == "logs#2/x?/y"


def _folders_must_be_there(folder: Path) -> None:
    """What is not there, may not be read, or may not be changed, is refused with its name."""
    logs, media = folder / "logs", folder / "media"
    media.mkdir()
    own = FileSet.of([logs], [media])
    with pytest.raises(SurfaceError, match="The log folder logs is not there"):
        own.require_there(writable=True)
    logs.mkdir()
    with pytest.raises(SurfaceError, match="The log folder logs is empty"):
        own.require_there(writable=True)
    (logs / "web.log").write_bytes(TEXT)
    own.require_there(writable=True)
    asked: list[tuple[Path, int]] = []

    def denied(path: Path, mode: int) -> bool:
        asked.append((path, mode))
        return path != media

    refused = pytest.raises(SurfaceError, match="The media volume media may not be read")
    with mock.patch.object(os, "access", denied), refused:
        own.require_there(writable=True)
    assert asked == [(logs, os.R_OK | os.X_OK), (media, os.R_OK | os.X_OK)]
    only_read = mock.Mock(f_flag=os.ST_RDONLY)
    with mock.patch.object(os, "statvfs", return_value=only_read) as looked:
        own.require_there(writable=False)
        FileSet.of([], [media]).require_there(writable=True)
        assert looked.call_count == 0
        with pytest.raises(SurfaceError, match="The log folder logs is mounted read-only"):
            own.require_there(writable=True)
    media.rmdir()
    with pytest.raises(SurfaceError, match="The media volume media is not there"):
        own.require_there(writable=True)


def _a_file_is_opened_below_its_folder(folder: Path) -> None:
    """No link on the way to a file is followed, and every folder on the way is closed."""
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "c.log").write_bytes(TEXT)
    file = open_file(files(folder), place("a/b/c.log"))
    assert os.read(file, 9) == TEXT[:9]
    os.close(file)
    (folder / "a" / "b").rename(folder / "other")
    (folder / "a" / "b").symlink_to(folder / "other")
    with pytest.raises(OSError, match="directory"):
        open_file(files(folder), place("a/b/c.log"))


# --- one file -------------------------------------------------------------------------------


def _names_are_judged_once(folder: Path) -> None:
    """Names of files and folders, and what links name, are told with the forms in them."""
    (folder / f"{NUMBER}.d").mkdir()
    (folder / f"{NUMBER}.d" / "a.log").write_bytes(NOBODYS)
    (folder / f"link-{NUMBER}").symlink_to(f"{NUMBER}.d")
    (folder / "b.log").write_bytes(TEXT)
    seen = swept(folder)
    label = folder.name
    assert seen.traces == [
        FileTrace(f"{label}/b.log", 1, (("bare number", 1),)),
        FileTrace(f"{label}/{NUMBER}.d", 1, (("bare number in the name", 1),)),
        FileTrace(
            f"{label}/link-{NUMBER}",
            2,
            (("bare number in the link", 1), ("bare number in the name", 1)),
        ),
    ]
    assert [one.place.path for one in seen.named] == [f"{NUMBER}.d", f"link-{NUMBER}"]
    assert [one.place.path for one in seen.marked] == ["b.log"]
    assert (seen.files, seen.gaps) == (2, [])
    with mock.patch.object(type(SEEING.matcher), "hits", side_effect=AssertionError):
        assert SEEING.in_name("nobody.log") == []


def _links_are_not_followed(folder: Path) -> None:
    """What a link leads to is searched where it is, and told where it is outside and there."""
    inside, outside = folder / "in", folder / "out"
    for one in (inside, outside):
        one.mkdir()
        (one / "a.log").write_bytes(TEXT)
    (inside / "here").symlink_to("a.log")
    (inside / "out").symlink_to(outside)
    (inside / "nowhere").symlink_to(folder / "nothing")
    seen = swept(inside)
    assert [(one.file, one.hits) for one in seen.traces] == [("in/a.log", 1)]
    ((file, why),) = ((gap.file, gap.why) for gap in seen.gaps)
    assert file == "in/out"
    assert "link out of the folder" in why
    both = FileSet.of([inside, outside], [])
    assert sweep_files(both, SEEING).gaps == []


def _what_a_rotation_renames_is_found(folder: Path) -> None:
    """A file that is renamed between listing and reading is read under its new name."""
    log = folder / "web.log"
    log.write_bytes(TEXT)
    original = sweeps._Sweep.read
    listings: list[list[str]] = []

    def read(self: Any, new: Any) -> Any:
        if not listings:
            log.rename(folder / "web.log.1")
            log.write_bytes(LINE % BYTES)
        listings.append([one.place.path for one in new])
        return original(self, new)

    with mock.patch.object(sweeps._Sweep, "read", read):
        seen = swept(folder)
    assert listings[0] == ["web.log"]
    assert len(listings) < 5
    assert sum(one.hits for one in seen.traces) >= 1
    (folder / f"{NUMBER}.log").write_bytes(NOBODYS)

    def renamed(self: Any, new: Any) -> Any:
        read = original(self, new)
        named = folder / f"{NUMBER}.log"
        if named.exists():
            named.rename(folder / "nobodys.log")
            (folder / "late.log").write_bytes(LINE % BYTES)
        return read

    with mock.patch.object(sweeps._Sweep, "read", renamed):
        seen = swept(folder)
    assert seen.named == []
    assert f"{folder.name}/late.log" in {one.file for one in seen.traces}
    with mock.patch.object(sweeps, "carried_out", wraps=carried_out) as reads:
        assert swept(folder).files == 4
    assert reads.call_count == 1


def _what_cannot_be_read_is_told(folder: Path) -> None:
    """A file that cannot be opened is told with its reason, and one that is gone is not."""
    (folder / "a.log").write_bytes(TEXT)
    for code, why in (
        (errno.EACCES, "it may not be read by this user: run as one who may"),
        (errno.EPERM, "it may not be read by this user: run as one who may"),
        (errno.EIO, "it cannot be read (refused): mend that, or remove it"),
    ):
        with mock.patch.object(looks, "open_file", side_effect=OSError(code, "refused")):
            seen = swept(folder)
        assert seen.gaps == [FileGap(f"{folder.name}/a.log", why)]
    with mock.patch.object(looks, "open_file", side_effect=FileNotFoundError):
        (gap,) = swept(folder).gaps  # it is listed each time, and gone each time
        assert "faster than they could be read" in gap.why
    crashed = sweeps._crashed(place("a.log")).gaps
    assert crashed == [
        ("", "the process that read it ended in the middle of it: look at it by hand")
    ]


def _formats_that_hide_are_told(folder: Path) -> None:
    """What nobody here can look into is told, and not searched as text."""
    (folder / "a.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + TEXT)
    (folder / "b.log").write_bytes(TEXT)
    (folder / "c.gz").write_bytes(gzip.compress(TEXT))
    seen = swept(folder)
    assert [(gap.file, "7z archive" in gap.why) for gap in seen.gaps] == [
        (f"{folder.name}/a.7z", True)
    ]
    assert hits(folder) == {"b.log": 1, "c.gz": 1}
    assert seen.content_bytes == 2 * len(TEXT)
    assert not looks.look(files(folder), place("b.log"), SEEING).packed
    assert looks.look(files(folder), place("c.gz"), SEEING).packed


def _masks_are_counted(folder: Path) -> None:
    """Masks that stand there already are counted, and places where none fits."""
    search = masking()
    log = folder / "a.log"
    log.write_bytes(masked(search, TEXT))
    seen = looks.look(files(folder), place("a.log"), search)
    assert (seen.masks, seen.unfit, seen.hits) == (1, 0, {})
    log.write_bytes(masked(search, TEXT.replace(BYTES, BYTES + b"9")))
    assert looks.look(files(folder), place("a.log"), search).masks == 0
    log.write_bytes(TEXT)
    seen = looks.look(files(folder), place("a.log"), search)
    assert (seen.masks, seen.unfit) == (0, 0)
    assert list(seen.hits) == [""]
    with mock.patch.object(Masks, "mask", side_effect=MaskError("no")):
        assert looks.look(files(folder), place("a.log"), search).unfit == 1
        log.write_bytes(masked(search, TEXT))
        assert looks.look(files(folder), place("a.log"), search).unfit == 0
        log.write_bytes(TEXT)
        seen = looks.look(files(folder), place("a.log"), SEEING)
        assert (seen.masks, seen.unfit) == (0, 0)


def _parts_of_files_are_named(folder: Path) -> None:
    """What holds nothing is not told, and of what does each form is counted."""
    text = TEXT + LINE % (BYTES + b"@s.whatsapp.net") + NOBODYS
    (folder / "a.gz").write_bytes(gzip.compress(text))
    ((file, count, forms),) = ((one.file, one.hits, one.forms) for one in swept(folder).traces)
    assert (file, count) == (f"{folder.name}/a.gz", 2)
    assert sum(dict(forms).values()) == 2
    (folder / "a.gz").write_bytes(gzip.compress(NOBODYS))
    seen = looks.look(files(folder), place("a.gz"), SEEING)
    assert seen.hits == {}
    # A filter may let through what is nobody's.
    near = b"see " + BYTES + b"9 there\n"
    (folder / "a.gz").write_bytes(gzip.compress(near))
    assert looks.look(files(folder), place("a.gz"), SEEING).hits == {}


def _holes_are_not_read(folder: Path) -> None:
    """Only what a file holds is read, and all of it where nobody knows of holes."""
    log = folder / "a.log"
    with log.open("wb") as stream:
        stream.truncate(1 << 20)
        stream.seek(1 << 20)
        stream.write(TEXT)
        stream.truncate(3 << 20)
    size = log.stat().st_size
    seek = os.lseek

    def refusing(*whences: int, code: int = errno.EINVAL) -> Callable[..., int]:
        def lseek(file: int, at: int, whence: int) -> int:
            if whence in whences:
                raise OSError(code, "refused")
            return seek(file, at, whence)

        return lseek

    def extents() -> list[tuple[int, int]]:
        with log.open("rb") as stream:
            return list(looks.extents(stream.fileno(), size))

    ((start, end),) = extents()
    assert start <= 1 << 20 < (1 << 20) + len(TEXT) <= end < size
    with mock.patch.object(os, "lseek", refusing(os.SEEK_DATA)):
        assert extents() == [(0, size)]
    with mock.patch.object(os, "lseek", refusing(os.SEEK_HOLE)):
        assert extents() == [(start, size)]
    with mock.patch.object(os, "lseek", refusing(os.SEEK_DATA, os.SEEK_HOLE)):
        assert extents() == [(0, size)]
        assert hits(folder) == {"a.log": 1}
    # Cut off meanwhile: what is not there any more is not waited for.
    with log.open("rb") as opened:
        parts = list(looks.stretch(opened.fileno(), size - 10, size + 10))
        assert b"".join(parts) == bytes(10)
        content = list(looks.stretch(opened.fileno(), 0, _CHUNK + 7))
        assert [len(one) for one in content] == [_CHUNK, 7]
    assert stat.S_ISREG(log.stat().st_mode)


def _two_files_are_read_the_largest_first(folder: Path) -> None:
    """What is to be read is handed out the largest first, with its size."""
    for name, times in (("a.log", 1), ("b.log", 3), ("c.log", 2)):
        (folder / name).write_bytes(times * TEXT)
    with mock.patch.object(sweeps, "carried_out", wraps=carried_out) as reads:
        assert [one.hits for one in swept(folder).traces] == [1, 3, 2]
    _, items, size, _ = reads.call_args.args
    assert ([one.path for one in items], size) == (["b.log", "c.log", "a.log"], 6 * len(TEXT))


_CLAIMS: Final = (
    _whole,
    _everything_below_is_listed,
    _what_cannot_be_listed_is_told,
    _folders_are_named_once,
    _folders_must_be_there,
    _a_file_is_opened_below_its_folder,
    _names_are_judged_once,
    _links_are_not_followed,
    _what_a_rotation_renames_is_found,
    _what_cannot_be_read_is_told,
    _formats_that_hide_are_told,
    _masks_are_counted,
    _parts_of_files_are_named,
    _holes_are_not_read,
    _two_files_are_read_the_largest_first,
)
