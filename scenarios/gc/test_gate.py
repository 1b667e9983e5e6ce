"""What an upgrade gate judges of one real store set, looked at once."""

from __future__ import annotations

import pytest

from harness.model import FindingKind
from harness.plugin.recorded import Recorded

pytestmark = pytest.mark.live("gate", only=True)


def test_everything_was_looked_at(recorded: Recorded) -> None:
    """The server answered, the messages were counted, and every phase was reached."""
    recorded.require_complete()


def test_there_is_room(recorded: Recorded) -> None:
    """No table, disk, queue or log is fuller than the limits allow."""
    recorded.require_none(FindingKind.CAPACITY)


def test_the_settings_are_fit(recorded: Recorded) -> None:
    """The client's settings are as its version, its traffic and the upgrade want them."""
    recorded.require_none(FindingKind.SETTINGS)


def test_the_schema_is_the_described_one(recorded: Recorded) -> None:
    """The server has the tables and columns that treatments are written for."""
    recorded.require_none(FindingKind.DRIFT)
