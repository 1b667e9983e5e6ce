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
from harness.run import DOCUMENTED, HARDENED

if TYPE_CHECKING:
    from harness.model import EngineChoice
    from harness.plugin.outcome import Outcome
    from harness.plugin.staging import Recorded, Stage
    from harness.population.cases import Case

STAGE: Final[pytest.StashKey[Stage]] = pytest.StashKey()
OUTCOME: Final[pytest.StashKey[Outcome]] = pytest.StashKey()
INTERRUPTION: Final = pytest.StashKey[Interruption]()
_SCENARIOS: Final = Path(__file__).resolve().parents[2] / "scenarios"
_OWN_TESTS: Final = Path(__file__).resolve().parent.parent / "_tests"


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "control: about the vendor's routine, which must fail as predicted"
    )
    config.addinivalue_line("markers", "stored: about a stored routine, which the plan is not")
    if not _active(config):
        return
    redactor = Redactor()
    session = None
    try:
        request = options.read_request(config)
        session = Session.create(request.reports, "verify", redactor)
        results = allure_results.install(config, session, redactor)
    except RefusalError as error:
        if session:
            session.discard()
        raise pytest.UsageError(str(error)) from None
    # Disposable servers and synthetic people are loaded only once it is sure they are wanted.
    from harness.plugin.outcome import Outcome  # noqa: PLC0415
    from harness.plugin.staging import Stage  # noqa: PLC0415

    stage = Stage(request, session, redactor)
    config.stash[STAGE] = stage
    config.stash[OUTCOME] = outcome = Outcome(stage, results)
    # All scenarios are asked for when a folder that holds them all is.
    outcome.narrowed = not any(_SCENARIOS.is_relative_to(path) for path in _paths(config))
    config.stash[INTERRUPTION] = Interruption()
    config.pluginmanager.register(config.stash[INTERRUPTION])
    config.add_cleanup(stage.close)


def _active(config: pytest.Config) -> bool:
    looking = ("collectonly", "help", "version", "markers", "showfixtures", "cacheshow")
    if any(getattr(config.option, name, None) for name in looking):
        return False
    if getattr(config.option, "show_fixtures_per_test", False):
        return False
    return not all(path.is_relative_to(_OWN_TESTS) for path in _paths(config))


def _paths(config: pytest.Config) -> list[Path]:
    folder = config.invocation_params.dir
    return [(folder / arg.split("::")[0]).resolve() for arg in config.args]


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
        control = "control" in metafunc.fixturenames
        cases = stage.cases(DOCUMENTED if control else stage.request.candidate)
        names = [case.name for case in cases]
        metafunc.parametrize("case", cases, ids=names, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what does not concern the routine that was named as the one to judge."""
    stage = config.stash.get(STAGE, None)
    if stage is None:
        return
    candidate, strangers = stage.request.candidate, set()
    if candidate == HARDENED:
        strangers.add("stored")
    if candidate != DOCUMENTED and not stage.request.controls:
        strangers.add("control")
    items[:] = [item for item in items if not strangers & {m.name for m in item.iter_markers()}]


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        outcome = item.config.stash.get(OUTCOME, None)
        if outcome and not item.path.is_relative_to(_OWN_TESTS):
            outcome.deselected += 1


@pytest.fixture(scope="session")
def stage(pytestconfig: pytest.Config) -> Stage:
    """The session's stage: disposable servers, store sets, recorded runs."""
    return pytestconfig.stash[STAGE]


@pytest.fixture(scope="session")
def recorded(stage: Stage, engine: EngineChoice, case: Case) -> Recorded:
    """The run of the routine that is judged, in one case on one engine; acted only once."""
    return stage.recorded(engine, case, stage.request.candidate)


@pytest.fixture(scope="session")
def control(stage: Stage, engine: EngineChoice, case: Case) -> Recorded:
    """The run of the vendor's routine, in one case on one engine; acted only once."""
    return stage.recorded(engine, case, DOCUMENTED)


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
    if outcome is None:
        return
    interruption = session.config.stash[INTERRUPTION]
    interruption.ignore()
    outcome.stage.close()
    if exitstatus == pytest.ExitCode.USAGE_ERROR:
        outcome.stage.session.discard()
        return
    status = pytest.ExitCode.INTERRUPTED if interruption.happened else exitstatus
    collected = [item for item in session.items if not item.path.is_relative_to(_OWN_TESTS)]
    outcome.conclude(collected=len(collected), pytest_status=status)
    session.exitstatus = outcome.exit_status


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    outcome = terminalreporter.config.stash.get(OUTCOME, None)
    if outcome and outcome.concluded:
        writer = terminalreporter.config.get_terminal_writer()
        for line in outcome.summary(width=writer.fullwidth, colour=writer.hasmarkup):
            terminalreporter.write_line(line)
