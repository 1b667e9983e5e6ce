"""A store set on MySQL in whose transaction somebody else's routine can be called.

The transaction is a branch of a distributed one, committed in one phase. Inside it MySQL
refuses whatever would end it: COMMIT, ROLLBACK, and every statement that commits by the way.
It takes no privilege, and nothing of it outlives the connection.

Source: MySQL reference manual, "XA Transaction States".
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import pymysql

from harness.config import RunConfig
from harness.errors import ConflictError, SelfCommittingError, StoreError, StoreUnreachableError
from harness.stores.mysql import MySqlStoreSet

# XAER_RMFAIL: the statement would end the branch. ER_SP_DOES_NOT_EXIST: the savepoint is gone.
_WOULD_END: Final = "1399"
_NO_SAVEPOINT: Final = "1305"
_SAVEPOINT: Final = "erasure_call"
_LOCK_TIMEOUT_S: Final = 5
_EVERY_ROW: Final = (1 << 64) - 1
# What a row is sent as must not depend on what a routine set; and sql_mode is the server's own.
_SETTINGS: Final = (
    "SET SESSION time_zone = '+00:00', sql_mode = @@GLOBAL.sql_mode, "
    f"sql_select_limit = {_EVERY_ROW}, character_set_results = utf8mb4, "
    f"character_set_connection = utf8mb4, innodb_lock_wait_timeout = {_LOCK_TIMEOUT_S}"
)


class BranchStoreSet(MySqlStoreSet):
    """A store set whose transaction nothing inside can end; see `harness.stores.protocol`."""

    def __init__(self, config: RunConfig, stores: Sequence[str]) -> None:
        super().__init__(config, stores, one_at_a_time=True, quiet=True)
        self._branch = ""
        self._deleted_rows = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Work in one branch, whose snapshot is made by the first row that is read."""
        self._run(_SETTINGS)
        self._run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self._branch = secrets.token_hex(16)
        self._run(f"XA START '{self._branch}'")
        self._in_transaction = True
        try:
            yield
        finally:
            self._tables = None
            if self._in_transaction:
                self._in_transaction = False
                self._abandon()

    def commit(self, committed: Callable[[str], object] | None = None) -> None:
        """Commit the branch in one phase."""
        self._run(f"XA END '{self._branch}'")
        self._run(f"XA COMMIT '{self._branch}' ONE PHASE")
        self._in_transaction = False
        for store in self.commit_order() if committed else ():
            (committed or str)(store)

    def _abandon(self) -> None:
        """Roll back; a connection that cannot is replaced, and the server rolls it back."""
        with suppress(StoreError):
            if not self._streaming:
                self._run(f"XA END '{self._branch}'")
                self._run(f"XA ROLLBACK '{self._branch}'")
                return
        with suppress(pymysql.err.Error, OSError):
            self.close()
            self._streaming = False
            self._connection = self._connect()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Call a routine inside, which may not end the transaction or bend the session.

        Raises:
            SelfCommittingError: It tried to end the transaction.
        """
        self._run(f"SAVEPOINT {_SAVEPOINT}")
        before = self._deletions()
        try:
            yield
        except (StoreUnreachableError, ConflictError):
            raise
        except StoreError as error:
            if error.code == _WOULD_END:
                raise SelfCommittingError(_SENTENCE) from None
            raise
        self._deleted_rows = self._deletions() - before
        try:
            self._run(f"RELEASE SAVEPOINT {_SAVEPOINT}")
        except StoreError as error:
            if error.code == _NO_SAVEPOINT:
                raise SelfCommittingError(_SENTENCE) from None
            raise
        self._run(_SETTINGS)

    def refuse_unseen(self, gone_rows: int) -> None:
        """Give up if the routine deleted more rows than are gone from the snapshot.

        MySQL lets a deletion reach rows that others committed after the snapshot was made,
        which neither sweep nor fingerprint can have seen.

        Raises:
            ConflictError: The transaction must be rolled back, and may be tried again.

        Source: MySQL reference manual, "Consistent Nonlocking Reads".
        """
        if self._deleted_rows > gone_rows:
            raise ConflictError(
                "The routine deleted rows that nobody had seen, since they were added while it "
                "ran, or since it added them itself: stop the Coreapp, then run again."
            )

    def _deletions(self) -> int:
        ((_, count),) = self._rows("SHOW SESSION STATUS LIKE 'Handler_delete'")
        return int(count)

    def _run_all(self, statements: Iterable[str]) -> int:
        # This connection takes one statement at a time, since a routine's text is not ours.
        return sum(self._run(statement) for statement in statements)


_SENTENCE: Final = (
    "The routine commits by itself, or runs a statement that does: it was stopped and nothing was "
    "changed; take that out of the routine, since a transaction around it makes it whole."
)
