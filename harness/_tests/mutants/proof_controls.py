"""Controls of the proof before a commit, in memory: of the plan's erasure, and of a routine's call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final, cast
from unittest import mock

import pytest

from harness import proven_call
from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.memory_stores import MemoryStores, described
from harness._tests.mutants.step_controls import (
    BYSTANDER,
    KEY,
    LONGER,
    MENTION,
    OWN,
    ROWS,
    TWICE,
    WHERE,
    N,
    as_stores,
)
from harness.erasure import ProvenErasure
from harness.errors import ConflictError, PlanError, RoutineError, StoreError, StoreUnreachableError
from harness.identity import Closure, Representation, WaId
from harness.masks import Masks
from harness.model import (
    Answer,
    Called,
    CanaryFlown,
    EngineKind,
    Erased,
    Hazard,
    LeftBehind,
    Moment,
    Record,
    Reference,
    RolledBack,
    RoutineFailed,
    Step,
    TableChange,
)
from harness.plan import Party
from harness.proven_call import ProvenCall
from harness.stores.sweep import Search, Sighting

RUN: Final = "r"
CANARYS: Final = b"44118496"
OWN_KEY: Final = b"-1018|"
MENTION_KEY: Final = b"-1019|"
CHANGES: Final = (TableChange(WHERE, "people", 1, 2), TableChange(WHERE, "things", 1, 0))
STILL_FOUND: Final = "the subject was still found inside the transaction, so it was rolled back"
NOT_SEEN: Final = "the canary was not seen exactly where it was planted"
NOT_GONE: Final = "the canary was still found after it was erased"
OTHERS_CHANGED: Final = "the routine changed rows of the canary's, for whom it was not called"


def proof_controls() -> Iterator[Control]:
    """Yield the controls of proofs."""
    for claim in CLAIMS:
        yield Control(f"proof: {named(claim)}", claim)


def subject() -> Party:
    """Return the subject."""
    closure = Closure(WaId(N))
    masks = Masks(closure)
    return Party(Search(described(), closure, KEY, masks), masks)


@dataclass(slots=True)
class Proof:
    """An erasure in memory: what it recorded, what its passes saw, how it left the rows."""

    stores: MemoryStores
    records: list[Record] = field(default_factory=list)
    sights: list[tuple[Moment, Sighting]] = field(default_factory=list)
    settled: list[Sequence[TableChange]] = field(default_factory=list)

    def saw(self, moment: Moment, sighting: Sighting, started_s: float) -> None:
        """Note what a pass saw."""
        assert started_s > 0
        self.sights.append((moment, sighting))

    def settle(self, commit: Callable[[], None], changes: Sequence[TableChange]) -> None:
        """Commit, and note what."""
        self.settled.append(changes)
        commit()

    def erased(self, number: int = 1, who: Party | None = None) -> bool:
        """Erase the subject by the plan."""
        erasure = ProvenErasure(
            *(RUN, as_stores(self.stores), described(), KEY),
            self.records.append,
            self.saw,
            self.settle,
        )
        return erasure.committed(number, who or subject())

    def only(self, kind: type[Any]) -> Any:
        """Return the only record of a kind."""
        (found,) = (record for record in self.records if type(record) is kind)
        return found

    def is_as_before(self) -> bool:
        """Tell whether every row is as it was, after a transaction that was rolled back."""
        done = {name for name, _, _ in self.stores.done}
        return self.stores.now == _rows() and "rollback" in done and "commit" not in done

    def refused(self, why: str) -> bool:
        """Tell whether it was rolled back for this reason and left nothing."""
        back = self.only(RolledBack)
        return (
            (back.run, back.round) == (RUN, 1)
            and back.why.startswith(why)
            and not any(isinstance(one, Erased) for one in self.records)
            and self.is_as_before()
        )


def _rows() -> dict[str, list[bytes]]:
    return {"people": list(ROWS), "things": [OWN, BYSTANDER]}


def _proof(**changes: Any) -> Proof:
    return Proof(MemoryStores(_rows(), **changes))


def _order(proof: Proof) -> list[str]:
    return [
        f"{did} {table}" if table else did
        for did, table, rows in proof.stores.done
        if rows or not table
    ]


# --- by the plan ----------------------------------------------------------------------------


def _what_is_clear_is_committed() -> None:
    """The subject's rows are gone, mentions masked, all others as before, and nothing of a canary."""
    proof = _proof()
    assert proof.erased() is True
    people, things = proof.stores.now["people"], proof.stores.now["things"]
    assert things == [BYSTANDER]
    assert [row.replace(_mask(row), N.encode()) for row in people] == [
        MENTION,
        TWICE,
        LONGER,
        BYSTANDER,
    ]
    assert N.encode() not in people[0]
    flown, erased = proof.only(CanaryFlown), proof.only(Erased)
    assert (flown.run, flown.tables) == (RUN, 2)
    assert flown.planted_cells == flown.seen_cells == 6
    assert flown.left_cells == 0
    assert (erased.round, erased.attempts, erased.tables) == (1, 1, CHANGES)
    assert list(proof.settled) == [CHANGES]
    assert [moment for moment, _ in proof.sights] == [Moment.BEFORE, Moment.INSIDE]
    assert [state.subject_rows for state in proof.sights[0][1].tables] == [1, 1]
    assert [state.subject_rows for state in proof.sights[1][1].tables] == [0, 0]
    assert [one for one in _order(proof) if " " not in one] == ["begin", "commit"]


def _mask(row: bytes) -> bytes:
    """Return the mask that stands in a row's note, or something that is nowhere."""
    note = row.split(b"|")[2]
    return next((word for word in note.replace(b"+", b"").split() if word[:1] == b"0"), b"\0")


def _what_the_subject_leaves_is_rolled_back() -> None:
    """A row that was said to be deleted or masked, and was not, keeps from committing."""
    for spared in (b"1|%b" % N.encode(), b"2|"):
        proof = _proof(spared=(spared,))
        assert proof.erased() is False
        assert proof.refused(STILL_FOUND)
        assert proof.only(CanaryFlown).left_cells == 0


def _somebody_elses_row_is_rolled_back() -> None:
    """A bystander's row that came meanwhile, inside, keeps from committing."""
    proof = _proof()
    rows = proof.stores.now
    saw = proof.sights

    def add(moment: Moment, sighting: Sighting, started_s: float) -> None:
        del started_s
        saw.append((moment, sighting))
        if moment is Moment.BEFORE:
            rows["people"].append(b"77|new|row|~")

    with mock.patch.object(Proof, "saw", lambda _, *args: add(*args)):
        assert proof.erased() is False
    assert proof.refused("somebody else's row differed")


def _a_canary_that_is_not_seen_is_rolled_back() -> None:
    """A canary of whom a row is missing shows that the search is blind, and is told of."""
    for lost in (OWN_KEY, MENTION_KEY, CANARYS):
        proof = _proof(lost=(lost,))
        assert proof.erased() is False
        assert proof.refused(NOT_SEEN)
        flown = proof.only(CanaryFlown)
        assert flown.planted_cells == 6
        assert (flown.seen_cells < 6, flown.left_cells) == (True, 0)
        assert len(proof.sights) == 1


def _a_canary_that_is_not_erased_is_rolled_back() -> None:
    """A canary that is there after its erasure shows that deleting or masking does nothing."""
    for spared in (OWN_KEY, MENTION_KEY):
        proof = _proof(spared=(spared,))
        assert proof.erased() is False
        assert proof.refused(NOT_GONE)
        assert proof.only(CanaryFlown).left_cells > 0


def _a_mask_that_was_there_is_rolled_back() -> None:
    """In the first round no mask may stand in the stores; in a later one they do."""
    who = subject()
    masked = who.masks.mask(MENTION, Representation.TEXT)
    for number, committed in ((1, False), (2, True)):
        proof = _proof()
        proof.stores.now["people"].append(masked)
        assert proof.erased(number, who) is committed
        whys = [one.why for one in proof.records if isinstance(one, RolledBack)]
        assert [why[:6] for why in whys] == ([] if committed else ["a mask"])
        assert masked in proof.stores.now["people"]


def _hazards_are_refused() -> None:
    """A table with a hazard is left alone: by the canary, and by refusing a plan that needs it."""
    hazard = Hazard(WHERE, "things", "a trigger")
    proof = _proof(hazarded=(hazard,))
    with pytest.raises(PlanError, match="a trigger"):
        proof.erased()
    assert proof.is_as_before()
    proof = _proof(hazarded=(hazard,))
    proof.stores.now["things"].remove(OWN)
    assert proof.erased()
    assert proof.only(CanaryFlown).tables == 1


def _tables_go_in_order() -> None:
    """The subject's rows, the canary's and its masked ones all go children first."""
    for child, parent in (("people", "things"), ("things", "people")):
        proof = _proof(referring=(Reference(WHERE, child, parent),))
        assert proof.erased()
        deleted = [one.split()[1] for one in _order(proof) if one.startswith("delete")]
        assert deleted == [child, parent] * 3


def _a_conflict_is_tried_again() -> None:
    """An attempt that gave way is rolled back and tried again, and the record counts it."""
    proof = _proof()
    proof.stores.on_insert = mock.Mock(side_effect=[ConflictError("gave way"), None])
    with mock.patch("time.sleep"):
        assert proof.erased()
    assert proof.only(Erased).attempts == 2
    assert [one for one in _order(proof) if " " not in one] == [
        "begin",
        "rollback",
        "begin",
        "commit",
    ]


# --- by a routine ---------------------------------------------------------------------------


@dataclass(slots=True)
class Around:
    """What stands around a routine, played: it is the session, and `done` says what was asked."""

    stores: MemoryStores
    refusals: dict[str, list[Exception]] = field(default_factory=dict)
    left_behind: tuple[tuple[str, int], ...] = ()
    unseen: list[int] = field(default_factory=list)

    @property
    def session(self) -> Any:
        """The session in which the routine works."""
        return self.stores

    def _do(self, what: str) -> None:
        self.stores.done.append((what, "", 0))
        if self.refusals.get(what):
            raise self.refusals[what].pop(0)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Run the block."""
        self._do("open")
        yield
        self._do("close")

    def begin(self) -> None:
        """Install."""
        self._do("install")

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Run the block."""
        self._do("guard")
        yield

    def refuse_unseen(self, gone_rows: int) -> None:
        """Note how many rows were seen to go."""
        self.unseen.append(gone_rows)
        self._do("count")

    def end(self) -> None:
        """Take away."""
        self._do("take away")


Body = Callable[[dict[str, list[bytes]]], object]


def _erases(rows: dict[str, list[bytes]]) -> None:
    """Do what a good routine does: delete the subject's rows, and mask the mentions."""
    whole = b"|%b|" % N.encode()
    for name, those in rows.items():
        kept = [row for row in those if whole not in row]
        rows[name] = [_zeroed(row) if row in ROWS[1:3] else row for row in kept]


def _zeroed(row: bytes) -> bytes:
    return row.replace(N.encode(), b"0" * len(N))


def _and(*bodies: Body) -> Body:
    def both(rows: dict[str, list[bytes]]) -> None:
        for body in bodies:
            body(rows)

    return both


def _removes(part: bytes) -> Body:
    def remove(rows: dict[str, list[bytes]]) -> None:
        for name, those in rows.items():
            rows[name] = [row for row in those if part not in row]

    return remove


def _adds(rows: dict[str, list[bytes]]) -> None:
    rows["people"].append(b"77|new|row|~")


def _called(
    proof: Proof,
    body: Body,
    around: Around | None = None,
    who: Party | None = None,
    **changes: Any,
) -> bool:
    """Erase the subject by a routine that does this."""
    around = around or Around(proof.stores)

    def call(number: int) -> Answer:
        assert number == int(N)
        proof.stores.done.append(("call", "", 0))
        body(proof.stores.now)
        return Answer(7)

    routine = SimpleNamespace(call=call)
    asked = mock.Mock(return_value=around)
    proven = ProvenCall(
        *(RUN, as_stores(proof.stores), described(), KEY, proof.records.append, proof.saw),
        routine=cast("Any", routine),
        settle=proof.settle,
        **changes,
    )
    with mock.patch.object(proven_call, "enclosure", asked):
        try:
            return proven.committed(1, who or subject())
        finally:
            assert asked.call_args_list == [mock.call(routine, proof.stores, RUN)]


def _a_call_that_is_clear_is_committed() -> None:
    """A routine is installed, called in its guard, counted, taken away, and then committed."""
    proof = _proof()
    around = Around(proof.stores)
    assert _called(proof, _erases, around) is True
    assert proof.stores.now == {
        "people": [_zeroed(MENTION), _zeroed(TWICE), LONGER, BYSTANDER],
        "things": [BYSTANDER],
    }
    assert [one for one in _order(proof) if one.split()[0] not in {"delete", "replace"}] == [
        *("open", "begin", "install", "guard", "call", "count", "take away", "commit", "close")
    ]
    assert around.unseen == [2]
    called, flown, erased = (proof.only(kind) for kind in (Called, CanaryFlown, Erased))
    assert (called.run, called.form, called.affected_rows) == (RUN, "number", 7)
    assert (flown.planted_cells, flown.seen_cells, flown.left_cells) == (6, 6, 0)
    assert (erased.round, erased.attempts, erased.tables) == (1, 1, CHANGES)
    assert proof.settled == [CHANGES]
    assert [moment for moment, _ in proof.sights] == [Moment.BEFORE, Moment.INSIDE]
    assert [one.mention_rows for one in proof.sights[1][1].tables] == [2, 0]


def _a_routine_that_may_not_mask() -> None:
    """Where a routine only deletes, what it put in a mention's place is a harm."""
    proof = _proof()
    assert _called(proof, _erases, masks=False) is False
    assert proof.refused("somebody else's row differed")
    proof = _proof()
    assert _called(proof, _removes(b"nothing")) is False
    assert proof.refused(STILL_FOUND)


def _a_routine_that_harms_is_rolled_back() -> None:
    """A bystander's row that a routine deleted or added keeps from committing."""
    for harm in (_removes(b"hello"), _adds):
        proof = _proof()
        assert _called(proof, _and(_erases, harm)) is False
        assert proof.refused("somebody else's row differed")


def _a_routine_that_touches_the_canary_is_rolled_back() -> None:
    """A routine that was called for the subject must leave the canary to us."""
    for part in (OWN_KEY, MENTION_KEY):
        proof = _proof()
        assert _called(proof, _and(_erases, _removes(part))) is False
        assert proof.refused(OTHERS_CHANGED)


def _a_call_needs_a_canary() -> None:
    """Without a canary that was seen nothing is called, and one that stays is told of."""
    proof = _proof(lost=(OWN_KEY,))
    assert _called(proof, _erases) is False
    assert proof.refused(NOT_SEEN)
    assert "call" not in _order(proof)
    assert proof.only(CanaryFlown).seen_cells < 6
    proof = _proof(spared=(OWN_KEY,))
    assert _called(proof, _erases) is False
    assert proof.refused(NOT_GONE)
    assert proof.only(CanaryFlown).left_cells > 0


def _fails(error: Exception) -> Body:
    def fail(_: object) -> None:
        raise error

    return fail


def _what_the_server_refuses_is_told_of_the_routine() -> None:
    """A routine that cannot be made or called has failed; one that gave way is called again."""
    refused = StoreError("refused")
    proof = _proof()
    assert _called(proof, _fails(refused)) is False
    assert proof.refused("the routine failed")
    failed = proof.only(RoutineFailed)
    assert (failed.run, failed.step, failed.form) == (RUN, Step.CALL, "number")
    assert (failed.code, failed.lacks) == (refused.code, refused.lacks)
    proof = _proof()
    around = Around(proof.stores, {"install": [refused]})
    assert _called(proof, _erases, around) is False
    assert proof.refused("the routine failed")
    failed = proof.only(RoutineFailed)
    assert (failed.step, failed.form) == (Step.INSTALL, "")
    proof = _proof()
    with pytest.raises(StoreUnreachableError):
        _called(proof, _fails(StoreUnreachableError("gone")))
    assert proof.is_as_before()
    assert not any(isinstance(one, RoutineFailed) for one in proof.records)


def _a_call_that_gave_way_is_tried_again() -> None:
    """Rows that went unseen, or another's lock, roll an attempt back, and the next one counts."""
    for name in ("guard", "count"):
        proof = _proof()
        around = Around(proof.stores, {name: [ConflictError("gave way")]})
        with mock.patch("time.sleep"):
            assert _called(proof, _erases, around) is True
        assert proof.only(Erased).attempts == 2
        assert not any(isinstance(one, RoutineFailed) for one in proof.records)


def _what_would_stay_is_not_committed() -> None:
    """What cannot be taken away keeps from committing, and what was left is told in any case."""
    proof = _proof()
    around = Around(proof.stores, {"take away": [PlanError("stays")]}, (("routine", 1),))
    with pytest.raises(PlanError):
        _called(proof, _erases, around)
    assert proof.stores.now == _rows()
    assert "commit" not in _order(proof)
    assert proof.only(LeftBehind) == LeftBehind(RUN, "routine", 1)


def _a_routine_near_a_hazard_is_not_called() -> None:
    """A hazard where the subject has a row, or is mentioned, keeps from calling; others do not."""
    hazard = Hazard(WHERE, "things", "a trigger")
    for rows in ([OWN, BYSTANDER], [MENTION, BYSTANDER]):
        proof = _proof(hazarded=(hazard,))
        proof.stores.now["things"] = list(rows)
        with pytest.raises(PlanError, match=r"waweb\.things: a trigger\. Nothing was called"):
            _called(proof, _erases)
        assert "call" not in _order(proof)
    proof = _proof(hazarded=(hazard,))
    proof.stores.now["things"] = [BYSTANDER]
    assert _called(proof, _erases) is True
    assert proof.only(Erased).tables == CHANGES[:1]


def _the_canary_goes_in_order() -> None:
    """Also where a routine erases, the canary's rows go children first, masked ones too."""
    for child, parent in (("people", "things"), ("things", "people")):
        proof = _proof(referring=(Reference(WHERE, child, parent),))
        assert _called(proof, _erases)
        deleted = [one.split()[1] for one in _order(proof) if one.startswith("delete")]
        assert deleted == [child, parent] * 2


def _what_was_done_is_told_by_table() -> None:
    """A table counts where the subject has a row in it, or where only a mention is."""
    proof = _proof()
    proof.stores.now["things"] = [MENTION]
    assert _called(proof, _erases)
    assert proof.settled == [(CHANGES[0], TableChange(WHERE, "things", 0, 1))]


def _a_routine_is_called_for_somebody() -> None:
    """Without a closure there is nobody to call a routine for."""
    who = subject()
    nobody = Party(Search(described(), None, KEY), who.masks)
    with pytest.raises(RoutineError, match="for somebody"):
        _called(_proof(), _erases, who=nobody)


def _what_commits_at_once() -> None:
    """All stores commit at once on MySQL, and on PostgreSQL where there is but one."""
    for engine, stores, atomic in (
        (EngineKind.MYSQL, (WHERE, "other"), True),
        (EngineKind.POSTGRES, (WHERE, "other"), False),
        (EngineKind.POSTGRES, (WHERE,), True),
    ):
        proof = _proof(engine=engine, stores=stores)
        proven = ProvenCall(
            *(RUN, as_stores(proof.stores), described(), KEY, proof.records.append, proof.saw),
            routine=cast("Any", None),
        )
        assert proven.atomic is atomic


CLAIMS: Final[tuple[Callable[[], None], ...]] = (
    _what_is_clear_is_committed,
    _what_the_subject_leaves_is_rolled_back,
    _somebody_elses_row_is_rolled_back,
    _a_canary_that_is_not_seen_is_rolled_back,
    _a_canary_that_is_not_erased_is_rolled_back,
    _a_mask_that_was_there_is_rolled_back,
    _hazards_are_refused,
    _tables_go_in_order,
    _a_conflict_is_tried_again,
    _a_call_that_is_clear_is_committed,
    _a_routine_that_may_not_mask,
    _a_routine_that_harms_is_rolled_back,
    _a_routine_that_touches_the_canary_is_rolled_back,
    _a_call_needs_a_canary,
    _what_the_server_refuses_is_told_of_the_routine,
    _a_call_that_gave_way_is_tried_again,
    _what_would_stay_is_not_committed,
    _a_routine_near_a_hazard_is_not_called,
    _the_canary_goes_in_order,
    _what_was_done_is_told_by_table,
    _a_routine_is_called_for_somebody,
    _what_commits_at_once,
)
