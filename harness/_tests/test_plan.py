"""The plan on real servers: what is located is done, what is not clear is not committed."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from harness import plan
from harness.canary import draw
from harness.erasure import ATTEMPTS
from harness.errors import ConflictError, MaskError, PlanError
from harness.identity import Closure, Matcher, Representation, WaId
from harness.judge import Run, judge_run, runs_of
from harness.manifest import Manifest
from harness.masks import Masks
from harness.model import (
    CanaryFlown,
    EngineChoice,
    EngineKind,
    Erased,
    Failed,
    Moment,
    Part,
    Planted,
    Record,
    Reference,
    RolledBack,
    RowsDiffer,
    SeedRow,
    TableSchema,
    Treatment,
    Verdict,
)
from harness.plan import Party, carry_out, in_order, inspect, refuse_hazards
from harness.population.cases import CASES, Case, showcase
from harness.population.people import person
from harness.population.rows import rows_of
from harness.run import Rehearsal, _Operation, rehearse
from harness.stores import StoreSet, connect
from harness.stores.protocol import Consumer
from harness.stores.sweep import Search, sweep

KEY = b"k" * 32
SUBJECT = person(0)
CLOSURE = Closure(WaId(SUBJECT.number))
STORE = "messageStore"
on_mysql = pytest.mark.parametrize(
    "kind", [EngineKind.MYSQL], indirect=True, ids=str, scope="session"
)


@pytest.fixture
def seeded(store_set: StoreSet) -> StoreSet:
    """The showcase: the subject in every surface."""
    store_set.insert(rows_of(showcase(SUBJECT)))
    return store_set


@pytest.fixture
def second(seeded: StoreSet, described: Manifest) -> Iterator[StoreSet]:
    """Somebody else's connection to the same store set."""
    other = connect(seeded.config, [store.name for store in described.stores])
    yield other
    other.close()


def everything(store_set: StoreSet) -> dict[tuple[str, str], list[tuple[object, ...]]]:
    """Return all rows as the driver's own cursor reads them: another reader than the sweep."""
    quote = "`" if store_set.config.engine is EngineKind.MYSQL else '"'
    return {
        (table.store, table.label): sorted(
            (
                tuple(bytes(cell) if isinstance(cell, memoryview) else cell for cell in row)
                for row in store_set.query(table.store, f"SELECT * FROM {quote}{table.name}{quote}")
            ),
            key=repr,
        )
        for table in store_set.tables()
    }


def rehearsal(
    store_set: StoreSet, described: Manifest, choice: EngineChoice, case: Case
) -> Rehearsal:
    """Return a rehearsal of the plan on one store set."""
    return Rehearsal(
        run="testrun",
        case=case,
        engine=choice,
        sets={Part.JUDGED: store_set},
        manifest=described,
        routine="hardened",
        control=False,
        pseudonym="p",
    )


def parties(described: Manifest) -> tuple[Party, Party]:
    """Return the subject, and a canary of whom there is nothing."""
    canary = Closure(draw())
    masks = Masks(CLOSURE)
    return (
        Party(Search(described, CLOSURE, KEY, masks), masks),
        Party(Search(described, canary, KEY), Masks(canary)),
    )


def erase(store_set: StoreSet, described: Manifest) -> None:
    """Carry the plan out and commit."""
    with store_set.transaction():
        made = inspect(store_set, *parties(described)).plan
        refuse_hazards(store_set.hazards(), made)
        carry_out(store_set, made)
        store_set.commit()


# The number as text, and the two heads that message ids have for it.
NEEDLES = (
    SUBJECT.number,
    *(
        base64.b64encode(head + b"\x11\x86" + bytes.fromhex(f"{SUBJECT.number}f")).decode()
        for head in (b"\x80", b"\x00")
    ),
)


def test_an_independent_reader_finds_nothing_left(seeded: StoreSet, described: Manifest) -> None:
    """Read by the driver's own cursor and searched as text, the stores hold the number nowhere."""
    assert all(needle in repr(everything(seeded)) for needle in NEEDLES)
    erase(seeded, described)
    assert not any(needle in repr(everything(seeded)) for needle in NEEDLES)


def test_an_independent_reader_finds_everybody_else(seeded: StoreSet, described: Manifest) -> None:
    """Rows without the subject are the same, value for value, as the driver's own cursor reads them."""
    before = everything(seeded)
    erase(seeded, described)
    after = everything(seeded)
    for place, rows in before.items():
        others = [row for row in rows if not any(needle in repr(row) for needle in NEEDLES)]
        assert [row for row in others if row not in after[place]] == []
        assert len(after[place]) <= len(rows)


def test_a_mask_is_the_same_everywhere(seeded: StoreSet, described: Manifest) -> None:
    """A masked group JID still joins its messages, members and keys across stores."""
    erase(seeded, described)
    groups = {
        row[0]
        for store, sql in (
            (STORE, "SELECT gjid FROM group_participants_history"),
            (STORE, "SELECT gjid FROM sender_key_distribution_status"),
            ("axolotlStore", "SELECT group_id FROM sender_keys"),
            (STORE, "SELECT key_remote_jid FROM messages WHERE key_remote_jid LIKE '0%'"),
        )
        for row in seeded.query(store, sql)
        if row[0].startswith("0")
    }
    assert len(groups) == 2
    (mask,) = {group.split("-")[0] for group in groups}
    assert len(mask) == len(SUBJECT.number)


def test_the_own_identity_stays(seeded: StoreSet, described: Manifest) -> None:
    """The installation's own key, recipient -1, survives every erasure."""
    sql = "SELECT count(*) FROM identities WHERE recipient_id = -1"
    erase(seeded, described)
    assert seeded.query("axolotlStore", sql) == [(1,)]


def test_rows_without_a_key_are_told_apart(store_set: StoreSet, described: Manifest) -> None:
    """In a table without any key the subject's equal rows all go, a neighbour's equal rows all stay."""
    store_set.execute("waweb", "CREATE TABLE visits (who VARCHAR(80), note VARCHAR(80))")
    neighbour = SUBJECT.number + "7"
    try:
        rows = [(SUBJECT.number, "x"), (SUBJECT.number, "x"), (neighbour, "x"), (neighbour, "x")]
        rows += [(neighbour, f"for {SUBJECT.phone}"), (neighbour, f"for {SUBJECT.phone}")]
        store_set.insert([SeedRow("waweb", "visits", {"who": a, "note": b}) for a, b in rows])
        erase(store_set, described)
        left = store_set.query("waweb", "SELECT who, note FROM visits")
    finally:
        store_set.execute("waweb", "DROP TABLE visits")
    assert len(left) == 4
    assert {who for who, _ in left} == {neighbour}
    assert sum(note == "x" for _, note in left) == 2


@on_mysql
def test_a_column_that_updates_itself_is_kept(store_set: StoreSet, described: Manifest) -> None:
    """On MySQL masking a row does not move its ON UPDATE CURRENT_TIMESTAMP column."""
    store_set.execute(
        "waweb",
        "CREATE TABLE memos (id INT PRIMARY KEY, note TEXT, "
        "at TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP)",
    )
    try:
        store_set.execute(
            "waweb", f"INSERT INTO memos VALUES (1, 'call {SUBJECT.phone}', '2020-01-01 00:00:00')"
        )
        erase(store_set, described)
        ((note, moment),) = store_set.query("waweb", "SELECT note, CAST(at AS CHAR) FROM memos")
    finally:
        store_set.execute("waweb", "DROP TABLE memos")
    assert (note[:7], moment) == ("call +0", "2020-01-01 00:00:00")


def test_foreign_keys_are_respected(seeded: StoreSet, described: Manifest) -> None:
    """Rows that name the subject's rows go before the rows they name, whatever the tables' names."""
    seeded.execute(
        "waweb",
        "CREATE TABLE a_parent (id INT PRIMARY KEY, who VARCHAR(80))",
    )
    seeded.execute(
        "waweb",
        "CREATE TABLE z_child (id INT PRIMARY KEY, parent INT, who VARCHAR(80), "
        "FOREIGN KEY (parent) REFERENCES a_parent (id))",
    )
    try:
        for number, who in ((1, SUBJECT.number), (2, person(1).number)):
            seeded.insert([SeedRow("waweb", "a_parent", {"id": number, "who": who})])
            values: dict[str, int | float | str | bytes | None]
            values = {"id": number, "parent": number, "who": who}
            seeded.insert([SeedRow("waweb", "z_child", values)])
        with seeded.transaction():
            made = inspect(seeded, *parties(described)).plan
            carry_out(seeded, in_order(made, seeded.references()))
            seeded.commit()
        left = [seeded.query("waweb", f"SELECT id FROM {name}") for name in ("a_parent", "z_child")]
    finally:
        seeded.execute("waweb", "DROP TABLE z_child")
        seeded.execute("waweb", "DROP TABLE a_parent")
    assert left == [[(2,)], [(2,)]]


def test_foreign_keys_in_a_circle_are_refused() -> None:
    """Where no order respects the foreign keys the plan is refused."""
    tables = [plan.TablePlan(TableSchema("waweb", name, ())) for name in ("a", "b")]
    circle = [Reference("waweb", "a", "b"), Reference("waweb", "b", "a")]
    with pytest.raises(PlanError, match="in a circle"):
        in_order(plan.Plan(tables), circle)


HAZARDS: dict[EngineKind, dict[str, tuple[list[str], str, list[str]]]] = {
    EngineKind.MYSQL: {
        "no transactions": (
            ["ALTER TABLE receipts ENGINE=MyISAM"],
            "MyISAM",
            ["ALTER TABLE receipts ENGINE=InnoDB"],
        ),
        "trigger": (
            ["CREATE TRIGGER tr AFTER DELETE ON receipts FOR EACH ROW SET @x = 1"],
            "trigger",
            ["DROP TRIGGER tr"],
        ),
        "cascade": (
            [
                "CREATE TABLE child (id BIGINT, FOREIGN KEY (id) REFERENCES receipts (_id) ON DELETE CASCADE)"
            ],
            "foreign key",
            ["DROP TABLE child"],
        ),
    },
    EngineKind.POSTGRES: {
        "trigger": (
            [
                "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
                "CREATE TRIGGER tr AFTER DELETE ON receipts FOR EACH ROW EXECUTE PROCEDURE f()",
            ],
            "trigger",
            ["DROP TRIGGER tr ON receipts", "DROP FUNCTION f()"],
        ),
        "cascade": (
            ["CREATE TABLE child (id BIGINT REFERENCES receipts (_id) ON DELETE CASCADE)"],
            "foreign key",
            ["DROP TABLE child"],
        ),
        "rule": (
            ["CREATE RULE ru AS ON DELETE TO receipts DO INSTEAD NOTHING"],
            "rule",
            ["DROP RULE ru ON receipts"],
        ),
    },
}
CASE_OF_HAZARD = [(kind, name) for kind, hazards in HAZARDS.items() for name in hazards]


@pytest.mark.parametrize(
    ("kind", "name"), CASE_OF_HAZARD, indirect=["kind"], ids=str, scope="session"
)
def test_a_hazard_is_refused_before_anything_is_changed(
    seeded: StoreSet, described: Manifest, name: str
) -> None:
    """Tables without transactions, with triggers, rules or cascades are named and left alone."""
    make, says, undo = HAZARDS[seeded.config.engine][name]
    for statement in make:
        seeded.execute(STORE, statement)
    try:
        before = everything(seeded)
        with pytest.raises(PlanError, match=f"receipts.*{says}"):
            erase(seeded, described)
        assert everything(seeded) == before
    finally:
        for statement in undo:
            seeded.execute(STORE, statement)


def test_a_hazard_elsewhere_does_not_matter(seeded: StoreSet, described: Manifest) -> None:
    """A trigger on a table that the plan does not touch is no reason to refuse."""
    make, _, undo = HAZARDS[seeded.config.engine]["trigger"]
    for statement in make:
        seeded.execute(STORE, statement)
    try:
        assert seeded.hazards()
        seeded.execute(STORE, "DELETE FROM receipts")
        erase(seeded, described)
    finally:
        for statement in undo:
            seeded.execute(STORE, statement)


@pytest.mark.parametrize("method", ["delete", "replace"])
def test_counts_that_differ_are_rolled_back(
    seeded: StoreSet, described: Manifest, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When fewer rows are affected than were located, nothing is committed."""
    real: Callable[..., int] = getattr(seeded, method)

    def one_short(table: TableSchema, rows: list[object]) -> int:
        return real(table, rows[1:]) if table.name == "messages" else real(table, rows)

    monkeypatch.setattr(seeded, method, one_short)
    before = everything(seeded)
    with pytest.raises(PlanError, match=r"messageStore\.messages: .* rolled back"):
        erase(seeded, described)
    assert everything(seeded) == before


def test_a_row_changed_meanwhile_is_a_conflict(
    seeded: StoreSet, second: StoreSet, described: Manifest
) -> None:
    """A located row that somebody changes before it is locked ends the attempt; their change stays."""
    touched = f"UPDATE messages SET status = 9 WHERE key_remote_jid = '{SUBJECT.jid}'"
    with seeded.transaction():
        made = inspect(seeded, *parties(described)).plan
        second.execute(STORE, touched)
        with pytest.raises(ConflictError):
            carry_out(seeded, made)
    ((changed,),) = second.query(STORE, "SELECT count(*) FROM messages WHERE status = 9")
    assert changed == 4
    assert sweep(second, Search(described, CLOSURE, KEY)).traces


def test_what_is_not_clear_is_not_committed(
    seeded: StoreSet, described: Manifest, choice: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the sweep inside the transaction still finds the subject, every row is put back."""
    monkeypatch.setattr("harness.erasure.carry_out", lambda *_: None)
    records = act(seeded, described, choice, CASES[0])
    assert [type(r) for r in records if isinstance(r, Erased | RolledBack)] == [RolledBack]
    assert judge_run(one_run(records)).verdict is Verdict.UNKNOWN


def test_a_bystander_hurt_by_the_plan_is_not_committed(
    seeded: StoreSet, described: Manifest, choice: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the plan itself changes somebody else's row, the fingerprint inside says no."""

    def clumsy(store_set: StoreSet, made: plan.Plan) -> None:
        carry_out(store_set, made)
        store_set.execute(
            "waweb", f"UPDATE contacts SET name = 'x' WHERE wa_id = '{person(1).number}'"
        )

    monkeypatch.setattr("harness.erasure.carry_out", clumsy)
    records = act(seeded, described, choice, CASES[0])
    assert [r.why for r in records if isinstance(r, RolledBack)] == [
        "somebody else's row differed inside the transaction, so it was rolled back"
    ]
    assert seeded.query("waweb", "SELECT count(*) FROM contacts WHERE name = 'x'") == [(0,)]


def test_a_mask_that_changes_more_than_the_number_is_seen(
    seeded: StoreSet, described: Manifest, choice: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A masked row is accepted only if it is its old self with the number replaced."""
    real = Masks.mask
    monkeypatch.setattr(
        Masks, "mask", lambda self, *cell: real(self, *cell).replace(b"Call", b"call")
    )
    records = act(seeded, described, choice, CASES[0])
    assert [r for r in records if isinstance(r, RolledBack)]


def test_the_canary_flies_everywhere(
    seeded: StoreSet, described: Manifest, choice: EngineChoice
) -> None:
    """Each erasure plants the canary in every table that can hold a person, and leaves none of it."""
    records = act(seeded, described, choice, CASES[0])
    (flight,) = [record for record in records if isinstance(record, CanaryFlown)]
    holding = [
        t for t in described.tables.values() if any(c.kind.role != "none" for c in t.columns)
    ]
    assert flight.tables == len(holding)
    assert flight.planted_cells == flight.seen_cells >= 60
    assert flight.left_cells == 0
    assert "4411849" not in repr(everything(seeded))
    assert "canary" not in repr(everything(seeded))


@pytest.mark.parametrize("table", ["messages", "contacts", "sender_keys", "jobs"])
def test_a_surface_that_is_blind_is_given_away_by_the_canary(  # fixtures
    seeded: StoreSet,
    described: Manifest,
    choice: EngineChoice,
    table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When one table's rows are not seen, the canary is missing there and nothing is erased."""
    real = seeded.scan

    def blind(of: TableSchema, consume: Consumer, *, located: bool = False) -> int:
        return 0 if located and of.name == table else real(of, consume, located=located)

    monkeypatch.setattr(seeded, "scan", blind)
    records = act(seeded, described, choice, CASES[0])
    assert [r.why for r in records if isinstance(r, RolledBack)] == [
        "the canary was not seen exactly where it was planted"
    ]
    assert judge_run(one_run(records)).verdict is Verdict.UNKNOWN


def test_a_canary_that_survives_stops_the_commit(
    seeded: StoreSet, described: Manifest, choice: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the canary is not erased, neither is the subject: everything is rolled back."""
    calls = iter(range(10))

    def once(store_set: StoreSet, made: plan.Plan) -> None:
        if next(calls) == 0:
            carry_out(store_set, made)

    monkeypatch.setattr("harness.erasure.carry_out", once)
    before = everything(seeded)
    records = act(seeded, described, choice, CASES[0])
    assert [r.why for r in records if isinstance(r, RolledBack)] == [
        "the canary was still found after it was erased"
    ]
    assert {place: len(rows) for place, rows in everything(seeded).items()} == {
        place: len(rows) for place, rows in before.items()
    }


def test_a_matcher_that_is_broken_is_given_away_by_the_canary(
    seeded: StoreSet, described: Manifest, choice: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the matcher misses one form, the canary that bears it is missed and nothing is erased."""
    real = Matcher.hits
    monkeypatch.setattr(
        Matcher, "hits", lambda self, *cell: [] if b"g.us" in cell[0] else real(self, *cell)
    )
    records = act(seeded, described, choice, CASES[0])
    assert [r for r in records if isinstance(r, RolledBack)]
    assert not [r for r in records if isinstance(r, Erased)]


def act(store_set: StoreSet, described: Manifest, choice: EngineChoice, case: Case) -> list[Record]:
    """Rehearse a case with the plan and return what was recorded."""
    records: list[Record] = []
    rehearse(rehearsal(store_set, described, choice, case), records.append)
    return records


def one_run(records: list[Record]) -> Run:
    """Return the only run in the records."""
    (run,) = runs_of(tuple(records))
    return run


class Writer(threading.Thread):
    """A client that goes on working while a person is erased."""

    def __init__(self, store_set: StoreSet) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.statements = 0
        self.longest_s = 0.0
        self._store_set = store_set

    def run(self) -> None:
        """Add and change bystanders' rows, and add rows of the subject, until told to end."""
        serial = 10_000
        while not self.ended.is_set():
            serial += 1
            started_s = time.monotonic()
            self._store_set.insert([_message(serial, person(1).jid)])
            self._store_set.execute(
                STORE, f"UPDATE messages SET status = {serial} WHERE _id = {serial}"
            )
            if serial % 7 == 0:
                self._store_set.insert([_message(serial + 1_000_000, SUBJECT.jid)])
            self.longest_s = max(self.longest_s, time.monotonic() - started_s)
            self.statements += 1


def _message(serial: int, jid: str) -> SeedRow:
    values: dict[str, int | float | str | bytes | None] = {
        "_id": serial,
        "key_remote_jid": jid,
        "key_from_me": 0,
        "key_id": f"K{serial}",
        "status": 0,
    }
    return SeedRow(STORE, "messages", values)


def test_a_writer_does_not_fool_the_proof(
    seeded: StoreSet, second: StoreSet, described: Manifest, choice: EngineChoice
) -> None:
    """With a client writing, late rows of the subject are found, and no bystander is taken for changed."""
    before = everything(seeded)
    writer = Writer(second)
    records: list[Record] = []

    def note(record: Record) -> None:
        records.append(record)
        if isinstance(record, Planted):
            writer.start()

    try:
        case = replace(CASES[0], name="shared")
        shared = replace(rehearsal(seeded, described, choice, case), shared=True)
        rehearse(shared, note)
    finally:
        writer.ended.set()
        writer.join(10)
    assert writer.statements > 5
    judgement = judge_run(one_run(records))
    assert not [r for r in records if isinstance(r, Failed | RolledBack)]
    assert [r for r in records if isinstance(r, Erased)]
    assert {finding.kind for finding in judgement.findings} <= {"trace"}
    # What came after the last sweep is not the run's; one more round takes it.
    erase(seeded, described)
    assert sweep(seeded, Search(described, CLOSURE, KEY)).traces == []
    after = everything(seeded)
    others = [row for row in before[("waweb", "contacts")] if SUBJECT.number not in repr(row)]
    assert [row for row in others if row not in after[("waweb", "contacts")]] == []
    ((left,),) = seeded.query(
        STORE,
        f"SELECT count(*) FROM messages WHERE _id > 10000 AND key_remote_jid = '{person(1).jid}'",
    )
    assert left == writer.statements


def test_which_rows_differ_is_told_as_digests(
    seeded: StoreSet, described: Manifest, choice: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On request a changed row is told as the digest that is gone and the one that is new."""

    def clumsy(store_set: StoreSet, made: plan.Plan) -> None:
        carry_out(store_set, made)
        number = person(1).number
        store_set.execute("waweb", f"UPDATE contacts SET name = 'x' WHERE wa_id = '{number}'")

    monkeypatch.setattr("harness.erasure.carry_out", clumsy)
    records: list[Record] = []
    asked = replace(rehearsal(seeded, described, choice, CASES[0]), which_rows=True)
    rehearse(asked, records.append)
    told = [r for r in records if isinstance(r, RowsDiffer) and r.moment is Moment.INSIDE]
    assert [(r.store, r.table, len(r.gone), len(r.new)) for r in told] == [
        ("waweb", "contacts", 1, 1)
    ]
    assert all(len(digest) == 32 for r in told for digest in (*r.gone, *r.new))


def test_nothing_differs_after_a_good_erasure(
    seeded: StoreSet, described: Manifest, choice: EngineChoice
) -> None:
    """A good erasure leaves every other row, the masked ones turned back included."""
    records: list[Record] = []
    asked = replace(rehearsal(seeded, described, choice, CASES[0]), which_rows=True)
    rehearse(asked, records.append)
    assert not [r for r in records if isinstance(r, RowsDiffer)]
    assert [r for r in records if isinstance(r, Erased)]


@pytest.mark.parametrize("conflicts", [1, ATTEMPTS - 1, ATTEMPTS], ids=["once", "often", "always"])
def test_giving_way_to_others_is_bounded_and_counted(
    seeded: StoreSet,
    described: Manifest,
    choice: EngineChoice,
    conflicts: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An attempt that gives way is tried again, a stated number of times; then nothing is changed."""
    left = iter(range(conflicts))

    def contested(store_set: StoreSet, made: plan.Plan) -> None:
        carry_out(store_set, made)
        if next(left, None) is not None:
            raise ConflictError("Somebody else came first.")

    monkeypatch.setattr("harness.erasure.carry_out", contested)
    records = act(seeded, described, choice, CASES[0])
    erased = [r.attempts for r in records if isinstance(r, Erased)]
    failed = [r.error for r in records if isinstance(r, Failed)]
    if conflicts < ATTEMPTS:
        assert (erased, failed) == ([conflicts + 1], [])
        assert judge_run(one_run(records)).verdict is Verdict.CLEAR
    else:
        assert (erased, failed) == ([], ["ConflictError"])
        assert SUBJECT.number in repr(everything(seeded))
        assert judge_run(one_run(records)).verdict is Verdict.UNKNOWN


def mentions_in_json(store_set: StoreSet, payload: str) -> None:
    """Put a document that names the subject into somebody else's callback."""
    chat = person(1).jid
    store_set.insert(
        [SeedRow("callbackStore", "queue", {"key_remote_jid": chat, "payload": payload})]
    )


def test_what_cannot_be_masked_is_refused_by_name(
    seeded: StoreSet, described: Manifest, choice: EngineChoice
) -> None:
    """A mention that no mask fits ends the erasure, names the column, and changes nothing."""
    mentions_in_json(seeded, f'{{"a": {SUBJECT.number}e0}}')
    before = everything(seeded)
    records = _unseeded(seeded, described, choice)
    (failed,) = (r for r in records if isinstance(r, Failed))
    assert (failed.phase, failed.error) == ("erase", "MaskError")
    assert failed.sentence.startswith("callbackStore.queue.payload: ")
    assert SUBJECT.number not in failed.sentence
    assert not [r for r in records if isinstance(r, Erased)]
    assert everything(seeded) == before


def test_masks_that_do_not_fit_are_drawn_anew(
    seeded: StoreSet, described: Manifest, choice: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where other masks fit, they are drawn, and the erasure comes to its end."""
    real = Masks.mask
    drawn: set[int] = set()

    def mask(self: Masks, cell: bytes, kind: Representation) -> bytes:
        if b"441184960" not in cell:  # the canary's are not the subject's
            drawn.add(id(self))
            if len(drawn) < 3:
                raise MaskError("does not fit")
        return real(self, cell, kind)

    monkeypatch.setattr(Masks, "mask", mask)
    records = _unseeded(seeded, described, choice)
    assert [r for r in records if isinstance(r, Erased)]
    assert not [r for r in records if isinstance(r, Failed)]
    assert not any(needle in repr(everything(seeded)) for needle in NEEDLES)


def test_an_integer_column_is_masked_with_what_is_no_number(
    seeded: StoreSet, described: Manifest
) -> None:
    """Where a numeric column is to be masked, its rows stay, with an integer of 17 digits."""
    place = ("axolotlStore", "sessions")
    table = described.tables[place]
    columns = tuple(replace(c, treatment=Treatment.MASK) for c in table.columns)
    masked = Manifest(
        tuple(
            replace(
                store,
                tables=tuple(
                    replace(t, columns=columns) if t is table else t for t in store.tables
                ),
            )
            for store in described.stores
        )
    )
    sql = "SELECT recipient_id FROM sessions"
    before = {number for (number,) in seeded.query("axolotlStore", sql)}
    erase(seeded, masked)
    after = {number for (number,) in seeded.query("axolotlStore", sql)}
    (old,), (new,) = before - after, after - before
    assert str(old) == SUBJECT.number
    assert len(str(new)) == 17


def _unseeded(store_set: StoreSet, described: Manifest, choice: EngineChoice) -> list[Record]:
    """Erase the subject of the first case from stores as they are, and return the records."""
    records: list[Record] = []
    operation = _Operation(rehearsal(store_set, described, choice, CASES[0]), records.append, KEY)
    operation._seed = lambda: None  # type: ignore[method-assign]
    operation.finished()
    return records
