"""pytest's side of the harness: hooks and fixtures; all else is in the modules beside it.

A session is *active* when it collects scenarios: it then has a stage and evidence, and its
exit status is the verdict's. The harness's own tests run as ordinary pytest.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import pytest

from harness.errors import RefusalError
from harness.evidence import allure_results
from harness.evidence.session import Session
from harness.model import Mode
from harness.plugin import gate_request, live_request, options
from harness.plugin.interruption import Interruption
from harness.plugin.outcome import Outcome
from harness.plugin.redacting import redact_report, redact_terminal
from harness.redaction import Redactor
from harness.run import DOCUMENTED, HARDENED

if TYPE_CHECKING:
    from harness.model import EngineChoice
    from harness.plugin.gate_request import GateRequest
    from harness.plugin.gate_stage import GateStage
    from harness.plugin.live_request import LiveRequest
    from harness.plugin.live_stage import LiveStage
    from harness.plugin.recorded import Recorded
    from harness.plugin.rotation_stage import RotationStage
    from harness.plugin.staging import Stage
    from harness.population.cases import Case

STAGE: Final[pytest.StashKey[Stage | LiveStage | GateStage]] = pytest.StashKey()
OUTCOME: Final = pytest.StashKey[Outcome]()
INTERRUPTION: Final = pytest.StashKey[Interruption]()
_SCENARIOS: Final = Path(__file__).resolve().parents[2] / "scenarios"
_QUIET: Final = -2
"""No header and no count of tests: at three in the morning the last screen is all there is."""
_OWN_TESTS: Final = Path(__file__).resolve().parent.parent / "_tests"


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "control: about the vendor's routine, which must fail as predicted"
    )
    config.addinivalue_line("markers", "planned: about the plan, which a stored routine is not")
    config.addinivalue_line("markers", "stored: about a stored routine, which the plan is not")
    config.addinivalue_line(
        "markers", "live(*modes, only=False): judges real stores in these modes (only these)"
    )
    if not _active(config):
        return
    redactor = Redactor()
    session = None
    # All scenarios are asked for when a folder that holds them all is.
    narrowed = not any(_SCENARIOS.is_relative_to(path) for path in _paths(config))
    try:
        stage: Stage | LiveStage | GateStage
        if config.getoption("upgrade_gate"):
            gate = gate_request.read_gate_request(config, narrowed=narrowed)
            session = Session.create(gate.reports, Mode.GATE.value, redactor)
            interruption = Interruption(once=True)
            stage = _gate_stage(config, gate, session, redactor, interruption)
        elif config.getoption("live"):
            gate_request.refuse_strays(config)
            request = live_request.read_live_request(config, narrowed=narrowed)
            session = _live_session(request, redactor)
            interruption = Interruption(once=True, deadline_s=request.deadline_s)
            stage = _live_stage(config, request, session, redactor, interruption)
        else:
            asked = options.read_request(config)
            session = Session.create(asked.reports, "verify", redactor)
            interruption = Interruption()
            stage = _stage(asked, session, redactor)
        results = allure_results.install(config, session, redactor)
    except RefusalError as error:
        if session and not config.getoption("resume"):
            session.discard()
        raise pytest.UsageError(str(error)) from None
    config.stash[STAGE] = stage
    config.stash[OUTCOME] = outcome = Outcome(stage, results)
    outcome.narrowed = narrowed
    config.stash[INTERRUPTION] = interruption
    config.pluginmanager.register(interruption)
    config.add_cleanup(stage.close)


def _stage(request: options.Request, session: Session, redactor: Redactor) -> Stage:
    # Disposable servers and synthetic people are loaded only once it is sure they are wanted.
    from harness.plugin.staging import Stage  # noqa: PLC0415

    return Stage(request, session, redactor)


def _live_session(request: LiveRequest, redactor: Redactor) -> Session:
    """Return a new session's folder, or that of the session that is to be resumed."""
    if request.resume:
        return Session(request.resume, request.mode.value, redactor)
    return Session.create(request.reports, request.mode.value, redactor)


def _live_stage(
    config: pytest.Config,
    request: LiveRequest,
    session: Session,
    redactor: Redactor,
    interruption: Interruption,
) -> LiveStage:
    from harness.plugin.live_stage import LiveStage  # noqa: PLC0415
    from harness.plugin.progress import shown  # noqa: PLC0415

    _quieten(config)
    return LiveStage(request, session, redactor, interruption, partial(shown, config))


def _gate_stage(
    config: pytest.Config,
    request: GateRequest,
    session: Session,
    redactor: Redactor,
    interruption: Interruption,
) -> GateStage:
    from harness.plugin.gate_stage import GateStage  # noqa: PLC0415
    from harness.plugin.progress import shown  # noqa: PLC0415

    _quieten(config)
    return GateStage(request, session, redactor, interruption, partial(shown, config))


def _quieten(config: pytest.Config) -> None:
    """Have pytest say little about real stores, and keep nothing."""
    # One sentence says why, on the last screen; node ids of a live run are of no use later.
    config.option.tbstyle = "no"
    config.option.fulltrace = False
    if config.option.verbose == 0:
        config.option.verbose = _QUIET
    for name in ("lfplugin", "nfplugin", "stepwiseplugin"):
        if plugin := config.pluginmanager.getplugin(name):
            config.pluginmanager.unregister(plugin)


def _active(config: pytest.Config) -> bool:
    if config.getoption("help") or config.getoption("version"):
        return False
    if config.getoption("live", default=False) or config.getoption("upgrade_gate", default=False):
        return True
    looking = ("collectonly", "markers", "showfixtures", "cacheshow")
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
        if session.config.option.verbose < 0:
            # The percentage of scenarios judged says nothing about the stores.
            session.config.pluginmanager.getplugin("terminalreporter")._show_progress_info = False  # noqa: SLF001


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(
    report: pytest.TestReport, config: pytest.Config
) -> tuple[str, str, str] | None:
    """Keep letters for scenarios off a live session's screen: one refusal makes six of them."""
    outcome = config.stash.get(OUTCOME, None)
    quiet = outcome and outcome.stage.mode is not Mode.VERIFY and config.option.verbose < 0
    return (report.outcome, "", "") if quiet else None


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
    if stage.mode is not Mode.VERIFY:
        items[:] = [item for item in items if _is_about(item, stage.mode)]
        return
    candidate, strangers = stage.request.candidate, set()
    strangers.add("stored" if candidate == HARDENED else "planned")
    if candidate != DOCUMENTED and not stage.request.controls:
        strangers.add("control")
    items[:] = [
        item
        for item in items
        if not strangers & {m.name for m in item.iter_markers()}
        and not any(mark.kwargs.get("only") for mark in item.iter_markers("live"))
    ]


def _is_about(item: pytest.Item, mode: Mode) -> bool:
    """Tell whether a scenario judges sessions of this mode."""
    return any(mode in mark.args for mark in item.iter_markers("live"))


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        outcome = item.config.stash.get(OUTCOME, None)
        if outcome and not item.path.is_relative_to(_OWN_TESTS):
            outcome.deselected += 1


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse a live session of which anything left a scenario out, by whatever option."""
    outcome = session.config.stash.get(OUTCOME, None)
    if outcome is None or outcome.stage.mode is Mode.VERIFY:
        return
    if outcome.deselected or not session.items:
        option = "--upgrade-gate" if outcome.stage.mode is Mode.GATE else "--live"
        raise pytest.UsageError(
            f"{option} is all or nothing, and something left out {outcome.deselected or 'all'} "
            "scenarios (an option of a plugin, PYTEST_ADDOPTS or ALLURE_TESTPLAN_PATH): leave it "
            "away; nothing was touched."
        )


@pytest.fixture(scope="session")
def stage(pytestconfig: pytest.Config) -> Stage:
    """The session's stage: the stores, disposable or real, and the recorded runs."""
    return cast("Stage", pytestconfig.stash[STAGE])


@pytest.fixture(scope="session")
def recorded(stage: Stage, engine: EngineChoice, case: Case) -> Recorded:
    """The run of the routine that is judged, in one case on one engine; acted only once."""
    # A live session has its own engine, and the stores as they are for its only case.
    return stage.recorded(engine, case, stage.request.candidate)


@pytest.fixture(scope="session")
def control(stage: Stage, engine: EngineChoice, case: Case) -> Recorded:
    """The run of the vendor's routine, in one case on one engine; acted only once."""
    return stage.recorded(engine, case, DOCUMENTED)


@pytest.fixture(scope="session")
def rotation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RotationStage]:
    """Containers' logs in a folder of their own, which goes with the session."""
    from harness.plugin.rotation_stage import RotationStage  # noqa: PLC0415 - never live

    folder = tmp_path_factory.mktemp("rotation")
    yield RotationStage(folder)
    shutil.rmtree(folder)


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
        if not session.config.getoption("resume"):
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
