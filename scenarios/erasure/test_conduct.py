"""How a stored routine behaves, whatever it erases: what a careful caller may rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.model import EngineChoice

if TYPE_CHECKING:
    from harness.plugin.staging import Stage

pytestmark = pytest.mark.stored


def test_a_caller_may_rely_on_it(stage: Stage, engine: EngineChoice) -> None:
    """It refuses what is no number, leaves commits to its caller, fails whole, and tells nobody."""
    stage.examined(engine, stage.request.candidate).require_clear()
