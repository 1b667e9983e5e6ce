"""What only real stores are asked: whether it may begin, and whether the search sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.plugin.recorded import Recorded

if TYPE_CHECKING:
    from harness.plugin.live_stage import LiveStage


@pytest.mark.live("preflight", "rehearse", "audit", "live", only=True)
def test_nothing_stands_in_the_way(stage: LiveStage) -> None:
    """The server, its schema, our rights and everybody else's transactions allow it."""
    stage.require_ready()


@pytest.mark.live("rehearse", "audit", "live", "resume", only=True)
def test_every_surface_was_searched_by_a_search_that_sees(recorded: Recorded) -> None:
    """The canary or the witnesses were found, every table was read, every phase was reached."""
    recorded.require_complete()
