"""What a server's catalog lists that a routine could make, or take away from others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from harness.errors import StoreError
from harness.model import EngineKind
from harness.stores import StoreSet

# Users and servers with passwords too; objects of the engine itself never change meanwhile.
_MYSQL: Final = """
    SELECT 'database', schema_name FROM information_schema.schemata
    UNION ALL SELECT 'table', concat(table_schema, '.', table_name) FROM information_schema.tables
        WHERE table_schema NOT IN ('information_schema', 'performance_schema')
    UNION ALL SELECT 'storage engine', concat(table_schema, '.', table_name, ' ', engine)
        FROM information_schema.tables
        WHERE engine IS NOT NULL AND table_schema NOT IN ('information_schema', 'mysql')
    UNION ALL SELECT 'column', concat_ws(' ', table_schema, table_name, column_name, column_type,
        is_nullable) FROM information_schema.columns
        WHERE table_schema NOT IN ('information_schema', 'performance_schema', 'mysql')
    UNION ALL SELECT lower(routine_type), concat(routine_schema, '.', routine_name)
        FROM information_schema.routines
    UNION ALL SELECT 'trigger', concat(trigger_schema, '.', trigger_name)
        FROM information_schema.triggers
    UNION ALL SELECT 'event', concat(event_schema, '.', event_name) FROM information_schema.events
    UNION ALL SELECT 'foreign server with a password', server_name FROM mysql.servers
    UNION ALL SELECT 'account', concat(user, '@', host) FROM mysql.user"""

# In one database; what the extension brings along is not listed on its own.
_POSTGRES: Final = """
    SELECT 'relation', c.oid::regclass::text FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'v', 'm', 'f', 'S', 'p')
        AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%'
    UNION ALL SELECT 'column', concat_ws(' ', c.oid::regclass::text, a.attname, a.attnotnull,
        format_type(a.atttypid, a.atttypmod), c.relpersistence)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'
        AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%'
    UNION ALL SELECT 'grant', c.oid::regclass::text || c.relacl::text FROM pg_class c
        WHERE c.oid >= 16384 AND c.relacl IS NOT NULL
    UNION ALL SELECT 'setting of a database or role', s::text FROM pg_db_role_setting s
    UNION ALL SELECT 'function', p.oid::regprocedure::text FROM pg_proc p WHERE p.oid >= 16384
        AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    UNION ALL SELECT 'trigger', tgname || tgrelid FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'rule', rulename || ev_class FROM pg_rewrite WHERE oid >= 16384
    UNION ALL SELECT 'schema', nspname::text FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_t%'
    UNION ALL SELECT 'extension', extname::text FROM pg_extension
    UNION ALL SELECT 'foreign server', srvname::text FROM pg_foreign_server
    UNION ALL SELECT 'user mapping with a password', umid::text FROM pg_user_mappings
    UNION ALL SELECT 'account', rolname::text FROM pg_roles
    UNION ALL SELECT 'database', datname::text FROM pg_database"""

_NEIGHBOUR: Final = "erasure_neighbour"
_ITS_SERVER: Final = (
    "CREATE EXTENSION IF NOT EXISTS postgres_fdw; "
    f"CREATE SERVER {_NEIGHBOUR} FOREIGN DATA WRAPPER postgres_fdw; "
    f"CREATE USER MAPPING FOR CURRENT_USER SERVER {_NEIGHBOUR} OPTIONS (user 'nobody')"
)

Objects = Counter[tuple[str, str, str]]
"""Store, kind and name of each object; names stay in memory, since they may name anybody."""


def listed(store_set: StoreSet, home: str) -> Objects:
    """Return the objects that the catalog lists now: on MySQL of the server, else of each store."""
    if store_set.config.engine is EngineKind.MYSQL:
        objects = store_set.query(home, _MYSQL)
        settings = store_set.query(home, "SHOW GLOBAL VARIABLES")
        listing = [*objects, *(("server setting", f"{name} {value}") for name, value in settings)]
        return Counter(("", str(kind), str(name)) for kind, name in listing)
    return sum((listed_in(store_set, store) for store in store_set.databases()), Counter())


def listed_in(store_set: StoreSet, store: str) -> Objects:
    """Return the objects that the catalog of one store's database lists now, on PostgreSQL."""
    return Counter(
        (store, str(kind), str(name)) for kind, name in store_set.query(store, _POSTGRES)
    )


@contextmanager
def neighbour(store_set: StoreSet, home: str) -> Iterator[None]:
    """Put somebody else's foreign server beside a routine's own, on PostgreSQL.

    A clean-up that drops the extension with all that depends on it takes it away.
    """
    if store_set.config.engine is EngineKind.MYSQL:
        yield
        return
    store_set.execute(home, _ITS_SERVER)
    try:
        yield
    finally:
        store_set.execute(home, f"DROP SERVER IF EXISTS {_NEIGHBOUR} CASCADE")
        with suppress(StoreError):
            store_set.execute(home, "DROP EXTENSION IF EXISTS postgres_fdw")


def changed(before: Objects, after: Objects) -> dict[str, tuple[int, int]]:
    """Return how many objects of each kind were made, and how many are gone."""
    made = Counter(kind for _, kind, _ in (after - before).elements())
    gone = Counter(kind for _, kind, _ in (before - after).elements())
    return {kind: (made[kind], gone[kind]) for kind in sorted(made | gone)}
