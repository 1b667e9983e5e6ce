"""Controls of the judge, on synthetic histories: each fault gives exactly its finding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from harness._tests import test_judge
from harness._tests.mutants.controls import Control, named
from harness._tests.test_judge import (
    AFTER,
    BEFORE,
    FAULTS,
    GOOD,
    OPENED,
    OTHER,
    RIGHT,
    RUN,
    SEEN,
    STATE,
    control,
    observed,
    renamed,
    swapped,
)
from harness.judge import judge, judge_run, runs_of, unpredicted
from harness.model import (
    OTHER_SET,
    CanaryFlown,
    Drifted,
    Erased,
    Failed,
    FindingKind,
    History,
    LeftBehind,
    Moment,
    Observed,
    Part,
    Planted,
    Predicted,
    RolledBack,
    RunOpened,
    Unsearched,
    Verdict,
)

Found = tuple[str, str, str, int, str]


def exactly(history: History, verdict: Verdict, *expected: Found) -> None:
    """Claim that a history has these findings and no others: kind, place, surface, count, why."""
    judgement = judge(history)
    found = [(str(f.kind), f.place, f.surface, f.count, f.why) for f in judgement.findings]
    assert sorted(found) == sorted(expected)
    assert judgement.verdict is verdict
    assert judgement.expected == ()


CELL: Final = "messageStore.messages.data"
TABLE: Final = "messageStore.messages"
CHANGED: Final = "rows that are not the subject's were changed, at least {}"
ROLLED_BACK: Final = "erasure rolled back"
LACKING: Final = "the run is not whole: it lacks {}"
CANARY: Final = "the canary was not seen in full, or not erased in full"
SHARED: Final = replace(OPENED, shared=True)
ERASED: Final = Erased(RUN, 1, 1, 0.1, ())
FLOWN: Final = CanaryFlown(RUN, 9, 30, 30, 0)
BARE: Final = (("bare number", 3),)


def _after(**changes: object) -> History:
    state = replace(AFTER.tables[0], **changes)  # type: ignore[arg-type]
    return swapped(AFTER, replace(AFTER, tables=(state,)))


def _other(**changes: object) -> History:
    return swapped(OTHER[1], replace(OTHER[1], tables=(replace(STATE, **changes),)))  # type: ignore[arg-type]


def _in_shared(history: History) -> History:
    return tuple(SHARED if record is OPENED else record for record in history)


def _inside(**changes: object) -> History:
    inside = observed(Part.JUDGED, Moment.INSIDE, tables=(replace(STATE, **changes),))  # type: ignore[arg-type]
    return (*GOOD[:5], inside, *GOOD[5:])


def _collateral(count: int, table: str = TABLE, surface: str = "") -> Found:
    return ("collateral", table, surface, count, CHANGED.format(count))


def lacks(what: str) -> Found:
    return ("coverage", f"run {RUN}", f"run {RUN}", 1, LACKING.format(what))


def _coverage(place: str, count: int, why: str) -> Found:
    return ("coverage", place, "", count, why)


def _flawed(*flights: CanaryFlown) -> History:
    return (*GOOD, *flights, ERASED)


UNSOUND: Final[Found] = ("coverage", "canary", "canary", 1, CANARY)
_PLANTED: Final = GOOD[1]
assert isinstance(_PLANTED, Planted)
_FORMS: Final = replace(_PLANTED, traces=(replace(SEEN, forms=(("bare number", 2), ("LID", 1))),))
_ELSEWHERE: Final = (
    replace(SEEN, store="waweb", forms=(("LID", 1),)),
    replace(SEEN, table="chats", forms=(("LID", 1),)),
    replace(SEEN, column="raw_data", forms=(("LID", 1),)),
)
_REMAINS: Final[Found] = (
    *("trace", CELL, "", 3),
    "still there after the erasure, as bare number",
)

JUDGED: Final[dict[str, tuple[History, Verdict, tuple[Found, ...]]]] = {
    "nothing is wrong": (GOOD, Verdict.CLEAR, ()),
    "nothing is wrong with a proven erasure": ((*GOOD, FLOWN, ERASED), Verdict.CLEAR, ()),
    "nothing is wrong where others write": (_in_shared(GOOD), Verdict.CLEAR, ()),
    "the subject remains": (
        swapped(AFTER, replace(AFTER, traces=(SEEN,))),
        Verdict.TRACE,
        (_REMAINS,),
    ),
    "the subject was there once more and is gone": (
        (*GOOD[:5], replace(AFTER, traces=(SEEN,)), *GOOD[5:]),
        Verdict.CLEAR,
        (),
    ),
    "a bystander is gone": (_after(bystander_rows=6), Verdict.TRACE, (_collateral(1),)),
    "two bystanders are too many": (_after(bystander_rows=9), Verdict.TRACE, (_collateral(2),)),
    "a bystander is changed": (_after(bystander_digest="cc"), Verdict.TRACE, (_collateral(1),)),
    "a mention is gone": (_after(mention_rows=0), Verdict.TRACE, (_collateral(1),)),
    "a mention is changed": (_after(mention_digest="cc"), Verdict.TRACE, (_collateral(1),)),
    "a bystander and a mention are gone": (
        _after(bystander_rows=5, mention_rows=0),
        Verdict.TRACE,
        (_collateral(3),),
    ),
    "a table is gone": (
        _after(table="other"),
        Verdict.TRACE,
        (_collateral(1), _collateral(1, "messageStore.other")),
    ),
    "a bystander of the other set is changed": (
        _other(bystander_digest="cc"),
        Verdict.TRACE,
        (_collateral(1, surface=OTHER_SET),),
    ),
    "a bystander is changed inside": (
        _inside(bystander_digest="cc"),
        Verdict.TRACE,
        (_collateral(1),),
    ),
    "a bystander is changed inside where others write": (
        _in_shared(_inside(bystander_digest="cc")),
        Verdict.TRACE,
        (_collateral(1),),
    ),
    "others change their own rows": (_in_shared(_after(bystander_rows=9)), Verdict.CLEAR, ()),
    "a set is seen afterwards only": (
        tuple(record for record in GOOD if record is not OTHER[0]),
        Verdict.UNKNOWN,
        (lacks("a sweep of the other set before the erasure"),),
    ),
    "a set is seen before only": (
        tuple(record for record in GOOD if record is not OTHER[1]),
        Verdict.UNKNOWN,
        (lacks("a sweep of the other set after the erasure"),),
    ),
    "the judged set is seen before only": (
        tuple(record for record in GOOD if record is not AFTER),
        Verdict.UNKNOWN,
        (lacks("a sweep of the judged set after the erasure"),),
    ),
    "the judged set is seen afterwards only": (
        tuple(record for record in GOOD if record is not BEFORE),
        Verdict.UNKNOWN,
        (lacks("a sweep of the judged set before the erasure"),),
    ),
    "the sweep before saw no table": (
        swapped(BEFORE, replace(BEFORE, tables=())),
        Verdict.UNKNOWN,
        (
            lacks("a sweep of the judged set before the erasure"),
            ("coverage", "rows", "rows", 7, "7 bystander rows seeded, 0 read"),
            _collateral(1),
        ),
    ),
    "there are two beginnings": ((OPENED, *GOOD), Verdict.UNKNOWN, (lacks("one beginning"),)),
    "nothing is said of what was planted": (
        tuple(record for record in GOOD if record is not _PLANTED),
        Verdict.UNKNOWN,
        (lacks("what was planted"),),
    ),
    "nothing was called": (
        tuple(record for record in GOOD if record is not GOOD[4]),
        Verdict.UNKNOWN,
        (lacks("an erasure"),),
    ),
    "there is no end": (GOOD[:-1], Verdict.UNKNOWN, (lacks("its last phase"),)),
    "a phase failed": (
        (*GOOD[:-1], Failed(RUN, "erase", "StoreError", "gone")),
        Verdict.UNKNOWN,
        (("coverage", "phase erase", "phase erase", 1, "StoreError: gone"),),
    ),
    "nothing was run": (
        (),
        Verdict.UNKNOWN,
        (("coverage", "session", "session", 1, "nothing was run"),),
    ),
    "something was rolled back": (
        (*GOOD, RolledBack(RUN, 1, "not clear")),
        Verdict.UNKNOWN,
        (("coverage", ROLLED_BACK, ROLLED_BACK, 1, "not clear"),),
    ),
    "no canary flew": (_flawed(), Verdict.UNKNOWN, (UNSOUND,)),
    "a canary was half seen": (
        _flawed(replace(FLOWN, seen_cells=29)),
        Verdict.UNKNOWN,
        (UNSOUND,),
    ),
    "a canary was seen too often": (
        _flawed(replace(FLOWN, seen_cells=31)),
        Verdict.UNKNOWN,
        (UNSOUND,),
    ),
    "a canary was left": (_flawed(replace(FLOWN, left_cells=1)), Verdict.UNKNOWN, (UNSOUND,)),
    "a canary was nowhere": (_flawed(CanaryFlown(RUN, 0, 0, 0, 0)), Verdict.UNKNOWN, (UNSOUND,)),
    "one canary flew for two erasures": (
        (*_flawed(FLOWN), replace(ERASED, round=2)),
        Verdict.UNKNOWN,
        (UNSOUND,),
    ),
    "a table was not searched": (
        swapped(AFTER, replace(AFTER, unsearched=(Unsearched("waweb", "contacts", "denied"),))),
        Verdict.UNKNOWN,
        (_coverage("waweb.contacts", 1, "denied"),),
    ),
    "a planted cell was not seen": (
        swapped(BEFORE, replace(BEFORE, traces=(replace(SEEN, cells=2),))),
        Verdict.UNKNOWN,
        (_coverage(CELL, 3, "3 cells planted, 2 seen before the erasure"),),
    ),
    "more was seen than planted": (
        swapped(BEFORE, replace(BEFORE, traces=(replace(SEEN, cells=4),))),
        Verdict.UNKNOWN,
        (_coverage(CELL, 3, "3 cells planted, 4 seen before the erasure"),),
    ),
    "more was seen than planted where others write": (
        _in_shared(swapped(BEFORE, replace(BEFORE, traces=(replace(SEEN, cells=4),)))),
        Verdict.CLEAR,
        (),
    ),
    "less was seen than planted where others write": (
        _in_shared(swapped(BEFORE, replace(BEFORE, traces=(replace(SEEN, cells=2),)))),
        Verdict.UNKNOWN,
        (_coverage(CELL, 3, "3 cells planted, 2 seen before the erasure"),),
    ),
    "a planted form was not seen": (
        tuple(
            replace(BEFORE, traces=(SEEN, *_ELSEWHERE))
            if record is BEFORE
            else _FORMS
            if record is _PLANTED
            else record
            for record in GOOD
        ),
        Verdict.UNKNOWN,
        (_coverage(CELL, 1, "not seen before the erasure: LID"),),
    ),
    "rows were not read": (
        swapped(BEFORE, replace(BEFORE, tables=(replace(STATE, bystander_rows=4),))),
        Verdict.UNKNOWN,
        (("coverage", "rows", "rows", 3, "7 bystander rows seeded, 4 read"), _collateral(3)),
    ),
    "rows were added by others": (
        _in_shared(swapped(BEFORE, replace(BEFORE, tables=(replace(STATE, bystander_rows=9),)))),
        Verdict.CLEAR,
        (),
    ),
    "something was left behind": (
        (*GOOD, LeftBehind(RUN, "user mapping", 3)),
        Verdict.TRACE,
        (
            (
                *("routine", "user mapping", "user mapping", 3),
                "user mapping left in the catalog after the routine was removed",
            ),
        ),
    ),
    "the schema drifted": (
        (*GOOD, Drifted(RUN, "waweb", "visits", "", "unknown")),
        Verdict.TRACE,
        (("drift", "waweb.visits", "", 1, "unknown"),),
    ),
}


def judge_controls() -> Iterator[Control]:
    """Yield the controls of the judge."""
    for name, (history, verdict, found) in JUDGED.items():
        yield Control(f"judged: {name}", partial(exactly, history, verdict, *found))
    for name, (history, finding, verdict) in FAULTS.items():
        yield Control(f"judged: {name}", partial(_among_others, history, finding, verdict))
    for claim in _CLAIMS_OF_A_JUDGE:
        yield Control(f"judged: {named(claim)}", claim)


def _among_others(history: History, finding: tuple[str, str], verdict: Verdict) -> None:
    assert finding in test_judge.found(history)
    assert judge(history).verdict is verdict


def _nothing_held() -> None:
    """Nothing planted and nothing seen: CLEAR, and nothing was held; else something was."""
    nothing = swapped(BEFORE, replace(BEFORE, traces=()))
    judgement = judge(tuple(Planted(RUN, (), 7) if one is _PLANTED else one for one in nothing))
    assert (judgement.verdict, judgement.held) == (Verdict.CLEAR, False)
    assert judge(GOOD).held
    assert judge(GOOD).subjects == ("p",)
    assert judge(tuple(one for one in GOOD if one is not BEFORE)).held


def _a_control_as_predicted() -> None:
    """What was predicted and seen is expected, in the prediction's words."""
    judgement = judge(control(RIGHT))
    assert (judgement.verdict, judgement.findings) == (Verdict.CLEAR, ())
    assert judgement.expected == (RIGHT,)


def _a_candidate_is_not_excused() -> None:
    """Where it is no control, what was predicted decides, and nothing is expected."""
    judged = (one for one in control(RIGHT))
    history = tuple(
        replace(one, control=False) if isinstance(one, RunOpened) else one for one in judged
    )
    judgement = judge(history)
    assert (judgement.verdict, judgement.findings, judgement.expected) == (
        Verdict.TRACE,
        (RIGHT,),
        (),
    )


def _a_control_that_leaves_more() -> None:
    """What was not predicted decides, and only what was seen and predicted is expected."""
    judgement = judge((*control(RIGHT), LeftBehind(RUN, "user mapping", 1)))
    assert [str(finding.kind) for finding in judgement.findings] == ["routine"]
    assert judgement.expected == (RIGHT,)


def _a_control_that_leaves_less() -> None:
    """What was predicted and is not seen is UNKNOWN, in the prediction's words."""
    more = replace(RIGHT, table="chats")
    judgement = judge(control(RIGHT, more))
    why = "predicted but not seen: trace, as published"
    assert judgement.findings == (replace(more, kind=FindingKind.COVERAGE, why=why),)
    assert (judgement.verdict, judgement.expected) == (Verdict.UNKNOWN, (RIGHT,))


def _a_control_without_a_prediction() -> None:
    """A control must be predicted."""
    history = tuple(one for one in control() if not isinstance(one, Predicted))
    whys = {finding.why for finding in judge(history).findings}
    assert LACKING.format("a prediction") in whys


def _a_control_that_was_cut_off() -> None:
    """What was never looked at afterwards is not missing besides."""
    history = tuple(
        one
        for one in control(RIGHT)
        if not (
            isinstance(one, Observed) and one.moment is Moment.AFTER and one.part is Part.JUDGED
        )
    )
    (run,) = runs_of(history)
    assert [finding.surface for finding in unpredicted(run)] == [f"run {RUN}"]


def _runs_are_told_apart() -> None:
    """Each run is judged by itself, the worst verdict wins, equal findings are added up."""
    bad = JUDGED["the subject remains"][0]
    histories = GOOD + renamed(bad, "two") + renamed(bad, "three")
    mixed = tuple(sorted(histories, key=lambda one: type(one).__name__ == "Called"))
    for history in (histories, mixed):
        (finding,) = judge(history).findings
        assert (finding.count, judge(history).verdict) == (6, Verdict.TRACE)
    judgement = judge(renamed(bad, "two") + JUDGED["something was left behind"][0])
    assert [str(finding.kind) for finding in judgement.findings] == ["routine", "trace"]
    assert judge(GOOD + renamed(JUDGED["a phase failed"][0], "two")).verdict is Verdict.UNKNOWN


def _a_run_without_a_beginning() -> None:
    """A history that was cut off at its beginning is judged as unfinished."""
    (run,) = runs_of(GOOD[1:])
    whys = {finding.why for finding in judge_run(run).findings}
    assert LACKING.format("one beginning") in whys
    assert run.opened.run == RUN


_CLAIMS_OF_A_JUDGE: Final = (
    _nothing_held,
    _a_control_as_predicted,
    _a_candidate_is_not_excused,
    _a_control_that_leaves_more,
    _a_control_that_leaves_less,
    _a_control_without_a_prediction,
    _a_control_that_was_cut_off,
    _runs_are_told_apart,
    _a_run_without_a_beginning,
)
