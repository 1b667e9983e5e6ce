"""The upgrade gate's part of the command line as one frozen request, checked before anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from harness import manifest
from harness.config import RunConfig
from harness.errors import RefusalError
from harness.maintenance.gc_policy import GcPolicy
from harness.maintenance.settings import parse_version
from harness.manifest import Manifest
from harness.plugin import live_request, webapp_request
from harness.plugin.webapp_request import WebappRequest, read_policy, read_webapp_request
from harness.surfaces import FileSet

_ELSEWHERE: Final = {
    "live": "--live",
    "preflight": "--preflight",
    "rehearse": "--rehearse",
    "audit": "--audit",
    "plan": "--plan",
    "resume": "--resume",
    "media_dir": "--media-dir",
    "log_treatment": "--log-treatment",
    "treatment": "--treatment",
    "accept_drift": "--accept-drift",
    "accept_non_atomic": "--accept-non-atomic",
    "hold_file": "--hold-file",
    "pseudonym_key": "--pseudonym-key",
    "deadline": "--deadline",
    "routine": "--routine",
    "wa_id": "--wa-id",
    "wa_id_file": "--wa-id-file",
}
# What a gate that follows is given too: what changes anything is not.
_LASTING: Final = (
    "db_env",
    "log_dir",
    *webapp_request.VALUES,
    "from_version",
    "to_version",
    "reports",
    "operator",
    "ticket",
)


@dataclass(frozen=True, slots=True)
class GateRequest:
    """What is asked of an upgrade gate; the versions are empty where they were not given.

    `limits` names the site's own file of limits, if that was given.
    `lasting` are the options that a gate which follows is given too, `flags` those that have the
    client do something.
    """

    config: RunConfig
    manifest: Manifest
    policy: GcPolicy
    reports: Path
    from_version: str = ""
    to_version: str = ""
    limits: str = ""
    webapp: WebappRequest | None = None
    files: FileSet = field(default_factory=FileSet)
    operator: str = ""
    ticket: str = ""
    lasting: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    candidate: str = ""
    baseline: None = None
    controls: bool = False

    @property
    def engines(self) -> tuple[str, ...]:
        """The engine, which names the scenarios."""
        return (self.config.engine.value,)


def add_options(group: pytest.OptionGroup) -> None:
    """Register the upgrade gate's own options."""
    group.addoption(
        "--upgrade-gate",
        action="store_true",
        help="look whether the store set that --db-env names is fit for an upgrade, read-only",
    )
    for name, text in (
        ("--from-version", "with --upgrade-gate: the client's version now, such as 2.27.8"),
        ("--to-version", "with --upgrade-gate: the version that is to be installed"),
    ):
        group.addoption(name, default=None, metavar="VERSION", help=text)


def read_gate_request(config: pytest.Config, *, narrowed: bool) -> GateRequest:
    """Return the request that the gate's options make.

    Raises:
        RefusalError: An option's value cannot be used, or means nothing here.
    """
    strays = [shown for name, shown in _ELSEWHERE.items() if config.getoption(name)]
    if strays:
        raise RefusalError(
            f"--upgrade-gate looks for nobody and erases nothing: leave {', '.join(strays)} away; "
            "nothing was touched."
        )
    live_request.refuse_partial(config, "--upgrade-gate", narrowed=narrowed)
    configs = live_request.read_configs(config)
    if len(configs) > 1:
        raise RefusalError("--upgrade-gate looks at one store set: give one --db-env.")
    return GateRequest(
        config=configs[0],
        manifest=manifest.load(),
        policy=read_policy(config),
        reports=Path(config.getoption("reports") or config.rootpath / "reports"),
        from_version=_version(config, "from_version"),
        to_version=_version(config, "to_version"),
        limits=config.getoption("gc_policy") or "",
        webapp=read_webapp_request(config),
        files=FileSet.of(list(_log_dirs(config)), []),
        operator=live_request.note(config, "operator"),
        ticket=live_request.note(config, "ticket"),
        lasting=tuple(_lasting(config)),
        flags=tuple(
            shown for name, shown in webapp_request.FLAGS.items() if config.getoption(name)
        ),
    )


def refuse_strays(config: pytest.Config) -> None:
    """Refuse the gate's own options without --upgrade-gate.

    Raises:
        RefusalError: There is one.
    """
    for name in ("from_version", "to_version"):
        if config.getoption(name) is not None:
            raise RefusalError(
                f"--{name.replace('_', '-')} goes with --upgrade-gate: add it, or leave it away; "
                "nothing was touched."
            )


def _log_dirs(config: pytest.Config) -> Iterator[Path]:
    for name in config.getoption("log_dir"):
        if not Path(name).is_dir():
            raise RefusalError(
                "A folder given with --log-dir is not there, or is none: mend the path; nothing "
                "was touched."
            )
        yield Path(name).resolve()


def _version(config: pytest.Config, name: str) -> str:
    text = config.getoption(name)
    try:
        return "" if text is None else str(parse_version(text))
    except RefusalError as error:
        option = f"--{name.replace('_', '-')}"
        raise RefusalError(f"{option} is no version. {error} Nothing was touched.") from None


def _lasting(config: pytest.Config) -> list[str]:
    """Return the options that a gate which follows is given too."""
    given = ((name, config.getoption(name)) for name in _LASTING)
    return [
        f"--{name.replace('_', '-')}={one}"
        for name, value in given
        for one in (value if isinstance(value, list) else [value] * (value is not None))
    ]
