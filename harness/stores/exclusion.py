"""One operator at a time: a lock on the server, held by a connection of its own.

The lock ends with its connection, so a killed run leaves none behind; its server process may
need a moment to notice. It keeps out other runs of the harness and nobody else.

Source: MySQL reference manual, "Locking Functions"; PostgreSQL manual, "Advisory Locks".
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from harness.config import RunConfig
from harness.errors import BusyError, StoreError
from harness.model import EngineKind
from harness.stores.connection import connect
from harness.stores.protocol import StoreSet

_POLL_S: Final = 0.1
_HOME: Final = "contactStore"
# MySQL's locks are the server's, so the name tells the store set: the longest prefix of a
# db.env leaves it at 63 of the 64 characters allowed. PostgreSQL's are the database's.
_MYSQL_NAME: Final = "waba_erase_{}"
_POSTGRES_KEY: Final = 0x77616261_65726173
_TAKE: Final = {
    EngineKind.MYSQL: "SELECT get_lock(%s, 0) = 1",
    EngineKind.POSTGRES: "SELECT pg_try_advisory_lock(%s)",
}
_HELD: Final = {
    EngineKind.MYSQL: "SELECT is_used_lock(%s) = connection_id()",
    EngineKind.POSTGRES: """
        SELECT count(*) > 0 FROM pg_locks
        WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted AND objsubid = 1
          AND (classid::bigint << 32) + objid::bigint = %s""",
}
_HOLDER: Final = {
    EngineKind.MYSQL: "SELECT is_used_lock(%s)",
    EngineKind.POSTGRES: """
        SELECT max(pid) FROM pg_locks JOIN pg_database d ON d.oid = database
        WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND d.datname = current_database()
          AND (classid::bigint << 32) + objid::bigint = %s""",
}
_END: Final = {
    EngineKind.MYSQL: "KILL {}",
    EngineKind.POSTGRES: "SELECT pg_terminate_backend({})",
}


@dataclass(frozen=True, slots=True)
class Exclusion:
    """The right to change a store set, for as long as the lock's connection lasts."""

    _store_set: StoreSet
    _store: str
    _name: str | int

    def require_held(self) -> None:
        """See that nobody else can have taken the lock meanwhile; to be asked before a commit.

        Raises:
            StoreError: The lock was lost with its connection.
        """
        try:
            held = self._asked(_HELD)
        except StoreError as error:
            raise StoreError(
                f"The lock that keeps other operators out was lost ({error})."
            ) from None
        if not held:
            raise StoreError("The lock that keeps other operators out was lost: run again.")

    def _taken(self) -> bool:
        return self._asked(_TAKE)

    def _busy(self) -> BusyError:
        holder = self._answer(_HOLDER)
        ending = _END[self._store_set.config.engine].format(holder)
        how = f" (as an administrator: {ending})" if holder else ""
        return BusyError(
            "Another operator is erasing from this store set, and only one can at a time: run "
            "again when they have finished or, if theirs was killed, whose connection lasts until "
            f"the server notices, end that connection on the server{how}."
        )

    def _asked(self, sql: dict[EngineKind, str]) -> bool:
        return bool(self._answer(sql))

    def _answer(self, sql: dict[EngineKind, str]) -> object:
        engine = self._store_set.config.engine
        rows: list[tuple[Any, ...]] = self._store_set.query(self._store, sql[engine], (self._name,))
        return rows[0][0]


@contextmanager
def exclusive(config: RunConfig, stores: Sequence[str], *, wait_s: float) -> Iterator[Exclusion]:
    """Keep other operators off a store set while the block runs.

    Args:
        config: Server, credentials and prefix.
        stores: Logical names of the stores to look for, without the prefix.
        wait_s: How long to ask again while another operator has the lock, in seconds.

    Raises:
        BusyError: Another operator still has it.
        StoreError: None of the stores is there, so nothing holds a lock.
        StoreUnreachableError: The server does not answer, or refuses the credentials.
    """
    store_set = connect(config, stores)
    try:
        lock = _lock(store_set)
        until_s = time.monotonic() + wait_s
        while not lock._taken():  # noqa: SLF001 - only here
            if time.monotonic() >= until_s:
                raise lock._busy()  # noqa: SLF001 - only here
            time.sleep(_POLL_S)
        yield lock
    finally:
        store_set.close()


def _lock(store_set: StoreSet) -> Exclusion:
    """Return the lock that every operator of this store set agrees on, not taken yet."""
    databases = store_set.databases()
    if not databases:
        raise StoreError("None of the stores is on this server: see that WA_DB_* are right.")
    home = _HOME if _HOME in databases else min(databases)
    on_mysql = store_set.config.engine is EngineKind.MYSQL
    name = _MYSQL_NAME.format(databases[home]) if on_mysql else _POSTGRES_KEY
    return Exclusion(store_set, home, name)
