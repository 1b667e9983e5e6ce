"""The stage of a live session: the real stores, each subject's run, and what is left to finish.

Imports nothing that makes servers or people up. Acts once, when the first scenario asks, and
keeps what came of it: a refusal is not tried again for every scenario.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from harness import history
from harness.errors import EvidenceError, HarnessError, RefusalError
from harness.evidence.session import Session
from harness.evidence.verdict import Rows, Scope
from harness.identity import Closure, WaId
from harness.journal import NAME, Header, Held, Journal, Progress, mend
from harness.judge import judge, runs_of
from harness.live import CASE, Guard, LiveRun, Mission, refuse_holds, token
from harness.model import (
    ClosureFrozen,
    Drifted,
    EngineKind,
    Erased,
    History,
    Mode,
    Moment,
    Observed,
    Record,
    Resumed,
    RunOpened,
)
from harness.plugin import live_screen, screen
from harness.plugin.live_request import LiveRequest
from harness.plugin.outcome import Concluded
from harness.plugin.progress import RowsRead
from harness.plugin.recorded import Recorded
from harness.preflight import Preflight, Purpose, look
from harness.redaction import Redactor
from harness.run import HARDENED
from harness.stores import StoreSet, connect
from harness.stores.aliases import resolve
from harness.stores.exclusion import Exclusion, exclusive
from harness.stores.watched import watched

LOCK_WAIT_S: Final = 5.0
_UNDECLARED: Final = "it is on this server and not in the manifest: treated by default"
RESUME_WAIT_S: Final = 60.0
"""How long a resumed run waits for the server to let go of the session that was killed."""


@dataclass(frozen=True, slots=True)
class LiveCase:
    """The only case there is: the stores as they are."""

    name: str = CASE


@dataclass
class LiveStage:
    """Everything a live session acts on; `history` is all that was recorded so far."""

    request: LiveRequest
    session: Session
    redactor: Redactor
    guard: Guard
    progress: Callable[[int], AbstractContextManager[RowsRead]]
    durations_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    history: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._cleanup = ExitStack()
        self._journal = Journal(self.session.folder, self.request.key)
        self._ready: list[tuple[StoreSet, Preflight]] | None = None
        self._recorded: Recorded | None = None
        self._refused: HarnessError | None = None
        self._same: tuple[WaId, ...] = ()
        self._begun: set[WaId] = set()
        self._logs: tuple[str, ...] = ()
        self._read: RowsRead | None = None
        self._taken_up = False
        self.redactor.register_secret(self.request.key.secret)
        for config in self.request.configs:
            self.redactor.register_secret(config.password)
        for number in (*(one.number for one in self.request.subjects), *self.request.holds):
            self.redactor.register_number(number)
        for password in self.request.file.passwords if self.request.file else ():
            self.redactor.register_secret(password)

    # --- what scenarios ask for ---------------------------------------------------------------

    def cases(self, routine: str) -> tuple[LiveCase, ...]:
        """Return the only case."""
        del routine
        return (LiveCase(),)

    def require_ready(self) -> None:
        """Reach the stores and look whether a run may begin; act on nothing.

        Raises:
            RefusalError: It may not; says what to do.
            StoreUnreachableError: A server does not answer.
        """
        self._look()

    def recorded(self, engine: object, case: object, routine: object) -> Recorded:
        """Return what was recorded of all subjects, acting only the first time.

        Raises:
            RefusalError: The run may not be, and no row was changed.
        """
        del engine, case, routine
        if self._refused:
            raise self._refused
        if self._recorded is None:
            try:
                self.guard.acting()
                self._act()
                self.guard.finished()
            except HarnessError as error:
                self._refused = error
                raise
            finally:
                runs = tuple(runs_of(tuple(self.history)))
                self._recorded = Recorded(runs, judge(tuple(self.history)))
        return self._recorded

    # --- what the outcome asks for ------------------------------------------------------------

    @property
    def mode(self) -> Mode:
        """What kind of session it is."""
        return self.request.mode

    @property
    def refused(self) -> HarnessError | None:
        """Why nothing, or nothing more, was done."""
        return self._refused

    @property
    def same(self) -> int:
        """How many subjects are, by the stores' own ties, persons that were given already."""
        return len(self._same)

    def began(self, subject: WaId) -> bool:
        """Tell whether a subject has a run, or needs none."""
        return subject in self._begun or subject in self._same

    @property
    def preflights(self) -> tuple[Preflight, ...]:
        """What was seen of each store set before anything was done."""
        return tuple(seen for _, seen in self._ready or ())

    @property
    def rows(self) -> Rows:
        """The state of the real stores' rows, as far as the history tells."""
        runs = [run for run in runs_of(tuple(self.history)) if run.opened.mode == Mode.LIVE]
        if any(run.undecided for run in runs):
            return "partial"
        changed = any(erased.tables for run in runs for erased in run.all(Erased))
        return "committed" if changed else "untouched"

    @property
    def idle(self) -> bool:
        """Whether an earlier session was to be resumed, and was left as it is."""
        return self.request.resume is not None and not self._taken_up

    def records(self) -> History:
        """Return everything recorded so far, as one history."""
        return tuple(self.history)

    def attest(self) -> None:
        """The verdict is written: destroy what only an interrupted run needs.

        Raises:
            EvidenceError: It cannot be destroyed.
        """
        for progress in self.unfinished(closed=True):
            self._journal.attest(progress.run)

    def unfinished(self, *, closed: bool = False) -> list[Progress]:
        """Return the runs that are closed and not attested, or those that are to be finished."""
        if not (self.session.folder / NAME).exists():
            return []
        try:
            _, progresses = self._journal.read()
        except RefusalError:
            # What cannot be read, or never had a whole line, cannot be finished either.
            return []
        return [one for one in progresses if one.over is closed and not one.attested]

    def close(self) -> None:
        """Leave the servers; harmless when repeated."""
        self._cleanup.close()

    @property
    def scope(self) -> Scope:
        """What was searched, and what was not: logs of the server included, where they tell."""
        logs = (f"the server's {one}" for one in self._logs)
        missing = {one: None for seen in self.preflights for one in seen.facts.missing}
        stores = (f"{one} (not on the server, or hidden from the account)" for one in missing)
        return Scope(screen.SCOPE.searched, (*stores, *screen.SCOPE.not_searched, *logs))

    @property
    def signed_off(self) -> tuple[str, str]:
        """Operator and ticket, as given."""
        return self.request.operator, self.request.ticket

    def summary(self, line: Concluded, *, width: int, colour: bool) -> list[str]:
        """Return the lines of the last screen, for a terminal `width` columns wide."""
        return live_screen.render(line, self, width=width, colour=colour)

    # --- acting -------------------------------------------------------------------------------

    def _look(self) -> list[tuple[StoreSet, Preflight]]:
        if self._refused:
            raise self._refused
        if self._ready is None:
            try:
                self._remember()
                self._ready = list(self._seen())
                refusals = [text for _, seen in self._ready for text in seen.refusals]
                if refusals:
                    raise RefusalError(" ".join(refusals))
            except HarnessError as error:
                self._refused = error
                raise
        return self._ready

    def _seen(self) -> Iterator[tuple[StoreSet, Preflight]]:
        reading = self.request.mode is Mode.AUDIT
        names = [store.name for store in self.request.manifest.stores]
        with self._timed("preflight"):
            for number, config in enumerate(self.request.configs, start=1):
                store_set = connect(config, names, quiet=True)
                self._cleanup.callback(store_set.close)
                self._logs = tuple(dict.fromkeys((*self._logs, *store_set.statement_logs())))
                seen = look(
                    store_set,
                    self.request.manifest,
                    Purpose.AUDIT if reading else Purpose.ERASE,
                    accept_drift=self.request.accept_drift,
                )
                serial = f"-{number}" if len(self.request.configs) > 1 else ""
                name = "preflight-resumed" if self.request.resume else "preflight"
                self.session.write_json(f"{name}{serial}.json", seen.document())
                yield store_set, seen

    def _act(self) -> None:
        ready = self._look()
        rows = sum(size.rows for _, seen in ready for size in seen.facts.condition.sizes)
        with self.progress(rows) as self._read:
            self._act_on(ready)

    def _act_on(self, ready: list[tuple[StoreSet, Preflight]]) -> None:
        if self.request.resume:
            self._resume(ready[0][0])
        elif self.request.mode is Mode.AUDIT:
            for store_set, seen in ready:
                for subject in self.request.subjects:
                    self.guard.require_time()
                    self._begun.add(subject)
                    mission = self._mission(store_set, token(), subject)
                    self._run(mission, seen, LiveRun.audit)
        else:
            self._erase(*ready[0])

    def _erase(self, store_set: StoreSet, seen: Preflight) -> None:
        self._require_atomic(store_set)
        config = store_set.config
        with self._timed("erase"), self._alone(store_set, LOCK_WAIT_S) as lock:
            subjects = self._several(store_set)
            self._journal.open(
                Header(
                    self.session.name,
                    self.mode,
                    config.engine.value,
                    config.prefix,
                    self.request.candidate,
                )
            )
            waiting = [
                self._mission(store_set, token(), one, lock.require_held) for one in subjects
            ]
            try:
                # All of them, so that none is forgotten if the first is never finished.
                for mission in waiting:
                    self._journal.begin(mission.run, Held(Closure(mission.wa_id)))
                while waiting:
                    self.guard.released()
                    self.guard.require_time()
                    self._run(waiting[0], seen, partial(self._begin, waiting))
            finally:
                for mission in waiting:
                    self._run(mission, None, LiveRun.forgo)

    def _begin(self, waiting: list[Mission], run: LiveRun) -> None:
        """Have the first of those that wait begin; until here, an interruption forgoes it."""
        self._begun.add(waiting.pop(0).wa_id)
        run.erase()

    def _several(self, store_set: StoreSet) -> tuple[WaId, ...]:
        """Return the subjects, each once; none is begun if any of them is under a hold.

        Raises:
            HoldError: One is; nobody was touched.
        """
        if len(self.request.subjects) == 1:
            return self.request.subjects  # its run asks this itself, before anything else
        persons: list[Closure] = []
        for subject in self.request.subjects:
            closure = resolve(store_set, self.request.manifest, Closure(subject))
            self._hide(closure)
            refuse_holds(closure, self.request.holds)
            if any({*closure.numbers} <= {*one.numbers} for one in persons):
                self._same = (*self._same, subject)
            else:
                persons.append(closure)
        return tuple(one for one in self.request.subjects if one not in self._same)

    def _hide(self, closure: Closure) -> None:
        for number in (*closure.numbers, *closure.candidates):
            self.redactor.register_number(number)

    def _require_atomic(self, store_set: StoreSet) -> None:
        """Refuse to begin what a crash could leave half done for good.

        The plan can always be finished by --resume; a routine cannot be called by halves.
        """
        on_postgres = store_set.config.engine is EngineKind.POSTGRES
        by_plan = self.request.candidate == HARDENED
        if on_postgres and not by_plan and not self.request.accept_non_atomic:
            raise RefusalError(
                "A routine on PostgreSQL reaches its other databases by postgres_fdw, which cannot "
                "commit them all or none: use --routine hardened, or accept that a crash between "
                "two commits leaves half an erasure with --accept-non-atomic; nothing was touched."
            )

    def _alone(self, store_set: StoreSet, wait_s: float) -> AbstractContextManager[Exclusion]:
        """Keep other operators off; the lock has a connection of its own."""
        return exclusive(store_set.config, tuple(store_set.databases()), wait_s=wait_s)

    def _remember(self) -> None:
        """Know what the session to be resumed has come to, before anything else can fail.

        Raises:
            RefusalError: It cannot be resumed with what was given.
        """
        if not self.request.resume:
            return
        header, _ = self._journal.read()
        config = self.request.configs[0]
        if (header.engine, header.prefix) != (config.engine.value, config.prefix):
            raise RefusalError(
                "The session to be resumed was about another store set: give the --db-env that it "
                "was started with."
            )
        if header.mode not in {Mode.LIVE, Mode.REHEARSE}:
            raise RefusalError("Only a live session or a rehearsal can be resumed.")
        for known in self._read_histories().values():
            self.history += known

    def _resume(self, store_set: StoreSet) -> None:
        with self._timed("resume"), self._alone(store_set, RESUME_WAIT_S) as lock:
            # Only now is it sure that nobody else is writing there.
            self._journal.tidy()
            _, progresses = self._journal.read()
            helds = self._open_sealed(progresses)
            self._taken_up = True
            recorded = self._read_histories()
            # In the order in which they began; of one without a history there is nothing yet.
            self.history[:] = [fact for one in recorded.values() for fact in one]
            for progress in progresses:
                if progress.over:
                    # What a killed run sent may have been prepared after all was over.
                    store_set.settle(progress.prepared(decided=False), commit=False)
                    continue
                self.guard.released()
                self.guard.require_time()
                subject = helds[progress.run].closure.wa_id
                mission = self._mission(store_set, progress.run, subject, lock.require_held)
                before = recorded.get(progress.run, ())
                self._run(mission, None, partial(_resumed, progress=progress, recorded=before))

    def _open_sealed(self, progresses: Sequence[Progress]) -> dict[str, Held]:
        """Return what the runs that are to be finished have sealed.

        Raises:
            RefusalError: It is gone, or was sealed with another key; nothing was touched.
        """
        for one in progresses:
            if one.over and not one.attested:
                with suppress(EvidenceError):
                    self._hide(self._journal.held(one.run).closure)
        try:
            return {one.run: self._journal.held(one.run) for one in progresses if not one.over}
        except EvidenceError as error:
            raise RefusalError(str(error)) from None

    def _read_histories(self) -> dict[str, History]:
        found: dict[str, History] = {}
        for path in sorted(self.session.folder.glob("runs/*/history.jsonl")):
            if self._taken_up:
                mend(path)
            records = history.read(path, cut_off=True)
            if records:
                found[records[0].run] = records
        return found

    def _mission(
        self, store_set: StoreSet, run: str, subject: WaId, alone: Callable[[], None] | None = None
    ) -> Mission:
        request = self.request
        return Mission(
            run=run,
            mode=request.mode,
            wa_id=subject,
            store_set=watched(store_set, self._read.add) if self._read else store_set,
            manifest=request.manifest,
            engine=_label(store_set),
            key=request.key,
            routine=request.candidate,
            file=request.file,
            holds=request.holds,
            plans=request.plans,
            require_alone=alone or (lambda: None),
            hide=self.redactor.register_number,
        )

    def _run(
        self, mission: Mission, seen: Preflight | None, act: Callable[[LiveRun], None]
    ) -> None:
        path = self._history_path(mission.run)
        with path.open("ab") as stream:
            path.chmod(0o600)

            def record(fact: Record) -> None:
                self.history.append(fact)
                history.write(stream, [fact], redactor=self.redactor)
                if self._read and (phase := _phase_after(fact)):
                    self._read.begin(phase)

            for found in seen.facts.undeclared if seen else ():
                place = (found.store, found.table, found.column)
                record(Drifted(mission.run, *place, _UNDECLARED, accepted=True))
            act(LiveRun(mission, record, self._journal, self.guard))

    def _history_path(self, run: str) -> Path:
        for path in self.session.folder.glob("runs/*/history.jsonl"):
            with path.open("rb") as stream:
                if f'"run": "{run}"'.encode() in stream.readline():
                    return path
        number = 1 + len(list(self.session.folder.glob("runs/*")))
        return self.session.run_folder(number) / "history.jsonl"

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started_s = time.monotonic()
        try:
            yield
        finally:
            self.durations_s[name] += time.monotonic() - started_s


def _resumed(run: LiveRun, *, progress: Progress, recorded: History) -> None:
    run.resume(progress, recorded)


def _phase_after(fact: Record) -> str:
    """Return what is read next, in an operator's words, where a record tells."""
    if isinstance(fact, RunOpened | Resumed):
        return "looking for aliases" if isinstance(fact, RunOpened) else "looking again"
    if isinstance(fact, ClosureFrozen):
        return "locating"
    if isinstance(fact, Observed):
        later = {Moment.BEFORE: "checking before the commit", Moment.INSIDE: "last look"}
        return later.get(fact.moment, "")
    return ""


def _label(store_set: StoreSet) -> str:
    """Name the engine and its version series, as the disposable ones are named."""
    kind = store_set.config.engine
    numbers = store_set.version.split(".")
    series = ".".join(numbers[:2]) if kind is EngineKind.MYSQL else numbers[0]
    return f"{kind}:{series}"
