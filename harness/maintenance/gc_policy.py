"""The limits of fixtures/gc/policy.toml as frozen values, each with how far it is known."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from harness.errors import MaintenanceError
from harness.maintenance.policy import Known

FILE: Final = Path(__file__).resolve().parents[2] / "fixtures" / "gc" / "policy.toml"
_FORMAT: Final = 1
_MAY_BE_NOTHING: Final = frozenset(
    {"quiet_per_s", "pending_callbacks_most", "disk_free_share_least", "older_than_days", "least_s"}
)
_SHARES: Final = frozenset({"dead_share_most", "disk_free_share_least"})


@dataclass(frozen=True, slots=True)
class GcPolicy:
    """Limits of garbage collection and of the upgrade gate; see the file for each.

    `known` tells how far each is known, by section and name, such as ``traffic.quiet_per_s``.
    """

    large_rows: int
    repeat_rows: int
    api_driven_per_s: float
    every_h: float
    quiet_per_s: float
    window_s: float
    look_every_s: float
    rest_looks: int
    least_s: float
    wait_s: float
    times_most: int
    marks_per_s: float
    marks_most: int
    pending_callbacks_most: int
    dead_share_most: float
    disk_free_share_least: float
    unused_days: float
    read_column: str
    older_than_days: float
    delivered_column: str
    batch_rows: int
    known: Mapping[str, Known]


def load(path: Path = FILE) -> GcPolicy:
    """Read the limits.

    Raises:
        MaintenanceError: The file cannot be read, or lacks a value or its mark.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        if document.pop("format") != _FORMAT:
            raise MaintenanceError(f"{path.name} is of another format: write format = {_FORMAT}.")
        entries = {
            (section, name): entry
            for section, names in document.items()
            for name, entry in names.items()
        }
        return GcPolicy(
            **{name: _typed(name, entry["value"]) for (_, name), entry in entries.items()},
            known={
                f"{section}.{name}": Known(str(entry["known"]))
                for (section, name), entry in entries.items()
            },
        )
    except OSError as error:
        raise MaintenanceError(
            f"The limits {path.name} cannot be read ({error.strerror}): mend the path."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise MaintenanceError(
            f"{path.name} does not have the limits of garbage collection ({error}): write each as "
            '{ value = …, known = "confirmed" | "inferred" | "not-found" }, as the fixture does.'
        ) from None


def _typed(name: str, value: object) -> Any:  # noqa: ANN401  # each as its field says
    """Return a value of the type that its limit has: a number is written as it is meant.

    Raises:
        ValueError: It is of another type, or below 0.
        KeyError: There is no such limit.
    """
    kinds: dict[str, type] = {"int": int, "float": float, "str": str}
    kind = kinds[{one.name: str(one.type) for one in fields(GcPolicy)}[name]]
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ValueError(f"{name} is no {kind.__name__}")
    if isinstance(value, int | float) and not 0 <= value < math.inf:
        raise ValueError(f"{name} is below 0, or no number")
    if value == 0 and name not in _MAY_BE_NOTHING:
        raise ValueError(f"{name} is 0")
    if name in _SHARES and isinstance(value, float) and value > 1:
        raise ValueError(f"{name} is a share, and above 1")
    return value
