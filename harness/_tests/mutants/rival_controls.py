"""Controls of a scrub that is not alone: other runs, other names, other users, and other files."""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pytest

from harness._tests.mutants.controls import Control
from harness._tests.mutants.file_bed import (
    BYTES,
    NOBODYS,
    NUMBER,
    SEEING,
    TEXT,
    file_control,
    files,
    masked,
    masking,
    scrubbed,
    swept,
)
from harness.errors import SurfaceError
from harness.surfaces import exchange, in_place, scrub, sweep_files
from harness.surfaces.exchange import relink
from harness.surfaces.fileset import FileSet


def rival_controls() -> Iterator[Control]:
    """Yield the controls of what others do to files meanwhile, or have done."""
    for claim in _CLAIMS:
        yield file_control(claim)


def _archive(folder: Path, name: str = "web.gz") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(TEXT))
    return path


# --- other runs -----------------------------------------------------------------------------


def _is_locked(folder: Path) -> bool:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        return True
    finally:
        os.close(handle)


def _one_run_scrubs_at_a_time(folder: Path) -> None:
    """While a scrub goes on all of its folders are held, and none after; a share may know no locks."""
    logs = [folder / "a", folder / "b"]
    for one in logs:
        one.mkdir()
        (one / "web.log").write_bytes(TEXT)
    own = FileSet.of(list(reversed(logs)), [])
    held: list[list[bool]] = []
    original = in_place.mask_in_place

    def noting(*args: Any, **more: Any) -> int:
        held.append([_is_locked(one) for one in logs])
        return original(*args, **more)

    with mock.patch.object(scrub, "mask_in_place", noting):
        scrub.scrub_files(own, masking(), sweep_files(own, SEEING))
    assert held == [[True, True]] * 2
    assert not any(map(_is_locked, logs))
    for one in logs:
        (one / "web.log").write_bytes(TEXT)
    refused = mock.Mock(side_effect=OSError(errno.ENOLCK, "no locks"))
    with mock.patch.object(fcntl, "flock", refused):
        assert scrub.scrub_files(own, masking(), sweep_files(own, SEEING)).identifiers == 2


# --- other names ----------------------------------------------------------------------------


def _other_names_are_counted_where_they_are_masked(folder: Path) -> None:
    """A name among media stays, and is told; that of a log that is masked in its place is not."""
    logs, media = folder / "logs", folder / "media"
    logs.mkdir()
    media.mkdir()
    archive = _archive(logs)
    (media / "kept.gz").hardlink_to(archive)
    plain = logs / "web.log"
    plain.write_bytes(TEXT)
    (folder / "outside.log").hardlink_to(plain)
    own = files(logs, media)
    marked = [one for one in sweep_files(own, SEEING).marked if one.place.root == 0]
    (gap,) = scrub._linked_elsewhere(own, marked)
    assert (gap.file, gap.why, gap.lasting) == ("logs/web.gz", scrub._LINKED, True)
    (media / "kept.gz").unlink()
    archive.unlink()
    assert not list(scrub._linked_elsewhere(own, marked))
    # Files of one name are not looked for.
    with mock.patch.object(FileSet, "walk", side_effect=AssertionError):
        alone = [replace(one, status=None) for one in marked]
        assert not list(scrub._linked_elsewhere(own, alone))


def _a_file_of_one_name_has_no_other(folder: Path) -> None:
    """That an archive was taken away meanwhile is no reason to tell of another name."""
    archive = _archive(folder)
    own = files(folder)
    other = _archive(folder, "other.gz")
    (folder.parent / f"{folder.name}.gz").hardlink_to(other)
    try:
        marked = swept(folder).marked
        archive.unlink()
        archive.write_bytes(other.read_bytes())
        os.link(archive, folder / "third.gz")
        (gap,) = scrub._linked_elsewhere(own, marked)
        assert gap.file.endswith("/other.gz")
    finally:
        (folder.parent / f"{folder.name}.gz").unlink()


# --- other users ----------------------------------------------------------------------------


def _refused(code: int) -> mock.Mock:
    return mock.Mock(side_effect=OSError(code, "refused"))


def _a_name_may_be_changed_or_is_told(folder: Path) -> None:
    """A name that is gone is no hindrance, and one whose folder may not be written to is."""
    (folder / f"{NUMBER}.log").write_bytes(NOBODYS)
    own, seen = files(folder), swept(folder)
    (found,) = seen.named
    assert scrub._may_rename(own, found)
    (folder / f"{NUMBER}.log").unlink()
    with mock.patch.object(scrub, "beside", _refused(errno.EROFS)):
        assert not scrub._may_rename(own, found)
        with pytest.raises(SurfaceError, match="may not be changed"):
            scrub.require_maskable(own, seen)
    with mock.patch.object(scrub, "beside", mock.Mock(side_effect=FileNotFoundError)):
        assert scrub._may_rename(own, found)
    # Of what could not be looked at it is asked whether its folder may be written to.
    unknown = replace(found, status=None)
    for may in (True, False):
        with mock.patch.object(os, "access", return_value=may) as asked:
            assert scrub._may_rename(own, unknown) is may
        ((where, how), more) = asked.call_args
        assert (where, how, list(more)) == (".", os.W_OK, ["dir_fd"])


def _one_strange_file_does_not_end_a_scrub(folder: Path) -> None:
    """What nobody foresaw is told of the file, and the others are masked."""
    for name in ("a.log", "b.log"):
        (folder / name).write_bytes(TEXT)
    original = in_place.mask_in_place

    def strange(file_set: Any, at: Any, search: Any, *, withheld: bool) -> int:
        if at.path == "a.log":
            raise ZeroDivisionError
        return original(file_set, at, search, withheld=withheld)

    with mock.patch.object(scrub, "mask_in_place", strange):
        done = scrubbed(folder, masking())
    assert done.identifiers == 1
    ((file, why),) = ((one.file, one.why) for one in done.left)
    assert file.endswith("/a.log")
    assert "ended with ZeroDivisionError" in why


# --- links ----------------------------------------------------------------------------------


def _a_link_is_replaced_whole(folder: Path) -> None:
    """A link keeps its owner, and is there under one of its names whatever the system refuses."""
    search = masking()
    new = masked(search, BYTES).decode()

    def links() -> dict[str, str]:
        return {one.name: str(one.readlink()) for one in folder.iterdir()}

    for name, renamed in (("current", "current"), (f"{NUMBER}.lnk", f"{new}.lnk")):
        link = folder / name
        link.symlink_to(NUMBER)
        os.chown(link, 12, 34, follow_symlinks=False)
        for call in ("symlink", "chown", "replace"):
            with mock.patch.object(os, call, _refused(errno.ENOSPC)):
                (gap,) = scrubbed(folder, search).left
            assert "refused" in gap.why
            assert links() == {name: NUMBER}
        flushed: list[bool] = []
        with mock.patch.object(os, "fsync", lambda _, f=flushed: f.append(True)):
            assert scrubbed(folder, search).names == 1
        assert links() == {renamed: new}
        status = (folder / renamed).lstat()
        assert (status.st_uid, status.st_gid) == (12, 34)
        assert len(flushed) == 1 + (name != renamed)
        (folder / renamed).unlink()


def _a_link_whose_new_name_is_taken_stays(folder: Path) -> None:
    """Nothing that has the new name is replaced; and what is left aside goes, if it is there yet."""
    search = masking()
    link = folder / f"{NUMBER}.lnk"
    link.symlink_to(NUMBER)
    taken = folder / masked(search, link.name.encode()).decode()
    taken.write_bytes(NOBODYS)
    (gap,) = scrubbed(folder, search).left
    assert "File exists" in gap.why
    assert sorted(folder.iterdir()) == sorted([link, taken])
    assert taken.read_bytes() == NOBODYS
    assert link.readlink() == Path(masked(search, BYTES).decode())

    def vanish(aside: str, _: str, **more: int) -> None:
        os.unlink(aside, dir_fd=more["src_dir_fd"])
        raise OSError(errno.EIO, "refused")

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with (
            mock.patch.object(os, "replace", vanish),
            pytest.raises(OSError, match="refused"),
        ):
            relink(handle, link.name, "other", "target")
    finally:
        os.close(handle)
    assert sorted(folder.iterdir()) == sorted([link, taken])


class _KilledError(BaseException):
    """The end of a process, at which nothing of ours cleans up."""


def _a_link_outlives_a_kill(folder: Path) -> None:
    """Wherever a run is killed over a link, the next one finishes it, and nothing is left of both."""
    search = masking()
    new = masked(search, BYTES).decode()
    for name, renamed in (("current", "current"), (f"{NUMBER}.lnk", f"{new}.lnk")):
        for call in ("symlink", "chown", "replace", "fsync", "rename"):
            (folder / name).symlink_to(NUMBER)
            own, seen = files(folder), swept(folder)
            module = exchange if call == "rename" else os
            function = "rename_to" if call == "rename" else call
            killed = mock.patch.object(module, function, side_effect=_KilledError)
            reached = call != "rename" or name != renamed
            with killed, pytest.raises(_KilledError) if reached else nullcontext():
                scrub.scrub_files(own, search, seen)
            scrubbed(folder, search)
            assert [(one.name, str(one.readlink())) for one in folder.iterdir()] == [(renamed, new)]
            (folder / renamed).unlink()


_CLAIMS: Final[tuple[Callable[[Path], object], ...]] = (
    _one_run_scrubs_at_a_time,
    _other_names_are_counted_where_they_are_masked,
    _a_file_of_one_name_has_no_other,
    _a_name_may_be_changed_or_is_told,
    _one_strange_file_does_not_end_a_scrub,
    _a_link_is_replaced_whole,
    _a_link_whose_new_name_is_taken_stays,
    _a_link_outlives_a_kill,
)
