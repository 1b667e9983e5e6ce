"""Faults on real stores that keep an erasure from being committed, and how each is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final
from unittest import mock

from harness import erasure, run
from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.erasure_controls import (
    CONTACTS,
    DIFFERED,
    DOCUMENTED,
    FEW,
    MESSAGES,
    Meddling,
    flew,
    kinds,
    message_of,
    some_steps,
)
from harness._tests.mutants.grounds import Ground, Outcome, case_named
from harness._tests.test_plan import HAZARDS, NEEDLES, SUBJECT, everything
from harness.errors import ConflictError, MaskError, StoreError, StoreUnreachableError
from harness.identity import Closure, WaId
from harness.masks import Masks
from harness.model import (
    Answer,
    Called,
    CanaryFlown,
    ClosureFrozen,
    Drifted,
    EngineKind,
    Erased,
    Failed,
    FindingKind,
    LeftBehind,
    Observed,
    Record,
    RunClosed,
    SeedRow,
    TableSchema,
    Verdict,
)
from harness.plan import inspect as inspect_plan
from harness.population.people import mapped_person, person

NOT_SEARCHED: Final = "a table could not be searched, so the erasure was rolled back"
NOT_SEEN: Final = "the canary was not seen exactly where it was planted"
NOT_GONE: Final = "the canary was still found after it was erased"
A_MASK: Final = "a mask drawn for this run happens to be in the stores: run again"


def fault_controls(ground: Ground) -> Iterator[Control]:
    """Yield the controls of canary, masks, surfaces, phases and routines that fail."""

    def control(name: str, claim: Callable[..., object], *args: object, rank: int = 1) -> Control:
        check = partial(claim, ground, *args)
        return Control(name, check, ground.fresh, ground.renew, rank)

    for name in HAZARDS[ground.run_config.engine]:
        yield control(f"refused: {name}", _refuses, name)
    for claim in CLAIMS:
        yield control(named(claim), claim)


# --- the canary -----------------------------------------------------------------------------


def _insert(change: Callable[[list[SeedRow]], list[SeedRow]]) -> dict[str, Meddling]:
    """Change the canary's rows as they are planted, and nobody else's."""

    def insert(real: Meddling, rows: Sequence[SeedRow]) -> None:
        given = list(rows)
        canarys = any("44118496" in str(value) for row in given for value in row.values.values())
        real(change(given) if canarys else given)

    return {"insert": insert}


def _is_not_flown(ground: Ground, instead: dict[str, Meddling], why: str = NOT_SEEN) -> Outcome:
    outcome = ground.rehearsed(FEW, instead=instead)
    assert outcome.whys == [why]
    assert not outcome.run.all(Erased)
    assert outcome.run.all(CanaryFlown)
    assert outcome.judgement.verdict is Verdict.UNKNOWN
    shown = repr(everything(ground.connect()))
    assert SUBJECT.number in shown
    assert "4411849" not in shown
    return outcome


def _a_canary_that_is_not_planted_in_full(ground: Ground) -> None:
    """A row of the canary that is missing is missed, and nothing is erased."""
    outcome = _is_not_flown(ground, _insert(lambda rows: rows[1:]))
    (flight,) = outcome.run.all(CanaryFlown)
    assert 0 < flight.seen_cells < flight.planted_cells


def _a_canary_that_is_not_planted_at_all(ground: Ground) -> None:
    """A canary that is nowhere is missed, and nothing is erased."""
    _is_not_flown(ground, _insert(lambda _: []))


def _a_canary_that_is_somewhere_else_too(ground: Ground) -> None:
    """A cell too many of the canary is seen, and nothing is erased."""

    def more(rows: list[SeedRow]) -> list[SeedRow]:
        jids = (row.values["jid"] for row in rows if row.table == "wa_contacts")
        jid = next(one for one in jids if str(one).endswith("@s.whatsapp.net"))
        values = {"key_remote_jid": jid, "key_from_me": 0, "key_id": "more"}
        return [*rows, SeedRow(*MESSAGES, values)]

    outcome = _is_not_flown(ground, _insert(more))
    (flight,) = outcome.run.all(CanaryFlown)
    assert flight.seen_cells == flight.planted_cells + 1


def _a_canary_in_another_form(ground: Ground) -> None:
    """A canary that is seen in another form than it was planted in is not the one planted."""

    def other(rows: list[SeedRow]) -> list[SeedRow]:
        return [
            replace(
                row,
                values={
                    n: re.sub(r"\+(\d\d) \(0\)(\d{3})-", r"+\1\2", v) if isinstance(v, str) else v
                    for n, v in row.values.items()
                },
            )
            for row in rows
        ]

    _is_not_flown(ground, _insert(other))


def _a_canary_that_is_not_erased(ground: Ground) -> None:
    """A canary that is still there keeps the erasure from being committed."""
    with some_steps(lambda number: number != 2):
        outcome = _is_not_flown(ground, {}, NOT_GONE)
    (flight,) = outcome.run.all(CanaryFlown)
    assert flight.planted_cells == flight.seen_cells == flight.left_cells


def _a_canarys_masked_rows_that_stay(ground: Ground) -> None:
    """Masked rows of the canary that are not taken out again are seen after the commit."""
    with some_steps(lambda number: number != 3):
        outcome = ground.rehearsed(FEW)
    assert outcome.judgement.verdict is Verdict.TRACE
    assert {finding.kind for finding in outcome.judgement.findings} == {FindingKind.COLLATERAL}


def _a_blind_reader(ground: Ground) -> None:
    """A table whose rows are not read is given away by the canary in it."""
    for table in ("contacts", "messages", "sender_keys"):

        def blind(
            real: Meddling, of: TableSchema, *rest: Any, name: str = table, **how: Any
        ) -> int:
            return 0 if how.get("located") and of.name == name else int(real(of, *rest, **how))

        _is_not_flown(ground, {"scan": blind})


# --- masks ----------------------------------------------------------------------------------


def _a_mask_that_is_there_beforehand(ground: Ground) -> None:
    """A mask that happens to be in the stores could not be told from those that are put in."""
    closure = Closure(WaId(SUBJECT.number))
    masks = Masks(closure)
    (mask,) = masks._masks.values()
    values = {"wa_id": "somebody", "name": f"see {mask.digits}"}
    case = replace(case_named(FEW), further=(SeedRow(*CONTACTS, values),))  # type: ignore[arg-type]  # a dict of any of them
    with mock.patch.object(run, "Masks", return_value=masks):
        outcome = ground.rehearsed(case)
    assert outcome.whys == [A_MASK]
    assert not outcome.run.all(Erased)
    assert outcome.judgement.verdict is Verdict.UNKNOWN


def _a_mask_that_changes_more(ground: Ground) -> None:
    """A masked row is its old self but for the mask, or nothing is committed."""
    real = Masks.mask

    def clumsy(self: Masks, cell: bytes, kind: Any) -> bytes:
        return real(self, cell, kind).replace(b"Call", b"call")

    with mock.patch.object(Masks, "mask", clumsy):
        outcome = ground.rehearsed(FEW)
    assert outcome.whys == [DIFFERED]


def _in_a_callback(payload: str) -> tuple[SeedRow, ...]:
    values = {"key_remote_jid": person(1).jid, "callback_type": "message", "payload": payload}
    return (SeedRow("callbackStore", "queue", values, frozenset({"payload"})),)  # type: ignore[arg-type]  # a dict of any of them


def _what_cannot_be_masked_is_refused(ground: Ground) -> None:
    """A mention that no mask fits is refused by column, after so many draws."""
    case = case_named(FEW)
    rows = _in_a_callback(f'{{"a": {SUBJECT.number}e0}}')
    drawn: list[Closure] = []

    def draw(closure: Closure) -> Masks:
        drawn.append(closure)
        return Masks(closure)

    with mock.patch.object(run, "Masks", draw), mock.patch.object(erasure, "MASK_DRAWS", 2):
        outcome = ground.rehearsed(replace(case, further=rows))
    (failed,) = outcome.run.all(Failed)
    assert (failed.phase, failed.error) == ("erase", "MaskError")
    assert failed.sentence.startswith("callbackStore.queue.payload: ")
    assert len(drawn) == 2
    assert not outcome.run.all(Erased)
    assert outcome.judgement.verdict is Verdict.UNKNOWN


def _masks_that_do_not_fit_are_drawn_anew(ground: Ground) -> None:
    """Where other masks fit, they are drawn."""
    real = Masks.mask
    refused: list[int] = []

    def mask(self: Masks, cell: bytes, kind: Any) -> bytes:
        if b"44118496" not in cell and len(refused) < 2:
            refused.append(1)
            raise MaskError("does not fit")
        return real(self, cell, kind)

    with mock.patch.object(Masks, "mask", mask):
        outcome = ground.rehearsed(FEW)
    assert len(refused) == 2
    assert [one.round for one in outcome.run.all(Erased)] == [1]
    assert outcome.judgement.verdict is Verdict.CLEAR


# --- what cannot be read or changed ---------------------------------------------------------


def _unread(table: str, moments: Sequence[int], error: StoreError) -> dict[str, Meddling]:
    """Refuse a table in some passes, counted from 1 where rows are located."""
    passes = 0

    def scan(real: Meddling, of: TableSchema, *rest: Any, **how: Any) -> int:
        nonlocal passes
        if of.name == table and how.get("located"):
            passes += 1
            if passes in moments:
                raise error
        return int(real(of, *rest, **how))

    return {"scan": scan}


def _a_table_that_cannot_be_read(ground: Ground) -> None:
    """A table that is not read, before or inside, keeps the erasure from being committed."""
    for moments in ((1,), (2,), (1, 2)):
        unread = _unread("shard_map", moments, StoreError("denied"))
        outcome = ground.rehearsed(FEW, instead=unread)
        assert outcome.whys == [NOT_SEARCHED]
        assert not outcome.run.all(Erased)
        assert outcome.judgement.verdict is Verdict.UNKNOWN
        gaps = [gap for one in outcome.run.all(Observed) for gap in one.unsearched]
        assert {(gap.store, gap.table, gap.why) for gap in gaps} == {
            ("clusterStore", "shard_map", "denied")
        }


def _a_table_that_cannot_be_read_afterwards(ground: Ground) -> None:
    """A table that is not read in the last sweep leaves the verdict open."""

    def scan(real: Meddling, of: TableSchema, *rest: Any, **how: Any) -> int:
        # To freeze the closure reads no such table.
        if of.name == "shard_map" and not how.get("located"):
            raise StoreError("denied")
        return int(real(of, *rest, **how))

    outcome = ground.rehearsed(FEW, instead={"scan": scan})
    assert outcome.judgement.verdict is Verdict.UNKNOWN
    coverage = [f for f in outcome.judgement.findings if f.kind is FindingKind.COVERAGE]
    assert [(f.store, f.table, f.why) for f in coverage] == [
        ("clusterStore", "shard_map", "denied")
    ]
    assert [one.round for one in outcome.run.all(Erased)] == [1]


def _a_server_that_goes_away(ground: Ground) -> None:
    """A server that is lost in the middle of a pass fails the phase, and nothing is told."""
    gone = _unread("shard_map", (1,), StoreUnreachableError("gone"))
    outcome = ground.rehearsed(FEW, instead=gone)
    assert [(one.phase, one.error) for one in outcome.run.all(Failed)] == [
        ("erase", "StoreUnreachableError")
    ]
    assert not outcome.run.all(Observed)
    assert outcome.judgement.verdict is Verdict.UNKNOWN


def _a_conflict_in_a_pass_is_tried_again(ground: Ground) -> None:
    """A pass that gives way to others is no table that cannot be read: all is done again."""
    way = _unread("shard_map", (1,), ConflictError("gave way"))
    outcome = ground.rehearsed(FEW, instead=way)
    assert [one.attempts for one in outcome.run.all(Erased)] == [2]
    assert outcome.judgement.verdict is Verdict.CLEAR


def _conflicts_are_bounded(ground: Ground) -> None:
    """Others who always come first end the erasure, and nothing is changed."""
    tried: list[int] = []

    def contested(*_: object) -> None:
        tried.append(1)
        raise ConflictError("Somebody else came first.")

    paused = mock.Mock()
    with (
        mock.patch.object(erasure, "ATTEMPTS", 3),
        mock.patch.object(erasure, "carry_out", contested),
        mock.patch("time.sleep", paused),
    ):
        outcome = ground.rehearsed(FEW)
    assert len(tried) == 3
    assert paused.call_count == 2
    assert [(one.phase, one.error) for one in outcome.run.all(Failed)] == [
        ("erase", "ConflictError")
    ]
    assert SUBJECT.number in repr(everything(ground.connect()))


def _a_located_row_that_others_change(ground: Ground) -> None:
    """A located row that somebody changes before it is locked is located anew, change and all."""
    second = ground.connect()
    changed: list[int] = []
    statement = f"UPDATE messages SET status = 9 WHERE key_remote_jid = '{SUBJECT.jid}'"

    def delete(real: Meddling, table: TableSchema, rows: Sequence[object]) -> int:
        if table.name == "messages" and not changed:
            changed.append(second.execute("messageStore", statement))
        return int(real(table, rows))

    outcome = ground.rehearsed(FEW, instead={"delete": delete})
    assert changed
    assert changed[0] >= 1
    assert [one.attempts for one in outcome.run.all(Erased)] == [2]
    assert outcome.judgement.verdict is Verdict.CLEAR


def _refuses(ground: Ground, name: str) -> None:
    """A table that cannot be changed safely is refused by name, and nothing is changed."""
    make, says, undo = HAZARDS[ground.run_config.engine][name]
    ground.change("messageStore", make, undo)
    outcome = ground.rehearsed(FEW)
    (failed,) = outcome.run.all(Failed)
    assert (failed.phase, failed.error) == ("erase", "PlanError")
    assert re.search(rf"messageStore\.receipts: .*{says}", failed.sentence)
    assert not outcome.run.all(Erased)
    assert SUBJECT.number in repr(everything(ground.connect()))


def _a_hazard_that_is_not_touched(ground: Ground) -> None:
    """A trigger on a table without the subject is no reason to refuse; the canary keeps away."""
    make, _, undo = HAZARDS[ground.run_config.engine]["trigger"]
    ground.change("messageStore", make, undo)
    outcome = ground.rehearsed("unknown")
    assert outcome.judgement.verdict is Verdict.CLEAR
    described = ground.described.tables.values()
    holding = [t for t in described if any(c.kind.role != "none" for c in t.columns)]
    flew(ground, outcome, len(holding) - 1)


def _foreign_keys_are_respected(ground: Ground) -> None:
    """Rows that name the subject's or the canary's rows go before the rows that they name."""
    key = "ALTER TABLE receipts ADD CONSTRAINT tied FOREIGN KEY (_id) REFERENCES messages (_id)"
    drop = "FOREIGN KEY" if ground.run_config.engine is EngineKind.MYSQL else "CONSTRAINT"
    ground.change("messageStore", [key], [f"ALTER TABLE receipts DROP {drop} tied"])
    rows = tuple(
        SeedRow(
            "messageStore",
            table,
            {"_id": 7_001, "key_remote_jid": SUBJECT.jid},
            frozenset({"key_remote_jid"}),
        )
        for table in ("messages", "receipts")
    )
    outcome = ground.rehearsed(replace(case_named("empty"), further=rows))
    assert outcome.run.all(Failed) == []
    assert outcome.judgement.verdict is Verdict.CLEAR


# --- phases and routines --------------------------------------------------------------------


def _a_schema_that_drifted(ground: Ground) -> None:
    """A table that the manifest lacks is told, and searched all the same."""
    ground.change("clusterStore", ["CREATE TABLE memo (a INT, b VARCHAR(80))"], ["DROP TABLE memo"])
    outcome = ground.rehearsed(FEW)
    assert [(one.store, one.table) for one in outcome.run.all(Drifted)] == [
        ("clusterStore", "memo")
    ]
    assert outcome.judgement.verdict is Verdict.TRACE
    assert [finding.kind for finding in outcome.judgement.findings] == [FindingKind.DRIFT]


def _each_phase_that_fails_is_recorded(ground: Ground) -> None:
    """A phase that fails is told by name with one sentence, and the run ends there."""
    failing = {
        "seed": "harness.run.planted",
        "connect": "harness.stores.drift.compare",
        "locate": "harness.run.resolve",
        "erase": "harness.erasure.inspect",
        "sweep after": "harness.run.sweep",
    }
    for phase, step in failing.items():
        with mock.patch(step, side_effect=StoreError("refused")):
            outcome = ground.rehearsed("empty")
        (failed,) = outcome.run.all(Failed)
        assert (failed.phase, failed.error, failed.sentence) == (phase, "StoreError", "refused")
        assert not outcome.run.all(RunClosed)
        assert outcome.judgement.verdict is Verdict.UNKNOWN
        assert (ClosureFrozen in kinds(outcome)) == (phase in {"erase", "sweep after"})


def _a_later_round_that_fails_is_recorded(ground: Ground) -> None:
    """A second round that fails is told like the first."""
    second = ground.connect()
    refusals = iter([None, None, StoreError("refused")])
    real = inspect_plan

    def inspect(*args: Any) -> Any:
        if error := next(refusals):
            raise error
        return real(*args)

    def told(record: Record) -> None:
        if isinstance(record, Erased):
            second.insert([message_of("late")])

    with mock.patch("harness.erasure.inspect", inspect):
        outcome = ground.rehearsed(FEW, told=told)
    assert [(one.phase, one.error) for one in outcome.run.all(Failed)] == [("erase", "StoreError")]
    assert outcome.judgement.verdict is Verdict.UNKNOWN


def _another_set_that_cannot_be_searched(ground: Ground) -> None:
    """A set that had to be left alone and cannot be looked at fails the sweep."""
    refusal = mock.Mock(side_effect=StoreError("refused"))
    with mock.patch.object(run, "sweep", refusal):
        outcome = ground.rehearsed("two-sets")
    assert [one.phase for one in outcome.run.all(Failed)] == ["sweep before"]


class _FakeRoutine:
    """A routine that does what it is told to, and notes what is asked of it."""

    name = home = "fake"

    def __init__(self, **answers: object) -> None:
        self._answers = answers
        self.session = mock.Mock()
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., object]:
        defaults: dict[str, object] = {"listed": True, "call": Answer(0), "leftovers": ()}

        def answer(*_: object) -> object:
            self.asked.append(name)
            given = self._answers.get(name, defaults.get(name))
            if isinstance(given, Exception):
                raise given
            return given

        return answer


WHOLE: Final = ["install", "listed", "call", "clean_up", "remove", "leftovers"]


def _with_routine(ground: Ground, **answers: object) -> tuple[Outcome, list[str]]:
    fake = _FakeRoutine(**answers)
    with mock.patch("harness.routines.documented", return_value=fake):
        outcome = ground.rehearsed("empty", routine=DOCUMENTED, control=False)
    return outcome, fake.asked


def _a_routine_is_installed_called_and_removed(ground: Ground) -> None:
    """A routine is installed, looked for, called and removed, and what it leaves is counted."""
    outcome, asked = _with_routine(ground, leftovers=(("user mapping", 2),))
    assert asked == WHOLE
    assert [(one.object_kind, one.count) for one in outcome.run.all(LeftBehind)] == [
        ("user mapping", 2)
    ]
    assert outcome.judgement.verdict is Verdict.TRACE
    assert [finding.kind for finding in outcome.judgement.findings] == [FindingKind.ROUTINE]
    assert [one.form for one in outcome.run.all(Called)] == ["number"]


def _a_routine_that_fails_is_removed(ground: Ground) -> None:
    """Whatever a routine fails at, it is removed, and the phase is told."""
    refused = StoreError("refused")
    for phase, answers, expected in (
        ("install", {"install": refused}, ["install", "remove", "leftovers"]),
        ("install", {"listed": False}, ["install", "listed", "remove", "leftovers"]),
        ("erase", {"call": refused}, WHOLE),
        ("remove", {"clean_up": refused}, WHOLE[:-2]),
        ("remove", {"remove": refused}, WHOLE[:-1]),
    ):
        outcome, asked = _with_routine(ground, **answers)
        assert asked == expected
        assert [one.phase for one in outcome.run.all(Failed)] == [phase]
        assert not outcome.run.all(RunClosed)
        assert outcome.judgement.verdict is Verdict.UNKNOWN


def _a_routine_that_cannot_be_swept_after(ground: Ground) -> None:
    """A sweep that fails before the routine is called keeps it from being called."""
    refusal = mock.Mock(side_effect=StoreError("refused"))
    with mock.patch.object(run, "sweep", refusal):
        outcome, asked = _with_routine(ground)
    assert asked == []
    assert [one.phase for one in outcome.run.all(Failed)] == ["sweep before"]


def _a_mapped_person_is_erased_by_both_numbers(ground: Ground) -> None:
    """A number that the stores tie to the subject is erased too."""
    outcome = ground.rehearsed("mapped")
    subject = mapped_person(0)
    shown = repr(everything(ground.store_set))
    assert not any(number + "@" in shown for number in subject.numbers)
    (frozen,) = outcome.run.all(ClosureFrozen)
    counts = dict(frozen.identifiers)
    assert counts["number given"] == 1
    assert sum(counts.values()) >= 2
    assert outcome.judgement.verdict is Verdict.CLEAR


def _no_number_is_left_in_any_code(ground: Ground) -> None:
    """Read by the driver's own cursor, no needle is left, in text or in message ids."""
    outcome = ground.rehearsed(FEW)
    assert outcome.judgement.verdict is Verdict.CLEAR
    shown = repr(everything(ground.store_set))
    assert not any(needle in shown for needle in NEEDLES)


CLAIMS: Final = (
    _a_canary_that_is_not_planted_in_full,
    _a_canary_that_is_not_planted_at_all,
    _a_canary_that_is_somewhere_else_too,
    _a_canary_in_another_form,
    _a_canary_that_is_not_erased,
    _a_canarys_masked_rows_that_stay,
    _a_blind_reader,
    _a_mask_that_is_there_beforehand,
    _a_mask_that_changes_more,
    _what_cannot_be_masked_is_refused,
    _masks_that_do_not_fit_are_drawn_anew,
    _a_table_that_cannot_be_read,
    _a_table_that_cannot_be_read_afterwards,
    _a_server_that_goes_away,
    _a_conflict_in_a_pass_is_tried_again,
    _conflicts_are_bounded,
    _a_located_row_that_others_change,
    _a_hazard_that_is_not_touched,
    _foreign_keys_are_respected,
    _a_schema_that_drifted,
    _each_phase_that_fails_is_recorded,
    _a_later_round_that_fails_is_recorded,
    _another_set_that_cannot_be_searched,
    _a_routine_is_installed_called_and_removed,
    _a_routine_that_fails_is_removed,
    _a_routine_that_cannot_be_swept_after,
    _a_mapped_person_is_erased_by_both_numbers,
    _no_number_is_left_in_any_code,
)
