"""Starts live sessions quickly: everything is imported once, and each session is a fork.

A session so started is a process of its own, leader of its own group, and runs what
`python -m pytest` runs. Orders come on standard input, a JSON array a line: `["start",
arguments, screen]` is answered by a process id, `["wait", id]` by an exit status.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

REPOSITORY: Final = Path(__file__).resolve().parents[3]
_IMPORTED: Final = (
    "allure_pytest.plugin",
    "harness.plugin",
    "harness.plugin.live_stage",
    "psycopg2",
    "pymysql",
)


class Starter:
    """Sessions' parent, in a process of its own, since this one may have threads and servers."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, arguments: list[str], screen: Path) -> int:
        """Start a session and return its process id."""
        return self._ask("start", arguments, str(screen))

    def wait(self, pid: int) -> int:
        """Return the exit status of a session as soon as it has ended; -9 if it was killed."""
        return self._ask("wait", pid)

    def close(self) -> None:
        """End the starter; sessions that still run go on."""
        self._process.communicate()

    def _ask(self, *order: object) -> int:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()
        return int(stdout.readline())


def _main() -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        verb, *given = json.loads(line)
        answer = _start(*given) if verb == "start" else _wait(*given)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _start(arguments: list[str], screen: str) -> int:
    return os.fork() or _become_session(arguments, screen)


def _become_session(arguments: list[str], screen: str) -> NoReturn:
    import pytest  # noqa: PLC0415 - imported already

    os.setsid()
    os.environ["COLUMNS"] = "400"  # no line is broken
    descriptor = os.open(screen, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (descriptor, 1), (descriptor, 2)):
        os.dup2(source, target)
    status = 3
    try:
        status = int(
            pytest.main(["-p", "no:cacheprovider", "-p", "no:hypothesispytest", *arguments])
        )
        sys.stdout.flush()
    finally:
        os._exit(status)


def _wait(pid: int) -> int:
    for _ in range(12_000):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return -1


if __name__ == "__main__":
    _main()
