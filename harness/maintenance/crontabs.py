"""The host's crontabs: /etc/crontab, /etc/cron.d and those of users, entry by entry.

Source: crontab(5) and cron(8) of Debian: which lines are entries, and which files are passed
over without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.maintenance.policy import inside

_SYSTEM: Final = (Path("/etc/crontab"), Path("/etc/cron.d"))
_OF_USERS: Final = (Path("/var/spool/cron/crontabs"), Path("/var/spool/cron"))
_FIELD: Final = r"[\d*][^\s]*|[A-Za-z]{3}[^\s]*"
_TIME: Final = rf"(@\w+|(?:[\d*][^\s]*\s+){{3}}(?:{_FIELD})\s+(?:{_FIELD}))"
_OF_SYSTEM: Final = re.compile(rf"\s*{_TIME}\s+([A-Za-z_][\w.$-]*)\s+(\S.*)")
_OF_USER: Final = re.compile(rf"\s*{_TIME}\s+(\S.*)")
_SETTING: Final = re.compile(r"\s*[\"']?([A-Za-z_]\w*)[\"']?\s*=\s*(.*)")
_READ_BY_CRON: Final = re.compile(r"[A-Za-z0-9_-]+")
_OTHERS_WRITE: Final = 0o022


@dataclass(frozen=True, slots=True)
class Entry:
    """One scheduled command: where it stands, when it starts, what it runs.

    `dormant` says why it never runs, `doubt` why it could not be read; else they are empty.
    """

    place: str
    when: str
    command: str
    dormant: str = ""
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Crontab:
    """One file's entries, and the settings above them."""

    entries: tuple[Entry, ...]
    settings: Mapping[str, str]


def crontabs(root: Path) -> Iterator[Crontab]:
    """Yield each crontab of the host whose file system begins at `root`."""
    for path in _SYSTEM:
        for file in _files(inside(root, path)):
            yield _read(file, root, system=True)
    for path in _OF_USERS:
        for file in _files(inside(root, path)):
            yield _read(file, root, system=False)


def _files(path: Path) -> list[Path]:
    """Return a file, or the files of a folder; what cannot be listed counts as unreadable."""
    try:
        there = sorted(path.iterdir()) if path.is_dir() else [path] if path.is_file() else []
    except OSError:
        return [path]
    return [one for one in there if one.is_file() and one.name != ".placeholder"]


def _read(file: Path, root: Path, *, system: bool) -> Crontab:
    place = f"/{file.relative_to(root)}"
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
        status = file.stat()
    except OSError as error:
        doubt = f"it cannot be read ({error.strerror}): look as root"
        return Crontab((Entry(place, "", "", doubt=doubt),), {})
    dormant = ""
    if system and file.parent.name == "cron.d" and not _READ_BY_CRON.fullmatch(file.name):
        dormant = "cron passes over files of such a name: rename it to letters, digits, - and _"
    elif system and status.st_mode & _OTHERS_WRITE:
        dormant = "cron passes over files that others may write to: chmod 644"
    elif text and not text.endswith("\n"):
        dormant = "cron passes over a file without a line end at its end: add one"
    entries, settings = [], {}
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{place}, line {number}"
        if (match := _SETTING.fullmatch(line)) and not line.lstrip().startswith(("#", "@", "*")):
            settings[match[1]] = match[2].strip().strip("\"'")
        elif entry := _entry(line, where, dormant, system=system):
            entries.append(entry)
    return Crontab(tuple(entries), settings)


def _entry(line: str, place: str, dormant: str, *, system: bool) -> Entry | None:
    """Return what a line schedules; a comment only if it would be an entry without its #."""
    bare = line.strip()
    commented = bare.startswith("#")
    bare = bare.lstrip("#").strip()
    if not bare:
        return None
    match = (_OF_SYSTEM if system else _OF_USER).fullmatch(bare)
    if not match:
        return None if commented else Entry(place, "", bare, dormant, _unread(bare, system=system))
    *_, command = match.groups()
    # cron makes line ends of bare percent signs, and what follows the first its input.
    command = re.split(r"(?<!\\)%", command)[0].replace("\\%", "%")
    why = "it is commented out: take the # away" if commented else dormant
    return Entry(place, " ".join(match[1].split()), command, why)


def _unread(bare: str, *, system: bool) -> str:
    if system and _OF_USER.fullmatch(bare):
        return "it lacks the user, whom a system's crontab names before the command: add one"
    return "it is no line of a crontab: cron passes over its whole file"
