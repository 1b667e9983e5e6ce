"""The documented routine on PostgreSQL 10: a function that reaches other stores by postgres_fdw.

PostgreSQL has no procedures before 11, and a function cannot leave its database, so
contactStore gets a foreign server, a user mapping with the password, and foreign tables
for each of the other stores. All of them live in names of the run's own and are made and
removed in one transaction each; the extension is dropped only if this run created it.
"""

from __future__ import annotations

from contextlib import suppress

from harness.errors import RoutineError, StoreError
from harness.identity import WaId
from harness.manifest import Manifest
from harness.model import EngineKind
from harness.routines import rendering
from harness.routines.protocol import HOME_STORE, PUBLISHED_NAME, require_stores
from harness.stores import StoreSet
from harness.stores.postgres_quoting import literal, quoted

# Everything of the run's own that the catalog can list; user mappings hold the password.
_LISTED = """
    SELECT 'function', count(*) FROM pg_proc WHERE proname = %s
    UNION ALL SELECT 'schema', count(*) FROM pg_namespace WHERE nspname = %s
    UNION ALL SELECT 'foreign server', count(*) FROM pg_foreign_server WHERE srvname = ANY (%s)
    UNION ALL SELECT 'user mapping', count(*) FROM pg_user_mappings WHERE srvname = ANY (%s)"""
_EXTENSION = "SELECT count(*) FROM pg_extension WHERE extname = 'postgres_fdw'"


class DocumentedFunction:
    """The published function; see `harness.routines.protocol.Routine`."""

    def __init__(self, manifest: Manifest, store_set: StoreSet, run: str) -> None:
        self.name = f"{PUBLISHED_NAME}_{run}"
        self._manifest = manifest
        self._store_set = store_set
        self._ours = False
        self._made_extension = False
        stores = dict.fromkeys(
            table.store
            for table, _ in manifest.vendor_tables(EngineKind.POSTGRES)
            if table.store != HOME_STORE
        )
        self._foreign = rendering.ForeignNames(
            schema=f"erasure_{run}",
            servers={store: f"erasure_{run}_{store}" for store in stores},
        )

    def install(self) -> None:
        require_stores(self._manifest, EngineKind.POSTGRES, self._store_set.databases())
        if self.leftovers():
            raise RoutineError(f"{HOME_STORE} already has objects of this run's name: run again.")
        lacking = not self._store_set.query(HOME_STORE, _EXTENSION)[0][0]
        parts = ["CREATE EXTENSION postgres_fdw;\n"] if lacking else []
        parts += [self._servers(), rendering.foreign_tables(self._manifest, self._foreign)]
        parts += [rendering.postgres_function(self._manifest, self._foreign, self.name), ";\n"]
        parts += [f"ALTER FUNCTION {self._signature} OWNER TO CURRENT_USER"]
        self._ours = True
        # Several statements in one message are one transaction: all of it or nothing.
        self._store_set.execute(HOME_STORE, "".join(parts))
        self._made_extension = lacking

    def _servers(self) -> str:
        config = self._store_set.config
        databases = self._store_set.databases()
        parts = [f"CREATE SCHEMA {quoted(self._foreign.schema)};\n"]
        for store, server in self._foreign.servers.items():
            parts.append(
                f"CREATE SERVER {quoted(server)} FOREIGN DATA WRAPPER postgres_fdw OPTIONS "
                f"(host {literal(config.hostname)}, port '{config.port}', "
                f"dbname {literal(databases[store])});\n"
                f"CREATE USER MAPPING FOR CURRENT_USER SERVER {quoted(server)} OPTIONS "
                f"(user {literal(config.username)}, "
                f"password {literal(config.password.reveal())});\n"
            )
        return "".join(parts)

    @property
    def _signature(self) -> str:
        return f"public.{quoted(self.name)}(bigint)"

    def listed(self) -> bool:
        return ("function", 1) in self.leftovers()

    def call(self, wa_id: WaId, form: str) -> int:
        value = wa_id.number if form == "text" else int(wa_id.number)
        sql = f"SELECT public.{quoted(self.name)}(%s)"
        return self._store_set.execute(HOME_STORE, sql, (value,))

    def remove(self) -> None:
        if not self._ours:
            return
        parts = [f"DROP FUNCTION IF EXISTS {self._signature};\n"]
        for table, _ in self._manifest.vendor_tables(EngineKind.POSTGRES):
            if table.store != HOME_STORE:
                name = f"{quoted(self._foreign.schema)}.{quoted(table.name)}"
                parts.append(f"DROP FOREIGN TABLE IF EXISTS {name};\n")
        for server in self._foreign.servers.values():
            parts.append(f"DROP USER MAPPING IF EXISTS FOR CURRENT_USER SERVER {quoted(server)};\n")
            parts.append(f"DROP SERVER IF EXISTS {quoted(server)};\n")
        parts.append(f"DROP SCHEMA IF EXISTS {quoted(self._foreign.schema)}")
        self._store_set.execute(HOME_STORE, "".join(parts))
        self._ours = False
        if self._made_extension:
            # Without CASCADE and by itself: somebody may have come to use it since, and
            # then it is theirs.
            with suppress(StoreError):
                self._store_set.execute(HOME_STORE, "DROP EXTENSION IF EXISTS postgres_fdw")
            self._made_extension = False

    def leftovers(self) -> tuple[tuple[str, int], ...]:
        servers = list(self._foreign.servers.values())
        names = (self.name, self._foreign.schema, servers, servers)
        rows = self._store_set.query(HOME_STORE, _LISTED, names)
        return tuple((str(kind), int(count)) for kind, count in rows if count)
