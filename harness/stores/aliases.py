"""The ties that the stores hold: which numbers and JIDs are one person's.

Read before anything is deleted, whole and on the client, so that no number is sent to the
server: the tables that tie a phone number to a JID, and notifications that somebody changed
their number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from harness.errors import ConflictError, StoreError, StoreUnreachableError
from harness.identity import Closure, Filter, freeze, tied_to
from harness.manifest import Manifest, Table
from harness.model import TableSchema
from harness.stores.protocol import StoreSet

Tie = tuple[bytes, bytes]
Cells = Sequence[bytes | None]

_JSON_KIND: Final = "json"
_CHANGED: Final = b"new_wa_id"


def resolve(store_set: StoreSet, manifest: Manifest, closure: Closure) -> Closure:
    """Freeze the closure: add the numbers that the stores tie to the wa_id.

    Raises:
        StoreError: An alias table lacks a column without which the closure is incomplete.
    """
    return freeze(closure.wa_id, _ties(store_set, manifest, closure))


def tied_numbers(store_set: StoreSet, manifest: Manifest, closure: Closure) -> frozenset[str]:
    """Return every number that the stores tie to any number of a closure, one step further.

    They may be somebody else's, so they are not the closure's; whoever asks for a legal hold
    had better know them.

    Raises:
        StoreError: See `resolve`.
    """
    return tied_to(closure.numbers, _ties(store_set, manifest, closure))


def _ties(store_set: StoreSet, manifest: Manifest, closure: Closure) -> list[Tie]:
    """Return the ties in rows that may name anybody of a closure."""
    ties: list[Tie] = []
    candidate = Filter(closure.identifiers)
    with store_set.snapshot():
        for table in store_set.tables():
            description = manifest.table(table.store, table.label)
            for ties_of in _readers(table, description) if description else ():
                collect = _collector(store_set, table, candidate, ties_of, ties)
                try:
                    store_set.scan(table, collect)
                except (ConflictError, StoreUnreachableError):
                    raise
                except StoreError as error:
                    raise StoreError(
                        f"{table.store}.{table.label} cannot be read, and may tie other numbers "
                        f"to the subject: {error}"
                    ) from None
    return ties


def _readers(table: TableSchema, described: Table) -> Iterator[Callable[[Cells], Iterator[Tie]]]:
    """Yield what reads the ties out of a table's rows, if it can hold any."""
    names = [column.name for column in table.columns]
    if described.alias:
        if not set(described.alias) <= set(names):
            raise StoreError(
                f"{table.store}.{table.label} lacks {' or '.join(described.alias)}, which tie a "
                "phone number to a JID: without them the identity closure is incomplete."
            )
        phone, jid = (names.index(name) for name in described.alias)
        yield lambda cells: iter([(cells[phone] or b"", cells[jid] or b"")])
    documents = [
        names.index(column.name)
        for column in described.columns
        if column.kind.name == _JSON_KIND and column.name in names
    ]
    if documents:
        yield lambda cells: (tie for index in documents for tie in changed_numbers(cells[index]))


def _collector(
    store_set: StoreSet,
    table: TableSchema,
    candidate: Filter,
    ties_of: Callable[[Cells], Iterator[Tie]],
    ties: list[Tie],
) -> Callable[[Sequence[bytes]], None]:
    decode = store_set.decoder(table)

    def collect(rows: Sequence[bytes]) -> None:
        if candidate(b"".join(rows)):
            for row in filter(candidate, rows):
                ties.extend(ties_of(decode(row)))

    return collect


def changed_numbers(payload: bytes | None) -> Iterator[Tie]:
    """Yield (old, new) for each change of number that a notification tells of.

    Source: the client's webhook notifications, messages of type `system`.
    """
    if not payload or _CHANGED not in payload:
        return
    try:
        document = json.loads(payload)
    except ValueError:
        return
    for message in objects(document):
        system = message.get("system")
        if isinstance(system, dict) and isinstance(new := system.get("new_wa_id"), str):
            for old in (message.get("from"), system.get("wa_id")):
                if isinstance(old, str) and old != new:
                    yield old.encode(), new.encode()


def objects(document: object) -> Iterator[dict[str, object]]:
    """Yield every object of a JSON document, the outermost first."""
    pending = [document]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            yield one
            pending += one.values()
        elif isinstance(one, list):
            pending += one
