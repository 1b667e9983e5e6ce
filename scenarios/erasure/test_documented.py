"""The vendor's documented routine, as a control: its faults are known, all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.model import EngineChoice
from harness.plugin.recorded import Recorded

if TYPE_CHECKING:
    from harness.plugin.staging import Stage

pytestmark = pytest.mark.control

EXAMPLES = 50


def test_leaves_exactly_what_the_manifest_predicts(control: Recorded) -> None:
    """The documented routine leaves and harms what the manifest predicts, no more, no fewer."""
    control.require_as_predicted()


def test_does_the_same_to_any_world(stage: Stage, engine: EngineChoice) -> None:
    """Whatever the stores hold, the documented routine does what the manifest predicts."""
    stage.explore(engine, "documented", EXAMPLES, Recorded.require_as_predicted)


def test_behaves_as_predicted(stage: Stage, engine: EngineChoice) -> None:
    """Called with what is no number, interrupted and watched, it does what reading it predicts."""
    stage.examined(engine, "documented").require_as_predicted()
