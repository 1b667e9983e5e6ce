"""The judge of an erasure with garbage collection: collecting proves nothing, and hides nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness._tests.test_judge import (
    AFTER,
    COLLECTED,
    COLLECTED_LIVE,
    DECIDED,
    ERASED,
    GONE,
    GOOD,
    LIVE,
    LIVE_OPENED,
    NOT_ENDED,
    OTHER,
    REHEARSED,
    SEEN,
    SEEN_AGAIN,
    STATE,
    TABLE,
    altered,
    found,
    lacking,
)
from harness.judge import judge, runs_of
from harness.model import (
    OTHER_SET,
    Garbage,
    History,
    Moment,
    NodeCollection,
    NodeOutcome,
    Part,
    Verdict,
)

# On disposable stores, where nobody else writes.
COLLECTED_VERIFY: History = (
    *GOOD[:-1],
    COLLECTED,
    SEEN_AGAIN,
    replace(OTHER[1], moment=Moment.COLLECTED),
    GOOD[-1],
)


def whys(history: History) -> list[str]:
    """Return the sentence of every finding."""
    return [finding.why for finding in judge(history).findings]


def state(**changes: Any) -> Any:
    """Return the only table's state after the erasure, changed."""
    return (replace(AFTER.tables[0], **changes),)


def again(**changes: Any) -> History:
    """Return the run on disposable stores whose sweep after the collection says something else."""
    return altered(COLLECTED_VERIFY, SEEN_AGAIN, **changes)


def test_an_erasure_with_collection_is_clear() -> None:
    """Where everything was erased and seen to be gone after the collection too, it is CLEAR."""
    for history in (COLLECTED_LIVE, COLLECTED_VERIFY):
        assert (judge(history).verdict, judge(history).findings) == (Verdict.CLEAR, ())


def test_rows_of_others_may_go_with_the_collection() -> None:
    """What the collection takes of others by its own policy is not the erasure's doing."""
    assert judge(again(tables=state(bystander_rows=1, bystander_digest="cc"))).findings == ()


def test_rows_of_others_may_not_go_with_the_erasure() -> None:
    """A collection that follows does not excuse what was changed before it."""
    history = altered(COLLECTED_VERIFY, AFTER, tables=state(bystander_rows=6))
    assert ("collateral", TABLE) in found(history)


def test_the_other_set_may_not_go_with_the_collection() -> None:
    """The collection is of one store set, and another one stays as it was."""
    other = COLLECTED_VERIFY[-2]
    changed = (replace(STATE, bystander_rows=6),)
    (finding,) = judge(altered(COLLECTED_VERIFY, other, tables=changed)).findings
    assert (finding.kind.value, finding.surface) == ("collateral", OTHER_SET)
    shared = altered(
        altered(COLLECTED_VERIFY, other, tables=changed), COLLECTED_VERIFY[0], shared=True
    )
    assert judge(shared).findings == ()


def test_a_table_missing_from_a_resumed_runs_sweep_is_told() -> None:
    """A later sweep is compared with the one before the collection, and never with itself."""
    later = replace(AFTER, tables=(replace(AFTER.tables[0], table="others"),))
    history = (*COLLECTED_LIVE[:-1], later, COLLECTED_LIVE[-1])
    assert "not searched again after the garbage collection" in whys(history)


def test_who_is_written_back_is_found() -> None:
    """Clear after the erasure and there again after the collection is a trace, with the way out."""
    for history in (
        again(traces=(SEEN,)),
        altered(COLLECTED_LIVE, SEEN_AGAIN, traces=(SEEN,)),
    ):
        assert judge(history).verdict is Verdict.TRACE
        (why,) = whys(history)
        assert "stop the Coreapps and erase again" in why
    (without,) = whys(altered(LIVE, AFTER, traces=(SEEN,)))
    assert "Coreapp" not in without


def test_the_newest_sweep_decides() -> None:
    """The last sweep is the one after the collection where there is one, else the one before."""
    for history, expected in ((COLLECTED_LIVE, SEEN_AGAIN), (LIVE, AFTER)):
        (run,) = runs_of(history)
        assert run.last is expected
    once_more = replace(AFTER, at="later")
    (run,) = runs_of((*COLLECTED_LIVE[:-1], once_more, LIVE[-1]))
    assert run.last is once_more
    (rehearsal,) = runs_of((*REHEARSED[:-1], SEEN_AGAIN, REHEARSED[-1]))
    assert rehearsal.last is not None
    assert rehearsal.last.moment is Moment.INSIDE


@pytest.mark.parametrize("mode", ["live", "rehearse", "verify", "audit"])
def test_a_collection_alone_is_no_proof(mode: str) -> None:
    """A run that collected and erased nobody is not whole, and its clear sweep proves nothing."""
    opened = replace(LIVE_OPENED, mode=mode)
    history: History = tuple(
        opened if one is LIVE_OPENED else one
        for one in COLLECTED_LIVE
        if one not in (ERASED, DECIDED)
    )
    assert judge(history).verdict is Verdict.UNKNOWN
    lack = "the proof that its search sees" if mode == "audit" else "an erasure"
    lack = "a plan that was carried out and rolled back" if mode == "rehearse" else lack
    assert f"the run is not whole: it lacks {lack}" in whys(history)


def collected(**changes: Any) -> str:
    """Return the only sentence about a collection that was not complete."""
    (why,) = whys(altered(COLLECTED_LIVE, COLLECTED, complete=False, **changes))
    return why


def test_a_collection_that_did_not_end_is_unknown() -> None:
    """A collection that did not end is told with its reason, that the rows are erased, and what to do."""
    assert collected(why="time was over") == (
        "it is not known to have ended. Time was over. Rows are erased all the same. "
        "Collect again with --run-gc."
    )
    assert collected(why="").startswith(
        "it is not known to have ended. No reason was recorded: look at the logs of the Coreapps. "
    )


def test_a_collection_that_was_not_begun_is_told_as_such() -> None:
    """What the client did not begin is not said to go on; a sentence that ends stays one sentence."""
    why = collected(times=0, nodes=(), why="No Coreapp answers: start it.")
    assert why.startswith("it was not begun. No Coreapp answers: start it. Rows ")


def test_only_messages_are_collected_again_by_the_option() -> None:
    """The option has messages collected, so that it is no way out for media."""
    assert "--run-gc" not in collected(garbage=Garbage.MEDIA)


def test_the_nodes_that_did_not_end_are_named() -> None:
    """Coreapps that failed or were silent are named, with their errors; those that ended are not."""
    nodes = (
        NodeCollection("one", NodeOutcome.COMPLETE),
        NodeCollection("two", NodeOutcome.FAILED, codes=(1014, 0)),
        NodeCollection("three", NodeOutcome.SILENT),
        NodeCollection("four", NodeOutcome.SETTLED),
        NodeCollection("five", NodeOutcome.SILENT),
    )
    why = collected(why="", nodes=nodes)
    assert why.startswith("it is not known to have ended. ")
    assert " Failed: two (1014, 0). Silent: three, five. " in why
    assert collected(nodes=nodes[:2]).startswith("it failed. ")


def test_the_only_coreapp_is_named_for_its_errors_alone() -> None:
    """The only Coreapp, which has no name, is named where there is a code to tell, and not twice."""
    told = [
        collected(nodes=(NodeCollection("", outcome, codes=codes),), why="x")
        for outcome, codes in (
            (NodeOutcome.FAILED, (1014,)),
            (NodeOutcome.FAILED, ()),
            (NodeOutcome.SILENT, ()),
        )
    ]
    assert [why.partition(" Rows ")[0] for why in told] == [
        "it failed. X. Failed: the only Coreapp (1014).",
        "it failed. X.",
        "it is not known to have ended. X.",
    ]


def test_nothing_is_said_of_rows_where_none_were_erased() -> None:
    """Only where something was erased is it said that it stays so."""
    history = altered(lacking(COLLECTED_LIVE, ERASED), COLLECTED, complete=False)
    (why,) = (why for why in whys(history) if "to have ended" in why)
    assert "erased" not in why
    called = altered(COLLECTED_VERIFY, COLLECTED, complete=False)
    assert "Rows are erased all the same." in whys(called)[0]


def test_a_later_collection_stands_for_an_earlier_one() -> None:
    """A collection that did not end is made good by one that did, of the same garbage only."""
    good = (*LIVE[:-1], NOT_ENDED, COLLECTED, SEEN_AGAIN, LIVE[-1])
    assert judge(good).verdict is Verdict.CLEAR
    media = replace(NOT_ENDED, garbage=Garbage.MEDIA)
    bad = (*LIVE[:-1], media, COLLECTED, SEEN_AGAIN, LIVE[-1])
    assert found(bad) == {("coverage", "garbage collection, media")}


def test_what_is_not_confirmed_is_no_finding() -> None:
    """A collection whose counts came to rest without a word from the client is whole."""
    history = altered(COLLECTED_LIVE, COLLECTED, confirmed=False, deleted=None)
    assert judge(history).findings == ()


def test_every_row_is_looked_at_after_a_collection() -> None:
    """A collection after the last sweep, or a sweep that saw nothing, leaves the run not whole."""
    late = (*LIVE[:-1], SEEN_AGAIN, COLLECTED, LIVE[-1])
    empty = altered(COLLECTED_LIVE, SEEN_AGAIN, tables=())
    other = altered(COLLECTED_LIVE, SEEN_AGAIN, part=Part.OTHER)
    before = altered(COLLECTED_LIVE, SEEN_AGAIN, moment=Moment.INSIDE)
    for history in (late, empty, other, before):
        lack = "the run is not whole: it lacks a sweep after the garbage collection"
        assert lack in whys(history)
        assert judge(history).verdict is Verdict.UNKNOWN
    early = (*LIVE[:2], COLLECTED, *LIVE[2:])
    assert judge(early).findings == ()


def test_media_that_were_collected_need_no_other_sweep() -> None:
    """After a collection of media alone the sweep after the erasure is the last one."""
    media = replace(COLLECTED, garbage=Garbage.MEDIA)
    assert judge((*LIVE[:-1], media, LIVE[-1])).findings == ()


def test_each_table_is_looked_at_again() -> None:
    """A table that was searched after the erasure and not after the collection is not known."""
    more = (*AFTER.tables, replace(AFTER.tables[0], table="chats"))
    history = altered(COLLECTED_LIVE, AFTER, tables=more)
    (finding,) = judge(history).findings
    assert (finding.place, finding.why) == (
        "messageStore.chats",
        "not searched again after the garbage collection",
    )
    assert finding.engine == LIVE_OPENED.engine
    assert judge(altered(history, SEEN_AGAIN, tables=more)).findings == ()


def test_a_run_that_failed_is_told_once() -> None:
    """Where a phase failed after the collection, its own finding says so, and no other."""
    failed = (*LIVE[:-1], COLLECTED, GONE, LIVE[-1])
    assert found(failed) == {("coverage", "phase erase")}
