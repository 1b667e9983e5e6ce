"""Controls that need no server: the judge on synthetic histories, and who is found in what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final

import pytest

from harness._tests import test_identity, test_judge, test_kept, test_matcher, test_recognition
from harness._tests.mutants.cells import ALPHABETS, CELLS, REFUSED, SEVEN, WHOLE, Cell
from harness._tests.mutants.controls import Control, adopted
from harness._tests.mutants.engine_controls import driver_controls
from harness._tests.mutants.step_controls import step_controls
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
from harness._tests.test_matcher import SURFACES, cell_of
from harness.errors import MaskError
from harness.identity import Closure, Matcher, Representation, WaId, spelled
from harness.identity.written import writings
from harness.judge import judge, judge_run, runs_of, unpredicted
from harness.masks import Masks
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
from harness.population.encodings import ENCODINGS, Encoding
from harness.population.people import Person, mapped_person, neighbours, person

_SLOW: Final = frozenset({"test_no_cell_takes_for_ever"})
Found = tuple[str, str, str, int, str]


def pure_controls() -> list[Control]:
    """Return every control that needs no server."""
    return [*_judged(), *_searched(), *step_controls(), *driver_controls(), *_tests()]


def _tests() -> Iterator[Control]:
    for module in (test_judge, test_matcher, test_identity, test_kept, test_recognition):
        for name, test, arguments in adopted(module, {}, _SLOW):
            yield Control(name, partial(test, **arguments))


# --- the judge ------------------------------------------------------------------------------


def _exactly(history: History, verdict: Verdict, *expected: Found) -> None:
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


def _lacks(what: str) -> Found:
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
        (_lacks("a sweep of the other set before the erasure"),),
    ),
    "a set is seen before only": (
        tuple(record for record in GOOD if record is not OTHER[1]),
        Verdict.UNKNOWN,
        (_lacks("a sweep of the other set after the erasure"),),
    ),
    "the judged set is seen before only": (
        tuple(record for record in GOOD if record is not AFTER),
        Verdict.UNKNOWN,
        (_lacks("a sweep of the judged set after the erasure"),),
    ),
    "the judged set is seen afterwards only": (
        tuple(record for record in GOOD if record is not BEFORE),
        Verdict.UNKNOWN,
        (_lacks("a sweep of the judged set before the erasure"),),
    ),
    "the sweep before saw no table": (
        swapped(BEFORE, replace(BEFORE, tables=())),
        Verdict.UNKNOWN,
        (
            _lacks("a sweep of the judged set before the erasure"),
            ("coverage", "rows", "rows", 7, "7 bystander rows seeded, 0 read"),
            _collateral(1),
        ),
    ),
    "there are two beginnings": ((OPENED, *GOOD), Verdict.UNKNOWN, (_lacks("one beginning"),)),
    "nothing is said of what was planted": (
        tuple(record for record in GOOD if record is not _PLANTED),
        Verdict.UNKNOWN,
        (_lacks("what was planted"),),
    ),
    "nothing was called": (
        tuple(record for record in GOOD if record is not GOOD[4]),
        Verdict.UNKNOWN,
        (_lacks("an erasure"),),
    ),
    "there is no end": (GOOD[:-1], Verdict.UNKNOWN, (_lacks("its last phase"),)),
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


def _judged() -> Iterator[Control]:
    for name, (history, verdict, found) in JUDGED.items():
        yield Control(f"judged: {name}", partial(_exactly, history, verdict, *found))
    for name, (history, finding, verdict) in FAULTS.items():
        yield Control(f"judged: {name}", partial(_among_others, history, finding, verdict))
    for claim in _CLAIMS_OF_A_JUDGE:
        yield Control(f"judged: {_named(claim)}", claim)


def _named(claim: Callable[[], None]) -> str:
    return claim.__name__.strip("_").replace("_", " ")


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


# --- who is found, and masked ---------------------------------------------------------------

SUBJECT: Final = person(0)
PEOPLE: Final = {
    "11 digits": person(0),
    "12 digits": person(1_650),
    "13 digits": mapped_person(0),
}


def _searched() -> Iterator[Control]:
    for label, who in PEOPLE.items():
        for one in ENCODINGS:
            name = f"{one.surface}, {one.name}, {label}"
            yield Control(f"found: {name}", partial(_is_found, one, who))
            yield Control(f"not found: {name}", partial(_is_somebody_elses, one, who))
            yield Control(f"masked: {name}", partial(_is_masked, one, who))
    for cell in CELLS:
        yield Control(f"found: {cell.name}", partial(_cell_is_found, cell))
    for cell in REFUSED:
        yield Control(f"refused: {cell.name}", partial(_cell_is_refused, cell))
    for name, (code, without) in ALPHABETS.items():
        yield Control(f"masked: a code {name}", partial(_an_alphabet_is_kept, code, without))
    for claim in _CLAIMS_OF_A_SEARCH:
        yield Control(f"found: {_named(claim)}", claim)


def _is_found(encoding: Encoding, who: Person) -> None:
    cell = cell_of(encoding, who.number)
    matcher = Matcher([spelled(who.number)])
    assert matcher.candidate(cell)
    assert matcher.forms(cell, SURFACES[encoding.surface]) == Counter(encoding.forms)


def _is_somebody_elses(encoding: Encoding, who: Person) -> None:
    matcher = Matcher([spelled(who.number)])
    for neighbour in neighbours(who):
        cell = cell_of(encoding, neighbour.number)
        assert not matcher.hits(cell, SURFACES[encoding.surface])


def _is_masked(encoding: Encoding, who: Person) -> None:
    cell, kind = cell_of(encoding, who.number), SURFACES[encoding.surface]
    masks = Masks(Closure(WaId(who.number)))
    masked = masks.mask(cell, kind)
    assert not Matcher([spelled(who.number)]).hits(masked, kind)
    assert masks.candidate(masked)
    assert masks.unmask(masked, kind) == cell
    assert len(masked) == len(cell) or kind is Representation.INTEGER


def _cell_is_found(cell: Cell) -> None:
    """A cell holds its number in these forms, and where it can be masked, the mask fits."""
    matcher = Matcher([spelled(cell.number)])
    assert [hit.form for hit in matcher.hits(cell.content, cell.kind)] == list(cell.forms)
    if cell.forms and cell not in REFUSED:
        masks = Masks(Closure(WaId(cell.number)))
        masked = masks.mask(cell.content, cell.kind)
        assert not matcher.hits(masked, cell.kind)
        assert masks.unmask(masked, cell.kind) == cell.content


def _cell_is_refused(cell: Cell) -> None:
    with pytest.raises(MaskError):
        Masks(Closure(WaId(cell.number))).mask(cell.content, cell.kind)


def _an_alphabet_is_kept(code: str, without: bytes) -> None:
    masked = Masks(Closure(WaId(SUBJECT.number))).mask(code.encode(), Representation.TEXT)
    assert masked != code.encode()
    assert set(masked).isdisjoint(without)


def _each_place_is_told_once() -> None:
    """A number that several readings of a text hold is one number."""
    text = f"{SUBJECT.number}%20x=1+2"
    assert len(list(writings(text, [spelled(SUBJECT.number)]))) == 1


def _a_mask_of_an_earlier_round_stays() -> None:
    """Beside a mask that stands there already, its number is masked all the same."""
    masks = Masks(Closure(WaId(SUBJECT.number)))
    (mask,) = masks._masks.values()
    cell = f"see {mask.digits} and {SUBJECT.number}".encode()
    assert masks.mask(cell, Representation.TEXT) == f"see {mask.digits} and {mask.digits}".encode()


def _a_fraction_that_is_no_mask_stays() -> None:
    """A JSON number that goes on beside a mask's is another one."""
    masks = Masks(Closure(WaId(SUBJECT.number)))
    (mask,) = masks._masks.values()
    for document in (f"[1{mask.json}]", f"[{mask.json}1]"):
        assert masks.unmask(document.encode(), Representation.JSON) == document.encode()
    document = f"[{mask.json}]".encode()
    assert masks.unmask(document, Representation.JSON) == f"[{SUBJECT.number}]".encode()


def _two_numbers_never_share_a_mask() -> None:
    """Masks that are alike in any spelling are drawn anew; spellings that are empty are not alike."""
    long = Closure(WaId(person(0).number), aliases=frozenset({person(1).number}))
    short = Closure(WaId(SEVEN), aliases=frozenset({SEVEN[:-1] + "9"}))
    wide, other = "1" * 17, "2" * 17
    # As varints, masks are alike where their integers are, but for a multiple of 999 999.
    same_varint = str(int(wide) + 999_999)
    digits, differing = "1" * 8, "2" * 8
    for first, second in (
        (digits + wide, digits + other),
        (digits + wide, differing + wide),
        (digits + wide, differing + same_varint),
    ):
        drawn = iter(first + second + digits + wide + differing + other)
        masks = Masks(long, lambda _, drawn=drawn: next(drawn))
        assert not list(drawn)
        assert len({mask.digits for mask in masks._numbers}) == 2
    for first in ("1111" + wide + "2222" + wide, ""):
        drawn = iter(first + "1111" + wide + "2222" + other)
        assert len(Masks(short, lambda _, drawn=drawn: next(drawn))._numbers) == 2
        assert not list(drawn)


def _a_whole_value_is_told_from_a_mention() -> None:
    """Only what is nothing but a number makes its row the subject's."""
    for text, whole in WHOLE.items():
        (hit,) = Matcher([spelled(SUBJECT.number)]).hits(text.encode(), Representation.TEXT)
        assert hit.whole is whole


_CLAIMS_OF_A_SEARCH: Final = (
    _each_place_is_told_once,
    _a_mask_of_an_earlier_round_stays,
    _a_fraction_that_is_no_mask_stays,
    _two_numbers_never_share_a_mask,
    _a_whole_value_is_told_from_a_mention,
)
