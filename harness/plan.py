"""The plan: which rows go and which are masked, located first and carried out exactly.

Nothing is deleted by a predicate. One pass over every row locates the subject's rows and
the mentions, by key, and fingerprints everybody else; the plan is then carried out by key,
and every affected count must equal the located count. What that left is swept again before
anything is committed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from harness.errors import PlanError
from harness.masks import Masks
from harness.model import Located, Replacement, RowClass, TableChange, TableSchema
from harness.stores import StoreSet
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
        super().__init__(store_set, table, search)
        self._split = store_set.split
        self._masked = masks.mask
        self.plan = TablePlan(table)

    def consume(self, row: bytes) -> RowClass:
        """Search, fingerprint and locate one row that was sent with its locator."""
        locator, row = self._split(row)
        kind = super().consume(row)
        if kind is RowClass.SUBJECT:
            self.plan.deletions.append(Located(locator, row))
        elif kind is RowClass.MENTION:
            self._note_mention(Located(locator, row))
        return kind

    def _note_mention(self, located: Located) -> None:
        cells = enumerate(self._decode(located.row))
        masked = ((index, cell, self._masked(cell)) for index, cell in cells if cell)
        # A row masked in an earlier round has nothing left to mask.
        if new := tuple((index, mask) for index, cell, mask in masked if mask != cell):
            self.plan.replacements.append(Replacement(located, new))


def locate(
    store_set: StoreSet, search: Search, masks: Masks, *, first: bool
) -> tuple[Plan, Sighting]:
    """Locate everything of the subject in one pass, inside a transaction; see `sweep`.

    In the first round no mask may stand in the stores yet.

    Raises:
        PlanError: A mask stands in the stores already, by chance: draw others.
    """
    passes: list[_LocatingPass] = []

    def begin(table: TableSchema) -> TablePass:
        passes.append(_LocatingPass(store_set, table, replace(search, masks=masks), masks))
        return passes[-1]

    sighting = sweep_with(store_set, begin, located=True)
    if first and any(passing.masked_rows for passing in passes):
        raise PlanError("A mask drawn for this run happens to be in the stores: run again.")
    plans = [passing.plan for passing in passes]
    return Plan([plan for plan in plans if plan.deletions or plan.replacements]), sighting


def refuse_hazards(store_set: StoreSet, plan: Plan) -> None:
    """Refuse a plan that would touch a table whose rows cannot be changed safely.

    Raises:
        PlanError: Names each such table and why.
    """
    touched = {(table.table.store, table.table.label) for table in plan.tables}
    found = [one for one in store_set.hazards() if (one.store, one.table) in touched]
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
