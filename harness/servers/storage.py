"""What can go wrong with a disk, in sentences that name the cause and the way out."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.errors import ServerError

_NUMBER = re.compile(r"\[Errno (\d+)\]")


@contextlib.contextmanager
def storage_errors(what: str, where: Path) -> Iterator[None]:
    """Turn an OSError about storage into a sentence with the way out.

    Raises:
        ServerError: instead of any OSError of the body.
    """
    try:
        yield
    except OSError as error:
        raise storage_error(what, where, errno_of(error)) from error


def storage_error(what: str, where: Path, number: int) -> ServerError:
    """Word the error for an errno that came up while writing below `where`."""
    remedy = "set XDG_CACHE_HOME to a writable folder with 300 MB free and run again"
    if number in {errno.ENOSPC, errno.EDQUOT}:
        return ServerError(f"{what} could not be installed: no space left in {where}; {remedy}.")
    if number in {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}:
        return ServerError(f"{what} could not be installed: {where} is not writable; {remedy}.")
    cause = os.strerror(number) if number else "unknown error"
    return ServerError(f"{what} could not be installed in {where} ({cause}); {remedy}.")


def errno_of(error: OSError) -> int:
    """Return an error's number, or 0; `shutil.copytree` hides it in a list of sentences."""
    if isinstance(error, shutil.Error):
        numbers = _NUMBER.findall(str(error))
        return int(numbers[-1]) if numbers else 0
    return error.errno or 0
