"""What every deletion routine offers, whatever its engine and whoever wrote it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from harness.errors import RoutineError
from harness.identity import WaId
from harness.manifest import Manifest
from harness.model import EngineKind

PUBLISHED_NAME: Final = "deleteUserDataByPhoneNumber"
HOME_STORE: Final = "contactStore"


class Routine(Protocol):
    """A stored deletion routine, bound to one store set, under a name of the run's own."""

    name: str

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

    def call(self, wa_id: WaId, form: str) -> int:
        """Call it once with the number as `number` or as `text`; return the rows it claims."""
        ...

    def remove(self) -> None:
        """Take away everything that `install` made and nothing else; harmless when repeated."""
        ...

    def leftovers(self) -> tuple[tuple[str, int], ...]:
        """Return the kinds and numbers of the run's own objects that the catalog still lists."""
        ...


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
