"""Controls of an erasure on real stores: what it leaves, and whom it may not hurt."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final
from unittest import mock

from harness import erasure, judge
from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.grounds import Ground, Outcome, case_named, meddling_inside
from harness._tests.test_plan import SUBJECT, everything
from harness._tests.test_sweep import ALTERATIONS
from harness.model import (
    OTHER_SET,
    Called,
    CanaryFlown,
    ClosureFrozen,
    Erased,
    Failed,
    FindingKind,
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
from harness.population.people import person
from harness.stores import StoreSet

BYSTANDER: Final = f"wa_id = '{person(1).number}'"
CONTACTS: Final = ("waweb", "contacts")
MESSAGES: Final = ("messageStore", "messages")
DIFFERED: Final = "somebody else's row differed inside the transaction, so it was rolled back"
STILL_FOUND: Final = "the subject was still found inside the transaction, so it was rolled back"
FEW: Final = "few"
DOCUMENTED: Final = "documented"
HOLDING: Final = 60
Meddling = Callable[..., Any]


def erasure_controls(ground: Ground) -> Iterator[Control]:
    """Yield the controls of what is erased, and of who is hurt by it."""

    def control(name: str, claim: Callable[..., object], *args: object, rank: int = 1) -> Control:
        check = partial(claim, ground, *args)
        return Control(name, check, ground.fresh, ground.renew, rank)

    yield control("erased: few", _erases, FEW, rank=0)
    for name in ("everywhere", "mapped", "neighbours", "encodings"):
        yield control(f"erased: {name}", _erases, name)
    for name in ("unknown", "empty"):
        yield control(f"erased: {name}", _holds_nothing, name)
    yield control("erased: twice", _erases_twice)
    yield control("erased: in bulk", _erases_in_bulk)
    yield control("erased: the other set stays", _leaves_the_other_set)
    for name in ("everywhere", "mapped", "two-sets", "original-on-prefixed-host"):
        yield control(f"predicted: {name}", _fails_as_predicted, name)
    for name, (place, statement) in HARM.items():
        yield control(f"inside: {name}", _notices_inside, place[0], statement)
        yield control(f"after: {name}", _notices_afterwards, place, statement)
    for claim in CLAIMS:
        yield control(named(claim), claim)


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
    flew(ground, outcome)
    _is_whole(ground, outcome)
    case = case_named(name)
    shown = repr(everything(ground.store_set))
    assert not re.search(rf"(?<!\d){case.wa_id.number}@", shown)
    assert "4411849" not in shown
    assert "canary" not in shown
    _keeps_others(ground, outcome)


def flew(ground: Ground, outcome: Outcome, tables: int | None = None) -> None:
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
    moments = [Moment.BEFORE, Moment.INSIDE, Moment.AFTER]
    assert [one.moment for one in (before, inside, after)] == moments
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
    flew(ground, outcome)


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
HARM: Final = {
    **{
        name: (CONTACTS, ALTERATIONS[name][0])
        for name in ("one character", "NULL for empty", "row deleted", "row added")
    },
    "two rows exchange a value": (CONTACTS, _SWAP),
    "a row is doubled": (
        ("jobqueueStore", "jobs"),
        (
            "INSERT INTO jobs (name, parameters, serialized, run_at) "
            f"SELECT name, parameters, serialized, run_at FROM jobs WHERE parameters NOT LIKE '%{SUBJECT.number}%' "
            "AND parameters LIKE '%send%' LIMIT 1"
        ),
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


def _meddled_inside(store: str, statement: str) -> AbstractContextManager[None]:
    def meddle(store_set: StoreSet, _: Plan) -> None:
        assert store_set.execute(store, statement) >= 1

    return meddling_inside(meddle)


def _notices_inside(ground: Ground, store: str, statement: str) -> None:
    """What is done to somebody else inside the transaction is seen, and rolled back."""
    held: dict[str, object] = {}

    def told(record: Record) -> None:
        if isinstance(record, ClosureFrozen):
            held["before"] = everything(ground.connect())

    with _meddled_inside(store, statement):
        outcome = ground.rehearsed(FEW, told=told)
    assert outcome.whys == [DIFFERED]
    assert not outcome.run.all(Erased)
    assert outcome.judgement.verdict is Verdict.UNKNOWN
    assert FindingKind.COLLATERAL in {finding.kind for finding in outcome.judgement.findings}
    assert everything(ground.connect()) == held["before"]


def _notices_afterwards(ground: Ground, place: tuple[str, str], statement: str) -> None:
    """What is done to somebody else after the commit is seen, and where."""
    second = ground.connect()

    def told(record: Record) -> None:
        if isinstance(record, Erased):
            assert second.execute(place[0], statement) >= 1

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


def message_of(key_id: str) -> SeedRow:
    values = {"key_remote_jid": SUBJECT.jid, "key_from_me": 0, "key_id": key_id}
    return SeedRow(*MESSAGES, values)  # type: ignore[arg-type]  # a dict of any of them


def _a_late_row_starts_another_round(ground: Ground) -> None:
    """A row of the subject that comes after the commit is erased in a second round."""
    second = ground.connect()

    def told(record: Record) -> None:
        if isinstance(record, Erased) and record.round == 1:
            second.insert([message_of("late")])

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
            second.insert([message_of(f"late {record.round}")])

    outcome = ground.rehearsed(FEW, told=told)
    assert [one.round for one in outcome.run.all(Erased)] == [1, 2, 3]
    assert outcome.judgement.verdict is Verdict.TRACE
    found = {(f.kind, f.store, f.table, f.column, f.count) for f in outcome.judgement.findings}
    assert found == {(FindingKind.TRACE, *MESSAGES, "key_remote_jid", 1)}


def _a_row_that_comes_back_inside_is_rolled_back(ground: Ground) -> None:
    """A row of the subject that is there after the erasure keeps it from being committed."""
    with meddling_inside(lambda store_set, _: store_set.insert([message_of("back")])):
        outcome = ground.rehearsed(FEW)
    assert outcome.whys == [STILL_FOUND]
    assert not outcome.run.all(Erased)
    assert outcome.judgement.verdict is Verdict.UNKNOWN
    assert SUBJECT.jid in repr(everything(ground.connect()))


def _a_plan_that_is_not_carried_out_is_rolled_back(ground: Ground) -> None:
    """Where the subject's plan is not carried out, nothing is committed."""
    with some_steps(lambda number: number != 1):
        outcome = ground.rehearsed(FEW)
    assert outcome.whys == [STILL_FOUND]
    assert not outcome.run.all(Erased)


@contextmanager
def some_steps(wanted: Callable[[int], bool]) -> Iterator[None]:
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
)
