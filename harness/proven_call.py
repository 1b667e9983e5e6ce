"""The proven call: somebody else's routine, called inside one transaction and swept before it ends.

Plant the canary, look at everything, call the routine for the subject and erase the canary,
look again in the routine's own session, and commit only what the plan itself would have been
let to commit: the canary seen and gone, the subject gone, everybody else as before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from harness import canary as canaries
from harness.erasure import NotClearError, ProvenErasure, Settle, at_once, reason_not_to_commit
from harness.errors import (
    ConflictError,
    PlanError,
    RoutineError,
    StoreError,
    StoreUnreachableError,
)
from harness.manifest import Manifest
from harness.model import (
    Called,
    EngineKind,
    Erased,
    Hazard,
    LeftBehind,
    Moment,
    Record,
    RolledBack,
    RoutineFailed,
    Step,
    TableChange,
)
from harness.plan import Inspection, Party, Plan, carry_out, in_order, watch
from harness.routines import Routine
from harness.routines.enclosure import Enclosure, enclosure, removed
from harness.stores import StoreSet
from harness.stores.recognition import Memory
from harness.stores.sweep import Sighting

__all__ = ["ProvenCall", "removed"]

_FORM = "number"
"""A live run calls with a number; text in a number's place is for examinations."""


@dataclass(frozen=True, slots=True)
class ProvenCall:
    """Erases from one store set by a stored routine; see `harness.erasure.ProvenErasure`.

    `run` is a token of letters and digits; `routine` is of the same run and store set, and not
    installed. `masks` tells that the routine may mask: whether what it put in a mention's place
    is a mask is then told from the row, at eight bytes for each row of the tables concerned.
    `settle` commits what is clear; by default, at once.
    """

    run: str
    store_set: StoreSet
    manifest: Manifest
    key: bytes
    record: Callable[[Record], None]
    saw: Callable[[Moment, Sighting, float], object]
    routine: Routine
    masks: bool = True
    settle: Settle = at_once

    @property
    def atomic(self) -> bool:
        """Whether all stores commit at once: on PostgreSQL, only if there is one."""
        on_mysql = self.store_set.config.engine is EngineKind.MYSQL
        return on_mysql or len(self.store_set.databases()) == 1

    def committed(self, number: int, subject: Party) -> bool:
        """Call the routine in one round; return whether all was clear and is committed.

        Gives way to others a bounded number of times. What was installed is removed.

        Raises:
            ConflictError: Others came between each time; nothing was changed.
            PlanError: A table or the routine is such that it may not be called.
            RoutineError: The routine cannot be installed, or commits by itself.
            StoreError: The server refused or went away; nothing was changed.
        """
        around = enclosure(self.routine, self.store_set, self.run)
        calls = _Calls(
            run=self.run,
            store_set=around.session,
            manifest=self.manifest,
            key=self.key,
            record=self.record,
            saw=self.saw,
            settle=self.settle,
            routine=self.routine,
            around=around,
            masks=self.masks,
        )
        try:
            with around.opened():
                return calls.committed(number, subject)
        finally:
            for kind, count in around.left_behind:
                self.record(LeftBehind(self.run, kind, count))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Calls(ProvenErasure):
    """Rounds and attempts of one routine in its enclosure, whose session is the store set."""

    routine: Routine
    around: Enclosure
    masks: bool

    def _attempt(self, number: int, attempt: int, subject: Party) -> bool:
        started_s = time.monotonic()
        with self.store_set.transaction():
            try:
                with self._step(Step.INSTALL):
                    self.around.begin()
                found = self._call_inside(self.store_set, subject)
            except NotClearError as doubt:
                self.record(RolledBack(self.run, number, str(doubt)))
                return False
            self.around.end()
            done = changes(found.sighting)
            self.settle(self.store_set.commit, done, found.media)
        duration_s = round(time.monotonic() - started_s, 3)
        self.record(Erased(self.run, number, attempt, duration_s, done))
        return True

    def _call_inside(self, store_set: StoreSet, subject: Party) -> Inspection:
        """Prove, call, erase the canary and verify; what is left is to commit.

        Returns:
            What was there before the call.

        Raises:
            NotClearError: The transaction must be rolled back; says why.
        """
        hazards = store_set.hazards()
        canary, seeded = self._plant_canary(store_set, hazards)
        memory = Memory() if self.masks else None
        found = self._watch(subject, canary, memory, Moment.BEFORE)
        if not seeded:
            raise NotClearError("no table could take the canary, so nothing proves the search")
        if sorted(found.canary_traces) != list(canaries.planted(seeded)):
            self.record(self._flight(seeded, found.canary_traces, ()))
            raise NotClearError("the canary was not seen exactly where it was planted")
        _refuse_hazards(hazards, found.sighting)
        self._call(subject)
        self._erase_canary(store_set, found.canary_plan)
        left = self._watch(subject, canary, memory, Moment.INSIDE)
        self.record(self._flight(seeded, found.canary_traces, left.canary_traces))
        if left.canary_traces:
            raise NotClearError("the canary was still found after it was erased")
        if doubt := reason_not_to_commit(found.sighting, left.sighting):
            raise NotClearError(doubt)
        self.around.refuse_unseen(_rows(found.sighting) - _rows(left.sighting))
        carry_out(store_set, in_order(Plan(list(left.canary_masked)), store_set.references()))
        return found

    def _call(self, subject: Party) -> None:
        closure = subject.search.closure
        if closure is None:
            raise RoutineError("A routine is called for somebody: give the search a closure.")
        started_s = time.monotonic()
        with self._step(Step.CALL), self.around.guarded():
            answer = self.routine.call(int(closure.wa_id.number))
        duration_s = round(time.monotonic() - started_s, 3)
        self.record(Called(self.run, _FORM, answer.affected_rows, duration_s))

    def _erase_canary(self, store_set: StoreSet, plan: Plan) -> None:
        """Erase the canary, whose rows a routine that was called for the subject left alone."""
        try:
            carry_out(store_set, in_order(plan, store_set.references()))
        except (ConflictError, PlanError):
            # Nobody else sees these rows, so nobody else can have changed them.
            raise NotClearError(
                "the routine changed rows of the canary's, for whom it was not called, so it was "
                "rolled back"
            ) from None

    @contextmanager
    def _step(self, step: Step) -> Iterator[None]:
        """Record it when the server refuses the routine itself: that is a fact about it.

        Raises:
            NotClearError: It did.
        """
        try:
            yield
        except (StoreUnreachableError, ConflictError):
            raise
        except StoreError as error:
            form = _FORM if step is Step.CALL else ""
            self.record(RoutineFailed(self.run, step, form, error.code, error.lacks))
            raise NotClearError("the routine failed, so it was rolled back") from None

    def _watch(
        self, subject: Party, canary: Party, memory: Memory | None, moment: Moment
    ) -> Inspection:
        started_s = time.monotonic()
        inspection = watch(self.store_set, subject.search, canary, memory)
        self.saw(moment, inspection.sighting, started_s)
        return inspection


def changes(before: Sighting) -> tuple[TableChange, ...]:
    """Return what a routine did to each table, once it is shown that all was erased.

    Then every row of the subject's is gone, and something is masked in every mention.
    """
    return tuple(
        TableChange(state.store, state.table, state.subject_rows, state.mention_rows)
        for state in before.tables
        if state.subject_rows or state.mention_rows
    )


def _rows(sighting: Sighting) -> int:
    """Return how many rows there are, the canary's apart."""
    return sum(
        state.subject_rows + state.mention_rows + state.bystander_rows for state in sighting.tables
    )


def _refuse_hazards(hazards: Sequence[Hazard], sighting: Sighting) -> None:
    """Refuse to call for somebody whose rows cannot be changed safely, whoever changes them.

    Raises:
        PlanError: Names each such table and why.
    """
    concerned = {
        (state.store, state.table)
        for state in sighting.tables
        if state.subject_rows or state.mention_rows
    }
    found = [one for one in hazards if (one.store, one.table) in concerned]
    if found:
        reasons = "; ".join(f"{one.store}.{one.table}: {one.why}" for one in found)
        raise PlanError(
            f"These hold the subject and cannot be changed safely: {reasons}. Nothing was called; "
            "remove the reason, or erase these by hand."
        )
