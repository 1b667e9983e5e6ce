"""Controls of a live run, without a server: what is journaled, decided, taken back, finished."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

import pytest

from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.played_run import (
    ALIAS,
    ANOTHER,
    BOTH,
    CHANGES,
    CLEAR,
    CLOSURE,
    FILE,
    KEY,
    LEFT,
    NUMBER,
    OTHER,
    RUN,
    VARIANT,
    PlayedRun,
    clear,
    failing,
)
from harness.errors import (
    ConflictError,
    GivenUpError,
    HarnessError,
    HoldError,
    MaskError,
    PlanChangedError,
    RefusalError,
    SelfCommittingError,
    StoreError,
    StoreUnreachableError,
    UnsettledError,
)
from harness.identity import Closure, WaId
from harness.journal import Entry, State
from harness.live import plan_digest, refuse_holds, token
from harness.model import (
    ClosureFrozen,
    Committing,
    EngineKind,
    Erased,
    Failed,
    LogHolds,
    Mode,
    Moment,
    Observed,
    PlanMade,
    Resumed,
    RolledBack,
    RunOpened,
    TableChange,
    Withheld,
    Witnessed,
)
from harness.run import HARDENED

LOCATING: Final = ["keep", "RunOpened", "ClosureFrozen", "keep", "located", "erasing"]
DECIDING: Final = ["alone", "require_time", "decided"]
COMMITTING: Final = [
    *("preparing", "prepare", "committing", "Committing", "commit", "committed"),
]
SWEPT: Final = ["sweep", "Observed", "swept"]
CLOSED: Final = ["RunClosed", "closed"]
ROUTINE: Final = "documented"


def live_controls() -> Iterator[Control]:
    """Yield the controls of a live run."""
    for claim in CLAIMS:
        yield Control(f"live: {named(claim)}", claim)


# --- an erasure -----------------------------------------------------------------------------


def _each_step_is_journaled_before_it_is_taken() -> None:
    """An erasure by the plan does this, in this order, and names what it does."""
    bench = PlayedRun(sights=[CLEAR])
    bench.attempts = [clear(bench)]
    bench.erased()
    assert bench.told == [
        *LOCATING,
        *("round", "PlanMade"),
        *(*DECIDING, *COMMITTING, *SWEPT, *CLOSED),
    ]
    assert [(one.run, one.round) for one in bench.entries] == [
        *[(RUN, 0)] * 2,
        *[(RUN, 1)] * 5,
    ]
    preparing, committing, committed = (
        bench.noted(state)[0] for state in (State.PREPARING, State.COMMITTING, State.COMMITTED)
    )
    assert preparing.names == bench.names
    assert committing.tables == CHANGES
    assert len({one.token for one in (preparing, committing, committed)}) == 1
    assert bench.acts[bench.told.index("prepare")][1] == preparing.token != ""
    assert bench.only(Committing) == Committing(RUN, 1, CHANGES)
    assert bench.only(Observed).moment is Moment.AFTER


def _who_is_erased_is_sealed_and_hidden() -> None:
    """All numbers are hidden, and sealed as they were found; evidence names them by pseudonym."""
    bench = PlayedRun(sights=[CLEAR])
    bench.attempts = [clear(bench)]
    bench.erased(engine="mysql:5.6")
    assert sorted(bench.hidden) == sorted({NUMBER, ALIAS, VARIANT})
    assert [held.closure for held in bench.kept] == [Closure(WaId(NUMBER)), CLOSURE]
    frozen = bench.only(ClosureFrozen)
    assert frozen.identifiers == CLOSURE.by_kind()
    assert frozen.pseudonyms == tuple(map(KEY.pseudonym, (NUMBER, ALIAS)))
    opened = bench.only(RunOpened)
    assert (opened.mode, opened.prefix, opened.shared) == ("live", "own_", True)
    assert (opened.control, opened.routine_digest) == (False, "")
    assert opened.subject == KEY.pseudonym(NUMBER)
    ((args, given),) = bench.made
    assert args[0] == RUN
    assert args[3] == bench.kept[-1].digest_key
    assert set(given) == {"settle"}
    (subject,) = bench.subjects
    assert subject.search.closure == CLOSURE
    assert subject.search.masks is subject.masks


def _what_is_not_prepared_is_not_announced() -> None:
    """Where one commit reaches all stores nothing is prepared, nor where a routine was called."""
    for names, routine in (((), HARDENED), (("one",), ROUTINE)):
        bench = PlayedRun(sights=[CLEAR], names=names)
        bench.attempts = [clear(bench)]
        bench.erased(routine=routine)
        assert not bench.noted(State.PREPARING)
        assert "prepare" not in bench.told
        assert "commit" in bench.told


def _what_is_rehearsed_is_rolled_back() -> None:
    """A rehearsal makes the plan, decides nothing, and ends."""
    bench = PlayedRun()
    bench.attempts = [clear(bench)]
    bench.erased(mode=Mode.REHEARSE)
    end = ["PlanMade", "rolled back", "Withheld", *CLOSED]
    assert bench.told == [*LOCATING, "round", *end]
    assert bench.only(Withheld) == Withheld(RUN)
    assert bench.only(PlanMade).tables == CHANGES


def _a_plan_must_be_the_rehearsed_one() -> None:
    """With digests given one must fit, in the first round, or nothing is decided."""
    bench = PlayedRun()
    bench.attempts = [clear(bench)]
    bench.erased(mode=Mode.REHEARSE)
    digest = bench.only(PlanMade).digest
    for plans in (frozenset({digest}), frozenset({"x", digest}), frozenset()):
        bench = PlayedRun(sights=[CLEAR])
        bench.attempts = [clear(bench)]
        bench.erased(plans=plans)
        assert "commit" in bench.told
    bench = PlayedRun()
    bench.attempts = [clear(bench)]
    with pytest.raises(PlanChangedError):
        bench.erased(plans=frozenset({"x"}))
    assert "decided" not in bench.told
    assert bench.told[-2:] == ["Failed", "closed"]
    # What came too late for the first round was in no plan.
    bench = PlayedRun(sights=[LEFT, CLEAR])
    bench.attempts = [clear(bench), clear(bench, CHANGES[:1])]
    bench.erased(plans=frozenset({digest}))
    assert [one.round for one in bench.noted(State.COMMITTING)] == [1, 2]
    assert bench.only(PlanMade).digest == digest


def _masks_that_do_not_fit_are_drawn_anew() -> None:
    """Other masks are sealed before they are used; where the first fit, none are drawn anew."""
    bench = PlayedRun(sights=[LEFT, CLEAR])
    bench.attempts = [failing(MaskError("too short")), clear(bench), clear(bench)]
    bench.erased()
    first, second, third = bench.kept
    assert first.seed != second.seed != third.seed
    assert second.digest_key == third.digest_key
    assert second.closure == third.closure == CLOSURE
    one, other, again = (subject.masks._numbers for subject in bench.subjects)
    assert one != other == again
    assert len(bench.kept) == 3


def _masks_of_an_earlier_round_stay() -> None:
    """A run that is taken up after its first commit keeps its masks, whether or not they fit."""
    bench = PlayedRun(sights=[LEFT])
    bench.attempts = [failing(MaskError("too short"))] * 12
    bench.resumed(_decided(), _entry(State.COMMITTED, "a"))
    assert bench.kept == []
    assert len({repr(subject.masks._numbers) for subject in bench.subjects}) == 1


# --- what goes wrong ------------------------------------------------------------------------


def _failed(bench: PlayedRun, phase: str, error: str) -> bool:
    one = bench.only(Failed)
    return (one.phase, one.error) == (phase, error) and "RunClosed" not in bench.told


def _nothing_is_decided_out_of_time_or_not_alone() -> None:
    """Where the lock is lost or the time is over, nothing is decided, and the run is over."""
    for name, error in (
        ("alone", StoreError("lost the lock")),
        ("require_time", GivenUpError("interrupted")),
    ):
        bench = PlayedRun(refusals={name: error})
        bench.attempts = [clear(bench)]
        bench.erased()
        assert _failed(bench, "erase", type(error).__name__)
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
        assert _failed(bench, "erase", type(error).__name__)
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
    assert _failed(bench, "sweep after", "StoreError")
    assert bench.told[-3:] == ["committed", "sweep", "Failed"]


def _what_is_not_clear_is_not_tried_again() -> None:
    """A round that was rolled back is the last one, and the run is whole."""
    bench = PlayedRun(sights=[LEFT])
    bench.attempts = [lambda _: False]
    bench.erased()
    assert bench.told == [*LOCATING, "round", *SWEPT, *CLOSED]


def _who_is_under_a_hold_is_refused() -> None:
    """A hold on any number of the subject's refuses before anything is sealed anew or located."""
    for number in (NUMBER, ALIAS, VARIANT):
        bench = PlayedRun()
        with pytest.raises(HoldError):
            bench.erased(holds=frozenset({number}))
        assert bench.told == ["keep", "RunOpened", "ClosureFrozen", "Failed", "closed"]
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


# --- by a routine ---------------------------------------------------------------------------


def _a_routine_names_the_logs_that_hold_its_call() -> None:
    """Whatever came of the call, the logs it may stand in are told; the plan calls nothing."""
    logs = [LogHolds(RUN, "general log"), LogHolds(RUN, "slow log")]
    for attempt in (None, failing(StoreUnreachableError("gone"))):
        bench = PlayedRun(sights=[CLEAR])
        bench.attempts = [attempt or clear(bench)]
        bench.erased(routine=ROUTINE)
        assert [one for one in bench.records if isinstance(one, LogHolds)] == logs
    bench = PlayedRun(sights=[CLEAR])
    bench.attempts = [clear(bench)]
    bench.erased()
    assert not any(isinstance(one, LogHolds) for one in bench.records)


def _a_file_may_mask() -> None:
    """Of a FILE it is asked whether it masked, of the published routine it is not."""
    for file, name in ((None, "documented"), (FILE, "from_file")):
        bench = PlayedRun(sights=[CLEAR])
        bench.attempts = [clear(bench)]
        bench.erased(routine=ROUTINE, file=file)
        ((_, given),) = bench.made
        assert given["masks"] is (file is not None)
        assert given["routine"][0] == name
        assert given["routine"][-1] == RUN
        assert bench.only(RunOpened).routine_digest == (FILE.sha256 if file else "")


def _a_routine_that_commits_by_itself_is_refused() -> None:
    """A routine that would end our transaction is refused, before anything is decided."""
    bench = PlayedRun()
    bench.attempts = [failing(SelfCommittingError("commits by itself"))]
    with pytest.raises(RefusalError, match="commits by itself"):
        bench.erased(routine=ROUTINE)
    assert bench.told[-5:] == ["round", "LogHolds", "LogHolds", "Failed", "closed"]


# --- an audit -------------------------------------------------------------------------------


def _an_audit_only_looks() -> None:
    """An audit locates, proves its search on others, sweeps, and journals nothing."""
    bench = PlayedRun(sights=[LEFT])
    with bench.played():
        bench.run(mode=Mode.AUDIT, holds=frozenset({NUMBER})).audit()
    assert bench.told == [
        *("RunOpened", "ClosureFrozen", "witnesses", "sweep", "Observed"),
        *("Witnessed", "RunClosed"),
    ]
    assert bench.only(Witnessed) == Witnessed(RUN, 2, 1)
    assert bench.only(Observed).traces == tuple(LEFT.traces)
    assert OTHER in bench.hidden
    for name, phase in (("resolve", "locate"), ("witnesses", "prove"), ("sweep", "sweep")):
        bench = PlayedRun(sights=[StoreError("denied")])
        bench.refusals = {name: StoreError("denied")}
        with bench.played():
            bench.run(mode=Mode.AUDIT).audit()
        assert _failed(bench, phase, "StoreError")


# --- taken up again -------------------------------------------------------------------------


def _entry(state: State, token: str = "", *, number: int = 1, **more: Any) -> Entry:
    return Entry(RUN, state, round=number, token=token, **more)


def _decided(number: int = 1) -> Entry:
    return _entry(State.COMMITTING, "a", number=number, tables=CHANGES)


OPENED: Final = RunOpened(RUN, "", "live", "mysql", "", "hardened", False, "", "p", "now")


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


# --- names ----------------------------------------------------------------------------------


def _a_token_is_of_letters() -> None:
    """No two tokens are alike, and none can be taken for a number."""
    tokens = {token() for _ in range(50)}
    assert len(tokens) == 50
    assert all(re.fullmatch(r"[a-z]{12}", one) for one in tokens)


def _a_plan_is_named_by_all_that_it_is() -> None:
    """A digest differs where anything of the plan differs, and in nothing else."""
    bench = PlayedRun()

    def digest(
        tables: Sequence[TableChange] = CHANGES, closure: Closure = CLOSURE, **changes: Any
    ) -> str:
        return plan_digest(bench.mission(**changes), closure, tables)

    plain = bench.store_set
    renamed = SimpleNamespace(**vars(plain) | {"databases": lambda: {"a": "other"}})
    usual = digest()
    assert digest(CHANGES[::-1]) == usual
    assert digest(run="another", mode=Mode.REHEARSE) == usual
    others = [
        digest(CHANGES[:1]),
        *(digest((replace(CHANGES[0], **change), CHANGES[1])) for change in _OTHERWISE),
        digest(closure=Closure(WaId(NUMBER))),
        digest(routine=ROUTINE),
        digest(routine=ROUTINE, file=FILE),
        digest(store_set=renamed),
        digest(
            store_set=SimpleNamespace(
                **vars(plain) | {"config": SimpleNamespace(engine=EngineKind.POSTGRES)}
            )
        ),
    ]
    assert len({usual, *others}) == len(others) + 1


_OTHERWISE: Final[tuple[dict[str, Any], ...]] = (
    {"store": "x"},
    {"table": "x"},
    {"deleted_rows": 7},
    {"masked_rows": 7},
)

CLAIMS: Final[tuple[Callable[[], None], ...]] = (
    _each_step_is_journaled_before_it_is_taken,
    _who_is_erased_is_sealed_and_hidden,
    _what_is_not_prepared_is_not_announced,
    _what_is_rehearsed_is_rolled_back,
    _a_plan_must_be_the_rehearsed_one,
    _masks_that_do_not_fit_are_drawn_anew,
    _masks_of_an_earlier_round_stay,
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
    _a_routine_names_the_logs_that_hold_its_call,
    _a_file_may_mask,
    _a_routine_that_commits_by_itself_is_refused,
    _an_audit_only_looks,
    _what_was_not_decided_is_undone,
    _what_was_prepared_and_decided_is_committed,
    _what_came_too_late_is_erased_in_another_round,
    _where_nothing_is_left_the_commit_was_done,
    _where_something_is_left_it_is_erased_anew,
    _a_call_that_was_cut_off_names_its_logs,
    _a_token_is_of_letters,
    _a_plan_is_named_by_all_that_it_is,
)
