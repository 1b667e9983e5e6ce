"""What an erasure must withstand: the client collects its garbage beside it, and has caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.model import Collected, EngineChoice, FindingKind, Moment

if TYPE_CHECKING:
    from harness.plugin.staging import Stage

pytestmark = pytest.mark.planned

MOMENTS = [Moment.BEFORE, Moment.INSIDE, Moment.AFTER]
NODES = [1, 3]


@pytest.mark.parametrize("nodes", NODES, ids=["single", "multiconnect"])
@pytest.mark.parametrize("moment", MOMENTS, ids=["before", "during", "after"])
def test_an_erasure_withstands_collection(
    stage: Stage, engine: EngineChoice, moment: Moment, nodes: int
) -> None:
    """Whenever half of the messages are collected, the subject goes, and nobody else is hurt."""
    recorded = stage.recorded_with_collection(engine, moment, nodes)
    recorded.require_clear()
    (collected,) = recorded.run.all(Collected)
    assert collected.complete
    assert collected.confirmed
    assert len(collected.nodes) == nodes
    assert collected.deleted


@pytest.mark.control
def test_what_a_coreapp_writes_back_is_found(stage: Stage, engine: EngineChoice) -> None:
    """A Coreapp that writes the subject back after the commit is told by the last sweep."""
    recorded = stage.recorded_with_collection(engine, Moment.AFTER, 1, writes_back=True)
    recorded.require_as_predicted()
    kinds = {finding.kind for finding in recorded.judgement.expected}
    assert kinds == {FindingKind.TRACE}
