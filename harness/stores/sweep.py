"""One pass over every row of a store set: search and fingerprint from the same bytes.

Rows without any identifier of the subject are added to an order-free keyed digest as they
are, never parsed. A row that may hold one is taken apart and judged cell by cell. The sum
(not an XOR) of a keyed hash per row notices a changed, missing, added or doubled row; the
key never leaves the process, so nobody can make two states collide.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import blake2b
from threading import Event
from typing import Protocol, TypeVar

from harness.errors import ConflictError, StoreError, StoreUnreachableError
from harness.identity import NOBODY, Closure, Filter, Hit, Matcher, is_masked_copy
from harness.manifest import Manifest
from harness.masks import Masks
from harness.model import RowClass, TableSchema, TableState, Trace, Treatment, Unsearched
from harness.stores.protocol import StoreSet
from harness.stores.representation import representation

_DIGEST_BYTES = 16
_WEIGHT = (RowClass.BYSTANDER, RowClass.MENTION, RowClass.SUBJECT)
_SHORTEST_CELL = 4
"""The bytes of the shortest number, as packed decimals."""
_BLOCK_BYTES = blake2b().block_size
_MODULUS = 1 << (8 * _DIGEST_BYTES)
Place = tuple[str, str]
"""Store and label of a table."""
Cells = Sequence[bytes | None]


@dataclass(slots=True)
class Sighting:
    """What one pass over a store set saw; `size_bytes` is what the server sent.

    Where rows are kept, `row_digests` has the digest of each row, and `mentions` the cells of
    those that mention the subject.
    """

    tables: list[TableState] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    unsearched: list[Unsearched] = field(default_factory=list)
    size_bytes: int = 0
    row_digests: dict[Place, Counter[bytes]] = field(default_factory=dict)
    mentions: dict[Place, dict[bytes, Cells]] = field(default_factory=dict)


def differing(before: Sighting, after: Sighting) -> Iterator[tuple[str, str, list[str], list[str]]]:
    """Yield which rows differ between two passes that kept row digests.

    By table: store, label, and the keyed digests of the rows that are gone and of those that
    are new, as 32 hexadecimal digits each. A changed row is one gone and one new.
    """
    for place in sorted(before.row_digests.keys() | after.row_digests.keys()):
        then = before.row_digests.get(place, Counter())
        now = after.row_digests.get(place, Counter())
        gone = sorted(digest.hex() for digest in (then - now).elements())
        new = sorted(digest.hex() for digest in (now - then).elements())
        if gone or new:
            yield *place, gone, new


@dataclass(slots=True)
class Tally:
    """Rows and digest sum of one class of rows."""

    rows: int = 0
    total: int = 0

    def hexadecimal(self) -> str:
        """Return the sum as 32 digits."""
        return f"{self.total % _MODULUS:0{2 * _DIGEST_BYTES}x}"


@dataclass(frozen=True, slots=True)
class Search:
    """What a pass searches for, and how it judges and fingerprints what it finds.

    `closure` is None to fingerprint every row alike; `masks` have replaced the closure's
    numbers in rows that stay; `key` is 16 to 64 bytes, and digests compare only between
    passes with the same one. Tables that the manifest lacks are searched all the same.
    `keep_rows`: keep each row's digest too, to tell which rows differ; memory then grows with
    the rows. `earlier`: a pass that kept them, before somebody else's routine: a row that it
    masked counts as the mention it was, if nothing but identifiers was replaced.
    """

    manifest: Manifest
    closure: Closure | None
    key: bytes
    masks: Masks | None = None
    keep_rows: bool = False
    earlier: Sighting | None = None
    matcher: Matcher = field(init=False)
    candidate: Filter = field(init=False)

    def __post_init__(self) -> None:
        matcher = Matcher(self.closure.identifiers) if self.closure else NOBODY
        candidate = matcher.candidate | self.masks.candidate if self.masks else matcher.candidate
        object.__setattr__(self, "matcher", matcher)
        object.__setattr__(self, "candidate", candidate)


class TablePass:
    """The state of one pass over one table; `consume` takes encoded rows in batches.

    A batch is searched as one text: only where something of the subject's may be in it are
    its rows looked at one by one.

    With `masks`, a row that bears a mask counts as the mention it was: its digest is taken
    with the mask turned back, so that it equals its old self only if nothing else changed.
    """

    def __init__(self, store_set: StoreSet, table: TableSchema, search: Search) -> None:
        self.table = table
        description = search.manifest.table(table.store, table.label)
        treatments = {c.name: c.treatment for c in description.columns} if description else {}
        self._treatments = [treatments.get(column.name) for column in table.columns]
        self._representations = [representation(column) for column in table.columns]
        self._decode = store_set.decoder(table)
        self._matcher = search.matcher
        self._masks = search.masks
        self.candidate = search.candidate
        self._hash = blake2b(digest_size=_DIGEST_BYTES, key=search.key)
        # Just over a block, so that each row is hashed from the beginning of one.
        self._hash.update(f"{table.store}.{table.label}".encode().ljust(_BLOCK_BYTES + 1, b"\0"))
        self.row_digests: Counter[bytes] | None = Counter() if search.keep_rows else None
        self.mentions: dict[bytes, Cells] = {}
        self._known: Counter[bytes] | None = None
        self._strangers: list[tuple[Tally, bytes, Cells]] = []
        if search.earlier is not None:
            place = (table.store, table.label)
            self._known = search.earlier.row_digests.get(place, Counter())
            self._known_mentions = search.earlier.mentions.get(place, {})
        self._bystanders = Tally()
        self._mentions = Tally()
        self._subject_rows = 0
        self.masked_rows = 0
        self._cells: Counter[int] = Counter()
        self._forms: dict[int, Counter[str]] = defaultdict(Counter)

    def consume(self, rows: Sequence[bytes]) -> None:
        """Search and fingerprint a batch of encoded rows."""
        if self.candidate(b"".join(rows)):
            for row in rows:
                self.take(row)
        else:
            self.pass_by(rows)

    def pass_by(self, rows: Sequence[bytes]) -> None:
        """Fingerprint encoded rows that hold nothing of the subject's."""
        self._add(self._bystanders, rows)

    def take(self, row: bytes) -> RowClass:
        """Search and fingerprint one encoded row; return whose it is."""
        if self.candidate(row):
            return self._judge(row)
        self._add(self._bystanders, (row,))
        return RowClass.BYSTANDER

    def _judge(self, row: bytes) -> RowClass:
        cells = list(self._decode(row))
        kind = RowClass.BYSTANDER
        masked = False
        for index, cell in enumerate(cells):
            # Most cells of a row that names somebody name nobody: the cheap test comes first.
            if cell is None or len(cell) < _SHORTEST_CELL or not self.candidate(cell):
                continue
            kind = max(kind, self._examine(index, cell), key=_WEIGHT.index)
            old = self._unmasked(index, cell)
            masked |= old != cell
            cells[index] = old
        self.masked_rows += masked
        if kind is RowClass.SUBJECT:
            self._subject_rows += 1
        elif kind is RowClass.MENTION or masked:
            kind = RowClass.MENTION
            self._mention(cells)
        else:
            self._add(self._bystanders, (row,))
        return kind

    def _mention(self, cells: Cells) -> None:
        hashed = _together(cells)
        self._add(self._mentions, (hashed,), cells)
        if self.row_digests is not None:
            self.mentions[self._digest(hashed)] = tuple(cells)

    def _examine(self, index: int, cell: bytes) -> RowClass:
        """Count what a cell holds of the subject, and return what that makes its row."""
        hits = self._matcher.hits(cell, self._representations[index])
        if not hits:
            return RowClass.BYSTANDER
        self._cells[index] += 1
        self._forms[index].update(hit.form for hit in hits)
        whole = hits[0].whole and self._deletes(index)
        return RowClass.SUBJECT if whole else RowClass.MENTION

    def _unmasked(self, index: int, cell: bytes) -> bytes:
        if self._masks is None or not self._masks.candidate(cell):
            return cell
        return self._masks.unmask(cell, self._representations[index])

    def _deletes(self, index: int) -> bool:
        # A column that the manifest lacks gets the default: a whole-value match deletes.
        return self._treatments[index] in {None, Treatment.DELETE}

    def _add(self, tally: Tally, rows: Sequence[bytes], cells: Cells | None = None) -> None:
        # The hottest loop there is: everything that can be looked up once is.
        copy, number, total = self._hash.copy, int.from_bytes, 0
        for row in rows:
            row_hash = copy()
            row_hash.update(row)
            total += number(row_hash.digest(), "little")
        tally.rows += len(rows)
        tally.total += total
        if self.row_digests is not None:
            digests = list(map(self._digest, rows))
            self.row_digests.update(digests)
            if self._known is not None:
                known = zip(rows, map(self._known.__getitem__, digests), strict=True)
                new = (row for row, count in known if not count)
                self._strangers += [(tally, row, cells or self._decode(row)) for row in new]

    def recognise(self) -> None:
        """Count rows that differ from before in masked identifiers only as what they were."""
        if self._known is None or self.row_digests is None:
            return
        gone = (self._known - self.row_digests).elements()
        missed = Missed(
            [self._known_mentions[one] for one in gone if one in self._known_mentions],
            lambda cell, index: self._matcher.hits(cell, self._representations[index]),
        )
        for tally, hashed, cells in self._strangers:
            old = missed.taken_for(cells)
            if old is not None:
                self._move(tally, hashed, old)

    def _move(self, tally: Tally, hashed: bytes, old: Cells) -> None:
        """Take a row out of a tally and count it as the mention that it was."""
        was = _together(old)
        digest = self._digest(hashed)
        tally.rows -= 1
        tally.total -= int.from_bytes(digest, "little")
        self._mentions.rows += 1
        self._mentions.total += int.from_bytes(self._digest(was), "little")
        if self.row_digests is not None:
            self.row_digests[digest] -= 1
            self.row_digests[self._digest(was)] += 1

    def _digest(self, row: bytes) -> bytes:
        row_hash = self._hash.copy()
        row_hash.update(row)
        return row_hash.digest()

    def merge(self, other: TablePass) -> None:
        """Add what a pass over another part of the same table saw."""
        for mine, theirs in (
            (self._bystanders, other._bystanders),
            (self._mentions, other._mentions),
        ):
            mine.rows += theirs.rows
            mine.total += theirs.total
        self._subject_rows += other._subject_rows
        self.masked_rows += other.masked_rows
        self._cells.update(other._cells)
        for index, forms in other._forms.items():
            self._forms[index].update(forms)
        if self.row_digests is not None and other.row_digests is not None:
            self.row_digests.update(other.row_digests)
            self.mentions.update(other.mentions)
        for tally, row, cells in other._strangers:
            own = self._mentions if tally is other._mentions else self._bystanders
            self._strangers.append((own, row, cells))

    def state(self) -> TableState:
        """Return the table's rows by class and its digests."""
        return TableState(
            store=self.table.store,
            table=self.table.label,
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
                store=self.table.store,
                table=self.table.label,
                column=self.table.columns[index].name,
                cells=cells,
                forms=tuple(sorted(self._forms[index].items())),
            )
            for index, cells in sorted(self._cells.items())
        ]


def _together(cells: Sequence[bytes | None]) -> bytes:
    """Return cells as bytes that no other cells give, whatever the engine's encoding of rows."""
    return b"".join(b"-" if cell is None else b"%d:%b" % (len(cell), cell) for cell in cells)


class Missed:
    """Mentions that are not there any more, by the cells of theirs that name nobody."""

    def __init__(self, rows: Sequence[Cells], hits: Callable[[bytes, int], list[Hit]]) -> None:
        self._hits = hits
        self._rows: dict[tuple[int, ...], dict[tuple[bytes | None, ...], list[Cells]]] = {}
        for row in rows:
            naming = tuple(
                index for index, cell in enumerate(row) if cell is not None and hits(cell, index)
            )
            same = self._rows.setdefault(naming, defaultdict(list))
            same[_apart_from(naming, row)].append(row)

    def taken_for(self, row: Cells) -> Cells | None:
        """Return the mention that a row was before it was masked, each one once."""
        for naming, same in self._rows.items():
            alike = same.get(_apart_from(naming, row), [])
            for old in alike:
                if len(old) == len(row) and self._is_masked(naming, old, row):
                    alike.remove(old)
                    return old
        return None

    def _is_masked(self, naming: Sequence[int], old: Cells, new: Cells) -> bool:
        return all(
            is_masked_copy(old[index], new[index], self._hits(old[index] or b"", index))
            for index in naming
        )


def _apart_from(naming: Sequence[int], row: Cells) -> tuple[bytes | None, ...]:
    return tuple(cell for index, cell in enumerate(row) if index not in naming)


class Passing(Protocol):
    """A pass over one table, as `sweep_with` needs it."""

    row_digests: Counter[bytes] | None
    mentions: dict[bytes, Cells]

    def recognise(self) -> None:
        """Count rows that somebody else masked as what they were."""
        ...

    def state(self) -> TableState:
        """Return the table's rows by class and its digests."""
        ...

    def traces(self) -> list[Trace]:
        """Return the hits by column."""
        ...


P = TypeVar("P", bound=Passing)


def sweep(store_set: StoreSet, search: Search, connections: int = 1) -> Sighting:
    """Search and fingerprint every column of every table of every store present.

    The stores are read as they are now, from one snapshot per database; with several
    `connections`, large tables are read in as many parts side by side. A table that the
    server will not let us read is listed as not searched; it is never passed over.

    Raises:
        StoreUnreachableError: The server went away, so nothing was seen in full.
    """

    def begin(table: TableSchema) -> TablePass:
        return TablePass(store_set, table, search)

    def scan(table: TableSchema, passing: TablePass) -> int:
        parts = store_set.parts(table, connections)
        if len(parts) == 1:
            return store_set.scan(table, passing.consume)
        passes = [begin(table) for _ in parts]
        size_bytes = _side_by_side(store_set, table, list(zip(parts, passes, strict=True)))
        for one in passes:
            passing.merge(one)
        return size_bytes

    with store_set.snapshot():
        return sweep_with(store_set, begin, scan)


def _side_by_side(
    store_set: StoreSet, table: TableSchema, parts: Sequence[tuple[str, TablePass]]
) -> int:
    """Read the parts of a table at the same time, each through a connection of its own."""
    stopped = Event()

    def read(other: StoreSet, part: str, passing: TablePass) -> int:
        def consume(rows: Sequence[bytes]) -> None:
            if stopped.is_set():
                raise _StoppedError
            passing.consume(rows)

        return other.scan(table, consume, part=part)

    with ExitStack() as stack:
        others = [stack.enter_context(store_set.beside(table.store)) for _ in parts]
        threads = stack.enter_context(ThreadPoolExecutor(len(parts)))
        reading = [
            threads.submit(read, other, *one) for other, one in zip(others, parts, strict=True)
        ]
        try:
            return sum(future.result() for future in reading)
        except BaseException:
            # What the others read is of no use any more.
            stopped.set()
            raise


class _StoppedError(Exception):
    """Another part of the table could not be read, or the run was interrupted."""


def sweep_with(
    store_set: StoreSet,
    begin: Callable[[TableSchema], P],
    scan: Callable[[TableSchema, P], int],
) -> Sighting:
    """Make one pass over every table, with the passes that `begin` returns and `scan` feeds.

    Raises:
        StoreUnreachableError: The server went away, so nothing was seen in full.
    """
    sighting = Sighting()
    for table in store_set.tables():
        passing = begin(table)
        try:
            sighting.size_bytes += scan(table, passing)
        except (StoreUnreachableError, ConflictError):
            raise
        except StoreError as error:
            sighting.unsearched.append(Unsearched(table.store, table.label, str(error)))
            continue
        passing.recognise()
        sighting.tables.append(passing.state())
        if passing.row_digests is not None:
            sighting.row_digests[table.store, table.label] = passing.row_digests
            sighting.mentions[table.store, table.label] = passing.mentions
        sighting.traces += passing.traces()
    return sighting
