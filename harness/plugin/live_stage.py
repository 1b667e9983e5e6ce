"""The stage of a live session: the real stores, each subject's run, and what is left to finish.

Imports nothing that makes servers or people up. Acts once, when the first scenario asks, and
keeps what came of it: a refusal is not tried again for every scenario.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from harness.errors import HarnessError, RefusalError
from harness.evidence import last_collection
from harness.evidence.session import Session
from harness.evidence.verdict import Rows, Scope
from harness.file_erasure import look_at
from harness.gate import limits_of, untimely
from harness.identity import WaId
from harness.journal import NAME, Journal, Progress
from harness.judge import judge, runs_of
from harness.live import CASE, Guard
from harness.maintenance import schedule
from harness.maintenance.settings import Weight, audit, parse_version
from harness.maintenance.webapp_api import Webapp
from harness.model import (
    Collected,
    Erased,
    History,
    Mode,
    Moment,
    Record,
)
from harness.plugin import live_screen, screen
from harness.plugin.live_request import LiveRequest
from harness.plugin.live_work import LiveWork
from harness.plugin.outcome import Concluded
from harness.plugin.progress import RowsRead
from harness.plugin.recorded import Recorded
from harness.preflight import Preflight, Purpose, look
from harness.redaction import Redactor
from harness.stores import StoreSet, connect
from harness.stores.server import identity_of
from harness.stores.weight import weigh
from harness.surfaces import FileKind


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
        self._logs: tuple[str, ...] = ()
        self._work = LiveWork(
            self.request,
            self.session,
            self.redactor,
            self.guard,
            self._journal,
            self.history,
            self.durations_s,
        )
        self.redactor.register_secret(self.request.key.secret)
        for config in self.request.configs:
            self.redactor.register_secret(config.password)
        for number in (*(one.number for one in self.request.subjects), *self.request.holds):
            self.redactor.register_number(number)
        for password in self.request.file.passwords if self.request.file else ():
            self.redactor.register_secret(password)
        if self.request.webapp:
            self.redactor.register_secret(self.request.webapp.config.password)

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
        return len(self._work.same)

    def began(self, subject: WaId) -> bool:
        """Tell whether a subject has a run, or needs none."""
        return subject in self._work.begun or subject in self._work.same

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
    def uncollected(self) -> bool:
        """Whether the client was to collect garbage, and is not known to have done so."""
        asked = self.request.webapp
        done = {one.garbage for one in self.history if isinstance(one, Collected) and one.complete}
        return asked is not None and not done >= {*asked.garbage}

    @property
    def asked(self) -> bool:
        """Whether the client was asked to collect garbage, whatever came of it."""
        return any(isinstance(one, Collected) for one in self.history)

    @property
    def idle(self) -> bool:
        """Whether an earlier session was to be resumed, and was left as it is."""
        return self.request.resume is not None and not self._work.taken_up

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
        stores = (f"{one} (not on the server)" for one in missing)
        return screen.scope_of(self.request.files, tuple(stores), tuple(logs))

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
                self._work.remember()
                self._ready = list(self._seen())
                refusals = [text for _, seen in self._ready for text in seen.refusals]
                if refusals:
                    raise RefusalError(" ".join(refusals))
                self._require_quiet(self._ready[0][0])
            except HarnessError as error:
                self._refused = error
                raise
        return self._ready

    def _seen(self) -> Iterator[tuple[StoreSet, Preflight]]:
        if self.request.mode is Mode.PREFLIGHT:
            # In every other mode the run looks itself, and records it.
            look_at(self.request.files, writes=True, masking=self.request.masking)
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
                further = (
                    *self._schedule_warnings(),
                    *self._client_warnings(),
                    *self._quiet_warnings(store_set),
                )
                seen = replace(seen, warnings=(*seen.warnings, *further))
                serial = f"-{number}" if len(self.request.configs) > 1 else ""
                name = "preflight-resumed" if self.request.resume else "preflight"
                self.session.write_json(f"{name}{serial}.json", seen.document())
                yield store_set, seen

    def _require_quiet(self, store_set: StoreSet) -> None:
        """Refuse to have garbage collected at a busy time, before anything is erased.

        Raises:
            RefusalError: It is not the time.
        """
        if self.request.mode is Mode.LIVE and (why := self._untimely(store_set)):
            raise RefusalError(f"{why}; nothing was touched.")

    def _untimely(self, store_set: StoreSet) -> str:
        """Return why this is not the time for a collection that is asked for; empty if it is."""
        asked = self.request.webapp
        if not asked or not asked.garbage or asked.any_time:
            return ""
        policy, prefix = asked.policy, store_set.config.prefix
        last_at = last_collection.last(self.request.reports, identity_of(store_set), prefix)
        weighed = weigh(store_set, CASE, Moment.BEFORE, limits_of(policy))
        return untimely(weighed.sent_per_s, last_at, policy)

    def _quiet_warnings(self, store_set: StoreSet) -> Iterator[str]:
        """Yield why an erasure with a collection would be refused now, where none is made."""
        looking = self.request.mode in {Mode.PREFLIGHT, Mode.REHEARSE}
        if looking and (why := self._untimely(store_set)):
            yield f"An erasure with --run-gc would be refused now. {why}."

    def _schedule_warnings(self) -> Iterator[str]:
        """Yield what is wrong with how this host has logs cleaned up, where that is looked at."""
        if self.request.mode is not Mode.PREFLIGHT or not self.request.files.of_kind(FileKind.LOG):
            return
        for found in schedule.check(schedule.find(), {}):
            # Which containers there are is not asked here.
            if found.fault is not schedule.Fault.UNCLEAR:
                yield f"The clean-up of logs, {found.place}: {found.why}."

    def _client_warnings(self) -> Iterator[str]:
        """Yield what is wrong with the client's settings, where that is looked at.

        Raises:
            WebappError: The client does not answer as it should.
        """
        asked = self.request.webapp
        if self.request.mode is not Mode.PREFLIGHT or not asked:
            return
        with Webapp(asked.config) as webapp:
            client = webapp.seen(CASE)
        try:
            version = parse_version(client.version)
        except RefusalError:
            yield "The client does not tell its version, so that its settings were not judged."
            return
        for one in audit(dict(client.settings), version=version):
            if one.weight is not Weight.REMARK:
                yield f"The client's setting {one.setting}: {one.why} ({one.rule})."

    def _act(self) -> None:
        ready = self._look()
        rows = sum(size.rows for _, seen in ready for size in seen.facts.condition.sizes)
        with self.progress(rows) as self._work.read:
            self._work.act_on(ready)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started_s = time.monotonic()
        try:
            yield
        finally:
            self.durations_s[name] += time.monotonic() - started_s
