"""The limits of garbage collection are numbers that mean something, or they are refused."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from harness.errors import MaintenanceError
from harness.maintenance import gc_policy

FIXTURE = gc_policy.FILE.read_text(encoding="utf-8")


def test_the_fixture_is_whole() -> None:
    """Each limit is read with the type that it has, and marked."""
    policy = gc_policy.load()
    kinds = {"int": int, "float": float, "str": str}
    for field in fields(policy):
        if field.name != "known":
            assert type(getattr(policy, field.name)) is kinds[str(field.type)]
    assert len(policy.known) == len(fields(policy)) - 1


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("large_rows = { value = 2000000", 'large_rows = { value = "2000000"'),
        ("large_rows = { value = 2000000", "large_rows = { value = -1"),
        ("large_rows = { value = 2000000", "large_rows = { value = true"),
        ("large_rows = { value = 2000000", "large_rows = { value = 2e6"),
        ("marks_per_s = { value = 50", "marks_per_s = { value = 0"),
        ("times_most = { value = 5", "times_most = { value = 0"),
        ("wait_s = { value = 7200", 'wait_s = { value = "3"'),
        ("wait_s = { value = 7200", "wait_s = { value = nan"),
        ("wait_s = { value = 7200", "wait_s = { value = inf"),
        ("dead_share_most = { value = 0.2", "dead_share_most = { value = 20"),
        ("every_h = { value = 24, known", "every_h = { value = 24, guessed"),
        ("every_h =", "every_day ="),
        ("format = 1", "format = 2"),
        ("format = 1", "format = "),
    ],
)
def test_a_limit_that_means_nothing_is_refused(tmp_path: Path, was: str, now: str) -> None:
    """A value of another type, out of its range, unmarked or unknown is refused in a sentence."""
    assert was in FIXTURE
    path = tmp_path / "policy.toml"
    path.write_text(FIXTURE.replace(was, now, 1), encoding="utf-8")
    with pytest.raises(MaintenanceError, match=r"policy\.toml"):
        gc_policy.load(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A path that leads nowhere is told."""
    with pytest.raises(MaintenanceError, match="cannot be read"):
        gc_policy.load(tmp_path / "none.toml")
