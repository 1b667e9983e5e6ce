"""The words of the whole harness: secrets, engines, treatments, modes, moments."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

OTHER_SET: Final = "other store set"
"""The surface of findings about a store set that the run had to leave alone."""


STOPPED: Final = "time limit"
"""The code of a call that had not ended in time."""


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A value that may be used but never shown: `str`, `repr` and tracebacks print `***`."""

    _value: str

    def reveal(self) -> str:
        """Return the value itself, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


class EngineKind(StrEnum):
    """The kind of server that holds the stores."""

    MYSQL = "mysql"
    POSTGRES = "postgres"

    @property
    def proper_name(self) -> str:
        """The engine's name as its makers write it."""
        return {"mysql": "MySQL", "postgres": "PostgreSQL"}[self.value]


@dataclass(frozen=True, slots=True, order=True)
class EngineChoice:
    """What `--engine` selects: a kind and a version series such as ``10`` or ``5.6``."""

    kind: EngineKind
    series: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.series}"


class Treatment(StrEnum):
    """What erasure does with a row in which a column names the subject."""

    DELETE = "delete"
    MASK = "mask"
    KEEP = "keep"


class RowClass(StrEnum):
    """How a row stands to the subject, decided by the manifest's treatments.

    SUBJECT: a column with treatment *delete* holds the subject's identifier and nothing else.
    MENTION: someone else's row that contains the subject's identifier anywhere.
    BYSTANDER: no identifier of the subject anywhere in the row.
    """

    SUBJECT = "subject"
    MENTION = "mention"
    BYSTANDER = "bystander"


class Mode(StrEnum):
    """What kind of session it is, and what may become of the rows."""

    VERIFY = "verify"
    GATE = "gate"
    PREFLIGHT = "preflight"
    REHEARSE = "rehearse"
    AUDIT = "audit"
    LIVE = "live"


class Part(StrEnum):
    """Which store set an observation is about."""

    JUDGED = "judged"
    OTHER = "other"


class Moment(StrEnum):
    """When an observation was made: before the erasure, inside its transaction, or after it.

    COLLECTED is after the garbage collection that followed, which takes rows of others away by
    a policy of its own.
    """

    BEFORE = "before"
    INSIDE = "inside"
    AFTER = "after"
    COLLECTED = "collected"
