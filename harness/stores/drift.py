"""What a connected schema has that the manifest lacks, and the other way round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.manifest import Manifest
from harness.stores.protocol import StoreSet


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference; `column` is empty where a whole table or store differs."""

    store: str
    table: str
    column: str
    why: str


def compare(store_set: StoreSet, manifest: Manifest) -> Iterator[Drift]:
    """Yield the differences between a store set, as the server describes it, and the manifest."""
    present = store_set.databases()
    found = {(table.store, table.label): table for table in store_set.tables()}
    for store in manifest.stores:
        if store.name not in present:
            yield Drift(store.name, "", "", "the store is not on this server")
    for place, described in manifest.tables.items():
        if place[0] in present and place not in found:
            yield Drift(*place, "", "the table is in the manifest and not on this server")
        elif place in found:
            here = {column.name for column in found[place].columns}
            known = {column.name for column in described.columns}
            for column in sorted(known - here):
                yield Drift(*place, column, "the column is in the manifest and not on this server")
            for column in sorted(here - known):
                yield Drift(*place, column, "the column is on this server and not in the manifest")
    for place in sorted(found.keys() - manifest.tables.keys()):
        yield Drift(*place, "", "the table is on this server and not in the manifest")
