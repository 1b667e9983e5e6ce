"""What is said of rows and tables between a store and those who work on it; never recorded."""

from __future__ import annotations

from dataclasses import dataclass


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
