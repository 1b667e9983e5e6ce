"""How full a MySQL or MariaDB server's stores are, from its own catalog; see `scales`.

Source: MySQL reference manual, "The INFORMATION_SCHEMA TABLES Table" (for InnoDB the number of
rows may differ from the truth by 40 to 50 %, and DATA_FREE is the whole tablespace's), "InnoDB
INFORMATION_SCHEMA Metrics Table".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from harness.errors import StoreError, StoreUnreachableError
from harness.model import TableSchema
from harness.stores.keyset import hurry, integer_key, quoted, source
from harness.stores.local_disk import is_here
from harness.stores.mysql_grants import grantee
from harness.stores.protocol import UNSPEAKABLE, StoreSet
from harness.stores.scales import UNBOUNDED, Estimate

_OVER: Final = 1.5
"""An estimate may be half as large again as the truth …"""
_UNDER: Final = 0.5
"""… or half of it."""
_EXACT: Final = frozenset({"MyISAM"})
_TRANSACTIONAL: Final = "InnoDB"
# 8.0 tells what it told a day ago, unless asked not to; older ones and MariaDB do not know this.
_FRESH: Final = "SET SESSION information_schema_stats_expiry = 0"
_TABLES: Final = """
    SELECT table_name, engine, table_rows, data_length, index_length, data_free
    FROM information_schema.tables WHERE table_schema = %s AND table_type = 'BASE TABLE'"""
# Tablespaces that hold one table alone; 0 is the one that all share.
_OWN_SPACES: Final = (
    "SELECT name FROM information_schema.innodb_tables WHERE space_type = 'Single'",
    "SELECT name FROM information_schema.innodb_sys_tables WHERE space_type = 'Single'",
    "SELECT name FROM information_schema.innodb_sys_tables WHERE space <> 0",
)
_LAG: Final = """
    SELECT count FROM information_schema.innodb_metrics
    WHERE name = 'trx_rseg_history_len' AND status = 'enabled'"""
_STATUS: Final = "SHOW ENGINE INNODB STATUS"
_HISTORY: Final = re.compile(r"^History list length (\d+)", re.MULTILINE)
_HOME: Final = "SELECT @@datadir, @@server_uuid"
_OWN_FILE: Final = "auto.cnf"
_UUID: Final = re.compile(r"^\s*server[-_]uuid\s*=\s*(\S+)", re.MULTILINE)
# In names of files, every other character is written as its number.
_UNENCODED: Final = re.compile(r"[^A-Za-z0-9_]")


class MySqlScales:
    """See `harness.stores.scales.Scales`."""

    def __init__(self, store_set: StoreSet) -> None:
        self._set = store_set
        self._home = min(store_set.databases())
        self.unseen: list[str] = []
        with suppress(StoreError):
            self._set.execute(self._home, _FRESH)

    def estimates(self, tables: Sequence[TableSchema]) -> Iterator[Estimate]:
        """Yield what the catalog says; where keys leave no room for as many rows, that counts."""
        own_spaces = self._own_spaces()
        for store, database in self._set.databases().items():
            here = {table.name: table for table in tables if table.store == store}
            for name, *row in self._set.query(store, _TABLES, (database,)):
                # One that cannot be opened is not among those with columns.
                table = here.get(str(name)) or TableSchema(store, str(name), ())
                file = f"{_encoded(database)}/{_encoded(table.name)}"
                yield from self._estimate(table, row, own=file in own_spaces)

    def _estimate(self, table: TableSchema, row: Sequence[Any], *, own: bool) -> Iterator[Estimate]:
        engine, rows, data_bytes, index_bytes, free_bytes = row
        if rows is None:
            # Somebody has the table locked, or its file is damaged.
            label = f"{table.store}.{UNSPEAKABLE.sub('#', table.label)}"
            self.unseen.append(
                f"{label} could not be weighed, since the server would not open it: weigh again "
                "when nobody alters it, or CHECK TABLE it."
            )
            return
        count = int(rows)
        exact = engine in _EXACT
        own = own or engine != _TRANSACTIONAL
        yield Estimate(
            table,
            count,
            least=count if exact else int(count / _OVER),
            most=count if exact else int(count / _UNDER),
            size_bytes=int(data_bytes or 0) + int(index_bytes or 0),
            exact=exact,
            free_bytes=int(free_bytes or 0) if own else None,
        )

    def widened(self, estimate: Estimate) -> Estimate:
        """Return an estimate that trusts keys more than statistics, which may be of long ago.

        A table has no more rows than its keys span values, and may have as many, or next to
        none; without such a key nothing is known.
        """
        if estimate.exact:
            return estimate
        key = integer_key(self._set, estimate.table)
        if not key:
            return replace(estimate, least=0, most=UNBOUNDED)
        name = quoted(self._set, key)
        sql = f"SELECT min({name}), max({name}) FROM {source(self._set, estimate.table)}"
        ((lowest, highest),) = self._set.query(estimate.table.store, sql)
        span = 0 if lowest is None else int(highest) - int(lowest) + 1
        return replace(estimate, rows=min(estimate.rows, span), least=0, most=span)

    def count(self, table: TableSchema, limit_s: float) -> int:
        """Count rows; 5.6 has no time limit of its own, so the connection is ended and renewed."""
        return self._number(table, source(self._set, table), limit_s)

    def exceeds(self, table: TableSchema, rows: int, limit_s: float) -> bool:
        """Look whether there is a row behind so many; one row is all that is kept."""
        beyond = f"(SELECT 1 FROM {source(self._set, table)} LIMIT 1 OFFSET {rows}) beyond"
        return bool(self._number(table, beyond, limit_s))

    def _number(self, table: TableSchema, rows: str, limit_s: float) -> int:
        sql = f"SELECT count(*) FROM {rows}"
        try:
            return int(self._set.call(table.store, sql, limit_s=limit_s).said[0])
        finally:
            with suppress(StoreError):
                hurry(self._set)

    def purge_lag(self) -> int | None:
        """Return the history list's length, from the counter or else from the monitor's text."""
        rows = self._first(_LAG)
        if rows:
            return int(rows[0][0])
        status = self._first(_STATUS)
        if status and (match := _HISTORY.search(str(status[0][-1]))):
            return int(match[1])
        self.unseen.append(
            "the purge's lag and the free space of each table could not be seen, which needs the "
            f"privilege PROCESS: GRANT PROCESS ON *.* TO {grantee(self._account())};"
        )
        return None

    def now_s(self) -> float:
        """Return the server's time."""
        return float(self._set.query(self._home, "SELECT unix_timestamp(now(6))")[0][0])

    def data_folders(self) -> tuple[str, ...]:
        """Return the data folder, and each database's, which may be a link to another disk."""
        rows = self._first(_HOME)
        if not rows or not is_here(self._set.config.hostname):
            self._no_disk("it is on another machine, or does not say which server it is")
            return ()
        folder, uuid = Path(str(rows[0][0])), str(rows[0][1])
        try:
            match = _UUID.search((folder / _OWN_FILE).read_text(encoding="utf-8", errors="replace"))
        except FileNotFoundError:
            match = None
        except OSError:
            self._no_disk("this user may not read the server's data folder")
            return ()
        if not match or match[1] != uuid:
            self._no_disk("the data folder that it names is not its own on this machine")
            return ()
        databases = (folder / _encoded(one) for one in self._set.databases().values())
        return (str(folder), *map(str, databases))

    def _no_disk(self, why: str) -> None:
        self.unseen.append(
            f"the free space of the server's disk could not be seen, since {why}: weigh on the "
            "server's own machine as a user who may read SELECT @@datadir, or look with df there."
        )

    def _own_spaces(self) -> frozenset[str]:
        """Return the tables that have a tablespace of their own, as files are named."""
        rows = self._first(*_OWN_SPACES) or []
        return frozenset(str(name) for (name,) in rows)

    def _account(self) -> str:
        return str(self._set.query(self._home, "SELECT current_user()")[0][0])

    def _first(self, *statements: str) -> list[tuple[Any, ...]] | None:
        """Return the rows of the first statement that the server knows and allows."""
        for sql in statements:
            try:
                return self._set.query(self._home, sql)
            except StoreUnreachableError:
                raise
            except StoreError:
                continue
        return None


def _encoded(name: str) -> str:
    """Return a name as MySQL writes it in names of files, as far as that is plain."""
    return _UNENCODED.sub(lambda match: f"@{ord(match[0]):04x}", name)
