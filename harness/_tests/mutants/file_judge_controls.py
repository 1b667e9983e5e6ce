"""Controls of the judge on synthetic histories with files: what must be seen, gone, and told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.judge_controls import CELL, Found, exactly
from harness._tests.test_judge import (
    AFTER,
    AUDITED,
    DECIDED,
    ERASED,
    GONE,
    GOOD,
    LIVE,
    OPENED,
    REHEARSED,
    RUN,
    SEEN,
)
from harness.judge import judge
from harness.model import (
    FileGap,
    FilesObserved,
    FilesPlanted,
    FilesProven,
    FileTrace,
    History,
    MediaRemoved,
    Moment,
    Observed,
    Record,
    RolledBack,
    RunOpened,
    Scrubbed,
    Verdict,
)

_FILE: Final = "logs/web.log"
_HELD: Final = FileTrace(_FILE, 3, (("JID", 1), ("bare number", 2)))
_OTHER: Final = FileTrace("logs/core.log", 1, (("bare number", 1),))
_BEFORE: Final = FilesObserved(RUN, Moment.BEFORE, "now", 0.1, 2, 100, 900, (_HELD,))
_INSIDE: Final = replace(_BEFORE, moment=Moment.INSIDE, traces=())
_AFTER: Final = replace(_BEFORE, moment=Moment.AFTER, traces=())
_PROVEN: Final = FilesProven(RUN, 10, 51, 51, 0)
_PLANTED: Final = FilesPlanted(RUN, (_HELD,), 2)
_SCRUBBED: Final = Scrubbed(RUN, "now", 0.1, 1, 3, 0)
_REMOVED: Final = MediaRemoved(RUN, 3, 2, ("media/shared.jpg",), 0)
_GAP: Final = FileGap("logs/broken.gz", "it breaks off")
_BACK: Final = RolledBack(RUN, 1, "not clear")
_WAS_ROLLED_BACK: Final[Found] = (
    *("coverage", "erasure rolled back", "erasure rolled back", 1),
    "not clear",
)


def _with_files(history: History, *records: Record, mode: str = "") -> History:
    """Return a history with files in scope, and with these records before its end."""
    opened, *rest = history
    assert isinstance(opened, RunOpened)
    made = replace(opened, files=True, mode=mode or opened.mode)
    return (made, *rest[:-1], *records, rest[-1])


_VERIFIED: Final = (_PROVEN, _PLANTED, _BEFORE, _SCRUBBED, _REMOVED, _AFTER)
_LIVED: Final = (_PROVEN, _BEFORE, _SCRUBBED, _AFTER)
_REHEARSED: Final = (_PROVEN, _BEFORE, replace(_SCRUBBED, withheld=True), _INSIDE)
_AUDITED: Final = (_PROVEN, _AFTER)
_ROLLED_BACK: Final = tuple(
    _BACK if one is ERASED else replace(AFTER, traces=(SEEN,)) if one is AFTER else one
    for one in LIVE
    if one is not DECIDED
)


def _verified(*pairs: tuple[Record, Record | None]) -> History:
    """Return a verification with files, with records replaced by others; by None: left out."""
    return _with_files(GOOD, *_changed(_VERIFIED, pairs))


def _lived(*pairs: tuple[Record, Record | None]) -> History:
    return _with_files(LIVE, *_changed(_LIVED, pairs))


def _rehearsed(*pairs: tuple[Record, Record | None]) -> History:
    return _with_files(REHEARSED, *_changed(_REHEARSED, pairs))


def _audited(*pairs: tuple[Record, Record | None]) -> History:
    return _with_files(AUDITED, *_changed(_AUDITED, pairs))


def _changed(
    records: tuple[Record, ...], pairs: tuple[tuple[Record, Record | None], ...]
) -> Iterator[Record]:
    news = {id(old): new for old, new in pairs}
    assert news.keys() <= {id(one) for one in records}
    for one in records:
        made = news.get(id(one), one)
        if made is not None:
            yield made


def _lacks(*whats: str) -> tuple[Found, ...]:
    whys = (f"the run is not whole: it lacks {what}" for what in whats)
    return tuple(("coverage", "files", "files", 1, why) for why in whys)


def _searched(moment: Moment) -> str:
    return f"a search of the files {moment} the erasure"


def _found(kind: str, file: str, count: int, why: str) -> Found:
    return (kind, file, file, count, why)


def _remains(when: str) -> Found:
    return _found("trace", _FILE, 3, f"{when}, as JID, bare number")


def _blind(seen: int, file: str = _FILE, planted: int = 3) -> Found:
    return _found("coverage", file, planted, f"{planted} planted, {seen} seen before the erasure")


def _unsound(planted: int, seen: int, left: int) -> Found:
    why = (
        f"of {planted} planted in files of 10 formats {seen} were seen, and {left} left after the "
        "scrub"
    )
    return _found("coverage", "files, canary", 1, why)


def _media(planted: int, removed: int) -> Found:
    why = f"{planted} media files were the subject's alone, {removed} were removed"
    return _found("trace", "media", planted, why)


_PROOF: Final = "the proof that its search of files sees"
_SCRUB: Final = "the scrub of its files"
_AFTER_SCRUB: Final = "still there after the scrub"
_BROKEN: Final = _found("surface", _GAP.file, 1, _GAP.why)
_LEFT: Final = FileGap("logs/huge.log", "it could not be masked")
_SHUT: Final = FileGap("logs/shut.log", "it may not be read")
_STAYS: Final = FileGap("media/link", "it is a link")
_FAILED: Final[Found] = (
    *("coverage", "phase erase", "phase erase", 1),
    "StoreUnreachableError: gone",
)
_SEEN_BEFORE: Final = "there, and not masked: no row was committed"

JUDGED: Final[dict[str, tuple[History, Verdict, tuple[Found, ...]]]] = {
    # Only what belongs to files may be missing: rows are judged as before.
    "files: a run without them": ((OPENED, *GOOD[1:]), Verdict.CLEAR, ()),
    "files: a live run before it went on": (
        (*_lived((_AFTER, None), (_SCRUBBED, None))[:-1], GONE),
        Verdict.UNKNOWN,
        (_FAILED,),
    ),
    "files: rehearsed, and left inside": (
        _rehearsed((_INSIDE, replace(_INSIDE, traces=(_HELD,)))),
        Verdict.TRACE,
        (_remains("would still be there: nothing of ours masks it"),),
    ),
    "files: rehearsed, and not looked at before": (
        _rehearsed((_BEFORE, None)),
        Verdict.UNKNOWN,
        _lacks(_searched(Moment.BEFORE)),
    ),
    "files: rehearsed, and not looked at inside": (
        _rehearsed((_INSIDE, None)),
        Verdict.UNKNOWN,
        _lacks(_searched(Moment.INSIDE)),
    ),
    "files: rehearsed, and not scrubbed": (
        _rehearsed((_REHEARSED[2], None)),
        Verdict.UNKNOWN,
        _lacks(_SCRUB),
    ),
    "files: rehearsed, and what is there afterwards is nothing new": (
        _with_files(REHEARSED, *_REHEARSED, replace(_AFTER, traces=(_HELD,))),
        Verdict.CLEAR,
        (),
    ),
    "files: left after a live run": (
        _lived((_AFTER, replace(_AFTER, traces=(_HELD,)))),
        Verdict.TRACE,
        (_remains(_AFTER_SCRUB),),
    ),
    "files: a live run's last look decides": (
        _with_files(LIVE, *_LIVED[:-1], replace(_AFTER, traces=(_HELD,)), _SCRUBBED, _AFTER),
        Verdict.CLEAR,
        (),
    ),
    "files: live, and not looked at before": (
        _lived((_BEFORE, None)),
        Verdict.UNKNOWN,
        _lacks(_searched(Moment.BEFORE)),
    ),
    "files: live, and not looked at after": (
        _lived((_AFTER, None)),
        Verdict.UNKNOWN,
        _lacks(_searched(Moment.AFTER)),
    ),
    "files: live, and not scrubbed": (
        _lived((_SCRUBBED, None)),
        Verdict.UNKNOWN,
        _lacks(_SCRUB),
    ),
    "files: live, and nothing of it": (
        _with_files(LIVE),
        Verdict.UNKNOWN,
        _lacks(_searched(Moment.BEFORE), _searched(Moment.AFTER), _PROOF, _SCRUB),
    ),
    "files: live, without a proof": (_lived((_PROVEN, None)), Verdict.UNKNOWN, _lacks(_PROOF)),
    "files: rolled back, and there": (
        _with_files(_ROLLED_BACK, _PROVEN, _BEFORE),
        Verdict.UNKNOWN,
        (_WAS_ROLLED_BACK, _remains(_SEEN_BEFORE)),
    ),
    "files: rolled back, and never there": (
        _with_files(_ROLLED_BACK, _PROVEN, replace(_BEFORE, traces=())),
        Verdict.UNKNOWN,
        (_WAS_ROLLED_BACK,),
    ),
    "files: rolled back, and not looked at": (
        _with_files(_ROLLED_BACK, _PROVEN),
        Verdict.UNKNOWN,
        (_WAS_ROLLED_BACK, *_lacks(_searched(Moment.BEFORE))),
    ),
    "files: rolled back in a second round, and scrubbed": (
        _with_files(LIVE, *_LIVED, replace(_BACK, round=2)),
        Verdict.UNKNOWN,
        (_WAS_ROLLED_BACK,),
    ),
    "files: rolled back in a second round, scrubbed, and seen later": (
        _with_files(LIVE, *_LIVED, replace(_BACK, round=2), replace(_INSIDE, traces=(_HELD,))),
        Verdict.UNKNOWN,
        (_WAS_ROLLED_BACK,),
    ),
    "files: a verification was rolled back": (
        _with_files((*GOOD[:-1], _BACK, GOOD[-1]), _PROVEN, _BEFORE),
        Verdict.UNKNOWN,
        (_WAS_ROLLED_BACK,),
    ),
    "files: audited, and there": (
        _audited((_AFTER, replace(_AFTER, traces=(_HELD,)))),
        Verdict.TRACE,
        (_remains("there"),),
    ),
    "files: audited, and not looked at": (
        _audited((_AFTER, None)),
        Verdict.UNKNOWN,
        _lacks(_searched(Moment.AFTER)),
    ),
    "files: audited, with nothing wrong": (_audited(), Verdict.CLEAR, ()),
    "files: of a session of no kind": (
        _with_files(GOOD, *_VERIFIED[:1], *_VERIFIED[2:4], mode="preflight"),
        Verdict.UNKNOWN,
        _lacks(_searched(Moment.AFTER)),
    ),
    "files: a gap before only": (
        _verified((_BEFORE, replace(_BEFORE, gaps=(_GAP,)))),
        Verdict.CLEAR,
        (),
    ),
    "files: gaps of every kind": (
        _verified(
            (_AFTER, replace(_AFTER, gaps=(_GAP, _SHUT))),
            (_SCRUBBED, replace(_SCRUBBED, left=(_LEFT, _GAP))),
            (_REMOVED, replace(_REMOVED, left=(_STAYS,))),
        ),
        Verdict.UNKNOWN,
        (
            _BROKEN,
            _found("surface", _SHUT.file, 1, _SHUT.why),
            _found("surface", _LEFT.file, 1, _LEFT.why),
            _found("surface", _STAYS.file, 1, _STAYS.why),
        ),
    ),
    "files: what an earlier scrub left counts no more": (
        _with_files(LIVE, *_LIVED[:2], replace(_SCRUBBED, left=(_LEFT,)), _SCRUBBED, _LIVED[-1]),
        Verdict.CLEAR,
        (),
    ),
    "files: what an earlier scrub left for good counts": (
        _with_files(
            LIVE,
            *_LIVED[:2],
            replace(_SCRUBBED, left=(replace(_LEFT, lasting=True),)),
            _SCRUBBED,
            _LIVED[-1],
        ),
        Verdict.UNKNOWN,
        (_found("surface", _LEFT.file, 1, _LEFT.why),),
    ),
    "files: a gap of the scrub, and no look after it": (
        _lived((_AFTER, None), (_SCRUBBED, replace(_SCRUBBED, left=(_LEFT,)))),
        Verdict.UNKNOWN,
        (*_lacks(_searched(Moment.AFTER)), _found("surface", _LEFT.file, 1, _LEFT.why)),
    ),
    "files: what was planted was not seen": (
        _verified((_BEFORE, replace(_BEFORE, traces=(_OTHER,)))),
        Verdict.UNKNOWN,
        (_blind(0),),
    ),
    "files: less was seen than planted": (
        _verified((_BEFORE, replace(_BEFORE, traces=(replace(_HELD, hits=2),)))),
        Verdict.UNKNOWN,
        (_blind(2),),
    ),
    "files: another form was seen than planted": (
        _verified((_BEFORE, replace(_BEFORE, traces=(replace(_HELD, forms=(("LID", 3),)),)))),
        Verdict.UNKNOWN,
        (_blind(3),),
    ),
    "files: what was planted is compared with the look before": (
        _with_files(GOOD, _PROVEN, _PLANTED, _AFTER, _BEFORE, _SCRUBBED, _REMOVED, _AFTER),
        Verdict.CLEAR,
        (),
    ),
    "files: one of two was not seen": (
        _verified((_PLANTED, replace(_PLANTED, traces=(_HELD, _OTHER)))),
        Verdict.UNKNOWN,
        (_blind(0, _OTHER.file, 1),),
    ),
    "files: planted, and not looked at before": (
        _verified((_BEFORE, None)),
        Verdict.UNKNOWN,
        _lacks(_searched(Moment.BEFORE)),
    ),
    "files: media of the subject are left": (
        _verified((_REMOVED, replace(_REMOVED, removed=1))),
        Verdict.TRACE,
        (_media(2, 1),),
    ),
    "files: media of others are gone": (
        _verified((_REMOVED, replace(_REMOVED, removed=3))),
        Verdict.TRACE,
        (_media(2, 3),),
    ),
    "files: media removed in two rounds": (
        _with_files(GOOD, *_VERIFIED, replace(_REMOVED, removed=1), mode="verify"),
        Verdict.TRACE,
        (_media(2, 3),),
    ),
    "files: planted, and no media removed": (_verified((_REMOVED, None)), Verdict.CLEAR, ()),
    "files: the canary was not planted": (
        _verified((_PROVEN, replace(_PROVEN, planted=0, seen=0))),
        Verdict.UNKNOWN,
        (_unsound(0, 0, 0),),
    ),
    "files: the canary was half seen": (
        _verified((_PROVEN, replace(_PROVEN, seen=50))),
        Verdict.UNKNOWN,
        (_unsound(51, 50, 0),),
    ),
    "files: the canary was seen too often": (
        _verified((_PROVEN, replace(_PROVEN, seen=52))),
        Verdict.UNKNOWN,
        (_unsound(51, 52, 0),),
    ),
    "files: the canary was left": (
        _verified((_PROVEN, replace(_PROVEN, left=1))),
        Verdict.UNKNOWN,
        (_unsound(51, 51, 1),),
    ),
    "files: and a cell": (
        _with_files(
            tuple(replace(one, traces=(SEEN,)) if one is AFTER else one for one in GOOD),
            *_VERIFIED[:-1],
            replace(_AFTER, traces=(_HELD,)),
        ),
        Verdict.TRACE,
        (
            _remains(_AFTER_SCRUB),
            ("trace", CELL, "", 3, "still there after the erasure, as bare number"),
        ),
    ),
}
_SHARED: Final = {"files: live": _lived(), "files: rehearsed": _rehearsed()}


def file_judge_controls() -> Iterator[Control]:
    """Yield the controls of the judge on files."""
    for name, (history, verdict, found) in JUDGED.items():
        yield Control(f"judged: {name}", partial(_exactly, history, verdict, *found))
    for name, history in _SHARED.items():
        yield Control(f"judged: {name}", partial(exactly, history, Verdict.CLEAR))
    for claim in (_media_that_stay_are_shown, _files_hold_the_subject_too):
        yield Control(f"judged: {named(claim)}", claim)


def _exactly(history: History, verdict: Verdict, *expected: Found) -> None:
    """Claim these findings and no others; media that stay are shown beside."""
    judgement = judge(history)
    found = [(str(f.kind), f.place, f.surface, f.count, f.why) for f in judgement.findings]
    assert sorted(found) == sorted(expected)
    assert judgement.verdict is verdict


def _media_that_stay_are_shown() -> None:
    """A media file of others stays, is shown as such, and decides nothing; the last word counts."""
    earlier = replace(_REMOVED, shared=("media/other.jpg",))
    judgement = judge(_with_files(GOOD, *_VERIFIED, replace(earlier, removed=0)))
    assert judgement.verdict is Verdict.CLEAR
    (stays,) = judgement.expected
    assert (str(stays.kind), stays.surface) == ("surface", "media/other.jpg")
    assert stays.why == "the subject's rows lead to it, and rows of others too: it stays"
    assert judge(_lived()).expected == ()


def _files_hold_the_subject_too() -> None:
    """What files held before counts as held, and what a rehearsal withheld does not."""
    nobody = tuple(replace(one, traces=()) if isinstance(one, Observed) else one for one in LIVE)
    assert not judge(nobody).held
    assert judge(_with_files(nobody, *_LIVED)).held
    without = (_PROVEN, replace(_BEFORE, traces=()), _SCRUBBED, _AFTER)
    assert not judge(_with_files(nobody, *without)).held
    seen_inside = (*without, replace(_INSIDE, traces=(_HELD,)))
    assert not judge(_with_files(nobody, *seen_inside)).held
