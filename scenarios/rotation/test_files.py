"""What an erasure must do to files, in which rotation goes on keeping the person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.model import EngineChoice, FilesObserved, FileTrace, FindingKind, MediaRemoved, Moment
from harness.plugin.recorded import Recorded

if TYPE_CHECKING:
    from harness.plugin.staging import Stage

pytestmark = pytest.mark.planned


@pytest.fixture(scope="module")
def filed(stage: Stage, engine: EngineChoice) -> Recorded:
    """The run of an erasure from rows, logs, archives and media, with a rotation in it."""
    return stage.recorded_with_files(engine)


def test_every_identifier_in_files_is_seen_and_goes(filed: Recorded) -> None:
    """In plain logs, archives, bundles and container logs all is seen before, nothing after."""
    filed.require_none(FindingKind.TRACE)
    seen = {one.moment: hits(one.traces) for one in filed.run.all(FilesObserved)}
    assert seen[Moment.BEFORE] > 0
    assert seen[Moment.AFTER] == 0


def test_rotation_went_on_meanwhile(filed: Recorded) -> None:
    """Between the erasure of rows and the scrub logrotate renamed and packed what was live."""
    before, after = (
        next(one for one in filed.run.all(FilesObserved) if one.moment is moment)
        for moment in (Moment.BEFORE, Moment.AFTER)
    )
    assert after.files > before.files


def test_no_file_is_left_out(filed: Recorded) -> None:
    """Every file was searched to its last byte, and every one that had to be masked was."""
    filed.require_none(FindingKind.SURFACE)


def test_the_subjects_media_go_and_others_stay(filed: Recorded) -> None:
    """Files to which only the subject's rows led are removed; all others are there."""
    (removed,) = filed.run.all(MediaRemoved)
    assert removed.removed > 0
    assert not removed.left


def hits(traces: tuple[FileTrace, ...]) -> int:
    """Return how many identifiers were found in all."""
    return sum(one.hits for one in traces)
