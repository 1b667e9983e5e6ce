"""The judge: each rule finds its fault, and finds nothing in a run without one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.judge import (
    EXAMINATION_RULES,
    RULES,
    Run,
    judge,
    judge_run,
    judging,
    runs_of,
    unpredicted,
)
from harness.model import (
    OTHER_SET,
    STOPPED,
    Called,
    CanaryFlown,
    CatalogChanged,
    ClosureFrozen,
    Collected,
    Committing,
    Drifted,
    Erased,
    Failed,
    FileGap,
    FilesObserved,
    FilesPlanted,
    FilesProven,
    FileTrace,
    Finding,
    FindingKind,
    Garbage,
    History,
    Judgement,
    LeftBehind,
    LogHolds,
    MediaRemoved,
    Moment,
    NodeCollection,
    NodeOutcome,
    Observed,
    Part,
    PlanMade,
    Planted,
    Predicted,
    Probe,
    Probed,
    Resumed,
    RolledBack,
    RoutineFailed,
    RunClosed,
    RunOpened,
    Scrubbed,
    Step,
    TableState,
    Told,
    Trace,
    Unsearched,
    Verdict,
    Withheld,
    Witnessed,
)

RUN = "one"
COMPLETE = NodeOutcome.COMPLETE
STATE = TableState("messageStore", "messages", 2, 1, 7, "aa", "bb")
SEEN = Trace("messageStore", "messages", "data", 3, (("bare number", 3),))
PLANTED = Trace("messageStore", "messages", "data", 3)
OPENED = RunOpened(
    RUN, "case", "verify", "mysql:5.6", "5.6.24", "documented", False, "", "p", "now"
)


ERASED = Erased(RUN, 1, 1, 0.1, ())


def observed(part: Part, moment: Moment, **changes: Any) -> Observed:
    """Return an observation: the subject before, nothing of them after."""
    traces = (SEEN,) if (part, moment) == (Part.JUDGED, Moment.BEFORE) else ()
    made = Observed(RUN, part, moment, "now", 0.1, 100, (STATE,), traces)
    return replace(made, **changes)


BEFORE = observed(Part.JUDGED, Moment.BEFORE)
AFTER = observed(Part.JUDGED, Moment.AFTER, tables=(replace(STATE, subject_rows=0),))
OTHER = tuple(observed(Part.OTHER, moment) for moment in (Moment.BEFORE, Moment.AFTER))
GOOD: History = (
    OPENED,
    Planted(RUN, (PLANTED,), 7),
    BEFORE,
    OTHER[0],
    Called(RUN, "number", 0, 0.1),
    AFTER,
    OTHER[1],
    RunClosed(RUN, "now"),
)


def swapped(old: object, new: object) -> History:
    """Return the good history with one record replaced."""
    return tuple(new if record is old else record for record in GOOD)  # type: ignore[misc]


def without(old: object) -> History:
    """Return the good history with one record left out."""
    return tuple(record for record in GOOD if record is not old)


def found(history: History) -> set[tuple[str, str]]:
    """Return kind and place of every finding."""
    return {(finding.kind.value, finding.place) for finding in judge(history).findings}


def test_a_run_without_a_fault_is_clear() -> None:
    """Nothing left and nobody changed is CLEAR, without a finding."""
    judgement = judge(GOOD)
    assert (judgement.verdict, judgement.findings, judgement.held) == (Verdict.CLEAR, (), True)


def state(**changes: Any) -> tuple[TableState, ...]:
    """Return the only table's state after the erasure, changed."""
    return (replace(AFTER.tables[0], **changes),)


TABLE = "messageStore.messages"
FAULTS = {
    "trace": (
        swapped(AFTER, replace(AFTER, traces=(SEEN,))),
        ("trace", f"{TABLE}.data"),
        Verdict.TRACE,
    ),
    "bystander gone": (
        swapped(AFTER, replace(AFTER, tables=state(bystander_rows=6))),
        ("collateral", TABLE),
        Verdict.TRACE,
    ),
    "bystander changed": (
        swapped(AFTER, replace(AFTER, tables=state(bystander_digest="cc"))),
        ("collateral", TABLE),
        Verdict.TRACE,
    ),
    "mention gone": (
        swapped(AFTER, replace(AFTER, tables=state(mention_rows=0))),
        ("collateral", TABLE),
        Verdict.TRACE,
    ),
    "mention changed": (
        swapped(AFTER, replace(AFTER, tables=state(mention_digest="cc"))),
        ("collateral", TABLE),
        Verdict.TRACE,
    ),
    "table gone": (
        swapped(AFTER, replace(AFTER, tables=state(table="other"))),
        ("collateral", TABLE),
        Verdict.TRACE,
    ),
    "other set changed": (
        swapped(OTHER[1], replace(OTHER[1], tables=state(bystander_digest="cc"))),
        ("collateral", TABLE),
        Verdict.TRACE,
    ),
    "left behind": (
        (*GOOD, LeftBehind(RUN, "user mapping", 3)),
        ("routine", "user mapping"),
        Verdict.TRACE,
    ),
    "call refused": (
        swapped(GOOD[4], RoutineFailed(RUN, Step.CALL, "number", "1146", "messageStore.inbox")),
        ("routine", "routine, call"),
        Verdict.TRACE,
    ),
    "drift": (
        (*GOOD, Drifted(RUN, "waweb", "visits", "", "unknown")),
        ("drift", "waweb.visits"),
        Verdict.TRACE,
    ),
    "unsearched": (
        swapped(AFTER, replace(AFTER, unsearched=(Unsearched("waweb", "contacts", "denied"),))),
        ("coverage", "waweb.contacts"),
        Verdict.UNKNOWN,
    ),
    "blind": (
        swapped(BEFORE, replace(BEFORE, traces=())),
        ("coverage", f"{TABLE}.data"),
        Verdict.UNKNOWN,
    ),
    "half blind": (
        swapped(BEFORE, replace(BEFORE, traces=(replace(SEEN, cells=2),))),
        ("coverage", f"{TABLE}.data"),
        Verdict.UNKNOWN,
    ),
    "rows not read": (
        swapped(BEFORE, replace(BEFORE, tables=(replace(STATE, bystander_rows=6),))),
        ("coverage", "rows"),
        Verdict.UNKNOWN,
    ),
    "changed inside": (
        (*GOOD[:5], observed(Part.JUDGED, Moment.INSIDE, tables=()), *GOOD[5:]),
        ("collateral", TABLE),
        Verdict.TRACE,
    ),
    "rolled back": (
        (*GOOD, RolledBack(RUN, 1, "not clear")),
        ("coverage", "erasure rolled back"),
        Verdict.UNKNOWN,
    ),
    "no canary": ((*GOOD, ERASED), ("coverage", "canary"), Verdict.UNKNOWN),
    "canary half seen": (
        (*GOOD, ERASED, CanaryFlown(RUN, 9, 30, 29, 0)),
        ("coverage", "canary"),
        Verdict.UNKNOWN,
    ),
    "canary not erased": (
        (*GOOD, ERASED, CanaryFlown(RUN, 9, 30, 30, 1)),
        ("coverage", "canary"),
        Verdict.UNKNOWN,
    ),
    "canary nowhere": (
        (*GOOD, ERASED, CanaryFlown(RUN, 0, 0, 0, 0)),
        ("coverage", "canary"),
        Verdict.UNKNOWN,
    ),
    "failed": (
        (*GOOD[:-1], Failed(RUN, "erase", "StoreError", "gone")),
        ("coverage", "phase erase"),
        Verdict.UNKNOWN,
    ),
    "cut off": (GOOD[:4], ("coverage", "run one"), Verdict.UNKNOWN),
    "not closed": (GOOD[:-1], ("coverage", "run one"), Verdict.UNKNOWN),
    "no beginning": (GOOD[1:5], ("coverage", "run one"), Verdict.UNKNOWN),
    "no beginning but the rest": (GOOD[1:], ("coverage", "run one"), Verdict.UNKNOWN),
    "two beginnings": ((OPENED, *GOOD), ("coverage", "run one"), Verdict.UNKNOWN),
    "nothing planted": (without(GOOD[1]), ("coverage", "run one"), Verdict.UNKNOWN),
    "never called": (without(GOOD[4]), ("coverage", "run one"), Verdict.UNKNOWN),
    "no first sweep": (without(BEFORE), ("coverage", "run one"), Verdict.UNKNOWN),
    "no tables": (
        tuple(replace(r, tables=()) if isinstance(r, Observed) else r for r in GOOD),
        ("coverage", "run one"),
        Verdict.UNKNOWN,
    ),
    "other set not seen again": (without(OTHER[1]), ("coverage", "run one"), Verdict.UNKNOWN),
    "control without prediction": (
        tuple(replace(r, control=True) if isinstance(r, RunOpened) else r for r in GOOD),
        ("coverage", "run one"),
        Verdict.UNKNOWN,
    ),
    "no last sweep": (without(AFTER), ("coverage", "run one"), Verdict.UNKNOWN),
    "nothing at all": ((), ("coverage", "session"), Verdict.UNKNOWN),
}


EXAMINED: History = (
    replace(OPENED, examination=True),
    Probed(RUN, Probe.NUMBER, "", (TABLE,)),
    *(Probed(RUN, probe, "22P02", ()) for probe in (Probe.TEXT, Probe.NULL, Probe.OWN)),
    Probed(RUN, Probe.TRANSACTION, "", ()),
    Probed(RUN, Probe.INTERRUPTED, "1644", (), obstacle=TABLE),
    RunClosed(RUN, "now"),
)


def probed(index: int, **changes: Any) -> History:
    """Return the good examination with one probe altered."""
    changed = replace(EXAMINED[index], **changes)
    return (*EXAMINED[:index], changed, *EXAMINED[index + 1 :])


EXAMINATION_FAULTS = {
    "text taken": (probed(2, code=""), ("routine", f"called with {Probe.TEXT}"), Verdict.TRACE),
    "NULL taken": (probed(3, code=""), ("routine", f"called with {Probe.NULL}"), Verdict.TRACE),
    "-1 taken": (probed(4, code=""), ("routine", f"called with {Probe.OWN}"), Verdict.TRACE),
    "refused too late": (
        probed(4, changed=(TABLE,)),
        ("routine", f"called with {Probe.OWN}"),
        Verdict.TRACE,
    ),
    "own identity": (
        probed(1, own=("axolotlStore.identities",)),
        ("routine", "axolotlStore.identities"),
        Verdict.TRACE,
    ),
    "commits": (probed(5, ended=True), ("routine", "transaction"), Verdict.TRACE),
    "survives": (probed(5, changed=(TABLE,)), ("routine", "transaction"), Verdict.TRACE),
    "half": (probed(6, changed=(TABLE,)), ("routine", "failure half way"), Verdict.TRACE),
    "swallowed": (probed(6, code=""), ("routine", "failure swallowed"), Verdict.TRACE),
    "told": ((*EXAMINED, Told(RUN, "the log", 2)), ("routine", "the log"), Verdict.TRACE),
    "made": (
        (*EXAMINED, CatalogChanged(RUN, "table", 1, 0)),
        ("routine", "table left behind"),
        Verdict.TRACE,
    ),
    "gone": (
        (*EXAMINED, CatalogChanged(RUN, "server", 0, 1)),
        ("routine", "server taken away"),
        Verdict.TRACE,
    ),
    "not created": (
        (EXAMINED[0], RoutineFailed(RUN, Step.INSTALL, "", "1064", ""), EXAMINED[-1]),
        ("routine", "routine, install"),
        Verdict.TRACE,
    ),
    "probe left out": (EXAMINED[:5] + EXAMINED[6:], ("coverage", "run one"), Verdict.UNKNOWN),
    "examination cut off": (EXAMINED[:-1], ("coverage", "run one"), Verdict.UNKNOWN),
    "no probe at all": (
        (EXAMINED[0], EXAMINED[-1]),
        ("coverage", "run one"),
        Verdict.UNKNOWN,
    ),
    "examination failed": (
        (*EXAMINED[:2], Failed(RUN, "examine", "StoreError", "gone")),
        ("coverage", "phase examine"),
        Verdict.UNKNOWN,
    ),
}
FAULTS |= EXAMINATION_FAULTS


FROZEN = ClosureFrozen(RUN, (("number given", 1),), ("p",))
FLOWN = CanaryFlown(RUN, 3, 9, 9, 0)
INSIDE = observed(Part.JUDGED, Moment.INSIDE, tables=(replace(STATE, subject_rows=0),))
DECIDED = Committing(RUN, 1, ())
LIVE_OPENED = replace(OPENED, mode="live", routine="hardened", shared=True)
LIVE: History = (
    LIVE_OPENED,
    FROZEN,
    BEFORE,
    FLOWN,
    INSIDE,
    DECIDED,
    ERASED,
    AFTER,
    RunClosed(RUN, "now"),
)
REHEARSED: History = (
    replace(LIVE_OPENED, mode="rehearse"),
    *LIVE[1:5],
    PlanMade(RUN, "d" * 64, ()),
    Withheld(RUN),
    LIVE[-1],
)
AUDITED: History = (
    replace(LIVE_OPENED, mode="audit"),
    FROZEN,
    AFTER,
    Witnessed(RUN, 9, 9),
    LIVE[-1],
)


def lacking(whole: History, record: object) -> History:
    """Return a whole history without one of its records."""
    assert record in whole
    return tuple(one for one in whole if one is not record)


GONE = Failed(RUN, "erase", "StoreUnreachableError", "gone")
FAULTS |= {
    "live, no closure": (lacking(LIVE, FROZEN), ("coverage", "run one"), Verdict.UNKNOWN),
    "live, no erasure": (
        lacking(lacking(LIVE, ERASED), DECIDED),
        ("coverage", "run one"),
        Verdict.UNKNOWN,
    ),
    "live, no last sweep": (lacking(LIVE, AFTER), ("coverage", "run one"), Verdict.UNKNOWN),
    "live, no canary": (lacking(LIVE, FLOWN), ("coverage", "canary"), Verdict.UNKNOWN),
    "live, commit not answered": (lacking(LIVE, ERASED), ("coverage", "commit"), Verdict.UNKNOWN),
    "live, failed after it was resumed": (
        (*LIVE[:-2], Resumed(RUN, "now", "committing"), GONE),
        ("coverage", "phase erase"),
        Verdict.UNKNOWN,
    ),
    "live, a log holds the number": (
        (*LIVE, LogHolds(RUN, "general log")),
        ("surface", "general log"),
        Verdict.UNKNOWN,
    ),
    "rehearsal, no sweep inside": (
        lacking(REHEARSED, INSIDE),
        ("coverage", "run one"),
        Verdict.UNKNOWN,
    ),
    "rehearsal, not to its end": (
        lacking(REHEARSED, REHEARSED[-2]),
        ("coverage", "run one"),
        Verdict.UNKNOWN,
    ),
    "rehearsal, no digest": (
        lacking(REHEARSED, REHEARSED[-3]),
        ("coverage", "run one"),
        Verdict.UNKNOWN,
    ),
    "rehearsal, no canary": (lacking(REHEARSED, FLOWN), ("coverage", "canary"), Verdict.UNKNOWN),
    "audit, not proven": (lacking(AUDITED, AUDITED[3]), ("coverage", "run one"), Verdict.UNKNOWN),
    "audit, nobody to prove it on": (
        (*AUDITED[:3], Witnessed(RUN, 0, 0), AUDITED[-1]),
        ("coverage", "self-proof"),
        Verdict.UNKNOWN,
    ),
    "audit, blind in one column": (
        (*AUDITED[:3], Witnessed(RUN, 9, 8), AUDITED[-1]),
        ("coverage", "self-proof"),
        Verdict.UNKNOWN,
    ),
    "audit, a trace": (
        (*AUDITED[:2], replace(AFTER, traces=(SEEN,)), *AUDITED[3:]),
        ("trace", f"{TABLE}.data"),
        Verdict.TRACE,
    ),
}


COLLECTED = Collected(
    RUN, Garbage.MESSAGES, "now", 1.0, 1, True, True, 5, 9, 4, (NodeCollection("", COMPLETE, 5),)
)
SEEN_AGAIN = replace(AFTER, moment=Moment.COLLECTED)
COLLECTED_LIVE: History = (*LIVE[:-1], COLLECTED, SEEN_AGAIN, LIVE[-1])
NOT_ENDED = replace(COLLECTED, complete=False, why="one Coreapp was silent")
FAULTS |= {
    "collected, not ended": (
        (*LIVE[:-1], NOT_ENDED, *COLLECTED_LIVE[-2:]),
        ("coverage", "garbage collection, messages"),
        Verdict.UNKNOWN,
    ),
    "collected, not looked again": (
        lacking(COLLECTED_LIVE, SEEN_AGAIN),
        ("coverage", "run one"),
        Verdict.UNKNOWN,
    ),
    "collected, a trace is back": (
        (*COLLECTED_LIVE[:-2], replace(SEEN_AGAIN, traces=(SEEN,)), LIVE[-1]),
        ("trace", f"{TABLE}.data"),
        Verdict.TRACE,
    ),
}


LOG, PICTURE = "logs/web.log", "wamedia/shared/a.jpg"
FILE_TRACE = FileTrace(LOG, 2, (("bare number", 2),))
FILES_BEFORE = FilesObserved(RUN, Moment.BEFORE, "now", 0.1, 3, 100, 200, (FILE_TRACE,))
FILES_AFTER = replace(FILES_BEFORE, moment=Moment.AFTER, traces=())
FILES_INSIDE = replace(FILES_AFTER, moment=Moment.INSIDE)
PROVEN = FilesProven(RUN, 10, 50, 50, 0)
SCRUBBED = Scrubbed(RUN, "now", 0.1, 1, 2, 0)
REMOVED = MediaRemoved(RUN, 1, 1, (), 0)
FILED_OPENED = replace(LIVE_OPENED, files=True)
FILED: History = (
    FILED_OPENED,
    PROVEN,
    FROZEN,
    FILES_BEFORE,
    *LIVE[2:-1],
    REMOVED,
    SCRUBBED,
    FILES_AFTER,
    LIVE[-1],
)
FILED_REHEARSAL: History = (
    replace(FILED_OPENED, mode="rehearse"),
    *FILED[1:4],
    *REHEARSED[2:-2],
    replace(REMOVED, withheld=True),
    Withheld(RUN),
    replace(SCRUBBED, withheld=True),
    FILES_INSIDE,
    REHEARSED[-1],
)
FILED_AUDIT: History = (replace(FILED_OPENED, mode="audit"), PROVEN, FILES_AFTER, *AUDITED[1:])
FILED_VERIFY: History = (
    replace(OPENED, files=True),
    FilesPlanted(RUN, (FILE_TRACE,), media=1),
    PROVEN,
    FILES_BEFORE,
    *GOOD[1:-1],
    REMOVED,
    SCRUBBED,
    FILES_AFTER,
    GOOD[-1],
)
GAP = FileGap(LOG, "it breaks off")


def altered(whole: History, record: object, **changes: Any) -> History:
    """Return a whole history in which one record says something else."""
    assert record in whole
    return tuple(replace(one, **changes) if one is record else one for one in whole)


FAULTS |= {
    **{
        f"files, {name}": (lacking(history, record), ("coverage", "files"), Verdict.UNKNOWN)
        for name, history, record in (
            ("not searched before", FILED, FILES_BEFORE),
            ("not searched after", FILED, FILES_AFTER),
            ("search not proven", FILED, PROVEN),
            ("never scrubbed", FILED, SCRUBBED),
            ("rehearsed without a look", FILED_REHEARSAL, FILES_INSIDE),
            ("audited without a look", FILED_AUDIT, FILES_AFTER),
            ("verified without a look", FILED_VERIFY, FILES_BEFORE),
        )
    },
    "files, canary half seen": (
        altered(FILED, PROVEN, seen=49),
        ("coverage", "files, canary"),
        Verdict.UNKNOWN,
    ),
    "files, canary left": (
        altered(FILED, PROVEN, left=1),
        ("coverage", "files, canary"),
        Verdict.UNKNOWN,
    ),
    "files, canary nowhere": (
        altered(FILED, PROVEN, planted=0, seen=0),
        ("coverage", "files, canary"),
        Verdict.UNKNOWN,
    ),
    "files, a trace stays": (
        altered(FILED, FILES_AFTER, traces=(FILE_TRACE,)),
        ("trace", LOG),
        Verdict.TRACE,
    ),
    "files, a trace would stay": (
        altered(FILED_REHEARSAL, FILES_INSIDE, traces=(FILE_TRACE,)),
        ("trace", LOG),
        Verdict.TRACE,
    ),
    "files, a trace is there": (
        altered(FILED_AUDIT, FILES_AFTER, traces=(FILE_TRACE,)),
        ("trace", LOG),
        Verdict.TRACE,
    ),
    "files, not read": (
        altered(FILED, FILES_AFTER, gaps=(GAP,)),
        ("surface", LOG),
        Verdict.UNKNOWN,
    ),
    "files, not masked": (
        altered(FILED, SCRUBBED, left=(GAP,)),
        ("surface", LOG),
        Verdict.UNKNOWN,
    ),
    "files, left for good by an earlier scrub": (
        tuple(
            part
            for one in FILED
            for part in (
                (replace(SCRUBBED, left=(replace(GAP, lasting=True),)), one)
                if one is SCRUBBED
                else (one,)
            )
        ),
        ("surface", LOG),
        Verdict.UNKNOWN,
    ),
    "files, media not removed": (
        altered(FILED, REMOVED, left=(FileGap(PICTURE, "it is a link"),)),
        ("surface", PICTURE),
        Verdict.UNKNOWN,
    ),
    "files, planted and not seen": (
        altered(FILED_VERIFY, FILES_BEFORE, traces=()),
        ("coverage", LOG),
        Verdict.UNKNOWN,
    ),
    "files, planted and half seen": (
        altered(FILED_VERIFY, FILES_BEFORE, traces=(replace(FILE_TRACE, hits=1),)),
        ("coverage", LOG),
        Verdict.UNKNOWN,
    ),
    "files, media planted and kept": (
        altered(FILED_VERIFY, REMOVED, removed=0),
        ("trace", "media"),
        Verdict.TRACE,
    ),
}


@pytest.mark.parametrize(
    "history",
    [FILED, FILED_REHEARSAL, FILED_AUDIT, FILED_VERIFY],
    ids=["live", "rehearse", "audit", "verify"],
)
def test_files_without_a_fault_are_clear(history: History) -> None:
    """Whatever the mode, files that were searched and scrubbed in full add no finding."""
    assert (judge(history).verdict, judge(history).findings) == (Verdict.CLEAR, ())


def test_shared_media_are_shown_and_do_not_decide() -> None:
    """A media file to which others' rows lead too stands among what was expected."""
    judgement = judge(altered(FILED, REMOVED, shared=(PICTURE,)))
    assert (judgement.verdict, judgement.findings) == (Verdict.CLEAR, ())
    assert [one.place for one in judgement.expected] == [PICTURE]


def test_what_the_last_scrub_could_mask_does_not_decide() -> None:
    """A gap of an earlier scrub that a later one did not have is no finding."""
    earlier = replace(SCRUBBED, left=(GAP,))
    again = (*FILED[:-3], earlier, replace(FILES_AFTER, gaps=(GAP,)), *FILED[-3:])
    assert judge(again).verdict is Verdict.CLEAR


def test_an_erasure_that_was_rolled_back_masks_nothing() -> None:
    """Where no row was committed, no scrub is missed, and what was seen in files is there."""
    undone = (*FILED[:-5], RolledBack(RUN, 1, "not clear"), FILED[-1])
    assert ("coverage", "files") not in found(undone)
    assert ("trace", LOG) in found(undone)


@pytest.mark.parametrize(
    "history",
    [LIVE, REHEARSED, AUDITED, COLLECTED_LIVE],
    ids=["live", "rehearse", "audit", "live with collection"],
)
def test_a_run_on_real_stores_without_a_fault_is_clear(history: History) -> None:
    """Whatever the mode, a whole run that saw nothing wrong is CLEAR."""
    assert (judge(history).verdict, judge(history).findings) == (Verdict.CLEAR, ())


def test_what_failed_before_a_run_was_resumed_does_not_decide() -> None:
    """A run that failed after its commit and was finished by --resume is CLEAR."""
    resumed = (*LIVE[:-2], GONE, Resumed(RUN, "now", "committed"), *LIVE[-2:])
    assert judge(resumed).verdict is Verdict.CLEAR
    assert judge((*LIVE[:-2], GONE)).verdict is Verdict.UNKNOWN


def test_a_commit_that_a_later_round_looked_behind_is_decided() -> None:
    """Where nobody knows whether a commit was done, another round that is over has looked."""
    again = (*lacking(LIVE, ERASED)[:-2], FLOWN, INSIDE, replace(ERASED, round=2), *LIVE[-2:])
    assert judge(again).verdict is Verdict.CLEAR


def test_accepted_drift_is_shown_and_does_not_decide() -> None:
    """Drift that the operator accepted stands among what was expected."""
    drifted = Drifted(RUN, "messageStore", "messages", "extra", "new", accepted=True)
    judgement = judge((*LIVE, drifted))
    assert judgement.verdict is Verdict.CLEAR
    assert [one.place for one in judgement.expected] == [f"{TABLE}.extra"]
    assert judge((*LIVE, replace(drifted, accepted=False))).verdict is Verdict.TRACE


def test_a_well_behaved_routine_is_clear() -> None:
    """An examination without a fault is CLEAR, and holds nothing of its subject."""
    assert judge(EXAMINED) == Judgement(Verdict.CLEAR, (), (), ("p",), held=False)


@pytest.mark.parametrize(("history", "finding", "verdict"), FAULTS.values(), ids=FAULTS.keys())
def test_each_fault_turns_the_verdict(
    history: History, finding: tuple[str, str], verdict: Verdict
) -> None:
    """Each fault alone gives its finding and its verdict."""
    assert finding in found(history)
    assert judge(history).verdict is verdict


@pytest.mark.parametrize(
    ("rules", "rule"),
    [("RULES", rule) for rule in RULES]
    + [("EXAMINATION_RULES", rule) for rule in EXAMINATION_RULES],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_each_rule_is_needed(rule: Any, rules: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any one rule, at least one of the faults above would pass unseen."""
    every = getattr(judging, rules)
    monkeypatch.setattr(judging, rules, tuple(one for one in every if one is not rule))
    unseen = [
        name for name, (history, finding, _) in FAULTS.items() if finding not in found(history)
    ]
    assert unseen


def control(*predicted: Finding) -> History:
    """Return a control run that leaves a trace, with these predictions."""
    opened = replace(OPENED, control=True)
    after = replace(AFTER, traces=(SEEN,))
    kept = [opened if r is OPENED else after if r is AFTER else r for r in GOOD]
    return (*kept, Predicted(RUN, predicted))


RIGHT = Finding(
    FindingKind.TRACE, "mysql:5.6", "messageStore", "messages", "data", "", 3, "as published"
)


def test_a_predicted_finding_does_not_decide() -> None:
    """In a control, what was predicted goes to the expected findings, with its better reason."""
    judgement = judge(control(RIGHT))
    assert (judgement.verdict, judgement.findings, judgement.expected) == (
        Verdict.CLEAR,
        (),
        (RIGHT,),
    )


def test_a_candidate_is_not_excused() -> None:
    """The same findings decide when the routine is the one to be judged."""
    history = tuple(
        replace(r, control=False) if isinstance(r, RunOpened) else r for r in control(RIGHT)
    )
    judgement = judge(history)
    assert (judgement.verdict, judgement.findings) == (Verdict.TRACE, (RIGHT,))


@pytest.mark.parametrize(
    "change",
    [{"count": 2}, {"column": "raw_data"}, {"table": "chats"}, {"surface": OTHER_SET}],
    ids=str,
)
def test_a_prediction_that_is_off_is_two_findings(change: dict[str, Any]) -> None:
    """A prediction must fit to the cell: else what was seen is unexpected, and what was not is missing."""
    judgement = judge(control(replace(RIGHT, **change)))
    assert {finding.kind for finding in judgement.findings} == {
        FindingKind.TRACE,
        FindingKind.COVERAGE,
    }
    assert judgement.verdict is Verdict.UNKNOWN
    assert judgement.expected == ()


def test_a_predicted_finding_that_does_not_appear_is_a_finding() -> None:
    """A detector that sees less than predicted may be blind: UNKNOWN."""
    more = replace(RIGHT, table="chats")
    (run,) = runs_of(control(RIGHT, more))
    assert [finding.table for finding in unpredicted(run)] == ["chats"]
    assert judge_run(run).verdict is Verdict.UNKNOWN


def test_a_subject_found_nowhere_is_nothing_held() -> None:
    """CLEAR without a trace before says that nothing was held."""
    history = tuple(
        Planted(RUN, (), 7) if isinstance(r, Planted) else r
        for r in swapped(BEFORE, replace(BEFORE, traces=()))
    )
    judgement = judge(history)
    assert (judgement.verdict, judgement.held) == (Verdict.CLEAR, False)


def renamed(history: History, run: str) -> History:
    """Return the history under another run's name."""
    return tuple(replace(record, run=run) for record in history)


def test_merging_is_concatenation() -> None:
    """Histories judged together give the worst verdict, in whatever order they are merged."""
    bad = renamed(FAULTS["trace"][0], "two")
    unclear = renamed(FAULTS["failed"][0], "three")
    assert judge(GOOD + bad).verdict is Verdict.TRACE
    assert judge(GOOD + bad + unclear) == judge(unclear + (bad + GOOD))
    assert judge(unclear + bad).verdict is Verdict.UNKNOWN


def test_records_of_runs_may_interleave() -> None:
    """Runs recorded side by side are told apart by name."""
    other = renamed(GOOD, "two")
    mixed = tuple(record for pair in zip(GOOD, other, strict=True) for record in pair)
    assert [run.opened.run for run in runs_of(mixed)] == ["one", "two"]
    assert judge(mixed).verdict is Verdict.CLEAR


def test_equal_findings_of_several_runs_are_added_up() -> None:
    """Two runs that leave three cells each leave six, as one finding."""
    leaves = FAULTS["trace"][0]
    (finding,) = judge(leaves + renamed(leaves, "two")).findings
    assert finding.count == 6


def test_asking_again_gives_the_same_answer() -> None:
    """A judgement is a function of the history alone."""
    assert judge(GOOD) == judge(GOOD)
    assert isinstance(next(runs_of(GOOD)), Run)


def failed(step: Step, code: str, lacks: str = "") -> History:
    """Return a run whose FILE failed at a step."""
    return swapped(GOOD[4], RoutineFailed(RUN, step, "number", code, lacks))


SENTENCES = {
    "created": (failed(Step.INSTALL, "1064"), "the server refused to create it: error 1064"),
    "created without": (
        failed(Step.INSTALL, "42P01", "inbox"),
        "the server refused to create it: it needs inbox, which is missing (error 42P01)",
    ),
    "called": (failed(Step.CALL, "1205"), "the call failed with error 1205"),
    "called without": (
        failed(Step.CALL, "1146", "a.inbox"),
        "it needs a.inbox, which is missing (error 1146)",
    ),
    "stopped": (
        failed(Step.CALL, STOPPED),
        "the call failed with no end: its time was over and it was stopped",
    ),
    "cleaned up": (failed(Step.CLEAN_UP, "2BP01"), "its own clean-up failed: error 2BP01"),
    "cleaned up without": (
        failed(Step.CLEAN_UP, "42704", "kept"),
        "its own clean-up failed: it needs kept, which is missing (error 42704)",
    ),
    "rolled back": (swapped(GOOD[4], RolledBack(RUN, 1, "not clear")), "not clear"),
    "text taken": (probed(2, code=""), "taken for a number, without an error"),
    "refused too late": (
        probed(4, changed=(TABLE,)),
        "refused with error 22P02, but rows were changed",
    ),
    "commits": (
        probed(5, ended=True),
        "it commits or rolls back by itself: its caller's transaction was over",
    ),
    "survives": (probed(5, changed=(TABLE,)), "its changes survive a rollback"),
    "made": (
        (*EXAMINED, CatalogChanged(RUN, "table", 1, 0)),
        "table left behind by the routine or its file",
    ),
    "gone": (
        (*EXAMINED, CatalogChanged(RUN, "server", 0, 1)),
        "server taken away by the routine or its file",
    ),
    "one probe left out": (
        EXAMINED[:5] + EXAMINED[6:],
        "the examination is not whole: it lacks a transaction of the caller's",
    ),
    "two probes left out": (
        EXAMINED[:2] + EXAMINED[3:5] + EXAMINED[6:],
        (
            "the examination is not whole: it lacks a transaction of the caller's, "
            "text behind the number"
        ),
    ),
    "not interrupted": (
        EXAMINED[:6] + EXAMINED[7:],
        "the examination is not whole: it lacks an error half way",
    ),
    "not ended": (EXAMINED[:-1], "the examination is not whole: it lacks its end"),
    "failed": (
        (*EXAMINED[:2], Failed(RUN, "examine", "StoreError", "gone")),
        "StoreError: gone",
    ),
}


@pytest.mark.parametrize(("history", "why"), SENTENCES.values(), ids=SENTENCES.keys())
def test_one_fault_has_one_sentence(history: History, why: str) -> None:
    """Each fault of a routine's is told once, in the words that tell it from the others."""
    assert [finding.why for finding in judge(history).findings] == [why]


def test_where_nothing_is_changed_there_is_no_half_way() -> None:
    """A routine that erases nothing needs no probe of a failure half way, and one that does, does."""
    idle = (*EXAMINED[:1], Probed(RUN, Probe.NUMBER, "", ()), *EXAMINED[2:6], EXAMINED[7])
    assert judge(idle).verdict is Verdict.CLEAR
    without_number = (EXAMINED[0], *EXAMINED[2:6], EXAMINED[7])
    assert "the number" in judge(without_number).findings[0].why


def test_a_predicted_fault_of_conduct_must_appear() -> None:
    """In a control, an examination that does not find what was predicted is UNKNOWN."""
    predicted = Finding(
        FindingKind.ROUTINE, "mysql:5.6", "", "", "", f"called with {Probe.NULL}", 1, "as published"
    )
    as_control = tuple(
        replace(one, control=True) if isinstance(one, RunOpened) else one for one in EXAMINED
    )
    missing = judge((*as_control, Predicted(RUN, (predicted,))))
    assert (missing.verdict, len(missing.findings)) == (Verdict.UNKNOWN, 1)
    found_it = tuple(
        replace(one, code="") if isinstance(one, Probed) and one.probe is Probe.NULL else one
        for one in as_control
    )
    seen = judge((*found_it, Predicted(RUN, (predicted,))))
    assert (seen.verdict, seen.findings, seen.expected) == (Verdict.CLEAR, (), (predicted,))
