"""Which engines can be had: kind, version series, and the pinned package each comes from.

`fixtures/engines/<kind>-<series>/` holds a package.json with one exact version, its lock, and
the digest of what the package unpacks to. Adding a folder there adds a choice to `--engine`.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError, ServerError
from harness.model import EngineChoice, EngineKind

ENGINES_FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "engines"

_DEFAULT_SERIES = {EngineKind.MYSQL: "5.6", EngineKind.POSTGRES: "10"}
_HOME_IN_PACKAGE = {EngineKind.MYSQL: "server", EngineKind.POSTGRES: "native"}


@dataclass(frozen=True, slots=True)
class Pin:
    """One engine's package.json and lock, and where the engine lies once they are installed."""

    choice: EngineChoice
    folder: Path

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change whenever the lock file does."""
        return hashlib.sha256((self.folder / "package-lock.json").read_bytes()).hexdigest()[:12]

    @property
    def package(self) -> str:
        """The name of the one package that package.json depends on."""
        (name,) = json.loads((self.folder / "package.json").read_text("utf-8"))["dependencies"]
        return str(name)

    @property
    def home_digest(self) -> str:
        """The `folder_digest` of the engine's own folder as npm unpacks it."""
        return (self.folder / "home.sha256").read_text("ascii").strip()

    @property
    def home(self) -> Path:
        """The engine's own folder, relative to the folder that npm installs into."""
        return Path("node_modules", self.package, _HOME_IN_PACKAGE[self.choice.kind])


def known_choices() -> tuple[EngineChoice, ...]:
    """List every engine that is pinned, in order of kind and version series."""
    kinds = {kind.value: kind for kind in EngineKind}
    parts = (lock.parent.name.split("-", 1) for lock in ENGINES_FOLDER.glob("*/package-lock.json"))
    choices = (EngineChoice(kinds[kind], series) for kind, series in parts)
    return tuple(sorted(choices, key=lambda choice: (choice.kind, _as_numbers(choice.series))))


def parse_choice(text: str) -> EngineChoice:
    """Return the engine that a value of `--engine` selects, such as ``postgres:13``.

    Without a series it is the one that the vendor's map was published for.

    Raises:
        ConfigError: no such engine is pinned; the message lists those that are.
    """
    kind_name, _, series = text.partition(":")
    for choice in known_choices():
        wanted = series if ":" in text else _DEFAULT_SERIES[choice.kind]
        if (choice.kind.value, choice.series) == (kind_name, wanted):
            return choice
    default = {kind.value: f"{kind} (= {kind}:{_DEFAULT_SERIES[kind]})" for kind in EngineKind}
    listed = ", ".join([*default.values(), *map(str, known_choices())])
    raise ConfigError(f"--engine names no engine of ours: choose one of {listed}.")


def pin_of(choice: EngineChoice) -> Pin:
    """Return the pinned package of a choice.

    Raises:
        ServerError: the choice is not pinned, or not for this platform.
    """
    require_platform()
    folder = ENGINES_FOLDER / f"{choice.kind}-{choice.series}"
    if not (folder / "package-lock.json").is_file():
        raise ServerError(f"There is no pinned package for {choice}: see fixtures/engines.")
    return Pin(choice, folder)


def folder_digest(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of all files in a folder, as hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{content}  {path.relative_to(folder)}\n".encode())
    return digest.hexdigest()


def require_platform() -> None:
    """Refuse platforms that the pinned binaries were not built for.

    Raises:
        ServerError: this is not Linux on x86-64 with glibc.
    """
    here = f"{platform.system()} {platform.machine()}"
    if sys.platform == "linux" and platform.machine().lower() in {"x86_64", "amd64"}:
        if platform.libc_ver()[0] == "glibc":
            return
        here += " without glibc"
    raise ServerError(
        f"The embedded servers need Linux x86-64 with glibc and this is {here}: "
        "run the harness there, for example in a virtual machine with Debian."
    )


def _as_numbers(series: str) -> tuple[int, ...]:
    return tuple(int(part) for part in series.split("."))
