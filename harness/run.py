"""The phases of a run: act on the stores once, and record what was seen.

`rehearse` seeds disposable stores with a case and lets a routine loose on it. It judges
nothing: every fact goes to `record` as it happens, and `harness.judge` makes of it what it
can, now or years later.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from harness import canary as canaries
from harness import routines
from harness.errors import ConflictError, HarnessError, RoutineError
from harness.identity import Closure
from harness.manifest import Manifest
from harness.masks import Masks
from harness.model import (
    Called,
    CanaryFlown,
    ClosureFrozen,
    Drifted,
    EngineChoice,
    Erased,
    Failed,
    Finding,
    Hazard,
    LeftBehind,
    Moment,
    Observed,
    Part,
    Planted,
    Predicted,
    Record,
    RolledBack,
    RowsDiffer,
    RunClosed,
    RunOpened,
    SeedRow,
    TableState,
    Trace,
)
from harness.plan import Inspection, Party, Plan, carry_out, inspect, refuse_hazards
from harness.routines import Routine
from harness.routines.prediction import DocumentedPrediction
from harness.stores import StoreSet, drift
from harness.stores.sweep import Search, Sighting, differing, resolve, sweep

if TYPE_CHECKING:
    from harness.population.bulk import Bulk
    from harness.population.cases import Case

Recorder = Callable[[Record], None]
DIGEST_KEY_BYTES: Final = 32
HARDENED: Final = "hardened"
SHOWN_ROWS: Final = 100
"""How many rows that differ are told one by one, for each table."""
ROUNDS: Final = 3
"""How often rows that came too late for one transaction may start another."""
ATTEMPTS: Final = 6
"""How often one transaction gives way to others before the run gives up."""


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """All that one rehearsal on disposable stores needs.

    `run` is a token of letters and digits, unique on the server; `sets` has the other store
    set only where the case needs one; `control` marks a run that must fail exactly as
    predicted; `pseudonym` names the subject in evidence; `shared` tells that others may
    write to the stores meanwhile, `which_rows` asks which rows of others differ.
    """

    run: str
    case: Case
    engine: EngineChoice
    sets: Mapping[Part, StoreSet]
    manifest: Manifest
    routine: str
    control: bool
    pseudonym: str
    shared: bool = False
    which_rows: bool = False


def rehearse(rehearsal: Rehearsal, record: Recorder) -> None:
    """Seed, observe, erase, observe again; every fact goes to `record`.

    A phase that fails is recorded with one sentence and ends the run; the routine is
    removed whatever happened.
    """
    judged = rehearsal.sets[Part.JUDGED]
    record(
        RunOpened(
            run=rehearsal.run,
            case=rehearsal.case.name,
            mode="verify",
            engine=str(rehearsal.engine),
            engine_version=judged.version,
            routine=rehearsal.routine,
            control=rehearsal.control,
            prefix=judged.config.prefix,
            subject=rehearsal.pseudonym,
            at=now(),
            shared=rehearsal.shared,
        )
    )
    operation = _Operation(rehearsal, record, secrets.token_bytes(DIGEST_KEY_BYTES))
    if operation.finished():
        record(RunClosed(rehearsal.run, now()))


class _PhaseFailed(Exception):  # noqa: N818 - not an error to report: the record was made
    """A phase failed and was recorded; the run goes no further."""


class _Operation:
    """One run in progress."""

    def __init__(self, rehearsal: Rehearsal, record: Recorder, key: bytes) -> None:
        self._rehearsal = rehearsal
        self._record = record
        self._key = key
        self._sets = rehearsal.sets
        self._then: dict[Part, Sighting] = {}

    def finished(self) -> bool:
        """Go through the phases; return whether all of them were reached."""
        try:
            with self._phase("seed"):
                self._seed()
            with self._phase("connect"):
                self._introspect()
            with self._phase("locate"):
                closure = self._locate()
            if self._rehearsal.routine == HARDENED:
                self._erase_by_plan(closure)
            else:
                self._erase_by_routine(closure)
        except _PhaseFailed:
            return False
        return True

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        try:
            yield
        except HarnessError as error:
            self._record(Failed(self._rehearsal.run, name, type(error).__name__, str(error)))
            raise _PhaseFailed from None

    def _seed(self) -> None:
        case = self._rehearsal.case
        rows = {part: case.rows(part) for part in self._sets}
        for part, store_set in self._sets.items():
            store_set.clear()
            store_set.insert(rows[part])
        for bulk in case.bulk:
            store_set = self._sets[Part.JUDGED]
            store_set.load(bulk.store, bulk.table, bulk.columns, bulk.rows())
        self._record(planted(self._rehearsal.run, rows[Part.JUDGED], case.bulk))
        if self._rehearsal.routine != HARDENED:
            self._record(Predicted(self._rehearsal.run, self._predicted(rows)))

    def _predicted(self, rows: Mapping[Part, Sequence[SeedRow]]) -> tuple[Finding, ...]:
        case = self._rehearsal.case
        label = str(self._rehearsal.engine)
        engine = self._rehearsal.engine.kind
        prediction = DocumentedPrediction(self._rehearsal.manifest, engine, case.wa_id)
        called = case.routine_in is Part.JUDGED
        findings = prediction.traces(label, rows[Part.JUDGED], called=called)
        if not called:
            findings += prediction.collateral(label, rows[Part.OTHER])
        return findings

    def _introspect(self) -> None:
        for found in drift.compare(self._sets[Part.JUDGED], self._rehearsal.manifest):
            place = (found.store, found.table, found.column)
            self._record(Drifted(self._rehearsal.run, *place, found.why))

    def _locate(self) -> Closure:
        known = Closure(self._rehearsal.case.wa_id)
        closure = resolve(self._sets[Part.JUDGED], self._rehearsal.manifest, known)
        self._record(ClosureFrozen(self._rehearsal.run, closure.by_kind()))
        return closure

    def _observe(self, part: Part, moment: Moment, search: Search) -> Observed:
        with self._phase(f"sweep {moment}"):
            started_s = time.monotonic()
            sighting = sweep(self._sets[part], search)
            return self._saw(part, moment, sighting, started_s)

    def _saw(self, part: Part, moment: Moment, sighting: Sighting, started_s: float) -> Observed:
        observed = Observed(
            run=self._rehearsal.run,
            part=part,
            moment=moment,
            at=now(),
            duration_s=round(time.monotonic() - started_s, 3),
            size_bytes=sighting.size_bytes,
            tables=tuple(sighting.tables),
            traces=tuple(sighting.traces),
            unsearched=tuple(sighting.unsearched),
        )
        self._record(observed)
        if self._rehearsal.which_rows:
            self._tell_rows(part, moment, sighting)
        return observed

    def _tell_rows(self, part: Part, moment: Moment, sighting: Sighting) -> None:
        if moment is Moment.BEFORE:
            self._then[part] = sighting
            return
        for store, table, gone, new in differing(self._then[part], sighting):
            rows = (tuple(gone[:SHOWN_ROWS]), tuple(new[:SHOWN_ROWS]))
            self._record(RowsDiffer(self._rehearsal.run, part, moment, store, table, *rows))

    def _search(self, closure: Closure | None, masks: Masks | None = None) -> Search:
        keep = self._rehearsal.which_rows
        return Search(self._rehearsal.manifest, closure, self._key, masks, keep_rows=keep)

    def _observe_other(self, moment: Moment) -> None:
        if Part.OTHER in self._sets:
            nobody = self._search(None)
            self._observe(Part.OTHER, moment, nobody)

    # --- erasure by a stored routine ------------------------------------------------------

    def _erase_by_routine(self, closure: Closure) -> None:
        search = self._search(closure)
        self._observe(Part.JUDGED, Moment.BEFORE, search)
        self._observe_other(Moment.BEFORE)
        self._install_and_call()
        self._observe(Part.JUDGED, Moment.AFTER, search)
        self._observe_other(Moment.AFTER)

    def _install_and_call(self) -> None:
        where = self._sets[self._rehearsal.case.routine_in]
        routine = routines.documented(self._rehearsal.manifest, where, self._rehearsal.run)
        try:
            with self._phase("install"):
                routine.install()
                if not routine.listed():
                    raise RoutineError(
                        "The routine was installed and the catalog does not list it: run again."
                    )
            for form in self._rehearsal.case.calls:
                with self._phase("erase"):
                    self._call(routine, form)
        finally:
            with self._phase("remove"):
                routine.remove()
                for kind, count in routine.leftovers():
                    self._record(LeftBehind(self._rehearsal.run, kind, count))

    def _call(self, routine: Routine, form: str) -> None:
        started_s = time.monotonic()
        affected_rows = routine.call(self._rehearsal.case.wa_id, form)
        duration_s = round(time.monotonic() - started_s, 3)
        self._record(Called(self._rehearsal.run, form, affected_rows, duration_s))

    # --- erasure by the plan --------------------------------------------------------------

    def _erase_by_plan(self, closure: Closure) -> None:
        self._observe_other(Moment.BEFORE)
        for _ in self._rehearsal.case.calls:
            masks = Masks(closure)
            subject = Party(self._search(closure, masks), masks)
            for number in range(1, ROUNDS + 1):
                committed = self._committed(number, subject)
                # On a fresh snapshot: rows that came after the transaction's are seen now.
                after = self._observe(Part.JUDGED, Moment.AFTER, subject.search)
                if not committed or not after.traces:
                    break
        self._observe_other(Moment.AFTER)

    def _committed(self, number: int, subject: Party) -> bool:
        """Carry the plan out in one round; give way to others a bounded number of times."""
        with self._phase("erase"):
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    return self._attempt(number, attempt, subject)
                except ConflictError:
                    if attempt == ATTEMPTS:
                        raise
                    time.sleep(secrets.randbelow(50 * attempt) / 1000)
        return False

    def _attempt(self, number: int, attempt: int, subject: Party) -> bool:
        store_set = self._sets[Part.JUDGED]
        started_s = time.monotonic()
        with store_set.transaction():
            try:
                plan = self._erase_inside(store_set, subject, first=number == 1)
            except NotClearError as doubt:
                self._record(RolledBack(self._rehearsal.run, number, str(doubt)))
                return False
            store_set.commit()
        duration_s = round(time.monotonic() - started_s, 3)
        self._record(Erased(self._rehearsal.run, number, attempt, duration_s, plan.changes))
        return True

    def _erase_inside(self, store_set: StoreSet, subject: Party, *, first: bool) -> Plan:
        """Prove, locate, erase and verify inside the transaction; what is left is to commit.

        Raises:
            NotClearError: The transaction must be rolled back; says why.
        """
        hazards = store_set.hazards()
        canary, seeded = self._plant_canary(store_set, hazards)
        found = self._inspect(store_set, subject, canary, Moment.BEFORE)
        if first and found.masked_rows:
            raise NotClearError("a mask drawn for this run happens to be in the stores: run again")
        if sorted(found.canary_traces) != list(canaries.planted(seeded)):
            self._record(self._flight(seeded, found.canary_traces, ()))
            raise NotClearError("the canary was not seen exactly where it was planted")
        refuse_hazards(hazards, found.plan)
        carry_out(store_set, found.plan)
        carry_out(store_set, found.canary_plan)
        left = self._inspect(store_set, subject, canary, Moment.INSIDE)
        self._record(self._flight(seeded, found.canary_traces, left.canary_traces))
        if doubt := reason_not_to_commit(found.sighting, left.sighting):
            raise NotClearError(doubt)
        carry_out(store_set, Plan(list(left.canary_masked)))
        return found.plan

    def _plant_canary(
        self, store_set: StoreSet, hazards: Sequence[Hazard]
    ) -> tuple[Party, tuple[SeedRow, ...]]:
        closure = Closure(canaries.draw())
        manifest = self._rehearsal.manifest
        unsafe = {(hazard.store, hazard.table) for hazard in hazards}
        seeded = canaries.rows(manifest, store_set.tables(), closure.wa_id, unsafe)
        store_set.insert(seeded)
        return Party(Search(manifest, closure, self._key), Masks(closure)), seeded

    def _flight(
        self, seeded: Sequence[SeedRow], seen: Sequence[Trace], left: Sequence[Trace]
    ) -> CanaryFlown:
        return CanaryFlown(
            run=self._rehearsal.run,
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
        self._saw(Part.JUDGED, moment, inspection.sighting, started_s)
        return inspection


class NotClearError(HarnessError):
    """What was done inside the transaction is not what may be committed."""


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


def planted(run: str, rows: Sequence[SeedRow], bulk: Sequence[Bulk] = ()) -> Planted:
    """Return what the population put in: cells that name the subject, rows that do not."""
    cells = Counter((row.store, row.table, column) for row in rows for column in row.planted)
    for one in bulk:
        for column, count in one.planted.items():
            cells[one.store, one.table, column] += count
    return Planted(
        run=run,
        traces=tuple(Trace(*place, count) for place, count in sorted(cells.items())),
        bystander_rows=sum(1 for row in rows if not row.planted)
        + sum(one.bystander_rows for one in bulk),
    )
