"""One decision for several PostgreSQL databases: prepare each of them, then commit each by name.

A prepared transaction belongs to no session. It keeps its locks and outlives its client and a
crash of the server, until somebody finishes it by its name from the same database. So names
are journaled before anything is prepared.

Source: PostgreSQL manual, "PREPARE TRANSACTION", "COMMIT PREPARED", "ROLLBACK PREPARED".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.errors import PlanError, StoreError, StoreUnreachableError, UnsettledError

_LONGEST_NAME_BYTES: Final = 199
_OURS: Final = "waba_erasure_"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+")
# PREPARE beyond the limit, which is 0 unless somebody set it, loses the transaction.
_ROOM: Final = """
    SELECT current_setting('max_prepared_transactions')::int - count(*) FROM pg_prepared_xacts"""
_STANDING: Final = "SELECT gid, database FROM pg_prepared_xacts WHERE gid = ANY (%s)"


def names_of(token: str, stores: Sequence[str]) -> dict[str, str]:
    """Return the name of each store's prepared transaction, in the order of the stores.

    Raises:
        PlanError: The token makes no name that the server takes.
    """
    names = {store: f"{_OURS}{token}_{store}" for store in stores}
    longest = max((len(name.encode()) for name in names.values()), default=0)
    if not _TOKEN.fullmatch(token) or longest > _LONGEST_NAME_BYTES:
        raise PlanError(
            "A commit is named with letters, digits, hyphens and underscores, in at most "
            f"{_LONGEST_NAME_BYTES} bytes with the store's name: give it another token."
        )
    return names


@dataclass(frozen=True, slots=True)
class TwoPhase:
    """Prepares and finishes transactions through sessions, of which there is one per database.

    `run` and `rows` run a statement in a database; `renew` has the next one there run in a
    new session; `anywhere` is a database in which to ask about the whole server.
    """

    run: Callable[[str, str, Sequence[object]], int]
    rows: Callable[[str, str, Sequence[object]], list[tuple[Any, ...]]]
    renew: Callable[[str], None]
    anywhere: str

    def has_room(self, count: int) -> bool:
        """Tell whether the server can prepare so many transactions more."""
        ((room,),) = self.rows(self.anywhere, _ROOM, ())
        return bool(room >= count)

    def prepare(self, databases: Mapping[str, str], names: Mapping[str, str]) -> None:
        """Prepare the transaction of every store; on any failure none stays prepared."""
        try:
            for store, name in names.items():
                self.run(databases[store], "PREPARE TRANSACTION %s", (name,))
        except BaseException:
            # What is not prepared is rolled back with its session, whatever state that is in.
            for store in names:
                self.renew(databases[store])
            self.settle(list(names.values()), commit=False)
            raise

    def finish(
        self,
        databases: Mapping[str, str],
        names: Mapping[str, str],
        committed: Callable[[str], object],
    ) -> None:
        """Commit what was prepared, store by store."""
        for store, name in names.items():
            try:
                self._end(databases[store], name, commit=True)
            except StoreError as error:
                raise UnsettledError(
                    f"The erasure is decided and prepared, but not yet committed in {store} and "
                    f"after ({error}): finish it with --resume."
                ) from None
            committed(store)

    def standing(self, names: Sequence[str]) -> dict[str, str]:
        """Return the database of each transaction that still stands prepared, by its name."""
        if not names:
            return {}
        try:
            return dict(self.rows(self.anywhere, _STANDING, (list(names),)))
        except StoreUnreachableError:
            self.renew(self.anywhere)
            return dict(self.rows(self.anywhere, _STANDING, (list(names),)))

    def settle(self, names: Sequence[str], *, commit: bool) -> int:
        """Finish those that still stand, in the order given; return how many they were."""
        try:
            standing = self.standing(names)
            for name in names:
                if name in standing:
                    self._end(standing[name], name, commit=commit)
        except StoreError as error:
            wanted = "committed" if commit else "rolled back"
            raise UnsettledError(
                f"Prepared transactions that are to be {wanted} may still stand ({error}) and "
                "keep rows locked: finish them with --resume."
            ) from None
        return len(standing)

    def _end(self, database: str, name: str, *, commit: bool) -> None:
        """Commit or roll back one transaction, in a new session if the old one was lost."""
        sql = f"{'COMMIT' if commit else 'ROLLBACK'} PREPARED %s"
        try:
            self.run(database, sql, (name,))
        except StoreUnreachableError:
            self.renew(database)
            if name in self.standing([name]):
                self.run(database, sql, (name,))
