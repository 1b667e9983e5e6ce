"""The stand-in clean-up script at its documented path: what it rotates, says and answers."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from harness.errors import MaintenanceError
from harness.maintenance import cleanup
from harness.maintenance import policy as policies
from harness.maintenance.cleanup import Surroundings
from harness.maintenance.policy import Role
from harness.plugin.rotation_bed import RotationBed, bed

OVER = 1


@pytest.fixture(params=list(Role), ids=str)
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[RotationBed, Path]:
    """Each kind of container with its logs and its script."""
    role: Role = request.param
    root = tmp_path / "it's a root" if role is not Role.WEBAPP else tmp_path / "it's"
    root.mkdir()
    return bed(root, role), cleanup.install(root, role)


def test_it_lies_where_it_is_documented(installed: tuple[RotationBed, Path]) -> None:
    """The script is at /opt/whatsapp/bin/cleanup.sh below the root, and anybody may run it."""
    ours, script = installed
    assert script == ours.control.parent / "opt/whatsapp/bin/cleanup.sh"
    assert stat.S_IMODE(script.stat().st_mode) == 0o755


def test_it_rotates_what_is_too_large(installed: tuple[RotationBed, Path]) -> None:
    """In every kind of container it rotates the log that is larger than its limit, and says so."""
    ours, script = installed
    written = ours.fill(ours.policy.larger_than_bytes + OVER)
    said = cleanup.run(script)
    assert f"cleanup of {ours.role}: rotated {ours.log.name}\n" in said
    assert said.endswith(f"cleanup of {ours.role}: done\n")
    assert len(ours.archives) == 1
    assert ours.lines == written


def test_it_leaves_the_rest_alone(installed: tuple[RotationBed, Path]) -> None:
    """A log that is not too large stays, and nothing is said to have been rotated."""
    ours, script = installed
    ours.fill(ours.policy.larger_than_bytes)
    assert cleanup.run(script) == f"cleanup of {ours.role}: done\n"
    assert ours.archives == []


def test_it_fails_when_anything_failed(installed: tuple[RotationBed, Path]) -> None:
    """Where the log cannot be rotated, its exit status is not 0 and the reason is told."""
    ours, script = installed
    ours.fill(ours.policy.larger_than_bytes + OVER)
    ours.policy.archive.parent.mkdir(parents=True, exist_ok=True)
    ours.policy.archive.write_bytes(b"no folder\n")
    done = subprocess.run([script], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.endswith(f"cleanup of {ours.role}: failed\n")
    assert "done" not in done.stdout
    with pytest.raises(MaintenanceError, match="archive"):
        cleanup.run(script)


def test_without_settings_it_fails(installed: tuple[RotationBed, Path]) -> None:
    """A script whose settings are gone, or name no role, fails instead of doing nothing."""
    _, script = installed
    settings = script.parent.parent / "etc" / "cleanup.conf"
    settings.write_text("role=cook\n", encoding="utf-8")
    with pytest.raises(MaintenanceError, match="no role"):
        cleanup.run(script)
    settings.unlink()
    with pytest.raises(MaintenanceError, match=r"cleanup\.conf is missing"):
        cleanup.run(script)


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    """A script that cannot be run is told as such."""
    with pytest.raises(MaintenanceError, match="must be there"):
        cleanup.run(tmp_path / "cleanup.sh")


def test_for_a_container_it_sees_the_containers_paths(tmp_path: Path) -> None:
    """Installed for a container, its settings name nothing of the folder it is prepared in."""
    seen = Surroundings(
        Path("/"), Path("/usr/bin/python3"), Path("/opt/harness"), Path("/opt/policy.toml")
    )
    for role in Role:
        script = cleanup.install(tmp_path / role, role, seen)
        for settings in (script.parent.parent / "etc").iterdir():
            assert str(tmp_path) not in settings.read_text(encoding="utf-8")


def test_a_root_that_cannot_be_written(tmp_path: Path) -> None:
    """Where nothing can be installed, a sentence says so."""
    (tmp_path / "opt").write_bytes(b"a file\n")
    with pytest.raises(MaintenanceError, match="may write to"):
        cleanup.install(tmp_path, Role.MASTER)


def test_any_posix_shell_runs_it() -> None:
    """The script uses nothing that a plain sh would not know."""
    script = cleanup.SCRIPT
    assert script.read_text(encoding="utf-8").startswith("#!/bin/sh\n")
    assert os.access(script, os.X_OK)
    subprocess.run(["sh", "-n", script], check=True)
    assert policies.load().cleanup.script == Path("/opt/whatsapp/bin/cleanup.sh")
