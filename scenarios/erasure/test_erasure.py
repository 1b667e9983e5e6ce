"""What any routine must do to be trusted with a person: nothing left, nobody hurt."""

from __future__ import annotations

from harness.model import EngineChoice, FindingKind
from harness.plugin.staging import Recorded, Stage

EXAMPLES = 100


def test_nothing_of_the_subject_remains(recorded: Recorded) -> None:
    """After the erasure no column of any store holds the subject."""
    recorded.require_none(FindingKind.TRACE)


def test_nobody_else_is_changed(recorded: Recorded) -> None:
    """Every row that is not the subject's is as it was, in every store set of the server."""
    recorded.require_none(FindingKind.COLLATERAL)


def test_nothing_is_left_behind(recorded: Recorded) -> None:
    """The erasure leaves no function, server, mapping or password of its own."""
    recorded.require_none(FindingKind.ROUTINE)


def test_where_nothing_is_held_nothing_is_changed(recorded: Recorded) -> None:
    """A subject who is nowhere, or already erased, costs no row."""
    if not recorded.judgement.held:
        assert recorded.changed_rows == 0


def test_any_world_is_erased(stage: Stage, engine: EngineChoice) -> None:
    """Whoever else there is, and whatever happened, the subject goes and all others stay."""
    stage.explore(engine, stage.request.candidate, EXAMPLES, Recorded.require_clear)
