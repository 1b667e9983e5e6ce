"""The encoding matrix: every way to write a number, each alone in a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.model import EngineChoice

if TYPE_CHECKING:
    from harness.plugin.staging import Stage

CASE = "encodings"
SURFACES = 4


def test_every_form_is_found_and_goes(stage: Stage, engine: EngineChoice) -> None:
    """Each form in text, JSON, blob and integer is seen before the erasure and nowhere after it."""
    recorded = stage.recorded(engine, stage.named(CASE), stage.request.candidate)
    stage.attach_forms(recorded)
    recorded.require_clear()
    lines = recorded.forms
    assert len({line.column for line in lines}) == SURFACES
    assert [line for line in lines if not line.clear] == []
