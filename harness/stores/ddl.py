"""The fixture schemas, rendered from the manifest for one engine.

The rendered files are committed under fixtures/schemas, since a release engineer wants to
read, and diff, the SQL that is loaded; a test holds them equal to the manifest. Write them
anew with `python -m harness.stores.ddl`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from harness import manifest
from harness.manifest import Manifest, StoreDescription, Table
from harness.model import EngineKind
from harness.stores.mysql_changes import quoted as mysql_quoted
from harness.stores.postgres_quoting import quoted as postgres_quoted

FOLDER: Final = manifest.PATH.parent / "schemas"
_QUOTED: Final = {EngineKind.MYSQL: mysql_quoted, EngineKind.POSTGRES: postgres_quoted}
_TABLE_OPTIONS: Final = {EngineKind.MYSQL: " ENGINE=InnoDB", EngineKind.POSTGRES: ""}


def render(store: StoreDescription, engine: EngineKind) -> str:
    """Return the SQL that creates the tables of one store, without its database."""
    known = "confirmed" if store.confirmed else "inferred"
    head = (
        f"-- {store.name} for {engine.proper_name}. "
        "SYNTHETIC: rendered from fixtures/manifest.toml.\n"
        f"-- The store's name is {known}; columns beyond the published ones are reconstructed.\n"
    )
    return head + "".join("\n" + _table(table, engine) for table in store.tables)


def _table(table: Table, engine: EngineKind) -> str:
    quoted = _QUOTED[engine]

    def columns_of(names: tuple[str, ...]) -> str:
        return ", ".join(map(quoted, names))

    lines = [
        f"{quoted(column.name)} {column.kind.type_on(engine)}{' NOT NULL' * column.required}"
        for column in table.columns
    ]
    if table.key:
        lines.append(f"PRIMARY KEY ({columns_of(table.key)})")
    lines += [f"UNIQUE ({columns_of(group)})" for group in table.unique]
    body = ",\n  ".join(lines)
    return f"CREATE TABLE {quoted(table.name)} (\n  {body}\n){_TABLE_OPTIONS[engine]};\n"


def path_of(store: str, engine: EngineKind) -> Path:
    """Return where the committed schema of a store lies."""
    return FOLDER / engine.value / f"{store}.sql"


def committed(described: Manifest, engine: EngineKind) -> dict[str, str]:
    """Return the committed schemas of every store of the manifest, by logical name."""
    return {
        store.name: path_of(store.name, engine).read_text(encoding="utf-8")
        for store in described.stores
    }


def write_all() -> None:
    """Render every store for every engine into fixtures/schemas."""
    for engine in EngineKind:
        for store in manifest.load().stores:
            path = path_of(store.name, engine)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(render(store, engine), encoding="utf-8")


if __name__ == "__main__":
    write_all()
