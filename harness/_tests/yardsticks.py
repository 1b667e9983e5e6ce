"""What the harness is measured against: dumps, greps, checksums, raw loads, a patient writer.

Whatever a release engineer would reach for instead. Where the machine lacks a client
program, the driver stands in for it, and the yardstick's name says so.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Final

import psycopg2
import pymysql

from harness.config import RunConfig
from harness.errors import HarnessError
from harness.model import EngineKind, TableSchema
from harness.population.bulk import Bulk
from harness.stores import StoreSet, connect
from harness.stores.bulk_text import buffers
from harness.stores.mysql_changes import quoted as mysql_quoted
from harness.stores.postgres_quoting import quoted as postgres_quoted

_FORK: Final = get_context("fork")
_PAUSE_S: Final = 0.002
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Measure:
    """One piece of work, done in a process of its own; `outcome` is what it returned."""

    duration_s: float
    rss_bytes: int
    outcome: Any = None


def measured(piece: Callable[[], object], times: int = 1) -> Measure:
    """Run a piece in a forked child, so that its memory is its own; return the quickest."""
    measures = [_once(piece) for _ in range(times)]
    return min(measures, key=lambda measure: measure.duration_s)


def _once(piece: Callable[[], object]) -> Measure:
    receiving, sending = _FORK.Pipe(duplex=False)
    child = _FORK.Process(target=_run, args=(piece, sending))
    child.start()
    sending.close()
    try:
        measure = receiving.recv()
    except EOFError:
        measure = None
    child.join()
    if not isinstance(measure, Measure):
        raise HarnessError("A piece of the benchmark ended without a result: see above.")
    return measure


def _run(piece: Callable[[], object], sending: Connection) -> None:
    started_s = time.perf_counter()
    outcome = piece()
    duration_s = time.perf_counter() - started_s
    rss_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sending.send(Measure(duration_s, rss_kib * 1024, outcome))


# --- dump and grep --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dump:
    """How all rows of a store set leave the server as text; `name` says by which program."""

    name: str
    config: RunConfig
    stores: Sequence[str]

    def into(self, *command: str) -> str:
        """Dump every table into a program's standard input, and return what that prints."""
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
            assert reader.stdin
            assert reader.stdout
            self._write(reader.stdin.fileno())
            reader.stdin.close()
            return reader.stdout.read().decode("ascii", "replace").strip()

    def _write(self, descriptor: int) -> None:
        store_set = connect(self.config, self.stores)
        tables = store_set.tables()
        for store, database in store_set.databases().items():
            here = [table for table in tables if table.store == store]
            if self.name == "pg_dump":
                self._pg_dump(database, descriptor)
            elif self.config.engine is EngineKind.POSTGRES:
                self._copy(database, here, descriptor)
            elif self.name.startswith("PyMySQL"):
                self._fetch(database, here, descriptor)
            else:
                self._mysql(database, here, descriptor)
        store_set.close()

    def _pg_dump(self, database: str, descriptor: int) -> None:
        where = [f"--host={self.config.hostname}", f"--port={self.config.port}"]
        command = ["pg_dump", *where, f"--username={self.config.username}", "--data-only", database]
        self._program(command, "PGPASSWORD", descriptor)

    def _mysql(self, database: str, tables: Iterable[TableSchema], descriptor: int) -> None:
        where = ["-h", self.config.hostname, "-P", str(self.config.port)]
        queries = ";".join(f"SELECT * FROM {mysql_quoted(table.name)}" for table in tables)
        options = ["--quick", "-B", "--default-character-set=utf8mb4", "-e", queries, database]
        command = [self.name.split()[0], *where, "-u", self.config.username, *options]
        self._program(command, "MYSQL_PWD", descriptor)

    def _program(self, command: Sequence[str], password: str, descriptor: int) -> None:
        secret = {password: self.config.password.reveal()}
        subprocess.run(command, env=os.environ | secret, stdout=descriptor, check=True)

    def _copy(self, database: str, tables: Iterable[TableSchema], descriptor: int) -> None:
        connection = _psycopg2(self.config, database)
        with connection.cursor() as cursor, os.fdopen(os.dup(descriptor), "wb") as stream:
            for table in tables:
                cursor.copy_expert(f"COPY {postgres_quoted(table.name)} TO STDOUT", stream)
        connection.close()

    def _fetch(self, database: str, tables: Iterable[TableSchema], descriptor: int) -> None:
        connection = _pymysql(self.config, database, use_unicode=False)
        cursor = connection.cursor(pymysql.cursors.SSCursor)
        with os.fdopen(os.dup(descriptor), "wb") as stream:
            for table in tables:
                cursor.execute(f"SELECT * FROM {mysql_quoted(table.name)}")
                for row in cursor:
                    stream.write(b"\t".join(map(_as_bytes, row)) + b"\n")
        connection.close()


def dump(config: RunConfig, stores: Sequence[str]) -> Dump:
    """Return the best dump that this machine can make."""
    if config.engine is EngineKind.POSTGRES:
        name = "pg_dump" if shutil.which("pg_dump") else "COPY through psycopg2"
    else:
        clients = [one for one in ("mysql", "mariadb") if shutil.which(one)]
        name = f"{clients[0]} --quick -B" if clients else "PyMySQL's SSCursor"
    return Dump(name, config, stores)


def checksum(config: RunConfig, stores: Sequence[str]) -> str:
    """Digest every table as the engine's own people would, and return the digests."""
    if config.engine is EngineKind.POSTGRES:
        return Dump("COPY through psycopg2", config, stores).into("md5sum")
    store_set = connect(config, stores)
    names = [
        f"{mysql_quoted(store_set.databases()[table.store])}.{mysql_quoted(table.name)}"
        for table in store_set.tables()
    ]
    sums = store_set.query(stores[0], f"CHECKSUM TABLE {', '.join(names)}")
    store_set.close()
    return str(sums)


def _as_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _psycopg2(config: RunConfig, database: str) -> psycopg2.extensions.connection:
    return psycopg2.connect(
        host=config.hostname,
        port=config.port,
        user=config.username,
        password=config.password.reveal(),
        dbname=database,
    )


def _pymysql(config: RunConfig, database: str, **options: Any) -> Any:
    return pymysql.connect(
        host=config.hostname,
        port=config.port,
        user=config.username,
        password=config.password.reveal(),
        database=database,
        charset="utf8mb4",
        autocommit=True,
        **options,
    )


# --- raw load -------------------------------------------------------------------------------


def prepare_file(path: Path, bulk: Bulk, engine: EngineKind) -> None:
    """Write rows as the file that the engine's own bulk load reads."""
    prefix = r"\\x" if engine is EngineKind.POSTGRES else ""
    with path.open("wb") as stream:
        for buffer, _ in buffers(bulk.rows(), prefix):
            stream.write(buffer)


def load_raw(store_set: StoreSet, path: Path, bulk: Bulk) -> None:
    """Load a prepared file with the driver's own COPY or LOAD DATA LOCAL INFILE, in one go."""
    config, database = store_set.config, store_set.databases()[bulk.store]
    columns = ", ".join(bulk.columns)
    if config.engine is EngineKind.POSTGRES:
        connection = _psycopg2(config, database)
        with connection, connection.cursor() as cursor, path.open("rb") as stream:
            cursor.copy_expert(f"COPY {bulk.table} ({columns}) FROM STDIN", stream, _READ_BYTES)
    else:
        connection = _pymysql(config, database, local_infile=True)
        target = columns.replace("raw_data", "@blob")
        decoded = " SET raw_data = unhex(@blob)" if target != columns else ""
        connection.cursor().execute(
            f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {bulk.table} "
            f"CHARACTER SET utf8mb4 ({target}){decoded}"
        )
    connection.close()


# --- a concurrent writer --------------------------------------------------------------------


def longest_wait_s(config: RunConfig, stores: Sequence[str], during: Callable[[], object]) -> float:
    """Change bystanders' rows all the while, in a process of its own; return its longest wait."""
    receiving, sending = _FORK.Pipe(duplex=False)
    done = _FORK.Event()
    writer = _FORK.Process(target=_write_until, args=(config, stores, done, sending))
    writer.start()
    try:
        during()
    finally:
        done.set()
        waited_s = float(receiving.recv())
        writer.join()
    return waited_s


def _write_until(
    config: RunConfig, stores: Sequence[str], done: Event, sending: Connection
) -> None:
    store_set = connect(config, stores)
    longest_s, row = 0.0, 0
    while not done.is_set():
        row = row % 5_000 + 1
        started_s = time.perf_counter()
        store_set.execute(
            "messageStore", "UPDATE messages SET status = 13 - status WHERE _id = %s", (row,)
        )
        longest_s = max(longest_s, time.perf_counter() - started_s)
        time.sleep(_PAUSE_S)
    sending.send(longest_s)
