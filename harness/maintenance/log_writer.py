"""A writer that keeps writing while its log is rotated, and loses no line by it.

What writer and rotation agree on: a line is written under an exclusive lock (flock) on the
open file, and only if the path still leads to that file. So whoever has moved a log away, and
then once had its lock, knows that nobody writes to it any more. A full disk holds the writer
up; a line of which only a part went in is taken back first.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from harness.errors import MaintenanceError

_MODE: Final = 0o640
_PAUSE_S: Final = 0.002
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class LogWriter:
    """Appends whole lines to a path, whatever file it leads to at the moment.

    Args:
        path: The log.
        patience_s: How long to wait for somebody else to make a new log before making it:
            logrotate makes it itself, and would push one that it does not expect aside.
        full_s: How long to wait for space; None waits for ever.
    """

    def __init__(self, path: Path, *, patience_s: float = 0.0, full_s: float | None = None) -> None:
        self._path = path
        self._patience_s = patience_s
        self._full_s = full_s
        self._descriptor = -1

    def write(self, line: bytes) -> None:
        """Append a line; returns when it is in the file.

        Raises:
            MaintenanceError: There was no space for it for `full_s` seconds.
            OSError: The log cannot be opened or written.
        """
        until_s = None if self._full_s is None else time.monotonic() + self._full_s
        while not self._tried(line):
            if until_s is not None and time.monotonic() > until_s:
                raise MaintenanceError(
                    f"There is no space for a line in {self._path.name}: free some, and write it "
                    "again; no part of it is in the log."
                )

    def close(self) -> None:
        """Let go of the log."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _tried(self, line: bytes) -> bool:
        """Tell whether the line went in; if not, the reason is mended or was waited for."""
        if self._descriptor < 0:
            self._descriptor = self._opened()
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            live = self._is_live()
            appended = live and self._append(line)
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        if not live:
            self.close()
        elif not appended:
            time.sleep(_PAUSE_S)
        return appended

    def _append(self, line: bytes) -> bool:
        """Write a line at the end, wholly or not at all."""
        end = os.lseek(self._descriptor, 0, os.SEEK_END)
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            written = 0
        if written < len(line):
            os.ftruncate(self._descriptor, end)
        return written == len(line)

    def _is_live(self) -> bool:
        ours = os.fstat(self._descriptor)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    def _opened(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        until_s = time.monotonic() + self._patience_s
        while time.monotonic() < until_s:
            try:
                return os.open(self._path, flags)
            except FileNotFoundError:
                time.sleep(_PAUSE_S)
        return os.open(self._path, flags | os.O_CREAT, _MODE)


def numbered(name: str, number: int, *, length: int) -> bytes:
    """Return a line that tells who wrote it and as which one, `length` bytes with its end."""
    text = f"{name} {number:09d} "
    return f"{text:.<{length - 1}}\n".encode("ascii")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write numbered lines until SIGTERM or `--lines`, then say how many were written."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.maintenance.log_writer", description="Writes numbered lines."
    )
    parser.add_argument("log", type=Path)
    parser.add_argument("--name", default="line")
    parser.add_argument("--lines", type=int, help="default: until SIGTERM")
    parser.add_argument("--length", type=int, default=120, metavar="BYTES")
    parser.add_argument("--pause-s", type=float, default=0.0, metavar="S")
    parser.add_argument("--patience-s", type=float, default=0.0, metavar="S")
    asked = parser.parse_args(arguments)
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    writer = LogWriter(asked.log, patience_s=asked.patience_s)
    count = 0
    while not ended and (asked.lines is None or count < asked.lines):
        writer.write(numbered(asked.name, count, length=asked.length))
        count += 1
        if asked.pause_s:
            time.sleep(asked.pause_s)
    writer.close()
    sys.stdout.write(f"{count}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
