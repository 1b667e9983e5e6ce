"""Disposable servers: where they come from and how they live and end.

Never imported under `--live`.
"""

import os

from harness.servers.pins import known_choices, parse_choice, require_platform

if os.name != "posix":
    # What is imported below needs POSIX locks and users: say so before Python does.
    require_platform()

from harness.servers.embedded import EmbeddedServer, launch, running
from harness.servers.installation import install, is_installed
from harness.servers.private_folder import sweep_up

__all__ = [
    "EmbeddedServer",
    "install",
    "is_installed",
    "known_choices",
    "launch",
    "parse_choice",
    "require_platform",
    "running",
    "sweep_up",
]
