"""What any routine must do to be trusted with a person: nothing left, nobody hurt."""

from __future__ import annotations

import pytest

from harness.model import FindingKind
from harness.plugin.staging import Recorded

pytestmark = pytest.mark.candidate


def test_nothing_of_the_subject_remains(recorded: Recorded) -> None:
    """After the routine no column of any store holds the subject."""
    recorded.require_none(FindingKind.TRACE)


def test_nobody_else_is_changed(recorded: Recorded) -> None:
    """Every row that is not the subject's is as it was, in every store set of the server."""
    recorded.require_none(FindingKind.COLLATERAL)


def test_the_routine_leaves_no_object_behind(recorded: Recorded) -> None:
    """Installing and removing the routine leaves no function, server, mapping or password."""
    recorded.require_none(FindingKind.ROUTINE)
