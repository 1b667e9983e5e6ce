"""The weight of log folders: by names and sizes, as the policies have them, through no link."""

from __future__ import annotations

import gzip
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from harness.maintenance import coreapp_rotation, policy
from harness.maintenance.log_weight import weigh_logs
from harness.maintenance.policy import Policies
from harness.model.collected import LogsWeighed, LogWeight

from .powerless import powerless

LIMIT_BYTES = 100


@pytest.fixture
def small() -> Policies:
    """The fixture's policies, with small limits: 100 bytes, and two archives of each log."""
    known = policy.load()
    return replace(
        known,
        webapp=replace(known.webapp, larger_than_bytes=LIMIT_BYTES, keep=2),
        coreapp=replace(known.coreapp, larger_than_bytes=LIMIT_BYTES, keep=2),
    )


def weighed(folder: Path, policies: Policies) -> LogWeight:
    """Weigh one folder that can be read."""
    found = weigh_logs("testrun", [("logs", folder)], policies)
    assert found.unseen == ()
    (weight,) = found.folders
    return weight


@pytest.mark.parametrize("name", ["web.log", "access.log", "error.log", "wacore.log"])
@pytest.mark.parametrize(("size_bytes", "overdue"), [(LIMIT_BYTES, 0), (LIMIT_BYTES + 1, 1)])
def test_a_log_above_its_limit_is_overdue(
    tmp_path: Path, small: Policies, name: str, size_bytes: int, overdue: int
) -> None:
    """A log larger than its limit is overdue, one of just that size is not."""
    (tmp_path / name).write_bytes(b"x" * size_bytes)
    assert weighed(tmp_path, small) == LogWeight("logs", 1, 0, size_bytes, overdue, 0)


@pytest.mark.parametrize(("count", "surplus"), [(1, 0), (2, 0), (3, 1), (5, 3)])
@pytest.mark.parametrize(
    "name", ["web.log.{0}", "web.log.{0}.gz", "wacore.log-20250301T120000Z-00000{0}.gz"]
)
def test_archives_beyond_those_kept_are_surplus(
    tmp_path: Path, small: Policies, name: str, count: int, surplus: int
) -> None:
    """Of each log only so many archives are kept, and each one more is a surplus."""
    archive = tmp_path / "archive"
    archive.mkdir()
    for number in range(count):
        (archive / name.format(number)).write_bytes(b"12")
    assert weighed(tmp_path, small) == LogWeight("logs", 0, count, 2 * count, 0, surplus)


def test_each_log_has_archives_of_its_own(tmp_path: Path, small: Policies) -> None:
    """Archives of different logs, or of the same log of two containers, are not counted together."""
    for place in ("web1/archive", "web2/archive"):
        (tmp_path / place).mkdir(parents=True)
        for name in ("web.log.1", "web.log.2", "access.log.1", "access.log.2"):
            (tmp_path / place / name).touch()
    assert weighed(tmp_path, small) == LogWeight("logs", 0, 8, 0, 0, 0)
    (tmp_path / "web1" / "web.log.3").touch()
    assert weighed(tmp_path, small).surplus == 1


def test_what_the_rotation_makes_is_recognised(tmp_path: Path, small: Policies) -> None:
    """A log is overdue until it is rotated, and what becomes of it is an archive."""
    log = tmp_path / "wacore.log"
    rules = replace(small.coreapp, logs=(log,), archive=tmp_path / "archive")
    for _ in range(3):
        log.write_bytes(b"x" * (LIMIT_BYTES + 1))
        assert weighed(tmp_path, small).overdue == 1
        coreapp_rotation.rotate(rules)
    found = weighed(tmp_path, small)
    assert (found.logs, found.archives, found.overdue, found.surplus) == (0, 3, 0, 1)


def test_unknown_files_count_with_their_bytes_only(tmp_path: Path, small: Policies) -> None:
    """A file that no policy names is neither log nor archive, however large, and has a weight."""
    names = ["wa-service-abc-crash.log", "web.log.gz", "web.log.1.part", "xweb.log", "web.log.one"]
    for name in names:
        (tmp_path / name).write_bytes(gzip.compress(bytes(500)) + bytes(200))
    (tmp_path / "small.txt").write_bytes(bytes(LIMIT_BYTES))
    found = weigh_logs("testrun", [("logs", tmp_path)], small)
    total = sum((tmp_path / name).stat().st_size for name in names)
    assert found.folders == (LogWeight("logs", 0, 0, total + LIMIT_BYTES, 0, 0),)
    (told,) = found.unseen
    assert f"5 above the limit at which logs are rotated, of {total} bytes" in told


def test_no_link_is_followed(tmp_path: Path, small: Policies) -> None:
    """What links lead to is not weighed, be they files or folders, and hard links count once."""
    elsewhere = tmp_path / "elsewhere"
    logs = tmp_path / "logs"
    for folder in (elsewhere, logs):
        folder.mkdir()
    (elsewhere / "web.log").write_bytes(b"x" * 500)
    (logs / "web.log").symlink_to(elsewhere / "web.log")
    (logs / "archive").symlink_to(elsewhere, target_is_directory=True)
    found = weigh_logs("testrun", [("logs", logs)], small)
    assert found.folders == (LogWeight("logs", 0, 0, 0, 0, 0),)
    (told,) = found.unseen
    assert "2 links that were not followed" in told
    (logs / "access.log").write_bytes(b"12345")
    (logs / "access.log.1").hardlink_to(logs / "access.log")
    assert weigh_logs("testrun", [("logs", logs)], small).folders[0].size_bytes == 5


def test_what_cannot_be_read_is_told(tmp_path: Path, small: Policies) -> None:
    """A folder that is not there, and one that may not be read, are gaps, and the rest is weighed."""
    shut = tmp_path / "logs" / "shut"
    shut.mkdir(parents=True)
    (tmp_path / "logs" / "web.log").write_bytes(b"123")
    folders = [("logs", tmp_path / "logs"), ("gone", tmp_path / "gone")]
    shut.chmod(0)
    try:
        found: LogsWeighed = powerless(partial(weigh_logs, "testrun", folders, small))
    finally:
        shut.chmod(0o700)
    assert [one.size_bytes for one in found.folders] == [3, 0]
    assert len(found.unseen) == 2
    assert "logs/shut could not be weighed: it may not be read" in found.unseen[0]
    assert found.unseen[1].startswith("gone")


def test_names_in_sentences_hold_no_number(tmp_path: Path, small: Policies) -> None:
    """A folder that is named after a number is told without it."""
    folder = tmp_path / "12025550123"
    folder.mkdir(0)
    try:
        found: LogsWeighed = powerless(partial(weigh_logs, "testrun", [("logs", tmp_path)], small))
    finally:
        folder.chmod(0o700)
    assert found.unseen[0].startswith("logs/# ")
