"""What every engine must offer: one protocol, so that sweeps and runs know no engine.

A store set is all stores under one prefix on one server. Rows travel as *encoded rows*:
the bytes in which the server sent them, one row each, never parsed unless something in
them deserves a look. An engine that sends the same row as the same bytes makes both the
search and the fingerprint one pass over those bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol, TypeVar

from harness.config import RunConfig
from harness.model import Answer, Hazard, Located, Reference, Replacement, SeedRow, TableSchema

_TEMPLATE_PORT: Final = 3306
_COMMITTED_LAST: Final = "contactStore"
_WORTH_CUTTING: Final = 50_000
"""The rows, as far as keys tell, below which another connection costs more than it saves."""
UNSPEAKABLE: Final = re.compile(r"\d{5,}")
"""What is left out of an object's name in a message: it may be a part of a number."""
T = TypeVar("T")

Consumer = Callable[[Sequence[bytes]], object]
Decoder = Callable[[bytes], tuple[bytes | None, ...]]


class StoreSet(Protocol):
    """All stores under one prefix on one server, reached through one configuration.

    Every method raises `StoreUnreachableError` when the connection is lost, and
    `StoreError` when the server refuses; neither carries the driver's text.
    """

    config: RunConfig
    version: str

    def databases(self) -> Mapping[str, str]:
        """Return the stores present, by logical name, with their names on the server."""
        ...

    def create(self, schemas: Mapping[str, str]) -> None:
        """Create the stores that `schemas` names, each from its SQL; disposable servers only."""
        ...

    def drop(self) -> None:
        """Drop every store of the set; disposable servers only."""
        ...

    def tables(self) -> tuple[TableSchema, ...]:
        """Return every table of every store present that holds rows of its own."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Read all that is scanned inside from one consistent, read-only snapshot per database."""
        ...

    def parts(self, table: TableSchema, most: int) -> tuple[str, ...]:
        """Cut a table along its integer key; return a condition for each part, at most `most`.

        Each row is in exactly one part. A table that is small, or has no such key, is one part,
        whose condition is empty.
        """
        ...

    def beside(self, store: str) -> AbstractContextManager[StoreSet]:
        """Open another connection that reads a store inside `snapshot`, for use in a thread.

        On PostgreSQL it reads the very same snapshot, on MySQL one of its own.
        """
        ...

    def scan(
        self, table: TableSchema, consume: Consumer, *, located: bool = False, part: str = ""
    ) -> int:
        """Hand every row, encoded, to `consume`, in no particular order; return bytes read.

        Rows come in batches of about 64 KiB, which is what makes the search cheap: a batch is
        searched as one text, and its rows are looked at one by one only if it holds something.
        Rows stream: memory does not grow with the table. The encoding is the same for
        equal values in every session, whatever the server's or the client's locale. With
        `located`, rows come with their locator and want `split`; with `part`, one of `parts`.
        """
        ...

    def split(self, row: bytes) -> tuple[bytes, bytes]:
        """Take a row that was scanned `located` apart, into its locator and the encoded row."""
        ...

    def bare(self, rows: Sequence[bytes]) -> Sequence[bytes]:
        """Take the locators off rows that were scanned `located`, all at once."""
        ...

    def hazards(self) -> tuple[Hazard, ...]:
        """Return what makes changing rows of some tables unsafe.

        Tables without transactions, triggers that fire on changes, and foreign keys that
        carry a change on to other rows.
        """
        ...

    def references(self) -> tuple[Reference, ...]:
        """Return the foreign keys of every table, whatever they do with a change."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Work in one transaction per database, on one consistent snapshot each.

        Whatever is not committed when the block ends is rolled back, prepared or not.

        Raises:
            ConflictError: From anything inside, when somebody else's change came between.
        """
        ...

    def commit_order(self) -> tuple[str, ...]:
        """Return the stores in the order in which `commit` commits them.

        contactStore comes last, since it holds the aliases that a second try would need.
        """
        ...

    def is_atomic(self) -> bool:
        """Tell whether one decision can commit all stores, come what may, or none of them.

        So it is on MySQL, where one transaction reaches all; on PostgreSQL only where there is
        one database, or where the server has room to `prepare` every one.
        """
        ...

    def commit_names(self, token: str) -> tuple[str, ...]:
        """Return the names that `prepare` would give, to be journaled before it is called.

        Empty where nothing need be prepared or nothing can be; `is_atomic` tells which.

        Args:
            token: What tells this commit from all others; letters, digits, `-` and `_`.
        """
        ...

    def prepare(self, token: str) -> None:
        """Make the transaction ready, in every database, so that committing cannot fail.

        What is prepared outlives this process and the server's; `settle` finishes it by its
        name. Does nothing where one commit reaches everything anyway.

        Raises:
            PlanError: The server has no room for it; nothing was changed.
            StoreError: A database refused; everything is rolled back, nothing was changed.
            UnsettledError: So it is, but what had been prepared could not be rolled back.
        """
        ...

    def commit(self, committed: Callable[[str], object] | None = None) -> None:
        """Commit the transaction: at once on MySQL, store by store on PostgreSQL.

        Once what was prepared begins to be committed, nothing of it is rolled back any more.

        Args:
            committed: Called with each store as soon as it is committed, in `commit_order`.

        Raises:
            UnsettledError: Some of what was prepared is not committed yet.
            PlanError: Nothing was prepared, and some stores are committed and others not.
        """
        ...

    def prepared(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return which of the transactions of these names are prepared and still stand."""
        ...

    def settle(self, names: Sequence[str], *, commit: bool) -> int:
        """Commit, or else roll back, those that still stand; return how many they were.

        Raises:
            UnsettledError: Some still stand afterwards.
        """
        ...

    def delete(self, table: TableSchema, rows: Sequence[Located]) -> int:
        """Delete exactly these rows, if they are still as they were located; return how many."""
        ...

    def replace(self, table: TableSchema, rows: Sequence[Replacement]) -> int:
        """Replace cells of exactly these rows, if they are as located; return how many."""
        ...

    def statement_logs(self) -> tuple[str, ...]:
        """Return, in plain words, the server's logs that receive the text of our statements.

        As the sessions are now: `connect` can ask for quiet ones. A binary log counts unless
        it holds rows alone.
        """
        ...

    def decoder(self, table: TableSchema) -> Decoder:
        """Return the function that takes an encoded row of the table apart into cells.

        A cell is the value's text in UTF-8, a binary value's own bytes, or None for NULL.
        """
        ...

    def insert(self, rows: Iterable[SeedRow]) -> None:
        """Insert rows, in the order given, in one transaction per database."""
        ...

    def load(
        self, store: str, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
    ) -> int:
        """Load any number of rows of one table in bulk; return how many.

        Rows stream: memory does not grow with their number. They go in as one transaction,
        unless one is open, and a row that the server would alter or leave out ends it.
        Values are text, numbers, bytes or None, in the order of `columns`.
        """
        ...

    def clear(self) -> None:
        """Delete every row of every table; disposable servers only."""
        ...

    def execute(self, store: str, sql: str, values: Sequence[object] = ()) -> int:
        """Run one statement in a store's database; return the affected rows it reports."""
        ...

    def call(
        self, store: str, sql: str, values: Sequence[object] = (), *, limit_s: float
    ) -> Answer:
        """Run one statement that calls a routine; return all that the server says to it.

        Raises:
            StoreError: The routine failed; `code` says how, `lacks` what it misses. What has
                not ended after `limit_s` seconds is stopped, with the code `STOPPED`.
        """
        ...

    def query(self, store: str, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one query in a store's database and return its rows."""
        ...

    def close(self) -> None:
        """Close every connection; harmless when called again."""
        ...


def committed_in_order(stores: Iterable[str]) -> tuple[str, ...]:
    """Return stores in the order of their commits: the one with the aliases comes last."""
    return tuple(sorted(stores, key=lambda store: store == _COMMITTED_LAST))


def in_chunks(rows: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """Cut a sequence into pieces of at most `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def cut(column: str, lowest: int | None, highest: int | None, most: int) -> tuple[str, ...]:
    """Return conditions that cut the values of an integer column into at most `most` parts."""
    if lowest is None or highest is None or highest - lowest < _WORTH_CUTTING:
        return ("",)
    step = (highest - lowest) // most + 1
    bounds = range(lowest + step, highest + 1, step)
    lower = ["", *(f"{column} >= {bound}" for bound in bounds)]
    upper = [*(f"{column} < {bound}" for bound in bounds), ""]
    return tuple(" AND ".join(filter(None, ends)) for ends in zip(lower, upper, strict=True))


def fold(names: Iterable[str], present: Iterable[str], prefix: str) -> dict[str, str]:
    """Match logical store names with database names on the server.

    A client that created its databases unquoted on PostgreSQL had their names folded to
    lower case, so the folded name serves where the exact one is absent.
    """
    on_server = set(present)
    found = {}
    for name in names:
        exact = prefix + name
        for candidate in (exact, exact.lower()):
            if candidate in on_server:
                found[name] = candidate
                break
    return found


def refused(config: RunConfig, error: str, *, privilege: bool) -> str:
    """Word the sentence for a statement that the server refused; `error` is its code."""
    name = config.engine.proper_name
    if privilege:
        return (
            f"{name} refused a statement for want of a privilege ({error}): --preflight names the "
            "GRANT to run."
        )
    return f"{name} refused a statement with {error}: look the code up in {name}'s manual."


def unreachable(config: RunConfig, why: str) -> str:
    """Word the sentence for a server that cannot be reached or went away."""
    hint = ""
    if config.engine.value == "postgres" and config.port == _TEMPLATE_PORT:
        hint = f" ({_TEMPLATE_PORT} is the template's port; PostgreSQL usually listens on 5432)"
    return (
        f"{config.engine.proper_name} at {config.hostname}:{config.port}{hint} {why}: "
        "see that the server is up and WA_DB_* are right, then run again."
    )
