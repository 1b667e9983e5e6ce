"""One pass over every row of a store set: search and fingerprint from the same bytes.

Rows without any identifier of the subject are added to an order-free keyed digest as they
are, never parsed. A row that may hold one is taken apart and judged cell by cell. The sum
(not an XOR) of a keyed hash per row notices a changed, missing, added or doubled row; the
key never leaves the process, so nobody can make two states collide.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from hashlib import blake2b

from harness.errors import StoreError, StoreUnreachableError
from harness.identity import NOBODY, Closure, Matcher, freeze
from harness.manifest import Manifest
from harness.model import RowClass, TableSchema, TableState, Trace, Treatment, Unsearched
from harness.stores.protocol import StoreSet

_DIGEST_BYTES = 16
_MODULUS = 1 << (8 * _DIGEST_BYTES)


@dataclass(slots=True)
class Sighting:
    """What one pass over a store set saw; `size_bytes` is what the server sent."""

    tables: list[TableState] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    unsearched: list[Unsearched] = field(default_factory=list)
    size_bytes: int = 0


@dataclass(slots=True)
class _Tally:
    """Rows and digest sum of one class of rows."""

    rows: int = 0
    total: int = 0

    def hexadecimal(self) -> str:
        return f"{self.total % _MODULUS:0{2 * _DIGEST_BYTES}x}"


class TablePass:
    """The state of one pass over one table; `consume` takes each encoded row."""

    def __init__(
        self,
        store_set: StoreSet,
        table: TableSchema,
        treatments: dict[str, Treatment],
        matcher: Matcher,
        key: bytes,
    ) -> None:
        self._table = table
        self._treatments = [treatments.get(column.name) for column in table.columns]
        self._decode = store_set.decoder(table)
        self._matcher = matcher
        self._candidate = matcher.candidate
        self._hash = blake2b(digest_size=_DIGEST_BYTES, key=key)
        self._hash.update(f"{table.store}.{table.namespace}.{table.name}\0".encode())
        self._bystanders = _Tally()
        self._mentions = _Tally()
        self._subject_rows = 0
        self._cells: Counter[int] = Counter()
        self._forms: dict[int, set[str]] = defaultdict(set)

    def consume(self, row: bytes) -> None:
        """Search and fingerprint one encoded row."""
        kind = self._examine(row) if self._candidate(row) else RowClass.BYSTANDER
        if kind is RowClass.SUBJECT:
            self._subject_rows += 1
            return
        tally = self._bystanders if kind is RowClass.BYSTANDER else self._mentions
        row_hash = self._hash.copy()
        row_hash.update(row)
        tally.rows += 1
        tally.total += int.from_bytes(row_hash.digest(), "little")

    def _examine(self, row: bytes) -> RowClass:
        kind = RowClass.BYSTANDER
        for index, cell in enumerate(self._decode(row)):
            if cell is None or not (forms := self._matcher.forms(cell)):
                continue
            self._cells[index] += 1
            self._forms[index].update(forms)
            if self._deletes(index) and self._matcher.whole(cell):
                kind = RowClass.SUBJECT
            elif kind is RowClass.BYSTANDER:
                kind = RowClass.MENTION
        return kind

    def _deletes(self, index: int) -> bool:
        # A column that the manifest lacks gets the default: a whole-value match deletes.
        return self._treatments[index] in {None, Treatment.DELETE}

    def state(self) -> TableState:
        """Return the table's rows by class and its digests."""
        return TableState(
            store=self._table.store,
            table=self._table.name,
            subject_rows=self._subject_rows,
            mention_rows=self._mentions.rows,
            bystander_rows=self._bystanders.rows,
            mention_digest=self._mentions.hexadecimal(),
            bystander_digest=self._bystanders.hexadecimal(),
        )

    def traces(self) -> list[Trace]:
        """Return the hits by column: how many cells, in which forms."""
        return [
            Trace(
                store=self._table.store,
                table=self._table.name,
                column=self._table.columns[index].name,
                cells=cells,
                forms=tuple(sorted(self._forms[index])),
            )
            for index, cells in sorted(self._cells.items())
        ]


def sweep(store_set: StoreSet, manifest: Manifest, closure: Closure | None, key: bytes) -> Sighting:
    """Search and fingerprint every column of every table of every store present.

    Args:
        store_set: The stores, as they are now, read from one snapshot per database.
        manifest: Treatments by column; tables it lacks are searched all the same.
        closure: Whom to search for; None to fingerprint every row alike.
        key: 16 to 64 bytes; digests compare only between passes with the same key.

    Returns:
        What was seen. A table that the server will not let us read is listed as not
        searched; it is never passed over in silence.

    Raises:
        StoreUnreachableError: The server went away, so nothing was seen in full.
    """
    sighting = Sighting()
    matcher = Matcher(closure) if closure else NOBODY
    with store_set.snapshot():
        for table in store_set.tables():
            description = manifest.table(table.store, table.name)
            columns = description.columns if description else ()
            treatments = {column.name: column.treatment for column in columns}
            passing = TablePass(store_set, table, treatments, matcher, key)
            try:
                sighting.size_bytes += store_set.scan(table, passing.consume)
            except StoreUnreachableError:
                raise
            except StoreError as error:
                sighting.unsearched.append(Unsearched(table.store, table.name, str(error)))
                continue
            sighting.tables.append(passing.state())
            sighting.traces += passing.traces()
    return sighting


def resolve(store_set: StoreSet, manifest: Manifest, closure: Closure) -> Closure:
    """Freeze the closure: add the numbers that the alias tables tie to the wa_id.

    The tables are read whole on the client, so that no number is sent to the server.
    """
    numbers = Matcher(closure)
    ties: list[tuple[bytes, bytes]] = []
    with store_set.snapshot():
        for table in store_set.tables():
            description = manifest.table(table.store, table.name)
            if description and description.alias:
                store_set.scan(
                    table, _TieFinder(store_set, table, description.alias, numbers, ties)
                )
    return freeze(closure.wa_id, ties)


class _TieFinder:
    """Collect the (phone, JID) pairs of one alias table that may concern the subject."""

    def __init__(
        self,
        store_set: StoreSet,
        table: TableSchema,
        alias: tuple[str, str],
        matcher: Matcher,
        ties: list[tuple[bytes, bytes]],
    ) -> None:
        names = [column.name for column in table.columns]
        if not set(alias) <= set(names):
            raise StoreError(
                f"{table.store}.{table.name} lacks {' or '.join(alias)}, which tie a phone number "
                "to a JID: without them the identity closure is incomplete."
            )
        self._phone, self._jid = (names.index(name) for name in alias)
        self._decode = store_set.decoder(table)
        self._candidate = matcher.candidate
        self._ties = ties

    def __call__(self, row: bytes) -> None:
        if self._candidate(row):
            cells = self._decode(row)
            self._ties.append((cells[self._phone] or b"", cells[self._jid] or b""))
