"""Work done without the privileges of root, so that what may not be read cannot be read."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

_FORK: Final = get_context("fork")
_VERSION_3: Final = 0x20080522
_SET_SECUREBITS: Final = 28
_NO_ROOT: Final = 0b11
"""Programs started as root gain nothing by it, and that is locked."""


def powerless(piece: Callable[[], Any]) -> Any:
    """Run a piece in a child without capabilities, as any user would, and return its result.

    Raises:
        RuntimeError: The child ended without a result.
    """
    receiving, sending = _FORK.Pipe(duplex=False)
    child = _FORK.Process(target=_run, args=(piece, sending))
    child.start()
    sending.close()
    try:
        outcome = receiving.recv()
    except EOFError:
        raise RuntimeError("The piece ended without a result: see above.") from None
    finally:
        child.join()
    return outcome


def _run(piece: Callable[[], Any], sending: Connection) -> None:
    if _has_capabilities():
        _drop()
    sending.send(piece())


def _has_capabilities() -> bool:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return int(effective.split()[1], 16) != 0


def _drop() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    if libc.prctl(_SET_SECUREBITS, _NO_ROOT, 0, 0, 0) or libc.capset(header, none):
        raise OSError(ctypes.get_errno(), "privileges could not be dropped")
