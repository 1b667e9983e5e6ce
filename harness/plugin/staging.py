"""The stage of a session: its servers, its store sets, and every run recorded once.

Servers and store sets come up when the first scenario asks for them and go when the
session ends, however it ends. A run acts on the stores once; any number of scenarios judge it.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Final

import allure
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from harness import config, history, manifest, routines
from harness.errors import ServerError
from harness.evidence.forms import as_csv
from harness.evidence.session import Session
from harness.evidence.verdict import Rows, Scope
from harness.examination import Server, examine
from harness.judge import Run, judge_run, runs_of
from harness.model import (
    STOPPED,
    CatalogChanged,
    EngineChoice,
    Failed,
    History,
    LeftBehind,
    Mode,
    Moment,
    Observed,
    Part,
    Record,
    RoutineFailed,
)
from harness.plugin import screen
from harness.plugin.collection_bed import collecting_beside
from harness.plugin.estate import made_estate
from harness.plugin.options import Request
from harness.plugin.outcome import Concluded
from harness.plugin.recorded import Recorded
from harness.population.cases import CASES, PLAIN_PREFIX, Case, crowded
from harness.population.strategies import worlds
from harness.population.world import World
from harness.redaction import Redactor
from harness.run import DOCUMENTED, Collection, Estate, Rehearsal, rehearse
from harness.servers import EmbeddedServer, install, running
from harness.stores import StoreSet, connect, ddl
from harness.surfaces import FileSet

_NEXT_LIMIT_S: Final = 10.0
EXAMINED: Final = "everywhere"
"""The case that stored routines are examined in."""
ESTATE: Final = "everywhere"
"""The case that is about files too, and about the client's own garbage collection."""
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


def _token() -> str:
    """Return a run's name: letters only, so that no digit run can be taken for a number."""
    return "".join(secrets.choice(_LETTERS) for _ in range(10))


def _soiled(run: Run) -> bool:
    """Tell whether there is more, or less, in the store set than rows can account for."""
    if any(isinstance(record, CatalogChanged | LeftBehind | Failed) for record in run.records):
        return True
    first, last = run.first, run.last
    return bool(first and last) and _places(first) != _places(last)


def _places(observed: Observed | None) -> set[tuple[str, str]]:
    return {(state.store, state.table) for state in observed.tables} if observed else set()


@dataclass
class Stage:
    """Everything a session acts on; `history` is all that was recorded so far."""

    request: Request
    session: Session
    redactor: Redactor
    durations_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    history: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._cleanup = ExitStack()
        self._manifest = manifest.load()
        self._servers: dict[EngineChoice, EmbeddedServer] = {}
        self._sets: dict[tuple[EngineChoice, str], StoreSet] = {}
        self._recorded: dict[tuple[EngineChoice, str, str], Recorded] = {}
        self._serial = itertools.count(1)
        self._no_servers: ServerError | None = None
        self.files = FileSet()
        self._pseudonym_key = secrets.token_bytes(32)
        self._call_limit_s = routines.CALL_LIMIT_S
        for password in self.request.file.passwords if self.request.file else ():
            self.redactor.register_secret(password.reveal())

    def cases(self, routine: str) -> tuple[Case, ...]:
        """Return the named cases that concern a routine."""
        if routine == DOCUMENTED:
            return CASES
        named = tuple(case for case in CASES if case.routine_in is Part.JUDGED)
        if file := self.request.file:
            # A routine FILE names its databases, so it is only ever judged in those.
            unprefixed = (case for case in named if case.other or case.prefix == PLAIN_PREFIX)
            named = tuple(replace(case, prefix=file.prefix) for case in unprefixed)
        return named + crowded(self.request.population)

    def named(self, name: str) -> Case:
        """Return the named case of that name, as the routine that is judged is put to it."""
        cases = self.cases(self.request.candidate)
        return next(case for case in cases if case.name == name)

    def attach_forms(self, recorded: Recorded) -> None:
        """Attach the table of forms to the report of the scenario that is running."""
        kind = allure.attachment_type.CSV
        allure.attach(as_csv(recorded.forms), "forms planted, seen and left", kind)

    def recorded(self, engine: EngineChoice, case: Case, routine: str) -> Recorded:
        """Return the recorded run of a named case, acting only the first time."""
        key = (engine, case.name, routine)
        if key not in self._recorded:
            with self.recording(routine) as rehearsed:
                self._recorded[key] = rehearsed(engine, case)
        return self._recorded[key]

    def examined(self, engine: EngineChoice, routine: str) -> Recorded:
        """Return the recorded examination of a stored routine, acting only the first time."""
        key = (engine, "examination", routine)
        if key not in self._recorded:
            with self.recording(routine, examination=True) as act:
                case = next(one for one in self.cases(routine) if one.name == EXAMINED)
                self._recorded[key] = act(engine, case)
        return self._recorded[key]

    def recorded_with_files(self, engine: EngineChoice) -> Recorded:
        """Return the recorded run of the case that has files too, acting only the first time."""
        key = (engine, f"{ESTATE}, with files", self.request.candidate)
        if key not in self._recorded:
            case = self.named(ESTATE)
            folder = self._cleanup.enter_context(TemporaryDirectory(prefix="estate-"))
            estate = made_estate(Path(folder), case.world)
            with self.recording(self.request.candidate, estate=estate) as rehearsed:
                self._recorded[key] = rehearsed(engine, case)
            self.files = estate.files
        return self._recorded[key]

    def recorded_with_collection(
        self, engine: EngineChoice, moment: Moment, nodes: int, *, writes_back: bool = False
    ) -> Recorded:
        """Return the recorded run beside which a client collects garbage, acting only once.

        With `writes_back` it is a control, in which Coreapps write the subject back.
        """
        beside = f"collection {moment}, {nodes} nodes, {writes_back}"
        key = (engine, beside, self.request.candidate)
        if key not in self._recorded:
            case = self.named(ESTATE)
            config = self._store_set(engine, case.prefix).config
            with (
                collecting_beside(config, case, moment, nodes, writes_back=writes_back) as made,
                self.recording(self.request.candidate, collection=made) as rehearsed,
            ):
                self._recorded[key] = rehearsed(engine, case)
        return self._recorded[key]

    @contextmanager
    def recording(
        self,
        routine: str,
        *,
        examination: bool = False,
        estate: Estate | None = None,
        collection: Collection | None = None,
    ) -> Iterator[Callable[[EngineChoice, Case], Recorded]]:
        """Yield a function that acts a case and records it; one history file for them all."""
        path = self.session.run_folder(next(self._serial)) / "history.jsonl"
        with path.open("ab") as stream:
            path.chmod(0o600)

            def act(engine: EngineChoice, case: Case) -> Recorded:
                return self._act(
                    engine,
                    case,
                    routine,
                    stream,
                    examination=examination,
                    estate=estate,
                    collection=collection,
                )

            yield act

    def explore(
        self,
        engine: EngineChoice,
        routine: str,
        examples: int,
        require: Callable[[Recorded], None],
    ) -> None:
        """Act and judge as many worlds of Hypothesis's own making, the same in every session."""
        prefix = self.request.file.prefix if self.request.file else PLAIN_PREFIX
        with self.recording(routine) as act:

            @settings(
                max_examples=examples,
                database=None,
                deadline=None,
                derandomize=True,
                phases=(Phase.generate, Phase.shrink),
                verbosity=Verbosity.quiet,
                suppress_health_check=[HealthCheck.too_slow],
            )
            @given(world=worlds())
            def judged(world: World) -> None:
                require(act(engine, Case("any world", "Drawn by Hypothesis.", world, prefix)))

            judged()

    def _act(  # noqa: PLR0913  # what is acted, by name
        self,
        engine: EngineChoice,
        case: Case,
        routine: str,
        stream: BinaryIO,
        *,
        examination: bool,
        estate: Estate | None,
        collection: Collection | None,
    ) -> Recorded:
        for number in case.numbers():
            self.redactor.register_number(number)
        records: list[Record] = []

        def record(fact: Record) -> None:
            records.append(fact)
            self.history.append(fact)
            history.write(stream, [fact], redactor=self.redactor)

        sets = {Part.JUDGED: self._store_set(engine, case.prefix)}
        if case.other:
            sets[Part.OTHER] = self._store_set(engine, case.other_prefix)
        rehearsal = Rehearsal(
            run=_token(),
            case=case,
            engine=engine,
            sets=sets,
            manifest=self._manifest,
            routine=routine,
            control=routine != self.request.candidate
            or bool(collection and collection.written_back),
            which_rows=not case.bulk,
            pseudonym=self._pseudonym(case),
            file=self.request.file if routine == self.request.candidate else None,
            estate=estate,
            collection=collection,
            shared=bool(collection and collection.moment is Moment.INSIDE),
            call_limit_s=self._call_limit_s,
        )
        with self._timed("runs"):
            if examination:
                server = self._servers[engine]
                examine(rehearsal, Server(server.log, server.data), record)
            else:
                rehearse(rehearsal, record)
        (run,) = runs_of(tuple(records))
        if any(failed.code == STOPPED for failed in run.all(RoutineFailed)):
            # What did not end once is not waited for again and again.
            self._call_limit_s = _NEXT_LIMIT_S
        if rehearsal.file and _soiled(run):
            self._drop(engine, case.prefix)
        return Recorded((run,), judge_run(run))

    def _pseudonym(self, case: Case) -> str:
        number = case.wa_id.number.encode("ascii")
        return hmac.new(self._pseudonym_key, number, hashlib.sha256).hexdigest()

    def _store_set(self, engine: EngineChoice, prefix: str) -> StoreSet:
        self._start()
        if (engine, prefix) not in self._sets:
            self._sets[engine, prefix] = self._create(engine, prefix)
        return self._sets[engine, prefix]

    def _start(self) -> None:
        """Install and start the servers of all engines asked for, side by side, once."""
        if self._no_servers:
            # What failed once is not tried again for every scenario.
            raise self._no_servers
        if not self._servers:
            try:
                self._launch()
            except ServerError as error:
                self._no_servers = error
                raise

    def _launch(self) -> None:
        with self._timed("install"):
            for engine in self.request.engines:
                install(engine)
        with self._timed("start"):
            self._servers = self._cleanup.enter_context(running(self.request.engines))
        for server in self._servers.values():
            self.redactor.register_secret(server.environment["WA_DB_PASSWORD"])

    def _create(self, engine: EngineChoice, prefix: str) -> StoreSet:
        variables = {**self._servers[engine].environment, "WA_DB_NAME_PREFIX": prefix}
        reached = config.from_variables(variables, source="the disposable server's settings")
        with self._timed("create"):
            store_set = connect(reached, [store.name for store in self._manifest.stores])
            self._cleanup.callback(store_set.close)
            store_set.create(ddl.committed(self._manifest, engine.kind))
        return store_set

    def _drop(self, engine: EngineChoice, prefix: str) -> None:
        """Drop a store set in which a routine left more than rows; it is made anew when needed."""
        soiled = self._sets.pop((engine, prefix))
        soiled.close()
        fresh = connect(soiled.config, [store.name for store in self._manifest.stores])
        fresh.drop()
        fresh.close()

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started_s = time.monotonic()
        try:
            yield
        finally:
            self.durations_s[name] += time.monotonic() - started_s

    mode = Mode.VERIFY
    rows: Rows = "untouched"
    idle = False
    signed_off = ("", "")

    @property
    def scope(self) -> Scope:
        """What was searched, and what was not."""
        return screen.scope_of(self.files)

    def attest(self) -> None:
        """Nothing is to be done: what was acted on is gone."""

    def summary(self, line: Concluded, *, width: int, colour: bool) -> list[str]:
        """Return the lines of the last screen, for a terminal `width` columns wide."""
        return screen.render(line, self, width=width, colour=colour)

    def close(self) -> None:
        """Stop every server and remove its folder; harmless when repeated."""
        with self._timed("stop"):
            self._cleanup.close()

    def records(self) -> History:
        """Return everything recorded so far, as one history."""
        return tuple(self.history)
