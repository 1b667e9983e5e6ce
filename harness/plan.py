"""The plan: which rows go and which are masked, located first and carried out exactly.

Nothing is deleted by a predicate. One pass over every row locates the subject's rows and
the mentions, by key, and fingerprints everybody else; the plan is then carried out by key,
and every affected count must equal the located count. What that left is swept again before
anything is committed. The canary goes through all of it beside the subject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter

from harness.errors import MaskError, PlanError
from harness.identity import Representation
from harness.masks import Masks
from harness.model import (
    Hazard,
    Located,
    MediaReferences,
    Reference,
    Replacement,
    RowClass,
    TableChange,
    TableSchema,
    Trace,
)
from harness.stores import StoreSet
from harness.stores.media_references import LeadingRows, together
from harness.stores.recognition import Memory, WatchingPass
from harness.stores.representation import holds_wide_integers
from harness.stores.sweep import Search, Sighting, TablePass, sweep_with


@dataclass(slots=True)
class TablePlan:
    """What is to be done to one table: rows to delete, rows to mask cells of."""

    table: TableSchema
    deletions: list[Located] = field(default_factory=list)
    replacements: list[Replacement] = field(default_factory=list)

    @property
    def change(self) -> TableChange:
        """The plan's counts, which what is done must equal."""
        return TableChange(
            self.table.store, self.table.label, len(self.deletions), len(self.replacements)
        )


@dataclass(slots=True)
class Plan:
    """Everything to be done to a store set, for one snapshot of it."""

    tables: list[TablePlan] = field(default_factory=list)

    @property
    def changes(self) -> tuple[TableChange, ...]:
        """The located counts of every table that is to be changed."""
        return tuple(table.change for table in self.tables)


class _LocatingPass(TablePass):
    """A pass that also notes how to reach each row that is not a bystander's."""

    def __init__(
        self, store_set: StoreSet, table: TableSchema, search: Search, masks: Masks
    ) -> None:
        super().__init__(store_set, table, replace(search, masks=masks))
        self._mask = masks.mask
        self.plan = TablePlan(table)
        self.masked: list[Located] = []
        self.leading = LeadingRows(store_set, table, search.manifest)

    def locate(self, locator: bytes, row: bytes) -> RowClass:
        """Search, fingerprint and locate one row."""
        masked_rows = self.masked_rows
        kind = self.take(row)
        if self.masked_rows > masked_rows:
            self.masked.append(Located(locator, row))
        if kind is RowClass.SUBJECT:
            self.plan.deletions.append(Located(locator, row))
        elif kind is RowClass.MENTION:
            self._note_mention(Located(locator, row))
        self.leading.note(kind, row)
        return kind

    def _note_mention(self, located: Located) -> None:
        # A row masked in an earlier round has nothing left to mask.
        if new := tuple(self._masked_cells(located.row)):
            self.plan.replacements.append(Replacement(located, new))

    def _masked_cells(self, row: bytes) -> Iterator[tuple[int, bytes]]:
        for index, cell in enumerate(self._decode(row)):
            if not cell or not self._matcher.candidate(cell):
                continue
            column, kind = self.table.columns[index], self._representations[index]
            place = f"{self.table.store}.{self.table.label}.{column.name}"
            try:
                masked = self._mask(cell, kind)
            except MaskError as error:
                raise MaskError(f"{place}: {error}") from None
            if masked == cell:
                continue
            if kind is Representation.INTEGER and not holds_wide_integers(column):
                raise MaskError(
                    f"{place}: the column is too narrow for a mask, which has 17 digits: give it "
                    "the treatment 'delete', or erase its rows by hand."
                )
            yield index, masked


class _PairedPass:
    """One pass for two: a row that concerns the canary is the canary's, the rest are not."""

    def __init__(
        self,
        store_set: StoreSet,
        subject: _LocatingPass | WatchingPass,
        canary: _LocatingPass,
    ) -> None:
        self._split = store_set.split
        self._bare = store_set.bare
        self._canarys = canary.candidate
        self._anybodys = canary.candidate | subject.candidate
        self.subject = subject
        self.canary = canary
        self.row_digests = subject.row_digests
        self.mentions = subject.mentions
        self.recognise = subject.recognise
        self.state = subject.state
        self.traces = subject.traces

    def consume(self, rows: Sequence[bytes]) -> None:
        """Search, fingerprint and locate a batch of rows that were sent with their locators."""
        if self._anybodys(b"".join(rows)):
            for row in rows:
                self._locate(*self._split(row))
        else:
            self.subject.pass_by(self._bare(rows))

    def _locate(self, locator: bytes, row: bytes) -> None:
        if self._canarys(row) and self.canary.locate(locator, row) is not RowClass.BYSTANDER:
            return
        self.subject.locate(locator, row)


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody to be located and erased: the search for them, and their masks."""

    search: Search
    masks: Masks


@dataclass(slots=True)
class Inspection:
    """What one pass saw of the subject, and of the canary who shares the transaction.

    `media` are the files to which the subject's rows lead, and mentions.
    """

    sighting: Sighting
    plan: Plan
    canary_plan: Plan
    canary_traces: tuple[Trace, ...]
    masked_rows: int
    canary_masked: tuple[TablePlan, ...]
    media: MediaReferences


def inspect(store_set: StoreSet, subject: Party, canary: Party) -> Inspection:
    """Locate everything of subject and canary in one pass over every row; see `sweep`."""

    def locating(table: TableSchema) -> _LocatingPass:
        return _LocatingPass(store_set, table, subject.search, subject.masks)

    return _inspected(store_set, locating, canary)


def watch(
    store_set: StoreSet, search: Search, canary: Party, memory: Memory | None = None
) -> Inspection:
    """See everything of the subject and locate the canary, in one pass: see `inspect`.

    There is no plan for the subject, which somebody else's routine erases. With a memory the
    first pass fills it, and later ones recognise by it what the routine masked.
    """

    def watching(table: TableSchema) -> WatchingPass:
        return WatchingPass(store_set, table, search, memory)

    inspection = _inspected(store_set, watching, canary)
    if memory and not memory.complete:
        memory.close()
    return inspection


def _inspected(
    store_set: StoreSet,
    begin_subject: Callable[[TableSchema], _LocatingPass | WatchingPass],
    canary: Party,
) -> Inspection:
    passes: list[_PairedPass] = []

    def begin(table: TableSchema) -> _PairedPass:
        canarys = _LocatingPass(store_set, table, canary.search, canary.masks)
        passes.append(_PairedPass(store_set, begin_subject(table), canarys))
        return passes[-1]

    sighting = sweep_with(
        store_set,
        begin,
        lambda table, passing: store_set.scan(table, passing.consume, located=True),
    )
    return Inspection(
        sighting=sighting,
        plan=_plan([one.subject.plan for one in passes if isinstance(one.subject, _LocatingPass)]),
        canary_plan=_plan([passing.canary.plan for passing in passes]),
        canary_traces=tuple(trace for passing in passes for trace in passing.canary.traces()),
        masked_rows=sum(passing.subject.masked_rows for passing in passes),
        canary_masked=tuple(
            TablePlan(passing.canary.table, passing.canary.masked)
            for passing in passes
            if passing.canary.masked
        ),
        media=together(passing.subject.leading.references for passing in passes),
    )


def _plan(tables: list[TablePlan]) -> Plan:
    return Plan([table for table in tables if table.deletions or table.replacements])


def in_order(plan: Plan, references: Sequence[Reference]) -> Plan:
    """Return the plan with tables that name others' rows before the tables they name.

    Raises:
        PlanError: Foreign keys run in a circle between tables of the plan.
    """
    planned = {(table.table.store, table.table.label): table for table in plan.tables}
    sorter: TopologicalSorter[tuple[str, str]] = TopologicalSorter(dict.fromkeys(planned, ()))
    for one in references:
        child, parent = (one.store, one.child), (one.store, one.parent)
        if child != parent and {child, parent} <= planned.keys():
            sorter.add(parent, child)
    try:
        return Plan([planned[place] for place in sorter.static_order()])
    except CycleError:
        raise PlanError(
            "Foreign keys run in a circle between tables of the plan, so no order of deletion "
            "respects them: erase these by hand."
        ) from None


def refuse_hazards(hazards: Sequence[Hazard], plan: Plan) -> None:
    """Refuse a plan that would touch a table whose rows cannot be changed safely.

    Raises:
        PlanError: Names each such table and why.
    """
    touched = {(table.table.store, table.table.label) for table in plan.tables}
    found = [one for one in hazards if (one.store, one.table) in touched]
    if found:
        reasons = "; ".join(f"{one.store}.{one.table}: {one.why}" for one in found)
        raise PlanError(f"The plan would change tables that cannot be changed safely: {reasons}.")


def carry_out(store_set: StoreSet, plan: Plan) -> None:
    """Delete and mask what was located, by key, inside the transaction that located it.

    Raises:
        PlanError: Affected rows differ from located rows: the transaction must not commit.
        ConflictError: A located row was changed by somebody else meanwhile.
    """
    for planned in plan.tables:
        done = TableChange(
            planned.table.store,
            planned.table.label,
            store_set.delete(planned.table, planned.deletions),
            store_set.replace(planned.table, planned.replacements),
        )
        if done != planned.change:
            wanted = planned.change
            raise PlanError(
                f"{done.store}.{done.table}: {wanted.deleted_rows} rows to delete and "
                f"{wanted.masked_rows} to mask were located, {done.deleted_rows} and "
                f"{done.masked_rows} were affected: everything is rolled back."
            )
