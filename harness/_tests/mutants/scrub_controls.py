"""Controls of what is done to files: masked whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import ctypes
import errno
import gzip
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast
from unittest import mock

import pytest

from harness._tests.mutants.controls import Control
from harness._tests.mutants.file_bed import (
    BYTES,
    CLOSURE,
    LINE,
    NOBODYS,
    NUMBER,
    TEXT,
    file_control,
    files,
    hits,
    masked,
    masking,
    place,
    scrubbed,
    swept,
)
from harness.errors import MaskError, SurfaceError
from harness.masks import Masks
from harness.surfaces import FileSearch, exchange, in_place, rewrite, scrub, sweep_files
from harness.surfaces.exchange import EXCHANGE, LEFTOVER, NOTE, MovedError, beside, letters
from harness.surfaces.fileset import open_file
from harness.surfaces.leftovers import tidy
from harness.surfaces.look import FileSeen, is_packed_file, look

_TIME_NS: Final = 1_700_000_000_000_000_000
_PAGE: Final = 4096


def scrub_controls() -> Iterator[Control]:
    """Yield the controls of a scrub."""
    for claim in _CLAIMS:
        yield file_control(claim)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _plain(folder: Path, content: bytes = TEXT, name: str = "web.log") -> Path:
    path = folder / name
    path.write_bytes(content)
    os.utime(path, ns=(_TIME_NS, _TIME_NS + 1))
    return path


def _archive(folder: Path, content: bytes = TEXT, name: str = "web.gz") -> Path:
    return _plain(folder, gzip.compress(content), name)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield handle
    finally:
        os.close(handle)


class _Calls:
    """The calls of the system that change or keep something, in order, as they are made."""

    def __init__(
        self, *names: str, before: Callable[[str, tuple[Any, ...]], object] = lambda *_: None
    ) -> None:
        self.made: list[str] = []
        self._names = names
        self._before = before

    @contextmanager
    def noted(self) -> Iterator[list[str]]:
        """Note the calls while the block runs."""
        noting: Any = {name: self._noting(name) for name in self._names}
        with mock.patch.multiple(os, **noting):
            yield self.made

    def _noting(self, name: str) -> Callable[..., Any]:
        original = getattr(os, name)

        def noting(*args: Any, **more: Any) -> Any:
            self._before(name, args)
            told = name
            if name == "fsync":
                kind = os.fstat(args[0]).st_mode
                told = "fsync folder" if stat.S_ISDIR(kind) else "fsync"
            self.made.append(told)
            return original(*args, **more)

        return noting


# --- archives -------------------------------------------------------------------------------


def _an_archive_is_replaced(folder: Path) -> None:
    """Its masked copy takes its place, with its owner, mode, times and attributes."""
    old = _archive(folder)
    old.chmod(0o640)
    os.chown(old, 12, 34)
    os.setxattr(old, "user.kept", b"yes")
    os.utime(old, ns=(_TIME_NS, _TIME_NS + 1))
    search, before = masking(), old.stat()
    calls = _Calls("fsync", "unlink", "setxattr")
    with calls.noted() as made:
        done = scrubbed(folder, search)
    assert (done.files, done.identifiers, done.moved, done.left) == (1, 1, False, [])
    assert gzip.decompress(old.read_bytes()) == masked(search, TEXT)
    after = old.stat()
    assert after.st_ino != before.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, 12, 34)
    assert after.st_mtime_ns == _TIME_NS + 1
    assert os.getxattr(old, "user.kept") == b"yes"
    assert _names(folder) == ["web.gz"]
    # Whatever is removed was safely replaced before.
    assert made == ["setxattr", "fsync", "fsync folder", "unlink", "fsync folder"]


def _an_attribute_that_is_there_is_not_set(folder: Path) -> None:
    """A copy that has an attribute already, as some file systems give it, is not given it again."""
    old, new = _plain(folder), _plain(folder, name="copy")
    for path, value in ((old, b"same"), (new, b"same")):
        os.setxattr(path, "user.same", value)
    os.setxattr(old, "user.other", b"new")
    os.setxattr(new, "user.other", b"old")
    with old.open("rb") as one, new.open("r+b") as other, _Calls("setxattr").noted() as made:
        rewrite._keep(os.fstat(one.fileno()), one.fileno(), other.fileno())
    assert made == ["setxattr"]
    assert os.getxattr(new, "user.other") == b"new"


def _what_may_not_be_kept_is_told(folder: Path) -> None:
    """Where owner or attributes cannot be given to a copy, the archive stays as it is."""
    old = _archive(folder)
    before = old.read_bytes()
    for code, why in ((errno.EPERM, "run as its owner"), (errno.ENOTSUP, "could not be kept")):
        refused = mock.Mock(side_effect=OSError(code, "refused"))
        with mock.patch.object(os, "fchown", refused):
            (gap,) = scrubbed(folder, masking()).left
        assert why in gap.why
        assert old.read_bytes() == before
        assert _names(folder) == ["web.gz"]


def _without_room_nothing_is_begun(folder: Path) -> None:
    """A copy for which there is no room is not begun."""
    old = _archive(folder)
    space = mock.Mock(f_bavail=(old.stat().st_size + (16 << 20)) // 512, f_frsize=512)
    with mock.patch.object(os, "fstatvfs", return_value=space):
        (gap,) = scrubbed(folder, masking()).left
        assert "no room" in gap.why
        assert list(hits(folder).values()) == [1]
        space.f_bavail += 1
        assert scrubbed(folder, masking()).identifiers == 1


def _a_withheld_copy_is_thrown_away(folder: Path) -> None:
    """A rehearsal counts and compares, and changes nothing at all."""
    paths = [_archive(folder), _plain(folder), _plain(folder, name=f"to-{NUMBER}.log")]
    (folder / ".scrub-new-bcdfghjk").write_bytes(b"left")
    paths[0].with_name("link.gz").hardlink_to(paths[0])
    paths.append(folder / "link.gz")
    before = [(path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) for path in paths]
    names = _names(folder)
    calls = _Calls("pwrite", "rename", "replace", "utime", "unlink")
    with calls.noted() as made, mock.patch.object(in_place, "open_file", wraps=open_file) as opens:
        done = scrubbed(folder, masking(), withheld=True)
    assert {call.args[2] for call in opens.call_args_list} == {os.O_RDONLY}
    assert (done.files, done.identifiers, done.names, done.left) == (3, 3, 1, [])
    assert _names(folder) == names
    assert before == [
        (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) for path in paths
    ]
    assert made == ["rename", "utime", "unlink"]


def _a_copy_that_differs_is_thrown_away(folder: Path) -> None:
    """Whatever goes wrong on the way into the copy is seen when it is read back."""
    old = _archive(folder)
    before = old.read_bytes()
    original = rewrite._Masking._masked

    def wrong(self: Any, data: bytes, kind: Any) -> bytes:
        return original(self, data, kind).replace(b"Retrieved", b"Forgotten")

    def unmasked(self: Any, data: bytes, kind: Any) -> bytes:
        original(self, data, kind)
        return data

    for spoiled in (wrong, unmasked):
        with mock.patch.object(rewrite._Masking, "_masked", spoiled):
            (gap,) = scrubbed(folder, masking()).left
        assert "did not compare" in gap.why
        assert old.read_bytes() == before
        assert _names(folder) == ["web.gz"]


def _a_copy_with_other_parts_or_names_is_another() -> None:
    """The same bytes in other parts, or under other names, are another archive."""

    def sums(parts: list[list[bytes]], names: list[bytes]) -> object:
        account = rewrite._Account()
        for part in parts:
            for piece in part:
                account.add(piece)
            account.end()
        account.names += names
        return account.sums

    whole = sums([[b"one"], [b"two"]], [b"a", b"b"])
    assert whole == sums([[b"o", b"ne"], [b"two"]], [b"b", b"a"])
    for parts in ([[b"onet"], [b"wo"]], [[b"one"]], [[b"one"], [b"two"], []], [[b"onetwo"], []]):
        assert whole != sums(parts, [b"a", b"b"])
    assert whole != sums([[b"one" + bytes(8) + b"two"]], [b"a", b"b"])
    assert whole != sums([[b"one"], [b"twO"]], [b"a", b"b"])
    assert whole != sums([[b"one"], [b"two"]], [b"a", b"c"])
    # Lengths are those of the parts, and not of all that came before.
    account = rewrite._Account()
    account.add(b"one")
    account.end()
    assert account._part_bytes == 0


def _with_stored_name(folder: Path) -> None:
    with (
        (folder / "web.gz").open("wb") as stream,
        gzip.GzipFile(f"{NUMBER}.log", "wb", fileobj=stream) as packed,
    ):
        packed.write(NOBODYS)


def _names_in_archives_are_masked(folder: Path) -> None:
    """What a gzip file keeps of a name is masked, counted, and compared."""
    _with_stored_name(folder)
    search = masking()
    (trace,) = swept(folder).traces
    assert trace.hits == 1
    assert trace.forms[0][0].endswith(" in a name")
    assert scrubbed(folder, search).identifiers == 1
    assert masked(search, BYTES) in (folder / "web.gz").read_bytes()
    assert gzip.decompress((folder / "web.gz").read_bytes()) == NOBODYS


def _a_name_that_was_not_masked_is_seen(folder: Path) -> None:
    """A copy whose names were left as they were is thrown away."""
    _with_stored_name(folder)
    with mock.patch.object(rewrite._Masking, "_masked", lambda _, data, __: data):
        (gap,) = scrubbed(folder, masking()).left
    assert "did not compare" in gap.why


def _other_masks_stay(folder: Path) -> None:
    """Without masks nothing is masked, and masks of another run stay as they are."""
    earlier, search = masking(), masking()
    content = TEXT + masked(earlier, LINE % BYTES)
    old = _archive(folder, content)
    assert scrubbed(folder, search).identifiers == 1
    assert gzip.decompress(old.read_bytes()) == masked(search, TEXT) + masked(earlier, LINE % BYTES)
    _archive(folder)
    (gap,) = scrubbed(folder, FileSearch(CLOSURE)).left
    assert "did not compare" in gap.why
    old.unlink()
    _plain(folder)
    done = scrubbed(folder, FileSearch(CLOSURE))
    assert (done.identifiers, done.left) == (0, [])


def _a_mask_from_before_is_undone_alike(folder: Path) -> None:
    """Beside masks of the same run, that an interrupted one left, the copy compares as well."""
    search = masking()
    content = TEXT + masked(search, TEXT)
    old = _archive(folder, content)
    assert scrubbed(folder, search).identifiers == 1
    assert gzip.decompress(old.read_bytes()) == masked(search, content)
    with old.open("wb") as stream:
        name = masked(search, BYTES).decode()
        with gzip.GzipFile(f"{name}.log", "wb", fileobj=stream) as packed:
            packed.write(TEXT)
    assert scrubbed(folder, search).identifiers == 1


def _a_broken_archive_is_left(folder: Path) -> None:
    """An archive that cannot be read to its end is not masked, and that is told."""
    old = _plain(folder, gzip.compress(TEXT) + b"behind", "web.gz")
    before = old.read_bytes()
    (gap,) = scrubbed(folder, masking()).left
    assert gap.file == f"{folder.name}/web.gz"
    assert "behind its end" in gap.why
    assert old.read_bytes() == before


def _another_name_of_an_archive_is_told(folder: Path) -> None:
    """An archive with another name outside is masked, and of that name it is told; inside, it is not."""
    old = _archive(folder)
    inside = folder / "logs"
    inside.mkdir()
    old.with_name("other.gz").hardlink_to(old)
    old.rename(inside / old.name)
    before = (folder / "other.gz").read_bytes()
    (gap,) = scrubbed(inside, masking()).left
    assert "hard link" in gap.why
    assert gap.lasting
    assert (folder / "other.gz").read_bytes() == before
    assert list(hits(folder).values()) == [1]
    assert not scrubbed(folder, masking()).left


def _a_kill_leaves_an_archive_whole(folder: Path) -> None:
    """Up to the moment when it is replaced the old archive is there, and what is new is whole."""
    old = _archive(folder)
    search, before = masking(), old.read_bytes()
    seen: list[bytes] = []

    def look(name: str, _: tuple[Any, ...]) -> None:
        content = old.read_bytes()
        seen.append(content)
        if name == "unlink":
            # By then the copy has its place, and was written to the disk.
            assert gzip.decompress(content) == masked(search, TEXT)

    with _Calls("fsync", "unlink", "rename", before=look).noted():
        scrubbed(folder, search)
    assert seen[0] == before
    assert all(one == before or gzip.decompress(one) == masked(search, TEXT) for one in seen)


# --- exchanged ------------------------------------------------------------------------------


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _what_moved_is_looked_at_again(folder: Path) -> None:
    """A file that was renamed, replaced or written to meanwhile is not replaced by its copy."""

    def rotate(path: Path) -> None:
        path.rename(path.with_name("web.2.gz"))

    def swap(path: Path) -> None:
        rotate(path)
        path.write_bytes(b"another")

    def append(path: Path) -> None:
        with path.open("ab") as stream:
            stream.write(b"more")

    def touch(path: Path) -> None:
        os.utime(path, ns=(1, 1))

    original = exchange.require_same
    for disturb in (rotate, swap, append, touch):

        def at_last(_: int, name: str, __: object, disturb: Any = disturb) -> None:
            disturb(folder / name)

        _empty(folder)
        old = _archive(folder)
        search = masking()

        def late(at: int, name: str, status: os.stat_result, disturb: Any = disturb) -> None:
            disturb(folder / name)
            original(at, name, status)

        with mock.patch.object(exchange, "require_same", late):
            with pytest.raises(MovedError, match="meanwhile"):
                rewrite.rewrite(files(folder), place(old.name), search, withheld=False)
            _empty(folder)
            _archive(folder)
            done = scrubbed(folder, search)
        assert (done.moved, done.identifiers, done.files, done.left) == (True, 0, 0, [])
        assert not [name for name in _names(folder) if name.startswith(".scrub")]
        # And at the very last moment.
        _empty(folder)
        old = _archive(folder)
        with (
            mock.patch.object(exchange, "require_same", at_last),
            pytest.raises((MovedError, FileNotFoundError)),
        ):
            rewrite.rewrite(files(folder), place(old.name), search, withheld=False)
        assert all(
            b"another" in path.read_bytes() or BYTES in gzip.decompress(_cut(path.read_bytes()))
            for path in folder.iterdir()
        )
        assert not [name for name in _names(folder) if name.startswith(".scrub")]


def _cut(data: bytes) -> bytes:
    return data.removesuffix(b"more")


def _where_nothing_can_be_exchanged(folder: Path) -> None:
    """A file system that cannot exchange files replaces them, after the look just before."""
    for code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        old, search = _archive(folder), masking()
        named = _plain(folder, NOBODYS, f"{NUMBER}.log")
        taken = _plain(folder, b"taken", masked(search, f"{NUMBER}.log".encode()).decode())
        with _refusing(code), _Calls("fsync", "replace", "unlink").noted() as made:
            (gap,) = scrubbed(folder, search).left
            assert "File exists" in gap.why
            made_before = list(made)
            taken.unlink()
            assert scrubbed(folder, search).names == 1
        assert gzip.decompress(old.read_bytes()) == masked(search, TEXT)
        assert made_before == ["fsync", "replace", "fsync folder"]
        assert made[len(made_before) :] == ["unlink", "fsync folder"]
        assert taken.read_bytes() == NOBODYS
        assert not named.exists()
        taken.unlink()
    old = _archive(folder)
    original = exchange.require_same

    def late(at: int, name: str, status: os.stat_result) -> None:
        old.write_bytes(b"another")
        original(at, name, status)

    with _refusing(errno.EINVAL), mock.patch.object(exchange, "require_same", late):
        assert scrubbed(folder, masking()).moved
    assert old.read_bytes() == b"another"
    with _refusing(errno.EIO), pytest.raises(OSError, match="error"), _opened(folder) as at:
        exchange.renamed(at, "web.gz", "other", EXCHANGE)
    library = mock.Mock(spec=[])
    with mock.patch.object(ctypes, "CDLL", return_value=library), _opened(folder) as at:
        assert not exchange.renamed(at, "web.gz", "other", EXCHANGE)


@contextmanager
def _refusing(code: int) -> Iterator[None]:
    """Have the system refuse to exchange files."""
    library = mock.Mock(renameat2=mock.Mock(return_value=-1))
    with (
        mock.patch.object(ctypes, "CDLL", return_value=library),
        mock.patch.object(ctypes, "get_errno", return_value=code),
    ):
        yield


def _a_copy_says_what_it_is(folder: Path) -> None:
    """A copy's name tells both inodes; it is removed unless it took a place, and others never."""
    old = _plain(folder)
    status = old.stat()
    with _opened(folder) as at:
        with beside(at, status) as (handle, name):
            match = LEFTOVER.fullmatch(name)
            assert match
            told = (match["what"], match["old"], match["new"])
            assert told == ("scrub", letters(status.st_ino), letters(os.fstat(handle).st_ino))
            assert stat.S_IMODE(os.fstat(handle).st_mode) == 0o600
            assert name in _names(folder)
        assert _names(folder) == ["web.log"]
        with beside(at, status, NOTE) as (_, name):
            (folder / name).rename(folder / "taken")
        with beside(at, status) as (_, name):
            (folder / name).unlink()
            (folder / name).write_bytes(b"somebody else's")
        assert (folder / name).read_bytes() == b"somebody else's"
        with pytest.raises(ZeroDivisionError), beside(at, status):
            raise ZeroDivisionError
    assert _names(folder) == sorted(["taken", name, "web.log"])


def _files_are_told_apart(folder: Path) -> None:
    """By device, inode, size and time: each of them tells two files apart."""
    status = _plain(folder).stat()
    assert exchange._same(status, status)
    plain = {name: getattr(status, name) for name in ("st_dev", "st_ino", "st_size", "st_mtime_ns")}
    for name, value in plain.items():
        other = mock.Mock(**{**plain, name: value + 1})
        assert not exchange._same(cast("os.stat_result", other), status)


# --- in place -------------------------------------------------------------------------------


def _a_log_is_masked_where_it_lies(folder: Path) -> None:
    """Its inode, its times and every other byte are kept, and it is written to the disk."""
    log = _plain(folder, TEXT + TEXT)
    search, before = masking(), log.stat()
    with _Calls("fsync", "pwrite").noted() as made:
        done = scrubbed(folder, search)
    assert (done.files, done.identifiers, done.left) == (1, 2, [])
    assert log.read_bytes() == masked(search, TEXT + TEXT)
    after = log.stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert after.st_mtime_ns == _TIME_NS + 1
    assert made == ["pwrite", "pwrite", "fsync"]
    nobodys = _plain(folder, NOBODYS, "other.log")
    with _Calls("fsync", "pwrite", "utime").noted() as made:
        assert (
            in_place.mask_in_place(files(folder), place("other.log"), search, withheld=False) == 0
        )
    assert made == []
    assert nobodys.read_bytes() == NOBODYS


def _only_a_masks_bytes_are_written(folder: Path) -> None:
    """Of a line only the bytes of its identifiers are written, each where it stood."""
    pad = b"w" * 60
    content = NOBODYS + b"=%b=%b=%b=%b=%b;\n" % (BYTES, pad, BYTES, pad, BYTES) + NOBODYS
    log, search = _plain(folder, content), masking()
    written: list[tuple[int, int]] = []

    def look(_: str, args: tuple[Any, ...]) -> None:
        written.append((args[2], len(args[1])))

    with _Calls("pwrite", before=look).noted():
        done = scrubbed(folder, search)
    assert done.identifiers == 3, done
    assert log.read_bytes() == masked(search, content)
    assert len(written) == 3
    assert all(size <= len(BYTES) for _, size in written)


def _near_changes_are_one() -> None:
    """Nothing that is changed stands around another change; what is far is left alone."""
    old = bytearray(b"." * 400)
    new = bytearray(old)
    for at in (10, 12, 60, 108, 157, 300):
        new[at] = 0x2D
    changes = list(in_place._differences(1000, bytes(old), bytes(new)))
    assert [(at, len(one)) for at, one, _ in changes] == [(1010, 99), (1157, 1), (1300, 1)]
    for at, before, after in changes:
        assert before == old[at - 1000 : at - 1000 + len(before)]
        assert after == new[at - 1000 : at - 1000 + len(after)]
    assert list(in_place._differences(0, b"same", b"same")) == []


def _a_mask_across_pages_is_noted_first(folder: Path) -> None:
    """A mask that a kill could leave by half stands in a note before it is written, and after not."""
    for offset in range(-len(BYTES) - 1, 3):
        content = bytearray(NOBODYS * 100)
        start = _PAGE + offset
        content[start - 1 : start + len(BYTES) + 1] = b"=" + BYTES + b"="
        log, search = _plain(folder, bytes(content)), masking()
        notes: list[bytes] = []

        def look(name: str, _: tuple[Any, ...], notes: list[bytes] = notes) -> None:
            if name == "pwrite":
                notes += [path.read_bytes() for path in folder.glob(".scrubbing-*")]

        changed = _changed(search, bytes(content))
        with _Calls("fsync", "pwrite", "unlink", before=look).noted() as made:
            assert scrubbed(folder, search).identifiers == 1
        assert log.read_bytes() == masked(search, bytes(content))
        if changed[0] < _PAGE <= changed[1]:
            assert made == ["fsync", "fsync folder", "pwrite", "fsync", "unlink", "fsync"]
            ((at, new, _),) = (one.split() for one in notes)
            assert bytes.fromhex(new.decode()) == log.read_bytes()[int(at) : changed[1] + 1]
            assert int(at) == changed[0]
        else:
            assert made == ["pwrite", "fsync"]
            assert notes == []
        assert _names(folder) == ["web.log"]


def _changed(search: FileSearch, content: bytes) -> tuple[int, int]:
    """Return the first and the last byte that masking changes."""
    new = masked(search, content)
    places = [at for at, pair in enumerate(zip(content, new, strict=True)) if pair[0] != pair[1]]
    return places[0], places[-1]


def _what_is_written_meanwhile_is_kept(folder: Path) -> None:
    """What is appended meanwhile stays, with the time of that; what is overwritten is not masked."""
    log, search = _plain(folder), masking()

    def append(name: str, _: tuple[Any, ...]) -> None:
        if name == "fsync":
            with log.open("ab") as stream:
                stream.write(b"more\n")

    with _Calls("fsync", before=append).noted():
        assert scrubbed(folder, search).identifiers == 1
    assert log.read_bytes() == masked(search, TEXT) + b"more\n"
    assert log.stat().st_mtime_ns != _TIME_NS + 1
    original = in_place._write_all
    for disturb in (_truncated, _overwritten):
        log = _plain(folder)
        sighting = swept(folder)

        def late(file: int, changes: Any, disturb: Any = disturb, log: Path = log) -> None:
            disturb(log)
            original(file, changes)

        with mock.patch.object(in_place, "_write_all", late):
            done = scrub.scrub_files(files(folder), search, sighting)
        assert (done.moved, done.identifiers, done.left) == (True, 0, [])
        expected = b"" if disturb is _truncated else b"x" * len(TEXT)
        assert log.read_bytes() == expected
    # Cut off between the look and the write: what was written makes it longer again.
    log = _plain(folder)
    cutting = mock.Mock(side_effect=lambda *_: _truncated(log))
    with (
        mock.patch.object(os, "pwrite", cutting),
        pytest.raises(MovedError, match="cut off"),
    ):
        in_place.mask_in_place(files(folder), place("web.log"), search, withheld=False)


def _truncated(log: Path) -> None:
    os.truncate(log, 0)


def _overwritten(log: Path) -> None:
    log.write_bytes(b"x" * len(TEXT))


def _times_that_are_not_ours_stay(folder: Path) -> None:
    """A file whose times we may not set is masked all the same."""
    log, search = _plain(folder), masking()
    refused = mock.Mock(side_effect=PermissionError(errno.EPERM, "refused"))
    with mock.patch.object(os, "utime", refused):
        assert scrubbed(folder, search).left == []
    assert log.read_bytes() == masked(search, TEXT)


def _holes_stay(folder: Path) -> None:
    """What a file does not hold is not read, and what stands behind a hole is masked in its place."""
    log, search = folder / "web.log", masking()
    with log.open("wb") as stream:
        stream.write(TEXT)
        stream.seek(1 << 22)
        stream.write(TEXT)
    assert swept(folder).content_bytes < 1 << 20
    assert scrubbed(folder, search).identifiers == 2
    assert log.read_bytes()[1 << 22 :] == masked(search, TEXT)
    assert log.stat().st_blocks < 100


# --- left by a kill -------------------------------------------------------------------------


def _left(folder: Path, what: str, old: int, content: bytes, new: int = 0) -> Path:
    """Leave what a killed run leaves; without another inode, with its own."""
    path = folder / ".scrub-new-bcdfghjk"
    path.write_bytes(content)
    name = f".{what}-{letters(old)}-{letters(new or path.stat().st_ino)}-bcdfghjk"
    return path.rename(folder / name)


def _copies_that_a_kill_left_are_removed(folder: Path) -> None:
    """A copy that was not finished goes, and an old archive whose copy has its place."""
    old = _archive(folder)
    (folder / ".scrub-new-kjhgfdcb").write_bytes(b"half")
    _left(folder, "scrub", old.stat().st_ino, b"half a copy")
    kept = _plain(folder, b"kept", ".scrub-of-somebody-else")
    with _opened(folder) as at, _Calls("fsync", "unlink").noted() as made:
        assert tidy(at) == 2
        assert made == ["unlink", "unlink", "fsync folder"]
    assert _names(folder) == [kept.name, old.name]
    with _opened(folder) as at, _Calls("fsync").noted() as made:
        assert tidy(at) == 0
        assert made == []
    # Exchanged, and killed before the old one was removed: it has its copy's name now.
    copy = _left(folder, "scrub", old.stat().st_ino, b"the copy")
    spare = folder / "spare"
    old.rename(spare)
    copy.rename(old)
    spare.rename(copy)
    with _opened(folder) as at:
        assert tidy(at) == 1
    assert old.read_bytes() == b"the copy"
    assert _names(folder) == [kept.name, old.name]


def _what_came_out_by_mistake_is_put_back(folder: Path) -> None:
    """An archive that a rotation put there at the moment of the exchange gets its name again."""
    old = _archive(folder)
    copy = _left(folder, "scrub", old.stat().st_ino, b"the copy")
    old.rename(folder / "web.2.gz")
    another = _plain(folder, b"another archive", "web.gz")
    spare = folder / "spare"
    another.rename(spare)
    copy.rename(another)
    spare.rename(copy)
    with _opened(folder) as at:
        assert tidy(at) == 1
    assert (folder / "web.gz").read_bytes() == b"another archive"
    assert _names(folder) == ["web.2.gz", "web.gz"]
    # What nobody knows is told, and stays.
    lost = _left(folder, "scrub", old.stat().st_ino if old.exists() else 1, b"lost", new=2)
    with _opened(folder) as at, pytest.raises(SurfaceError, match="by hand"):
        tidy(at)
    assert lost.read_bytes() == b"lost"
    (gap,) = scrubbed(folder, masking()).left
    assert gap.file == f"{folder.name}/{lost.name}"
    assert "by hand" in gap.why


def _what_was_noted_is_finished(folder: Path) -> None:
    """A mask that was written by half is finished from its note, where the place is still the same."""
    log = _plain(folder)
    at = TEXT.index(BYTES)
    with log.open("rb") as stream:
        around = in_place._around(stream.fileno(), at, len(BYTES))
        early = in_place._around(stream.fileno(), 2, 3)
    note = b"%d %b %b\n" % (at, b"MASKEDMASKE".hex().encode(), around)
    note += b"%d %b %b\n" % (2, b"NEW".hex().encode(), early)
    other = _plain(folder, b"other", "other.log")
    log.write_bytes(TEXT.replace(BYTES, b"MASKED" + BYTES[6:]))
    for foreign, finished in ((b"", True), (b"moved ", False)):
        log.write_bytes(foreign + log.read_bytes())
        before = log.read_bytes()
        _left(folder, "scrubbing", log.stat().st_ino, note)
        with _opened(folder) as handle, _Calls("fsync", "unlink").noted() as made:
            assert tidy(handle) == 1
            assert made == ["fsync", "unlink", "fsync folder"]
        if finished:
            assert log.read_bytes() == b"20NEW" + TEXT.replace(BYTES, b"MASKEDMASKE")[5:]
        else:
            assert log.read_bytes() == before
        assert other.read_bytes() == b"other"
        assert _names(folder) == ["other.log", "web.log"]
    # What it is about is gone: the note stays, and that is told.
    lost = _left(folder, "scrubbing", 3, note)
    with _opened(folder) as handle, pytest.raises(SurfaceError, match="half a number"):
        tidy(handle)
    assert lost.read_bytes() == note


def _what_vanishes_meanwhile_is_no_error(folder: Path) -> None:
    """A file that goes while its folder is cleaned up, or looked through, is not missed."""
    gone = _left(folder, "scrub", 1, b"gone")
    listed = mock.Mock(return_value=[gone.name, "never-there"])
    gone.unlink()
    log = _plain(folder)
    note = _left(folder, "scrubbing", log.stat().st_ino, b"")
    with _opened(folder) as at:
        with mock.patch.object(os, "listdir", listed):
            assert tidy(at) == 1
        listed.return_value = ["never-there", note.name, log.name]
        with mock.patch.object(os, "listdir", listed):
            assert tidy(at) == 1
    assert _names(folder) == [log.name]


def _leftovers_are_tidied_by_a_scrub(folder: Path) -> None:
    """A scrub cleans up in every folder that has something of a killed one, and there alone."""
    inner = folder / "inner"
    (folder / "clean" / ".scrub-new-ghjkmnpq").mkdir(parents=True)
    inner.mkdir()
    left = (folder / ".scrub-new-bcdfghjk", inner / ".scrub-new-bcdfghjk")
    for one in left:
        one.write_bytes(TEXT)
    sighting = swept(folder)
    assert len(sighting.marked) == 2
    with mock.patch.object(scrub, "tidy", wraps=tidy) as tidied:
        done = scrub.scrub_files(files(folder), masking(), sighting)
    assert tidied.call_count == 2
    assert (done.identifiers, done.moved, done.left) == (0, False, [])
    assert not any(one.exists() for one in left)


# --- scrubbed -------------------------------------------------------------------------------


def _media_are_left_as_they_are(folder: Path) -> None:
    """A media file that holds the number is seen, told as kept, and not masked."""
    media = folder / "media"
    logs = folder / "logs"
    media.mkdir()
    logs.mkdir()
    _plain(media, TEXT, "a.txt")
    _plain(logs, TEXT)
    both = files(logs, media)
    search = masking()
    sighting = sweep_files(both, FileSearch(CLOSURE))
    assert [(one.file, one.kept) for one in sighting.traces] == [
        ("logs/web.log", False),
        ("media/a.txt", True),
    ]
    with mock.patch.object(scrub, "look", wraps=look) as looked:
        assert scrub.masks_fit(both, search, sighting)
    assert looked.call_count == 1
    with mock.patch.object(scrub, "is_packed_file", wraps=is_packed_file) as asked:
        scrub.require_maskable(both, sighting)
    assert asked.call_count == 1
    done = scrub.scrub_files(both, search, sighting)
    assert (done.files, done.identifiers) == (1, 1)
    assert (media / "a.txt").read_bytes() == TEXT


def _the_largest_is_masked_first(folder: Path) -> None:
    """The largest file is begun first, so that several processes are done at one time."""
    for name, times in (("a.log", 1), ("b.log", 3), ("c.log", 2)):
        _plain(folder, times * TEXT, name)
    order: list[str] = []
    original = in_place.mask_in_place

    def noting(file_set: Any, at: Any, search: Any, *, withheld: bool) -> int:
        order.append(at.path)
        return original(file_set, at, search, withheld=withheld)

    with mock.patch.object(scrub, "mask_in_place", noting):
        assert scrubbed(folder, masking()).identifiers == 6
    assert order == ["b.log", "c.log", "a.log"]


def _what_may_not_be_changed_is_known_before(folder: Path) -> None:
    """Before any row goes it is known that a file may not be masked, and by whom it may."""
    _plain(folder)
    archive = _archive(folder)
    os.chown(archive, 12, 34)
    both = files(folder)
    sighting = swept(folder)
    scrub.require_maskable(both, sighting)
    refused = mock.Mock(side_effect=PermissionError(errno.EPERM, "refused"))
    shut_log = mock.patch.object(scrub, "open_file", refused)
    shut_folder = mock.patch.object(scrub, "beside", refused)
    both_shut = pytest.raises(SurfaceError, match=r"and 1 more holds the subject")
    with shut_log, shut_folder, both_shut:
        scrub.require_maskable(both, sighting)
    with shut_log, pytest.raises(SurfaceError, match=r"/web.log holds the subject"):
        scrub.require_maskable(both, sighting)
    with shut_folder, pytest.raises(SurfaceError, match=r"/web.gz holds the subject"):
        scrub.require_maskable(both, sighting)
    named = _plain(folder, NOBODYS, f"{NUMBER}.log")
    with shut_folder, pytest.raises(SurfaceError, match=r"and 1 more holds the subject"):
        scrub.require_maskable(both, swept(folder))
    scrub.require_maskable(both, swept(folder))
    named.unlink()
    for user, shut in ((77, True), (12, False), (0, False)):
        with mock.patch.object(os, "geteuid", return_value=user):
            if shut:
                with pytest.raises(SurfaceError, match=r"/web.gz holds the subject"):
                    scrub.require_maskable(both, sighting)
            else:
                scrub.require_maskable(both, sighting)
    for found in sighting.marked:
        assert scrub._may_change(both, replace(found, status=None))
    archive.unlink()
    scrub.require_maskable(both, sighting)


def _masks_that_do_not_fit_are_known_before(folder: Path) -> None:
    """Masks fit where they can be put, and stand nowhere yet."""
    log, search = _plain(folder), masking()
    sighting = swept(folder)
    assert scrub.masks_fit(files(folder), search, sighting)
    log.write_bytes(TEXT + masked(search, LINE % BYTES))
    assert not scrub.masks_fit(files(folder), search, sighting)
    assert scrub.masks_fit(files(folder), masking(), sighting)
    _plain(folder)
    refused = mock.Mock(side_effect=MaskError("does not fit"))
    with mock.patch.object(Masks, "mask", refused):
        assert not scrub.masks_fit(files(folder), search, sighting)
        (gap,) = scrub.scrub_files(files(folder), search, sighting).left
    assert gap.why == "does not fit"


def _what_the_system_refuses_is_told(folder: Path) -> None:
    """A file that cannot be opened any more is told with the system's reason; one that is gone not."""
    log = _plain(folder)
    sighting = swept(folder)
    refused = mock.Mock(side_effect=OSError(errno.EIO, "input or output error"))
    with mock.patch.object(scrub, "is_packed_file", refused):
        (gap,) = scrub.scrub_files(files(folder), masking(), sighting).left
    assert gap.why == "it could not be masked (input or output error): mend that, and resume"
    log.unlink()
    done = scrub.scrub_files(files(folder), masking(), sighting)
    assert (done.moved, done.left) == (True, [])


def _names_are_masked(folder: Path) -> None:
    """Names of files and folders, the innermost first, and links with what they lead to."""
    search = masking()
    inner = folder / f"chats-{NUMBER}" / f"of-{NUMBER}"
    inner.mkdir(parents=True)
    _plain(inner, NOBODYS, f"{NUMBER}.log")
    (folder / f"link-{NUMBER}").symlink_to("nowhere")
    (folder / "plain-link").symlink_to(f"chats-{NUMBER}")
    new = masked(search, BYTES).decode()
    with _Calls("fsync").noted() as made:
        done = scrubbed(folder, search)
    assert (done.names, done.identifiers, done.left, done.moved) == (5, 0, [], False)
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    chats = f"chats-{new}"
    within = f"{chats}/of-{new}"
    assert found == sorted([chats, within, f"{within}/{new}.log", f"link-{new}", "plain-link"])
    assert str((folder / "plain-link").readlink()) == chats
    assert str((folder / f"link-{new}").readlink()) == "nowhere"
    assert (folder / within / f"{new}.log").read_bytes() == NOBODYS
    assert made == ["fsync folder"] * 5
    assert swept(folder).named == []


def _a_name_that_is_taken_is_left(folder: Path) -> None:
    """Where something has the masked name already nothing is replaced, and it is told."""
    search = masking()
    named = _plain(folder, NOBODYS, f"{NUMBER}.log")
    taken = _plain(folder, b"taken", masked(search, named.name.encode()).decode())
    (gap,) = scrubbed(folder, search).left
    assert "File exists" in gap.why
    assert (named.read_bytes(), taken.read_bytes()) == (NOBODYS, b"taken")
    sighting = swept(folder)
    named.unlink()
    done = scrub.scrub_files(files(folder), search, sighting)
    assert (done.moved, done.names, done.left) == (True, 0, [])
    _plain(folder, NOBODYS, f"{NUMBER}.log")
    (gap,) = scrubbed(folder, FileSearch(CLOSURE)).left
    assert "no masks were drawn" in gap.why


def _a_form_of_a_name_is_known(folder: Path) -> None:
    """Of each file it is known whether it is packed, and its descriptor is closed."""
    _plain(folder)
    _archive(folder)
    assert is_packed_file(files(folder), place("web.gz"))
    assert not is_packed_file(files(folder), place("web.log"))
    os.close(open_file(files(folder), place("web.log")))
    assert FileSeen(place("web.log")).hits == {}


_CLAIMS: Final = (
    _an_archive_is_replaced,
    _an_attribute_that_is_there_is_not_set,
    _what_may_not_be_kept_is_told,
    _without_room_nothing_is_begun,
    _a_withheld_copy_is_thrown_away,
    _a_copy_that_differs_is_thrown_away,
    lambda _: _a_copy_with_other_parts_or_names_is_another(),
    _names_in_archives_are_masked,
    _a_name_that_was_not_masked_is_seen,
    _other_masks_stay,
    _a_mask_from_before_is_undone_alike,
    _a_broken_archive_is_left,
    _another_name_of_an_archive_is_told,
    _a_kill_leaves_an_archive_whole,
    _what_moved_is_looked_at_again,
    _where_nothing_can_be_exchanged,
    _a_copy_says_what_it_is,
    _files_are_told_apart,
    _a_log_is_masked_where_it_lies,
    _only_a_masks_bytes_are_written,
    lambda _: _near_changes_are_one(),
    _a_mask_across_pages_is_noted_first,
    _what_is_written_meanwhile_is_kept,
    _times_that_are_not_ours_stay,
    _holes_stay,
    _copies_that_a_kill_left_are_removed,
    _what_came_out_by_mistake_is_put_back,
    _what_was_noted_is_finished,
    _what_vanishes_meanwhile_is_no_error,
    _leftovers_are_tidied_by_a_scrub,
    _media_are_left_as_they_are,
    _the_largest_is_masked_first,
    _what_may_not_be_changed_is_known_before,
    _masks_that_do_not_fit_are_known_before,
    _what_the_system_refuses_is_told,
    _names_are_masked,
    _a_name_that_is_taken_is_left,
    _a_form_of_a_name_is_known,
)
