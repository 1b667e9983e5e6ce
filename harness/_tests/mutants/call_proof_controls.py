"""Controls of the proof around a routine's call: what it may do, and what is rolled back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final, cast
from unittest import mock

import pytest

from harness import proven_call
from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.memory_stores import MemoryStores, described
from harness._tests.mutants.proof import (
    CHANGES,
    MEDIA,
    MENTION_KEY,
    NOT_GONE,
    NOT_SEEN,
    OWN_KEY,
    RUN,
    STILL_FOUND,
    Proof,
    all_rows,
    made,
    order,
    subject,
)
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
from harness.errors import ConflictError, PlanError, RoutineError, StoreError, StoreUnreachableError
from harness.model import (
    Answer,
    Called,
    CanaryFlown,
    EngineKind,
    Erased,
    Hazard,
    LeftBehind,
    Moment,
    Reference,
    RoutineFailed,
    Step,
    TableChange,
)
from harness.plan import Party
from harness.proven_call import ProvenCall
from harness.stores.sweep import Search

OTHERS_CHANGED: Final = "the routine changed rows of the canary's, for whom it was not called"


def call_proof_controls() -> Iterator[Control]:
    """Yield the controls of a routine's call."""
    for claim in CLAIMS:
        yield Control(f"proof: {named(claim)}", claim)


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
    proof = made()
    around = Around(proof.stores)
    assert _called(proof, _erases, around) is True
    assert proof.stores.now == {
        "people": [_zeroed(MENTION), _zeroed(TWICE), LONGER, BYSTANDER],
        "things": [BYSTANDER],
    }
    assert [one for one in order(proof) if one.split()[0] not in {"delete", "replace"}] == [
        *("open", "begin", "install", "guard", "call", "count", "take away", "commit", "close")
    ]
    assert around.unseen == [2]
    called, flown, erased = (proof.only(kind) for kind in (Called, CanaryFlown, Erased))
    assert (called.run, called.form, called.affected_rows) == (RUN, "number", 7)
    assert (flown.planted_cells, flown.seen_cells, flown.left_cells) == (6, 6, 0)
    assert (erased.round, erased.attempts, erased.tables) == (1, 1, CHANGES)
    assert proof.settled == [CHANGES]
    assert proof.media == MEDIA
    assert [moment for moment, _ in proof.sights] == [Moment.BEFORE, Moment.INSIDE]
    assert [one.mention_rows for one in proof.sights[1][1].tables] == [2, 0]


def _a_routine_that_may_not_mask() -> None:
    """Where a routine only deletes, what it put in a mention's place is a harm."""
    proof = made()
    assert _called(proof, _erases, masks=False) is False
    assert proof.refused("somebody else's row differed")
    proof = made()
    assert _called(proof, _removes(b"nothing")) is False
    assert proof.refused(STILL_FOUND)


def _a_routine_that_harms_is_rolled_back() -> None:
    """A bystander's row that a routine deleted or added keeps from committing."""
    for harm in (_removes(b"hello"), _adds):
        proof = made()
        assert _called(proof, _and(_erases, harm)) is False
        assert proof.refused("somebody else's row differed")


def _a_routine_that_touches_the_canary_is_rolled_back() -> None:
    """A routine that was called for the subject must leave the canary to us."""
    for part in (OWN_KEY, MENTION_KEY):
        proof = made()
        assert _called(proof, _and(_erases, _removes(part))) is False
        assert proof.refused(OTHERS_CHANGED)


def _a_call_needs_a_canary() -> None:
    """Without a canary that was seen nothing is called, and one that stays is told of."""
    proof = made(lost=(OWN_KEY,))
    assert _called(proof, _erases) is False
    assert proof.refused(NOT_SEEN)
    assert "call" not in order(proof)
    assert proof.only(CanaryFlown).seen_cells < 6
    proof = made(spared=(OWN_KEY,))
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
    proof = made()
    assert _called(proof, _fails(refused)) is False
    assert proof.refused("the routine failed")
    failed = proof.only(RoutineFailed)
    assert (failed.run, failed.step, failed.form) == (RUN, Step.CALL, "number")
    assert (failed.code, failed.lacks) == (refused.code, refused.lacks)
    proof = made()
    around = Around(proof.stores, {"install": [refused]})
    assert _called(proof, _erases, around) is False
    assert proof.refused("the routine failed")
    failed = proof.only(RoutineFailed)
    assert (failed.step, failed.form) == (Step.INSTALL, "")
    proof = made()
    with pytest.raises(StoreUnreachableError):
        _called(proof, _fails(StoreUnreachableError("gone")))
    assert proof.is_as_before()
    assert not any(isinstance(one, RoutineFailed) for one in proof.records)


def _a_call_that_gave_way_is_tried_again() -> None:
    """Rows that went unseen, or another's lock, roll an attempt back, and the next one counts."""
    for name in ("guard", "count"):
        proof = made()
        around = Around(proof.stores, {name: [ConflictError("gave way")]})
        with mock.patch("time.sleep"):
            assert _called(proof, _erases, around) is True
        assert proof.only(Erased).attempts == 2
        assert not any(isinstance(one, RoutineFailed) for one in proof.records)


def _what_would_stay_is_not_committed() -> None:
    """What cannot be taken away keeps from committing, and what was left is told in any case."""
    proof = made()
    around = Around(proof.stores, {"take away": [PlanError("stays")]}, (("routine", 1),))
    with pytest.raises(PlanError):
        _called(proof, _erases, around)
    assert proof.stores.now == all_rows()
    assert "commit" not in order(proof)
    assert proof.only(LeftBehind) == LeftBehind(RUN, "routine", 1)


def _a_routine_near_a_hazard_is_not_called() -> None:
    """A hazard where the subject has a row, or is mentioned, keeps from calling; others do not."""
    hazard = Hazard(WHERE, "things", "a trigger")
    for rows in ([OWN, BYSTANDER], [MENTION, BYSTANDER]):
        proof = made(hazarded=(hazard,))
        proof.stores.now["things"] = list(rows)
        with pytest.raises(PlanError, match=r"waweb\.things: a trigger\. Nothing was called"):
            _called(proof, _erases)
        assert "call" not in order(proof)
    proof = made(hazarded=(hazard,))
    proof.stores.now["things"] = [BYSTANDER]
    assert _called(proof, _erases) is True
    assert proof.only(Erased).tables == CHANGES[:1]


def _the_canary_goes_in_order() -> None:
    """Also where a routine erases, the canary's rows go children first, masked ones too."""
    for child, parent in (("people", "things"), ("things", "people")):
        proof = made(referring=(Reference(WHERE, child, parent),))
        assert _called(proof, _erases)
        deleted = [one.split()[1] for one in order(proof) if one.startswith("delete")]
        assert deleted == [child, parent] * 2


def _what_was_done_is_told_by_table() -> None:
    """A table counts where the subject has a row in it, or where only a mention is."""
    proof = made()
    proof.stores.now["things"] = [MENTION]
    assert _called(proof, _erases)
    assert proof.settled == [(CHANGES[0], TableChange(WHERE, "things", 0, 1))]


def _a_routine_is_called_for_somebody() -> None:
    """Without a closure there is nobody to call a routine for."""
    who = subject()
    nobody = Party(Search(described(), None, KEY), who.masks)
    with pytest.raises(RoutineError, match="for somebody"):
        _called(made(), _erases, who=nobody)


def _what_commits_at_once() -> None:
    """All stores commit at once on MySQL, and on PostgreSQL where there is but one."""
    for engine, stores, atomic in (
        (EngineKind.MYSQL, (WHERE, "other"), True),
        (EngineKind.POSTGRES, (WHERE, "other"), False),
        (EngineKind.POSTGRES, (WHERE,), True),
    ):
        proof = made(engine=engine, stores=stores)
        proven = ProvenCall(
            *(RUN, as_stores(proof.stores), described(), KEY, proof.records.append, proof.saw),
            routine=cast("Any", None),
        )
        assert proven.atomic is atomic


CLAIMS: Final[tuple[Callable[[], None], ...]] = (
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
