"""The stage of an upgrade gate: one real store set, looked at once, and what is made of it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import BinaryIO

from harness import gate, history
from harness.errors import HarnessError, RefusalError
from harness.evidence import last_collection
from harness.evidence.session import Session
from harness.evidence.verdict import Rows, Scope
from harness.gate import Gate
from harness.judge import judge, runs_of
from harness.live import CASE, Guard, token
from harness.maintenance.collecting import Collecting, made
from harness.model import (
    ClientSeen,
    Collected,
    Garbage,
    GateOpened,
    History,
    LogsWeighed,
    MarkedRead,
    Mode,
    Record,
    Weighed,
)
from harness.plugin import gate_screen
from harness.plugin.gate_request import GateRequest
from harness.plugin.live_stage import LiveCase
from harness.plugin.outcome import Concluded
from harness.plugin.progress import RowsRead
from harness.plugin.recorded import Recorded
from harness.plugin.webapp_request import waiting_for
from harness.redaction import Redactor
from harness.stores import StoreSet, connect
from harness.stores.server import identity_of, label_of
from harness.surfaces import FileKind


@dataclass
class GateStage:
    """Everything an upgrade gate looks at; `history` is all that was recorded so far."""

    request: GateRequest
    session: Session
    redactor: Redactor
    guard: Guard
    progress: Callable[[int], AbstractContextManager[RowsRead]]
    durations_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    history: list[Record] = field(default_factory=list)

    mode = Mode.GATE
    rows: Rows = "untouched"
    idle = False

    def __post_init__(self) -> None:
        self._cleanup = ExitStack()
        self._recorded: Recorded | None = None
        self._collecting: Collecting | None = None
        self.refused: HarnessError | None = None
        self.redactor.register_secret(self.request.config.password)
        if webapp := self.request.webapp:
            self.redactor.register_secret(webapp.config.password)

    # --- what scenarios ask for ---------------------------------------------------------------

    def cases(self, routine: str) -> tuple[LiveCase, ...]:
        """Return the only case."""
        del routine
        return (LiveCase(CASE),)

    def recorded(self, engine: object, case: object, routine: object) -> Recorded:
        """Return what was recorded, looking only the first time.

        Raises:
            RefusalError: Garbage was to be collected, and now is not the time.
            StoreUnreachableError: The server does not answer.
        """
        del engine, case, routine
        if self.refused:
            raise self.refused
        if self._recorded is None:
            try:
                self._look()
            except HarnessError as error:
                self.refused = error
                raise
            self._recorded = Recorded(tuple(runs_of(self.records())), judge(self.records()))
        return self._recorded

    # --- what the outcome asks for ------------------------------------------------------------

    @property
    def scope(self) -> Scope:
        """What was looked at, and what could not be: nobody was looked for."""
        request = self.request
        looked = ["the size, the dead rows and the traffic of every table of the set"]
        unseen = [] if request.webapp else ["the client's settings (give --webapp-url)"]
        if request.webapp:
            looked.append("the client's settings, nodes and statistics")
            if not request.to_version:
                unseen.append("what the upgrade itself changes of the settings (give --to-version)")
        if request.files:
            looked.append("the volume of the logs")
        else:
            unseen.append("the volume of the logs (give --log-dir)")
        for record in self.history:
            if isinstance(record, Weighed) and record.disk_size_bytes == 0:
                unseen.append("the free share of the server's disk, which tells no size")
            if isinstance(record, Weighed | LogsWeighed):
                unseen += (one.rstrip(".;") for one in record.unseen)
        return Scope(tuple(looked), tuple(dict.fromkeys(unseen)))

    @property
    def signed_off(self) -> tuple[str, str]:
        """Operator and ticket, as given."""
        return self.request.operator, self.request.ticket

    @property
    def asked(self) -> bool:
        """Whether the client was asked for anything but to be looked at."""
        return self._collecting is not None and self._collecting.asked

    def records(self) -> History:
        """Return everything recorded so far, as one history."""
        return tuple(self.history)

    def attest(self) -> None:
        """Nothing is to be done: nothing was changed by us."""

    def close(self) -> None:
        """Leave the server; harmless when repeated."""
        self._cleanup.close()

    def summary(self, line: Concluded, *, width: int, colour: bool) -> list[str]:
        """Return the lines of the last screen, for a terminal `width` columns wide."""
        return gate_screen.render(line, self, width=width, colour=colour)

    # --- acting -------------------------------------------------------------------------------

    def _look(self) -> None:
        request = self.request
        names = [store.name for store in request.manifest.stores]
        with self._timed("connect"):
            store_set = connect(request.config, names, quiet=True)
            self._cleanup.callback(store_set.close)
            if not store_set.databases():
                raise RefusalError(
                    "No store of the set is on this server, or the account may not see them: see "
                    "that WA_DB_NAME_PREFIX, the server and the account are right; nothing was "
                    "touched."
                )
            server = identity_of(store_set)
        with self._timed("gate"), self._recording() as stream, self.progress(0) as read:

            def record(fact: Record) -> None:
                self.history.append(fact)
                history.write(stream, [fact], redactor=self.redactor)

            try:
                gate.look(self._gate(store_set, server, read), record)
            finally:
                self.session.write_json("gate.json", _document(self.history))
                self._keep_collection(server)

    def _gate(self, store_set: StoreSet, server: str, read: RowsRead) -> Gate:
        request, asked = self.request, self.request.webapp
        if asked:
            self._collecting = made(
                asked.config,
                asked.garbage,
                request.policy,
                reads=asked.marks_read,
                began=lambda: read.wait(waiting_for(request.policy)),
            )
        logs = request.files.of_kind(FileKind.LOG)
        return Gate(
            run=token(),
            store_set=store_set,
            manifest=request.manifest,
            engine=label_of(store_set),
            policy=request.policy,
            from_version=request.from_version,
            to_version=request.to_version,
            last_collection_at=last_collection.last(request.reports, server, request.config.prefix),
            logs=tuple((root.label, root.path) for root in logs),
            collecting=self._collecting,
            any_time=bool(asked and asked.any_time),
            check=self.guard.require_time,
        )

    def _keep_collection(self, server: str) -> None:
        """Leave word of a collection, for the gates and runs of the next days."""
        for one in self.history:
            if isinstance(one, Collected) and one.garbage is Garbage.MESSAGES:
                prefix = self.request.config.prefix
                last_collection.write(self.session, one, server=server, prefix=prefix)

    @contextmanager
    def _recording(self) -> Iterator[BinaryIO]:
        path = self.session.run_folder(1) / "history.jsonl"
        with path.open("ab") as stream:
            path.chmod(0o600)
            yield stream

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started_s = time.monotonic()
        try:
            yield
        finally:
            self.durations_s[name] += time.monotonic() - started_s


def _document(records: Iterable[Record]) -> dict[str, object]:
    """Return what was measured, asked and done, in order, as a JSON-like document."""
    kinds = {
        GateOpened: "asked",
        Weighed: "weighed",
        LogsWeighed: "logs",
        ClientSeen: "client",
        MarkedRead: "read",
        Collected: "collected",
    }
    told: dict[str, object] = {"format": 1}
    for kind, name in kinds.items():
        told[name] = [asdict(one) for one in records if isinstance(one, kind)]
    return told
