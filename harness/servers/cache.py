"""The per-user cache: what is installed once lies here, whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

from harness.errors import ServerError
from harness.servers.storage import storage_errors

_WAIT_FOR_OTHERS_S = 600.0


def cache_folder() -> Path:
    """Return the cache folder, which need not exist yet; XDG_CACHE_HOME moves it.

    Raises:
        ServerError: there is no home folder to put it in.
    """
    try:
        return platformdirs.user_cache_path("waba-erasure-harness")
    except RuntimeError as error:
        raise ServerError(
            "This user has no home folder: set XDG_CACHE_HOME to a writable folder with 300 MB "
            "free and run again."
        ) from error


def place(
    target: Path,
    build: Callable[[Path, int], None],
    is_complete: Callable[[Path], bool],
    *,
    what: str,
) -> None:
    """Make `target` by building it beside and renaming it, so that half of it is never seen.

    Concurrent processes wait for each other and build once. What an interrupted build left
    is removed by the next one.

    Args:
        target: the folder to make.
        build: fills the empty folder it is given; its second argument is the descriptor of
            the lock, which a child process should inherit (see below).
        is_complete: tells a finished folder from one that somebody thinned out by hand.
        what: what is being installed, for messages.

    Raises:
        ServerError: the cache is full, read-only or held by another process for too long.
    """
    with storage_errors(what, cache_folder()):
        target.parent.mkdir(parents=True, exist_ok=True)
        # A killed harness may leave npm running. A child that inherits the descriptor keeps
        # the lock until it ends, so nobody builds in the same folder at the same time.
        with _exclusive(target.parent / f"{target.name}.lock", what) as lock:
            if is_complete(target):
                return
            partial = target.parent / f"{target.name}.partial"
            for leftover in (target, partial):
                shutil.rmtree(leftover, ignore_errors=True)
            partial.mkdir()
            try:
                build(partial, lock)
                partial.rename(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _exclusive(path: Path, what: str) -> Iterator[int]:
    """Hold the lock file `path`, waiting for other processes, and yield its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _WAIT_FOR_OTHERS_S
    try:
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{what} has been in the making by another process for "
                    f"{_WAIT_FOR_OTHERS_S:.0f} s: end that process and run again."
                )
            time.sleep(0.1)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
