"""What the documented routine must leave behind, worked out without a server.

The published map is applied to the seeded rows in Python; what it does not delete and where
the subject was planted is what a sweep must find, no more and no fewer. Neither the SQL nor
the matcher takes part, so that neither can vouch for itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from harness.identity import WaId
from harness.manifest import Manifest, Table, VendorStatement
from harness.model import OTHER_SET, EngineKind, Finding, FindingKind, Probe, SeedRow

_ROUTINE: Final = FindingKind.ROUTINE


def conduct(engine: EngineKind, label: str) -> tuple[Finding, ...]:
    """Predict what an examination of the documented routine finds, from reading it.

    It checks nothing that it is called with; -1 is the installation's own identity. MySQL 5.6
    reads a number from the text's beginning, and commits each statement by itself.
    """
    surfaces = [f"called with {Probe.NULL}", f"called with {Probe.OWN}"]
    if engine is EngineKind.MYSQL:
        surfaces += [f"called with {Probe.TEXT}", "failure half way"]
    why = "the published routine checks nothing, and has no transaction"
    found = [Finding(_ROUTINE, label, "", "", "", surface, 1, why) for surface in surfaces]
    own = "the published routine takes -1 for a person"
    found.append(Finding(_ROUTINE, label, "axolotlStore", "identities", "", "own identity", 1, own))
    return tuple(sorted(found))


class DocumentedPrediction:
    """The published map of one engine as a predicate over seeded rows."""

    def __init__(self, manifest: Manifest, engine: EngineKind, wa_id: WaId) -> None:
        self._manifest = manifest
        self._engine = engine
        self._wa_id = wa_id

    def traces(self, label: str, rows: Sequence[SeedRow], *, called: bool) -> tuple[Finding, ...]:
        """Predict the traces in the judged set.

        Args:
            label: What to name the engine in findings.
            rows: The set as it was seeded.
            called: Whether the routine runs in this set at all.
        """
        deletes = self._deletes(rows) if called else _never
        left: Counter[tuple[str, str, str]] = Counter()
        for row in rows:
            if not deletes(row):
                left.update((row.store, row.table, column) for column in row.planted)
        return tuple(
            Finding(FindingKind.TRACE, label, *place, "", count, self._why(*place, called=called))
            for place, count in sorted(left.items())
        )

    def collateral(self, label: str, rows: Sequence[SeedRow]) -> tuple[Finding, ...]:
        """Predict the rows that the routine deletes from a set it should not touch."""
        deletes = self._deletes(rows)
        gone = Counter((row.store, row.table) for row in rows if deletes(row))
        why = "the published routine names databases without the prefix"
        return tuple(
            Finding(FindingKind.COLLATERAL, label, *place, "", OTHER_SET, count, why)
            for place, count in sorted(gone.items())
        )

    def _deletes(self, rows: Sequence[SeedRow]) -> Callable[[SeedRow], bool]:
        operands: dict[str, object] = {"jid": self._jid(rows), "wa_id": int(self._wa_id.number)}

        def deletes(row: SeedRow) -> bool:
            statement = self._statement(row.store, row.table)
            return statement is not None and any(
                row.values.get(column) == operands[operand] for column, operand in statement.where
            )

        return deletes

    def _jid(self, rows: Iterable[SeedRow]) -> str:
        """Work out the JID as the routine does: only PostgreSQL asks wa_phones."""
        if self._engine is EngineKind.POSTGRES:
            for row in rows:
                known = row.values.get("phone_number") == f"+{self._wa_id.number}"
                if row.table == "wa_phones" and known:
                    return str(row.values["jid"])
        return self._wa_id.jid

    def _statement(self, store: str, table: str) -> VendorStatement | None:
        described = self._manifest.table(store, table)
        return described.vendor_on(self._engine) if described else None

    def _why(self, store: str, table: str, column: str, *, called: bool) -> str:
        if not called:
            return "the published routine never reaches a store set with a prefix"
        described = self._manifest.tables[store, table]
        statement = described.vendor_on(self._engine)
        if statement is None:
            return _unnamed(described, self._engine)
        if column not in dict(statement.where):
            return "the published map does not compare this column"
        if self._engine is EngineKind.MYSQL:
            return "only whole values equal to the number's own JID go: no group JID, no mapped JID"
        return "only whole values equal to the JID or the number go: no group JID, no mapped key"


def _unnamed(table: Table, engine: EngineKind) -> str:
    if table.vendor:
        return f"the published {engine.proper_name} version forgets this table"
    return "the published map does not name this table"


def _never(_: SeedRow) -> bool:
    return False
