"""Controls of a run that is taken up again: what was decided is finished, the rest is undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.live_controls import CLOSED, ROUTINE, SWEPT
from harness._tests.mutants.played_run import (
    ALIAS,
    ANOTHER,
    BOTH,
    CHANGES,
    CLEAR,
    LEFT,
    NUMBER,
    RUN,
    PlayedRun,
    clear,
    failing,
)
from harness.errors import (
    MaskError,
    StoreError,
    UnsettledError,
)
from harness.journal import Entry, State
from harness.model import (
    EngineKind,
    Erased,
    LogHolds,
    Resumed,
    RolledBack,
    RunOpened,
)


def resume_controls() -> Iterator[Control]:
    """Yield the controls of a run that is taken up again."""
    for claim in CLAIMS:
        yield Control(f"live: {named(claim)}", claim)


def _entry(state: State, token: str = "", *, number: int = 1, **more: Any) -> Entry:
    return Entry(RUN, state, round=number, token=token, **more)


def _decided(number: int = 1) -> Entry:
    return _entry(State.COMMITTING, "a", number=number, tables=CHANGES)


OPENED: Final = RunOpened(RUN, "", "live", "mysql", "", "hardened", False, "", "p", "now")


def _masks_of_an_earlier_round_stay() -> None:
    """A run that is taken up after its first commit keeps its masks, whether or not they fit."""
    bench = PlayedRun(sights=[LEFT])
    bench.attempts = [failing(MaskError("too short"))] * 12
    bench.resumed(_decided(), _entry(State.COMMITTED, "a"))
    assert bench.kept == []
    assert len({repr(subject.masks._numbers) for subject in bench.subjects}) == 1


def _what_was_not_decided_is_undone() -> None:
    """Before a decision what stands prepared is rolled back, and a sweep shows that all is there."""
    bench = PlayedRun(sights=[LEFT])
    preparing = _entry(State.PREPARING, "a", names=("a1", "a2"))
    bench.resumed(_entry(State.ERASING), preparing, recorded=(OPENED,))
    assert bench.acts[:3] == [("Resumed",), ("removed", RUN), ("settle", ("a1", "a2"), False)]
    assert bench.told[3:] == ["rolled back", "RolledBack", *SWEPT, "settle", *CLOSED]
    assert bench.acts.count(("settle", ("a1", "a2"), False)) == 2
    assert bench.only(Resumed).state == "preparing"
    back = bench.only(RolledBack)
    assert (back.round, "while preparing" in back.why) == (1, True)
    assert sorted(bench.hidden) == sorted({NUMBER, ALIAS})
    bench = PlayedRun(sights=[LEFT])
    bench.resumed(_entry(State.BEGUN, number=0))
    assert bench.told[:2] == ["RunOpened", "Resumed"]
    assert bench.only(RolledBack).round == 1
    bench = PlayedRun(sights=[StoreError("gone")])
    bench.resumed(_entry(State.ERASING), recorded=(OPENED,))
    assert bench.told[-2:] == ["sweep", "Failed"]


def _what_was_prepared_and_decided_is_committed() -> None:
    """What was decided is committed by its names, recorded once, and swept."""
    entries = (
        _entry(State.PREPARING, "x", names=("x1",)),
        _entry(State.ROLLED_BACK, "x"),
        _entry(State.PREPARING, "a", names=("a1", "a2")),
        _decided(),
    )
    for recorded, erased in (((OPENED,), ["Erased"]), ((OPENED, Erased(RUN, 1, 1, 0.1, ())), [])):
        bench = PlayedRun(sights=[CLEAR])
        bench.resumed(*entries, recorded=recorded)
        assert bench.acts[2] == ("settle", ("x1",), False)
        assert bench.acts[4] == ("settle", ("a1", "a2"), True)
        assert bench.told[3:5] == ["decided", "settle"]
        assert bench.told[5:] == [*erased, "committed", *SWEPT, *CLOSED]
        assert bench.noted(State.COMMITTED)[0].token == "a"
    bench = PlayedRun(refusals={"settle": UnsettledError("may stand")})
    bench.resumed(*entries)
    assert bench.told[-2:] == ["settle", "Failed"]


def _what_came_too_late_is_erased_in_another_round() -> None:
    """After a commit that took effect what is there is erased in the next round, with the masks."""
    bench = PlayedRun(sights=[LEFT, CLEAR])
    bench.attempts = [clear(bench)]
    bench.resumed(_decided(number=2), _entry(State.COMMITTED, "a"), recorded=(OPENED,))
    assert ("round", 3) in bench.acts
    assert bench.only(Erased) == Erased(RUN, 2, 1, 0.0, CHANGES)
    assert "PlanMade" not in bench.told
    assert bench.told[-2:] == CLOSED
    (subject,) = bench.subjects
    assert subject.search.key == b"d" * 32


def _again(
    *sights: Any, engine: EngineKind = EngineKind.POSTGRES, recorded: Sequence[Any] = (OPENED,)
) -> PlayedRun:
    """Take up a run of whose commit nobody knows, which sees this."""
    bench = PlayedRun(sights=list(sights), engine=engine)
    bench.attempts = [clear(bench)]
    bench.resumed(_decided(), recorded=tuple(recorded))
    return bench


def _where_nothing_is_left_the_commit_was_done() -> None:
    """Where a sweep finds nothing, what was decided is recorded as done, once."""
    for engine in EngineKind:
        bench = _again(CLEAR, engine=engine)
        assert bench.only(Erased) == Erased(RUN, 1, 1, 0.0, CHANGES)
        end = ["sweep", "Observed", "Erased", "committed", "swept", *CLOSED]
        assert bench.told[-7:] == end
        assert bench.noted(State.COMMITTED)[0].token == "a"
    bench = _again(CLEAR, recorded=(OPENED, Erased(RUN, 1, 1, 0.1, ())))
    assert "Erased" not in bench.told
    bench = PlayedRun(sights=[CLEAR])
    bench.resumed(_entry(State.COMMITTING, "a"), recorded=(OPENED,))
    assert bench.only(Erased).tables == ()


def _where_something_is_left_it_is_erased_anew() -> None:
    """What is left is erased in another round; what other stores lost is recorded as done."""
    bench = _again(LEFT, CLEAR)
    assert bench.only(Erased).tables == CHANGES[1:]
    assert ("round", 2) in bench.acts
    assert bench.told[-2:] == CLOSED
    assert _again(ANOTHER, CLEAR).only(Erased).tables == CHANGES[:1]
    bench = _again(BOTH, CLEAR)
    assert "Erased" not in bench.told
    assert ("round", 2) in bench.acts
    # One commit reaches all stores of a MySQL server, or none.
    bench = _again(LEFT, CLEAR, engine=EngineKind.MYSQL)
    assert "Erased" not in bench.told
    assert ("round", 2) in bench.acts


def _a_call_that_was_cut_off_names_its_logs() -> None:
    """On resume the logs of a call are told, if it was by a routine and they were not told yet."""
    by_routine = replace(OPENED, routine=ROUTINE)
    for recorded, count in (
        ((by_routine,), 2),
        ((by_routine, LogHolds(RUN, "general log")), 0),
        ((OPENED,), 0),
    ):
        bench = PlayedRun(sights=[CLEAR])
        bench.resumed(_entry(State.ERASING), recorded=recorded, routine=ROUTINE)
        assert bench.told.count("LogHolds") == count


CLAIMS: Final[tuple[Callable[[], None], ...]] = (
    _masks_of_an_earlier_round_stay,
    _what_was_not_decided_is_undone,
    _what_was_prepared_and_decided_is_committed,
    _what_came_too_late_is_erased_in_another_round,
    _where_nothing_is_left_the_commit_was_done,
    _where_something_is_left_it_is_erased_anew,
    _a_call_that_was_cut_off_names_its_logs,
)
