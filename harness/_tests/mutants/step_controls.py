"""Controls of single steps, without a server: one pass, one plan, the canary's rows, one check."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final, cast
from unittest import mock

import pytest

from harness import canary, erasure, manifest
from harness._tests.mutants.controls import Control, named
from harness.erasure import ProvenErasure, at_once, in_rounds, reason_not_to_commit
from harness.errors import ConflictError, MaskError, PlanError, StoreError, StoreUnreachableError
from harness.identity import Closure, Matcher, Representation, WaId, spelled
from harness.manifest import Column, Manifest
from harness.masks import Masks
from harness.model import (
    ColumnSchema,
    Hazard,
    Located,
    MediaReferences,
    Reference,
    Replacement,
    RowClass,
    SeedRow,
    TableSchema,
    TableState,
    Trace,
    Treatment,
    Unsearched,
)
from harness.plan import (
    Party,
    Plan,
    TablePlan,
    carry_out,
    in_order,
    inspect,
    refuse_hazards,
)
from harness.population.bulk import Bulk
from harness.population.people import person
from harness.run import planted
from harness.stores import StoreSet
from harness.stores.sweep import Search, Sighting, TablePass, differing, sweep

N: Final = person(0).number
OTHER: Final = person(1).number
CANARY: Final = canary.draw().number
KEY: Final = b"k" * 32
TYPES: Final = {"id": "bigint", "who": "varchar(80)", "note": "text", "small": "int"}
WHERE: Final = "waweb"
PEOPLE: Final = TableSchema(WHERE, "people", tuple(map(ColumnSchema, TYPES, TYPES.values())))
THINGS: Final = replace(PEOPLE, name="things")
NULL: Final = b"~"
OWN: Final = b"1|%b|x|~" % N.encode()
MENTION: Final = b"2|%b|call +%b now|~" % (OTHER.encode(), N.encode())
TWICE: Final = b"3|%b|call +%b or %b|~" % (OTHER.encode(), N.encode(), N.encode())
LONGER: Final = b"4|%b7|~|~" % N.encode()
BYSTANDER: Final = b"5|%b|hello|7" % OTHER.encode()
CANARYS: Final = b"6|%b|x|~" % CANARY.encode()
OF_THE_CANARY: Final = b"7|nobody|call %b|~" % CANARY.encode()
ROWS: Final = (OWN, MENTION, TWICE, LONGER, BYSTANDER)


def step_controls() -> list[Control]:
    """Return every control of a single step."""
    return [Control(f"step: {named(claim)}", claim) for claim in CLAIMS]


@dataclass(slots=True)
class FakeStores:
    """Rows in memory, cells parted by bars; a located row has its place before it."""

    rows: Mapping[str, Sequence[bytes]]
    refusals: dict[str, Exception] = field(default_factory=dict)
    batch: int = 2
    done: list[tuple[str, str, int]] = field(default_factory=list)
    short: str = ""

    def tables(self) -> tuple[TableSchema, ...]:
        """Return a table of the same columns for each name."""
        return tuple(replace(PEOPLE, name=name) for name in self.rows)

    def decoder(self, table: TableSchema) -> Callable[[bytes], tuple[bytes | None, ...]]:
        """Return what takes a row apart."""
        del table
        return lambda row: tuple(None if cell == NULL else cell for cell in row.split(b"|"))

    def scan(
        self, table: TableSchema, consume: Any, *, located: bool = False, part: str = ""
    ) -> int:
        """Hand rows over in batches; every other row in each of two parts."""
        if table.name in self.refusals:
            raise self.refusals[table.name]
        rows = list(self.rows[table.name])
        rows = rows[int(part) :: 2] if part else rows
        if located:
            rows = [b"%02d%b" % (place, row) for place, row in enumerate(rows)]
        for start in range(0, len(rows), self.batch):
            consume(rows[start : start + self.batch])
        return sum(map(len, rows))

    def split(self, row: bytes) -> tuple[bytes, bytes]:
        """Part a row from its place."""
        return row[:2], row[2:]

    def bare(self, rows: Sequence[bytes]) -> Sequence[bytes]:
        """Part rows from their places."""
        return [row[2:] for row in rows]

    def delete(self, table: TableSchema, rows: Sequence[Located]) -> int:
        """Note a deletion."""
        self.done.append(("delete", table.name, len(rows)))
        return len(rows) - (self.short == "delete")

    def replace(self, table: TableSchema, rows: Sequence[Replacement]) -> int:
        """Note a replacement."""
        self.done.append(("replace", table.name, len(rows)))
        return len(rows) - (self.short == "replace")

    def parts(self, table: TableSchema, most: int) -> tuple[str, ...]:
        """Cut every table in two where there may be two."""
        del table
        return ("0", "1") if most > 1 else ("",)

    @contextmanager
    def beside(self, store: str) -> Iterator[FakeStores]:
        """Return the same rows."""
        assert store == WHERE
        self.done.append(("beside", "", 0))
        yield self

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Note that reading is from one snapshot."""
        self.done.append(("snapshot", "", 0))
        yield


def as_stores(fake: FakeStores) -> StoreSet:
    return cast("StoreSet", fake)


@cache
def the_manifest() -> Manifest:
    return manifest.load()


def searching(**changes: Any) -> Search:
    usual: dict[str, Any] = {"manifest": the_manifest(), "closure": Closure(WaId(N)), "key": KEY}
    return Search(**usual | changes)


def passed(
    rows: Sequence[bytes], table: TableSchema = PEOPLE, batch: int = 2, **changes: Any
) -> TablePass:
    stores = as_stores(FakeStores({}))
    made = TablePass(stores, table, searching(**changes))
    for start in range(0, len(rows), batch):
        made.consume(rows[start : start + batch])
    return made


# --- one pass -------------------------------------------------------------------------------


def _rows_are_told_apart() -> None:
    """The subject's rows, the mentions and everybody else's are counted, cells by form."""
    for batch in (1, 2, 5):
        made = passed(ROWS, batch=batch)
        state = made.state()
        assert (state.store, state.table) == (WHERE, "people")
        assert (state.subject_rows, state.mention_rows, state.bystander_rows) == (1, 2, 2)
        assert made.traces() == [
            Trace(WHERE, "people", "who", 1, (("bare number", 1),)),
            Trace(WHERE, "people", "note", 2, (("bare number", 1), ("international number", 2))),
        ]
        assert state == passed(ROWS).state()
        assert made.masked_rows == 0


def _each_row_is_told() -> None:
    """Whose a row is follows from what its columns hold, and what is done with them."""
    made = passed(())
    kinds = [made.take(row) for row in ROWS]
    assert kinds == [
        RowClass.SUBJECT,
        RowClass.MENTION,
        RowClass.MENTION,
        RowClass.BYSTANDER,
        RowClass.BYSTANDER,
    ]
    both = OWN.replace(b"|x|", b"|call +%b|" % N.encode())
    assert passed(()).take(both) is RowClass.SUBJECT


def _a_column_that_is_masked_deletes_nothing() -> None:
    """A whole value in a column that is masked makes a mention, in one that deletes a row."""
    for treatment, kind in (
        (Treatment.DELETE, RowClass.SUBJECT),
        (Treatment.MASK, RowClass.MENTION),
        (Treatment.KEEP, RowClass.MENTION),
    ):
        store = the_manifest().stores[0]
        columns = tuple(
            Column(name, store.tables[0].columns[0].kind, False, treatment) for name in TYPES
        )
        people = replace(store.tables[0], store=WHERE, name="people", columns=columns)
        described = Manifest((replace(store, tables=(people,)),))
        assert passed((), manifest=described).take(OWN) is kind


def _digests_tell_rows_apart() -> None:
    """A row that is changed, gone, added or doubled, or in another table, is another digest."""
    digest = passed(ROWS).state().bystander_digest
    assert len(digest) == 32
    assert passed(tuple(reversed(ROWS))).state().bystander_digest == digest
    changed = BYSTANDER.replace(b"hello", b"hallo")
    for rows in (
        (*ROWS[:4], changed),
        ROWS[:4],
        (*ROWS, BYSTANDER),
        (*ROWS, BYSTANDER, BYSTANDER),
        (*ROWS[:3], LONGER, LONGER),
        (*ROWS[:3], BYSTANDER, BYSTANDER),
    ):
        assert passed(rows).state().bystander_digest != digest
    assert passed(ROWS, THINGS).state().bystander_digest != digest
    assert passed(ROWS, key=b"o" * 32).state().bystander_digest != digest


def _mentions_have_a_digest_of_their_own() -> None:
    """What differs in a mention differs in the mentions' digest, and in no other."""
    then = passed(ROWS).state()
    changed = (OWN, MENTION.replace(b"now", b"new"), *ROWS[2:])
    moved = (OWN, MENTION.replace(b"|~", b"~|"), *ROWS[2:])
    for rows in (changed, moved):
        now = passed(rows).state()
        assert now.mention_digest != then.mention_digest
        assert now.bystander_digest == then.bystander_digest
        assert now.mention_rows == then.mention_rows


def _a_masked_row_equals_its_old_self() -> None:
    """A mask is turned back before the digest is taken, and counted; more than it shows."""
    masks = Masks(Closure(WaId(N)))
    then = passed(ROWS, masks=masks).state()
    kept = [masks.mask(row, Representation.TEXT) for row in ROWS[1:3]]
    made = passed((*kept, *ROWS[3:]), masks=masks)
    now = made.state()
    assert now.mention_digest == then.mention_digest
    assert now.bystander_digest == then.bystander_digest
    assert (now.subject_rows, now.mention_rows, now.bystander_rows) == (0, 2, 2)
    assert made.masked_rows == 2
    assert made.traces() == []
    more = passed((kept[0].replace(b"now", b"new"), *kept[1:], *ROWS[3:]), masks=masks)
    assert more.state().mention_digest != then.mention_digest
    lost = passed((kept[0].replace(b"000", b"001"), *kept[1:], *ROWS[3:]), masks=masks)
    assert lost.state() != now


def _everybody_is_a_bystander_without_a_subject() -> None:
    """Without a closure every row is fingerprinted, and nothing is found."""
    made = passed(ROWS, closure=None)
    assert made.state().bystander_rows == len(ROWS)
    assert made.traces() == []


def _rows_are_kept_where_it_is_asked() -> None:
    """Where it is asked, a digest of each row is kept, of all but the subject's."""
    assert passed(ROWS).row_digests is None
    kept = passed((*ROWS, BYSTANDER), keep_rows=True).row_digests
    assert kept is not None
    assert sorted(kept.values()) == [1, 1, 1, 2]
    assert all(len(digest) == 16 for digest in kept)


def _differing_rows_are_told() -> None:
    """Rows that are gone and rows that are new are told by table, however often they stand there."""
    then, now = Sighting(), Sighting()
    one, two, three = b"\x01" * 16, b"\x02" * 16, b"\x03" * 16
    then.row_digests = {
        (WHERE, "a"): Counter({one: 2, two: 1}),
        (WHERE, "b"): Counter({one: 1}),
        (WHERE, "gone"): Counter({three: 1}),
    }
    now.row_digests = {
        (WHERE, "a"): Counter({one: 1, three: 1, two: 1}),
        (WHERE, "b"): Counter({one: 1}),
        (WHERE, "new"): Counter({two: 1}),
    }
    assert list(differing(then, now)) == [
        (WHERE, "a", [one.hex()], [three.hex()]),
        (WHERE, "gone", [three.hex()], []),
        (WHERE, "new", [], [two.hex()]),
    ]


def _parts_are_added_up() -> None:
    """A table read in parts gives what it gives when it is read at once."""
    masks = Masks(Closure(WaId(N)))
    rows = (*ROWS, masks.mask(MENTION, Representation.TEXT), BYSTANDER, OWN, TWICE)
    search = searching(masks=masks, keep_rows=True)
    stores = FakeStores({"people": rows, "things": ROWS})
    alone = sweep(as_stores(stores), search)
    together = sweep(as_stores(stores), search, 2)
    assert (together.tables, together.traces) == (alone.tables, alone.traces)
    assert together.row_digests == alone.row_digests
    assert together.row_digests.keys() == {(WHERE, "people"), (WHERE, "things")}
    assert together.size_bytes == alone.size_bytes == sum(map(len, (*rows, *ROWS)))
    # What is read at once is read through the connection at hand.
    assert stores.done == [("snapshot", "", 0)] * 2 + [("beside", "", 0)] * 4
    assert sweep(as_stores(stores), searching()).row_digests == {}
    whole, one, two = (passed(part, masks=masks) for part in (rows, rows[::2], rows[1::2]))
    one.merge(two)
    assert (one.state(), one.masked_rows) == (whole.state(), whole.masked_rows)
    assert one.masked_rows == 1


def _a_part_that_fails_stops_the_others() -> None:
    """When one part of a table cannot be read, the others read no further, and it is not searched."""
    read: list[int] = []
    begun, failed = threading.Event(), threading.Event()

    class Failing(FakeStores):
        def scan(
            self, table: TableSchema, consume: Any, *, located: bool = False, part: str = ""
        ) -> int:
            del located, table
            if part == "0":
                begun.wait(2)
                failed.set()
                raise StoreError("denied")
            for number in range(500):
                consume([BYSTANDER])
                read.append(number)
                begun.set()
                failed.wait(2)
                threading.Event().wait(0.004)
            return 0

    sighting = sweep(as_stores(Failing({"people": ()})), searching(), 2)
    assert [(one.table, one.why) for one in sighting.unsearched] == [("people", "denied")]
    assert sighting.tables == []
    assert len(read) < 400


def _a_table_that_is_refused_is_listed() -> None:
    """A table that cannot be read is listed, and the others are searched; a lost server ends all."""
    rows = {"a": ROWS, "b": ROWS, "c": ROWS}
    stores = FakeStores(rows, {"b": StoreError("denied")})
    sighting = sweep(as_stores(stores), searching())
    assert sighting.unsearched == [Unsearched(WHERE, "b", "denied")]
    assert [state.table for state in sighting.tables] == ["a", "c"]
    assert [trace.table for trace in sighting.traces] == ["a", "a", "c", "c"]
    for error in (StoreUnreachableError("gone"), ConflictError("gave way")):
        with pytest.raises(type(error)):
            sweep(as_stores(FakeStores(rows, {"b": error})), searching())


# --- one plan -------------------------------------------------------------------------------


def parties() -> tuple[Party, Party]:
    subject, other = Closure(WaId(N)), Closure(WaId(CANARY))
    masks, theirs = Masks(subject), Masks(other)
    return (
        Party(searching(masks=masks), masks),
        Party(searching(closure=other), theirs),
    )


def _what_is_located_is_planned() -> None:
    """The subject's rows are to go, mentions to be masked, and the canary's are planned apart."""
    subject, other = parties()
    masked = subject.masks.mask(MENTION, Representation.TEXT)
    theirs = other.masks.mask(OF_THE_CANARY, Representation.TEXT)
    rows = (*ROWS, CANARYS, OF_THE_CANARY, masked, theirs)
    for batch in (1, len(rows)):
        tables = {"people": rows, "things": (BYSTANDER,), "ours": (OWN,), "named": (MENTION,)}
        found = inspect(as_stores(FakeStores(tables, batch=batch)), subject, other)
        (mine, ours, named), (canarys,) = found.plan.tables, found.canary_plan.tables
        assert [located.row for located in mine.deletions] == [OWN]
        assert [located.locator for located in mine.deletions] == [b"00"]
        assert [one.located.row for one in mine.replacements] == [MENTION, TWICE]
        assert [one.cells for one in mine.replacements] == [
            ((2, subject.masks.mask(row.split(b"|")[2], Representation.TEXT)),)
            for row in (MENTION, TWICE)
        ]
        assert [located.row for located in canarys.deletions] == [CANARYS]
        assert [one.located.row for one in canarys.replacements] == [OF_THE_CANARY]
        assert (len(ours.deletions), ours.replacements) == (1, [])
        assert (named.deletions, len(named.replacements)) == ([], 1)
        assert found.masked_rows == 1
        (removed,) = [table for table in found.canary_masked if table.deletions]
        assert [located.row for located in removed.deletions] == [theirs]
        assert not removed.replacements
        assert {trace.column for trace in found.canary_traces} == {"who", "note"}
        assert {trace.column for trace in found.sighting.traces} == {"who", "note"}
        state = found.sighting.tables[0]
        # The canary's rows are nobody's who could be harmed.
        assert (state.subject_rows, state.mention_rows, state.bystander_rows) == (1, 3, 2)
        assert found.sighting.tables[1].bystander_rows == 1
        assert mine.change == found.plan.changes[0]
        assert (mine.change.deleted_rows, mine.change.masked_rows) == (1, 2)


def _only_cells_that_change_are_replaced() -> None:
    """A cell that seems to hold the subject and does not is left, and so is one that is empty."""
    subject, other = parties()
    row = b"2|%b7|call +%b|~" % (N.encode(), N.encode())
    found = inspect(as_stores(FakeStores({"people": (row,)})), subject, other)
    ((replacement,),) = (table.replacements for table in found.plan.tables)
    assert [index for index, _ in replacement.cells] == [2]
    empty = b"2||call +%b|~" % N.encode()
    found = inspect(as_stores(FakeStores({"people": (empty,)})), subject, other)
    ((replacement,),) = (table.replacements for table in found.plan.tables)
    assert [index for index, _ in replacement.cells] == [2]


def _with_masked_integers(number: str, row: bytes) -> tuple[Replacement, ...]:
    """Plan a row of a table whose every column is masked."""
    store = the_manifest().stores[0]
    columns = tuple(
        Column(n, store.tables[0].columns[0].kind, False, Treatment.MASK) for n in TYPES
    )
    people = replace(store.tables[0], store=WHERE, name="people", columns=columns)
    described = Manifest((replace(store, tables=(people,)),))
    closure = Closure(WaId(number))
    masks = Masks(closure)
    subject = Party(Search(described, closure, KEY, masks), masks)
    found = inspect(as_stores(FakeStores({"people": (row,)})), subject, parties()[1])
    return tuple(one for table in found.plan.tables for one in table.replacements)


def _an_integer_is_masked_where_it_fits() -> None:
    """A wide column gets a mask of 17 digits, a narrow one is refused by name, others are left."""
    seven = N[-7:]
    ((index, new),) = _with_masked_integers(seven, b"%b|x|y|~" % seven.encode())[0].cells
    assert (index, len(new)) == (0, 17)
    with pytest.raises(MaskError, match=r"waweb\.people\.small: the column is too narrow"):
        _with_masked_integers(seven, b"1|x|y|%b" % seven.encode())
    ((index, _),) = _with_masked_integers(seven, b"1|x|call %b|%b5" % ((seven.encode(),) * 2))[
        0
    ].cells
    assert index == 2


def _what_cannot_be_masked_is_named() -> None:
    """A cell that no mask fits is refused with the place where it stands."""
    subject, other = parties()
    row = b'1|x|{"a": %be0}|~' % N.encode()
    with pytest.raises(MaskError, match=r"^waweb\.people\.note: .*JSON"):
        inspect(as_stores(FakeStores({"people": (row,)})), subject, other)


def _planned(*names: str) -> Plan:
    row = Located(b"", b"")
    return Plan(
        [TablePlan(replace(PEOPLE, name=name), [row], [Replacement(row, ())]) for name in names]
    )


def _tables_that_name_others_go_first() -> None:
    """Children go before parents, also through others; a row of its own table is no circle."""
    references = [
        Reference(WHERE, "b", "a"),
        Reference(WHERE, "c", "b"),
        Reference(WHERE, "a", "a"),
        Reference(WHERE, "elsewhere", "c"),
        Reference(WHERE, "a", "elsewhere"),
        Reference("other", "a", "c"),
    ]
    ordered = in_order(_planned("a", "b", "c"), references)
    assert [table.table.name for table in ordered.tables] == ["c", "b", "a"]
    with pytest.raises(PlanError, match="circle"):
        in_order(_planned("a", "b"), [Reference(WHERE, "b", "a"), Reference(WHERE, "a", "b")])


def _hazards_are_refused_where_they_are_touched() -> None:
    """A hazard of a table of the plan is refused by name; one of another table is not."""
    hazards = [
        Hazard(WHERE, "a", "a trigger"),
        Hazard(WHERE, "z", "a rule"),
        Hazard("other", "b", "x"),
    ]
    refuse_hazards(hazards, _planned("b"))
    with pytest.raises(PlanError, match=r"safely: waweb\.a: a trigger\.$"):
        refuse_hazards(hazards, _planned("a", "b"))


def _counts_are_compared() -> None:
    """Each table's rows are deleted and replaced; a count that differs is an error by name."""
    stores = FakeStores({})
    carry_out(as_stores(stores), _planned("a", "b"))
    assert stores.done == [(do, name, 1) for name in ("a", "b") for do in ("delete", "replace")]
    for short in ("delete", "replace"):
        with pytest.raises(PlanError, match=r"waweb\.a: 1 rows .* everything is rolled back"):
            carry_out(as_stores(FakeStores({}, short=short)), _planned("a", "b"))


# --- one check ------------------------------------------------------------------------------

STATE: Final = TableState(WHERE, "people", 1, 2, 3, "aa", "bb")


def _what_keeps_from_committing() -> None:
    """Only the same rows of others, and none of the subject's, let an erasure be committed."""
    then = Sighting(tables=[STATE])
    gone = Sighting(tables=[replace(STATE, subject_rows=0)])
    assert reason_not_to_commit(then, gone) == ""
    for changes in (
        {"store": "other"},
        {"table": "other"},
        {"mention_rows": 1},
        {"bystander_rows": 4},
        {"mention_digest": "cc"},
        {"bystander_digest": "cc"},
    ):
        now = Sighting(tables=[replace(STATE, **changes)])
        assert "somebody else's row" in reason_not_to_commit(then, now)
    assert "somebody else's row" in reason_not_to_commit(then, Sighting())
    still = replace(gone, traces=[Trace(WHERE, "people", "who", 1)])
    assert "still found" in reason_not_to_commit(then, still)
    gap = [Unsearched(WHERE, "people", "denied")]
    assert "not be searched" in reason_not_to_commit(replace(then, unsearched=gap), gone)
    assert "not be searched" in reason_not_to_commit(then, replace(gone, unsearched=gap))


def _what_an_attempt_says_is_said() -> None:
    """Whether an attempt committed is what is returned, also of the last one."""
    subject = parties()[0]
    nobody = ProvenErasure(
        "r", as_stores(FakeStores({})), the_manifest(), KEY, lambda _: None, lambda *_: None
    )
    with mock.patch("time.sleep") as sleep:
        for conflicts in (0, 1, erasure.ATTEMPTS - 1):
            for answer in (True, False):
                outcomes = [*[ConflictError("gave way")] * conflicts, answer]
                with mock.patch.object(ProvenErasure, "_attempt", side_effect=outcomes) as attempt:
                    assert nobody.committed(1, subject) is answer
                assert [one.args[1] for one in attempt.call_args_list] == [*range(1, conflicts + 2)]
        with (
            mock.patch.object(ProvenErasure, "_attempt", side_effect=ConflictError("gave way")),
            pytest.raises(ConflictError),
        ):
            nobody.committed(1, subject)
    # Two answers each after no conflict, after one and after all but one, and a last refusal.
    assert sleep.call_count == 2 * (1 + (erasure.ATTEMPTS - 1)) + erasure.ATTEMPTS - 1


def _rounds_end() -> None:
    """Rounds go on while rows come too late, three times at most, and end where one is not clear."""
    subject, other = parties()
    left = [Trace(WHERE, "people", "who", 1)]
    for first in (1, 4):
        for answers, traces, rounds in (
            ([True], [[]], 1),
            ([False], [left], 1),
            ([True, True], [left, []], 2),
            ([True, False], [left, left], 2),
            ([True] * 3, [left] * 3, 3),
        ):
            seen = iter(traces)
            erasing = mock.Mock(**{"committed.side_effect": answers})
            draw = mock.Mock(side_effect=[subject, other])
            observe = mock.Mock(side_effect=lambda _, seen=seen: mock.Mock(traces=next(seen)))
            assert in_rounds(erasing, draw, observe, first) is answers[-1]
            asked = [mock.call(number, subject) for number in range(first, first + rounds)]
            assert erasing.committed.call_args_list == asked
            assert observe.call_args_list == [mock.call(subject)] * rounds


def _masks_are_drawn_until_they_fit() -> None:
    """Masks that do not fit are drawn anew a bounded number of times, and only they."""
    subject, other = parties()
    erasing = mock.Mock(**{"committed.side_effect": [MaskError("too short"), True]})
    draw = mock.Mock(side_effect=[subject, other])
    observe = mock.Mock(return_value=mock.Mock(traces=[]))
    assert in_rounds(erasing, draw, observe)
    assert observe.call_args_list == [mock.call(other)]
    for error, draws in ((MaskError("too short"), erasure.MASK_DRAWS), (PlanError("no"), 1)):
        erasing = mock.Mock(**{"committed.side_effect": error})
        draw = mock.Mock(return_value=subject)
        with pytest.raises(type(error)):
            in_rounds(erasing, draw, observe)
        assert draw.call_count == draws


def _at_once_commits() -> None:
    """Where nobody settles what is clear, it is committed, once."""
    commit = mock.Mock()
    at_once(commit, (), MediaReferences())
    assert commit.call_args_list == [mock.call()]


# --- the canary's rows, and what the population planted ---------------------------------------


def _schemas() -> tuple[TableSchema, ...]:
    return tuple(
        TableSchema(t.store, t.name, tuple(ColumnSchema(c.name, c.kind.name) for c in t.columns))
        for t in the_manifest().tables.values()
    )


def _kind(column: Column) -> Representation:
    if column.kind.role == "number":
        return Representation.INTEGER
    known = {"json": Representation.JSON, "blob": Representation.BLOB}
    return known.get(column.kind.name, Representation.TEXT)


def _cell(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _canarys_rows(**changes: Any) -> tuple[SeedRow, ...]:
    usual: dict[str, Any] = {
        "manifest": the_manifest(),
        "tables": _schemas(),
        "wa_id": WaId(CANARY),
        "leave_out": (),
    }
    return canary.rows(**usual | changes)


def _the_canary_is_in_each_column() -> None:
    """Each column that can hold a person holds the canary, in the forms that are said."""
    matcher = Matcher([spelled(CANARY)])
    rows = _canarys_rows()
    found: dict[tuple[str, str, str], Counter[str]] = {}
    for row in rows:
        table = the_manifest().tables[row.store, row.table]
        for name, value in row.values.items():
            forms = matcher.forms(_cell(value), _kind(table.column(name)))
            assert bool(forms) == (name in row.planted)
            assert forms == Counter(form for column, form in row.forms if column == name)
            if forms:
                found.setdefault((row.store, row.table, name), Counter()).update(forms)
    bearing = {
        (t.store, t.name, c.name)
        for t in the_manifest().tables.values()
        for c in t.columns
        if c.kind.role != "none"
    }
    assert found.keys() == bearing
    cells = Counter((row.store, row.table, name) for row in rows for name in row.planted)
    assert list(canary.planted(rows)) == [
        Trace(*place, cells[place], tuple(sorted(found[place].items()))) for place in sorted(found)
    ]
    assert {form for forms in found.values() for form in forms} >= {
        *("user JID", "group JID", "integer", "JSON number", "punctuated number"),
        *("packed decimal", "packed decimal in base64", "JSON-escaped digits", "bare number"),
        *("64-bit integer, big-endian", "bare number in UTF-16"),
    }


DELETING: Final = {"number": "integer", "phone": "bare number", "jid": "user JID"}
MASKED: Final = {
    "phone": ("punctuated number",),
    "jid": ("group JID",),
    "message_id": ("packed decimal in base64",),
    "text": ("punctuated number", "user JID"),
    "json": ("JSON number", "packed decimal in base64", "JSON-escaped digits"),
    "blob": ("64-bit integer, big-endian", "bare number in UTF-16", "packed decimal"),
}
NEEDED: Final = {
    "serial": -1_019,
    "int": -1_019,
    "bigint": -1_019,
    "time_ms": -1_019,
    "label": "canary",
}


def _table(deleting: Sequence[str], masked: Sequence[str]) -> tuple[SeedRow, ...]:
    """Return the canary's rows in a table with a column of each of these kinds, and of others."""
    template = the_manifest().tables["messageStore", "messages"]
    kinds = {c.kind.name: c.kind for t in the_manifest().tables.values() for c in t.columns}
    columns = [
        *(Column(f"own_{kind}", kinds[kind], True, Treatment.DELETE) for kind in deleting),
        *(Column(kind, kinds[kind], False, Treatment.MASK) for kind in masked),
        *(
            Column(f"needed_{kind}", kinds[kind], kind != "label", Treatment.MASK)
            for kind in NEEDED
        ),
        Column("free", kinds["int"], False, Treatment.MASK),
    ]
    key = ("needed_serial", "needed_label")
    table = replace(template, store=WHERE, name="made", columns=tuple(columns), key=key)
    described = Manifest((replace(the_manifest().stores[0], tables=(table,)),))
    schema = TableSchema(WHERE, "made", tuple(ColumnSchema(c.name, c.kind.name) for c in columns))
    return _canarys_rows(manifest=described, tables=(schema,))


def _the_canary_has_rows_of_its_own_and_mentions() -> None:
    """Where a value makes a row the subject's it is the canary's whole, else the row names it."""
    own, mention = _table((*DELETING, "blob"), list(MASKED))
    assert dict(one for one in own.forms if one[0][4:] in DELETING) == {
        f"own_{kind}": form for kind, form in DELETING.items()
    }
    # In its own row a text still names the canary among other words.
    assert [form for column, form in own.forms if column == "text"] == list(MASKED["text"])
    assert own.planted == {*(f"own_{kind}" for kind in (*DELETING, "blob")), *MASKED}
    assert mention.planted == {*MASKED}
    for column, expected in MASKED.items():
        assert tuple(form for name, form in mention.forms if name == column) == expected
    needed = {f"needed_{kind}": value for kind, value in NEEDED.items()}
    theirs = {name: value for name, value in mention.values.items() if name not in MASKED}
    assert theirs == needed | {
        "own_number": -1_019,
        "own_phone": "canary@broadcast",
        "own_jid": "canary@broadcast",
        "own_blob": b"",
    }
    assert own.values["needed_serial"] == -1_018
    assert "free" not in own.values.keys() | mention.values.keys()
    assert [row.planted for row in _table(["jid"], [])] == [{"own_jid"}]
    assert [row.planted for row in _table([], ["jid"])] == [{"jid"}]
    assert _table([], []) == ()


def _a_number_that_is_masked_is_whole() -> None:
    """Where an operator wants a number masked, its mention is the canary's number and no text."""
    _, mention = _table(["jid"], ["number"])
    assert mention.values["number"] == int(CANARY)
    assert mention.forms == (("number", "integer"),)


def _a_serial_number_that_is_no_key() -> None:
    """A counter is not moved, whether or not its column is a key or must have a value."""
    template = the_manifest().tables["messageStore", "messages"]
    kinds = {c.kind.name: c.kind for c in template.columns}
    columns = (
        Column("count", kinds["serial"], False, Treatment.MASK),
        Column("jid", kinds["jid"], False, Treatment.MASK),
    )
    table = replace(template, store=WHERE, name="made", columns=columns, key=())
    described = Manifest((replace(the_manifest().stores[0], tables=(table,)),))
    schema = TableSchema(WHERE, "made", tuple(ColumnSchema(c.name, "text") for c in columns))
    (row,) = _canarys_rows(manifest=described, tables=(schema,))
    assert row.values["count"] == -1_019


def _the_canary_keeps_away() -> None:
    """Tables that are left out, not described or not there have no canary, nor have lost columns."""
    away = ("messageStore", "receipts")
    assert away not in {(row.store, row.table) for row in _canarys_rows(leave_out=[away])}
    assert {(row.store, row.table) for row in _canarys_rows(leave_out=[away])} | {away} == {
        (row.store, row.table) for row in _canarys_rows()
    }
    stranger = TableSchema(WHERE, "visits", (ColumnSchema("who", "text"),))
    assert _canarys_rows(tables=(stranger,)) == ()
    lacking = tuple(
        replace(t, columns=tuple(c for c in t.columns if c.name != "remote_resource"))
        for t in _schemas()
    )
    assert not any("remote_resource" in row.values for row in _canarys_rows(tables=lacking))
    assert 0 <= int(canary.draw().number[-3:]) < 1_000
    assert canary.draw().number[:-3] == CANARY[:-3]


def _what_was_planted_is_counted() -> None:
    """Cells that name the subject are counted by column and form, rows that do not by all."""
    rows = [
        SeedRow("s", "t", {"a": 1}, frozenset({"a", "b"}), (("a", "x"), ("a", "x"), ("a", "y"))),
        SeedRow("s", "t", {"a": 1}, frozenset({"a"})),
        SeedRow("s", "t", {"a": 1}),
    ]
    bulk = Bulk("s", "t", ("a",), lambda: iter(()), 10, {"a": 5, "c": 7})
    found = planted("r", rows, [bulk])
    assert found.traces == (
        Trace("s", "t", "a", 7, (("x", 2), ("y", 1))),
        Trace("s", "t", "b", 1),
        Trace("s", "t", "c", 7),
    )
    assert found.bystander_rows == 11
    assert planted("r", rows).bystander_rows == 1


CLAIMS: Final = (
    _rows_are_told_apart,
    _each_row_is_told,
    _a_column_that_is_masked_deletes_nothing,
    _digests_tell_rows_apart,
    _mentions_have_a_digest_of_their_own,
    _a_masked_row_equals_its_old_self,
    _everybody_is_a_bystander_without_a_subject,
    _rows_are_kept_where_it_is_asked,
    _differing_rows_are_told,
    _parts_are_added_up,
    _a_part_that_fails_stops_the_others,
    _a_table_that_is_refused_is_listed,
    _what_is_located_is_planned,
    _only_cells_that_change_are_replaced,
    _an_integer_is_masked_where_it_fits,
    _what_cannot_be_masked_is_named,
    _tables_that_name_others_go_first,
    _hazards_are_refused_where_they_are_touched,
    _counts_are_compared,
    _what_keeps_from_committing,
    _what_an_attempt_says_is_said,
    _rounds_end,
    _masks_are_drawn_until_they_fit,
    _at_once_commits,
    _the_canary_is_in_each_column,
    _the_canary_has_rows_of_its_own_and_mentions,
    _a_number_that_is_masked_is_whole,
    _a_serial_number_that_is_no_key,
    _the_canary_keeps_away,
    _what_was_planted_is_counted,
)
