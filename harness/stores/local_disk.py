"""The disk that a server's data is on, where the server is provably on this very machine.

A server behind a loopback address may still be in a container or at the end of a tunnel, and
the folder that it names be another one here. So a folder counts only when a file inside of it
says the same as the server.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Disk:
    """How much room there is for an ordinary user, and how much in all."""

    free_bytes: int
    size_bytes: int


def is_here(hostname: str) -> bool:
    """Tell whether an address, a name or a socket's folder is this machine's own.

    Source: bind(2): only an address of a local interface can be bound to.
    """
    if hostname.startswith("/") or not hostname:
        return True
    try:
        found = socket.getaddrinfo(hostname, 0, type=socket.SOCK_DGRAM)
    except OSError:
        return False
    return any(_binds(family, address) for family, *_, address in found)


def _binds(family: int, address: object) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(address)  # type: ignore[arg-type] # as getaddrinfo gave it
    except OSError:
        return False
    return True


def fullest(folders: Iterable[str]) -> Disk | None:
    """Return the disk with the least share of free space among those that the folders are on."""
    found = []
    for folder in folders:
        with suppress(OSError):
            usage = shutil.disk_usage(Path(folder))
            if usage.total:
                found.append(Disk(usage.free, usage.total))
    return min(found, key=lambda disk: disk.free_bytes / disk.size_bytes, default=None)
