"""What every deletion routine offers, whatever its engine and whoever wrote it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from harness.errors import RoutineError
from harness.manifest import Manifest
from harness.model import Answer, EngineKind
from harness.stores import StoreSet, connect

PUBLISHED_NAME: Final = "deleteUserDataByPhoneNumber"
HOME_STORE: Final = "contactStore"
CALL_LIMIT_S: Final = 600.0
"""How long one call may take, in seconds, unless less is asked for."""
Value = int | str | None
"""What a routine is called with: a number, or something else in a number's place."""


class Routine(Protocol):
    """A stored deletion routine, bound to one store set, under a name of the run's own."""

    name: str
    home: str
    limit_s: float

    @property
    def session(self) -> StoreSet:
        """The connection that it is called on: whatever it does to it, nobody else has it."""
        ...

    def end_session(self) -> None:
        """Close that connection, as a client would; the next call opens another."""
        ...

    def join(self, session: StoreSet | None) -> None:
        """Be called on somebody else's connection from now on, or on one of its own again.

        Theirs it does not begin or end.
        """
        ...

    def install(self) -> None:
        """Create the routine and what it needs; all of it or nothing.

        Raises:
            RoutineError: A store it names is missing, or its name is taken.
            StoreError: The server refused.
        """
        ...

    def listed(self) -> bool:
        """Tell whether the server's catalog lists the routine."""
        ...

    def call(self, value: Value) -> Answer:
        """Call it once, on its session; return what the server answered.

        Raises:
            StoreError: It failed, or had not ended after `limit_s` seconds.
        """
        ...

    def clean_up(self) -> None:
        """Do what the routine's own file does to take away what it made.

        Raises:
            StoreError: The server refused.
        """
        ...

    def remove(self, *, thorough: bool = True) -> None:
        """Take away everything that `install` made and nothing else; harmless when repeated.

        Unless it is to be `thorough`, what the routine's own file made is left, to be seen.
        """
        ...

    def leftovers(self) -> tuple[tuple[str, int], ...]:
        """Return the kinds and numbers of the run's own objects that the catalog still lists."""
        ...


class OwnSession:
    """A connection of the routine's own, opened when it is first needed."""

    def __init__(self, store_set: StoreSet) -> None:
        self.limit_s = CALL_LIMIT_S
        self._store_set = store_set
        self._opened: StoreSet | None = None
        self._joined: StoreSet | None = None

    def join(self, session: StoreSet | None) -> None:
        """Be called on somebody else's connection from now on, or on one of its own again."""
        self._joined = session

    @property
    def session(self) -> StoreSet:
        """The connection that the routine is called on."""
        if self._joined is not None:
            return self._joined
        if self._opened is None:
            stores = tuple(self._store_set.databases())
            self._opened = connect(self._store_set.config, stores, one_at_a_time=True)
            self._begin(self._opened)
        return self._opened

    def _begin(self, session: StoreSet) -> None:
        """Prepare a connection that was just opened: by default, as it is."""

    def end_session(self) -> None:
        """Close it: whatever the routine did not commit is rolled back, its locks are gone."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def require_stores(manifest: Manifest, engine: EngineKind, present: Collection[str]) -> None:
    """Refuse where a store that the published map names is not on the server.

    Raises:
        RoutineError: Names the missing stores.
    """
    named = {table.store for table, _ in manifest.vendor_tables(engine)}
    if missing := sorted(named - set(present)):
        raise RoutineError(
            f"The documented routine needs {', '.join(missing)}, which this server does not have: "
            "see that WA_DB_NAME_PREFIX is right."
        )
