"""Records of a run: how it began and ended, and what every pass over the rows saw."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.nouns import Moment, Part
from harness.model.verdicts import Finding


@dataclass(frozen=True, slots=True, order=True)
class Trace:
    """A hit, aggregated: so many cells of one column hold an identifier of the subject.

    `forms` tells in which forms, and how often each; a cell may hold several.
    """

    store: str
    table: str
    column: str
    cells: int
    forms: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class TableState:
    """Rows of one table by class, and order-free keyed digests of the rows that must not change.

    In a set that is out of scope every row is a bystander's, the same person's rows too.
    Digests are sums modulo 2**128 of a keyed hash per row, as 32 hexadecimal digits; two
    states compare only if they were taken with the same key, which never leaves the process.
    """

    store: str
    table: str
    subject_rows: int
    mention_rows: int
    bystander_rows: int
    mention_digest: str
    bystander_digest: str


@dataclass(frozen=True, slots=True)
class Unsearched:
    """A surface in scope that could not be searched in full, and why."""

    store: str
    table: str
    why: str


@dataclass(frozen=True, slots=True)
class RunOpened:
    """A run begins: who is to be erased (by pseudonym), from what, by which routine.

    `control`: the run must fail in exactly the way that is predicted. `shared`: others may
    write meanwhile, so that bystanders are compared inside the transaction only.
    `routine_digest`: SHA-256 of a routine FILE, in hexadecimal. `examination`: the run asks how
    the routine behaves, and not whether it erases. `files`: log folders or media volumes are in
    scope beside the rows.
    """

    run: str
    case: str
    mode: str
    engine: str
    engine_version: str
    routine: str
    control: bool
    prefix: str
    subject: str
    at: str
    shared: bool = False
    routine_digest: str = ""
    examination: bool = False
    files: bool = False


@dataclass(frozen=True, slots=True)
class Planted:
    """What the population put in on purpose: the sweep before the erasure must see it all."""

    run: str
    traces: tuple[Trace, ...]
    bystander_rows: int


@dataclass(frozen=True, slots=True)
class ClosureFrozen:
    """The identity closure by kind and count, frozen before anything is deleted.

    `pseudonyms` has one for each identifier, so that a restored alias can be recognised later.
    """

    run: str
    identifiers: tuple[tuple[str, int], ...]
    pseudonyms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """One pass over every row of a store set: states, traces, and what was not searched."""

    run: str
    part: Part
    moment: Moment
    at: str
    duration_s: float
    size_bytes: int
    tables: tuple[TableState, ...]
    traces: tuple[Trace, ...]
    unsearched: tuple[Unsearched, ...] = ()


@dataclass(frozen=True, slots=True)
class RowsDiffer:
    """Which rows of others differ from before, as keyed digests; a changed row is in both lists."""

    run: str
    part: Part
    moment: Moment
    store: str
    table: str
    gone: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drifted:
    """The connected schema differs from the manifest at one place.

    `accepted`: the operator said to go on with the default treatment. `missing`: the place is in
    the manifest and not on the server.
    """

    run: str
    store: str
    table: str
    column: str
    why: str
    accepted: bool = False
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Predicted:
    """The findings that the manifest predicts for this run, worked out without a server."""

    run: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A phase could not be finished; the sentence holds no identifier and no content."""

    run: str
    phase: str
    error: str
    sentence: str


@dataclass(frozen=True, slots=True)
class RunClosed:
    """The run went through all its phases."""

    run: str
    at: str
