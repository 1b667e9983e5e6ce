"""The options about the client's API, for real stores and for the upgrade gate alike."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from harness import config as run_config
from harness.config import WebappConfig
from harness.errors import ConfigError, MaintenanceError, RefusalError
from harness.maintenance import gc_policy
from harness.maintenance.gc_policy import GcPolicy
from harness.model import Garbage, Secret

VALUES: Final = {
    "webapp_url": "--webapp-url",
    "webapp_ca": "--webapp-ca",
    "gc_policy": "--gc-policy",
}
FLAGS: Final = {
    "run_gc": "--run-gc",
    "mark_read": "--mark-read",
    "gc_any_time": "--gc-any-time",
}


@dataclass(frozen=True, slots=True)
class WebappRequest:
    """What is asked of the client: to be looked at, and perhaps to collect garbage.

    `barred` says why nothing can be asked of it after all, and is empty otherwise.

    `marks_read`: inbound messages are marked read before; `any_time`: also outside of a quiet
    period, and sooner than a day after the last time.
    """

    config: WebappConfig
    policy: GcPolicy
    garbage: tuple[Garbage, ...] = ()
    marks_read: bool = False
    any_time: bool = False
    barred: str = ""


def add_options(group: pytest.OptionGroup) -> None:
    """Register the options about the client's API."""
    for name, metavar, text in (
        ("--webapp-url", "URL", "the client's API; credentials from WA_WEB_USERNAME, _PASSWORD"),
        ("--webapp-ca", "FILE", "PEM: the CA that the Webapp's certificate is checked against"),
        ("--gc-policy", "FILE", "the site's own limits, in place of fixtures/gc/policy.toml"),
    ):
        group.addoption(name, default=None, metavar=metavar, help=text)
    for name, text in (
        ("--run-gc", "have the client collect garbage among its messages, after the erasure"),
        ("--mark-read", "with --run-gc: first mark every inbound message read"),
        ("--gc-any-time", "with --run-gc: also at a busy time, and twice within a day"),
    ):
        group.addoption(name, action="store_true", help=text)


def waiting_for(policy: GcPolicy) -> str:
    """Return what is said while the client collects, which may take hours."""
    return f"waiting for the client to collect garbage, at most {policy.wait_s / 60:.0f} min"


def read_policy(config: pytest.Config) -> GcPolicy:
    """Return the site's limits, or those of the fixture.

    Raises:
        RefusalError: The file cannot be used.
    """
    given = config.getoption("gc_policy")
    try:
        return gc_policy.load(Path(given)) if given else gc_policy.load()
    except MaintenanceError as error:
        raise RefusalError(str(error)) from None


def read_webapp_request(
    config: pytest.Config, begun: tuple[str, str] = ("", ""), *, resumed: bool = False
) -> WebappRequest | None:
    """Return what is asked of the client's API, or None if nothing is.

    Args:
        config: pytest's own.
        begun: URL and CA file of the session that is taken up again, if it is one.
        resumed: Whether a session is taken up again: it is finished whether or not the client can
            be asked, and then says why it was not.

    Raises:
        RefusalError: An option cannot be used, or lacks another one.
    """
    for name, option in VALUES.items():
        if config.getoption(name) == "":
            # A variable of the shell's that is not set, perhaps: not the same as no option.
            raise RefusalError(f"{option} is empty: give it a value, or leave it away.")
    url = config.getoption("webapp_url") or begun[0]
    ca = config.getoption("webapp_ca") or begun[1]
    given = {name: config.getoption(name) for name in FLAGS}
    if not url:
        if ca or any(given.values()):
            stray = "--webapp-ca" if ca else FLAGS[next(name for name in given if given[name])]
            raise RefusalError(
                f"{stray} needs the client's API: give --webapp-url=https://HOST:PORT; nothing was "
                "touched."
            )
        return None
    garbage = (Garbage.MESSAGES,) if given["run_gc"] else ()
    for name in ("mark_read", "gc_any_time"):
        if given[name] and not garbage:
            raise RefusalError(f"{FLAGS[name]} goes with --run-gc: add it, or leave both away.")
    policy, trusted = read_policy(config), Path(ca).resolve() if ca else None
    try:
        reached = run_config.webapp_from_variables(url, trusted, os.environ)
    except ConfigError as error:
        if not resumed:
            raise
        nowhere = WebappConfig(url, "", Secret(""))
        return WebappRequest(nowhere, policy, garbage, barred=str(error))
    return WebappRequest(reached, policy, garbage, given["mark_read"], given["gc_any_time"])
