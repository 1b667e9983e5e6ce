"""Controls of the judge, on synthetic histories of real stores: the mode decides what is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from harness._tests.mutants.controls import Control
from harness._tests.mutants.judge_controls import CELL, Found, exactly, lacks
from harness._tests.test_judge import (
    AFTER,
    AUDITED,
    DECIDED,
    ERASED,
    GONE,
    INSIDE,
    LIVE,
    LIVE_OPENED,
    REHEARSED,
    RUN,
    SEEN,
)
from harness.model import (
    Committing,
    History,
    Planted,
    Resumed,
    RolledBack,
    Verdict,
    Witnessed,
)

_BACK: Final = RolledBack(RUN, 1, "not clear")
_WAS_ROLLED_BACK: Final[Found] = (
    *("coverage", "erasure rolled back", "erasure rolled back", 1),
    "not clear",
)
_NOT_ANSWERED: Final[Found] = (
    *("coverage", "commit", "commit", 1),
    "a commit was sent and not answered: finish it with --resume and this session",
)
_FAILED: Final[Found] = (
    *("coverage", "phase erase", "phase erase", 1),
    "StoreUnreachableError: gone",
)
_SEEN_INSIDE: Final = replace(INSIDE, traces=(SEEN,))
_SEEN_AFTER: Final = replace(AFTER, traces=(SEEN,))


def _trace(why: str) -> Found:
    return ("trace", CELL, "", 3, f"{why}, as bare number")


def _with(history: History, *pairs: tuple[object, object]) -> History:
    """Return a history with records replaced by others; by None: left out."""
    news = {id(old): new for old, new in pairs}
    assert news.keys() <= {id(one) for one in history}
    replaced = (news.get(id(one), one) for one in history)
    return tuple(one for one in replaced if one is not None)  # type: ignore[misc]


JUDGED: Final[dict[str, tuple[History, Verdict, tuple[Found, ...]]]] = {
    "a rehearsal leaves the subject inside": (
        _with(REHEARSED, (INSIDE, _SEEN_INSIDE)),
        Verdict.TRACE,
        (_trace("still there when it was rolled back"),),
    ),
    "what is there after a rehearsal is nothing new": (
        (*REHEARSED[:-1], _SEEN_AFTER, REHEARSED[-1]),
        Verdict.CLEAR,
        (),
    ),
    "a live run leaves the subject": (
        _with(LIVE, (AFTER, _SEEN_AFTER)),
        Verdict.TRACE,
        (_trace("still there after the erasure"),),
    ),
    "a live run was rolled back, and all is there again": (
        _with(LIVE, (DECIDED, None), (ERASED, _BACK), (AFTER, _SEEN_AFTER)),
        Verdict.UNKNOWN,
        (_WAS_ROLLED_BACK,),
    ),
    "a live run was rolled back for what it left": (
        _with(LIVE, (INSIDE, _SEEN_INSIDE), (DECIDED, None), (ERASED, _BACK), (AFTER, _SEEN_AFTER)),
        Verdict.UNKNOWN,
        (_WAS_ROLLED_BACK, _trace("still there when it was rolled back")),
    ),
    "a live run's second round was rolled back": (
        _with(LIVE, (AFTER, replace(_BACK, round=2)), (LIVE[-1], _SEEN_AFTER)) + LIVE[-1:],
        Verdict.UNKNOWN,
        (_WAS_ROLLED_BACK, _trace("still there after the erasure")),
    ),
    "a run on disposable stores was rolled back": (
        _with(
            LIVE,
            (LIVE_OPENED, replace(LIVE_OPENED, mode="verify")),
            (LIVE[1], Planted(RUN, (), 7)),
            (DECIDED, None),
            (ERASED, _BACK),
            (AFTER, _SEEN_AFTER),
        ),
        Verdict.UNKNOWN,
        (_WAS_ROLLED_BACK, _trace("still there after the erasure")),
    ),
    "an audit finds the subject": (
        _with(AUDITED, (AFTER, _SEEN_AFTER)),
        Verdict.TRACE,
        (_trace("there"),),
    ),
    "a phase failed, and the run went on": (
        (*LIVE[:-1], GONE, LIVE[-1]),
        Verdict.UNKNOWN,
        (_FAILED,),
    ),
    "a phase failed before the run was taken up twice": (
        (*LIVE[:-2], GONE, Resumed(RUN, "now", "x"), GONE, Resumed(RUN, "now", "x"), *LIVE[-2:]),
        Verdict.CLEAR,
        (),
    ),
    "a phase failed between two resumptions and after": (
        (*LIVE[:-2], Resumed(RUN, "now", "x"), GONE, Resumed(RUN, "now", "x"), GONE, *LIVE[-2:]),
        Verdict.UNKNOWN,
        (_FAILED,),
    ),
    "a commit was not answered": (
        _with(LIVE, (ERASED, None)),
        Verdict.UNKNOWN,
        (_NOT_ANSWERED, lacks("an erasure")),
    ),
    "a commit was not answered, and the subject is there": (
        _with(LIVE, (ERASED, None), (AFTER, _SEEN_AFTER)),
        Verdict.UNKNOWN,
        (_NOT_ANSWERED, lacks("an erasure"), _trace("still there after the erasure")),
    ),
    "a second round's commit was not answered": (
        (*LIVE[:-1], Committing(RUN, 2, ()), LIVE[-1]),
        Verdict.UNKNOWN,
        (_NOT_ANSWERED,),
    ),
    "a second round's commit was taken back": (
        (*LIVE[:-1], Committing(RUN, 2, ()), replace(_BACK, round=2), LIVE[-1]),
        Verdict.UNKNOWN,
        (_WAS_ROLLED_BACK,),
    ),
    "the only commit was taken back": (
        _with(LIVE, (ERASED, _BACK)),
        Verdict.UNKNOWN,
        (_WAS_ROLLED_BACK,),
    ),
    "nobody is there to prove an audit on": (
        _with(AUDITED, (AUDITED[3], Witnessed(RUN, 0, 0))),
        Verdict.UNKNOWN,
        (
            (
                *("coverage", "self-proof", "self-proof", 1),
                "nobody was found to prove the search on: the stores name no one",
            ),
        ),
    ),
    "an audit is blind to two cells": (
        _with(AUDITED, (AUDITED[3], Witnessed(RUN, 9, 7))),
        Verdict.UNKNOWN,
        (
            (
                *("coverage", "self-proof", "self-proof", 2),
                "of 9 cells known to name somebody, 2 were not found",
            ),
        ),
    ),
}


def live_judge_controls() -> Iterator[Control]:
    """Yield the controls of the judge on runs on real stores."""
    for name, (history, verdict, found) in JUDGED.items():
        yield Control(f"judged: {name}", partial(exactly, history, verdict, *found))
