"""Controls of the proof before a commit: what keeps the plan's erasure from being committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final
from unittest import mock

import pytest

from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.proof import (
    CANARYS,
    CHANGES,
    MEDIA,
    MENTION_KEY,
    NOT_GONE,
    NOT_SEEN,
    OWN_KEY,
    RUN,
    STILL_FOUND,
    Proof,
    made,
    order,
    subject,
)
from harness._tests.mutants.step_controls import (
    BYSTANDER,
    LONGER,
    MENTION,
    OWN,
    TWICE,
    WHERE,
    N,
)
from harness.errors import ConflictError, PlanError
from harness.identity import Representation
from harness.model import (
    CanaryFlown,
    Erased,
    Hazard,
    Moment,
    Reference,
    RolledBack,
)
from harness.stores.sweep import Sighting


def proof_controls() -> Iterator[Control]:
    """Yield the controls of the plan's erasure."""
    for claim in CLAIMS:
        yield Control(f"proof: {named(claim)}", claim)


def _what_is_clear_is_committed() -> None:
    """The subject's rows are gone, mentions masked, all others as before, and nothing of a canary."""
    proof = made()
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
    assert proof.media == MEDIA
    assert [moment for moment, _ in proof.sights] == [Moment.BEFORE, Moment.INSIDE]
    assert [state.subject_rows for state in proof.sights[0][1].tables] == [1, 1]
    assert [state.subject_rows for state in proof.sights[1][1].tables] == [0, 0]
    assert [one for one in order(proof) if " " not in one] == ["begin", "commit"]


def _mask(row: bytes) -> bytes:
    """Return the mask that stands in a row's note, or something that is nowhere."""
    note = row.split(b"|")[2]
    return next((word for word in note.replace(b"+", b"").split() if word[:1] == b"0"), b"\0")


def _what_the_subject_leaves_is_rolled_back() -> None:
    """A row that was said to be deleted or masked, and was not, keeps from committing."""
    for spared in (b"1|%b" % N.encode(), b"2|"):
        proof = made(spared=(spared,))
        assert proof.erased() is False
        assert proof.refused(STILL_FOUND)
        assert proof.only(CanaryFlown).left_cells == 0


def _somebody_elses_row_is_rolled_back() -> None:
    """A bystander's row that came meanwhile, inside, keeps from committing."""
    proof = made()
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
        proof = made(lost=(lost,))
        assert proof.erased() is False
        assert proof.refused(NOT_SEEN)
        flown = proof.only(CanaryFlown)
        assert flown.planted_cells == 6
        assert (flown.seen_cells < 6, flown.left_cells) == (True, 0)
        assert len(proof.sights) == 1


def _a_canary_that_is_not_erased_is_rolled_back() -> None:
    """A canary that is there after its erasure shows that deleting or masking does nothing."""
    for spared in (OWN_KEY, MENTION_KEY):
        proof = made(spared=(spared,))
        assert proof.erased() is False
        assert proof.refused(NOT_GONE)
        assert proof.only(CanaryFlown).left_cells > 0


def _a_mask_that_was_there_is_rolled_back() -> None:
    """In the first round no mask may stand in the stores; in a later one they do."""
    who = subject()
    masked = who.masks.mask(MENTION, Representation.TEXT)
    for number, committed in ((1, False), (2, True)):
        proof = made()
        proof.stores.now["people"].append(masked)
        assert proof.erased(number, who) is committed
        whys = [one.why for one in proof.records if isinstance(one, RolledBack)]
        assert [why[:6] for why in whys] == ([] if committed else ["a mask"])
        assert masked in proof.stores.now["people"]


def _hazards_are_refused() -> None:
    """A table with a hazard is left alone: by the canary, and by refusing a plan that needs it."""
    hazard = Hazard(WHERE, "things", "a trigger")
    proof = made(hazarded=(hazard,))
    with pytest.raises(PlanError, match="a trigger"):
        proof.erased()
    assert proof.is_as_before()
    proof = made(hazarded=(hazard,))
    proof.stores.now["things"].remove(OWN)
    assert proof.erased()
    assert proof.only(CanaryFlown).tables == 1


def _tables_go_in_order() -> None:
    """The subject's rows, the canary's and its masked ones all go children first."""
    for child, parent in (("people", "things"), ("things", "people")):
        proof = made(referring=(Reference(WHERE, child, parent),))
        assert proof.erased()
        deleted = [one.split()[1] for one in order(proof) if one.startswith("delete")]
        assert deleted == [child, parent] * 3


def _a_conflict_is_tried_again() -> None:
    """An attempt that gave way is rolled back and tried again, and the record counts it."""
    proof = made()
    proof.stores.on_insert = mock.Mock(side_effect=[ConflictError("gave way"), None])
    with mock.patch("time.sleep"):
        assert proof.erased()
    assert proof.only(Erased).attempts == 2
    assert [one for one in order(proof) if " " not in one] == [
        "begin",
        "rollback",
        "begin",
        "commit",
    ]


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
)
