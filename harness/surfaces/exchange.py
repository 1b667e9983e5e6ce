"""A file put in another one's place, so that at every moment one of them is there, whole.

A rotation may rename the old file while its masked copy is being made; replacing whatever has
its name by then would lose another archive. So the two are exchanged in one step, what came
out is looked at, and put back if it is not the one that was copied.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from harness.errors import SurfaceError

EXCHANGE: Final = 2
_NO_REPLACE: Final = 1
_UNABLE: Final = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
_LETTERS: Final = "bcdfghjkmnpqrstvwxz"
# Inodes in letters, so that no digit run can be taken for a number.
_INODE_LETTERS: Final = "ghjkmnpqrt"
COPY: Final = "scrub"
NOTE: Final = "scrubbing"
LEFTOVER: Final = re.compile(
    r"\.(?P<what>scrub|scrubbing)-(?:new|(?P<old>[g-t]+)-(?P<new>[g-t]+))-[b-z]{8}"
)
"""How our copies are called until they are finished; a killed run leaves one."""


class MovedError(SurfaceError):
    """The file was renamed, replaced or written to meanwhile: it is to be looked at again."""


@contextmanager
def beside(folder: int, old: os.stat_result, what: str = COPY) -> Iterator[tuple[int, str]]:
    """Make a private file beside another, a copy of it or a note; yield its descriptor and name.

    The name tells both inodes, so that a later run knows what a killed one left. A copy that
    did not take the old one's place is removed.

    Raises:
        OSError: It cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    random = "".join(secrets.choice(_LETTERS) for _ in range(8))
    name = f".scrub-new-{random}"
    handle = os.open(name, flags, 0o600, dir_fd=folder)
    own = os.fstat(handle).st_ino
    try:
        named = f".{what}-{letters(old.st_ino)}-{letters(own)}-{random}"
        os.rename(name, named, src_dir_fd=folder, dst_dir_fd=folder)
        name = named
        yield handle, name
    finally:
        with suppress(FileNotFoundError):
            if os.stat(name, dir_fd=folder, follow_symlinks=False).st_ino == own:
                os.unlink(name, dir_fd=folder)
        os.close(handle)


def take_place(folder: int, copy: str, name: str, old: os.stat_result) -> None:
    """Put a copy in the place of the file that it was made from, and remove that.

    Raises:
        MovedError: Something else is there by now; everything is as it was.
        OSError: The file system refused.
    """
    require_same(folder, name, old)
    if not renamed(folder, copy, name, EXCHANGE):
        # Where files cannot be exchanged, the look just before has to do.
        os.replace(copy, name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
        return
    came_out = os.stat(copy, dir_fd=folder, follow_symlinks=False)
    if not _same(came_out, old):
        renamed(folder, copy, name, EXCHANGE)
        raise MovedError("it was renamed or written to meanwhile")
    os.fsync(folder)
    os.unlink(copy, dir_fd=folder)
    os.fsync(folder)


def require_same(folder: int, name: str, old: os.stat_result) -> None:
    """See that a name still belongs to the file that it was.

    Raises:
        MovedError: It does not, or the file was written to.
    """
    try:
        now = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        raise MovedError("it was renamed meanwhile") from None
    if not _same(now, old):
        raise MovedError("it was renamed or written to meanwhile")


def rename_to(folder: int, name: str, new: str) -> None:
    """Rename a file or folder; nothing that has the new name is replaced.

    Raises:
        FileExistsError: Something has it.
    """
    if not renamed(folder, name, new, _NO_REPLACE):
        with suppress(FileNotFoundError):
            os.stat(new, dir_fd=folder, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        os.rename(name, new, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


def relink(folder: int, name: str, new: str, target: str) -> None:
    """Give a symbolic link another target, then, if that differs, another name.

    A kill leaves it under its old name, with one of both targets: a later run goes on from there.

    Raises:
        FileExistsError: Something else has the new name.
    """
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    aside = f".scrub-new-{''.join(secrets.choice(_LETTERS) for _ in range(8))}"
    os.symlink(target, aside, dir_fd=folder)
    try:
        os.chown(aside, status.st_uid, status.st_gid, dir_fd=folder, follow_symlinks=False)
        os.replace(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(aside, dir_fd=folder)
        raise
    os.fsync(folder)
    if new != name:
        rename_to(folder, name, new)


def _same(now: os.stat_result, old: os.stat_result) -> bool:
    return (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns) == (
        old.st_dev,
        old.st_ino,
        old.st_size,
        old.st_mtime_ns,
    )


def letters(inode: int) -> str:
    """Return an inode's number in letters."""
    return "".join(_INODE_LETTERS[int(digit)] for digit in str(inode))


def renamed(folder: int, old: str, new: str, how: int) -> bool:
    """Rename within a folder in one step; return whether the file system can.

    Source: renameat2(2), since glibc 2.28.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    call = getattr(libc, "renameat2", None)
    if call is None:
        return False
    if call(folder, os.fsencode(old), folder, os.fsencode(new), how) == 0:
        return True
    error = ctypes.get_errno()
    if error in _UNABLE:
        return False
    raise OSError(error, os.strerror(error))
