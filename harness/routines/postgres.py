"""Routines on PostgreSQL: functions that reach the other stores by postgres_fdw.

PostgreSQL has no procedures before 11, and a function cannot leave its database, so
contactStore gets a foreign server, a user mapping with the password, and foreign tables
for each of the other stores. Servers and function have names of the run's own; what is made
and removed is made and removed in one transaction each; the extension is dropped only if
this run created it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from harness.errors import RoutineError, StoreError
from harness.manifest import Manifest
from harness.model import Answer, EngineKind
from harness.routines import rendering
from harness.routines.file import RoutineFile
from harness.routines.foreign import localised, servers_made, tables_made
from harness.routines.protocol import (
    HOME_STORE,
    PUBLISHED_NAME,
    OwnSession,
    Value,
    require_stores,
)
from harness.stores import StoreSet
from harness.stores.postgres_quoting import literal, quoted
from harness.stores.postgres_unlogged import unlogged, user_mapping

# Everything of the run's own that the catalog can list; user mappings hold the password.
_LISTED: Final = """
    SELECT lower(%s), count(*) FROM pg_proc WHERE proname = %s
    UNION ALL SELECT 'schema', count(*) FROM pg_namespace WHERE nspname = %s
    UNION ALL SELECT 'foreign server', count(*) FROM pg_foreign_server WHERE srvname = ANY (%s)
    UNION ALL SELECT 'user mapping', count(*) FROM pg_user_mappings WHERE srvname = ANY (%s)"""
_WORD: Final = re.compile(r"[^\W\d][\w$]*")
_EXTENSION: Final = "SELECT count(*) FROM pg_extension WHERE extname = 'postgres_fdw'"
_FOREIGN_TABLES: Final = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'f' AND n.nspname = %s"""
_PUBLIC: Final = "public"


def documented(manifest: Manifest, store_set: StoreSet, run: str) -> StoredRoutine:
    """Return the published function, not yet installed; its foreign tables are out of the way."""
    name = f"{PUBLISHED_NAME}_{run}"
    foreign = rendering.ForeignNames(f"erasure_{run}", _servers(manifest, run))
    sql = rendering.postgres_function(manifest, foreign, name)
    return StoredRoutine(_Origin(name, sql, foreign), manifest, store_set)


def from_file(
    file: RoutineFile, manifest: Manifest, store_set: StoreSet, run: str
) -> StoredRoutine:
    """Return the routine of a FILE, not yet installed.

    Its foreign tables stand where such a routine looks for them: in the schema public of its
    own database. Those that the file makes itself are made as it says, the others as published.
    """
    name = f"erasure_{run}"
    foreign = rendering.ForeignNames(_PUBLIC, _servers(manifest, run))
    sql = file.named(f"public.{quoted(name)}")
    return StoredRoutine(_Origin(name, sql, foreign, file), manifest, store_set)


def _servers(manifest: Manifest, run: str) -> dict[str, str]:
    stores = dict.fromkeys(
        table.store
        for table, _ in manifest.vendor_tables(EngineKind.POSTGRES)
        if table.store != HOME_STORE
    )
    return {store: f"erasure_{run}_{store}" for store in stores}


@dataclass(frozen=True, slots=True)
class _Origin:
    """Which routine it is: its name, its text, its foreign objects, and the FILE it is from."""

    name: str
    sql: str
    foreign: rendering.ForeignNames
    file: RoutineFile | None = None

    @property
    def kind(self) -> str:
        return "PROCEDURE" if self.file and not self.file.is_function else "FUNCTION"


class StoredRoutine(OwnSession):
    """A function or procedure of PostgreSQL; see `harness.routines.protocol.Routine`."""

    def __init__(self, origin: _Origin, manifest: Manifest, store_set: StoreSet) -> None:
        super().__init__(store_set)
        self.name = origin.name
        self.home = origin.file.home if origin.file else HOME_STORE
        self._origin = origin
        self._foreign = origin.foreign
        self._manifest = manifest
        self._ours = False
        self._made_extension = False
        self._others: frozenset[str] = frozenset()

    @property
    def _place(self) -> StoreSet:
        """The connection on which objects are made and removed."""
        return self._joined or self._store_set

    def install(self) -> None:
        require_stores(self._manifest, EngineKind.POSTGRES, self._store_set.databases())
        if self.leftovers():
            raise RoutineError(f"{self.home} already has objects of this run's name: run again.")
        lacking = not self._place.query(self.home, _EXTENSION)[0][0]
        there = self._place.query(self.home, _FOREIGN_TABLES, (self._foreign.schema,))
        self._others = frozenset(str(name) for (name,) in there)
        parts = ["CREATE EXTENSION postgres_fdw;\n"] if lacking else []
        parts += [self._provided(), *self._from_file("set_up")]
        parts += [self._origin.sql, ";\n"]
        parts += [f"ALTER {self._origin.kind} {self._signature} OWNER TO CURRENT_USER"]
        self._ours = True
        # Several statements in one message are one transaction: all of it or nothing.
        self._place.execute(self.home, "".join(parts))
        self._made_extension = lacking

    def _provided(self) -> str:
        """Return the SQL that makes the servers, mappings and foreign tables of the run's own."""
        config = self._store_set.config
        databases = self._store_set.databases()
        schema = self._foreign.schema
        parts = [f"CREATE SCHEMA {quoted(schema)};\n"] if schema != _PUBLIC else []
        for store, server in self._foreign.servers.items():
            parts.append(
                f"CREATE SERVER {quoted(server)} FOREIGN DATA WRAPPER postgres_fdw OPTIONS "
                f"(host {literal(config.hostname)}, port '{config.port}', "
                f"dbname {literal(databases[store])});\n"
            )
            login = (literal(config.username), literal(config.password.reveal()))
            parts.append(f"{user_mapping(quoted(server), *login)};\n")
        made = set(tables_made(self._origin.file.set_up)) if self._origin.file else set()
        parts.append(rendering.foreign_tables(self._manifest, self._foreign, made | self._others))
        return "".join(parts)

    def _from_file(self, part: str) -> list[str]:
        """Return the statements of the FILE that set up or clean up, for this store set."""
        if self._origin.file is None:
            return []
        config, databases = self._store_set.config, self._store_set.databases()
        statements = getattr(self._origin.file, part)
        secret = config.password.reveal()
        here = (localised(one, config, databases) for one in statements)
        return [f"{unlogged(one) if secret in one else one};\n" for one in here]

    @property
    def _signature(self) -> str:
        return f"public.{quoted(self.name)}(bigint)"

    def listed(self) -> bool:
        return (self._origin.kind.lower(), 1) in self.leftovers()

    def call(self, value: Value) -> Answer:
        verb = "SELECT" if self._origin.kind == "FUNCTION" else "CALL"
        sql = f"{verb} public.{quoted(self.name)}(%s)"
        return self.session.call(self.home, sql, (value,), limit_s=self.limit_s)

    def clean_up(self) -> None:
        for statement in self._from_file("clean_up"):
            self._place.execute(self.home, statement)

    def remove(self, *, thorough: bool = True) -> None:
        self.end_session()
        if not self._ours:
            return
        parts = [f"DROP {self._origin.kind} IF EXISTS {self._signature};\n"]
        for table, _ in self._manifest.vendor_tables(EngineKind.POSTGRES):
            if table.store != HOME_STORE and table.name not in self._others:
                name = f"{quoted(self._foreign.schema)}.{quoted(table.name)}"
                parts.append(f"DROP FOREIGN TABLE IF EXISTS {name};\n")
        for server in self._foreign.servers.values():
            parts.append(f"DROP USER MAPPING IF EXISTS FOR CURRENT_USER SERVER {quoted(server)};\n")
            parts.append(f"DROP SERVER IF EXISTS {quoted(server)};\n")
        if thorough:
            parts += [f"DROP SERVER IF EXISTS {quoted(s)} CASCADE;\n" for s in self._files_servers]
        if self._foreign.schema != _PUBLIC:
            parts.append(f"DROP SCHEMA IF EXISTS {quoted(self._foreign.schema)};\n")
        self._place.execute(self.home, "".join(parts))
        self._ours = not thorough
        if self._made_extension:
            self._drop_extension()
            self._made_extension = False

    def _drop_extension(self) -> None:
        # Without CASCADE and by itself: somebody may have come to use it since, and then it
        # is theirs. In a transaction nobody can have.
        drop = "DROP EXTENSION IF EXISTS postgres_fdw"
        if self._joined:
            self._joined.execute(self.home, drop)
            return
        with suppress(StoreError):
            self._store_set.execute(self.home, drop)

    @property
    def _files_servers(self) -> Sequence[str]:
        return tuple(servers_made(self._origin.file.set_up)) if self._origin.file else ()

    @property
    def servers(self) -> frozenset[str]:
        """The names of the foreign servers that the run or the routine's file makes."""
        return frozenset((*self._foreign.servers.values(), *self._files_servers))

    @property
    def words(self) -> frozenset[str]:
        """The words of an operator's routine, in lower case: what it may be about."""
        text = self._origin.sql if self._origin.file else ""
        return frozenset(word.lower() for word in _WORD.findall(text))

    def leftovers(self) -> tuple[tuple[str, int], ...]:
        servers = list(self.servers)
        names = (self._origin.kind, self.name, _own(self._foreign.schema), servers, servers)
        rows = self._place.query(self.home, _LISTED, names)
        return tuple((str(kind), int(count)) for kind, count in rows if count)


def _own(schema: str) -> str:
    """Return a schema's name if it is the run's own, else one that nobody has."""
    return schema if schema != _PUBLIC else ""
