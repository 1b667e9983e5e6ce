"""Controls of a live run, without a server: what is sealed, journaled and decided, in which order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

import pytest

from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.played_run import (
    ALIAS,
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
    MaskError,
    PlanChangedError,
    RefusalError,
    SelfCommittingError,
    StoreError,
    StoreUnreachableError,
)
from harness.identity import Closure, WaId
from harness.journal import State
from harness.live import plan_digest, token
from harness.model import (
    ClosureFrozen,
    Committing,
    EngineKind,
    LogHolds,
    MediaReference,
    MediaReferences,
    Mode,
    Moment,
    Observed,
    PlanMade,
    RunOpened,
    TableChange,
    Withheld,
    Witnessed,
)
from harness.run import HARDENED

LOCATING: Final = ["keep", "RunOpened", "ClosureFrozen", "keep", "located", "erasing"]
DECIDING: Final = ["alone", "require_time", "decided"]
SEALING: Final = ["alone", "require_time", "keep", "decided"]
COMMITTING: Final = [
    *("preparing", "prepare", "committing", "Committing", "commit", "committed"),
]
SWEPT: Final = ["sweep", "Observed", "swept"]
CLOSED: Final = ["RunClosed", "closed"]
ROUTINE: Final = "documented"


def live_controls() -> Iterator[Control]:
    """Yield the controls of a live run in which nothing goes wrong."""
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


def _where_rows_lead_is_sealed_before_it_is_decided() -> None:
    """Files of the rows that go are sealed before the decision, and rounds add up."""
    one, two = (MediaReferences(frozenset({MediaReference(frozenset({name}))})) for name in "ab")
    bench = PlayedRun(sights=[LEFT, CLEAR])
    bench.attempts = [clear(bench, media=one), clear(bench, media=two)]
    bench.erased()
    assert bench.told == [
        *(*LOCATING, "round", "PlanMade", *SEALING, *COMMITTING, *SWEPT),
        *("round", *SEALING, *COMMITTING, *SWEPT, *CLOSED),
    ]
    assert [held.media for held in bench.kept[2:]] == [one, one | two]
    assert {held.seed for held in bench.kept[1:]} == {bench.kept[-1].seed}


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
        assert bench.failed(phase, "StoreError")


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
    _where_rows_lead_is_sealed_before_it_is_decided,
    _what_is_not_prepared_is_not_announced,
    _what_is_rehearsed_is_rolled_back,
    _a_plan_must_be_the_rehearsed_one,
    _masks_that_do_not_fit_are_drawn_anew,
    _a_routine_names_the_logs_that_hold_its_call,
    _a_file_may_mask,
    _a_routine_that_commits_by_itself_is_refused,
    _an_audit_only_looks,
    _a_token_is_of_letters,
    _a_plan_is_named_by_all_that_it_is,
)
