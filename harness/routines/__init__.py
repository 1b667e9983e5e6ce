"""Deletion routines: rendered, installed under a run's own name, called, and removed.

A routine is never trusted: what it claims is recorded, what it did is judged. Installing
one never replaces or drops anything that was there before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from harness.errors import StoreError
from harness.manifest import Manifest
from harness.model import EngineKind
from harness.routines import mysql, postgres
from harness.routines.file import RoutineFile, read
from harness.routines.protocol import CALL_LIMIT_S, Routine
from harness.stores import StoreSet

__all__ = ["CALL_LIMIT_S", "Routine", "RoutineFile", "committed", "documented", "from_file", "read"]


def documented(manifest: Manifest, store_set: StoreSet, run: str) -> Routine:
    """Return the vendor's published routine for a store set, not yet installed.

    Args:
        manifest: Which tables the vendor's statements name, and what they compare.
        store_set: Where it will run; its prefix is rendered into the routine.
        run: A token of letters and digits that makes its objects' names the run's own.
    """
    if store_set.config.engine is EngineKind.MYSQL:
        return mysql.documented(manifest, store_set, run)
    return postgres.documented(manifest, store_set, run)


@contextmanager
def committed(routine: Routine) -> Iterator[None]:
    """Call a routine inside a transaction: commit if it returns, roll back if it fails."""
    routine.session.execute(routine.home, "BEGIN")
    try:
        yield
    except StoreError:
        with suppress(StoreError):
            routine.session.execute(routine.home, "ROLLBACK")
        raise
    routine.session.execute(routine.home, "COMMIT")


def from_file(file: RoutineFile, manifest: Manifest, store_set: StoreSet, run: str) -> Routine:
    """Return an operator's routine for a store set, not yet installed; see `documented`."""
    if store_set.config.engine is EngineKind.MYSQL:
        return mysql.from_file(file, store_set, run)
    return postgres.from_file(file, manifest, store_set, run)
