"""Rules about drift at an upgrade gate: what the gate itself reads must be there.

The manifest is reconstructed, so that a real client has tables and columns which it lacks: that
is good to know before an erasure, and no reason to hold an upgrade back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from harness.judge.runs import REMARK, Run
from harness.model import Drifted, Finding, FindingKind, GateOpened

_READ: Final = (
    ("messageStore", "messages", ""),
    ("messageStore", "messages", "key_from_me"),
    ("messageStore", "messages", "timestamp"),
    ("callbackStore", "queue", ""),
)
"""The tables and columns that a gate looks at by name."""
_CHECK: Final = (
    "see that WA_DB_NAME_PREFIX, the server and the account are right; where they are, describe "
    "this client's schema in fixtures/manifest.toml"
)


def lacking(run: Run) -> Iterator[Finding]:
    """Where a store, or something that the gate reads, is not there, it could not be judged."""
    for one in _drifted(run):
        if _is_read(one):
            place = (one.store, one.table, one.column)
            why = f"it is not on this server, so that it could not be looked at: {_CHECK}"
            yield run.finding(FindingKind.COVERAGE, why, place=place)


def remarks(run: Run) -> Iterator[Finding]:
    """Yield the other differences: good to know before an erasure, and never decisive."""
    for one in _drifted(run):
        if not _is_read(one):
            place = (one.store, one.table, one.column)
            why = "not in the manifest: give its treatment there before an erasure"
            if one.missing:
                why = "in the manifest, and not on this server"
            yield run.finding(FindingKind.DRIFT, f"{REMARK}{why}", place=place)


def _drifted(run: Run) -> Iterator[Drifted]:
    if run.all(GateOpened):
        yield from (one for one in run.all(Drifted) if not one.accepted)


def _is_read(one: Drifted) -> bool:
    return one.missing and (not one.table or (one.store, one.table, one.column) in _READ)
