"""Enclosures: where a routine is called so that nothing gets out before it has been swept.

An enclosure has one session, in which the routine is called, all rows are read, and the whole
is committed. Where the engine lets a transaction hold the routine itself, it is installed and
removed inside of it; else before and after, under a name by which it can be found again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

from harness.errors import (
    PlanError,
    RoutineError,
    SelfCommittingError,
    StoreError,
)
from harness.model import EngineKind, Hazard
from harness.routines.catalog import Objects, listed_in
from harness.routines.mysql import StoredRoutine as MySqlRoutine
from harness.routines.postgres import StoredRoutine as PostgresRoutine
from harness.routines.protocol import PUBLISHED_NAME, Routine
from harness.stores import StoreSet
from harness.stores.mysql_branch import BranchStoreSet
from harness.stores.mysql_changes import NO_TRANSACTIONS
from harness.stores.mysql_changes import quoted as mysql_quoted
from harness.stores.postgres_foreign import ForeignStoreSet

_OWN: Final = """
    SELECT routine_type, routine_name FROM information_schema.routines
    WHERE routine_schema = %s AND routine_name IN (%s, %s)"""
# Databases without rows of their own.
_VIEWS: Final = frozenset({"information_schema", "performance_schema", "sys"})
# A function may open connections of its own, whose commits no transaction takes back.
_BESIDES: Final = "dblink"

# ER_DBACCESS_DENIED_ERROR, ER_PROCACCESS_DENIED_ERROR.
_DENIED: Final = frozenset({"1044", "1370"})


class Enclosure(Protocol):
    """One session around one routine."""

    @property
    def session(self) -> StoreSet:
        """The session: its transaction is the routine's."""
        ...

    @property
    def left_behind(self) -> tuple[tuple[str, int], ...]:
        """The kinds and numbers of objects that could not be removed; `removed` tries again."""
        ...

    def opened(self) -> AbstractContextManager[None]:
        """Have the session, and on MySQL the routine, for as long as the block lasts."""
        ...

    def begin(self) -> None:
        """Make everything ready for a call, first thing in the session's transaction.

        Raises:
            RoutineError: Something is lacking.
            StoreError: The server refused the routine.
        """
        ...

    def guarded(self) -> AbstractContextManager[None]:
        """Call the routine inside.

        Raises:
            SelfCommittingError: It tried to end the transaction.
        """
        ...

    def refuse_unseen(self, gone_rows: int) -> None:
        """Give up if it deleted more rows than the `gone_rows` that were seen to go.

        Raises:
            ConflictError: The transaction must be rolled back, and may be tried again.
        """
        ...

    def end(self) -> None:
        """Take away what `begin` made, last thing before the commit.

        Raises:
            PlanError: Something of it would stay.
        """
        ...


def enclosure(routine: Routine, store_set: StoreSet, run: str) -> Enclosure:
    """Return the enclosure of a routine that is not installed; `run` makes names its own."""
    if isinstance(routine, PostgresRoutine):
        return _Within(routine, store_set, run)
    if isinstance(routine, MySqlRoutine):
        return _Around(routine, store_set)
    raise TypeError(type(routine))


def removed(store_set: StoreSet, run: str) -> int:
    """Remove what a run that was killed left behind; return how many objects there were.

    On PostgreSQL there are none, since everything was made in the transaction that ended with
    it. Harmless when repeated.
    """
    if store_set.config.engine is not EngineKind.MYSQL:
        return 0
    count = 0
    names = (f"{PUBLISHED_NAME}_{run}", f"erasure_{run}")
    for store, database in store_set.databases().items():
        for kind, name in store_set.query(store, _OWN, (database, *names)):
            store_set.execute(store, f"DROP {kind} IF EXISTS {mysql_quoted(str(name))}")
            count += 1
    return count


class _Around:
    """MySQL: CREATE PROCEDURE commits, so it comes before the transaction and goes after it."""

    def __init__(self, routine: MySqlRoutine, store_set: StoreSet) -> None:
        self._routine = routine
        self.session = BranchStoreSet(store_set.config, tuple(store_set.databases()))
        self.left_behind: tuple[tuple[str, int], ...] = ()
        self._installed = False
        self.guarded = self.session.guarded
        self.refuse_unseen = self.session.refuse_unseen

    @contextmanager
    def opened(self) -> Iterator[None]:
        try:
            yield
        finally:
            # What it holds is free before the routine is dropped.
            self.session.close()
            self._routine.join(None)
            self._remove()

    def _remove(self) -> None:
        try:
            self._routine.remove()
        except StoreError:
            # What failed before hides nothing of this, and this hides nothing of that.
            if self._installed:
                self.left_behind = (("routine", 1),)
        self._installed = False

    def begin(self) -> None:
        _refuse_without_transactions(self.session.hazards())
        self._refuse_elsewhere()
        if not self._installed:
            self._install()
            self._routine.join(self.session)
            self._installed = True

    def _refuse_elsewhere(self) -> None:
        """Refuse a routine that names databases of which nobody will sweep anything.

        Raises:
            RoutineError: Says how many.
        """
        home = self._routine.home
        databases = {str(name).lower() for (name,) in self.session.query(home, "SHOW DATABASES")}
        others = databases - {name.lower() for name in self.session.databases().values()} - _VIEWS
        if named := {name.lower() for name in self._routine.qualifiers} & others:
            raise RoutineError(
                f"The routine names {len(named)} databases that are none of this store set's: see "
                "that it is written for WA_DB_NAME_PREFIX, and changes the stores only."
            )

    def _install(self) -> None:
        """Install on a connection of the routine's own, in the mode that its file asks for."""
        try:
            self._routine.install()
        except StoreError as error:
            if error.code not in _DENIED:
                raise
            database = self.session.databases()[self._routine.home]
            raise RoutineError(
                "MySQL does not let the account create a routine: GRANT CREATE ROUTINE, ALTER "
                f"ROUTINE, EXECUTE ON {mysql_quoted(database)}.* to it, or use --routine hardened, "
                "which needs none of it."
            ) from None
        finally:
            self._routine.end_session()

    def end(self) -> None:
        """Do nothing: what is left to take away is taken away after the transaction."""


class _Within:
    """PostgreSQL: the transaction holds the function and all that leads to the other stores."""

    def __init__(self, routine: PostgresRoutine, store_set: StoreSet, run: str) -> None:
        self._routine = routine
        self._run = run
        stores = tuple(store_set.databases())
        self.session = ForeignStoreSet(store_set.config, stores, routine.home, run)
        self.guarded = self.session.guarded
        self.refuse_unseen = self.session.refuse_unseen
        self._before: Objects | None = None
        self.left_behind: tuple[tuple[str, int], ...] = ()

    @contextmanager
    def opened(self) -> Iterator[None]:
        if any(word.startswith(_BESIDES) for word in self._routine.words):
            raise SelfCommittingError(
                "The routine opens connections of its own, which commit by themselves: it was not "
                "called; let it work through postgres_fdw."
            )
        self._routine.join(self.session)
        try:
            yield
        finally:
            self.session.close()
            self._routine.join(None)

    def begin(self) -> None:
        self.session.refuse_lacking_privileges()
        self._before = listed_in(self.session, self._routine.home)
        self._routine.install()
        self.session.reach(self._routine.servers, self._routine.words)

    def end(self) -> None:
        self.session.withdraw()
        try:
            self._routine.remove()
        except StoreError as error:
            raise PlanError(
                f"What the routine's file made could not be taken away again (SQLSTATE "
                f"{error.code}), so everything was rolled back."
            ) from None
        after = listed_in(self.session, self._routine.home)
        if after != self._before:
            raise PlanError(
                "The routine or its file made, or took away, objects of the database for good, so "
                "everything was rolled back: let it change rows only."
            )


def _refuse_without_transactions(hazards: tuple[Hazard, ...]) -> None:
    """Refuse a set in which a routine may change what no rollback brings back.

    Raises:
        PlanError: Names each such table.
    """
    found = [one for one in hazards if one.why.endswith(NO_TRANSACTIONS)]
    if found:
        reasons = "; ".join(f"{one.store}.{one.table}: {one.why}" for one in found)
        raise PlanError(
            f"A routine may change any table, and these cannot be rolled back: {reasons}. "
            "Nothing was called; change their engine, or use --routine hardened."
        )
