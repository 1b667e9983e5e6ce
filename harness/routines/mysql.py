"""Routines on MySQL: stored procedures, and functions, that delete across databases."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from harness.errors import RoutineError
from harness.manifest import Manifest
from harness.model import Answer, EngineKind
from harness.routines import rendering
from harness.routines.file import RoutineFile
from harness.routines.protocol import (
    HOME_STORE,
    PUBLISHED_NAME,
    OwnSession,
    Value,
    require_stores,
)
from harness.routines.script import tokens_of
from harness.stores import StoreSet
from harness.stores.mysql_changes import quoted

# A routine keeps the mode it was created in. This is 5.6's own, the laxest that any server has
# by default: what the routine refuses here, it refuses everywhere.
_LAX: Final = "SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION'"
_LISTED: Final = """
    SELECT count(*) FROM information_schema.routines
    WHERE routine_schema = %s AND routine_name = %s AND routine_type = %s"""


def documented(manifest: Manifest, store_set: StoreSet, run: str) -> StoredRoutine:
    """Return the published procedure, not yet installed."""
    name = f"{PUBLISHED_NAME}_{run}"
    databases = store_set.databases()

    def text() -> str:
        require_stores(manifest, EngineKind.MYSQL, databases)
        return rendering.mysql_procedure(manifest, databases, name)

    return StoredRoutine(_Origin(name, HOME_STORE), store_set, text)


def from_file(file: RoutineFile, store_set: StoreSet, run: str) -> StoredRoutine:
    """Return the routine of a FILE, not yet installed."""
    name = f"erasure_{run}"
    set_up = tuple(statement.text for statement in file.set_up)
    origin = _Origin(name, file.home, "FUNCTION" if file.is_function else "PROCEDURE", set_up)
    return StoredRoutine(origin, store_set, lambda: file.named(quoted(name)))


@dataclass(frozen=True, slots=True)
class _Origin:
    """Which routine it is: its name on the server, its store, and what is run before it."""

    name: str
    home: str
    kind: str = "PROCEDURE"
    set_up: Sequence[str] = ()


class StoredRoutine(OwnSession):
    """A procedure or function of MySQL; see `harness.routines.protocol.Routine`."""

    def __init__(self, origin: _Origin, store_set: StoreSet, text: Callable[[], str]) -> None:
        super().__init__(store_set)
        self.name = origin.name
        self.home = origin.home
        self._origin = origin
        self._text = text
        self._ours = False

    def _begin(self, session: StoreSet) -> None:
        for statement in (_LAX, *self._origin.set_up):
            session.execute(self.home, statement)

    def install(self) -> None:
        sql = self._text()
        if self.listed():
            raise RoutineError(f"{self.home} already has a routine of this run's name: run again.")
        # From here on a failure half way is ours to clean up.
        self._ours = True
        self.session.execute(self.home, sql)

    @property
    def qualifiers(self) -> frozenset[str]:
        """Every name in the routine that stands before a dot; databases are among these."""
        tokens = tokens_of(self._text(), EngineKind.MYSQL)
        pairs = itertools.pairwise(tokens)
        return frozenset(one.name for one, two in pairs if one.name and two.text == ".")

    def listed(self) -> bool:
        return self._count() > 0

    def call(self, value: Value) -> Answer:
        verb = "CALL" if self._origin.kind == "PROCEDURE" else "SELECT"
        sql = f"{verb} {quoted(self.name)}(%s)"
        return self.session.call(self.home, sql, (value,), limit_s=self.limit_s)

    def clean_up(self) -> None:
        """Do nothing: MySQL's files make nothing but the routine."""

    def remove(self, *, thorough: bool = True) -> None:
        del thorough  # its files make nothing but the routine
        self.end_session()
        if not self._ours:
            return
        self._store_set.execute(
            self.home, f"DROP {self._origin.kind} IF EXISTS {quoted(self.name)}"
        )
        self._ours = False

    def leftovers(self) -> tuple[tuple[str, int], ...]:
        count = self._count()
        return ((self._origin.kind.lower(), count),) if count else ()

    def _count(self) -> int:
        names = (self._store_set.databases()[self.home], self.name, self._origin.kind)
        rows = self._store_set.query(self.home, _LISTED, names)
        return int(rows[0][0])
