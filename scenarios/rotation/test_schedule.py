"""The host's schedule: a good one is well, and each way to get it wrong is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.maintenance.schedule import Fault

if TYPE_CHECKING:
    from harness.plugin.rotation_stage import RotationStage

CALLS = "; ".join(
    f"docker exec {name} /opt/whatsapp/bin/cleanup.sh" for name in ("waweb", "wacore1", "master1")
)
BY_ID = CALLS.replace("waweb", "4f1c2b9d8e7a")


def test_daily_at_night_by_name_is_well(rotation: RotationStage) -> None:
    """A job that cleans every Webapp, Coreapp and Master by name, each night, has no finding."""
    assert rotation.scheduled(f"30 3 * * * root {CALLS}\n") == set()


@pytest.mark.parametrize(
    ("crontab", "faults"),
    [
        ("", {Fault.NO_JOB, Fault.NOT_CLEANED}),
        (f"30 3 * * 0 root {CALLS}\n", {Fault.NOT_DAILY}),
        (f"30 12 * * * root {CALLS}\n", {Fault.AT_PEAK}),
        (f"30 3 * * * root {BY_ID}\n", {Fault.BY_ID, Fault.NOT_CLEANED}),
        (f"30 3 * * * root {CALLS.rpartition(';')[0]}\n", {Fault.NOT_CLEANED}),
        (f"#30 3 * * * root {CALLS}\n", {Fault.DISABLED, Fault.NO_JOB, Fault.NOT_CLEANED}),
        (f"30 33 * * * root {CALLS}\n", {Fault.UNCLEAR}),
    ],
    ids=["none", "weekly", "at noon", "by id", "one left out", "commented out", "unreadable"],
)
def test_what_is_missing_is_found(
    rotation: RotationStage, crontab: str, faults: set[Fault]
) -> None:
    """What is missing or wrong is a finding, and so is what cannot be read."""
    assert rotation.scheduled(crontab) == faults
