"""The documented routine on MySQL: a stored procedure that deletes across databases."""

from __future__ import annotations

from harness.errors import RoutineError
from harness.identity import WaId
from harness.manifest import Manifest
from harness.model import EngineKind
from harness.routines import rendering
from harness.routines.protocol import HOME_STORE, PUBLISHED_NAME, require_stores
from harness.stores import StoreSet
from harness.stores.mysql_changes import quoted

_LISTED = """
    SELECT count(*) FROM information_schema.routines
    WHERE routine_schema = %s AND routine_name = %s AND routine_type = 'PROCEDURE'"""


class DocumentedProcedure:
    """The published procedure; see `harness.routines.protocol.Routine`."""

    def __init__(self, manifest: Manifest, store_set: StoreSet, run: str) -> None:
        self.name = f"{PUBLISHED_NAME}_{run}"
        self._manifest = manifest
        self._store_set = store_set
        self._ours = False

    def install(self) -> None:
        databases = self._store_set.databases()
        require_stores(self._manifest, EngineKind.MYSQL, databases)
        if self.listed():
            raise RoutineError(f"{HOME_STORE} already has a routine of this run's name: run again.")
        sql = rendering.mysql_procedure(self._manifest, databases, self.name)
        # From here on a failure half way is ours to clean up.
        self._ours = True
        self._store_set.execute(HOME_STORE, sql)

    def listed(self) -> bool:
        return self._count() > 0

    def call(self, wa_id: WaId, form: str) -> int:
        value = wa_id.number if form == "text" else int(wa_id.number)
        return self._store_set.execute(HOME_STORE, f"CALL {quoted(self.name)}(%s)", (value,))

    def remove(self) -> None:
        if not self._ours:
            return
        self._store_set.execute(HOME_STORE, f"DROP PROCEDURE IF EXISTS {quoted(self.name)}")
        self._ours = False

    def leftovers(self) -> tuple[tuple[str, int], ...]:
        count = self._count()
        return (("procedure", count),) if count else ()

    def _count(self) -> int:
        database = self._store_set.databases()[HOME_STORE]
        rows = self._store_set.query(HOME_STORE, _LISTED, (database, self.name))
        return int(rows[0][0])
