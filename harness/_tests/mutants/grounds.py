"""Real servers for controls: a store set for each, fresh every time, and ways to meddle with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast
from unittest import mock

from harness import config, erasure, manifest
from harness.config import RunConfig
from harness.errors import HarnessError
from harness.judge import Run, judge_run, runs_of
from harness.manifest import Manifest
from harness.model import (
    EngineChoice,
    Judgement,
    Part,
    Record,
    RolledBack,
)
from harness.plan import Plan, carry_out
from harness.population.cases import CASES, Case
from harness.population.people import person
from harness.population.world import Event, EventKind, Group, World
from harness.run import HARDENED, Rehearsal, rehearse
from harness.servers import parse_choice, running
from harness.stores import StoreSet, connect, ddl

PREFIX: Final = "mutants_"
OTHER_PREFIX: Final = "others_"
Rows = dict[tuple[str, str], list[tuple[object, ...]]]


def few() -> Case:
    """Return a case in which there is one row of each sort, for faults that any row shows."""
    subject, ada, bashir = person(0), person(1), person(101)
    group = Group(subject, 1_600_000_002, (subject, ada))
    events = (
        Event(EventKind.DIRECT, subject),
        Event(EventKind.DIRECT, ada, named=bashir),
        Event(EventKind.DIRECT, bashir, named=subject),
        Event(EventKind.CALLBACK, ada, named=subject),
        Event(EventKind.JOB, ada),
    )
    world = World(subject, (subject, ada, bashir), (group,), events)
    return Case("few", "Little of everything.", world)


def case_named(name: str) -> Case:
    """Return one of the population's cases, or the small one."""
    return next(case for case in (*CASES, few()) if case.name == name)


class Meddler:
    """A store set of which some methods do something else; each is given the real one first."""

    def __init__(self, real: StoreSet, **instead: Callable[..., Any]) -> None:
        self._real = real
        self._instead = instead

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in self._instead:
            return found
        meddle = self._instead[name]
        return lambda *args, **kwargs: meddle(found, *args, **kwargs)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rehearsal recorded, and what the judge says of it."""

    records: tuple[Record, ...]

    @property
    def run(self) -> Run:
        """The only run."""
        (run,) = runs_of(self.records)
        return run

    @property
    def judgement(self) -> Judgement:
        """The judge's answer."""
        return judge_run(self.run)

    @property
    def whys(self) -> list[str]:
        """Why anything was rolled back."""
        return [one.why for one in self.run.all(RolledBack)]


@dataclass(slots=True)
class Ground:
    """One engine's servers and store sets; `fresh` connects anew and clears them."""

    choice: EngineChoice
    run_config: RunConfig
    described: Manifest
    opened: list[StoreSet] = field(default_factory=list)
    undo: list[tuple[str, str]] = field(default_factory=list)

    @property
    def store_set(self) -> StoreSet:
        """The first connection to the store set."""
        return self.opened[0]

    def connect(self, prefix: str = PREFIX) -> StoreSet:
        """Return another connection, closed when the control is over."""
        names = [store.name for store in self.described.stores]
        self.opened.append(connect(replace(self.run_config, prefix=prefix), names))
        return self.opened[-1]

    @contextmanager
    def fresh(self) -> Iterator[None]:
        """Clear the stores; afterwards undo what was changed, and close what was opened.

        The first connection serves as long as nothing goes wrong: no mutant has spoiled it.
        """
        if not self.opened:
            self.connect()
        self.store_set.clear()
        try:
            yield
        except BaseException:
            self._close(0)
            raise
        finally:
            self._close(1)
            self._put_back()

    def renew(self) -> None:
        """Give up every connection."""
        self._close(0)

    def _put_back(self) -> None:
        if self.undo:
            self._close(0)
            self.connect()
        while self.undo:
            store, statement = self.undo.pop()
            with suppress(HarnessError):
                self.store_set.execute(store, statement)

    def _close(self, kept: int) -> None:
        while len(self.opened) > kept:
            self.opened.pop().close()

    def change(self, store: str, make: Sequence[str], undo: Sequence[str]) -> None:
        """Change the schema until the control is over."""
        self.undo += [(store, statement) for statement in reversed(undo)]
        for statement in make:
            self.store_set.execute(store, statement)

    def rehearsed(
        self,
        case: str | Case,
        *,
        routine: str = HARDENED,
        instead: Mapping[str, Callable[..., Any]] | None = None,
        told: Callable[[Record], object] = bool,
        **changes: Any,
    ) -> Outcome:
        """Rehearse a case, with a meddled store set and somebody who hears each record."""
        case = case_named(case) if isinstance(case, str) else case
        sets = {Part.JUDGED: cast("StoreSet", Meddler(self.store_set, **(instead or {})))}
        if case.other:
            sets[Part.OTHER] = self.connect(OTHER_PREFIX)
        records: list[Record] = []

        def record(one: Record) -> None:
            records.append(one)
            told(one)

        plain = Rehearsal(
            run="mutant",
            case=case,
            engine=self.choice,
            sets=sets,
            manifest=self.described,
            routine=routine,
            control=routine != HARDENED,
            pseudonym="p",
        )
        rehearse(replace(plain, **changes), record)
        return Outcome(tuple(records))


@contextmanager
def meddling_inside(*steps: Callable[[StoreSet, Plan], object] | None) -> Iterator[None]:
    """Do something after each step of an erasure; None: carry the plan out and no more.

    The steps are the subject's plan, the canary's, and the canary's masked rows.
    """
    pending = list(steps)

    def meddled(store_set: StoreSet, plan: Plan) -> None:
        carry_out(store_set, plan)
        if pending and (step := pending.pop(0)):
            step(store_set, plan)

    with mock.patch.object(erasure, "carry_out", meddled):
        yield


@contextmanager
def grounds(choices: Sequence[EngineChoice]) -> Iterator[dict[EngineChoice, Ground]]:
    """Start a server for each engine, with two empty store sets on it."""
    described = manifest.load()
    with running(list(choices)) as servers:
        yield {
            choice: _made(
                choice, config.from_variables(server.environment, source="test"), described
            )
            for choice, server in servers.items()
        }


def _made(choice: EngineChoice, reached: RunConfig, described: Manifest) -> Ground:
    ground = Ground(choice, replace(reached, prefix=PREFIX), described)
    for prefix in (PREFIX, OTHER_PREFIX):
        ground.connect(prefix).create(ddl.committed(described, reached.engine))
    ground.renew()
    return ground


def choice_of(name: str) -> EngineChoice:
    """Return the engine that a word names."""
    return parse_choice(name)
