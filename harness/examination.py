"""The examination of a stored routine: how it behaves, whatever it erases.

Each probe seeds the stores anew, calls the routine on a connection of its own in one way that
tells something about it, and records what it answered and what was changed when it returned.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from harness import routines
from harness.clock import now
from harness.errors import (
    ConflictError,
    HarnessError,
    RoutineError,
    StoreError,
    StoreUnreachableError,
)
from harness.identity import Matcher, Representation, WaId
from harness.identity.closure import Closure
from harness.model import (
    Answer,
    CatalogChanged,
    EngineKind,
    Failed,
    Part,
    Predicted,
    Probe,
    Probed,
    RoutineFailed,
    RunClosed,
    SeedRow,
    Step,
    TableState,
    Told,
)
from harness.routines import Routine
from harness.routines.catalog import changed, listed, neighbour
from harness.routines.obstacle import obstacle
from harness.routines.prediction import conduct
from harness.routines.protocol import Value
from harness.run import DIGEST_KEY_BYTES, DOCUMENTED, Recorder, Rehearsal, made, opened
from harness.stores.aliases import resolve
from harness.stores.sweep import Search, sweep

_SAVEPOINT: Final = "erasure_probe"
# A transaction command where none may be: PostgreSQL's way to keep a caller's transaction.
_ENDING_REFUSED: Final = ("2D", "0A000")
_ENGINE_FILES: Final = frozenset(
    (".frm", ".ibd", ".trg", ".trn", ".myd", ".myi", ".par", ".opt", ".pid", ".sock", ".tmp")
)
States = dict[tuple[str, str], TableState]


@dataclass(frozen=True, slots=True)
class Server:
    """Where a disposable server writes: its log, and the folder of its data."""

    log: Path
    data: Path


def examine(rehearsal: Rehearsal, server: Server, record: Recorder) -> None:
    """Put a routine through every probe; every fact goes to `record`.

    A phase that the harness cannot finish is recorded with one sentence and ends the run; what
    the routine itself cannot do is a fact about it.
    """
    record(opened(rehearsal, "examination", examination=True))
    if rehearsal.routine == DOCUMENTED:
        expected = conduct(rehearsal.engine.kind, str(rehearsal.engine))
        record(Predicted(rehearsal.run, expected))
    try:
        _Examination(rehearsal, server, record).go_through()
    except HarnessError as error:
        record(Failed(rehearsal.run, "examine", type(error).__name__, str(error)))
        return
    record(RunClosed(rehearsal.run, now()))


class _Examination:
    """One examination in progress."""

    def __init__(self, rehearsal: Rehearsal, server: Server, record: Recorder) -> None:
        self._rehearsal = rehearsal
        self._run = rehearsal.run
        self._server = server
        self._record = record
        self._store_set = rehearsal.sets[Part.JUDGED]
        self._manifest = rehearsal.manifest
        self._rows: Sequence[SeedRow] = rehearsal.case.rows(Part.JUDGED)
        self._key = secrets.token_bytes(DIGEST_KEY_BYTES)
        self._wa_id: WaId = rehearsal.case.wa_id
        self._said: list[bytes] = []

    def go_through(self) -> None:
        routine = made(self._rehearsal, self._store_set)
        matcher = self._matcher()
        with neighbour(self._store_set, routine.home):
            before = listed(self._store_set, routine.home)
            try:
                self._install_and_probe(routine, matcher)
                after = listed(self._store_set, routine.home)
            finally:
                routine.remove()
        for kind, (new, gone) in changed(before, after).items():
            self._record(CatalogChanged(self._run, kind, new, gone))

    def _install_and_probe(self, routine: Routine, matcher: Matcher) -> None:
        """Install, probe, do the file's own clean-up, and take away what is the run's own.

        What the file made and did not take away itself is left for the catalog to tell.
        """
        try:
            with self._step(Step.INSTALL):
                routine.install()
            if routine.listed():
                self._probe_all(routine, matcher)
                with self._step(Step.CLEAN_UP):
                    routine.clean_up()
        finally:
            routine.remove(thorough=False)

    @contextmanager
    def _step(self, step: Step) -> Iterator[None]:
        try:
            yield
        except (StoreUnreachableError, ConflictError):
            raise
        except StoreError as error:
            self._record(RoutineFailed(self._run, step, "", error.code, error.lacks))

    def _matcher(self) -> Matcher:
        self._seed()
        closure = resolve(self._store_set, self._manifest, Closure(self._wa_id))
        return Matcher(closure.identifiers)

    # --- probes ---------------------------------------------------------------------------

    def _probe_all(self, routine: Routine, matcher: Matcher) -> None:
        number = int(self._wa_id.number)
        with self._overheard(matcher):
            normal = self._probe_number(routine, number)
            self._probe_transaction(routine, number)
            for place in reversed(normal.changed):
                if self._probe_interrupted(routine, number, place):
                    break
        # What a server says of what is no number is its own affair.
        text = f"{self._wa_id.number}; drop"
        values: tuple[tuple[Probe, Value], ...]
        values = ((Probe.TEXT, text), (Probe.NULL, None), (Probe.OWN, -1))
        for probe, value in values:
            self._probe(probe, routine, partial(self._called, routine, value))

    def _probe_number(self, routine: Routine, number: int) -> Probed:
        """Call the routine as it is meant to be."""
        return self._probe(Probe.NUMBER, routine, partial(self._called, routine, number))

    @contextmanager
    def _overheard(self, matcher: Matcher) -> Iterator[None]:
        """Tell where a routine names the subject that it is called with: said, logged, written."""
        self._said.clear()
        log_bytes, files = self._server.log.stat().st_size, self._files()
        yield
        new = [path.read_bytes() for path in sorted(self._files() - files)]
        logged = self._server.log.read_bytes()[log_bytes:]
        for where, texts in (
            ("what it answers", self._said),
            ("the server's log", logged.splitlines()),
            ("files on the server", new),
        ):
            if any(matcher.hits(text, Representation.TEXT) for text in texts):
                self._record(Told(self._run, where, 1))

    def _probe_transaction(self, routine: Routine, number: int) -> None:
        """Call it inside a transaction, see whether that is still there, and roll it back."""
        session, home = routine.session, routine.home
        ended = []

        def call() -> str:
            session.execute(home, "BEGIN")
            session.execute(home, f"SAVEPOINT {_SAVEPOINT}")
            code = self._code_of(lambda: routine.call(number))
            over = code.startswith(_ENDING_REFUSED)
            if not code:
                over = bool(
                    self._code_of(lambda: session.execute(home, f"RELEASE SAVEPOINT {_SAVEPOINT}"))
                )
            ended.append(over)
            with suppress(StoreError):
                session.execute(home, "ROLLBACK")
            return code

        self._probe(Probe.TRANSACTION, routine, call, ended=ended)

    def _probe_interrupted(self, routine: Routine, number: int, place: str) -> bool:
        """Let it run into an error at one table; return whether that was handled badly."""
        store, _, table = place.partition(".")

        def call() -> str:
            with obstacle(self._store_set, store, table):
                # As the vendor's guide calls it: by itself, outside of any transaction.
                code = self._code_of(lambda: routine.call(number))
                # What it may have locked is free before the obstacle is taken away.
                routine.end_session()
                return code

        probed = self._probe(Probe.INTERRUPTED, routine, call, obstacle=place)
        return bool(probed.changed) or not probed.code

    def _probe(
        self,
        probe: Probe,
        routine: Routine,
        call: Callable[[], str],
        *,
        ended: Sequence[bool] = (),
        obstacle: str = "",
    ) -> Probed:
        """Seed the stores, call, and record what was answered and changed."""
        self._seed()
        before, own = self._states(), self._own_rows()
        code = call()
        # As a client that hangs up: what is not committed by now never will be.
        routine.end_session()
        now_there, own_now = self._states(), self._own_rows()
        places = sorted(before.keys() | now_there.keys(), key=self._position)
        probed = Probed(
            run=self._run,
            probe=probe,
            code=code,
            changed=tuple(
                f"{store}.{table}"
                for store, table in places
                if before.get((store, table)) != now_there.get((store, table))
            ),
            own=tuple(sorted(place for place in own if own[place] != own_now[place])),
            ended=any(ended),
            obstacle=obstacle,
        )
        self._record(probed)
        return probed

    def _called(self, routine: Routine, value: Value) -> str:
        """Call the routine in a transaction of its own; return the error's code, if any."""

        def call() -> Answer:
            with routines.committed(routine):
                return routine.call(value)

        return self._code_of(call)

    def _code_of(self, call: Callable[[], Answer | int]) -> str:
        """Call, and return the code of the server's error; nothing if there is none.

        Raises:
            StoreUnreachableError: The server went away.
        """
        try:
            answer = call()
        except StoreUnreachableError:
            raise
        except StoreError as error:
            self._said.append(error.said().encode())
            return error.code or "unknown"
        self._said += answer.said if isinstance(answer, Answer) else ()
        return ""

    # --- what is there --------------------------------------------------------------------

    def _seed(self) -> None:
        self._store_set.clear()
        self._store_set.insert(self._rows)

    def _states(self) -> States:
        sighting = sweep(self._store_set, Search(self._manifest, None, self._key))
        if sighting.unsearched:
            gap = sighting.unsearched[0]
            raise RoutineError(f"{gap.store}.{gap.table} cannot be read: {gap.why}")
        return {(state.store, state.table): state for state in sighting.tables}

    def _position(self, place: tuple[str, str]) -> int:
        """Return where a table stands in the manifest; unknown tables come last."""
        order = list(self._manifest.tables)
        return order.index(place) if place in order else len(order)

    def _own_rows(self) -> dict[str, list[tuple[object, ...]]]:
        """Return the installation's own rows, by table; they stay in memory."""
        return {
            f"{table.store}.{table.name}": self._store_set.query(
                table.store,
                f"SELECT * FROM {table.name} WHERE {column} = %s",  # noqa: S608 - the manifest's
                (value,),
            )
            for table in self._manifest.tables.values()
            for column, value in table.own
        }

    def _files(self) -> set[Path]:
        """Return the files in the server's folder that are not the engine's own."""
        on_postgres = self._store_set.config.engine is EngineKind.POSTGRES
        return {
            path
            for path in self._server.data.rglob("*")
            if path.suffix.lower() not in _ENGINE_FILES
            and not (on_postgres and path.name.split("_")[0].split(".")[0].isdigit())
            and not path.parent.name.startswith("pg_")
            and path.is_file()
        }
