"""The Coreapp's rotation: its rules at their edges, and what is left of it by kills."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import MaintenanceError
from harness.maintenance import coreapp_rotation
from harness.maintenance import policy as policies
from harness.maintenance.coreapp_rotation import Step
from harness.maintenance.policy import Role
from harness.plugin.rotation_bed import LINE_BYTES, RotationBed, bed
from harness.plugin.rotation_kills import KILLED_AT, kill_rotations

SMALL = 100 * LINE_BYTES
NOBODY = 65534


class StoppedError(Exception):
    """The rotation was stopped where a kill might have been."""


@pytest.fixture
def coreapp(tmp_path: Path) -> RotationBed:
    """A Coreapp whose log is rotated when larger than a hundred lines."""
    return bed(tmp_path, Role.COREAPP).limited_to(SMALL)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder of its own that any user can reach, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def stopped(ours: RotationBed, at: Step) -> None:
    """Rotate, and stop at a step as a kill would, except that what is open is closed."""

    def stop(step: Step) -> None:
        if step is at:
            raise StoppedError

    with pytest.raises(StoppedError):
        coreapp_rotation.rotate(ours.policy, stop)


@pytest.mark.parametrize(("deletes", "kept"), [(True, range(2, 32)), (False, range(32))])
def test_old_ones_go_only_if_the_policy_says_so(
    coreapp: RotationBed, kept: range, *, deletes: bool
) -> None:
    """Of 32 archives the last 30 are left where old ones are deleted, and all where they are not."""
    ours = coreapp.limited_to(SMALL, deletes_old=deletes)
    for number in range(32):
        ours.fill(SMALL + 1, name=f"round{number}")
        ours.rotate()
    first = [gzip.decompress(path.read_bytes()).split()[0] for path in ours.archives]
    assert first == [f"round{number}".encode() for number in kept]


def test_a_new_file_starts_only_then(coreapp: RotationBed) -> None:
    """Until it is larger than its limit, the log stays the same file."""
    coreapp.fill(SMALL)
    before = coreapp.log.stat().st_ino
    coreapp.rotate()
    assert coreapp.log.stat().st_ino == before


def test_what_is_not_packed_is_archived_too(coreapp: RotationBed) -> None:
    """Where the policy does not compress, the archive has the plain lines."""
    ours = coreapp.limited_to(SMALL, compress=False)
    written = ours.fill(SMALL + 1)
    ours.rotate()
    (archive,) = ours.policy.archive.iterdir()
    assert archive.read_bytes() == b"".join(written)
    assert ours.lines == written


def test_an_archive_keeps_rights_and_time(coreapp: RotationBed) -> None:
    """The archive may be read by whom the log was read, and is as old."""
    coreapp.fill(SMALL + 1)
    coreapp.log.chmod(0o604)
    os.utime(coreapp.log, (1_700_000_000, 1_700_000_000))
    coreapp.rotate()
    status = coreapp.archives[0].stat()
    assert (status.st_mode & 0o7777, status.st_mtime) == (0o604, 1_700_000_000)


@pytest.mark.parametrize("at", KILLED_AT)
def test_a_second_run_completes(coreapp: RotationBed, at: Step) -> None:
    """Stopped at any step, every line is there, and the next run leaves nothing half done."""
    ours = coreapp.limited_to(SMALL, deletes_old=True)
    written = ours.fill(SMALL + 1)
    stopped(ours, at)
    assert ours.lines == written
    ours.rotate()
    assert ours.lines == written
    assert [path.suffix for path in ours.policy.archive.iterdir()] == [".gz"]
    assert [path for path in ours.log.parent.iterdir() if path != ours.log] == []


def test_half_an_archive_is_made_anew(coreapp: RotationBed) -> None:
    """An archive that is cut, with its plain file still there, is written again."""
    written = coreapp.fill(SMALL + 1)
    stopped(coreapp, Step.REMOVING)
    (packed,) = coreapp.policy.archive.iterdir()
    for length in (0, 5, 60, packed.stat().st_size - 1):
        packed.write_bytes(packed.read_bytes()[:length])
        stopped(coreapp, Step.REMOVING)
        assert gzip.decompress(packed.read_bytes()) == b"".join(written)
    coreapp.rotate()
    assert coreapp.lines == written


def test_an_archive_of_something_else_is_kept(coreapp: RotationBed) -> None:
    """An archive that differs from its plain file stops the rotation, and both are kept."""
    coreapp.fill(SMALL + 1)
    stopped(coreapp, Step.REMOVING)
    (packed,) = coreapp.policy.archive.iterdir()
    packed.write_bytes(gzip.compress(b"something else\n"))
    with pytest.raises(MaintenanceError, match="both are kept"):
        coreapp.rotate()
    assert len(list(coreapp.log.parent.iterdir())) == 1
    assert gzip.decompress(packed.read_bytes()) == b"something else\n"


def test_a_symbolic_link_is_no_log(coreapp: RotationBed) -> None:
    """A link is refused, since what it leads to would stay where it is."""
    coreapp.fill(SMALL + 1)
    elsewhere = coreapp.log.rename(coreapp.log.with_name("elsewhere"))
    coreapp.log.symlink_to(elsewhere)
    with pytest.raises(MaintenanceError, match="symbolic link"):
        coreapp.rotate()


def test_two_rotations_wait_for_each_other(coreapp: RotationBed) -> None:
    """Rotations that run side by side leave each line in one archive."""
    command = [sys.executable, "-m", "harness.maintenance.coreapp_rotation"]
    policy = coreapp.control.parent / "policy.toml"
    text = policies.FILE.read_text(encoding="utf-8")
    policy.write_text(text.replace("value = 15,", "value = 0.001,"), encoding="utf-8")
    written = coreapp.fill(SMALL + 1)
    arguments = [f"--root={coreapp.control.parent}", f"--policy={policy}"]
    started = [
        subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = "".join(process.communicate()[0] for process in started)
    assert said.count("rotated wacore.log") == said.count("archived ") == 1
    assert coreapp.lines == written


def test_no_right_to_write_costs_no_line(open_folder: Path) -> None:
    """Without the right to write into the archive folder nothing is renamed, and it is told."""
    ours = bed(open_folder, Role.COREAPP).limited_to(SMALL)
    written = ours.fill(SMALL + 1)
    ours.policy.archive.mkdir(parents=True)
    ours.policy.archive.chmod(0o555)
    for path in (ours.log, ours.log.parent):
        path.chmod(0o777)
    child = os.fork()
    if child == 0:
        # Root may write everywhere, so that somebody else has to try.
        if os.geteuid() == 0:
            os.setuid(NOBODY)
        try:
            ours.rotate()
            os._exit(0)
        except MaintenanceError as error:
            os._exit(3 if "the right to write" in str(error) else 4)
        except BaseException:  # noqa: BLE001 - a child of a test must not return into it
            os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert [path.name for path in ours.log.parent.iterdir()] == [ours.log.name]
    assert ours.lines == written
    ours.policy.archive.chmod(0o755)


def test_no_line_is_lost_through_hundreds_of_rotations(coreapp: RotationBed) -> None:
    """Two writers at full speed through 300 rotations lose, double and cut no line."""
    with coreapp.writers("a", "b") as counts:
        while len(coreapp.archives) < 300:
            coreapp.rotate()
            time.sleep(0)
    assert coreapp.faults(a=counts[0], b=counts[1]) == []


def test_a_rotation_that_does_not_wait_is_seen(coreapp: RotationBed) -> None:
    """A rotation by copying and cutting, as many do it, loses lines, and the account says so."""
    archive = coreapp.policy.archive
    archive.mkdir(parents=True)
    with coreapp.writers("a", "b") as counts:
        for serial in range(1, 40):
            while coreapp.log.stat().st_size <= SMALL:
                time.sleep(0.002)
            copy = gzip.compress(coreapp.log.read_bytes())
            os.truncate(coreapp.log, 0)
            (archive / f"wacore.log-20260101T000000Z-{serial:06d}.gz").write_bytes(copy)
    assert coreapp.faults(a=counts[0], b=counts[1]) != []


def test_fifty_kills_cost_no_line(tmp_path: Path) -> None:
    """Killed 50 times, at each step and at random, no line is lost and each second run completes."""
    done = kill_rotations(tmp_path, at_random=50 - 3 * len(KILLED_AT), per_step=3)
    assert sum(done.steps.values()) == 50
    assert set(done.steps) == set(KILLED_AT)
    assert done.halves > 0
    assert done.plain > 0
    assert done.faults == ()


def test_the_command_says_what_it_did(coreapp: RotationBed, tmp_path: Path) -> None:
    """`python -m harness.maintenance.coreapp_rotation` names what it rotated, or fails with 1."""
    coreapp.fill(15 * 1024 * 1024 + 1)
    command = [sys.executable, "-m", "harness.maintenance.coreapp_rotation", f"--root={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("rotated wacore.log\narchived wacore.log-")
    wrong = subprocess.run(
        [*command, f"--policy={tmp_path}/none"], capture_output=True, text=True, check=False
    )
    assert (wrong.returncode, "cannot be read" in wrong.stderr) == (1, True)
