"""What a killed run left in a folder, finished or cleaned up by the next one."""

from __future__ import annotations

import os
from contextlib import suppress

from harness.errors import SurfaceError
from harness.surfaces.exchange import EXCHANGE, LEFTOVER, NOTE, letters, renamed
from harness.surfaces.in_place import finish


def tidy(folder: int) -> int:
    """Clean up what a killed run left in a folder; return how many files that were.

    A copy that was not finished goes, and an old file whose copy has its place. One that came
    out by mistake, because of a rotation at that very moment, is put back first; and what was
    noted before it was written in place is written once more.

    Raises:
        SurfaceError: A file is none of ours.
        OSError: The folder cannot be changed.
    """
    names = [name for name in os.listdir(folder) if LEFTOVER.fullmatch(name)]
    for name in names:
        with suppress(FileNotFoundError):
            _tidy(folder, name)
    if names:
        os.fsync(folder)
    return len(names)


def _tidy(folder: int, name: str) -> None:
    match = LEFTOVER.fullmatch(name)
    inode = letters(os.stat(name, dir_fd=folder, follow_symlinks=False).st_ino)
    if match and match["old"]:
        if match["what"] == NOTE:
            _finish(folder, name, match["old"])
        elif inode not in {match["old"], match["new"]}:
            _put_back(folder, name, match["new"])
    os.unlink(name, dir_fd=folder)


def _finish(folder: int, note: str, old: str) -> None:
    """Write what a note tells into the file that it is about, if that is still there."""
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    abouts = _with_inode(folder, old)
    if not abouts:
        raise SurfaceError(
            "an interrupted run was masking a log that is in this folder no more: look for half a "
            "number in it where it is now, then remove the file whose name begins with .scrubbing-"
        )
    for other in abouts:
        about = os.open(other, os.O_RDWR | flags, dir_fd=folder)
        told = os.open(note, os.O_RDONLY | flags, dir_fd=folder)
        try:
            finish(about, os.read(told, os.fstat(told).st_size))
        finally:
            os.close(about)
            os.close(told)


def _put_back(folder: int, name: str, copy: str) -> None:
    """Exchange a file that came out by mistake with the copy that has its name.

    Raises:
        SurfaceError: The copy is not there.
    """
    for other in _with_inode(folder, copy):
        renamed(folder, name, other, EXCHANGE)
        return
    raise SurfaceError(
        "a file that an interrupted run left beside the archives is none of its own: look at the "
        "files whose names begin with .scrub- by hand"
    )


def _with_inode(folder: int, inode: str) -> list[str]:
    found = []
    for name in os.listdir(folder):
        with suppress(FileNotFoundError):
            if letters(os.stat(name, dir_fd=folder, follow_symlinks=False).st_ino) == inode:
                found.append(name)
    return found[:1]
