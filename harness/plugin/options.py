"""The command line as one frozen request; bad input ends here, in one sentence and exit 4."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from harness import manifest, routines
from harness.errors import RefusalError
from harness.evidence.baseline import Reading, read_verdict
from harness.model import EngineChoice, EngineKind
from harness.plugin import gate_request, live_request
from harness.routines import RoutineFile
from harness.run import DOCUMENTED, HARDENED

_LARGEST_POPULATION: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """What a verification was asked for.

    `candidate` is the routine that is judged; `controls` tells whether the runs that must
    fail belong to it, which is so unless the candidate was named. `population` is how many
    messages of bystanders to load beside the named cases, 0 for none; `file` is the candidate
    where that is an operator's own routine. `baseline` is what the earlier session said that
    this one is compared with.
    """

    engines: tuple[EngineChoice, ...]
    candidate: str
    controls: bool
    reports: Path
    population: int = 0
    file: RoutineFile | None = None
    baseline: Reading | None = None


def add_options(parser: pytest.Parser) -> None:
    """Register the harness's options with pytest."""
    group = parser.getgroup("erasure", "verified erasure")
    group.addoption(
        "--engine",
        action="append",
        default=[],
        metavar="ENGINE",
        help="mysql, postgres, or one with a version (postgres:13); repeatable; default both",
    )
    group.addoption(
        "--routine",
        default=None,
        metavar="ROUTINE",
        help="the routine to judge, and nothing else: documented, hardened, or a file with one "
        "CREATE PROCEDURE or FUNCTION; default: hardened, with the documented one as a control",
    )
    group.addoption(
        "--reports",
        default=None,
        metavar="DIR",
        help="where sessions leave their evidence; default: reports",
    )
    group.addoption(
        "--population",
        default=None,
        metavar="N",
        help="also erase among N messages of bystanders, and a subject with 200000; default 0",
    )
    group.addoption(
        "--baseline",
        default=None,
        metavar="VERDICT.json",
        help="also say what is new, gone and unchanged since the session that wrote this",
    )
    live_request.add_options(group)
    gate_request.add_options(group)


def read_request(config: pytest.Config) -> Request:
    """Return the request that the options make.

    Raises:
        RefusalError: An option's value cannot be used, or the request is not safe.
    """
    live_request.refuse_strays(config)
    gate_request.refuse_strays(config)
    file = _file(config.getoption("routine"))
    return Request(
        engines=_engines(config.getoption("engine"), file),
        candidate=file.label if file else config.getoption("routine") or HARDENED,
        file=file,
        controls=config.getoption("routine") is None,
        reports=Path(config.getoption("reports") or config.rootpath / "reports"),
        population=_population(config.getoption("population"), config.getoption("routine")),
        baseline=_baseline(config.getoption("baseline")),
    )


def _engines(texts: list[str], file: RoutineFile | None) -> tuple[EngineChoice, ...]:
    # Imported here, so that a live run can refuse without ever loading servers.
    from harness.servers import parse_choice  # noqa: PLC0415

    kinds = [file.engine] if file else EngineKind
    chosen = {parse_choice(text) for text in texts or [kind.value for kind in kinds]}
    if file and {one.kind for one in chosen} != {file.engine}:
        raise RefusalError(
            f"{file.label} is written for {file.engine.proper_name}: give --engine "
            f"{file.engine.value}, or leave it away."
        )
    return tuple(sorted(chosen))


def _file(text: str | None) -> RoutineFile | None:
    if text in {None, HARDENED, DOCUMENTED}:
        return None
    stores = [store.name for store in manifest.load().stores]
    return routines.read(Path(text or ""), stores)


def _population(text: str | None, routine: str | None) -> int:
    if text is None:
        return 0
    if not re.fullmatch(r"[0-9]{1,8}", text) or int(text) > _LARGEST_POPULATION:
        raise RefusalError(
            f"--population takes a number of messages from 0 to {_LARGEST_POPULATION}, in digits "
            "only: give one, or leave it away."
        )
    if routine == DOCUMENTED:
        raise RefusalError(
            "--population goes with the hardened routine: leave it, or --routine documented, away."
        )
    return int(text)


def _baseline(name: str | None) -> Reading | None:
    return None if name is None else read_verdict(Path(name))
