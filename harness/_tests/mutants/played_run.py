"""A live run without a server: what it does is written down in order, and errors are played."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Final, cast
from unittest import mock

from harness import live, manifest, routines
from harness.errors import HarnessError
from harness.identity import Closure, WaId
from harness.journal import Entry, Held, Journal, Progress, State
from harness.keys import SiteKey
from harness.live import LiveRun, Mission
from harness.model import (
    EngineKind,
    Failed,
    History,
    MediaReferences,
    Mode,
    Record,
    TableChange,
    TableState,
    Trace,
)
from harness.plan import Party
from harness.routines import RoutineFile
from harness.stores.sweep import Sighting
from harness.witnesses import Witnesses

RUN: Final = "abcdefghijkl"
NUMBER: Final = "5521" + "987654321"
VARIANT: Final = "5521" + "87654321"
OTHER: Final = "1541" + "5550199"
ALIAS: Final = "1541" + "5550101"
CLOSURE: Final = Closure(WaId(NUMBER), frozenset({ALIAS}), frozenset())
KEY: Final = SiteKey(bytes(range(32)))
CHANGES: Final = (
    TableChange("messageStore", "messages", 6, 5),
    TableChange("waweb", "contacts", 1, 0),
)
STATE: Final = TableState("messageStore", "messages", 0, 0, 7, "aa", "bb")
CLEAR: Final = Sighting(tables=[STATE])
LEFT: Final = replace(CLEAR, traces=[Trace("messageStore", "messages", "data", 1)])
ANOTHER: Final = replace(CLEAR, traces=[Trace("waweb", "contacts", "wa_id", 1)])
BOTH: Final = replace(CLEAR, traces=[*LEFT.traces, *ANOTHER.traces])
FILE: Final = cast("RoutineFile", SimpleNamespace(sha256="f" * 64))
NO_MEDIA: Final = MediaReferences()
Act = tuple[Any, ...]


@dataclass
class PlayedRun:
    """What a live run needs, played; `acts` is all that it did, in order.

    `attempts` are what each round of erasing does with what settles, `sights` what each sweep
    sees; `refusals` are raised where an act of that name would be noted.
    """

    acts: list[Act] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    kept: list[Held] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    subjects: list[Party] = field(default_factory=list)
    made: list[tuple[Act, dict[str, Any]]] = field(default_factory=list)
    sights: list[Sighting | HarnessError] = field(default_factory=list)
    attempts: list[Callable[[Any], bool]] = field(default_factory=list)
    refusals: dict[str, HarnessError] = field(default_factory=dict)
    names: tuple[str, ...] = ("one", "two")
    engine: EngineKind = EngineKind.MYSQL

    @property
    def store_set(self) -> Any:
        """The store set, as far as a live run asks it itself."""
        return SimpleNamespace(
            config=SimpleNamespace(engine=self.engine, prefix="own_"),
            version="5.6.24",
            databases=lambda: {"messageStore": "own_messageStore", "waweb": "own_waweb"},
            commit_names=lambda _: self.names,
            prepare=lambda attempt: self._do("prepare", attempt),
            prepared=tuple,
            settle=lambda names, *, commit: self._do("settle", tuple(names), commit),
            statement_logs=lambda: ("general log", "slow log"),
        )

    def _do(self, *act: Any) -> None:
        self.acts.append(act)
        if act[0] in self.refusals:
            raise self.refusals[act[0]]

    def mission(self, **changes: Any) -> Mission:
        """Return a mission to erase by the plan."""
        usual: dict[str, Any] = {
            "run": RUN,
            "mode": Mode.LIVE,
            "wa_id": WaId(NUMBER),
            "store_set": self.store_set,
            "manifest": manifest.load(),
            "engine": "mysql",
            "key": KEY,
            "require_alone": lambda: self._do("alone"),
            "hide": self.hidden.append,
        }
        return Mission(**usual | changes)

    def record(self, record: Record) -> None:
        """Hear a record."""
        self.records.append(record)
        self._do(type(record).__name__)

    def run(self, **changes: Any) -> LiveRun:
        """Return a run of a mission."""
        calls = ("acting", "require_time", "decided", "released", "finished")
        guard = SimpleNamespace(**{name: lambda name=name: self._do(name) for name in calls})
        return LiveRun(
            self.mission(**changes), self.record, cast("Journal", _Noted(self)), cast("Any", guard)
        )

    @contextmanager
    def played(self) -> Iterator[None]:
        """Run the block with everything played that would need a server."""
        played: dict[str, Any] = {
            "sweep": lambda *_: self._see(),
            "resolve": lambda *_: self._resolve(),
            "find_witnesses": lambda *_: self._witnesses(),
            "seen_witnesses": lambda *_: (self._see(), 1),
            "removed": lambda _, run: self._do("removed", run),
            "ProvenErasure": lambda *args, **named: _Erasing(self, args, named),
            "ProvenCall": lambda *args, **named: _Erasing(self, args, named),
        }
        with ExitStack() as stack:
            for name, instead in played.items():
                stack.enter_context(mock.patch.object(live, name, instead))
            for name in ("from_file", "documented"):
                made = mock.Mock(side_effect=lambda *args, name=name: (name, *args))
                stack.enter_context(mock.patch.object(routines, name, made))
            yield

    def _see(self) -> Sighting:
        self.acts.append(("sweep",))
        seen = self.sights.pop(0)
        if isinstance(seen, HarnessError):
            raise seen
        return seen

    def _resolve(self) -> Closure:
        if "resolve" in self.refusals:
            raise self.refusals["resolve"]
        return CLOSURE

    def _witnesses(self) -> Witnesses:
        self._do("witnesses")
        return Witnesses({("waweb", "contacts", "wa_id"): OTHER, ("a", "b", "c"): OTHER})

    def erased(self, **changes: Any) -> None:
        """Erase, or rehearse."""
        with self.played():
            self.run(**changes).erase()

    def resumed(self, *entries: Entry, recorded: History = (), **changes: Any) -> None:
        """Take a run up again of which the journal says this."""
        with self.played():
            self.run(**changes).resume(Progress(RUN, entries), recorded)

    @property
    def told(self) -> list[str]:
        """The acts in words: a note by its state, a record by its name."""
        return [str(act[1]) if act[0] == "note" else str(act[0]) for act in self.acts]

    def noted(self, state: State) -> list[Entry]:
        """Return the journal's entries of one state."""
        return [entry for entry in self.entries if entry.state is state]

    def failed(self, phase: str, error: str) -> bool:
        """Tell whether just this went wrong, and the run is not whole."""
        one = self.only(Failed)
        return (one.phase, one.error) == (phase, error) and "RunClosed" not in self.told

    def only(self, kind: type[Any]) -> Any:
        """Return the only record of a kind."""
        (found,) = (record for record in self.records if type(record) is kind)
        return found


@dataclass
class _Noted:
    """A journal in memory."""

    bench: PlayedRun

    def note(self, entry: Entry) -> None:
        """Add an entry."""
        self.bench.entries.append(entry)
        self.bench._do("note", entry.state)

    def keep(self, run: str, held: Held) -> None:
        """Seal what the run needs."""
        assert run == RUN
        self.bench.kept.append(held)
        self.bench._do("keep")

    def held(self, run: str) -> Held:
        """Return what an interrupted run sealed."""
        assert run == RUN
        return Held(CLOSURE, b"s" * 32, b"d" * 32)


class _Erasing:
    """What erases: tells what it was made of, and does what is played."""

    def __init__(self, bench: PlayedRun, args: Act, named: dict[str, Any]) -> None:
        self._bench = bench
        self._settle = named["settle"]
        bench.made.append((args, named))

    def committed(self, number: int, subject: Party) -> bool:
        """Play one round."""
        self._bench.acts.append(("round", number))
        self._bench.subjects.append(subject)
        return self._bench.attempts.pop(0)(self._settle)


def clear(
    bench: PlayedRun,
    changes: Sequence[TableChange] = CHANGES,
    media: MediaReferences = NO_MEDIA,
) -> Callable[[Any], bool]:
    """Return an attempt that is clear, and commits."""

    def attempt(settle: Any) -> bool:
        settle(lambda: bench._do("commit"), changes, media)
        return True

    return attempt


def failing(error: HarnessError) -> Callable[[Any], bool]:
    """Return an attempt that fails before it is clear."""

    def attempt(_: Any) -> bool:
        raise error

    return attempt
