"""How full the log folders are: sizes and names only, no file is opened and no link followed.

What counts as a log or an archive is decided by the names in fixtures/logs/rotation.toml; any
other file counts with its bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harness.maintenance.policy import Policies, RotationPolicy
from harness.model.collected import LogsWeighed, LogWeight
from harness.stores.protocol import UNSPEAKABLE
from harness.surfaces.fileset import FileKind, FileSet, Found, Root

_PACKED: Final = r"(?:\.gz)?"
_FIELDS: Final = {"stamp": r"\d{8}T\d{6}Z", "serial": r"\d+", "number": r"\d+"}


@dataclass(frozen=True, slots=True, eq=False)
class _Log:
    """One log that a policy names: when it is rotated, and what its archives are called."""

    name: str
    policy: RotationPolicy
    archived: re.Pattern[str]


@dataclass(slots=True)
class _Tally:
    """What was found in one folder; archives by the place they belong to and by log."""

    logs: int = 0
    size_bytes: int = 0
    overdue: int = 0
    seen: set[int] = field(default_factory=set)
    archives: Counter[tuple[tuple[str, ...], _Log]] = field(default_factory=Counter)
    links: int = 0
    strange: int = 0
    strange_bytes: int = 0


def weigh_logs(run: str, folders: Sequence[tuple[str, Path]], policies: Policies) -> LogsWeighed:
    """Weigh log folders, each under its label.

    Args:
        run: The run that it is for.
        folders: Labels, and the folders themselves, with all that is below them.
        policies: When logs are rotated, what their archives are called, how many are kept.
    """
    known = [
        _Log(log.name, policy, _archived(policy, log.name))
        for policy in (policies.webapp, policies.coreapp)
        for log in policy.logs
    ]
    unseen: list[str] = []
    weights = tuple(_weigh(label, path, known, unseen) for label, path in folders)
    return LogsWeighed(run, weights, tuple(unseen))


def _weigh(label: str, path: Path, known: Sequence[_Log], unseen: list[str]) -> LogWeight:
    file_set = FileSet((Root(path.resolve(), FileKind.LOG, label),))
    tally = _Tally()
    for found in file_set.walk():
        if found.broken:
            shown = UNSPEAKABLE.sub("#", file_set.shown(found.place))
            unseen.append(f"{shown} could not be weighed: {found.broken}.")
        elif found.is_file:
            _add(tally, found, known)
        elif found.target:
            tally.links += 1
    unseen += _unexplained(label, tally)
    return LogWeight(
        label,
        logs=tally.logs,
        archives=tally.archives.total(),
        size_bytes=tally.size_bytes,
        overdue=tally.overdue,
        surplus=sum(max(count - log.policy.keep, 0) for (_, log), count in tally.archives.items()),
    )


def _add(tally: _Tally, found: Found, known: Sequence[_Log]) -> None:
    if found.key in tally.seen:
        return  # another name of the same file, which takes no more room
    tally.seen.add(found.key)
    tally.size_bytes += found.size_bytes
    *folders, name = found.place.parts
    for log in known:
        if name == log.name:
            tally.logs += 1
            tally.overdue += found.size_bytes > log.policy.larger_than_bytes
            return
        if log.archived.fullmatch(name):
            # One waits beside its log to be packed, others lie in the archive folder there.
            in_archive = folders[-1:] == [log.policy.archive.name]
            tally.archives[tuple(folders[:-1] if in_archive else folders), log] += 1
            return
    if known and found.size_bytes > min(log.policy.larger_than_bytes for log in known):
        tally.strange += 1
        tally.strange_bytes += found.size_bytes


def _unexplained(label: str, tally: _Tally) -> Iterator[str]:
    shown = UNSPEAKABLE.sub("#", label)
    if tally.strange:
        yield (
            f"{shown} has files of other names than the policy's, {tally.strange} above the limit "
            f"at which logs are rotated, of {tally.strange_bytes} bytes together: name these logs "
            "in the rotation policy, or take them away."
        )
    if tally.links:
        yield (
            f"{shown} has {tally.links} links that were not followed: give the folders that they "
            "lead to with --log-dir."
        )


def _archived(policy: RotationPolicy, log: str) -> re.Pattern[str]:
    """Return what the names of a log's archives look like, packed or not."""
    parts = re.split(r"\{(\w+)\}", policy.archive_name)
    return re.compile("".join(_translated(parts, log)) + _PACKED)


def _translated(parts: Sequence[str], log: str) -> Iterator[str]:
    for index, part in enumerate(parts):
        if index % 2 == 0:
            yield re.escape(part)
        else:
            yield re.escape(log) if part == "log" else _FIELDS[part]
