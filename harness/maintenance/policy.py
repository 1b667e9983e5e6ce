"""The policies of fixtures/logs/rotation.toml as frozen values, each with how far it is known."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import time
from enum import StrEnum
from pathlib import Path
from typing import Final

from harness.errors import MaintenanceError

FILE: Final = Path(__file__).resolve().parents[2] / "fixtures" / "logs" / "rotation.toml"
_FORMAT: Final = 1


class Role(StrEnum):
    """What a container of the client is for."""

    WEBAPP = "webapp"
    COREAPP = "coreapp"
    MASTER = "master"


class Known(StrEnum):
    """How far a value is known."""

    CONFIRMED = "confirmed"
    INFERRED = "inferred"
    NOT_FOUND = "not-found"


@dataclass(frozen=True, slots=True)
class RotationPolicy:
    """When logs are rotated, where to, and what becomes of old ones.

    A log is rotated when it is larger than `larger_than_bytes`, and not when it is just that
    large. `keep` archives of each log are kept; more only where old ones are not deleted.
    """

    logs: tuple[Path, ...]
    keep: int
    larger_than_bytes: int
    compress: bool
    archive: Path
    deletes_old: bool
    archive_name: str
    known: Mapping[str, Known]

    def below(self, root: Path) -> RotationPolicy:
        """Return the same policy for a container whose file system begins at `root`."""
        return replace(
            self,
            logs=tuple(inside(root, log) for log in self.logs),
            archive=inside(root, self.archive),
        )


@dataclass(frozen=True, slots=True)
class CleanupPolicy:
    """Where the clean-up script is, whose containers need it, and the hours that are off-peak.

    `off_peak` begins and ends in the host's local time, and may go past midnight.
    """

    script: Path
    roles: tuple[Role, ...]
    off_peak: tuple[time, time]
    known: Mapping[str, Known]

    def is_off_peak(self, moment: time) -> bool:
        """Tell whether a time of the day is off-peak; the end is not."""
        begin, end = self.off_peak
        if begin <= end:
            return begin <= moment < end
        return moment >= begin or moment < end


@dataclass(frozen=True, slots=True)
class Policies:
    """All policies of one file."""

    webapp: RotationPolicy
    coreapp: RotationPolicy
    cleanup: CleanupPolicy

    def rotation(self, role: Role) -> RotationPolicy:
        """Return how the logs of a container are rotated; a master's like a Coreapp's."""
        return self.webapp if role is Role.WEBAPP else self.coreapp


def inside(root: Path, path: Path) -> Path:
    """Return where an absolute path lies when the file system begins at `root`."""
    return root / path.relative_to(path.anchor)


def load(path: Path = FILE) -> Policies:
    """Read the policies.

    Raises:
        MaintenanceError: The file cannot be read, or lacks a value or its mark.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        if document["format"] != _FORMAT:
            raise MaintenanceError(f"{path.name} is of another format: write format = {_FORMAT}.")
        mb_bytes = int(document["units"]["mb_bytes"]["value"])
        return Policies(
            _rotation(document["webapp"], mb_bytes),
            _rotation(document["coreapp"], mb_bytes),
            _cleanup(document["cleanup"]),
        )
    except OSError as error:
        raise MaintenanceError(
            f"The policies {path.name} cannot be read ({error.strerror}): mend the path."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise MaintenanceError(
            f"{path.name} does not say how logs are rotated ({error}): write each value as "
            '{ value = …, known = "confirmed" | "inferred" | "not-found" }, as the fixture does.'
        ) from None


def _rotation(section: Mapping[str, Mapping[str, object]], mb_bytes: int) -> RotationPolicy:
    values = {name: entry["value"] for name, entry in section.items()}
    logs, keep = values["logs"], values["keep"]
    if not isinstance(logs, list) or not isinstance(keep, int) or keep < 1:
        raise ValueError("logs is a list of paths, keep at least 1")
    return RotationPolicy(
        logs=tuple(_absolute(log) for log in logs),
        keep=keep,
        larger_than_bytes=int(float(str(values["larger_than_mb"])) * mb_bytes),
        compress=bool(values["compress"]),
        archive=_absolute(values["archive"]),
        deletes_old=bool(values["deletes_old"]),
        archive_name=str(values["archive_name"]),
        known=_marks(section),
    )


def _cleanup(section: Mapping[str, Mapping[str, object]]) -> CleanupPolicy:
    roles, hours = section["roles"]["value"], section["off_peak"]["value"]
    if not isinstance(roles, list) or not isinstance(hours, list):
        raise TypeError("roles and off_peak are lists")
    begin, end = (time.fromisoformat(hour) for hour in hours)
    return CleanupPolicy(
        script=_absolute(section["script"]["value"]),
        roles=tuple(Role(role) for role in roles),
        off_peak=(begin, end),
        known=_marks(section),
    )


def _absolute(text: object) -> Path:
    path = Path(str(text))
    if not path.is_absolute():
        raise ValueError(f"{path} is not an absolute path")
    return path


def _marks(section: Mapping[str, Mapping[str, object]]) -> Mapping[str, Known]:
    return {name: Known(str(entry["known"])) for name, entry in section.items()}
