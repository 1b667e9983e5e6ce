"""The stand-in for the vendor's clean-up script, installed at the documented path and run."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.errors import MaintenanceError
from harness.maintenance import logrotate
from harness.maintenance import policy as policies
from harness.maintenance.policy import Role, inside

SCRIPT: Final = policies.FILE.with_name("cleanup.sh")
_REPOSITORY: Final = Path(__file__).resolve().parents[2]
_SETTINGS: Final = "etc"
_MODE: Final = 0o755
_TIMEOUT_S: Final = 600


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the script finds where it runs: its root, Python, and the harness's own folder."""

    root: Path
    python: Path = Path(sys.executable)
    harness: Path = _REPOSITORY
    policy: Path = policies.FILE


def install(root: Path, role: Role, surroundings: Surroundings | None = None) -> Path:
    """Put the script, and settings for a role, below `root`, and return where it is.

    Args:
        root: Where the container's file system begins, as seen from here.
        role: Whose logs it will rotate.
        surroundings: What the script will see when it runs, if that is not what is seen from
            here: in a container, its root is "/".

    Raises:
        MaintenanceError: The policies cannot be read or carried out, or nothing can be written.
    """
    seen = surroundings or Surroundings(root)
    known = policies.load()
    script = inside(root, known.cleanup.script)
    settings = script.parent.parent / _SETTINGS
    there = inside(seen.root, known.cleanup.script).parent.parent / _SETTINGS
    policy = known.rotation(role).below(seen.root)
    values = {
        "role": role.value,
        "root": seen.root,
        "python": seen.python,
        "harness": seen.harness,
        "policy": seen.policy,
        "conf": there / "logrotate.conf",
        "state": there / "logrotate.state",
        "logrotate": logrotate.program() if role is Role.WEBAPP else "logrotate",
    }
    lines = [f"{name}={shlex.quote(str(value))}" for name, value in values.items()]
    lines.append(shlex.join(["set", "--", *map(str, policy.logs)]))
    try:
        script.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SCRIPT, script)
        script.chmod(_MODE)
        logrotate.write(settings / "cleanup.conf", "".join(f"{line}\n" for line in lines))
        if role is Role.WEBAPP:
            logrotate.write(settings / "logrotate.conf", logrotate.render(policy))
    except OSError as error:
        raise MaintenanceError(
            f"The clean-up script cannot be put below {root} ({error.strerror}): give a folder "
            "that you may write to."
        ) from None
    return script


def run(script: Path) -> str:
    """Run the script as the host's schedule would, and return what it said.

    Raises:
        MaintenanceError: It failed, or is not there.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the script that `install` put there
            [str(script)], capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MaintenanceError(
            f"The clean-up script did not run ({type(error).__name__}): look at {script}, which "
            "must be there and executable."
        ) from None
    if done.returncode:
        raise MaintenanceError(
            f"The clean-up script failed ({' '.join(done.stderr.split())}): mend that and run it "
            "again."
        )
    return done.stdout
