"""Become a server that dies with the harness. Run as a script; imports nothing of the harness.

This runs between fork and exec in a process of its own rather than in a `preexec_fn`, which is
unsafe, and warned about, in a harness that has threads. It drops privileges, asks the kernel
for a signal when the thread that launched it ends, forbids core dumps (they would hold rows),
and becomes the server. Its one argument is a JSON object; it holds no secret.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from typing import TypedDict

_PR_SET_PDEATHSIG = 1


class Order(TypedDict):
    """What to become: uid and gid are null to stay who we are."""

    command: list[str]
    environment: dict[str, str]
    uid: int | None
    gid: int | None
    death_signal: int
    parent_pid: int


def main(order: Order) -> None:
    """Carry out an order; does not return unless it fails."""
    if order["uid"] is not None and order["gid"] is not None:
        os.setgroups([])
        os.setgid(order["gid"])
        os.setuid(order["uid"])
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # After the change of user, which would clear it. Source: prctl(2).
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, order["death_signal"])
    if os.getppid() != order["parent_pid"]:
        sys.exit("the harness ended before the server began")
    program = order["command"][0]
    os.execve(program, order["command"], order["environment"])  # noqa: S606 - that is the purpose


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
