"""A store set on PostgreSQL seen from one database of it, the others through postgres_fdw.

What a function deletes through foreign tables is seen, before it is committed, only in its own
session and only through the same foreign server. So this store set has one connection, to the
routine's own database, and reads and changes the rows of the others through stand-ins: foreign
tables on the very servers that the routine uses. Everything is made inside the transaction
and taken away in it, so nobody else ever sees any of it, and nothing is left if it ends early.

Source: PostgreSQL documentation, postgres_fdw, "Transaction Management".
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from harness.config import RunConfig
from harness.errors import (
    ConflictError,
    PlanError,
    RoutineError,
    SelfCommittingError,
    StoreError,
    StoreUnreachableError,
)
from harness.model import Located, Replacement, SeedRow, TableSchema
from harness.stores.postgres import PostgresStoreSet
from harness.stores.postgres_quoting import literal, quoted
from harness.stores.postgres_unlogged import user_mapping
from harness.stores.protocol import Consumer

_LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '5s'"
_FETCHED_ROWS: Final = 1_000
# invalid_transaction_termination; before 11, feature_not_supported.
_ENDS: Final = "2D"
_ENDS_BEFORE_11: Final = "0A000"

_SERVERS: Final = """
    SELECT s.srvname::text, c.relname::text,
      (SELECT option_value FROM pg_options_to_table(s.srvoptions) WHERE option_name = 'dbname')
    FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
    JOIN pg_foreign_table f ON f.ftserver = s.oid JOIN pg_class c ON c.oid = f.ftrelid"""
_EXISTS: Final = "SELECT count(*) FROM pg_foreign_server WHERE srvname = %s"
# A foreign table reads a parent with its children, and hides what a policy hides.
_NOT_READ_WHOLE: Final = """
    SELECT 'has child tables' FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent
    WHERE c.relkind = 'r'
    UNION ALL SELECT 'has row security for this account' FROM pg_class c
    WHERE c.relrowsecurity AND row_security_active(c.oid)"""
# Types that the routine's own database need not know; their values are fetched as text.
_OWN_TYPES: Final = """
    SELECT DISTINCT CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod)
                         ELSE format_type(a.atttypid, a.atttypmod) END
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_type b ON b.oid = t.typbasetype
    WHERE c.relkind IN ('r', 'm') AND a.attnum > 0
      AND coalesce(b.typnamespace, t.typnamespace) <> 'pg_catalog'::regnamespace"""
_LOCKS: Final = "locktype text, classid oid, objid oid, objsubid smallint"
_HELD: Final = (
    "SELECT count(*) FROM {} WHERE locktype = 'advisory' AND classid = %s AND objid = %s "
    "AND objsubid = 2"
)
_LARGEST_KEY: Final = (1 << 31) - 1
_PRIVILEGES: Final = """
    SELECT has_database_privilege(current_database(), 'CREATE'),
           has_schema_privilege('public', 'CREATE'),
           (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
           (SELECT has_foreign_data_wrapper_privilege(oid, 'USAGE')
              FROM pg_foreign_data_wrapper WHERE fdwname = 'postgres_fdw')"""


class ForeignStoreSet(PostgresStoreSet):
    """A store set in one session of one database; see `harness.stores.protocol`.

    Catalogs of the other databases are read directly; all rows through the one session.
    """

    def __init__(self, config: RunConfig, stores: Sequence[str], home: str, run: str) -> None:
        super().__init__(config, stores, quiet=True)
        self._home = home
        self._run_token = run
        self._schema = f"erasure_{run}_others"
        self._stand_ins: dict[tuple[str, str], TableSchema] = {}
        self._servers: dict[str, str] = {}
        self._made: list[str] = []
        self._serial = 0

    # --- the transaction ------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Work in one transaction; postgres_fdw begins those of the other databases."""
        self.execute(self._home, "BEGIN ISOLATION LEVEL REPEATABLE READ")
        self.execute(self._home, _LOCK_TIMEOUT)
        self._in_transaction = True
        try:
            yield
        finally:
            self._tables = None
            self._stand_ins = {}
            self._servers, self._made = {}, []
            if self._in_transaction:
                self._in_transaction = False
                self.close()

    def commit(self, committed: Callable[[str], object] | None = None) -> None:
        """Commit: postgres_fdw does so store by store, this session's own last.

        Raises:
            PlanError: It failed, and may have reached some of the stores.
        """
        others = sorted(set(self.databases()) - {self._home})
        try:
            self.execute(self._home, "COMMIT")
        except StoreError as error:
            if not others:
                raise
            raise PlanError(
                f"The commit failed and may have reached any of {', '.join(others)}, of "
                f"{self._home} least likely ({error}): erase again, what is gone stays gone."
            ) from None
        self._in_transaction = False
        for store in (*others, self._home) if committed else ():
            (committed or str)(store)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Call a routine inside, which may not end the transaction or bend the session.

        Raises:
            SelfCommittingError: It tried to end the transaction.
        """
        try:
            yield
        except (StoreUnreachableError, ConflictError):
            raise
        except StoreError as error:
            before_11 = error.code == _ENDS_BEFORE_11 and "transaction" in error.said()
            if error.code.startswith(_ENDS) or before_11:
                raise SelfCommittingError(
                    "The routine commits by itself: it was stopped and nothing was changed; take "
                    "that out of the routine, since a transaction around it makes it whole."
                ) from None
            raise
        self.execute(self._home, f"RESET ROLE; RESET ALL; {_LOCK_TIMEOUT}")
        # It may have made tables, which are to be searched as well.
        self._tables = None

    def refuse_unseen(self, gone_rows: int) -> None:
        """Do nothing: PostgreSQL lets nothing reach a row that the snapshot does not show."""
        del gone_rows

    # --- stand-ins ------------------------------------------------------------------------

    def refuse_lacking_privileges(self) -> None:
        """Refuse where the account may not make what a routine needs, all of it at once.

        Raises:
            RoutineError: Names what is to be granted.
        """
        ((database, schema, superuser, wrapper),) = self.query(self._home, _PRIVILEGES)
        name = self.databases()[self._home]
        lacking = [] if database else [f"CREATE on the database {name}"]
        lacking += [] if schema else ["CREATE on the schema public"]
        if wrapper is None and not superuser:
            lacking.append("the extension postgres_fdw, which a superuser creates")
        if not wrapper and not superuser:
            lacking.append("USAGE on the foreign data wrapper postgres_fdw")
        if lacking:
            raise RoutineError(
                f"To call a routine in {self._home} the account lacks {', '.join(lacking)}: have "
                "that granted, or use --routine hardened, which needs none of it."
            )

    def reach(self, own: Collection[str], words: Collection[str]) -> None:
        """Make a stand-in for every table of the other stores, inside the transaction.

        Args:
            own: The foreign servers that the run, or the routine's file, made.
            words: What the routine may be about, in lower case, such as the host's own foreign
                tables; nothing if it uses none but those of `own`.

        Raises:
            RoutineError: The other stores cannot be seen as the routine will leave them.
        """
        self.execute(self._home, f"CREATE SCHEMA {quoted(self._schema)}")
        tables = self.tables()
        used = self._used_servers(own, words)
        for store in sorted({table.store for table in tables} - {self._home}):
            self._refuse_unreadable(store)
            self._servers[store] = self._server_to(store, used)
            self._prove_server(store)
            odd = {str(name) for (name,) in self._rows(self.databases()[store], _OWN_TYPES)}
            for table in tables:
                if table.store == store:
                    columns = [
                        (one.name, "text" if one.type_name in odd else one.type_name)
                        for one in table.columns
                    ]
                    name = self._foreign_table(table, columns)
                    # Read by a query, as a view is.
                    stand_in = replace(
                        table, store=self._home, name=name, namespace=self._schema, is_view=True
                    )
                    self._stand_ins[store, table.label] = stand_in

    def withdraw(self) -> None:
        """Take away what `reach` made, inside the transaction."""
        parts = [f"DROP SCHEMA {quoted(self._schema)} CASCADE"]
        parts += [f"DROP SERVER {quoted(server)} CASCADE" for server in self._made]
        self.execute(self._home, ";\n".join(parts))
        self._stand_ins = {}

    def _refuse_unreadable(self, store: str) -> None:
        for (why,) in self._rows(self.databases()[store], _NOT_READ_WHOLE):
            raise RoutineError(
                f"A table of {store} {why}, so a foreign table would not show it as it is: use "
                "--routine hardened."
            )

    def _used_servers(self, own: Collection[str], words: Collection[str]) -> dict[str, set[str]]:
        """Return the foreign servers that have tables which the routine may use, by database."""
        used: dict[str, set[str]] = defaultdict(set)
        for server, table, database in self.query(self._home, _SERVERS):
            if server in own or str(table).lower() in words:
                used[str(database)].add(str(server))
        if elsewhere := used.keys() - set(self.databases().values()):
            raise RoutineError(
                f"The routine may reach {len(elsewhere)} databases that are none of this store "
                f"set's through foreign tables of {self._home}: see that it changes the stores "
                "only."
            )
        return used

    def _server_to(self, store: str, used: Mapping[str, set[str]]) -> str:
        """Return the server through which the routine reaches a store, or one that is made."""
        servers = sorted(used.get(self.databases()[store], ()))
        if len(servers) > 1:
            raise RoutineError(
                f"{self._home} has {len(servers)} foreign servers for {store} with tables that the "
                "routine may use, and each has a transaction of its own: leave one of them."
            )
        return servers[0] if servers else self._make_server(store)

    def _make_server(self, store: str) -> str:
        config = self.config
        server = f"erasure_{self._run_token}_{store}"
        if not self.query(self._home, _EXISTS, (server,))[0][0]:
            self.execute(
                self._home,
                f"CREATE SERVER {quoted(server)} FOREIGN DATA WRAPPER postgres_fdw OPTIONS "
                f"(host {literal(config.hostname)}, port '{config.port}', "
                f"dbname {literal(self.databases()[store])})",
            )
            login = (literal(config.username), literal(config.password.reveal()))
            self.execute(self._home, user_mapping(quoted(server), *login))
            self._made.append(server)
        return server

    def _prove_server(self, store: str) -> None:
        """See that a server leads to the store's own database: a lock taken there is there."""
        keys = (secrets.randbelow(_LARGEST_KEY), secrets.randbelow(_LARGEST_KEY))
        table = TableSchema(store, "pg_locks", (), namespace="pg_catalog")
        columns = [tuple(column.split(" ")) for column in _LOCKS.split(", ")]
        name = self._foreign_table(table, [(name, kind) for name, kind in columns])
        database = self.databases()[store]
        self._rows(database, "SELECT pg_advisory_lock(%s, %s)", keys)
        try:
            source = f"{quoted(self._schema)}.{quoted(name)}"
            held = self.query(self._home, _HELD.format(source), keys)[0][0]
        except StoreError as error:
            raise RoutineError(
                f"postgres_fdw in {self._home} does not reach {store} (SQLSTATE "
                f"{error.code or '08001'}): the server must reach itself at "
                f"{self.config.hostname}:{self.config.port} and ask for the account's password."
            ) from None
        finally:
            self._rows(database, "SELECT pg_advisory_unlock(%s, %s)", keys)
        if not held:
            raise RoutineError(
                f"A foreign server in {self._home} that is named after {store} leads to another "
                "database than WA_DB_HOSTNAME does: mend its options, then run again."
            )

    def _foreign_table(self, table: TableSchema, columns: Sequence[tuple[str, str]]) -> str:
        """Make a foreign table in the run's own schema; return its name."""
        self._serial += 1
        name = f"stand_in_{self._serial}"
        listed = ", ".join(f"{quoted(column)} {kind}" for column, kind in columns)
        self.execute(
            self._home,
            f"CREATE FOREIGN TABLE {quoted(self._schema)}.{quoted(name)} ({listed}) "
            f"SERVER {quoted(self._servers[table.store])} OPTIONS "
            f"(schema_name {literal(table.namespace)}, table_name {literal(table.name)}, "
            f"fetch_size '{_FETCHED_ROWS}')",
        )
        return name

    def _as_seen(self, table: TableSchema) -> TableSchema:
        return self._stand_ins.get((table.store, table.label), table)

    # --- rows -----------------------------------------------------------------------------

    def scan(
        self, table: TableSchema, consume: Consumer, *, located: bool = False, part: str = ""
    ) -> int:
        """Hand every row to `consume`, of another store through its stand-in."""
        if table.store != self._home and (table.store, table.label) not in self._stand_ins:
            raise StoreError(f"{table.store}.{table.label} appeared while the routine ran.")
        return super().scan(self._as_seen(table), consume, located=located, part=part)

    def delete(self, table: TableSchema, rows: Sequence[Located]) -> int:
        """Delete located rows, of another store through its stand-in."""
        return super().delete(self._as_seen(table), rows)

    def replace(self, table: TableSchema, rows: Sequence[Replacement]) -> int:
        """Replace cells of located rows, of another store through its stand-in."""
        return super().replace(self._as_seen(table), rows)

    def insert(self, rows: Iterable[SeedRow]) -> None:
        """Insert rows, those of other stores through foreign tables with just their columns.

        postgres_fdw sends NULL for every column that a foreign table has and a row has not.
        """
        usual_last = sorted(self.tables(), key=lambda table: table.namespace == "public")
        schemas = {(table.store, table.name): table for table in usual_last}
        tables: dict[tuple[str, str, tuple[str, ...]], str] = {}
        placed: dict[str, list[SeedRow]] = defaultdict(list)
        for row in rows:
            if row.store == self._home:
                placed[row.table].append(row)
                continue
            key = (row.store, row.table, tuple(row.values))
            if key not in tables:
                schema = schemas[row.store, row.table]
                types = {column.name: column.type_name for column in schema.columns}
                columns = [(name, types[name]) for name in row.values]
                tables[key] = self._foreign_table(schema, columns)
            placed[tables[key]].append(replace(row, store=self._home, table=tables[key]))
        self.execute(self._home, f"SET LOCAL search_path = public, {quoted(self._schema)}")
        super().insert(row for those in placed.values() for row in those)
        self.execute(self._home, "RESET search_path")
