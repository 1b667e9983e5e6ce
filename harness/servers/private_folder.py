"""Private folders, one for each running server, and what sweeps up those of dead runs.

`<tmp>/waba-erasure-harness-<uid>/<engine>-<random>/` holds all that a server writes. Its
`owner.lock` is held by flock for as long as the harness process lives, however it ends, so a
folder whose lock can be taken belongs to nobody any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ServerError
from harness.servers.account import Account

# A socket's path must fit into sockaddr_un (108 bytes), a server's socket name included.
_LONGEST_PATH_BYTES = 80
_OWNER_LOCK = "owner.lock"
_TURN = "turn.lock"


@dataclass(frozen=True, slots=True)
class PrivateFolder:
    """A server's folder and the descriptor of its lock, which says that we are alive."""

    path: Path
    lock: int

    def remove(self) -> None:
        """End every process in the folder, remove it and let go of the lock."""
        _clear(self.path, self.lock)
        with contextlib.suppress(OSError), _turn(self.path.parent):
            _remove_if_empty(self.path.parent)


def make_private_folder(name: str, account: Account) -> PrivateFolder:
    """Make a folder for one server and lock it.

    Raises:
        ServerError: no temporary folder can be used, or ours belongs to someone else.
        OSError: the temporary folder is full or read-only.
    """
    parent = _usable_parent(account)
    with _turn(parent):
        parent.chmod(_mode(account))
        path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
        lock = os.open(path / _OWNER_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    path.chmod(_mode(account))
    return PrivateFolder(path, lock)


def sweep_up() -> int:
    """Remove what runs left behind that did not end by themselves; return how many folders.

    Folders of runs that are alive are left alone.

    Raises:
        OSError: the temporary folder is full or read-only.
    """
    removed = 0
    for parent in _parents():
        if not parent.is_dir() or parent.is_symlink() or parent.stat().st_uid != os.geteuid():
            continue
        with _turn(parent):
            for path in parent.iterdir():
                removed += path.is_dir() and _sweep(path)
            _remove_if_empty(parent)
    return removed


def end_processes_in(path: Path, *, gently_s: float = 2.0) -> None:
    """End every process whose working folder lies in `path`: first asked to, then killed.

    The working folder identifies them: both engines work in their data folder, so do the
    children of PostgreSQL, which leave its process group. A number alone may be reused.

    Args:
        path: the private folder.
        gently_s: seconds between SIGQUIT, on which PostgreSQL frees its shared memory, and
            SIGKILL.
    """
    started = time.monotonic()
    asked: set[int] = set()
    while found := set(_processes_in(path)):
        patient = time.monotonic() - started < gently_s
        for pid in found - asked if patient else found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT if patient else signal.SIGKILL)
        asked |= found
        if time.monotonic() - started > gently_s + 5.0:
            return  # not even SIGKILL ended it: the kernel is waiting for a device
        time.sleep(0.02)


def _processes_in(path: Path) -> Iterator[int]:
    """Yield the numbers of the processes whose working folder is `path` or below."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        # Other users' processes cannot be read and end between listing and reading.
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink().is_relative_to(path):
                yield int(entry.name)


def _sweep(path: Path) -> bool:
    """Remove one folder if its owner is dead; the caller holds the parent's turn."""
    try:
        lock = os.open(path / _OWNER_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    _clear(path, lock)
    return True


def _clear(path: Path, lock: int) -> None:
    """End the processes in a folder, remove it and close the descriptor of its lock."""
    end_processes_in(path)
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.close(lock)


@contextlib.contextmanager
def _turn(parent: Path) -> Iterator[None]:
    """Make `parent` if need be, and keep others from making or sweeping folders in it.

    Raises:
        ServerError: it belongs to someone else.
    """
    while True:
        with contextlib.suppress(FileExistsError):
            parent.mkdir(mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            _require_ours(parent)
            descriptor = os.open(parent / _TURN, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                break
            os.close(descriptor)  # whoever had the turn before us removed it with the parent
    try:
        yield
    finally:
        os.close(descriptor)


def _remove_if_empty(parent: Path) -> None:
    """Remove `parent` when no server's folder is left in it; the caller holds its turn."""
    if [path.name for path in parent.iterdir()] == [_TURN]:
        (parent / _TURN).unlink()
        parent.rmdir()


def _parents() -> tuple[Path, ...]:
    """Return the folders that ours may lie in: the temporary one first, then /tmp."""
    places = dict.fromkeys((Path(tempfile.gettempdir()), Path("/tmp")))  # noqa: S108 - see below
    # /tmp is no guess at a file name here: it is the one folder that every account reaches.
    return tuple(place / f"waba-erasure-harness-{os.geteuid()}" for place in places)


def _usable_parent(account: Account) -> Path:
    """Return the first parent that the account reaches and whose paths are short enough."""
    for parent in _parents():
        short = len(os.fsencode(parent)) <= _LONGEST_PATH_BYTES - len("/postgres-18-12345678")
        if short and account.can_pass(parent) and os.access(parent.parent, os.W_OK):
            return parent
    raise ServerError(
        "No folder for temporary files can be used: let TMPDIR name a short path that every user "
        "may pass through and you may write to."
    )


def _require_ours(parent: Path) -> None:
    """Refuse a folder that somebody else put where ours should be."""
    status = parent.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise ServerError(
            f"{parent} belongs to someone else: have it removed, or set TMPDIR to another folder."
        )


def _mode(account: Account) -> int:
    """Return the mode of our folders: the server's account passes through, nobody looks in."""
    return 0o711 if account.other else 0o700
