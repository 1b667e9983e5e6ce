"""What an operator must know of a MySQL or MariaDB server before rows on it are changed.

Every question is one that 5.6, 9.x and MariaDB 10.11 all answer; where versions differ, the
newer wording is tried first. What an account may not see comes back empty on MySQL and not
refused, so that an empty answer counts only with the privilege to see.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from harness.errors import ConflictError, StoreError, StoreUnreachableError
from harness.model import TableSchema
from harness.stores.condition import (
    LOCK_WAIT_S,
    LONG_TRANSACTION_S,
    Condition,
    Demand,
    Lack,
    OtherSession,
    Setting,
    TableSize,
)
from harness.stores.mysql import MySqlStoreSet
from harness.stores.mysql_changes import quoted
from harness.stores.mysql_grants import Grants, grantee, read, statement
from harness.stores.protocol import StoreSet

TO_READ: Final = ("SELECT",)
TO_ERASE: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRIGGER")

_LOGGING: Final = (
    "general_log",
    "slow_query_log",
    "long_query_time",
    "log_queries_not_using_indexes",
    "log_output",
    "log_bin",
    "binlog_format",
    "binlog_row_image",
    "binlog_rows_query_log_events",
    "server_audit_logging",
)
_READ_ONLY: Final = ("read_only", "super_read_only", "innodb_read_only")
_REPLICATION: Final = (*_READ_ONLY, "wsrep_on")
_DURABILITY: Final = ("innodb_flush_log_at_trx_commit", "sync_binlog")
_PARTIAL: Final = ("partial_revokes",)
_CASE: Final = ("lower_case_table_names",)
_ALWAYS_THERE: Final = "information_schema"
# What new transactions are by default; the name changed with 5.7.20 and 8.0.
_READ_ONLY_BY_DEFAULT: Final = ("transaction_read_only", "tx_read_only")
# ER_SPECIFIC_ACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR.
_DENIED: Final = frozenset({"1227", "1142", "1143"})

_TRANSACTIONS: Final = """
    SELECT trx_mysql_thread_id, trx_rows_locked,
           timestampdiff(SECOND, trx_started, convert_tz(now(), @@session.time_zone, 'SYSTEM'))
    FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> connection_id()"""
_REPLICAS: Final = """
    SELECT count(*) FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%%'"""
_AUDITORS: Final = """
    SELECT plugin_name FROM information_schema.plugins
    WHERE plugin_status = 'ACTIVE' AND plugin_name LIKE '%%audit%%'"""
_SIZES: Final = """
    SELECT table_name, table_rows, data_length FROM information_schema.tables
    WHERE table_schema = %s AND table_type = 'BASE TABLE'"""
_DEMANDS: Final = """
    SELECT table_name, column_name, column_type, extra FROM information_schema.columns
    WHERE table_schema = %s
      AND (extra LIKE '%%auto_increment%%'
           OR is_nullable = 'NO' AND column_default IS NULL AND extra NOT LIKE '%%GENERATED%%')"""
_WHOLE: Final = ("int", "bigint", "mediumint", "smallint")


def look(store_set: StoreSet, tables: Sequence[TableSchema], *, writes: bool) -> Condition:
    """Answer everything about the server; only reads.

    Args:
        store_set: The set, of which any store may be absent.
        tables: The tables of its stores.
        writes: Whether rows are to be changed, which asks for more privileges.
    """
    ask = _Asking(store_set)
    try:
        return _condition(ask, store_set, tables, TO_ERASE if writes else TO_READ)
    finally:
        ask.close()


def _condition(
    ask: _Asking, store_set: StoreSet, tables: Sequence[TableSchema], wanted: Sequence[str]
) -> Condition:
    settings = ask.settings((*_LOGGING, *_REPLICATION, *_DURABILITY))
    grants = read(ask.column("SHOW GRANTS"), literal=ask.literal)
    unseen: list[str] = []
    sessions = (*_blocked(ask, tables), *_transactions(ask, grants, wanted, unseen))
    replication = tuple(_replication(ask, grants, settings, unseen))
    auditors = [Setting("audit plugin", name) for name in ask.column(_AUDITORS)]
    return Condition(
        product="MariaDB" if "mariadb" in store_set.version.lower() else "MySQL",
        account=ask.account,
        lacks=tuple(_lacks(ask, store_set, tables, grants, wanted)),
        logging=(*_chosen(settings, _LOGGING), *auditors),
        replication=replication,
        durability=_chosen(settings, _DURABILITY),
        sessions=sessions,
        sizes=tuple(_sizes(ask, store_set)),
        refusing=tuple(_refusing(ask, settings, replication)),
        remarks=(*_log_remarks(settings, auditors), *_durability_remarks(settings)),
        unseen=tuple(unseen),
    )


def hidden(store_set: StoreSet, stores: Sequence[str], *, writes: bool) -> tuple[Lack, ...]:
    """Return the grants that would show stores that are not listed and that MySQL may only hide.

    What the account would see, were it there, is known to be absent and has none.

    Source: MySQL reference manual, "SHOW DATABASES": only those one has a privilege on, or all
    with the privilege of that name.
    """
    ask = _Asking(store_set)
    wanted = TO_ERASE if writes else TO_READ
    names = {store: store_set.config.database(store) for store in stores}
    try:
        return tuple(
            Lack(
                store,
                ", ".join(wanted),
                statement(wanted, database, ask.account, literal=ask.literal),
            )
            for store, database in names.items()
            if not _would_show(ask, database)
        )
    finally:
        ask.close()


def _would_show(ask: _Asking, database: str) -> bool:
    """Tell whether SHOW DATABASES would list a database if it were there."""
    grants = read(ask.column("SHOW GRANTS"), literal=ask.literal)
    kept = ask.settings(_CASE).get(*_CASE) == "0"
    # Where the case of names does not count, grants may be on the name in lower case.
    names = {database} if kept else {database, database.lower()}
    return grants.everywhere("SHOW DATABASES") or any(
        grants.allows(one, name, ()) for one in TO_ERASE for name in names
    )


def demands(store_set: StoreSet) -> tuple[Demand, ...]:
    """Return the columns that an inserted row must be given explicitly."""
    return tuple(
        Demand(store, str(table), str(column), _takes_any_integer(str(type_name), str(extra)))
        for store, database in store_set.databases().items()
        for table, column, type_name, extra in store_set.query(store, _DEMANDS, (database,))
    )


def _takes_any_integer(type_name: str, extra: str) -> bool:
    counts = "auto_increment" in extra.lower()
    return counts and type_name.startswith(_WHOLE) and "unsigned" not in type_name


class _Asking:
    """Questions to the server as a whole, over a connection that needs no store.

    It waits for others' table locks no longer than `LOCK_WAIT_S`.
    """

    def __init__(self, store_set: StoreSet) -> None:
        self._databases = store_set.databases()
        self._server = MySqlStoreSet(replace(store_set.config, prefix=""), (_ALWAYS_THERE,))
        self._server.execute(_ALWAYS_THERE, f"SET SESSION lock_wait_timeout = {LOCK_WAIT_S}")
        self.account = self.column("SELECT current_user()")[0]
        self.literal = self.settings(_PARTIAL).get(*_PARTIAL) == "ON"

    def close(self) -> None:
        self._server.close()

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._server.query(_ALWAYS_THERE, sql, values)

    def column(self, sql: str) -> list[str]:
        return [str(row[0]) for row in self.rows(sql)]

    def source(self, table: TableSchema) -> str:
        return f"{quoted(self._databases[table.store])}.{quoted(table.name)}"

    def settings(self, names: Sequence[str], scope: str = "GLOBAL") -> dict[str, str]:
        """Return those of the settings that this version has."""
        marks = ", ".join(["%s"] * len(names))
        sql = f"SHOW {scope} VARIABLES WHERE variable_name IN ({marks})"
        return {str(name): str(value) for name, value in self.rows(sql, names)}

    def first_of(self, *statements: str) -> list[tuple[Any, ...]] | None:
        """Return the rows of the first statement that this version knows, None if denied."""
        for sql in statements:
            try:
                return self.rows(sql)
            except StoreUnreachableError:
                raise
            except StoreError as error:
                if error.code in _DENIED:
                    return None
        return None


def _lacks(
    ask: _Asking,
    store_set: StoreSet,
    tables: Sequence[TableSchema],
    grants: Grants,
    wanted: Sequence[str],
) -> Iterator[Lack]:
    for store, database in store_set.databases().items():
        names = [table.name for table in tables if table.store == store]
        # Grants on single tables hide all other tables, so reading wants the whole database.
        missing = [
            one
            for one in wanted
            if not grants.allows(one, database, () if one in TO_READ else names)
        ]
        if missing:
            grant = statement(missing, database, ask.account, literal=ask.literal)
            yield Lack(store, ", ".join(missing), grant)


def _blocked(ask: _Asking, tables: Sequence[TableSchema]) -> Iterator[OtherSession]:
    """Yield tables that cannot be opened, since LOCK TABLES or an ALTER TABLE has them."""
    for table in tables:
        try:
            # No row is read; what may not be selected is among the lacks.
            ask.rows(f"SELECT 1 FROM {ask.source(table)} LIMIT 0")
        except ConflictError:
            what = "holds or awaits a lock on the whole table"
            yield OtherSession("a session", what, table.store, table.name, blocks=True)
        except StoreError as error:
            if error.code not in _DENIED:
                raise


def _transactions(
    ask: _Asking, grants: Grants, wanted: Sequence[str], unseen: list[str]
) -> Iterator[OtherSession]:
    if not grants.everywhere("PROCESS"):
        cascades = (
            ", and foreign keys with which databases hidden from this account would have their "
            "own rows deleted by a deletion here,"
        )
        unseen.append(
            f"other sessions' transactions{cascades if 'DELETE' in wanted else ''} could not be "
            "seen, which needs the privilege PROCESS: "
            f"GRANT PROCESS ON *.* TO {grantee(ask.account)};"
        )
        return
    for thread, locked_rows, age_s in ask.rows(_TRANSACTIONS):
        if locked_rows or (age_s or 0) >= LONG_TRANSACTION_S:
            what = f"is in a transaction and has {locked_rows} rows locked"
            yield OtherSession(f"thread {thread}", what, age_s=float(age_s or 0))


def _replication(
    ask: _Asking,
    grants: Grants,
    settings: Mapping[str, str],
    unseen: list[str],
) -> Iterator[Setting]:
    yield from _chosen(settings, _REPLICATION)
    status = ask.first_of("SHOW REPLICA STATUS", "SHOW SLAVE STATUS")
    if status is None:
        unseen.append(
            "whether this server is a replica could not be seen, which needs a privilege: "
            f"GRANT REPLICATION CLIENT ON *.* TO {grantee(ask.account)};"
        )
    else:
        yield Setting("is a replica", "yes" if status else "no")
    if grants.everywhere("PROCESS") and (rows := ask.first_of(_REPLICAS)):
        yield Setting("replicas connected", str(rows[0][0]))


def _chosen(settings: Mapping[str, str], names: Sequence[str]) -> tuple[Setting, ...]:
    # A number of seconds with six decimals would be taken for somebody's, and redacted.
    return tuple(
        Setting(name, re.sub(r"\.0+$", "", settings[name])) for name in names if name in settings
    )


def _sizes(ask: _Asking, store_set: StoreSet) -> Iterator[TableSize]:
    for store, database in store_set.databases().items():
        for table, rows, size_bytes in ask.rows(_SIZES, (database,)):
            yield TableSize(store, str(table), int(rows or 0), int(size_bytes or 0))


def _refusing(
    ask: _Asking, settings: Mapping[str, str], replication: Sequence[Setting]
) -> Iterator[str]:
    if Setting("is a replica", "yes") in replication:
        yield (
            "The server is a replica, whose rows are its source's: erase on the source, and run "
            "an audit here afterwards."
        )
    if on := [name for name in _READ_ONLY if settings.get(name) == "ON"]:
        yield (
            f"The server takes no changes ({' and '.join(on)}): erase on the server that the "
            "client writes to, or SET GLOBAL read_only = OFF if this is the one."
        )
    session = ask.settings(_READ_ONLY_BY_DEFAULT, "SESSION")
    if "ON" in session.values():
        name = next(iter(session))
        yield (
            f"Transactions are read-only by default ({name}): SET GLOBAL {name} = OFF, and run "
            "again."
        )


def _log_remarks(settings: Mapping[str, str], auditors: Sequence[Setting]) -> Iterator[str]:
    if settings.get("general_log") == "ON":
        yield (
            "The general log is on and would hold the keys of what is erased: SET GLOBAL "
            "general_log = OFF for the time of the run, or treat the log as not clean."
        )
    if settings.get("slow_query_log") == "ON":
        yield (
            "The slow query log is on and holds any statement that takes longer than "
            f"{settings.get('long_query_time', '?')} s: SET GLOBAL slow_query_log = OFF for the "
            "time of the run, or treat the log as not clean."
        )
    if settings.get("log_bin") == "ON":
        form = settings.get("binlog_format", "ROW")
        if form != "ROW" or settings.get("binlog_rows_query_log_events") == "ON":
            yield (
                f"The binary log keeps statements (binlog_format {form}) with the keys of what is "
                "erased until it is purged: treat it as not clean."
            )
        else:
            yield (
                "The binary log keeps the rows that are erased until it is purged: treat it as "
                "not clean."
            )
    if auditors or settings.get("server_audit_logging") == "ON":
        yield "An audit plugin is active and may keep statements: treat its log as not clean."


def _durability_remarks(settings: Mapping[str, str]) -> Iterator[str]:
    if settings.get("innodb_flush_log_at_trx_commit", "1") != "1":
        yield (
            "A commit is not on disk at once (innodb_flush_log_at_trx_commit is not 1): after a "
            "crash of the server run an audit again."
        )
    if settings.get("log_bin") == "ON" and settings.get("sync_binlog", "1") != "1":
        yield (
            "The binary log is not on disk at once (sync_binlog is not 1): after a crash of the "
            "server audit the replicas too."
        )
