"""What any routine must do to be trusted with a person: nothing left, nobody hurt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.model import EngineChoice, FindingKind
from harness.plugin.recorded import Recorded

if TYPE_CHECKING:
    from harness.plugin.staging import Stage

EXAMPLES = 100


@pytest.mark.live("live", "rehearse", "audit")
def test_nothing_of_the_subject_remains(recorded: Recorded) -> None:
    """After the erasure no column of any store holds the subject."""
    recorded.require_none(FindingKind.TRACE)


@pytest.mark.live("live", "rehearse")
def test_nobody_else_is_changed(recorded: Recorded) -> None:
    """Every row that is not the subject's is as it was, in every store set of the server."""
    recorded.require_none(FindingKind.COLLATERAL)


@pytest.mark.live("live", "rehearse")
def test_nothing_is_left_behind(recorded: Recorded) -> None:
    """The erasure leaves no function, server, mapping or password of its own."""
    recorded.require_none(FindingKind.ROUTINE)


@pytest.mark.live("live", "rehearse")
def test_where_nothing_is_held_nothing_is_changed(recorded: Recorded) -> None:
    """A subject who is nowhere, or already erased, costs no row."""
    if not recorded.judgement.held:
        assert recorded.changed_rows == 0


def test_any_world_is_erased(stage: Stage, engine: EngineChoice) -> None:
    """Whoever else there is, and whatever happened, the subject goes and all others stay."""
    stage.explore(engine, stage.request.candidate, EXAMPLES, Recorded.require_clear)
