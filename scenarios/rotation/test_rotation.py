"""The rules of rotation, each at its edge: the Webapp's logrotate, the Coreapp's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.maintenance.policy import Role

if TYPE_CHECKING:
    from harness.plugin.rotation_stage import RotationStage

ROLES = pytest.mark.parametrize("role", [Role.WEBAPP, Role.COREAPP], ids=str)


@ROLES
@pytest.mark.parametrize(("over_bytes", "archives"), [(-1, 0), (0, 0), (1, 1)])
def test_only_what_is_larger_is_rotated(
    rotation: RotationStage, role: Role, over_bytes: int, archives: int
) -> None:
    """A log goes a byte over its published limit, and neither at the limit nor a byte under it."""
    seen = rotation.filled(role, over_bytes)
    assert (seen.archives, seen.lost) == (archives, 0)


@ROLES
def test_the_last_30_are_kept(rotation: RotationStage, role: Role) -> None:
    """After the 31st rotation the oldest archive is gone, if the policy says so, and no other."""
    assert rotation.kept(role, 31, deletes_old=True) == list(range(1, 31))


def test_old_coreapp_logs_stay_if_the_policy_says_so(rotation: RotationStage) -> None:
    """Where old Coreapp logs are not deleted, the 31st archive is one more."""
    assert rotation.kept(Role.COREAPP, 31, deletes_old=False) == list(range(31))


@ROLES
def test_an_empty_log_stays(rotation: RotationStage, role: Role) -> None:
    """An empty log makes no archive."""
    seen = rotation.empty(role)
    assert (seen.archives, seen.refused) == (0, "")


@ROLES
def test_two_in_a_second_are_two(rotation: RotationStage, role: Role) -> None:
    """Rotations within a second leave an archive each."""
    assert rotation.kept(role, 2, deletes_old=True) == [0, 1]


@ROLES
def test_a_missing_archive_folder_is_made(rotation: RotationStage, role: Role) -> None:
    """The first rotation makes the archive folder, and packs into it."""
    seen = rotation.filled(role, 1)
    assert (seen.archives, seen.packed, seen.lost) == (1, 1, 0)


@ROLES
def test_a_full_disk_costs_no_line(rotation: RotationStage, role: Role) -> None:
    """A full disk is told and costs no line; once there is space, rotation goes on."""
    full, later = rotation.on_full_disk(role)
    assert (bool(full.refused), full.lost) == (True, 0)
    assert (later.refused, later.lost, later.packed) == ("", 0, 2)


@ROLES
def test_an_archive_that_cannot_be_written(rotation: RotationStage, role: Role) -> None:
    """Where the archive cannot be written, that is told, and the log stays as it is."""
    seen = rotation.without_archive(role)
    assert (bool(seen.refused), seen.lost) == (True, 0)


@ROLES
def test_a_writer_loses_nothing(rotation: RotationStage, role: Role) -> None:
    """While writers go on at full speed, no line is lost, doubled, cut or out of order."""
    assert rotation.written_through(role, 10) == []


def test_kills_cost_no_line(rotation: RotationStage) -> None:
    """A Coreapp's rotation that is killed loses no line, and the next one leaves nothing half."""
    assert rotation.killed(per_step=1).faults == ()


@pytest.mark.parametrize("role", list(Role), ids=str)
def test_the_clean_up_script_rotates(rotation: RotationStage, role: Role) -> None:
    """At its documented path, in every kind of container, the clean-up script rotates the logs."""
    seen = rotation.cleaned_up(role)
    assert (seen.archives, seen.lost, seen.refused) == (1, 0, "")
