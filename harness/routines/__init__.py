"""Deletion routines: rendered, installed under a run's own name, called, and removed.

A routine is never trusted: what it claims is recorded, what it did is judged. Installing
one never replaces or drops anything that was there before.
"""

from __future__ import annotations

from harness.manifest import Manifest
from harness.model import EngineKind
from harness.routines.mysql import DocumentedProcedure
from harness.routines.postgres import DocumentedFunction
from harness.routines.protocol import Routine
from harness.stores import StoreSet

__all__ = ["Routine", "documented"]


def documented(manifest: Manifest, store_set: StoreSet, run: str) -> Routine:
    """Return the vendor's published routine for a store set, not yet installed.

    Args:
        manifest: Which tables the vendor's statements name, and what they compare.
        store_set: Where it will run; its prefix is rendered into the routine.
        run: A token of letters and digits that makes its objects' names the run's own.
    """
    if store_set.config.engine is EngineKind.MYSQL:
        return DocumentedProcedure(manifest, store_set, run)
    return DocumentedFunction(manifest, store_set, run)
