"""The nouns of the harness as frozen dataclasses: no IO, no engine, no pytest.

A `History` is a tuple of records. Merging histories is concatenating them, so merging is
associative, and a history streams as one JSON object a line (`harness.history`).
Every record names the run it belongs to; the judge groups by that name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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


# --- verdicts and findings ------------------------------------------------------------------


class Verdict(StrEnum):
    """What a judge says; the later one in this list wins when verdicts are combined."""

    CLEAR = "CLEAR"
    TRACE = "TRACE"
    UNKNOWN = "UNKNOWN"

    @property
    def exit_code(self) -> int:
        """The session's exit status for this verdict."""
        return {"CLEAR": 0, "TRACE": 1, "UNKNOWN": 10}[self.value]

    @classmethod
    def worst(cls, *verdicts: Verdict) -> Verdict:
        """Return the worst of the verdicts; CLEAR when there are none."""
        order = list(cls)
        return max(verdicts, key=order.index, default=cls.CLEAR)


class FindingKind(StrEnum):
    """What a finding is about."""

    TRACE = "trace"
    COLLATERAL = "collateral"
    COVERAGE = "coverage"
    ROUTINE = "routine"
    DRIFT = "drift"
    SURFACE = "surface"
    SETTINGS = "settings"
    CAPACITY = "capacity"

    @property
    def verdict(self) -> Verdict:
        """The verdict that one unexpected finding of this kind leads to."""
        unknown = {FindingKind.COVERAGE, FindingKind.SURFACE}
        return Verdict.UNKNOWN if self in unknown else Verdict.TRACE


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A judged fact: where and why, never content. `count` is a number of cells or rows."""

    kind: FindingKind
    engine: str
    store: str
    table: str
    column: str
    surface: str
    count: int
    why: str

    @property
    def place(self) -> str:
        """`store.table.column` as far as it is known, else the surface."""
        return ".".join(part for part in (self.store, self.table, self.column) if part) or (
            self.surface
        )

    @property
    def fact(self) -> tuple[FindingKind, str, str, str, str, str, int]:
        """All but the wording: what two findings must share to be the same fact."""
        return (
            self.kind,
            self.engine,
            self.store,
            self.table,
            self.column,
            self.surface,
            self.count,
        )


# --- what a sweep sees ----------------------------------------------------------------------


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


# --- records of a history -------------------------------------------------------------------


class Mode(StrEnum):
    """What kind of session it is, and what may become of the rows."""

    VERIFY = "verify"
    PREFLIGHT = "preflight"
    REHEARSE = "rehearse"
    AUDIT = "audit"
    LIVE = "live"


class Part(StrEnum):
    """Which store set an observation is about."""

    JUDGED = "judged"
    OTHER = "other"


class Moment(StrEnum):
    """When an observation was made: before the erasure, inside its transaction, or after it."""

    BEFORE = "before"
    INSIDE = "inside"
    AFTER = "after"


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

    `accepted`: the operator said to go on with the default treatment.
    """

    run: str
    store: str
    table: str
    column: str
    why: str
    accepted: bool = False


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


@dataclass(frozen=True, slots=True, order=True)
class FileTrace:
    """Identifiers of the subject in one file, or in its name, by the forms in which they stand.

    `file` is the surface: the folder's label and the path in it; a part of an archive follows
    behind ` > `. `kept`: nothing of ours changes this file, so it would stay.
    """

    file: str
    hits: int
    forms: tuple[tuple[str, int], ...] = ()
    kept: bool = False


@dataclass(frozen=True, slots=True, order=True)
class FileGap:
    """A file or folder that was not searched, or not masked, in full, and why.

    `lasting`: no later look can see it, so it counts whatever came after.
    """

    file: str
    why: str
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class FilesPlanted:
    """What was put into files on purpose: the search before the erasure must see it all.

    `media` is how many files there are to which rows of the subject alone lead, which must go.
    """

    run: str
    traces: tuple[FileTrace, ...]
    media: int = 0


@dataclass(frozen=True, slots=True)
class FilesObserved:
    """One pass over every file of the log folders and media volumes.

    `size_bytes` as they lie on the disk, `content_bytes` as they were searched, unpacked.
    """

    run: str
    moment: Moment
    at: str
    duration_s: float
    files: int
    size_bytes: int
    content_bytes: int
    traces: tuple[FileTrace, ...]
    gaps: tuple[FileGap, ...] = ()


@dataclass(frozen=True, slots=True)
class FilesProven:
    """The canary went through files of every format: planted, seen, and left after the scrub.

    A search that changes nothing proves itself on `planted` and `seen`, and `left` is 0.
    """

    run: str
    formats: int
    planted: int
    seen: int
    left: int


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """Identifiers were masked in files and their names; `left` are those that could not be.

    `withheld`: a rehearsal, which made every masked copy, compared it, and threw it away.
    """

    run: str
    at: str
    duration_s: float
    files: int
    identifiers: int
    names: int
    left: tuple[FileGap, ...] = ()
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class MediaRemoved:
    """Files of a media volume to which the subject's rows led, and what became of them.

    `referred` are files, and rows without one; of these `shared` stay, since rows of others
    lead to them too, and `absent` were not in the volume; `left` should have gone and did not,
    or their content is still there under another name. `withheld`: a rehearsal, in which
    `removed` would be.
    """

    run: str
    referred: int
    removed: int
    shared: tuple[str, ...]
    absent: int
    left: tuple[FileGap, ...] = ()
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The plan was carried out, found not to be clear, and rolled back: every row is as before."""

    run: str
    round: int
    why: str


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """An object that installing the routine made and removing it did not take away."""

    run: str
    object_kind: str
    count: int


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


Record = (
    RunOpened
    | Planted
    | ClosureFrozen
    | Observed
    | RowsDiffer
    | Drifted
    | Called
    | RoutineFailed
    | Probed
    | Told
    | CatalogChanged
    | Erased
    | CanaryFlown
    | PlanMade
    | Withheld
    | Committing
    | Resumed
    | Witnessed
    | LogHolds
    | FilesPlanted
    | FilesObserved
    | FilesProven
    | Scrubbed
    | MediaRemoved
    | RolledBack
    | LeftBehind
    | Predicted
    | Failed
    | RunClosed
)
History = tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's answer: the verdict, what decides it, and what was predicted and seen."""

    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    expected: tuple[Finding, ...] = ()
    subjects: tuple[str, ...] = field(default=())
    held: bool = True


@dataclass(frozen=True, slots=True, repr=False)
class SeedRow:
    """One synthetic row to insert; its values are personal data of nobody, yet never shown.

    `planted` names the columns that hold the subject; `forms` tells in which forms, where that
    is of interest.
    """

    store: str
    table: str
    values: dict[str, int | float | str | bytes | None]
    planted: frozenset[str] = frozenset()
    forms: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"SeedRow({self.store}.{self.table})"


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What a server answered to a call: affected rows, and every byte that it said.

    `said` has the cells of all result sets, then warnings and notices; it may name anybody.
    """

    affected_rows: int
    said: tuple[bytes, ...] = ()


# --- schemas as found on a server -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ColumnSchema:
    """One column as the server describes it; `type_name` in the engine's own words.

    `collation` is how MySQL compares a column's text, and empty elsewhere.
    """

    name: str
    type_name: str
    collation: str = ""


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One table as the server describes it.

    `namespace` is PostgreSQL's schema, else empty; `is_view` marks a view that keeps rows of its
    own. On MySQL `key` are the columns, none of
    them nullable, that tell rows apart: the primary key or else a unique index, whose name
    is `key_index`; PostgreSQL needs none, since a row has a place.
    """

    store: str
    name: str
    columns: tuple[ColumnSchema, ...]
    key: tuple[str, ...] = ()
    namespace: str = ""
    key_index: str = ""
    is_view: bool = False

    @property
    def label(self) -> str:
        """The table's name, with its schema where that is not the usual one."""
        usual = self.namespace in {"", "public"}
        return self.name if usual else f"{self.namespace}.{self.name}"


@dataclass(frozen=True, slots=True, repr=False)
class Located:
    """One row as it was when it was found: how to reach it, and the bytes it was sent as."""

    locator: bytes
    row: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Replacement:
    """A row that stays with some cells replaced: column positions and their new bytes."""

    located: Located
    cells: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True, repr=False)
class MediaReference:
    """What one row says of one file: names that it may have, and SHA-256 digests of its content."""

    names: frozenset[str] = frozenset()
    digests: frozenset[bytes] = frozenset()

    def __repr__(self) -> str:
        return "MediaReference(***)"


@dataclass(frozen=True, slots=True, repr=False)
class MediaReferences:
    """The files to which rows lead: those of rows that go, and those of mentions, which stay.

    A mention's row is somebody else's. Once it is masked, a name with the subject's number in
    it stands there no more; so what it leads to is kept from before.
    """

    gone: frozenset[MediaReference] = frozenset()
    kept: frozenset[MediaReference] = frozenset()

    def __or__(self, other: MediaReferences) -> MediaReferences:
        """Return what either leads to: rounds of one erasure add up."""
        return MediaReferences(self.gone | other.gone, self.kept | other.kept)

    def __bool__(self) -> bool:
        """Tell whether a row that goes leads to a file."""
        return bool(self.gone)

    def __repr__(self) -> str:
        return "MediaReferences(***)"


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key: rows of `child` name rows of `parent`; both are tables of one store."""

    store: str
    child: str
    parent: str


@dataclass(frozen=True, slots=True)
class Hazard:
    """Something about a table that makes changing its rows unsafe, in the engine's words."""

    store: str
    table: str
    why: str
