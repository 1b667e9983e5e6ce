"""The Webapp's logs, rotated by the real logrotate under a configuration of ours.

Two faults of the tool are mended in the configuration, both seen with 3.21. `size` rotates
at its limit, where the policy says larger than it. And an archive whose compression a full
disk or a kill cut short stays plain, and is *overwritten* by the next rotation: so what is
left plain is packed before anything is renamed, and where that fails nothing is rotated.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Final

from harness.errors import MaintenanceError
from harness.maintenance.policy import RotationPolicy

_FOLDERS: Final = "/usr/sbin:/sbin:/usr/local/sbin"
"""Where Debian keeps it, which is not on the path of an ordinary user."""
_TIMEOUT_S: Final = 600
_SHOWN_LINES: Final = 3
_FORBIDDEN: Final = frozenset('"\n\\')
"""What cannot stand in a path; nor can a blank in that of the archive, which takes no quotes."""

HAND_OVER: Final = 'flock -x "$2" true'
"""After the log was renamed: once its lock was had, no writer of ours writes to it any more."""

_STANZA: Final = """\
"{log}" {{
    size {first_bytes}
    rotate {keep}
    nodateext
    nodelaycompress
    missingok
    notifempty
    nosharedscripts
    create
    nomail
    olddir {archive}
    createolddir 0750
    {compress}
{mending}    postrotate
        {hand_over}
    endscript
}}
"""

_MENDING: Final = """\
    firstaction
        for left in {archived}.*; do
            case "${{left#{archived}.}}" in *[!0-9]*) continue ;; esac
            [ -f "$left" ] || continue
            gzip -c "$left" >"$left.gz.part" && sync "$left.gz.part" &&
                mv -f "$left.gz.part" "$left.gz" && rm "$left" ||
                {{ rm -f "$left.gz.part"; exit 1; }}
        done
    endscript
"""


def program() -> str:
    """Return where logrotate is.

    Raises:
        MaintenanceError: It is not installed.
    """
    found = shutil.which("logrotate") or shutil.which("logrotate", path=_FOLDERS)
    if not found:
        raise MaintenanceError(
            "logrotate is not installed, and the Webapp's logs are rotated by it: install it "
            "(apt-get install logrotate) and run this again."
        )
    return found


def render(policy: RotationPolicy, *, hand_over: str = HAND_OVER, mends: bool = True) -> str:
    """Return the configuration that carries a policy out, log by log.

    Args:
        policy: What to rotate, where the paths are those of the running system.
        hand_over: A shell command, run once a log was renamed and a new one made; it gets the
            log as $1 and the renamed one as $2, and returns when nobody writes to that.
        mends: Whether what an earlier run left half way is finished first.

    Raises:
        MaintenanceError: A path cannot be written in a configuration, or old ones are to stay,
            which the tool cannot do.
    """
    if not policy.deletes_old:
        raise MaintenanceError(
            "logrotate deletes what it does not keep: set deletes_old = true for the Webapp."
        )
    paths = [str(path) for path in (*policy.logs, policy.archive)]
    if any(_FORBIDDEN & set(path) for path in paths) or " " in paths[-1]:
        raise MaintenanceError(
            "A path with a quotation mark, a backslash or a line end, or an archive's with "
            "a blank, cannot be written in logrotate's configuration: rename the folder."
        )
    return "".join(
        _STANZA.format(
            log=log,
            # The tool rotates at this size, and the policy means larger than its limit.
            first_bytes=policy.larger_than_bytes + 1,
            keep=policy.keep,
            archive=policy.archive,
            compress="compress" if policy.compress else "nocompress",
            mending=_mending(log, policy) if mends and policy.compress else "",
            hand_over=hand_over,
        )
        for log in policy.logs
    )


def rotate(conf: Path, state: Path) -> None:
    """Run the tool once, with a state file of its own.

    Raises:
        MaintenanceError: It is not there, or something could not be rotated; its own words
            are in the message. Lines that were to be archived are still there.
    """
    command = [program(), "--state", str(state), str(conf)]
    try:
        done = subprocess.run(  # noqa: S603 - the program is the one that was found
            command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise MaintenanceError(
            f"logrotate did not end within {_TIMEOUT_S} s: see who holds a lock on the logs."
        ) from None
    # What it must not read it skips with a word, and ends as if all were well.
    if done.returncode or "error:" in done.stderr:
        raise MaintenanceError(
            f"logrotate could not rotate everything ({_said(done.stderr)}): no line is lost; mend "
            "that and run it again."
        )


def write(conf: Path, text: str) -> None:
    """Write a configuration so that the tool accepts it: nobody else may write to it."""
    conf.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    conf.write_text(text, encoding="utf-8")
    conf.chmod(0o600)


def archives(policy: RotationPolicy, log: Path) -> list[Path]:
    """Return a log's archives, oldest first.

    Where one is there both plain and packed, a run was cut short: the plain one is whole.
    """
    numbered = re.compile(rf"{re.escape(log.name)}\.(\d+)(\.gz)?")
    found: dict[int, Path] = {}
    for path in sorted(policy.archive.iterdir(), reverse=True):
        if match := numbered.fullmatch(path.name):
            found[int(match[1])] = path
    return [found[number] for number in sorted(found, reverse=True)]


def _mending(log: Path, policy: RotationPolicy) -> str:
    return _MENDING.format(archived=shlex.quote(str(policy.archive / log.name)))


def _said(text: str) -> str:
    lines = [line.strip().removeprefix("error: ") for line in text.splitlines() if line.strip()]
    return "; ".join(lines[:_SHOWN_LINES]) or "it gave no reason"
