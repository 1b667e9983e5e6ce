"""What an operator must know of a PostgreSQL server before rows on it are changed.

Catalogs are readable by anybody, so what may not be done is asked of the server itself;
what other sessions do is shown only to members of pg_monitor, and comes back as NULL else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from harness.errors import ConflictError
from harness.model import TableSchema
from harness.stores.condition import (
    LOCK_WAIT_S,
    LONG_TRANSACTION_S,
    ORPHAN,
    Condition,
    Demand,
    Lack,
    OtherSession,
    Setting,
    TableSize,
)
from harness.stores.postgres import PostgresStoreSet
from harness.stores.postgres_quoting import quoted
from harness.stores.protocol import StoreSet

TO_READ: Final = ("SELECT",)
TO_ERASE: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")

_MAINTENANCE_DATABASE: Final = "postgres"
_PRELOADED: Final = ("shared_preload_libraries", "session_preload_libraries")
_LOGGING: Final = (
    "log_statement",
    "log_min_duration_statement",
    "log_min_error_statement",
    "log_min_duration_sample",
    "log_transaction_sample_rate",
    *_PRELOADED,
    "local_preload_libraries",
)
_DURABILITY: Final = ("fsync", "synchronous_commit", "wal_level", "max_prepared_transactions")
_READ_ONLY: Final = ("default_transaction_read_only",)
_SEVERITIES_BELOW_ERROR: Final = frozenset({"log", "fatal", "panic"})
_AUDITING: Final = ("pgaudit", "auto_explain")

_MAY_CONNECT: Final = "SELECT has_database_privilege(%s, 'CONNECT')"
_SETTINGS: Final = "SELECT name, setting FROM pg_settings WHERE name = ANY (%s)"
_SCHEMAS: Final = """
    SELECT n.nspname FROM pg_namespace n
    WHERE n.nspname = ANY (%s) AND NOT has_schema_privilege(n.oid, 'USAGE') ORDER BY 1"""
# Oids, since a name is not resolved in a schema that may not be used.
_TABLES: Final = """
    SELECT n.nspname, c.relname, c.relkind = 'm',
           has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'INSERT'),
           has_table_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'DELETE'),
           row_security_active(c.oid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND n.nspname = ANY (%s) ORDER BY n.nspname, c.relname"""
_LOCKS: Final = """
    SELECT l.pid, n.nspname, c.relname, l.mode, l.granted, a.state,
           extract(epoch FROM clock_timestamp() - a.xact_start)::float8
    FROM pg_locks l
    JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
    JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.pid IS DISTINCT FROM pg_backend_pid() AND c.relkind IN ('r', 'm')
      AND n.nspname = ANY (%s)
    ORDER BY l.pid, n.nspname, c.relname, l.mode"""
_SEES_OTHERS: Final = """
    SELECT pg_has_role('pg_read_all_stats', 'USAGE')
        OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"""
_PREPARED: Final = """
    SELECT gid, extract(epoch FROM clock_timestamp() - prepared)::float8 FROM pg_prepared_xacts"""
_REPLICAS: Final = "SELECT count(*) FROM pg_stat_replication"
_SLOTS: Final = "SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical'"
# Bytes that a pass reads: the heap and what is out of line.
_SIZES: Final = """
    SELECT n.nspname, c.relname, greatest(c.reltuples, 0)::bigint, {size}
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_class o ON o.oid = c.reltoastrelid
    WHERE c.relkind IN ('r', 'm') AND n.nspname = ANY (%s)"""
_EXACT: Final = "pg_table_size(c.oid)"
_ESTIMATED: Final = (
    "(c.relpages + coalesce(o.relpages, 0))::bigint * current_setting('block_size')::bigint"
)
# A counter is told by what the default depends on: to show the default locks the table.
_DEMANDS: Final = """
    SELECT n.nspname, c.relname, a.attname,
           a.atttypid IN ('int4'::regtype, 'int8'::regtype) AND a.attidentity <> 'a'
               AND (a.atthasdef OR a.attidentity = 'd')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef f ON f.adrelid = c.oid AND f.adnum = a.attnum
    WHERE c.relkind = 'r' AND n.nspname = ANY (%s)
      AND (a.attnotnull AND NOT a.atthasdef OR a.attidentity <> ''
           OR EXISTS (SELECT 1 FROM pg_depend d JOIN pg_class s ON s.oid = d.refobjid
                      WHERE d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
                        AND d.refclassid = 'pg_class'::regclass AND s.relkind = 'S'))"""
# Locks under which nobody else can change a row.
_BLOCKING: Final = frozenset(
    {"ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"}
)


def unreachable(store_set: StoreSet) -> tuple[Lack, ...]:
    """Return the stores whose databases the account may not connect to."""
    server = PostgresStoreSet(replace(store_set.config, prefix=""), (_MAINTENANCE_DATABASE,))
    try:
        account = _account(server, _MAINTENANCE_DATABASE)
        return tuple(
            Lack(
                store,
                "CONNECT",
                f"GRANT CONNECT ON DATABASE {quoted(database)} TO {quoted(account)};",
            )
            for store, database in store_set.databases().items()
            if not server.query(_MAINTENANCE_DATABASE, _MAY_CONNECT, (database,))[0][0]
        )
    finally:
        server.close()


def look(store_set: StoreSet, tables: Sequence[TableSchema], *, writes: bool) -> Condition:
    """Answer everything about the server and the databases; only reads.

    Args:
        store_set: A set with at least one store present, each of which may be connected to.
        tables: Its tables.
        writes: Whether rows are to be changed, which asks for more privileges.
    """
    ask = _Asking(store_set, tables)
    logging = ask.settings(_LOGGING)
    durability = ask.settings(_DURABILITY)
    replication = tuple(ask.replication())
    unseen = []
    if hidden := [name for name in _PRELOADED if not _values(logging, name)]:
        unseen.append(
            f"{' and '.join(hidden)} could not be seen, which needs the role "
            f"pg_read_all_settings: GRANT pg_read_all_settings TO {quoted(ask.account)};"
        )
    if not ask.value(_SEES_OTHERS):
        unseen.append(
            "what other sessions do, and for how long, could not be seen, which needs the role "
            f"pg_monitor: GRANT pg_monitor TO {quoted(ask.account)};"
        )
    prepared = [(str(gid), float(age_s)) for gid, age_s in ask.rows(_PREPARED)]
    return Condition(
        product="PostgreSQL",
        account=ask.account,
        lacks=tuple(ask.lacks(TO_ERASE if writes else TO_READ)),
        logging=logging,
        replication=replication,
        durability=(*durability, Setting("prepared transactions in use", str(len(prepared)))),
        sessions=(*ask.locks(), *_waiting(prepared)),
        sizes=tuple(ask.sizes()),
        refusing=tuple(_refusing(replication, ask.settings(_READ_ONLY), ask.account)),
        remarks=(
            *_log_remarks(logging),
            *_durability_remarks(durability),
            *_commit_remarks(durability, len(prepared), len(store_set.databases())),
            *_orphans(prepared),
        ),
        unseen=tuple(unseen),
    )


def demands(store_set: StoreSet) -> tuple[Demand, ...]:
    """Return the columns that an inserted row must be given explicitly."""
    ask = _Asking(store_set, store_set.tables())
    return tuple(
        Demand(store, _label(namespace, table), column, bool(fillable))
        for store in store_set.databases()
        for namespace, table, column, fillable in ask.of_store(store, _DEMANDS)
    )


class _Asking:
    """Questions to one server, and to each database of the set in turn."""

    def __init__(self, store_set: StoreSet, tables: Sequence[TableSchema]) -> None:
        self._store_set = store_set
        self._stores = tuple(store_set.databases())
        self._namespaces = {
            store: sorted({table.namespace for table in tables if table.store == store})
            for store in self._stores
        }
        self.account = _account(store_set, self._stores[0])

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._store_set.query(self._stores[0], sql)

    def value(self, sql: str) -> object:
        ((value,),) = self.rows(sql)
        return value

    def of_store(self, store: str, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query about the schemas of one store."""
        return self._store_set.query(store, sql, (self._namespaces[store],))

    def settings(self, names: Sequence[str]) -> tuple[Setting, ...]:
        """Return settings: once where all stores agree, else for each store."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for store in self._stores:
            for name, value in self._store_set.query(store, _SETTINGS, (list(names),)):
                found[str(name)][store] = str(value)
        return tuple(
            setting for name in names if name in found for setting in _settled(name, found[name])
        )

    def lacks(self, wanted: Sequence[str]) -> Iterator[Lack]:
        for store, database in self._store_set.databases().items():
            to = quoted(self.account)
            for (schema,) in self.of_store(store, _SCHEMAS):
                grant = f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {to};"
                yield Lack(store, f"USAGE on schema {schema}", grant, database)
            missing: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
            hidden = []
            for schema, table, is_view, *having, secured in self.of_store(store, _TABLES):
                held = {one for one, has in zip(TO_ERASE, having, strict=True) if has}
                lacking = tuple(
                    one for one in wanted if one not in held and (one == "SELECT" or not is_view)
                )
                if lacking:
                    missing[schema, lacking].append(table)
                if secured:
                    hidden.append(_label(schema, table))
            for (schema, privileges), tables in missing.items():
                names = ", ".join(f"{quoted(schema)}.{quoted(table)}" for table in tables)
                grant = f"GRANT {', '.join(privileges)} ON TABLE {names} TO {to};"
                what = f"{', '.join(privileges)} on {len(tables)} tables of schema {schema}"
                yield Lack(store, what, grant, database)
            if hidden:
                what = f"sight of all rows of {', '.join(hidden)}, which row security may hide"
                yield Lack(store, what, f"ALTER ROLE {to} BYPASSRLS;", database)

    def locks(self) -> Iterator[OtherSession]:
        """Yield others' locks that block changes, and any of a transaction that is old."""
        for store in self._stores:
            for pid, schema, table, mode, granted, state, age_s in self.of_store(store, _LOCKS):
                blocks = mode in _BLOCKING
                if blocks or (age_s or 0) >= LONG_TRANSACTION_S:
                    holds = "holds" if granted else "awaits"
                    where = f" and is {state}" if state else ""
                    yield OtherSession(
                        "a prepared transaction" if pid is None else f"process {pid}",
                        f"{holds} {mode}{where}",
                        store,
                        _label(schema, table),
                        age_s,
                        blocks,
                    )

    def sizes(self) -> Iterator[TableSize]:
        for store in self._stores:
            try:
                with _impatient(self._store_set, store):
                    rows = self.of_store(store, _SIZES.format(size=_EXACT))
            except ConflictError:
                # Somebody has locked a table; its size as last counted needs no lock.
                rows = self.of_store(store, _SIZES.format(size=_ESTIMATED))
            for schema, table, count, size_bytes in rows:
                yield TableSize(store, _label(schema, table), int(count), int(size_bytes))

    def replication(self) -> Iterator[Setting]:
        yield Setting("is a replica", "yes" if self.value("SELECT pg_is_in_recovery()") else "no")
        yield Setting("replicas connected", str(self.value(_REPLICAS)))
        yield Setting("logical slots", str(self.value(_SLOTS)))


def _account(store_set: StoreSet, store: str) -> str:
    ((account,),) = store_set.query(store, "SELECT current_user")
    return str(account)


def _label(namespace: str, table: str) -> str:
    return TableSchema("", table, (), namespace=namespace).label


def _settled(name: str, values: dict[str, str]) -> Iterator[Setting]:
    if len(set(values.values())) == 1:
        yield Setting(name, next(iter(values.values())))
    else:
        yield from (Setting(name, value, store) for store, value in values.items())


@contextmanager
def _impatient(store_set: StoreSet, store: str) -> Iterator[None]:
    """Wait for others' locks no longer than `LOCK_WAIT_S`."""
    ((before,),) = store_set.query(store, "SELECT current_setting('lock_timeout')")
    change = "SELECT set_config('lock_timeout', %s, false)"
    store_set.query(store, change, (f"{LOCK_WAIT_S}s",))
    try:
        yield
    finally:
        store_set.query(store, change, (before,))


def _waiting(prepared: Sequence[tuple[str, float]]) -> Iterator[OtherSession]:
    for gid, age_s in prepared:
        ours = gid.startswith(ORPHAN)
        what = "waits to be committed or rolled back, an earlier erasure's" if ours else "waits"
        yield OtherSession("a prepared transaction", what, age_s=age_s)


def _orphans(prepared: Sequence[tuple[str, float]]) -> Iterator[str]:
    ours = sum(gid.startswith(ORPHAN) for gid, _ in prepared)
    if ours:
        yield (
            f"{ours} prepared transactions of an earlier erasure still hold their rows "
            f"(pg_prepared_xacts, {ORPHAN}…): finish that erasure with --resume first."
        )


def _refusing(
    replication: Sequence[Setting], read_only: Sequence[Setting], account: str
) -> Iterator[str]:
    if Setting("is a replica", "yes") in replication:
        yield (
            "The server is a replica, whose rows are its primary's: erase on the primary, and "
            "run an audit here afterwards."
        )
    elif any(setting.value == "on" for setting in read_only):
        where = ", ".join(one.store for one in read_only if one.value == "on" and one.store)
        yield (
            f"Transactions are read-only by default{f' in {where}' if where else ''}: ALTER ROLE "
            f"{quoted(account)} SET default_transaction_read_only = off, or take the setting off "
            "the database, and run again."
        )


def _values(settings: Sequence[Setting], name: str) -> set[str]:
    return {setting.value for setting in settings if setting.name == name}


def _log_remarks(settings: Sequence[Setting]) -> Iterator[str]:
    if _values(settings, "log_statement") & {"mod", "all"}:
        yield (
            "log_statement is on, and the server log would hold what is written in place of the "
            "subject: ALTER ROLE … SET log_statement = 'none' as a superuser for the time of the "
            "run, or treat the log as not clean."
        )
    for name in ("log_min_duration_statement", "log_min_duration_sample"):
        if any(value != "-1" for value in _values(settings, name)):
            yield (
                f"{name} is on, and the server log would hold slow statements: ALTER ROLE … SET "
                f"{name} = -1 as a superuser for the time of the run, or treat the log as not "
                "clean."
            )
    if _values(settings, "log_min_error_statement") - _SEVERITIES_BELOW_ERROR:
        yield (
            "A statement that fails, as one that gives way to others does, is written to the "
            "server log whole: ALTER ROLE … SET log_min_error_statement = 'panic' as a superuser "
            "for the time of the run, or treat the log as not clean."
        )
    loaded = [one.value for one in settings if one.name.endswith("preload_libraries")]
    for library in _AUDITING:
        if any(library in value for value in loaded):
            yield f"{library} is loaded and may log statements: treat the server log as not clean."


def _durability_remarks(settings: Sequence[Setting]) -> Iterator[str]:
    for name in ("fsync", "synchronous_commit"):
        if "off" in _values(settings, name):
            yield (
                f"A commit is not on disk at once ({name} is off): after a crash of the server "
                "run an audit again."
            )


def _commit_remarks(settings: Sequence[Setting], in_use: int, stores: int) -> Iterator[str]:
    """Say so where there is no room to prepare every store before any is committed."""
    most = max(map(int, _values(settings, "max_prepared_transactions")), default=0)
    if stores > 1 and most - in_use < stores:
        yield (
            f"The {stores} stores cannot be committed together (max_prepared_transactions is "
            f"{most}, of which {in_use} are in use), so they are committed one after the other: "
            f"set it to {stores} more than are in use and restart the server to have them "
            "committed together."
        )
