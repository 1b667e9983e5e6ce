"""The work of a live session, subject by subject: erase, audit, and take up again.

Knows no pytest: what was asked for comes in, facts go to the session's histories, and every
step that must outlive a kill to the journal.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

from harness import history
from harness.errors import EvidenceError, RefusalError
from harness.evidence import last_collection
from harness.evidence.session import Session
from harness.identity import Closure, WaId
from harness.journal import Header, Held, Journal, Progress, mend
from harness.live import Guard, LiveRun, Mission, require_free, token
from harness.maintenance.collecting import Collecting, barred, made
from harness.manifest import Manifest
from harness.model import (
    ClosureFrozen,
    Collected,
    Drifted,
    EngineKind,
    FilesObserved,
    Garbage,
    History,
    Mode,
    Moment,
    Observed,
    Record,
    Resumed,
    RunOpened,
    Scrubbed,
)
from harness.plugin.live_request import LiveRequest
from harness.plugin.progress import RowsRead
from harness.plugin.webapp_request import waiting_for
from harness.preflight import Preflight
from harness.redaction import Redactor
from harness.run import HARDENED
from harness.stores import StoreSet
from harness.stores.aliases import resolve
from harness.stores.exclusion import Exclusion, exclusive
from harness.stores.server import identity_of, label_of
from harness.stores.watched import watched
from harness.surfaces import FileKind

LOCK_WAIT_S: Final = 5.0
_UNDECLARED: Final = "it is on this server and not in the manifest: treated by default"
_NEXT_READ: Final[Mapping[type[Record], str]] = {
    RunOpened: "looking for aliases",
    Resumed: "looking again",
    ClosureFrozen: "locating",
    Collected: "looking once more, after the garbage collection",
    Scrubbed: "searching the files once more",
}
RESUME_WAIT_S: Final = 60.0
"""How long a resumed run waits for the server to let go of the session that was killed."""


@dataclass
class LiveWork:
    """What is done, and how far; `history` and `durations_s` are the stage's own.

    `same` are subjects who turned out to be somebody given before; `begun` those who had
    their turn; `taken_up` tells whether a session that was to be resumed really was.
    """

    request: LiveRequest
    session: Session
    redactor: Redactor
    guard: Guard
    journal: Journal
    history: list[Record]
    durations_s: dict[str, float]
    read: RowsRead | None = None
    same: tuple[WaId, ...] = ()
    begun: set[WaId] = field(default_factory=set)
    taken_up: bool = False
    _plans: frozenset[str] = frozenset()

    def act_on(self, ready: Sequence[tuple[StoreSet, Preflight]]) -> None:
        """Do what was asked for on the store sets, which were looked at.

        Raises:
            RefusalError: It may not be; says what to do.
        """
        if self.request.resume:
            self._resume(ready[0][0])
        elif self.request.mode is Mode.AUDIT:
            for store_set, seen in ready:
                for subject in self.request.subjects:
                    self.guard.require_time()
                    self.begun.add(subject)
                    mission = self._mission(store_set, token(), subject)
                    self._run(mission, seen, LiveRun.audit)
        else:
            self._erase(*ready[0])

    def _erase(self, store_set: StoreSet, seen: Preflight) -> None:
        self._require_atomic(store_set)
        config = store_set.config
        with self._timed("erase"), self._alone(store_set, LOCK_WAIT_S) as lock:
            subjects = self._several(store_set)
            self.journal.open(
                Header(
                    self.session.name,
                    self.request.mode,
                    config.engine.value,
                    config.prefix,
                    self.request.candidate,
                    server=identity_of(store_set),
                    stores=tuple(sorted(store_set.databases())),
                    treatments=_treatments(self.request.manifest),
                    plans=tuple(sorted(self.request.plans)),
                    log_dirs=self._folders(FileKind.LOG),
                    media_dirs=self._folders(FileKind.MEDIA),
                    log_treatment="mask" if self.request.masking else "report",
                    **self._client(),
                )
            )
            waiting = [
                self._mission(store_set, token(), one, lock.require_held) for one in subjects
            ]
            try:
                # All of them, so that none is forgotten if the first is never finished.
                for mission in waiting:
                    self.journal.begin(mission.run, Held(Closure(mission.wa_id)))
                while waiting:
                    self.guard.released()
                    self.guard.require_time()
                    self._run(waiting[0], seen, partial(self._begin, waiting))
            finally:
                for mission in waiting:
                    self._run(mission, None, LiveRun.forgo)

    def _client(self) -> dict[str, Any]:
        """Return what the journal's header says of the client's API."""
        if not (asked := self.request.webapp):
            return {}
        config = asked.config
        garbage = tuple(one.value for one in asked.garbage)
        return {
            "webapp_url": config.url,
            "webapp_ca": str(config.ca or ""),
            "garbage": garbage,
            "marks_read": asked.marks_read,
        }

    @cached_property
    def _collecting(self) -> Collecting | None:
        """The client's API, which collects garbage once, however many subjects there are."""
        if not (asked := self.request.webapp):
            return None
        ended = [one for one in self.history if isinstance(one, Collected) and one.complete]
        if asked.barred:
            return barred(asked.garbage, asked.policy, asked.barred, ended)
        return made(
            asked.config,
            asked.garbage,
            asked.policy,
            reads=asked.marks_read,
            ended=ended,
            began=lambda: self.read.wait(waiting_for(asked.policy)) if self.read else None,
        )

    def _keep_collection(self, mission: Mission, one: Collected) -> None:
        """Leave word of a collection, for the gates and runs of the next days."""
        if one.garbage is Garbage.MESSAGES and one.times:
            store_set = mission.store_set
            server, prefix = identity_of(store_set), store_set.config.prefix
            last_collection.write(self.session, one, server=server, prefix=prefix)

    def _folders(self, kind: FileKind) -> tuple[str, ...]:
        return tuple(str(root.path) for root in self.request.files.of_kind(kind))

    def _begin(self, waiting: list[Mission], run: LiveRun) -> None:
        """Have the first of those that wait begin; until here, an interruption forgoes it."""
        self.begun.add(waiting.pop(0).wa_id)
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
            require_free(self._mission(store_set, token(), subject), closure)
            if any({*closure.numbers} <= {*one.numbers} for one in persons):
                self.same = (*self.same, subject)
            else:
                persons.append(closure)
        return tuple(one for one in self.request.subjects if one not in self.same)

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

    def remember(self) -> None:
        """Know what the session to be resumed has come to, before anything else can fail.

        Raises:
            RefusalError: It cannot be resumed with what was given.
        """
        if not self.request.resume:
            return
        header, _ = self.journal.read()
        config = self.request.configs[0]
        if (header.engine, header.prefix) != (config.engine.value, config.prefix):
            raise RefusalError(
                "The session to be resumed was about another store set: give the --db-env that it "
                "was started with."
            )
        if header.treatments != _treatments(self.request.manifest):
            raise RefusalError(
                "The session to be resumed was begun with other treatments: give the --treatment "
                "that it was started with, and the same release of the harness."
            )
        if header.mode not in {Mode.LIVE, Mode.REHEARSE}:
            raise RefusalError("Only a live session or a rehearsal can be resumed.")
        for known in self._read_histories().values():
            self.history += known

    def _resume(self, store_set: StoreSet) -> None:
        with self._timed("resume"), self._alone(store_set, RESUME_WAIT_S) as lock:
            # Only now is it sure that nobody else is writing there.
            self.journal.tidy()
            header, progresses = self.journal.read()
            _require_same(header, store_set)
            self._plans = frozenset(header.plans)
            helds = self._open_sealed(progresses)
            self.taken_up = True
            recorded = self._read_histories()
            # In the order in which they began; of one without a history there is nothing yet.
            self.history[:] = [fact for one in recorded.values() for fact in one]
            for progress in progresses:
                if progress.over:
                    # What a killed run sent may have been prepared after all was over.
                    store_set.settle(progress.prepared(decided=False), commit=False)
                    store_set.settle(progress.prepared(decided=True), commit=True)
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
                    self._hide(self.journal.held(one.run).closure)
        try:
            return {one.run: self.journal.held(one.run) for one in progresses if not one.over}
        except EvidenceError as error:
            raise RefusalError(str(error)) from None

    def _read_histories(self) -> dict[str, History]:
        found: dict[str, History] = {}
        for path in sorted(self.session.folder.glob("runs/*/history.jsonl")):
            if self.taken_up:
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
            store_set=watched(store_set, self.read.add) if self.read else store_set,
            manifest=request.manifest,
            engine=label_of(store_set),
            key=request.key,
            # Whatever began it, the plan can finish it.
            routine=HARDENED if request.resume else request.candidate,
            file=None if request.resume else request.file,
            holds=request.holds,
            plans=request.plans or self._plans,
            require_alone=alone or (lambda: None),
            hide=self.redactor.register_number,
            files=request.files,
            masking=request.masking,
            collecting=self._collecting,
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
                if isinstance(fact, Collected):
                    self._keep_collection(mission, fact)
                if self.read and (phase := _phase_after(fact)):
                    self.read.begin(phase)

            for found in seen.facts.undeclared if seen else ():
                place = (found.store, found.table, found.column)
                record(Drifted(mission.run, *place, _UNDECLARED, accepted=True))
            act(LiveRun(mission, record, self.journal, self.guard))

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


def _require_same(header: Header, store_set: StoreSet) -> None:
    """Refuse to take a session up where it was not begun.

    Raises:
        RefusalError: It is another server, or other databases are seen there.
    """
    stores = tuple(sorted(store_set.databases()))
    if (header.server, header.stores) != (identity_of(store_set), stores):
        raise RefusalError(
            "The session to be resumed was begun on another server, or with other databases in "
            "sight: give the --db-env that it was started with; nothing was touched."
        )


def _treatments(manifest: Manifest) -> str:
    """Return a digest of what is done to each column, and of what ties numbers."""
    lines = [
        f"{table.store}.{table.name}.{column.name} {column.treatment} {table.alias}"
        for table in manifest.tables.values()
        for column in table.columns
    ]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _resumed(run: LiveRun, *, progress: Progress, recorded: History) -> None:
    run.resume(progress, recorded)


def _phase_after(fact: Record) -> str:
    """Return what is read next, in an operator's words, where a record tells."""
    if isinstance(fact, FilesObserved):
        return "locating" if fact.moment is Moment.BEFORE else ""
    if isinstance(fact, Observed):
        later = {Moment.BEFORE: "checking before the commit", Moment.INSIDE: "last look"}
        return later.get(fact.moment, "")
    return _NEXT_READ.get(type(fact), "")
