"""A disk small enough to be filled: a tmpfs of its own, which nobody else sees.

It is mounted in a mount namespace that a helper process holds open, and reached through that
process's /proc/PID/root; so it needs no rights, leaves nothing behind, and goes with the
helper. Where namespaces are forbidden (in most containers), the size of files is limited
instead: a write then fails in the same places, with another errno.
"""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HELPER: Final = 'mount -t tmpfs -o "size=$1,mode=0700" tmpfs "$2" && echo ready && exec cat'
_BALLAST: Final = "ballast"
_PAGE_BYTES: Final = 4096
_LIMIT_BYTES: Final = 4096
"""What still fits into a file where only file sizes can be limited: settings, not logs."""


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A folder on a disk that can be filled; `real` tells whether the disk is."""

    path: Path
    real: bool

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no space on the disk until this ends."""
        if not self.real:
            with _limited_files():
                yield
            return
        ballast = self.path / _BALLAST
        try:
            _fill(ballast)
            yield
        finally:
            ballast.unlink()


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Mount a small disk on an empty folder, or do the next best thing there."""
    for options in (["-m"], ["-rm"]):
        # A user namespace is what an ordinary user needs, and root inside many a container.
        command = ["unshare", *options, "sh", "-c", _HELPER, "sh", str(size_bytes), str(folder)]
        with subprocess.Popen(  # noqa: S603 - a constant program on a folder of ours
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as helper:
            reached = Path(f"/proc/{helper.pid}/root{folder}")
            if helper.stdout and helper.stdout.readline() and _is_reachable(reached):
                try:
                    yield SmallDisk(reached, real=True)
                finally:
                    helper.kill()
                return
            helper.kill()
    yield SmallDisk(folder, real=False)


def _is_reachable(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.W_OK | os.X_OK)


def _fill(ballast: Path) -> None:
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        while True:
            os.write(descriptor, bytes(_PAGE_BYTES))
    except OSError:
        return  # no page is left
    finally:
        os.close(descriptor)


@contextmanager
def _limited_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LIMIT_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
