"""Records about stored routines: what was called, and how they behave."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Called:
    """The routine was called once and returned; `affected_rows` is what it claimed."""

    run: str
    form: str
    affected_rows: int
    duration_s: float


class Step(StrEnum):
    """What is done with a stored routine."""

    INSTALL = "install"
    CALL = "call"
    CLEAN_UP = "clean up"


@dataclass(frozen=True, slots=True)
class RoutineFailed:
    """The server refused a step; `code` is its own, `lacks` names an object that is missing."""

    run: str
    step: Step
    form: str
    code: str
    lacks: str


class Probe(StrEnum):
    """What an examination calls a routine with, or in: each tells one thing about it."""

    NUMBER = "the number"
    TEXT = "text behind the number"
    NULL = "NULL"
    OWN = "-1"
    TRANSACTION = "a transaction of the caller's"
    INTERRUPTED = "an error half way"


@dataclass(frozen=True, slots=True)
class Probed:
    """One probe of a routine: what it answered, and what was changed when it had returned.

    `code` is the server's error, or empty where the routine took what it was given; `changed`
    are tables as `store.table`, after a rollback where the probe ends in one; `obstacle` is the
    table whose rows could not be changed; `own` are tables in which a row of the installation
    itself was changed; `ended`: the caller's transaction was over.
    """

    run: str
    probe: Probe
    code: str
    changed: tuple[str, ...]
    own: tuple[str, ...] = ()
    ended: bool = False
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """The routine named the subject where that is kept or shown: so many times, where."""

    run: str
    where: str
    count: int


@dataclass(frozen=True, slots=True)
class CatalogChanged:
    """Objects of the server that a routine or its file made, or took away from others."""

    run: str
    object_kind: str
    made: int
    gone: int


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """An object that installing the routine made and removing it did not take away."""

    run: str
    object_kind: str
    count: int
