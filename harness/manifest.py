"""fixtures/manifest.toml as frozen dataclasses: what each store, table and column is for.

The manifest describes each table once. The fixture schemas, the documented routine on both
engines, the treatment of every column and the findings to expect are all worked out from
it; it is never a description of a connected server, which is introspected instead.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast, get_args

from harness.errors import ManifestError
from harness.model import EngineKind, Treatment

PATH = Path(__file__).resolve().parent.parent / "fixtures" / "manifest.toml"

Role = Literal["none", "jid", "number", "phone", "text"]
Operand = Literal["jid", "wa_id"]
MediaRole = Literal["path", "name", "hash", "document"]
_MEDIA_ROLES = get_args(MediaRole)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a column may hold: its SQL type on each engine, and where an identifier stands."""

    name: str
    sql: tuple[tuple[EngineKind, str], ...]
    role: Role

    def type_on(self, engine: EngineKind) -> str:
        """Return the SQL type of this kind on an engine."""
        return dict(self.sql)[engine]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its kind, whether it must have a value, and its treatment in erasure."""

    name: str
    kind: Kind
    required: bool
    treatment: Treatment


@dataclass(frozen=True, slots=True)
class VendorStatement:
    """One DELETE of the published map: its position, its engines, its OR-joined comparisons."""

    position: int
    engines: frozenset[EngineKind]
    where: tuple[tuple[str, Operand], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the store set."""

    store: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...]
    vendor: VendorStatement | None
    own: tuple[tuple[str, int], ...]
    alias: tuple[str, str] | None
    media: tuple[tuple[str, MediaRole], ...] = ()

    def column(self, name: str) -> Column:
        """Return the column of that name.

        Raises:
            ManifestError: The table has no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise ManifestError(f"{self.store}.{self.name} has no column {name}: mend the manifest.")

    def vendor_on(self, engine: EngineKind) -> VendorStatement | None:
        """Return the vendor's statement for this table if that engine's version has it."""
        return self.vendor if self.vendor and engine in self.vendor.engines else None


@dataclass(frozen=True, slots=True)
class StoreDescription:
    """One logical database; `confirmed` tells whether its name was seen on a real install."""

    name: str
    confirmed: bool
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Manifest:
    """Every store the harness knows, in the order of the file."""

    stores: tuple[StoreDescription, ...]

    @cached_property
    def tables(self) -> dict[tuple[str, str], Table]:
        """All tables by (store, table)."""
        return {(table.store, table.name): table for store in self.stores for table in store.tables}

    def table(self, store: str, name: str) -> Table | None:
        """Return a table's description, or None where the manifest has none."""
        return self.tables.get((store, name))

    def vendor_tables(self, engine: EngineKind) -> tuple[tuple[Table, VendorStatement], ...]:
        """Return the tables of the published map of an engine, in the order of its statements."""
        found = [
            (table, statement)
            for table in self.tables.values()
            if (statement := table.vendor_on(engine))
        ]
        return tuple(sorted(found, key=lambda pair: pair[1].position))


def load(path: Path = PATH) -> Manifest:
    """Read a manifest.

    Raises:
        ManifestError: The file is unreadable, is not TOML, or contradicts itself.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError(
            f"The manifest {path.name} cannot be read: {error.strerror}."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(f"The manifest {path.name} is not TOML: {error}.") from error
    if document.pop("format", None) != 1:
        raise ManifestError(f"The manifest {path.name} is not of format 1: use a matching release.")
    kinds = {name: _kind(name, entry) for name, entry in document.pop("kinds", {}).items()}
    stores = tuple(_store(name, entry, kinds) for name, entry in document.items())
    manifest = Manifest(stores)
    _check_positions(manifest)
    return manifest


def _kind(name: str, entry: dict[str, str]) -> Kind:
    sql = tuple((engine, entry[engine.value]) for engine in EngineKind)
    return Kind(name, sql, cast("Role", entry["role"]))


def _store(name: str, entry: dict[str, Any], kinds: dict[str, Kind]) -> StoreDescription:
    tables = tuple(_table(name, table, body, kinds) for table, body in entry["tables"].items())
    return StoreDescription(name, entry["known"] == "confirmed", tables)


def _table(store: str, name: str, body: dict[str, Any], kinds: dict[str, Kind]) -> Table:
    vendor = _vendor(body["vendor"]) if "vendor" in body else None
    compared = {column for column, _ in vendor.where} if vendor else set()
    deleting = compared | set(body.get("subject", ()))
    try:
        columns = tuple(_column(text, kinds, deleting) for text in body["columns"])
    except (KeyError, ValueError) as error:
        raise ManifestError(f"{store}.{name} has a column that cannot be read: {error}.") from error
    alias = body.get("alias")
    table = Table(
        store=store,
        name=name,
        columns=columns,
        key=tuple(body.get("key", ())),
        unique=tuple(tuple(group) for group in body.get("unique", ())),
        vendor=vendor,
        own=tuple(body.get("own", {}).items()),
        alias=(alias["phone"], alias["jid"]) if alias else None,
        media=tuple(_media(f"{store}.{name}", body.get("media", {}))),
    )
    leading = (column for column, _ in table.media)
    for mentioned in (*deleting, *table.key, *(alias or {}).values(), *leading):
        table.column(mentioned)
    return table


def _media(place: str, entry: dict[str, list[str]]) -> Iterator[tuple[str, MediaRole]]:
    """Yield the columns that lead to files of the media volume, and what each says of them."""
    seen: set[str] = set()
    for role, names in entry.items():
        if role not in _MEDIA_ROLES:
            known = ", ".join(_MEDIA_ROLES)
            raise ManifestError(f"{place}: media has no '{role}', but {known}.")
        for name in names:
            if name in seen:
                raise ManifestError(f"{place}: {name} leads to media in two ways: give it one.")
            seen.add(name)
            yield name, cast("MediaRole", role)


def _column(text: str, kinds: dict[str, Kind], deleting: set[str]) -> Column:
    name, kind, *rest = text.split()
    if rest not in ([], ["required"]):
        raise ValueError(text)
    treatment = Treatment.DELETE if name in deleting else Treatment.MASK
    return Column(name, kinds[kind], bool(rest), treatment)


def _vendor(entry: dict[str, Any]) -> VendorStatement:
    where = []
    for comparison in entry["where"]:
        column, operator, operand = comparison.split()
        if operator != "=" or operand not in {"jid", "wa_id"}:
            raise ManifestError(f"'{comparison}' is not '<column> = jid' or '<column> = wa_id'.")
        where.append((column, cast("Operand", operand)))
    engines = frozenset(EngineKind(engine) for engine in entry["engines"])
    return VendorStatement(entry["position"], engines, tuple(where))


def _check_positions(manifest: Manifest) -> None:
    positions = [table.vendor.position for table in manifest.tables.values() if table.vendor]
    if sorted(positions) != list(range(1, len(positions) + 1)):
        raise ManifestError("The vendor's statements are not numbered from 1 without a gap.")
