"""Controls of a live run in which something goes wrong: what is taken back, and what left open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pytest

from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.live_controls import CLOSED, LOCATING, SWEPT
from harness._tests.mutants.played_run import (
    ALIAS,
    CLEAR,
    CLOSURE,
    LEFT,
    NUMBER,
    OTHER,
    VARIANT,
    PlayedRun,
    clear,
)
from harness.errors import (
    ConflictError,
    GivenUpError,
    HarnessError,
    HoldError,
    StoreError,
    StoreUnreachableError,
    UnsettledError,
)
from harness.identity import Closure, WaId
from harness.journal import State
from harness.live import refuse_holds
from harness.model import (
    Failed,
)


def live_fault_controls() -> Iterator[Control]:
    """Yield the controls of a live run in which something goes wrong."""
    for claim in CLAIMS:
        yield Control(f"live: {named(claim)}", claim)


def _nothing_is_decided_out_of_time_or_not_alone() -> None:
    """Where the lock is lost or the time is over, nothing is decided, and the run is over."""
    for name, error in (
        ("alone", StoreError("lost the lock")),
        ("require_time", GivenUpError("interrupted")),
    ):
        bench = PlayedRun(refusals={name: error})
        bench.attempts = [clear(bench)]
        bench.erased()
        assert bench.failed("erase", type(error).__name__)
        assert bench.told[-3:] == [name, "Failed", "closed"]


def _what_cannot_be_prepared_is_taken_back() -> None:
    """A server that cannot prepare is told apart from one of which nobody knows whether it did."""
    bench = PlayedRun(refusals={"prepare": StoreError("no room")})
    bench.attempts = [clear(bench)]
    bench.erased()
    assert bench.told[-6:] == [
        "preparing",
        "prepare",
        "rolled back",
        "released",
        "Failed",
        "closed",
    ]
    assert bench.noted(State.ROLLED_BACK)[0].token == bench.noted(State.PREPARING)[0].token
    bench = PlayedRun(refusals={"prepare": UnsettledError("may stand")})
    bench.attempts = [clear(bench)]
    bench.erased()
    assert bench.told[-3:] == ["preparing", "prepare", "Failed"]


def _a_commit_that_gave_way_is_taken_back() -> None:
    """After a conflict nothing was committed: another attempt may decide anew."""

    def again(settle: Any) -> bool:
        with pytest.raises(ConflictError):
            clear(bench)(settle)
        bench.refusals.clear()
        return clear(bench)(settle)

    bench = PlayedRun(sights=[CLEAR], refusals={"commit": ConflictError("gave way")})
    bench.attempts = [again]
    bench.erased()
    first, second = bench.noted(State.COMMITTING)
    assert bench.noted(State.ROLLED_BACK)[0].token == first.token != second.token
    assert bench.noted(State.COMMITTED)[0].token == second.token
    assert bench.told.count("released") == 1
    assert bench.told[-2:] == CLOSED
    bench = PlayedRun(refusals={"commit": ConflictError("gave way")})
    bench.attempts = [clear(bench)]
    bench.erased()
    assert bench.told[-4:] == ["rolled back", "released", "Failed", "closed"]


def _a_commit_that_is_not_answered_is_left_to_be_finished() -> None:
    """Where nobody knows whether it took effect, nothing is taken back, and the run stays open."""
    for error in (StoreUnreachableError("gone"), StoreError("refused"), UnsettledError("half")):
        bench = PlayedRun(refusals={"commit": error})
        bench.attempts = [clear(bench)]
        bench.erased()
        assert bench.failed("erase", type(error).__name__)
        assert bench.told[-3:] == ["Committing", "commit", "Failed"]


def _a_second_round_that_fails_leaves_the_run_open() -> None:
    """After the first commit there is something to finish, whatever happens to a later one."""
    refusals: tuple[tuple[str, HarnessError], ...] = (
        ("commit", ConflictError("gave way")),
        ("prepare", StoreError("no room")),
    )
    for name, error in refusals:
        bench = PlayedRun(sights=[LEFT])
        bench.attempts = [clear(bench), partial(_refused_late, bench, name, error)]
        bench.erased()
        assert bench.told[-3:] == ["rolled back", "released", "Failed"]


def _refused_late(bench: PlayedRun, name: str, error: HarnessError, settle: Any) -> bool:
    bench.refusals[name] = error
    return clear(bench)(settle)


def _what_was_not_swept_is_left_open() -> None:
    """A sweep that fails after the commit is a failed phase, and the run stays open."""
    bench = PlayedRun(sights=[StoreError("denied")])
    bench.attempts = [clear(bench)]
    bench.erased()
    assert bench.failed("sweep after", "StoreError")
    assert bench.told[-3:] == ["committed", "sweep", "Failed"]


def _what_is_not_clear_is_not_tried_again() -> None:
    """A round that was rolled back is the last one, and the run is whole."""
    bench = PlayedRun(sights=[LEFT])
    bench.attempts = [lambda _: False]
    bench.erased()
    assert bench.told == [*LOCATING, "round", *SWEPT, *CLOSED]


def _who_is_under_a_hold_is_refused() -> None:
    """A hold on any number of the subject's refuses before a round begins."""
    for number in (NUMBER, ALIAS, VARIANT):
        bench = PlayedRun()
        with pytest.raises(HoldError):
            bench.erased(holds=frozenset({number}))
        assert bench.told == [*LOCATING, "Failed", "closed"]
        assert bench.only(Failed).error == "Refused"
    refuse_holds(CLOSURE, frozenset({OTHER}))
    for mine, held in ((NUMBER, VARIANT), (VARIANT, NUMBER), (NUMBER, NUMBER)):
        with pytest.raises(HoldError):
            refuse_holds(Closure(WaId(mine)), frozenset({held}))
    # The stores may tie a number to the subject of which only the other form is held.
    tied = Closure(WaId(OTHER), frozenset({VARIANT}))
    with pytest.raises(HoldError):
        refuse_holds(tied, frozenset({NUMBER}))


def _another_errors_run_ends_as_it_is() -> None:
    """What is no error of ours is no phase's, and closes a run before its commit only."""
    bench = PlayedRun()
    bench.attempts = [lambda _: 1 // 0 > 0]
    with pytest.raises(ZeroDivisionError):
        bench.erased()
    assert bench.told[-2:] == ["round", "closed"]


def _whose_turn_never_came_is_said() -> None:
    """A run that was not begun says so, and is over."""
    bench = PlayedRun()
    with bench.played():
        bench.run().forgo()
    assert bench.told == ["RunOpened", "Failed", "closed"]
    assert bench.only(Failed).error == "GivenUpError"


CLAIMS: Final[tuple[Callable[[], None], ...]] = (
    _nothing_is_decided_out_of_time_or_not_alone,
    _what_cannot_be_prepared_is_taken_back,
    _a_commit_that_gave_way_is_taken_back,
    _a_commit_that_is_not_answered_is_left_to_be_finished,
    _a_second_round_that_fails_leaves_the_run_open,
    _what_was_not_swept_is_left_open,
    _what_is_not_clear_is_not_tried_again,
    _who_is_under_a_hold_is_refused,
    _another_errors_run_ends_as_it_is,
    _whose_turn_never_came_is_said,
)
