"""Records of erasures: what was planned, decided, committed and undone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TableChange:
    """What the plan did to one table: rows deleted, and rows in which something was masked."""

    store: str
    table: str
    deleted_rows: int
    masked_rows: int


@dataclass(frozen=True, slots=True)
class Erased:
    """The plan was carried out and committed, after so many attempts that gave way to others."""

    run: str
    round: int
    attempts: int
    duration_s: float
    tables: tuple[TableChange, ...]


@dataclass(frozen=True, slots=True)
class CanaryFlown:
    """The canary went through the transaction: cells planted, seen, and left after erasure."""

    run: str
    tables: int
    planted_cells: int
    seen_cells: int
    left_cells: int


@dataclass(frozen=True, slots=True)
class PlanMade:
    """What the plan would do, carried out and found clear; the digest names exactly that."""

    run: str
    digest: str
    tables: tuple[TableChange, ...]


@dataclass(frozen=True, slots=True)
class Withheld:
    """A rehearsal was clear and was rolled back all the same, as it must be."""

    run: str


@dataclass(frozen=True, slots=True)
class Committing:
    """The decision to commit, before it is sent; `Erased` says that it was carried out."""

    run: str
    round: int
    tables: tuple[TableChange, ...]


@dataclass(frozen=True, slots=True)
class Resumed:
    """An interrupted run was taken up again; `state` is how far it had come."""

    run: str
    at: str
    state: str


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What a read-only search proved itself on: people known to be there, found again.

    Cells of columns that bear identities, one each, read by another way than the search's.
    """

    run: str
    known_cells: int
    found_cells: int


@dataclass(frozen=True, slots=True)
class LogHolds:
    """A log of the server's own received the subject's number with a statement of ours."""

    run: str
    log: str


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The plan was carried out, found not to be clear, and rolled back: every row is as before."""

    run: str
    round: int
    why: str
