"""Controls on real stores: what the harness erases there, and every fault that it must notice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any, Final
from unittest import mock

import pytest

from harness import erasure, judge, run
from harness._tests import test_plan, test_stores, test_sweep
from harness._tests.mutants.controls import Control, adopted
from harness._tests.mutants.engine_controls import engine_controls
from harness._tests.mutants.routine_controls import routine_controls
from harness._tests.mutants.grounds import Ground, Outcome, case_named, meddling_inside
from harness._tests.test_plan import HAZARDS, NEEDLES, SUBJECT, everything
from harness._tests.test_sweep import ALTERATIONS
from harness.errors import ConflictError, MaskError, StoreError, StoreUnreachableError
from harness.identity import Closure, WaId
from harness.masks import Masks
from harness.model import (
    OTHER_SET,
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
    Moment,
    Observed,
    Part,
    Planted,
    Predicted,
    Record,
    RowsDiffer,
    RunClosed,
    RunOpened,
    SeedRow,
    TableSchema,
    Verdict,
)
from harness.plan import Plan, carry_out
from harness.population.bulk import messages_of
from harness.population.cases import showcase
from harness.population.people import mapped_person, person
from harness.population.rows import rows_of
from harness.routines import Routine
from harness.stores import StoreSet

BYSTANDER: Final = f"wa_id = '{person(1).number}'"
CONTACTS: Final = ("waweb", "contacts")
MESSAGES: Final = ("messageStore", "messages")
DIFFERED: Final = "somebody else's row differed inside the transaction, so it was rolled back"
STILL_FOUND: Final = "the subject was still found inside the transaction, so it was rolled back"
NOT_SEARCHED: Final = "a table could not be searched, so the erasure was rolled back"
NOT_SEEN: Final = "the canary was not seen exactly where it was planted"
NOT_GONE: Final = "the canary was still found after it was erased"
A_MASK: Final = "a mask drawn for this run happens to be in the stores: run again"
FEW: Final = "few"
DOCUMENTED: Final = "documented"
HOLDING: Final = 60
Meddling = Callable[..., Any]


def store_controls(ground: Ground) -> list[Control]:
    """Return every control on one engine."""
    return [
        *_own(ground),
        *routine_controls(ground),
        *engine_controls(ground),
        *_tests(ground),
    ]


def _own(ground: Ground) -> Iterator[Control]:
    def control(name: str, claim: Callable[..., object], *args: object) -> Control:
        return Control(name, partial(claim, ground, *args), ground.fresh, ground.renew)

    yield replace(control("erased: few", _erases, FEW), rank=0)
    for name in ("everywhere", "mapped", "neighbours", "encodings"):
        yield control(f"erased: {name}", _erases, name)
    for name in ("unknown", "empty"):
        yield control(f"erased: {name}", _holds_nothing, name)
    yield control("erased: twice", _erases_twice)
    yield control("erased: in bulk", _erases_in_bulk)
    yield control("erased: the other set stays", _leaves_the_other_set)
    for name in ("everywhere", "mapped", "two-sets", "original-on-prefixed-host"):
        yield control(f"predicted: {name}", _fails_as_predicted, name)
    for name in ("one character", "NULL for empty", "row deleted", "row added"):
        statements = ALTERATIONS[name]
        yield control(f"inside: {name}", _notices_inside, "waweb", statements)
        yield control(f"after: {name}", _notices_afterwards, "waweb", statements, CONTACTS)
    for name, (place, statement) in FURTHER.items():
        yield control(f"inside: {name}", _notices_inside, place[0], [statement])
        yield control(f"after: {name}", _notices_afterwards, place[0], [statement], place)
    for name in HAZARDS[ground.run_config.engine]:
        yield control(f"refused: {name}", _refuses, name)
    for claim in CLAIMS:
        yield control(claim.__name__.strip("_").replace("_", " "), claim)


def _tests(ground: Ground) -> Iterator[Control]:
    for module, wanted in ADOPTED:
        for name, test, arguments in adopted(module, _fixtures(ground), LEFT_OUT):
            given = dict(arguments)
            here = given.pop("kind", ground.run_config.engine) is ground.run_config.engine
            if here and (not wanted or test.__name__ in wanted):
                yield Control(
                    name,
                    partial(_test, ground, test, given),
                    partial(_seeded, ground, test),
                    ground.renew,
                    rank=2,
                )


@contextmanager
def _seeded(ground: Ground, test: Callable[..., None]) -> Iterator[None]:
    with ground.fresh():
        if "seeded" in test.__code__.co_varnames:
            ground.store_set.insert(rows_of(showcase(SUBJECT)))
        yield


def _fixtures(ground: Ground) -> dict[str, Callable[[], object]]:
    return {
        "store_set": lambda: ground.store_set,
        "seeded": lambda: ground.store_set,
        "second": ground.connect,
        "described": lambda: ground.described,
        "choice": lambda: ground.choice,
        "run_config": lambda: ground.store_set.config,
        "monkeypatch": pytest.MonkeyPatch,
    }


def _test(ground: Ground, test: Any, arguments: dict[str, Any]) -> None:
    fixtures = _fixtures(ground)
    names = test.__code__.co_varnames[: test.__code__.co_argcount]
    given = arguments | {name: fixtures[name]() for name in names if name not in arguments}
    try:
        test(**given)
    finally:
        if "monkeypatch" in given:
            given["monkeypatch"].undo()


ADOPTED: Final[tuple[tuple[ModuleType, frozenset[str]], ...]] = (
    (test_stores, frozenset()),
    (
        test_sweep,
        frozenset(
            {
                "test_several_connections_see_what_one_sees",
                "test_parts_share_one_snapshot",
                "test_a_table_that_cannot_be_read_hides_no_other",
                "test_tables_of_one_name_in_two_schemas_are_two_tables",
                "test_a_table_outside_the_manifest_is_searched",
            }
        ),
    ),
    (
        test_plan,
        frozenset(
            {"test_rows_without_a_key_are_told_apart", "test_a_row_changed_meanwhile_is_a_conflict"}
        ),
    ),
)
"""Tests that are controls as they stand: all of a module where none is named."""
LEFT_OUT: Final = frozenset(
    {
        # Slow, and of what is left out of the mutants.
        "test_a_server_that_cannot_be_reached_is_one_sentence",
        # A mutant could keep it from cleaning up.
        "test_case_folded_databases_are_reached",
    }
)

# --- what is erased -------------------------------------------------------------------------


def kinds(outcome: Outcome) -> list[type[Record]]:
    """Return what was recorded, by kind."""
    return [type(record) for record in outcome.records]


ROUND: Final = [Observed, Observed, CanaryFlown, Erased, Observed]


def _erases(ground: Ground, name: str) -> None:
    """The subject is gone, everybody else is as before, and the canary flew everywhere."""
    outcome = ground.rehearsed(name)
    assert outcome.judgement.verdict is Verdict.CLEAR
    assert (outcome.judgement.findings, outcome.judgement.held) == ((), True)
    assert kinds(outcome) == [RunOpened, Planted, ClosureFrozen, *ROUND, RunClosed]
    _flew(ground, outcome)
    _is_whole(ground, outcome)
    case = case_named(name)
    shown = repr(everything(ground.store_set))
    assert not re.search(rf"(?<!\d){case.wa_id.number}@", shown)
    assert "4411849" not in shown
    assert "canary" not in shown
    _keeps_others(ground, outcome)


def _flew(ground: Ground, outcome: Outcome, tables: int | None = None) -> None:
    flights = outcome.run.all(CanaryFlown)
    described = ground.described.tables.values()
    holding = sum(1 for t in described if any(c.kind.role != "none" for c in t.columns))
    assert flights
    for flight in flights:
        assert flight.tables == (holding if tables is None else tables)
        assert flight.planted_cells == flight.seen_cells
        assert flight.planted_cells >= (HOLDING if tables is None else 1)
        assert flight.left_cells == 0


def _is_whole(ground: Ground, outcome: Outcome) -> None:
    """Every table was seen each time, with all that it holds, and what was done was counted."""
    before, inside, after = outcome.run.all(Observed)
    assert [one.moment for one in (before, inside, after)] == [*Moment]
    assert all(len(one.tables) == len(ground.described.tables) for one in (before, inside, after))
    assert all(one.size_bytes > 0 and one.part is Part.JUDGED for one in (before, inside, after))
    (erased,) = outcome.run.all(Erased)
    then = {(state.store, state.table): state for state in before.tables}
    done = {(change.store, change.table): change for change in erased.tables}
    for place, state in then.items():
        change = done.get(place)
        counts = (change.deleted_rows, change.masked_rows) if change else (0, 0)
        assert counts == (state.subject_rows, state.mention_rows)
    assert (erased.round, erased.attempts) == (1, 1)
    assert not outcome.run.all(RowsDiffer)


def _keeps_others(ground: Ground, outcome: Outcome) -> None:
    """Read by the driver's own cursor, as many rows are there as were to stay."""
    counts = {place: len(rows) for place, rows in everything(ground.store_set).items()}
    states = outcome.run.all(Observed)[0].tables
    expected = {(s.store, s.table): s.bystander_rows + s.mention_rows for s in states}
    assert counts == expected


def _holds_nothing(ground: Ground, name: str) -> None:
    """Where the subject is not, nothing is changed, and nothing was held."""
    outcome = ground.rehearsed(name)
    assert (outcome.judgement.verdict, outcome.judgement.held) == (Verdict.CLEAR, False)
    assert [erased.tables for erased in outcome.run.all(Erased)] == [()]
    _flew(ground, outcome)


def _erases_twice(ground: Ground) -> None:
    """Asked again, the plan finds nothing more to do, and proves it."""
    outcome = ground.rehearsed("twice")
    assert outcome.judgement.verdict is Verdict.CLEAR
    assert kinds(outcome) == [RunOpened, Planted, ClosureFrozen, *ROUND, *ROUND, RunClosed]
    assert [bool(one.tables) for one in outcome.run.all(Erased)] == [True, False]


def _erases_in_bulk(ground: Ground) -> None:
    """What is loaded in bulk is planted, seen, and erased like the rest."""
    case = replace(case_named(FEW), bulk=messages_of(SUBJECT, 300))
    alone = ground.rehearsed(FEW)
    outcome = ground.rehearsed(case)
    assert outcome.judgement.verdict is Verdict.CLEAR
    more = [one.run.first.tables for one in (alone, outcome) if one.run.first]
    deleted = [sum(state.subject_rows for state in tables) for tables in more]
    assert deleted[1] - deleted[0] == 300


def _leaves_the_other_set(ground: Ground) -> None:
    """Another set with the same person is looked at before and after, and stays."""
    outcome = ground.rehearsed("two-sets")
    assert outcome.judgement.verdict is Verdict.CLEAR
    moments = [(one.part, one.moment) for one in outcome.run.all(Observed)]
    assert (moments[0], moments[-1]) == (
        (Part.OTHER, Moment.BEFORE),
        (Part.OTHER, Moment.AFTER),
    )
    assert SUBJECT.number in repr(everything(ground.opened[-1]))


def _fails_as_predicted(ground: Ground, name: str) -> None:
    """The vendor's routine leaves exactly what is predicted, and its removal leaves nothing."""
    outcome = ground.rehearsed(name, routine=DOCUMENTED)
    assert outcome.judgement.verdict is Verdict.CLEAR
    assert outcome.judgement.findings == ()
    assert judge.unpredicted(outcome.run) == []
    assert outcome.judgement.expected
    assert outcome.run.all(Predicted)
    assert [one.form for one in outcome.run.all(Called)] == ["number"]
    parts = len({one.part for one in outcome.run.all(Observed)})
    assert len(outcome.run.all(Observed)) == 2 * parts
    if case_named(name).other:
        assert parts == 2


# --- somebody else is changed ---------------------------------------------------------------

_SWAP: Final = (
    f"UPDATE contacts SET name = CASE wa_id WHEN '{person(1).number}' THEN '{person(101).name}' ELSE '{person(1).name}' END "
    f"WHERE wa_id IN ('{person(1).number}', '{person(101).number}')"
)
FURTHER: Final = {
    "two rows exchange a value": (CONTACTS, _SWAP),
    "a row is doubled": (
        ("jobqueueStore", "jobs"),
        "INSERT INTO jobs (name, parameters, serialized, run_at) "
        f"SELECT name, parameters, serialized, run_at FROM jobs WHERE parameters NOT LIKE '%{SUBJECT.number}%' "
        "AND parameters LIKE '%send%' LIMIT 1",
    ),
    "a masked row is changed": (
        MESSAGES,
        "UPDATE messages SET data = concat(data, '!') WHERE data LIKE 'Call % on +000%'",
    ),
    "a masked row is deleted": (MESSAGES, "DELETE FROM messages WHERE data LIKE 'Call % on +000%'"),
    "a masked row loses its mask": (
        MESSAGES,
        "UPDATE messages SET data = 'Call nobody' WHERE data LIKE 'Call % on +000%'",
    ),
}


def _meddled_inside(store: str, statements: Sequence[str]) -> AbstractContextManager[None]:
    def meddle(store_set: StoreSet, _: Plan) -> None:
        for statement in statements:
            assert store_set.execute(store, statement) >= 1

    return meddling_inside(meddle)


def _notices_inside(ground: Ground, store: str, statements: Sequence[str]) -> None:
    """What is done to somebody else inside the transaction is seen, and rolled back."""
    held: dict[str, object] = {}

    def told(record: Record) -> None:
        if isinstance(record, ClosureFrozen):
            held["before"] = everything(ground.connect())

    with _meddled_inside(store, statements):
        outcome = ground.rehearsed(FEW, told=told)
    assert outcome.whys == [DIFFERED]
    assert not outcome.run.all(Erased)
    assert outcome.judgement.verdict is Verdict.UNKNOWN
    assert FindingKind.COLLATERAL in {finding.kind for finding in outcome.judgement.findings}
    assert everything(ground.connect()) == held["before"]


def _notices_afterwards(
    ground: Ground, store: str, statements: Sequence[str], place: tuple[str, str]
) -> None:
    """What is done to somebody else after the commit is seen, and where."""
    second = ground.connect()

    def told(record: Record) -> None:
        if isinstance(record, Erased):
            for statement in statements:
                assert second.execute(store, statement) >= 1

    outcome = ground.rehearsed(FEW, told=told)
    assert outcome.judgement.verdict is Verdict.TRACE
    found = [(f.kind, f.store, f.table, f.surface) for f in outcome.judgement.findings]
    assert found == [(FindingKind.COLLATERAL, *place, "")]


def _the_other_set_is_changed_meanwhile(ground: Ground) -> None:
    """What is done to a set that had to be left alone is seen."""

    def told(record: Record) -> None:
        if isinstance(record, Erased):
            ground.opened[-1].execute("waweb", f"DELETE FROM contacts WHERE {BYSTANDER}")

    outcome = ground.rehearsed("two-sets", told=told)
    found = [(f.kind, f.table, f.surface) for f in outcome.judgement.findings]
    assert found == [(FindingKind.COLLATERAL, "contacts", OTHER_SET)]
    assert outcome.judgement.verdict is Verdict.TRACE


def _rows_that_differ_are_told(ground: Ground) -> None:
    """Asked for, the digests of the rows that differ are told: one gone, one new."""
    second = ground.connect()

    def told(record: Record) -> None:
        if isinstance(record, Erased):
            second.execute("waweb", ALTERATIONS["one character"][0])

    outcome = ground.rehearsed(FEW, told=told, which_rows=True)
    (differ,) = outcome.run.all(RowsDiffer)
    assert (differ.moment, differ.store, differ.table) == (Moment.AFTER, *CONTACTS)
    assert (len(differ.gone), len(differ.new)) == (1, 1)
    assert set(differ.gone).isdisjoint(differ.new)
    assert all(len(digest) == 32 for digest in (*differ.gone, *differ.new))


def _rows_that_differ_are_told_of_deletions(ground: Ground) -> None:
    """A row that is gone is told as gone, in the table that it was in."""
    second = ground.connect()

    def told(record: Record) -> None:
        if isinstance(record, Erased):
            second.execute("waweb", ALTERATIONS["row deleted"][0])
            second.execute("waweb", "INSERT INTO contacts (wa_id, name) VALUES ('a', 'x')")
            second.execute("waweb", "INSERT INTO contacts (wa_id, name) VALUES ('b', 'x')")
            second.execute("clusterStore", "DELETE FROM shard_map WHERE shard = 1")

    outcome = ground.rehearsed(FEW, told=told, which_rows=True)
    differ = [(one.table, len(one.gone), len(one.new)) for one in outcome.run.all(RowsDiffer)]
    assert differ == [("shard_map", 1, 0), ("contacts", 1, 2)]


def _no_rows_differ(ground: Ground) -> None:
    """A good erasure differs nowhere, masked rows included."""
    outcome = ground.rehearsed(FEW, which_rows=True)
    assert not outcome.run.all(RowsDiffer)
    assert outcome.judgement.verdict is Verdict.CLEAR


# --- the subject comes back, or never goes --------------------------------------------------


def _message(key_id: str) -> SeedRow:
    values = {"key_remote_jid": SUBJECT.jid, "key_from_me": 0, "key_id": key_id}
    return SeedRow(*MESSAGES, values)  # type: ignore[arg-type]  # a dict of any of them


def _a_late_row_starts_another_round(ground: Ground) -> None:
    """A row of the subject that comes after the commit is erased in a second round."""
    second = ground.connect()

    def told(record: Record) -> None:
        if isinstance(record, Erased) and record.round == 1:
            second.insert([_message("late")])

    outcome = ground.rehearsed(FEW, told=told)
    assert kinds(outcome) == [RunOpened, Planted, ClosureFrozen, *ROUND, *ROUND, RunClosed]
    assert [one.round for one in outcome.run.all(Erased)] == [1, 2]
    assert outcome.judgement.verdict is Verdict.CLEAR
    assert SUBJECT.jid not in repr(everything(ground.store_set))


def _rows_that_never_end_are_a_trace(ground: Ground) -> None:
    """Rows of the subject that come after each commit end the rounds, and are a trace."""
    second = ground.connect()

    def told(record: Record) -> None:
        if isinstance(record, Erased):
            second.insert([_message(f"late {record.round}")])

    outcome = ground.rehearsed(FEW, told=told)
    assert [one.round for one in outcome.run.all(Erased)] == [1, 2, 3]
    assert outcome.judgement.verdict is Verdict.TRACE
    found = {(f.kind, f.store, f.table, f.column, f.count) for f in outcome.judgement.findings}
    assert found == {(FindingKind.TRACE, *MESSAGES, "key_remote_jid", 1)}


def _a_row_that_comes_back_inside_is_rolled_back(ground: Ground) -> None:
    """A row of the subject that is there after the erasure keeps it from being committed."""
    with meddling_inside(lambda store_set, _: store_set.insert([_message("back")])):
        outcome = ground.rehearsed(FEW)
    assert outcome.whys == [STILL_FOUND]
    assert not outcome.run.all(Erased)
    assert outcome.judgement.verdict is Verdict.UNKNOWN
    assert SUBJECT.jid in repr(everything(ground.connect()))


def _a_plan_that_is_not_carried_out_is_rolled_back(ground: Ground) -> None:
    """Where the subject's plan is not carried out, nothing is committed."""
    with _steps(lambda number: number != 1):
        outcome = ground.rehearsed(FEW)
    assert outcome.whys == [STILL_FOUND]
    assert not outcome.run.all(Erased)


@contextmanager
def _steps(wanted: Callable[[int], bool]) -> Iterator[None]:
    """Carry out only some of an erasure's steps, counted from 1."""
    count = 0

    def some(store_set: StoreSet, plan: Plan) -> None:
        nonlocal count
        count += 1
        if wanted(count):
            carry_out(store_set, plan)

    with mock.patch.object(erasure, "carry_out", some):
        yield


# --- counts ---------------------------------------------------------------------------------


def _counts_are_compared(ground: Ground, method: str, meddle: Meddling) -> None:
    outcome = ground.rehearsed(FEW, instead={method: meddle})
    (failed,) = outcome.run.all(Failed)
    assert (failed.phase, failed.error) == ("erase", "PlanError")
    assert re.search(r"messageStore\.messages: .* everything is rolled back", failed.sentence)
    assert not outcome.run.all(Erased)
    assert outcome.judgement.verdict is Verdict.UNKNOWN
    assert SUBJECT.number in repr(everything(ground.connect()))


def _too_few_are_deleted(ground: Ground) -> None:
    """A deletion that affects fewer rows than were located is rolled back."""
    _counts_are_compared(ground, "delete", _short)


def _too_few_are_masked(ground: Ground) -> None:
    """A replacement that affects fewer rows than were located is rolled back."""
    _counts_are_compared(ground, "replace", _short)


def _too_many_are_deleted(ground: Ground) -> None:
    """A deletion that says it affected more rows than were located is rolled back."""
    _counts_are_compared(ground, "delete", lambda real, *args: real(*args) + _is_messages(*args))


def _is_messages(table: TableSchema, rows: Sequence[object]) -> int:
    return int(table.name == "messages" and bool(rows))


def _short(real: Meddling, table: TableSchema, rows: Sequence[object]) -> int:
    return int(real(table, rows[_is_messages(table, rows) :]))


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
    with _steps(lambda number: number != 2):
        outcome = _is_not_flown(ground, {}, NOT_GONE)
    (flight,) = outcome.run.all(CanaryFlown)
    assert flight.planted_cells == flight.seen_cells == flight.left_cells


def _a_canarys_masked_rows_that_stay(ground: Ground) -> None:
    """Masked rows of the canary that are not taken out again are seen after the commit."""
    with _steps(lambda number: number != 3):
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
    with mock.patch.object(run, "Masks", lambda _: masks):
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

    with mock.patch.object(run, "Masks", draw), mock.patch.object(run, "MASK_DRAWS", 2):
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

    def contested(store_set: StoreSet, plan: Plan) -> None:
        tried.append(1)
        raise ConflictError("Somebody else came first.")

    paused = mock.Mock()
    with (
        mock.patch.object(erasure, "ATTEMPTS", 3),
        mock.patch.object(erasure, "carry_out", contested),
        mock.patch.object(erasure.time, "sleep", paused),
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
    _flew(ground, outcome, len(holding) - 1)


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
        "seed": (run, "planted"),
        "connect": (run.drift, "compare"),
        "locate": (run, "resolve"),
        "erase": (erasure, "inspect"),
        "sweep after": (run, "sweep"),
    }
    for phase, (holder, name) in failing.items():
        refusal = mock.Mock(side_effect=StoreError("refused"))
        with mock.patch.object(holder, name, refusal):
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
    real = erasure.inspect

    def inspect(*args: Any) -> Any:
        if error := next(refusals):
            raise error
        return real(*args)

    def told(record: Record) -> None:
        if isinstance(record, Erased):
            second.insert([_message("late")])

    with mock.patch.object(erasure, "inspect", inspect):
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
    documented: Callable[..., Routine] = lambda *_: fake  # type: ignore[return-value,assignment]
    with mock.patch.object(run.routines, "documented", documented):
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
    _the_other_set_is_changed_meanwhile,
    _rows_that_differ_are_told,
    _rows_that_differ_are_told_of_deletions,
    _no_rows_differ,
    _a_late_row_starts_another_round,
    _rows_that_never_end_are_a_trace,
    _a_row_that_comes_back_inside_is_rolled_back,
    _a_plan_that_is_not_carried_out_is_rolled_back,
    _too_few_are_deleted,
    _too_few_are_masked,
    _too_many_are_deleted,
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
