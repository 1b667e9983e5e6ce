"""What stands: which client, over which stores, and what it knows at the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from harness.config import RunConfig
from harness.maintenance import gc_policy
from harness.maintenance.gc_policy import GcPolicy
from harness.webapp.certificates import Certificate
from harness.webapp.settings import OBJECT_FROM

PASSWORD: Final = "Stand-in-1"  # noqa: S105  # of something that stands for minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class StandInConfig:
    """What stands: a client of a version, with so many Coreapps, over a store set.

    More than one node makes it multiconnect, with two masters. `as_of` is the time that ages are
    counted from, now if None; `settings` is what was changed of the version's defaults.
    `webhook_ca` is trusted where notifications go; `access_log` is a file for lines like
    lighttpd's, which hold message ids. `pause_s` goes by after each batch.
    """

    run_config: RunConfig
    version: str = "2.45.1"
    nodes: int = 1
    media_dir: Path | None = None
    tls: Certificate | None = None
    username: str = "admin"
    password: str = PASSWORD
    first_login: bool = False
    as_of: datetime | None = None
    policy: GcPolicy = field(default_factory=gc_policy.load)
    settings: Mapping[str, Any] = field(default_factory=dict)
    object_from: str = OBJECT_FROM
    webhook_ca: Path | None = None
    access_log: Path | None = None
    pause_s: float = 0
