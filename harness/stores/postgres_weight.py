"""How full a PostgreSQL server's databases are, from its own catalog; see `scales`.

Rows are estimated as the planner does it: as many to a page as there were when the table was
last analysed, times the pages that there are now.

Source: PostgreSQL manual, "pg_class", "The Statistics Collector" (which starts from nothing
after a crash), "Database File Layout"; source, `estimate_rel_size`, `CreateLockFile`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from harness.errors import ConflictError, StoreError
from harness.model import STOPPED, TableSchema
from harness.stores.keyset import source
from harness.stores.local_disk import is_here
from harness.stores.postgres_quoting import quoted
from harness.stores.protocol import UNSPEAKABLE, StoreSet
from harness.stores.scales import UNBOUNDED, Estimate, told

_MARGIN: Final = 0.2
"""How far rows to a page may be from what they were, either way."""
_LOST: Final = 2.0
"""How far an estimate may be off, either way, where nothing is known of changes since."""
_COUNTED_PAGES: Final = 2_048
"""A table that was never analysed is counted up to so many pages, and beyond these sampled."""
_SMALL_BYTES: Final = 32 * 1024 * 1024
_ROW_LEAST_BYTES: Final = 28
"""A row's header, and the pointer to it."""
_CANCELLED: Final = "57014"
_NEVER: Final = 0
_TABLES: Final = """
    SELECT n.nspname, c.relname, c.reltuples::float8, c.relpages, {size}, {pages},
           s.n_live_tup, s.n_dead_tup, s.n_mod_since_analyze,
           coalesce(s.last_vacuum, s.last_autovacuum, s.last_analyze, s.last_autoanalyze)
               IS NOT NULL
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
    LEFT JOIN pg_class o ON o.oid = c.reltoastrelid
    WHERE c.relkind IN ('r', 'm') AND n.nspname = ANY (%s)"""
_SIZE: Final = "pg_total_relation_size(c.oid)"
_PAGES: Final = "pg_relation_size(c.oid) / current_setting('block_size')::bigint"
# Needs no lock on the table: pages as VACUUM or ANALYZE last found them.
_OLD_PAGES: Final = "c.relpages"
_OLD_SIZE: Final = """
    (c.relpages + coalesce(o.relpages, 0) + coalesce((
        SELECT sum(x.relpages) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
        WHERE i.indrelid IN (c.oid, o.oid)), 0)) * current_setting('block_size')::bigint"""
_SERVER: Final = """
    SELECT (SELECT system_identifier FROM pg_control_system()),
           extract(epoch FROM pg_postmaster_start_time())::float8"""
_TABLESPACE: Final = """
    SELECT pg_tablespace_location(dattablespace) FROM pg_database
    WHERE datname = current_database()"""
_CONTROL_FILE: Final = Path("global", "pg_control")
_LOCK_FILE: Final = "postmaster.pid"
_START_LINE: Final = 2
_START_TOLERANCE_S: Final = 60.0
"""The lock file has when the server's process began, the server when it was ready to start."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of `_TABLES`."""

    namespace: str
    name: str
    reltuples: float
    relpages: int
    size_bytes: int
    pages: int
    live: int | None
    dead: int | None
    changed: int | None
    visited: bool


class PostgresScales:
    """See `harness.stores.scales.Scales`."""

    def __init__(self, store_set: StoreSet) -> None:
        self._set = store_set
        self._home = min(store_set.databases())
        self.unseen: list[str] = []

    def estimates(self, tables: Sequence[TableSchema]) -> Iterator[Estimate]:
        """Yield what the catalog says; what was never analysed is counted, or else sampled."""
        for store in self._set.databases():
            here = {(one.namespace, one.name): one for one in tables if one.store == store}
            rows, is_old = self._rows(store, sorted({namespace for namespace, _ in here}))
            for row in rows:
                if table := here.get((row.namespace, row.name)):
                    found = self._estimate(table, row, is_old=is_old)
                    yield from (map(_unbounded, found) if is_old else found)

    def _rows(self, store: str, namespaces: Sequence[str]) -> tuple[list[_Row], bool]:
        """Return what the catalog has of each table, and whether sizes are of long ago."""
        is_old = False
        try:
            found = self._set.query(
                store, _TABLES.format(size=_SIZE, pages=_PAGES), (list(namespaces),)
            )
        except ConflictError:
            is_old = True
            self.unseen.append(
                f"{store}: sizes are those of the last VACUUM or ANALYZE, since somebody has "
                "locked a whole table, as an ALTER TABLE does: weigh again when that is over."
            )
            found = self._set.query(
                store, _TABLES.format(size=_OLD_SIZE, pages=_OLD_PAGES), (list(namespaces),)
            )
        # Of a table that was dropped meanwhile there is no size.
        rows = (_Row(*line) for line in found)
        return [row for row in rows if row.size_bytes is not None], is_old

    def _estimate(self, table: TableSchema, row: _Row, *, is_old: bool) -> Iterator[Estimate]:
        if is_old and not (row.relpages and row.reltuples > _NEVER):
            # What was never looked at may hold anything by now.
            yield Estimate(table, row.live or 0, 0, UNBOUNDED, row.size_bytes)
            return
        if not row.pages:
            yield Estimate(table, 0, 0, 0, row.size_bytes, exact=True, dead_rows=0)
            return
        if row.reltuples <= _NEVER or not row.relpages:
            label = f"{table.store}.{UNSPEAKABLE.sub('#', table.label)}"
            found = told(self.unseen, f"the rows of {label}", lambda: self._looked(table, row))
            if found:
                yield found
            return
        rows = round(row.reltuples / row.relpages * row.pages)
        # Statistics that know of fewer than half of the rows began anew, as after a crash.
        lost = row.live is None or (not row.visited and row.live < rows / 2)
        if lost:
            yield Estimate(table, rows, int(rows / _LOST), int(rows * _LOST), row.size_bytes)
            return
        changed = row.changed or 0
        yield Estimate(
            table,
            rows,
            least=max(int(rows / (1 + _MARGIN)) - changed, 0),
            most=int(rows / (1 - _MARGIN)) + changed,
            size_bytes=row.size_bytes,
            dead_rows=row.dead,
        )

    def _looked(self, table: TableSchema, row: _Row) -> Estimate:
        """Count a table, or the rows of some of its pages, taken all over it.

        Source: PostgreSQL manual, SELECT, TABLESAMPLE SYSTEM.
        """
        share = min(1.0, _COUNTED_PAGES / row.pages)
        sample = "" if share == 1 else f" TABLESAMPLE SYSTEM ({100 * share:.6f})"
        sql = f"SELECT count(*) FROM ONLY {source(self._set, table)}{sample}"
        ((count,),) = self._set.query(table.store, sql)
        rows = round(count / share)
        known = row.live is not None and row.live >= rows / 2
        exact = Estimate(table, rows, rows, rows, row.size_bytes, exact=True)
        exact = replace(exact, dead_rows=row.dead if known else None)
        if share == 1:
            return exact
        least, most = int(rows / (1 + _MARGIN)), int(rows / (1 - _MARGIN))
        return replace(exact, least=least, most=most, exact=False)

    def widened(self, estimate: Estimate) -> Estimate:
        """Return the estimate as it is, since it is scaled by the table's size as it is now.

        Of a small table nothing but its size is believed: to count it costs next to nothing.
        """
        if estimate.exact or estimate.size_bytes > _SMALL_BYTES:
            return estimate
        most = estimate.size_bytes // _ROW_LEAST_BYTES
        return replace(estimate, least=0, most=max(most, estimate.most))

    def count(self, table: TableSchema, limit_s: float) -> int:
        """Count rows, under the server's own time limit."""
        return self._number(table, f"ONLY {source(self._set, table)}", limit_s)

    def exceeds(self, table: TableSchema, rows: int, limit_s: float) -> bool:
        """Look whether there is a row behind so many."""
        beyond = f"(SELECT 1 FROM ONLY {source(self._set, table)} LIMIT 1 OFFSET {rows}) beyond"
        return bool(self._number(table, beyond, limit_s))

    def _number(self, table: TableSchema, rows: str, limit_s: float) -> int:
        with self._limited(table.store, limit_s):
            ((count,),) = self._set.query(table.store, f"SELECT count(*) FROM {rows}")
        return int(count)

    @contextmanager
    def _limited(self, store: str, limit_s: float) -> Iterator[None]:
        limit_ms = max(round(limit_s * 1000), 1)
        self._set.execute(store, f"SET statement_timeout = {limit_ms}")
        try:
            yield
        except StoreError as error:
            if error.code != _CANCELLED:
                raise
            raise StoreError("PostgreSQL stopped a count in time.", code=STOPPED) from None
        finally:
            self._set.execute(store, "SET statement_timeout = 0")

    def purge_lag(self) -> int | None:
        """Return nothing: old versions of rows are in the tables, and counted as dead."""
        return None

    def now_s(self) -> float:
        """Return the server's time."""
        sql = "SELECT extract(epoch FROM clock_timestamp())::float8"
        return float(self._set.query(self._home, sql)[0][0])

    def data_folders(self) -> tuple[str, ...]:
        """Return the data folder, and each database's tablespace elsewhere."""
        if not is_here(self._set.config.hostname):
            self._no_disk("it is on another machine")
            return ()
        try:
            ((place,),) = self._set.query(self._home, "SHOW data_directory")
            ((identifier, started_s),) = self._set.query(self._home, _SERVER)
        except StoreError as error:
            if error.code != "42501":
                raise
            account = quoted(str(self._set.query(self._home, "SELECT current_user")[0][0]))
            self._no_disk(
                "its data folder is shown only to the role pg_read_all_settings",
                f"GRANT pg_read_all_settings TO {account}; and ",
            )
            return ()
        try:
            is_own = _is_of(Path(str(place)), int(identifier), float(started_s))
        except PermissionError:
            self._no_disk("this user may not read the server's data folder")
            return ()
        if not is_own:
            self._no_disk("the data folder that it names is not its own on this machine")
            return ()
        spaces = (self._set.query(store, _TABLESPACE)[0][0] for store in self._set.databases())
        return (str(place), *filter(None, map(str, spaces)))

    def _no_disk(self, why: str, grant: str = "") -> None:
        self.unseen.append(
            f"the free space of the server's disk could not be seen, since {why}: {grant}weigh on "
            "the server's own machine as the user it runs as, or look with df there."
        )


def _unbounded(estimate: Estimate) -> Estimate:
    """Trust nothing but that the table is there."""
    return replace(estimate, least=0, most=UNBOUNDED, exact=False)


def _is_of(folder: Path, identifier: int, started_s: float) -> bool:
    """Tell whether a folder is that of the server which says this of itself.

    Replicas and copies share the identifier, but did not start at the same time.

    Raises:
        PermissionError: The folder may not be read.
    """
    try:
        with (folder / _CONTROL_FILE).open("rb") as stream:
            (found,) = struct.unpack("=Q", stream.read(8))
        lines = (folder / _LOCK_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
        began_s = float(lines[_START_LINE])
    except PermissionError:
        raise
    except (OSError, ValueError, IndexError, struct.error):
        return False
    # The server shows it as a signed number.
    return bool(found == identifier % (1 << 64)) and abs(began_s - started_s) < _START_TOLERANCE_S
