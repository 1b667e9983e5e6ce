"""Real servers for the harness's own tests: both engines, one store set each, cleared between."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace

import hypothesis
import pytest

from harness import config, manifest
from harness.config import RunConfig
from harness.manifest import Manifest
from harness.model import EngineChoice, EngineKind
from harness.servers import parse_choice, running
from harness.stores import StoreSet, connect, ddl

PREFIX = "own_"


@pytest.fixture(scope="session")
def described() -> Manifest:
    """The manifest."""
    return manifest.load()


@pytest.fixture(scope="session")
def reached() -> Iterator[Mapping[EngineKind, RunConfig]]:
    """Both engines, started side by side once for all tests, by kind."""
    choices = [parse_choice(kind.value) for kind in EngineKind]
    with running(choices) as servers:
        yield {
            choice.kind: config.from_variables(server.environment, source="test")
            for choice, server in servers.items()
        }


@pytest.fixture(params=list(EngineKind), ids=str, scope="session")
def kind(request: pytest.FixtureRequest) -> EngineKind:
    """Each engine in turn."""
    chosen: EngineKind = request.param
    return chosen


@pytest.fixture(scope="session")
def choice(kind: EngineKind) -> EngineChoice:
    """The engine and version in use."""
    return parse_choice(kind.value)


@pytest.fixture(scope="session")
def run_config(reached: Mapping[EngineKind, RunConfig], kind: EngineKind) -> RunConfig:
    """How to reach the tests' own store set."""
    return replace(reached[kind], prefix=PREFIX)


@pytest.fixture(scope="session")
def created(run_config: RunConfig, described: Manifest) -> Iterator[StoreSet]:
    """The tests' own store set, with every store of the manifest."""
    store_set = connect(run_config, [store.name for store in described.stores])
    store_set.create(ddl.committed(described, run_config.engine))
    yield store_set
    # A test for one engine only may end this engine's turn and let it begin again.
    store_set.drop()
    store_set.close()


@pytest.fixture
def store_set(created: StoreSet) -> Iterator[StoreSet]:
    """The store set, empty before and after."""
    created.clear()
    yield created
    created.clear()


hypothesis.settings.register_profile("own", database=None, deadline=None)
hypothesis.settings.load_profile("own")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, make a skip a failure: what was not run was not shown."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure in CI: {report.longrepr}"
    return report
