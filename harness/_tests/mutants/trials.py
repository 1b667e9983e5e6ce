"""Routines put to the populations: what the judge finds, and what the stores hold afterwards."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, settings

from harness import config, manifest
from harness._tests.mutants.edits import Edit
from harness.errors import HarnessError
from harness.examination import Server, examine
from harness.judge import judge_run, runs_of
from harness.manifest import Manifest
from harness.model import (
    EngineChoice,
    EngineKind,
    Finding,
    Part,
    Record,
    RoutineFailed,
    Step,
)
from harness.population.bulk import crowd
from harness.population.cases import CASES, Case
from harness.population.strategies import worlds
from harness.population.world import World
from harness.routines import RoutineFile, read
from harness.run import Rehearsal, rehearse
from harness.servers import EmbeddedServer, running
from harness.stores import StoreSet, connect, ddl
from harness.stores.mysql_changes import quoted as mysql_quoted
from harness.stores.postgres_quoting import quoted as postgres_quoted

OTHER_PREFIX: Final = "acme_"
CALL_LIMIT_S: Final = 20.0
DRAWN: Final = 8
CROWD: Final = 20_000
EXAMINATION: Final = "examination"
Facts = Counter[tuple[object, ...]]


class StillbornError(Exception):
    """The server refuses to create an edited routine: the edit is no mutant."""


@dataclass(slots=True)
class Bench:
    """One engine's server, with two store sets on it, and every population by name."""

    choice: EngineChoice
    server: EmbeddedServer
    described: Manifest
    sets: Mapping[Part, StoreSet]
    populations: Mapping[str, Sequence[Case]] = field(default_factory=dict)
    serial: int = 0

    def facts(self, text: str, population: str, edit: Edit | None = None) -> Facts:
        """Return what the judge finds of a routine in a population, without the wording.

        Raises:
            StillbornError: The server refuses to create it.
        """
        found: Facts = Counter()
        for number, case in enumerate(self.populations[population]):
            for finding in self._findings(text, case, population, edit):
                found[number, *_fact(finding)] += 1
        return found

    def findings(
        self, text: str, population: str, limit_s: float = CALL_LIMIT_S
    ) -> Sequence[Finding]:
        """Return the findings in a population's first case, each call limited in time."""
        return self._findings(text, self.populations[population][0], population, None, limit_s)

    def _findings(
        self,
        text: str,
        case: Case,
        population: str,
        edit: Edit | None,
        limit_s: float = CALL_LIMIT_S,
    ) -> Sequence[Finding]:
        records: list[Record] = []
        judged = _Surrounded(self.sets[Part.JUDGED], edit.around) if edit else None
        sets = {Part.JUDGED: judged or self.sets[Part.JUDGED]}
        if case.other:
            sets[Part.OTHER] = self.sets[Part.OTHER]
        self.serial += 1
        rehearsal = Rehearsal(
            run=f"m{self.serial}",
            case=case,
            engine=self.choice,
            sets=sets,
            manifest=self.described,
            routine="mutant",
            control=False,
            pseudonym="p",
            which_rows=True,
            file=self._read(text),
            call_limit_s=limit_s,
        )
        try:
            if population == EXAMINATION:
                examine(rehearsal, Server(self.server.log, self.server.data), records.append)
            else:
                rehearse(rehearsal, records.append)
        finally:
            self._undo(edit)
        (run,) = runs_of(tuple(records))
        if any(failed.step is Step.INSTALL for failed in run.all(RoutineFailed)):
            raise StillbornError
        return judge_run(run).findings

    def _read(self, text: str) -> RoutineFile:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "mutant.sql")
            path.write_text(text, encoding="utf-8")
            return read(path, [store.name for store in self.described.stores])

    def _undo(self, edit: Edit | None) -> None:
        for store, statement in edit.undone if edit else ():
            with suppress(HarnessError):
                self.sets[Part.JUDGED].execute(store, statement)

    def dump(self, text: str, edit: Edit | None = None) -> str:
        """Return digests of every row of every table after a routine ran in the largest stores.

        There everybody who can be mistaken for the subject stands among a crowd.
        """
        judged = self.sets[Part.JUDGED]
        dumps = []
        for name in ("neighbours", "mapped-neighbours"):
            self._restart(judged)
            (case,) = self.populations[name]
            largest = replace(case, bulk=crowd(case.world.subject, CROWD))
            self._findings(text, largest, "largest", edit)
            dumps.append(_digest(judged))
        return " ".join(dumps)

    def _restart(self, store_set: StoreSet) -> None:
        """Empty every table and let serial numbers begin anew, so that dumps can be compared."""
        mysql = self.choice.kind is EngineKind.MYSQL
        for table in store_set.tables():
            name = mysql_quoted(table.name) if mysql else postgres_quoted(table.name)
            store_set.execute(table.store, f"TRUNCATE {name}{'' if mysql else ' RESTART IDENTITY'}")


class _Surrounded:
    """A store set in which something is changed as soon as it is seeded."""

    def __init__(self, real: StoreSet, around: Sequence[tuple[str, str]]) -> None:
        self._real = real
        self._around = around

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def insert(self, rows: Any) -> None:
        self._real.insert(rows)
        for store, statement in self._around:
            with suppress(HarnessError):  # an examination seeds more than once
                self._real.execute(store, statement)


def _fact(finding: Finding) -> tuple[object, ...]:
    kind, _, *place = finding.fact
    return kind, *place


def _digest(store_set: StoreSet) -> str:
    """Return one digest of all rows, in an order that does not depend on where they lie."""
    total = hashlib.sha256()
    for table in sorted(store_set.tables(), key=lambda one: (one.store, one.label)):
        rows: list[bytes] = []
        store_set.scan(table, rows.extend)
        total.update(f"{table.store}.{table.label}: {len(rows)}\n".encode())
        for row in sorted(rows):
            total.update(len(row).to_bytes(8, "big") + row)
    return total.hexdigest()


def _populations() -> dict[str, Sequence[Case]]:
    named = {case.name: case for case in CASES if case.routine_in is Part.JUDGED}
    chosen = "everywhere neighbours mapped-neighbours half-known mapped-half-known unlisted mapped"
    chosen += " neighbour variant twice encodings"
    return {
        **{name: (named[name],) for name in chosen.split()},
        "two sets": (replace(named["two-sets"], prefix=""),),
        "nobody": (named["unknown"], named["empty"]),
        "drawn worlds": tuple(_drawn()),
        EXAMINATION: (named["everywhere"],),
    }


def _drawn() -> Iterator[Case]:
    """Yield the first worlds of Hypothesis's own making in which the subject is somebody."""
    found: list[World] = []

    @settings(
        max_examples=10 * DRAWN,
        database=None,
        derandomize=True,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(world=worlds())
    def draw(world: World) -> None:
        if world.subject in world.people and world.events:
            found.append(world)

    draw()
    for number, world in enumerate(found[-DRAWN:], start=1):
        yield Case(f"drawn {number}", "Drawn by Hypothesis.", world)


@contextmanager
def benches(choices: Sequence[EngineChoice]) -> Iterator[Mapping[EngineChoice, Bench]]:
    """Start a server for each engine, with two empty store sets on it."""
    described = manifest.load()
    populations = _populations()
    with running(list(choices)) as servers:
        yield {
            choice: Bench(choice, server, described, _sets(choice, server, described), populations)
            for choice, server in servers.items()
        }


def _sets(
    choice: EngineChoice, server: EmbeddedServer, described: Manifest
) -> dict[Part, StoreSet]:
    def made(prefix: str) -> StoreSet:
        variables = {**server.environment, "WA_DB_NAME_PREFIX": prefix}
        reached = config.from_variables(variables, source="test")
        store_set = connect(reached, [store.name for store in described.stores])
        store_set.create(ddl.committed(described, choice.kind))
        return store_set

    return {Part.JUDGED: made(""), Part.OTHER: made(OTHER_PREFIX)}
