"""Rotation policies as data, and the Webapp's rotation by the real logrotate, at its edges."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import MaintenanceError
from harness.maintenance import logrotate
from harness.maintenance import policy as policies
from harness.maintenance.log_writer import LogWriter, numbered
from harness.maintenance.policy import Known, Role
from harness.plugin.rotation_bed import LINE_BYTES, RotationBed, bed
from harness.plugin.small_disk import small_disk

SMALL = 100 * LINE_BYTES
MB = 1024 * 1024


@pytest.fixture
def webapp(tmp_path: Path) -> RotationBed:
    """A Webapp whose logs are rotated when larger than a hundred lines."""
    return bed(tmp_path / "root", Role.WEBAPP, tmp_path / "control").limited_to(SMALL)


def test_the_policies_are_those_of_the_guides() -> None:
    """The Webapp keeps 30 logs over 20 MB and the Coreapp 30 over 15 MB, packed, in one archive."""
    known = policies.load()
    assert [known.webapp.larger_than_bytes, known.coreapp.larger_than_bytes] == [20 * MB, 15 * MB]
    assert known.webapp.keep == known.coreapp.keep == 30
    assert known.webapp.compress
    assert known.coreapp.compress
    assert known.webapp.archive == known.coreapp.archive == Path("/var/log/whatsapp/archive")
    assert [log.name for log in known.webapp.logs] == ["web.log", "access.log", "error.log"]


def test_what_is_not_found_is_labelled() -> None:
    """Names that nobody published, off-peak hours and the fate of old Coreapp logs are parameters."""
    known = policies.load()
    unknown = {
        (role, name)
        for role in ("webapp", "coreapp", "cleanup")
        for name, mark in getattr(known, role).known.items()
        if mark is Known.NOT_FOUND
    }
    assert unknown == {
        ("coreapp", "logs"),
        ("coreapp", "deletes_old"),
        ("coreapp", "archive_name"),
        ("cleanup", "off_peak"),
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("format = 1", "format = 2"),
        ("keep = { value = 30, known", "keep = { value = 0, known"),
        ('known = "confirmed"', 'known = "surely"'),
        ("larger_than_mb", "larger_than"),
        ('"/var/log/whatsapp/archive"', '"archive"'),
        ('["22:00", "06:00"]', '["late", "early"]'),
        ("[cleanup]", "[cleanup"),
    ],
)
def test_a_broken_policy_is_refused(tmp_path: Path, old: str, new: str) -> None:
    """A value, a mark or a section that is missing or is none is told in a sentence."""
    text = policies.FILE.read_text(encoding="utf-8")
    assert old in text
    broken = tmp_path / "rotation.toml"
    broken.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(MaintenanceError, match="write"):
        policies.load(broken)


def test_policies_that_are_not_there_are_refused(tmp_path: Path) -> None:
    """A file that cannot be read is told in a sentence."""
    with pytest.raises(MaintenanceError, match="cannot be read"):
        policies.load(tmp_path / "none.toml")


@pytest.mark.parametrize("role", [Role.WEBAPP, Role.COREAPP])
@pytest.mark.parametrize(("over_bytes", "archives"), [(-1, 0), (0, 0), (1, 1)])
def test_only_larger_than_the_limit_is_rotated(
    tmp_path: Path, role: Role, over_bytes: int, archives: int
) -> None:
    """At the published limit and a byte under it a log stays; a byte over it it goes, whole."""
    ours = bed(tmp_path, role)
    written = ours.fill(ours.policy.larger_than_bytes + over_bytes)
    ours.rotate()
    assert len(ours.archives) == archives
    assert ours.lines == written


def test_the_tools_own_size_rotates_at_the_limit(webapp: RotationBed) -> None:
    """Without our byte more, logrotate rotates a log that is just as large as its limit."""
    webapp.fill(SMALL)
    text = logrotate.render(webapp.policy).replace(f"size {SMALL + 1}", f"size {SMALL}")
    logrotate.write(webapp.control / "conf", text)
    logrotate.rotate(webapp.control / "conf", webapp.control / "state")
    assert len(webapp.archives) == 1


@pytest.mark.parametrize("role", [Role.WEBAPP, Role.COREAPP])
def test_the_archive_is_packed_in_its_folder(tmp_path: Path, role: Role) -> None:
    """What is rotated lies as gzip in the archive folder, which is made if it is missing."""
    ours = bed(tmp_path, role).limited_to(SMALL)
    written = ours.fill(SMALL + 1)
    assert not ours.policy.archive.exists()
    ours.rotate()
    (archive,) = ours.policy.archive.iterdir()
    assert gzip.decompress(archive.read_bytes()) == b"".join(written)
    assert ours.policy.archive.stat().st_mode & 0o7777 == 0o750


def test_each_log_of_the_webapp_is_rotated(webapp: RotationBed) -> None:
    """The web, access and error logs are rotated each by its own size."""
    for log, size_bytes in zip(webapp.policy.logs, (SMALL + 1, SMALL, SMALL + 1), strict=True):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"." * size_bytes)
    webapp.rotate()
    names = {path.name for path in webapp.policy.archive.iterdir()}
    assert names == {"web.log.1.gz", "error.log.1.gz"}


def test_the_31st_archive_goes(webapp: RotationBed) -> None:
    """After 32 rotations the last 30 are kept, and the two oldest are gone."""
    for number in range(32):
        webapp.fill(SMALL + 1, name=f"round{number}")
        webapp.rotate()
    first = [gzip.decompress(path.read_bytes()).split()[0] for path in webapp.archives]
    assert first == [f"round{number}".encode() for number in range(2, 32)]


@pytest.mark.parametrize("role", [Role.WEBAPP, Role.COREAPP])
@pytest.mark.parametrize("there", [True, False])
def test_an_empty_or_missing_log_stays(tmp_path: Path, role: Role, *, there: bool) -> None:
    """A log that is empty, or not there yet, is left alone and is no error."""
    ours = bed(tmp_path, role).limited_to(SMALL)
    ours.log.parent.mkdir(parents=True)
    if there:
        ours.log.touch()
    ours.rotate()
    assert ours.archives == []
    assert ours.log.exists() is there


@pytest.mark.parametrize("role", [Role.WEBAPP, Role.COREAPP])
def test_two_in_a_second_are_two(tmp_path: Path, role: Role) -> None:
    """Rotations within one second leave an archive each, in their order."""
    ours = bed(tmp_path, role).limited_to(SMALL)
    written = []
    for number in range(4):
        written += ours.fill(SMALL + 1, name=f"round{number}")
        ours.rotate()
    assert len(ours.archives) == 4
    assert ours.lines == written


@pytest.mark.parametrize("role", [Role.WEBAPP, Role.COREAPP])
def test_a_full_disk_costs_no_line(tmp_path: Path, role: Role) -> None:
    """On a full disk rotation fails with a sentence; with space again it goes on, and all is there."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder, 3 * MB) as disk:
        ours = bed(disk.path, role, tmp_path / "control").limited_to(10 * SMALL)
        written = ours.fill(MB)
        with disk.full():
            with pytest.raises(MaintenanceError, match="no line is lost"):
                ours.rotate()
            assert ours.lines == written
        written += ours.fill(MB, name="later")
        ours.rotate()
        assert ours.lines == written
        assert all(path.suffix == ".gz" for path in ours.archives)
        assert len(ours.archives) == 2


def test_logrotate_alone_loses_what_a_full_disk_left_plain(tmp_path: Path) -> None:
    """Without our mending, logrotate overwrites an archive that could not be packed: it is seen."""
    folder = tmp_path / "disk"
    folder.mkdir()
    conf, state = tmp_path / "conf", tmp_path / "state"
    with small_disk(folder, 3 * MB) as disk:
        ours = bed(disk.path, Role.WEBAPP).limited_to(SMALL)
        logrotate.write(conf, logrotate.render(ours.policy, mends=False))
        first = ours.fill(MB)
        with disk.full(), pytest.raises(MaintenanceError):
            logrotate.rotate(conf, state)
        second = ours.fill(MB, name="later")
        logrotate.rotate(conf, state)
        assert ours.lines != first + second
        assert ours.lines == second


def test_a_killed_compression_costs_no_line(webapp: RotationBed) -> None:
    """What a kill left, the plain archive and half of its packed form, is made whole first."""
    first = webapp.fill(SMALL + 1)
    webapp.rotate()
    (packed,) = webapp.archives
    packed.with_suffix("").write_bytes(b"".join(first))
    packed.write_bytes(packed.read_bytes()[:40])
    second = webapp.fill(SMALL + 1, name="later")
    webapp.rotate()
    assert webapp.lines == first + second
    assert [path.name for path in webapp.archives] == ["web.log.2.gz", "web.log.1.gz"]


def test_where_mending_fails_nothing_is_rotated(webapp: RotationBed) -> None:
    """An archive that cannot be packed stays, and so does the log that would take its place."""
    webapp.policy.archive.mkdir(parents=True)
    (webapp.policy.archive / "web.log.1").write_bytes(b"old\n")
    (webapp.policy.archive / "web.log.1.gz.part").mkdir()
    written = webapp.fill(SMALL + 1)
    with pytest.raises(MaintenanceError, match="first action"):
        webapp.rotate()
    assert webapp.lines == [b"old\n", *written]


def test_no_line_is_lost_by_logrotate(webapp: RotationBed) -> None:
    """Two writers at full speed through 29 rotations lose, double and cut no line."""
    with webapp.writers("a", "b") as counts:
        for _ in range(29):
            while webapp.log.stat().st_size <= SMALL:
                time.sleep(0.002)
            webapp.rotate()
    assert len(webapp.archives) == 29
    assert webapp.faults(a=counts[0], b=counts[1]) == []


def test_a_lost_a_doubled_and_a_cut_line_are_seen(webapp: RotationBed) -> None:
    """The account of lines notices each fault that a rotation could make."""
    written = webapp.fill(10 * LINE_BYTES)
    assert webapp.faults(line=10) == []
    for lines in (written[:-1], [*written[:3], *written[2:]], [*written[:9], written[9][5:]]):
        webapp.log.write_bytes(b"".join(lines))
        assert webapp.faults(line=10) != []


def test_folders_that_others_may_write_to(tmp_path: Path) -> None:
    """As root, a log in a folder that anybody may write to is not rotated, and the reason is told."""
    ours = bed(tmp_path / "root", Role.WEBAPP, tmp_path / "control").limited_to(SMALL)
    written = ours.fill(SMALL + 1)
    ours.log.parent.chmod(0o777)
    if os.geteuid() == 0:
        with pytest.raises(MaintenanceError, match="insecure permissions"):
            ours.rotate()
    else:
        ours.rotate()
    assert ours.lines == written


@pytest.mark.parametrize("role", [Role.WEBAPP, Role.COREAPP])
def test_an_archive_that_is_no_folder(tmp_path: Path, role: Role) -> None:
    """Where something else has the archive's name, nothing is rotated, and it is told."""
    ours = bed(tmp_path, role).limited_to(SMALL)
    written = ours.fill(SMALL + 1)
    ours.policy.archive.parent.mkdir(parents=True, exist_ok=True)
    ours.policy.archive.write_bytes(b"a file\n")
    with pytest.raises(MaintenanceError, match="no line is lost"):
        ours.rotate()
    assert ours.log.read_bytes() == b"".join(written)


def test_logrotate_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the tool is missing, the sentence says how to get it."""
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(MaintenanceError, match="apt-get install logrotate"):
        logrotate.program()


@pytest.mark.parametrize("name", ['we"b.log', "we\\b.log", "we\nb.log"])
def test_a_path_that_the_configuration_cannot_hold(webapp: RotationBed, name: str) -> None:
    """A path that would be read as something else is refused."""
    log = webapp.log.with_name(name)
    with pytest.raises(MaintenanceError, match="rename the folder"):
        logrotate.render(replace(webapp.policy, logs=(log,)))


def test_logrotate_cannot_keep_all(webapp: RotationBed) -> None:
    """A policy by which old ones stay is none that logrotate could carry out."""
    with pytest.raises(MaintenanceError, match="deletes_old"):
        logrotate.render(replace(webapp.policy, deletes_old=False))


def test_a_writer_takes_half_a_line_back(tmp_path: Path) -> None:
    """On a full disk a line is written wholly or not at all, and the writer goes on later."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder, 64 * 1024) as disk:
        log = disk.path / "a.log"
        writer = LogWriter(log, full_s=0.0)
        lines = [numbered("a", number, length=LINE_BYTES) for number in range(1000)]
        writer.write(lines[0])
        with disk.full(), pytest.raises(MaintenanceError, match="no part of it"):
            deque(map(writer.write, lines[1:]))
        there = log.read_bytes()
        assert there == b"".join(lines[: len(there) // LINE_BYTES])
        writer.write(b"later\n")
        writer.close()
        assert log.read_bytes() == there + b"later\n"
