"""Disposable servers: where they come from and how they live and end.

Never imported under `--live`.
"""

from harness.servers.embedded import EmbeddedServer, launch, running
from harness.servers.installation import install, is_installed
from harness.servers.pins import known_choices, parse_choice
from harness.servers.private_folder import sweep_up

__all__ = [
    "EmbeddedServer",
    "install",
    "is_installed",
    "known_choices",
    "launch",
    "parse_choice",
    "running",
    "sweep_up",
]
