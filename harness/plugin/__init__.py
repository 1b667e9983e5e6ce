"""pytest's side of the harness: hooks and fixtures; all else is in the modules beside it.

A session is *active* when it collects scenarios: it then has a stage and evidence, and its
exit status is the verdict's. The harness's own tests run as ordinary pytest.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from harness.errors import RefusalError
from harness.evidence import allure_results
from harness.evidence.session import Session
from harness.plugin import options
from harness.plugin.interruption import Interruption
from harness.plugin.redacting import redact_report, redact_terminal
from harness.redaction import Redactor

if TYPE_CHECKING:
    from harness.model import EngineChoice
    from harness.plugin.outcome import Outcome
    from harness.plugin.staging import Recorded, Stage
    from harness.population.cases import Case

STAGE: Final[pytest.StashKey[Stage]] = pytest.StashKey()
OUTCOME: Final[pytest.StashKey[Outcome]] = pytest.StashKey()
_OWN_TESTS: Final = Path(__file__).resolve().parent.parent / "_tests"


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "candidate: judges the routine that --routine names")
    if not _active(config):
        return
    redactor = Redactor()
    try:
        request = options.read_request(config)
        session = Session.create(request.reports, "verify", redactor)
        results = allure_results.install(config, session, redactor)
    except RefusalError as error:
        raise pytest.UsageError(str(error)) from None
    # Disposable servers and synthetic people are loaded only once it is sure they are wanted.
    from harness.plugin.outcome import Outcome  # noqa: PLC0415
    from harness.plugin.staging import Stage  # noqa: PLC0415

    stage = Stage(request, session, redactor)
    config.stash[STAGE] = stage
    config.stash[OUTCOME] = Outcome(stage, results)
    config.pluginmanager.register(Interruption(), "erasure-interruption")
    config.add_cleanup(stage.close)


def _active(config: pytest.Config) -> bool:
    if config.option.collectonly or config.option.help or config.option.version:
        return False
    paths = (Path(str(config.invocation_params.dir), arg.split("::")[0]) for arg in config.args)
    return not all(path.resolve().is_relative_to(_OWN_TESTS) for path in paths)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    if stage := session.config.stash.get(STAGE, None):
        redact_terminal(session.config, stage.redactor)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each scenario the engines asked for, and the named cases where it wants them."""
    stage = metafunc.config.stash.get(STAGE, None)
    if stage is None or metafunc.definition.path.is_relative_to(_OWN_TESTS):
        return
    if "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", stage.request.engines, ids=str, scope="session")
    if "case" in metafunc.fixturenames:
        names = [case.name for case in stage.cases]
        metafunc.parametrize("case", stage.cases, ids=names, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what judges a candidate where none is named."""
    stage = config.stash.get(STAGE, None)
    if stage and stage.request.candidate is None:
        items[:] = [item for item in items if item.get_closest_marker("candidate") is None]


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items[:1]:
        if outcome := item.config.stash.get(OUTCOME, None):
            outcome.deselected += len(items)


@pytest.fixture(scope="session")
def stage(pytestconfig: pytest.Config) -> Stage:
    """The session's stage: disposable servers, store sets, recorded runs."""
    return pytestconfig.stash[STAGE]


@pytest.fixture(scope="session")
def recorded(stage: Stage, engine: EngineChoice, case: Case) -> Recorded:
    """The recorded run of one case on one engine, acted once and judged by many."""
    return stage.recorded(engine, case)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if outcome := item.config.stash.get(OUTCOME, None):
        redact_report(report, call.excinfo, outcome.stage.redactor)
        outcome.note(report, call.excinfo)
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    outcome = session.config.stash.get(OUTCOME, None)
    interruption = session.config.pluginmanager.get_plugin("erasure-interruption")
    if outcome is None or interruption is None:
        return
    interruption.ignore()
    if interruption.happened:
        exitstatus = pytest.ExitCode.INTERRUPTED
    ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    outcome.stage.close()
    outcome.conclude(interrupted=not ended)
    session.exitstatus = outcome.judgement.verdict.exit_code if ended else exitstatus


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    outcome = terminalreporter.config.stash.get(OUTCOME, None)
    if outcome and outcome.concluded:
        writer = terminalreporter.config.get_terminal_writer()
        for line in outcome.summary(width=writer.fullwidth, colour=writer.hasmarkup):
            terminalreporter.write_line(line)
