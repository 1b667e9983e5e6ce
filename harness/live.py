"""A run on real stores: one person, one store set, nothing lost but the subject.

The same plan, transaction and proof as in rehearsals on disposable stores. What is added is
what three in the morning asks for: every step is journaled before it is taken, a decision
to commit is never taken twice and never forgotten, and what comes before it can be left at
any moment with every row as it was.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from harness import routines
from harness.clock import now
from harness.erasure import Erasing, ProvenErasure, in_rounds
from harness.errors import (
    ConflictError,
    GivenUpError,
    HarnessError,
    HoldError,
    PlanChangedError,
    RefusalError,
    SelfCommittingError,
    StoreError,
    UnsettledError,
)
from harness.file_erasure import FileErasure
from harness.identity import Closure, WaId, variant_of
from harness.journal import Entry, Held, Journal, Progress, State
from harness.keys import SiteKey
from harness.maintenance.collecting import Collecting
from harness.manifest import Manifest
from harness.masks import Masks, seeded
from harness.model import (
    ClosureFrozen,
    Committing,
    EngineKind,
    Erased,
    Failed,
    History,
    LogHolds,
    MediaReferences,
    Mode,
    Moment,
    Observed,
    Part,
    PlanMade,
    Resumed,
    RolledBack,
    RunClosed,
    RunOpened,
    TableChange,
    Withheld,
    Witnessed,
)
from harness.plan import Party
from harness.proven_call import ProvenCall, removed
from harness.routines import RoutineFile
from harness.run import CONNECTIONS, HARDENED, Recorder, observation
from harness.stores import StoreSet
from harness.stores.aliases import resolve, tied_numbers
from harness.stores.sweep import Search, Sighting, sweep
from harness.surfaces import FileSet
from harness.witnesses import find_witnesses, seen_witnesses

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_NAME_LETTERS: Final = 12
CASE: Final = "real stores"


class Guard(Protocol):
    """What may end a run from outside, and until when."""

    def acting(self) -> None:
        """A run begins."""
        ...

    def require_time(self) -> None:
        """Raise if the run was interrupted or its deadline is over."""
        ...

    def decided(self) -> None:
        """From here on nothing interrupts, until `released`."""
        ...

    def committed(self) -> None:
        """The rows are committed: what follows may be interrupted again, and taken up again."""
        ...

    def released(self) -> None:
        """A run has taken its decision back, or another one's turn has come."""
        ...

    def finished(self) -> None:
        """All runs are over."""
        ...


@dataclass(frozen=True, slots=True)
class Mission:
    """All that one run on real stores needs.

    `holds` are numbers under a legal hold; `plans` the digests of rehearsed plans, any of which
    the plan must have, unless there are none; `require_alone` raises if the lock that keeps
    other operators out was lost; `hide` is told each number that must never be shown; `file`
    is the routine where it is an operator's own. `files` are log folders and media volumes, whose
    logs are scrubbed if `masking`, and only reported otherwise. `collecting` is the client that is
    looked at, and asked to collect garbage once the rows are erased.
    """

    run: str
    mode: Mode
    wa_id: WaId
    store_set: StoreSet
    manifest: Manifest
    engine: str
    key: SiteKey
    routine: str = HARDENED
    file: RoutineFile | None = None
    holds: frozenset[str] = frozenset()
    plans: frozenset[str] = frozenset()
    require_alone: Callable[[], None] = field(default=lambda: None)
    hide: Callable[[str], None] = field(default=lambda _: None)
    files: FileSet = field(default_factory=FileSet)
    masking: bool = True
    collecting: Collecting | None = None

    @property
    def by_plan(self) -> bool:
        """Whether the plan erases, and not a stored routine."""
        return self.routine == HARDENED


def token() -> str:
    """Return a name of letters only, so that no digit run can be taken for a number."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_NAME_LETTERS))


class _WithheldError(HarnessError):
    """A rehearsal has come to where a live run would commit."""


class _PhaseFailed(Exception):  # noqa: N818  # not an error to report: the record was made
    """A phase failed and was recorded; the run goes no further."""


class LiveRun:
    """One run in progress; `record` takes facts, `journal` what must outlive a kill."""

    def __init__(self, mission: Mission, record: Recorder, journal: Journal, guard: Guard) -> None:
        self._mission = mission
        self._record = record
        self._journal = journal
        self._guard = guard
        self._held = Held(Closure(mission.wa_id))
        self._round = 0
        self._fresh = True
        self._drew = False
        self._pending = False
        self._files = FileErasure(mission.run, mission.files, record, masking=mission.masking)

    # --- what can be asked for ----------------------------------------------------------------

    def erase(self) -> None:
        """Erase the subject, or rehearse it, from a clean beginning, which is in the journal.

        Raises:
            RefusalError: The run may not be: nothing was changed.
        """
        with self._whole_run():
            self._journal.keep(self._mission.run, self._held)
            self._record(self._opened())
            with self._phase("files"):
                self._files.begin(writes=True)
            self._look_at_client()
            with self._phase("locate"):
                self._freeze()
            with self._phase("search of files"):
                self._files.observe(Moment.BEFORE, self._held.closure)
                self._files.require_maskable()
            with self._phase("erase"):
                self._note(State.ERASING)
                clear = self._in_rounds(first=1)
            if clear:
                self._collect()
                self._clear_files()

    def forgo(self) -> None:
        """Say that the session ended before this run's turn."""
        why = "the session ended before this subject's turn, so nothing of theirs was touched"
        self._record(self._opened())
        self._record(Failed(self._mission.run, "begin", GivenUpError.__name__, why))
        self._note(State.CLOSED)

    def audit(self) -> None:
        """Search for the subject, read-only, having proven the search on people who are there."""
        self._record(self._opened())
        with self._whole_run():
            with self._phase("files"):
                self._files.begin(writes=False)
            self._look_at_client()
            with self._phase("locate"):
                closure = self._located()
            with self._phase("search of files"):
                self._files.observe(Moment.AFTER, closure)
            with self._phase("prove"):
                witnesses = find_witnesses(self._mission.store_set, self._mission.manifest, closure)
                for number in witnesses.numbers:
                    self._mission.hide(number)
            with self._phase("sweep"):
                search = Search(self._mission.manifest, closure, secrets.token_bytes(32))
                started_s = time.monotonic()
                sighting, found = seen_witnesses(self._mission.store_set, search, witnesses)
                self._saw(Moment.AFTER, sighting, started_s)
                self._record(Witnessed(self._mission.run, witnesses.cells, found))

    def resume(self, progress: Progress, recorded: History) -> None:
        """Finish what was decided, undo what was not; harmless when repeated.

        Args:
            progress: What the journal says of the run.
            recorded: What its history says.
        """
        self._held = self._journal.held(progress.run)
        for number in self._held.closure.numbers:
            self._mission.hide(number)
        if not any(isinstance(one, RunOpened) for one in recorded):
            self._record(self._opened())
        self._record(Resumed(progress.run, now(), progress.last.state))
        self._name_logs(recorded)
        # Until all is done, whatever fails leaves something to finish.
        self._pending = True
        with self._whole_run():
            with self._phase("resume"):
                committed = self._settled(progress, recorded)
            if committed:
                with self._phase("files"):
                    self._files.begin(writes=True)
                self._collect()
                self._clear_files()

    # --- phases -------------------------------------------------------------------------------

    @contextmanager
    def _whole_run(self) -> Iterator[None]:
        """Close the run if all of its phases were gone through.

        One that ended before its commit is closed too: there is nothing to finish. What was
        decided is not let go of: nothing interrupts what follows, down to the evidence.
        """
        finished = False
        try:
            yield
            finished = True
            self._record(RunClosed(self._mission.run, now()))
        except _PhaseFailed:
            return
        finally:
            if self._mission.mode is not Mode.AUDIT and (finished or not self._pending):
                self._note(State.CLOSED)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        try:
            yield
        except RefusalError as error:
            self._record(Failed(self._mission.run, name, "Refused", str(error)))
            raise
        except HarnessError as error:
            self._record(Failed(self._mission.run, name, type(error).__name__, str(error)))
            raise _PhaseFailed from None

    def _opened(self) -> RunOpened:
        mission = self._mission
        return RunOpened(
            run=mission.run,
            case=CASE,
            mode=mission.mode,
            engine=mission.engine,
            engine_version=mission.store_set.version,
            routine=mission.routine,
            control=False,
            prefix=mission.store_set.config.prefix,
            subject=mission.key.pseudonym(mission.wa_id.number),
            at=now(),
            shared=True,
            routine_digest=mission.file.sha256 if mission.file else "",
            files=bool(mission.files),
        )

    def _freeze(self) -> None:
        """Find the subject's other identifiers, and keep them where a resumed run finds them."""
        self._held = Held(self._located())
        self._journal.keep(self._mission.run, self._held)
        self._note(State.LOCATED)

    def _located(self) -> Closure:
        mission = self._mission
        closure = resolve(mission.store_set, mission.manifest, Closure(mission.wa_id))
        for number in (*closure.numbers, *closure.candidates):
            mission.hide(number)
        named = tuple(mission.key.pseudonym(number) for number in closure.numbers)
        self._record(ClosureFrozen(mission.run, closure.by_kind(), named))
        return closure

    def _saw(self, moment: Moment, sighting: Sighting, started_s: float) -> Observed:
        seen = observation(self._mission.run, Part.JUDGED, moment, sighting, started_s)
        self._record(seen)
        return seen

    def _observe(self, subject: Party, moment: Moment = Moment.AFTER) -> Observed:
        """Sweep on a fresh snapshot: what this one sees dates the verdict."""
        with self._phase(f"sweep {moment}"):
            started_s = time.monotonic()
            sighting = sweep(self._mission.store_set, subject.search, CONNECTIONS)
            seen = self._saw(moment, sighting, started_s)
            self._note(State.SWEPT)
            return seen

    # --- the erasure --------------------------------------------------------------------------

    def _in_rounds(self, first: int) -> bool:
        """Erase in rounds; return whether the last one was clear, and is committed or withheld."""
        mission = self._mission
        require_free(mission, self._held.closure)
        # In a later round masks of an earlier one stand already, and must be the same.
        self._round, self._fresh, self._drew = first - 1, first == 1, False
        try:
            counted = _Counted(self._erasing(), self._began)
            return in_rounds(counted, self._drawn, self._observe, first)
        except _WithheldError:
            self._note(State.ROLLED_BACK)
            self._record(Withheld(mission.run))
            return True
        except SelfCommittingError as error:
            raise RefusalError(str(error)) from None
        finally:
            # Whatever came of it: the call was sent, with the number.
            for log in () if mission.by_plan else mission.store_set.statement_logs():
                self._record(LogHolds(mission.run, log))

    def _erasing(self) -> Erasing:
        """Return what erases: the plan, or a stored routine, both in one proven transaction."""
        mission = self._mission
        proven = (
            mission.run,
            mission.store_set,
            mission.manifest,
            self._held.digest_key,
            self._record,
            self._saw,
        )
        if mission.by_plan:
            return ProvenErasure(*proven, settle=self._settle)
        if mission.file:
            routine = routines.from_file(
                mission.file, mission.manifest, mission.store_set, mission.run
            )
        else:
            routine = routines.documented(mission.manifest, mission.store_set, mission.run)
        # The documented one only deletes; whether a FILE masked a row or harmed it is told.
        masks = mission.file is not None
        return ProvenCall(*proven, routine=routine, masks=masks, settle=self._settle)

    def _began(self, number: int) -> None:
        self._round = number

    def _drawn(self) -> Party:
        """Return the subject with the masks that are sealed, or with new ones if those failed."""
        if self._fresh:
            # Where no mask fits into a file, that is told, and the rows are erased all the same.
            self._files.fitting(self._drawn_masks, self._held.closure)
        return self._party()

    def _drawn_masks(self) -> Masks:
        """Return the masks that are sealed, or, where those were tried already, seal new ones."""
        if self._drew:
            self._held = self._held.with_new_masks()
            self._journal.keep(self._mission.run, self._held)
        self._drew = True
        return self._party().masks

    def _party(self) -> Party:
        held = self._held
        masks = seeded(held.closure, held.seed)
        search = Search(self._mission.manifest, held.closure, held.digest_key, masks)
        return Party(search, masks)

    def _settle(
        self, commit: Callable[[], None], changes: Sequence[TableChange], media: MediaReferences
    ) -> None:
        """Decide, and commit: the only place where a real store is changed for good.

        Raises:
            PlanChangedError: The plan is not the one that was rehearsed.
            StoreError: The server refused, or did not answer.
        """
        mission, tables = self._mission, tuple(changes)
        if self._round == 1:
            digest = plan_digest(mission, self._held.closure, tables)
            self._record(PlanMade(mission.run, digest, tables))
            self._require_planned(digest)
        self._files.require_removable(media)
        if mission.mode is Mode.REHEARSE:
            self._files.remove_media(mission.store_set, media, self._party().masks, withheld=True)
            raise _WithheldError
        mission.require_alone()
        self._guard.require_time()
        self._hold_media(media)
        self._guard.decided()
        attempt = token()
        with self._taken_back(attempt, HarnessError):
            self._prepare(attempt)
        self._pending = True
        with self._taken_back(attempt, HarnessError):
            self._note(State.COMMITTING, tables=tables, token=attempt)
            self._record(Committing(mission.run, self._round, tables))
        # Any other error does not tell whether the commit took effect.
        with self._taken_back(attempt, ConflictError):
            commit()
        self._note(State.COMMITTED, token=attempt)

    def _hold_media(self, media: MediaReferences) -> None:
        """Seal where the rows lead that are about to go: afterwards nothing tells it any more."""
        if media:
            self._held = self._held.with_media(media)
            self._journal.keep(self._mission.run, self._held)

    @contextmanager
    def _taken_back(self, attempt: str, undone: type[HarnessError]) -> Iterator[None]:
        """Note that an attempt came to nothing, where the error says so for sure."""
        try:
            yield
        except UnsettledError:
            self._pending = True
            raise
        except undone:
            self._pending = self._round > 1
            self._note(State.ROLLED_BACK, token=attempt)
            self._guard.released()
            raise

    def _prepare(self, attempt: str) -> None:
        store_set = self._mission.store_set
        # What postgres_fdw took part in cannot be prepared.
        names = store_set.commit_names(attempt) if self._mission.by_plan else ()
        if names:
            self._note(State.PREPARING, names=names, token=attempt)
            store_set.prepare(attempt)

    def _require_planned(self, digest: str) -> None:
        if self._mission.plans and digest not in self._mission.plans:
            raise PlanChangedError(
                "The located rows are no longer those that were rehearsed, so everything was "
                "rolled back: rehearse again and give the new --plan."
            )

    # --- garbage ------------------------------------------------------------------------------

    def _look_at_client(self) -> None:
        """See that the client answers, before anything is changed."""
        if collecting := self._mission.collecting:
            with self._phase("client"):
                collecting.look(self._mission.run, self._record)

    def _collect(self) -> None:
        """Have the client collect garbage, and sweep once more: it proves nothing by itself."""
        collecting = self._mission.collecting
        if not collecting or not collecting.due or self._mission.mode is Mode.REHEARSE:
            return
        self._note(State.COLLECTING)
        self._guard.committed()
        run = self._mission.run
        try:
            collecting.collect(run, self._mission.store_set, self._record, self._guard.require_time)
        except HarnessError as error:
            # What comes after it matters more: the last sweep, and the files.
            name = type(error).__name__
            self._record(Failed(run, "garbage collection", name, str(error)))
        self._observe(self._party(), Moment.COLLECTED)
        self._guard.decided()

    # --- files --------------------------------------------------------------------------------

    def _clear_files(self) -> None:
        """Remove media and scrub logs; the rows are committed, so what fails here is resumed."""
        if not self._mission.files:
            return
        masks, closure = self._party().masks, self._held.closure
        if self._mission.mode is Mode.REHEARSE:
            with self._phase("scrub"):
                self._files.rehearse(closure, masks)
            return
        self._note(State.SCRUBBING)
        self._guard.committed()
        self._guard.require_time()
        with self._phase("media"):
            self._files.remove_media(self._mission.store_set, self._held.media, masks)
        with self._phase("scrub"):
            self._files.erase(closure, masks)
        self._guard.decided()

    # --- taking up again ----------------------------------------------------------------------

    def _settled(self, progress: Progress, recorded: History) -> bool:
        """Finish or undo the rows; return whether they are erased."""
        store_set, decided = self._mission.store_set, progress.decided
        removed(store_set, progress.run)
        store_set.settle(progress.prepared(decided=False), commit=False)
        if decided is None:
            self._undone(progress)
            return False
        self._guard.decided()
        names = progress.prepared(decided=True)
        standing = store_set.prepared(names)
        store_set.settle(names, commit=True)
        if standing or progress.committed:
            self._took_effect(decided, recorded)
            self._finish(decided)
            return True
        return self._decide_again(decided, recorded)

    def _undone(self, progress: Progress) -> None:
        """Say that nothing was committed, and show it by a sweep."""
        self._note(State.ROLLED_BACK)
        why = (
            f"the run was interrupted while {progress.last.state}, before its commit, and was "
            "rolled back: run it again"
        )
        self._record(RolledBack(self._mission.run, max(progress.last.round, 1), why))
        self._observe(self._party())
        # A slow server may have prepared only now what the killed run had sent.
        self._mission.store_set.settle(progress.prepared(decided=False), commit=False)

    def _name_logs(self, recorded: History) -> None:
        """Name the logs that may hold a call with the number, if it was cut off before that."""
        called = any(isinstance(one, RunOpened) and one.routine != HARDENED for one in recorded)
        if called and not any(isinstance(one, LogHolds) for one in recorded):
            for log in self._mission.store_set.statement_logs():
                self._record(LogHolds(self._mission.run, log))

    def _took_effect(self, decided: Entry, recorded: History) -> None:
        """Record the erasure that was committed and not recorded any more."""
        rounds = {one.round for one in recorded if isinstance(one, Erased)}
        if decided.round not in rounds:
            self._record(Erased(self._mission.run, decided.round, 1, 0.0, decided.tables))
        self._note(State.COMMITTED, token=decided.token)

    def _finish(self, decided: Entry) -> None:
        """Sweep on a fresh snapshot; what came too late is erased in another round."""
        if self._observe(self._party()).traces:
            self._once_more(decided)

    def _decide_again(self, decided: Entry, recorded: History) -> bool:
        """Erase what is there: of the commit that was sent nobody knows whether it was done.

        Returns:
            Whether the rows are erased.
        """
        started_s = time.monotonic()
        subject = self._party()
        there = sweep(self._mission.store_set, subject.search, CONNECTIONS)
        before = self._saw(Moment.AFTER, there, started_s)
        if before.unsearched:
            raise StoreError(
                "A table could not be searched, so nobody knows whether the commit that was sent "
                "was carried out: see that every table can be read, and resume again."
            )
        left = {trace.store for trace in before.traces}
        at_once = self._mission.store_set.config.engine is EngineKind.MYSQL
        # Where one commit reaches all stores, it was carried out in all of them or in none.
        done = tuple(one for one in decided.tables if one.store not in left)
        done = () if left and at_once else done
        if done or not decided.tables:
            rounds = {one.round for one in recorded if isinstance(one, Erased)}
            if decided.round not in rounds:
                self._record(Erased(self._mission.run, decided.round, 1, 0.0, done))
        if left and not done and self._mission.plans:
            self._not_carried_out(decided)
            return False
        if left:
            self._once_more(decided)
        else:
            self._note(State.COMMITTED, token=decided.token)
            self._note(State.SWEPT)
        return True

    def _not_carried_out(self, decided: Entry) -> None:
        """Leave it at that: what was asked for was one plan, and it may not be that any more."""
        self._note(State.ROLLED_BACK, token=decided.token)
        why = (
            "the commit that was sent was not carried out, so every row is as it was, and --plan "
            "asked for exactly that plan: rehearse and run again"
        )
        self._record(RolledBack(self._mission.run, decided.round, why))

    def _once_more(self, decided: Entry) -> None:
        """Erase in another round; what that leaves undone is still to be finished."""
        if not self._in_rounds(first=decided.round + 1):
            raise _PhaseFailed

    def _note(
        self,
        state: State,
        *,
        names: tuple[str, ...] = (),
        tables: tuple[TableChange, ...] = (),
        token: str = "",
    ) -> None:
        run = self._mission.run
        entry = Entry(run, state, round=self._round, names=names, tables=tables, token=token)
        self._journal.note(entry)


@dataclass(frozen=True, slots=True)
class _Counted:
    """Tells the number of each round before it begins."""

    erasing: Erasing
    began: Callable[[int], None]

    def committed(self, number: int, subject: Party) -> bool:
        """Carry out one round; see `ProvenErasure.committed`."""
        self.began(number)
        return self.erasing.committed(number, subject)


def plan_digest(mission: Mission, closure: Closure, tables: Sequence[TableChange]) -> str:
    """Return what names a plan: who, from which stores, by what, and how many rows of each table.

    Only the holder of the site's key can make or compare it.
    """
    facts = {
        "engine": mission.store_set.config.engine.value,
        "databases": sorted(mission.store_set.databases().values()),
        "routine": [mission.routine, mission.file.sha256 if mission.file else ""],
        "subject": sorted(mission.key.pseudonym(number) for number in closure.numbers),
        "tables": sorted(
            (one.store, one.table, one.deleted_rows, one.masked_rows) for one in tables
        ),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("ascii")).hexdigest()


def require_free(mission: Mission, closure: Closure) -> None:
    """Refuse a subject under a legal hold, by their own numbers or by any tied to those.

    Raises:
        HoldError: They are.
        StoreError: What ties numbers cannot be read.
    """
    if mission.holds:
        refuse_holds(closure, mission.holds)
        tied = tied_numbers(mission.store_set, mission.manifest, closure)
        for number in tied:
            mission.hide(number)
        refuse_holds(replace(closure, aliases=closure.aliases | tied), mission.holds)


def refuse_holds(closure: Closure, holds: frozenset[str]) -> None:
    """Refuse a subject any of whose numbers, in any form, is under a legal hold.

    Raises:
        HoldError: One is.
    """
    mine = {*closure.numbers, *closure.candidates}
    held = holds | {form for number in holds if (form := variant_of(number))}
    if mine & held:
        raise HoldError(
            "A subject is under a legal hold (--hold-file), by the number given or by one that the "
            "stores tie to it: nothing was touched; have the hold lifted, or leave the subject out."
        )
