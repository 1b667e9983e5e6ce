"""The phases of a run: act on the stores once, and record what was seen.

`rehearse` seeds disposable stores with a case and lets a routine loose on it. It judges
nothing: every fact goes to `record` as it happens, and `harness.judge` makes of it what it
can, now or years later.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from harness import routines
from harness.clock import now
from harness.erasure import ProvenErasure, in_rounds
from harness.errors import (
    ConflictError,
    HarnessError,
    RoutineError,
    StoreError,
    StoreUnreachableError,
)
from harness.file_erasure import FileErasure
from harness.identity import Closure
from harness.maintenance.collecting import Collecting
from harness.manifest import Manifest
from harness.masks import Masks
from harness.model import (
    Called,
    ClosureFrozen,
    Drifted,
    EngineChoice,
    Failed,
    FilesPlanted,
    FileTrace,
    Finding,
    FindingKind,
    LeftBehind,
    MediaReferences,
    Moment,
    Observed,
    Part,
    Planted,
    Predicted,
    Record,
    RoutineFailed,
    RowsDiffer,
    RunClosed,
    RunOpened,
    SeedRow,
    Step,
    TableChange,
    Trace,
)
from harness.plan import Party
from harness.routines import Routine, RoutineFile
from harness.routines.prediction import DocumentedPrediction
from harness.stores import StoreSet, drift
from harness.stores.aliases import resolve
from harness.stores.sweep import Search, Sighting, differing, sweep
from harness.surfaces import FileSet

if TYPE_CHECKING:
    from harness.population.bulk import Bulk
    from harness.population.cases import Case

Recorder = Callable[[Record], None]
DIGEST_KEY_BYTES: Final = 32
HARDENED: Final = "hardened"
DOCUMENTED: Final = "documented"
CONNECTIONS: Final = min(4, os.cpu_count() or 1)
"""How many connections read a large table outside the transaction of an erasure."""
SHOWN_ROWS: Final = 100
"""How many rows that differ are told one by one, for each table."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """All that one rehearsal on disposable stores needs.

    `run` is a token of letters and digits, unique on the server; `sets` has the other store
    set only where the case needs one; `control` marks a run that must fail exactly as
    predicted; `pseudonym` names the subject in evidence; `shared` tells that others may
    write to the stores meanwhile, `which_rows` asks which rows of others differ; `file` is the
    routine where it is an operator's own; `estate` has the files of a case that is about them
    too, `collection` the garbage collection that goes on beside it; one call of the routine may
    take `call_limit_s` seconds.
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
    file: RoutineFile | None = None
    estate: Estate | None = None
    collection: Collection | None = None
    call_limit_s: float = routines.CALL_LIMIT_S


@dataclass(frozen=True, slots=True)
class Estate:
    """The files beside the rows, what is planted in them, and how they are rotated meanwhile."""

    files: FileSet
    planted: tuple[FileTrace, ...]
    media: int
    rotate: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Collection:
    """Garbage collection beside an erasure: before it, while it goes on (INSIDE), or after it.

    `leaves` tells of a seeded row whether the collection certainly leaves it; `written_back` are
    rows that a Coreapp writes again from its caches, which the run must then find.
    """

    moment: Moment
    collecting: Collecting
    leaves: Callable[[SeedRow], bool]
    written_back: tuple[SeedRow, ...] = ()


def rehearse(rehearsal: Rehearsal, record: Recorder) -> None:
    """Seed, observe, erase, observe again; every fact goes to `record`.

    A phase that fails is recorded with one sentence and ends the run; the routine is
    removed whatever happened.
    """
    record(opened(rehearsal, rehearsal.case.name))
    operation = _Operation(rehearsal, record, secrets.token_bytes(DIGEST_KEY_BYTES))
    if operation.finished():
        record(RunClosed(rehearsal.run, now()))


def opened(rehearsal: Rehearsal, case: str, *, examination: bool = False) -> RunOpened:
    """Return the record that a rehearsal, or an examination, begins with."""
    judged = rehearsal.sets[Part.JUDGED]
    return RunOpened(
        run=rehearsal.run,
        case=case,
        mode="verify",
        engine=str(rehearsal.engine),
        engine_version=judged.version,
        routine=rehearsal.routine,
        control=rehearsal.control,
        prefix=judged.config.prefix,
        subject=rehearsal.pseudonym,
        at=now(),
        shared=rehearsal.shared,
        routine_digest=rehearsal.file.sha256 if rehearsal.file else "",
        examination=examination,
        files=rehearsal.estate is not None,
    )


def observation(
    run: str, part: Part, moment: Moment, sighting: Sighting, started_s: float
) -> Observed:
    """Return what a pass over every row saw, as the record that it leaves."""
    return Observed(
        run=run,
        part=part,
        moment=moment,
        at=now(),
        duration_s=round(time.monotonic() - started_s, 3),
        size_bytes=sighting.size_bytes,
        tables=tuple(sighting.tables),
        traces=tuple(sighting.traces),
        unsearched=tuple(sighting.unsearched),
    )


class _PhaseFailed(Exception):  # noqa: N818 - not an error to report: the record was made
    """A phase failed and was recorded; the run goes no further."""


class _Operation:
    """One run in progress."""

    def __init__(self, rehearsal: Rehearsal, record: Recorder, key: bytes) -> None:
        self._rehearsal = rehearsal
        self._record = record
        self._key = key
        self._sets = rehearsal.sets
        self._seen: dict[tuple[Part, Moment], Sighting] = {}
        files = rehearsal.estate.files if rehearsal.estate else FileSet()
        self._files = FileErasure(rehearsal.run, files, record)
        self._media = MediaReferences()
        self._masks: Masks | None = None

    def finished(self) -> bool:
        """Go through the phases; return whether all of them were reached."""
        try:
            with self._phase("seed"):
                self._seed()
            self._collect(Moment.BEFORE)
            with self._phase("connect"):
                self._introspect()
            with self._phase("locate"):
                closure = self._locate()
            with self._phase("search of files"):
                self._begin_with_files(closure)
            with self._collected_meanwhile():
                if self._rehearsal.routine == HARDENED:
                    self._erase_by_plan(closure)
                else:
                    self._erase_by_routine(closure)
            self._collect(Moment.AFTER)
            if self._rehearsal.collection:
                self._observe(Part.JUDGED, Moment.COLLECTED, self._search(closure, self._masks))
            self._erase_files(closure)
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
        collection, left = self._rehearsal.collection, rows[Part.JUDGED]
        if collection and collection.moment is not Moment.AFTER:
            left = tuple(row for row in left if collection.leaves(row))
        self._record(planted(self._rehearsal.run, left, case.bulk))
        if collection and collection.written_back:
            self._record(Predicted(self._rehearsal.run, self._written_back(collection)))
        if self._rehearsal.routine == DOCUMENTED:
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

    def _written_back(self, collection: Collection) -> tuple[Finding, ...]:
        """Predict what the last sweep finds of the rows that a Coreapp writes back."""
        engine, why = str(self._rehearsal.engine), "written back by a Coreapp after the erasure"
        return tuple(
            Finding(FindingKind.TRACE, engine, one.store, one.table, one.column, "", one.cells, why)
            for one in planted(self._rehearsal.run, collection.written_back).traces
        )

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
            # A few rows are not worth a second connection.
            connections = CONNECTIONS if self._rehearsal.case.bulk else 1
            sighting = sweep(self._sets[part], search, connections)
            return self._saw(part, moment, sighting, started_s)

    def _saw(self, part: Part, moment: Moment, sighting: Sighting, started_s: float) -> Observed:
        observed = observation(self._rehearsal.run, part, moment, sighting, started_s)
        self._record(observed)
        self._seen.setdefault((part, moment), sighting)
        if self._rehearsal.which_rows and moment is not Moment.BEFORE:
            self._tell_rows(part, moment, sighting)
        return observed

    def _tell_rows(self, part: Part, moment: Moment, sighting: Sighting) -> None:
        for store, table, gone, new in differing(self._seen[part, Moment.BEFORE], sighting):
            rows = (tuple(gone[:SHOWN_ROWS]), tuple(new[:SHOWN_ROWS]))
            self._record(RowsDiffer(self._rehearsal.run, part, moment, store, table, *rows))

    def _search(self, closure: Closure | None, masks: Masks | None = None) -> Search:
        # Whether a FILE masked or harmed a row is told from the row itself.
        keep = self._rehearsal.which_rows or self._rehearsal.file is not None
        return Search(self._rehearsal.manifest, closure, self._key, masks, keep_rows=keep)

    def _observe_other(self, moment: Moment) -> None:
        if Part.OTHER in self._sets:
            nobody = self._search(None)
            self._observe(Part.OTHER, moment, nobody)

    # --- garbage ----------------------------------------------------------------------------

    def _collect(self, moment: Moment) -> None:
        collection = self._rehearsal.collection
        if collection and collection.moment is moment:
            with self._phase("garbage collection"):
                self._ask(collection.collecting, self._record)

    def _ask(self, collecting: Collecting, record: Recorder) -> None:
        store_set = self._sets[Part.JUDGED]
        collecting.collect(self._rehearsal.run, store_set, record, lambda: None)

    @contextmanager
    def _collected_meanwhile(self) -> Iterator[None]:
        """Have garbage collected while the block erases; what came of it is recorded after it."""
        collection = self._rehearsal.collection
        if not collection or collection.moment is not Moment.INSIDE:
            yield
            return
        facts: list[Record] = []
        with ThreadPoolExecutor(1) as beside, self._phase("garbage collection"):
            done = beside.submit(self._ask, collection.collecting, facts.append)
            try:
                yield
            finally:
                done.result()
                for fact in facts:
                    self._record(fact)

    # --- files ------------------------------------------------------------------------------

    def _begin_with_files(self, closure: Closure) -> None:
        if estate := self._rehearsal.estate:
            self._record(FilesPlanted(self._rehearsal.run, estate.planted, estate.media))
        self._files.begin(writes=True)
        self._files.observe(Moment.BEFORE, closure)

    def _erase_files(self, closure: Closure) -> None:
        """Rotate, as it goes on meanwhile, remove media and scrub."""
        if self._rehearsal.estate is None:
            return
        masks = self._masks or self._files.fitting(lambda: Masks(closure), closure)
        with self._phase("rotate"):
            self._rehearsal.estate.rotate()
        with self._phase("media"):
            self._files.remove_media(self._sets[Part.JUDGED], self._media, masks)
        with self._phase("scrub"):
            self._files.erase(closure, masks)

    # --- erasure by a stored routine ------------------------------------------------------

    def _erase_by_routine(self, closure: Closure) -> None:
        search = self._search(closure)
        self._observe(Part.JUDGED, Moment.BEFORE, search)
        self._observe_other(Moment.BEFORE)
        self._install_and_call()
        # Whatever took the place of identifiers, somebody else's routine chose it.
        before = self._seen[Part.JUDGED, Moment.BEFORE]
        since = replace(search, earlier=before) if search.keep_rows else search
        self._observe(Part.JUDGED, Moment.AFTER, since)
        self._observe_other(Moment.AFTER)

    def _install_and_call(self) -> None:
        routine = made(self._rehearsal, self._sets[self._rehearsal.case.routine_in])
        installed = False
        try:
            with self._phase("install"), self._step(Step.INSTALL):
                routine.install()
                if not routine.listed():
                    raise RoutineError(
                        "The routine was installed and the catalog does not list it: run again."
                    )
                installed = True
            for form in self._rehearsal.case.calls if installed else ():
                with self._phase("erase"), self._step(Step.CALL, form):
                    self._call(routine, form)
        finally:
            with self._phase("remove"):
                if installed:
                    with self._step(Step.CLEAN_UP):
                        routine.clean_up()
                routine.remove()
                for kind, count in routine.leftovers():
                    self._record(LeftBehind(self._rehearsal.run, kind, count))

    @contextmanager
    def _step(self, step: Step, form: str = "") -> Iterator[None]:
        """Record it when the server refuses what a FILE does: that is a fact about the FILE."""
        try:
            yield
        except (StoreUnreachableError, ConflictError):
            raise
        except StoreError as error:
            if self._rehearsal.file is None:
                raise
            self._record(RoutineFailed(self._rehearsal.run, step, form, error.code, error.lacks))

    def _call(self, routine: Routine, form: str) -> None:
        """Call the routine as a careful operator would: in a transaction of its own."""
        number = self._rehearsal.case.wa_id.number
        started_s = time.monotonic()
        with routines.committed(routine):
            answer = routine.call(number if form == "text" else int(number))
        duration_s = round(time.monotonic() - started_s, 3)
        self._record(Called(self._rehearsal.run, form, answer.affected_rows, duration_s))

    # --- erasure by the plan --------------------------------------------------------------

    def _erase_by_plan(self, closure: Closure) -> None:
        self._observe_other(Moment.BEFORE)
        erasure = ProvenErasure(
            run=self._rehearsal.run,
            store_set=self._sets[Part.JUDGED],
            manifest=self._rehearsal.manifest,
            key=self._key,
            record=self._record,
            saw=partial(self._saw, Part.JUDGED),
            settle=self._settle,
        )
        for _ in self._rehearsal.case.calls:
            with self._phase("erase"):
                in_rounds(
                    erasure,
                    partial(self._party, closure),
                    # On a fresh snapshot: rows that came after the transaction's are seen now.
                    lambda subject: self._observe(Part.JUDGED, Moment.AFTER, subject.search),
                )
        self._observe_other(Moment.AFTER)

    def _settle(
        self, commit: Callable[[], None], changes: Sequence[TableChange], media: MediaReferences
    ) -> None:
        del changes
        self._media |= media
        commit()

    def _party(self, closure: Closure) -> Party:
        masks = self._masks = self._files.fitting(lambda: Masks(closure), closure)
        return Party(self._search(closure, masks), masks)


def made(rehearsal: Rehearsal, where: StoreSet) -> Routine:
    """Return the stored routine of a rehearsal, not yet installed."""
    file, manifest = rehearsal.file, rehearsal.manifest
    if file:
        routine = routines.from_file(file, manifest, where, rehearsal.run)
    else:
        routine = routines.documented(manifest, where, rehearsal.run)
    routine.limit_s = rehearsal.call_limit_s
    return routine


def planted(run: str, rows: Sequence[SeedRow], bulk: Sequence[Bulk] = ()) -> Planted:
    """Return what the population put in: cells that name the subject, rows that do not."""
    cells = Counter((row.store, row.table, column) for row in rows for column in row.planted)
    forms: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        for column, form in row.forms:
            forms[row.store, row.table, column][form] += 1
    for one in bulk:
        for column, count in one.planted.items():
            cells[one.store, one.table, column] += count
    return Planted(
        run=run,
        traces=tuple(
            Trace(*place, count, tuple(sorted(forms[place].items())))
            for place, count in sorted(cells.items())
        ),
        bystander_rows=sum(1 for row in rows if not row.planted)
        + sum(one.bystander_rows for one in bulk),
    )
