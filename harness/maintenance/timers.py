"""The host's systemd timers with the commands of their services, from the usual unit folders.

Source: systemd.unit(5), systemd.timer(5), systemd.service(5).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.maintenance.policy import inside

_FOLDERS: Final = (
    *("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system"),
    *("/usr/lib/systemd/system", "/lib/systemd/system"),
)
_STARTING: Final = ("ExecStartPre", "ExecStart", "ExecStartPost")
_ELAPSING: Final = ("OnBootSec", "OnActiveSec", "OnStartupSec", "OnUnitActiveSec")
_UNIT_S: Final = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hr": 3600, "d": 86400}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


@dataclass(frozen=True, slots=True)
class Timer:
    """One timer: its OnCalendar lines, and the commands of its service.

    `dormant` says why it never runs, `elapsing` which setting starts it by elapsed time, and
    `service` is empty where the service is not there.
    """

    place: str
    calendars: tuple[str, ...]
    commands: tuple[str, ...]
    delay_s: float | None
    elapsing: str
    dormant: str
    service: str
    wanted_service: str


def timers(root: Path) -> Iterator[Timer]:
    """Yield each timer of the host whose file system begins at `root`."""
    folders = list(_folders(root))
    enabled = {link.name for folder in folders for link in _links(folder)}
    names = {path.name for folder in folders for path in folder.glob("*.timer")}
    names |= {name for name in enabled if name.endswith(".timer")}
    for name in sorted(names):
        instances = [one for one in enabled if "@" in one and _template(one) == name]
        if not (name.partition("@")[2] == ".timer" and instances):
            yield _timer(name, folders, root, enabled=name in enabled)


def _timer(name: str, folders: list[Path], root: Path, *, enabled: bool) -> Timer:
    path = _unit(name, folders)
    settings = _settings(name, path, folders, root)
    service = _last(settings, "Unit") or name.removesuffix(".timer") + ".service"
    found = _unit(service, folders)
    commands = _settings(service, found, folders, root)
    dormant = ""
    if path is None or _is_masked(path):
        dormant = f"it is masked, or its file is gone: systemctl unmask {name}, or restore it"
    elif not enabled:
        dormant = f"it is not enabled: systemctl enable --now {name}"
    elif found and _is_masked(found):
        dormant = f"its service is masked: systemctl unmask {service}"
    return Timer(
        place=f"/{path.relative_to(root)}" if path else name,
        calendars=tuple(value for key, value in settings if key == "OnCalendar"),
        commands=tuple(_command(value) for key, value in commands if key in _STARTING),
        delay_s=_span_s(_last(settings, "RandomizedDelaySec")),
        elapsing=next((key for key, _ in settings if key in _ELAPSING), ""),
        dormant=dormant,
        service=service if found else "",
        wanted_service=service,
    )


def _folders(root: Path) -> Iterator[Path]:
    seen = set()
    for name in _FOLDERS:
        folder = inside(root, Path(name))
        # /lib is /usr/lib on most systems.
        if folder.is_dir() and (real := folder.resolve()) not in seen:
            seen.add(real)
            yield folder


def _links(folder: Path) -> Iterator[Path]:
    for kind in ("wants", "requires"):
        for wanting in folder.glob(f"*.{kind}"):
            yield from wanting.glob("*.timer")


def _template(name: str) -> str:
    prefix, at, rest = name.partition("@")
    return f"{prefix}@.{rest.rpartition('.')[2]}" if at else name


def _unit(name: str, folders: list[Path]) -> Path | None:
    for wanted in dict.fromkeys((name, _template(name))):
        for folder in folders:
            if os.path.lexists(folder / wanted):
                return folder / wanted
    return None


def _is_masked(path: Path) -> bool:
    if path.is_symlink():
        return str(path.readlink()) == os.devnull
    return path.stat().st_size == 0


def _settings(
    name: str, path: Path | None, folders: list[Path], root: Path
) -> list[tuple[str, str]]:
    """Return a unit's settings with those of its drop-ins; an empty one takes back the earlier."""
    if path is None:
        return []
    files = [_real(path, root)]
    for unit in dict.fromkeys((_template(name), name)):
        for folder in folders:
            files += sorted((folder / f"{unit}.d").glob("*.conf"))
    settings: list[tuple[str, str]] = []
    for file in files:
        for key, value in _lines(file):
            if not value:
                settings = [one for one in settings if one[0] != key]
            else:
                settings.append((key, _specified(value, name)))
    return settings


def _real(path: Path, root: Path) -> Path:
    """Return the file that a link of the host leads to, seen from here."""
    target = path.readlink() if path.is_symlink() else path
    return inside(root, target) if path.is_symlink() and target.is_absolute() else path


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in re.sub(r"\\\n", " ", text).splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith(("#", ";", "[")):
            yield key.strip(), value.strip()


def _specified(value: str, name: str) -> str:
    """Replace the specifiers that tell one instance of a template from another."""
    stem = name.rpartition(".")[0]
    prefix, _, instance = stem.partition("@")
    known = {"i": instance, "I": instance, "n": name, "N": stem, "p": prefix, "%": "%"}
    return re.sub(r"%([iInNp%])", lambda match: known[match[1]], value)


def _command(value: str) -> str:
    return value.lstrip("-@:+!|").replace("$$", "$")


def _last(settings: list[tuple[str, str]], key: str) -> str:
    return next((value for name, value in reversed(settings) if name == key), "")


def _span_s(text: str) -> float | None:
    """Return a time span in seconds, or None where it is written in a form not read here."""
    if re.sub(_SPAN, "", text).strip():
        return None
    parts = _SPAN.findall(text)
    if any(unit not in _UNIT_S for _, unit in parts):
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)
