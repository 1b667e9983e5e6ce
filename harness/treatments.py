"""An operator's own treatments: what to do with columns that the manifest lacks, or treats amiss.

The file is TOML. A table names a store's table, a line in it one of its columns::

    [messageStore.message_labels]
    chat_jid = "delete"     # a row whose value here is the subject's is the subject's
    note = "mask"           # a row that mentions the subject here stays, the mention is masked

What an operator declares counts as known: it is no drift any more.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from harness.errors import ConfigError
from harness.manifest import Column, Kind, Manifest, StoreDescription, Table
from harness.model import Treatment

UNDECLARED: Final = Kind("undeclared", (), "none")
"""The kind of a column of which only the treatment is known: the canary leaves it alone."""
_KNOWN: Final = {one.value: one for one in (Treatment.DELETE, Treatment.MASK)}


@dataclass(frozen=True, slots=True)
class Override:
    """One column's treatment, as an operator wants it."""

    store: str
    table: str
    column: str
    treatment: Treatment


def read(path: Path) -> tuple[Override, ...]:
    """Return the treatments that a file declares, in its order.

    Raises:
        ConfigError: The file cannot be read, is not TOML or declares something else; one
            sentence, which quotes no value.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigError(
            f"{path.name} is not a text file in UTF-8: save the treatments as UTF-8."
        ) from None
    except OSError as error:
        reason = error.strerror or "unknown error"
        raise ConfigError(
            f"{path.name} cannot be read ({reason}): give a readable file of treatments."
        ) from None
    except tomllib.TOMLDecodeError:
        raise ConfigError(
            f"{path.name} is not TOML: write [store.table] and below it column = "
            '"delete" or "mask".'
        ) from None
    overrides = tuple(_overrides(document, path.name))
    if not overrides:
        raise ConfigError(f"{path.name} declares no treatment: name a column or leave it away.")
    return overrides


def apply(manifest: Manifest, overrides: tuple[Override, ...]) -> Manifest:
    """Return the manifest with each override's column declared, and treated as it says.

    Raises:
        ConfigError: A store is none of the manifest's.
    """
    known = {store.name for store in manifest.stores}
    for override in overrides:
        if override.store not in known:
            raise ConfigError(
                "The treatments name a store that is none of the set's: use one of "
                f"{', '.join(sorted(known))}."
            )
    return Manifest(tuple(_store(store, overrides) for store in manifest.stores))


def _overrides(document: Mapping[str, object], name: str) -> Iterator[Override]:
    for store, tables in document.items():
        for table, columns in _entries(tables, name):
            for column, value in _entries(columns, name):
                yield Override(store, table, column, _treatment(value, name))


def _entries(value: object, name: str) -> Iterator[tuple[str, object]]:
    if not isinstance(value, dict):
        raise ConfigError(
            f"{name} has a value outside a [store.table]: put each column = treatment below one."
        )
    yield from value.items()


def _treatment(value: object, name: str) -> Treatment:
    if value == Treatment.KEEP:
        raise ConfigError(
            f'{name} says "keep", which would leave the subject in place and is not possible '
            'yet: use "delete" or "mask".'
        )
    if isinstance(value, str) and value in _KNOWN:
        return _KNOWN[value]
    raise ConfigError(
        f'{name} has a treatment that is none: use "delete" or "mask" (below a [store.table]).'
    )


def _store(store: StoreDescription, overrides: tuple[Override, ...]) -> StoreDescription:
    own = [override for override in overrides if override.store == store.name]
    known = {table.name for table in store.tables}
    added = tuple(
        Table(store.name, name, (), key=(), unique=(), vendor=None, own=(), alias=None)
        for name in dict.fromkeys(override.table for override in own)
        if name not in known
    )
    tables = tuple(_table(table, own) for table in (*store.tables, *added))
    return replace(store, tables=tables)


def _table(table: Table, overrides: list[Override]) -> Table:
    treatments = {one.column: one.treatment for one in overrides if one.table == table.name}
    replaced = tuple(
        replace(column, treatment=treatments.pop(column.name, column.treatment))
        for column in table.columns
    )
    added = tuple(
        Column(name, UNDECLARED, required=False, treatment=treatment)
        for name, treatment in treatments.items()
    )
    return replace(table, columns=replaced + added)
