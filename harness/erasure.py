"""The proven erasure: everything between opening a transaction and committing it.

Plant the canary, locate subject and canary in one pass, erase both by the plan, sweep again
inside the transaction, and commit only if the canary was seen and is gone, the subject is
gone, and everybody else is as before. Anything else rolls back, and the records say why.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, Protocol

from harness import canary as canaries
from harness.errors import ConflictError, HarnessError, MaskError
from harness.identity import Closure
from harness.manifest import Manifest
from harness.masks import Masks
from harness.model import (
    CanaryFlown,
    Erased,
    Hazard,
    MediaReferences,
    Moment,
    Observed,
    Record,
    RolledBack,
    SeedRow,
    TableChange,
    TableState,
    Trace,
)
from harness.plan import Inspection, Party, Plan, carry_out, in_order, inspect, refuse_hazards
from harness.stores import StoreSet
from harness.stores.fitting import fit
from harness.stores.sweep import Search, Sighting

ATTEMPTS: Final = 6
"""How often one transaction is tried before others are given up on."""
MASK_DRAWS: Final = 12
"""How often masks are drawn anew because those drawn do not fit."""
ROUNDS: Final = 3
"""How often rows that came too late for one transaction may start another."""
_LONGEST_PAUSE_MS: Final = 50

Settle = Callable[[Callable[[], None], Sequence[TableChange], MediaReferences], None]
"""What is done when all is clear: takes the function that commits, what was changed, and to
which files of the media volume the changed rows led.

It runs inside the transaction, and calls the function or raises, which rolls back.
"""


def at_once(
    commit: Callable[[], None], changes: Sequence[TableChange], media: MediaReferences
) -> None:
    """Commit without further ado."""
    del changes, media
    commit()


class NotClearError(HarnessError):
    """What was done inside the transaction is not what may be committed."""


@dataclass(frozen=True, slots=True)
class ProvenErasure:
    """Erases from one store set; `record` takes facts, `saw` what each pass over the rows saw.

    `settle` commits what is clear; by default, at once.
    """

    run: str
    store_set: StoreSet
    manifest: Manifest
    key: bytes
    record: Callable[[Record], None]
    saw: Callable[[Moment, Sighting, float], object]
    settle: Settle = at_once

    def committed(self, number: int, subject: Party) -> bool:
        """Carry the plan out in one round; return whether it was clear and is committed.

        Gives way to others a bounded number of times.

        Raises:
            ConflictError: Others came between each time; nothing was changed.
            PlanError: The plan cannot be carried out; nothing was changed.
            StoreError: The server refused or went away; nothing was changed.
        """
        for attempt in range(1, ATTEMPTS):
            try:
                return self._attempt(number, attempt, subject)
            except ConflictError:
                time.sleep(secrets.randbelow(_LONGEST_PAUSE_MS * attempt) / 1000)
        return self._attempt(number, ATTEMPTS, subject)

    def _attempt(self, number: int, attempt: int, subject: Party) -> bool:
        store_set = self.store_set
        started_s = time.monotonic()
        with store_set.transaction():
            try:
                found = self._erase_inside(store_set, subject, first=number == 1)
            except NotClearError as doubt:
                self.record(RolledBack(self.run, number, str(doubt)))
                return False
            self.settle(store_set.commit, found.plan.changes, found.media)
        duration_s = round(time.monotonic() - started_s, 3)
        self.record(Erased(self.run, number, attempt, duration_s, found.plan.changes))
        return True

    def _erase_inside(self, store_set: StoreSet, subject: Party, *, first: bool) -> Inspection:
        """Prove, locate, erase and verify inside the transaction; what is left is to commit.

        Returns:
            What was located, and is erased.

        Raises:
            NotClearError: The transaction must be rolled back; says why.
        """
        hazards = store_set.hazards()
        canary, seeded = self._plant_canary(store_set, hazards)
        found = self._inspect(store_set, subject, canary, Moment.BEFORE)
        if first and found.masked_rows:
            raise NotClearError("a mask drawn for this run happens to be in the stores: run again")
        if not seeded:
            raise NotClearError("no table could take the canary, so nothing proves the search")
        if sorted(found.canary_traces) != list(canaries.planted(seeded)):
            self.record(self._flight(seeded, found.canary_traces, ()))
            raise NotClearError("the canary was not seen exactly where it was planted")
        refuse_hazards(hazards, found.plan)
        references = store_set.references()
        carry_out(store_set, in_order(found.plan, references))
        carry_out(store_set, in_order(found.canary_plan, references))
        left = self._inspect(store_set, subject, canary, Moment.INSIDE)
        self.record(self._flight(seeded, found.canary_traces, left.canary_traces))
        if left.canary_traces:
            raise NotClearError("the canary was still found after it was erased")
        if doubt := reason_not_to_commit(found.sighting, left.sighting):
            raise NotClearError(doubt)
        carry_out(store_set, in_order(Plan(list(left.canary_masked)), references))
        return found

    def _plant_canary(
        self, store_set: StoreSet, hazards: Sequence[Hazard]
    ) -> tuple[Party, tuple[SeedRow, ...]]:
        closure = Closure(canaries.draw())
        manifest = self.manifest
        unsafe = {(hazard.store, hazard.table) for hazard in hazards}
        tables = store_set.tables()
        wanted = canaries.rows(manifest, tables, closure.wa_id, unsafe)
        seeded, _ = fit(store_set, tables, wanted)
        store_set.insert(seeded)
        return Party(Search(manifest, closure, self.key), Masks(closure)), seeded

    def _flight(
        self, seeded: Sequence[SeedRow], seen: Sequence[Trace], left: Sequence[Trace]
    ) -> CanaryFlown:
        return CanaryFlown(
            run=self.run,
            tables=len({(row.store, row.table) for row in seeded}),
            planted_cells=sum(len(row.planted) for row in seeded),
            seen_cells=sum(trace.cells for trace in seen),
            left_cells=sum(trace.cells for trace in left),
        )

    def _inspect(
        self, store_set: StoreSet, subject: Party, canary: Party, moment: Moment
    ) -> Inspection:
        started_s = time.monotonic()
        inspection = inspect(store_set, subject, canary)
        self.saw(moment, inspection.sighting, started_s)
        return inspection


class Erasing(Protocol):
    """What erases somebody in one transaction, and says whether it was clear and is committed."""

    def committed(self, number: int, subject: Party) -> bool:
        """Carry out one round; see `ProvenErasure.committed`."""
        ...


def in_rounds(
    erasure: Erasing,
    draw: Callable[[], Party],
    observe: Callable[[Party], Observed],
    first: int = 1,
) -> bool:
    """Erase, look on a fresh snapshot, and go on as long as rows come too late, but not for ever.

    Args:
        erasure: What erases.
        draw: Returns the subject with masks that were drawn anew: a few letters of base64 can
            only be written as long as they were with some masks.
        observe: Sweeps once more after each round.
        first: The number of the first round; masks of an earlier one may stand already.

    Returns:
        Whether the last round was clear and is committed.
    """
    subject, committed = _fitting(erasure, draw, first)
    for number in count(first + 1):
        after = observe(subject)
        if not committed or not after.traces or number == first + ROUNDS:
            return committed
        committed = erasure.committed(number, subject)
    raise AssertionError  # itertools.count does not end


def _fitting(erasure: Erasing, draw: Callable[[], Party], first: int) -> tuple[Party, bool]:
    """Erase with masks that fit everywhere; return the party that has them, and the outcome."""
    for drawn in count(1):
        subject = draw()
        try:
            return subject, erasure.committed(first, subject)
        except MaskError:
            if drawn == MASK_DRAWS:
                raise
    raise AssertionError  # itertools.count does not end


def reason_not_to_commit(before: Sighting, inside: Sighting) -> str:
    """Return why an erasure must be rolled back, or nothing if it may be committed."""
    if before.unsearched or inside.unsearched:
        return "a table could not be searched, so the erasure was rolled back"
    if inside.traces:
        return "the subject was still found inside the transaction, so it was rolled back"
    if [_kept(state) for state in before.tables] != [_kept(state) for state in inside.tables]:
        return "somebody else's row differed inside the transaction, so it was rolled back"
    return ""


def _kept(state: TableState) -> tuple[object, ...]:
    """Return all of a table's state that an erasure must leave as it is."""
    return (
        state.store,
        state.table,
        state.mention_rows,
        state.bystander_rows,
        state.mention_digest,
        state.bystander_digest,
    )
