"""What somebody else's routine masked, told from what it harmed, in any number of rows.

A row that a routine masked is a row that was not there before. To know which those are, eight
bytes of the keyed digest of each row are kept from before, and the mentions whole; where a row
inside is new, and is a copy of a mention with nothing but the identifiers replaced, it counts
as the mention that it was. Digest sums must then be what they were, so that a row that is taken
for another by chance keeps an erasure from being committed, and never lets one through.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from harness.model import RowClass, TableSchema
from harness.stores.media_references import LeadingRows
from harness.stores.protocol import StoreSet
from harness.stores.sweep import Cells, Missed, Place, Search, TablePass, Tally

_HEAD_BYTES: Final = 8


@dataclass(slots=True)
class _Rows:
    """The rows of one table as they were: heads of the bystanders' digests, and the mentions."""

    heads: array[int] = field(default_factory=lambda: array("Q"))
    mentions: list[Cells] = field(default_factory=list)


@dataclass(slots=True)
class Memory:
    """The rows of a store set before a routine was called, filled by one pass, read by others."""

    tables: dict[Place, _Rows] = field(default_factory=lambda: defaultdict(_Rows))
    complete: bool = False

    def close(self) -> None:
        """Be filled no more; where nobody mentioned the subject nothing is to be recognised."""
        self.complete = True
        self.tables = {place: rows for place, rows in self.tables.items() if rows.mentions}
        for rows in self.tables.values():
            rows.heads = array("Q", sorted(rows.heads))


class WatchingPass(TablePass):
    """A pass that sees whose a row is, and with a memory remembers or recognises it."""

    def __init__(
        self, store_set: StoreSet, table: TableSchema, search: Search, memory: Memory | None
    ) -> None:
        super().__init__(store_set, table, search)
        place = (table.store, table.label)
        self._filled = memory.tables[place] if memory and not memory.complete else None
        self._read = memory.tables.get(place) if memory and memory.complete else None
        self._new: list[tuple[bytes, Cells]] = []
        self.leading = LeadingRows(store_set, table, search.manifest)

    def locate(self, locator: bytes, row: bytes) -> RowClass:
        """Search and fingerprint one row."""
        del locator
        kind = self.take(row)
        self.leading.note(kind, row)
        return kind

    def _mention(self, cells: Cells) -> None:
        super()._mention(cells)
        if self._filled is not None:
            self._filled.mentions.append(tuple(cells))

    def _add(self, tally: Tally, rows: Sequence[bytes], cells: Cells | None = None) -> None:
        if cells is not None or (self._filled is None and self._read is None):
            super()._add(tally, rows, cells)
            return
        digests = list(map(self._digest, rows))
        tally.rows += len(rows)
        tally.total += sum(int.from_bytes(digest, "little") for digest in digests)
        heads = array("Q", b"".join(digest[:_HEAD_BYTES] for digest in digests))
        if self._filled is not None:
            self._filled.heads.extend(heads)
        elif self._read is not None:
            self._note_new(self._read, rows, heads)

    def _note_new(self, known: _Rows, rows: Sequence[bytes], heads: array[int]) -> None:
        # With more new rows than there were mentions, others were harmed: no need to know whom.
        room = len(known.mentions) - len(self._new)
        for row, head in zip(rows, heads, strict=True):
            if room < 0:
                return
            index = bisect_left(known.heads, head)
            if index == len(known.heads) or known.heads[index] != head:
                self._new.append((row, self._decode(row)))
                room -= 1

    def recognise(self) -> None:
        """Count rows that differ from before in masked identifiers only as what they were."""
        if self._read is None:
            return
        missed = Missed(
            self._read.mentions,
            lambda cell, index: self._matcher.hits(cell, self._representations[index]),
        )
        for row, cells in self._new:
            old = missed.taken_for(cells)
            if old is not None:
                self._move(self._bystanders, row, old)
