"""What trials happen on: a server, a store set with a subject in it, and the operator's files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import psycopg2
import pymysql

from harness import config, keys, manifest
from harness.config import RunConfig
from harness.model import EngineChoice, EngineKind
from harness.population.bulk import crowd
from harness.population.cases import showcase
from harness.population.people import person
from harness.population.rows import rows_of
from harness.servers import EmbeddedServer, launch
from harness.stores import connect, ddl

from .dumps import Client, Yardstick, client
from .starter import Starter

MANIFEST: Final = manifest.load()
STORES: Final = tuple(store.name for store in MANIFEST.stores)
SUBJECT: Final = person(0)
PREFIX: Final = "crash_"
NO_JOURNAL: Final = "before the journal"
ONLY_HEADER: Final = "opened"


@dataclass(frozen=True)
class Session:
    """One `pytest --live` in a process of its own, and where it writes."""

    bed: Bed
    pid: int
    reports: Path
    screen: Path
    began_s: float

    @property
    def folder(self) -> Path | None:
        """The session's folder, if there is one yet."""
        return next(self.reports.glob("*-live-*"), None)

    def journal(self) -> bytes:
        """Return what is in the journal by now."""
        for path in self.reports.glob("*-live-*/journal.jsonl"):
            return path.read_bytes()
        return b""

    def state(self) -> str:
        """Return the journal's last state."""
        return state_of(self.journal())

    def until(self, states: frozenset[str], timeout_s: float = 30.0) -> bool:
        """Return as soon as the journal is at one of these states, or the process has ended."""
        wanted = tuple(f'"state": "{state}"'.encode() for state in states)
        end_s = time.monotonic() + timeout_s
        while not (path := next(self.reports.glob("*-live-*/journal.jsonl"), None)):
            if not self.runs() or time.monotonic() > end_s:
                return False
            time.sleep(0.0005)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            while time.monotonic() < end_s:
                last = os.pread(descriptor, 1 << 16, 0).rpartition(b"\n{")[2]
                if any(one in last for one in wanted):
                    return True
                if b'"state": "attested"' in last or not self.runs():
                    return False
        finally:
            os.close(descriptor)
        return False

    def runs(self) -> bool:
        """Tell whether the process has not ended yet."""
        return _process_state(self.pid) not in "ZX"

    def stop(self) -> None:
        """Have the process stand still, wherever it is."""
        os.kill(self.pid, signal.SIGSTOP)
        while _process_state(self.pid) not in "TZX":
            pass

    def go_on(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process and all of its group, without warning."""
        os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """Return the exit status as soon as the process has ended."""
        return self.bed.starter.wait(self.pid)

    def printed(self) -> str:
        """Return what stands on the screen."""
        return self.screen.read_text("utf-8", "replace")


def state_of(journal: bytes) -> str:
    """Return the state of the last whole line of a journal."""
    lines = journal.split(b"\n")[:-1]
    if not lines:
        return NO_JOURNAL
    return str(json.loads(lines[-1]).get("state", ONLY_HEADER))


def _process_state(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return "X"
    return text.rpartition(")")[2].split()[0]


class Bed:
    """One engine's server with a store set on it, which each trial finds as it was at first."""

    def __init__(
        self, server: EmbeddedServer, starter: Starter, folder: Path, messages: int
    ) -> None:
        self.server = server
        self.starter = starter
        self.folder = folder
        self.kind = server.choice.kind
        self.settle_down()
        store_set = connect(self.config, STORES)
        store_set.create(ddl.committed(MANIFEST, self.kind))
        store_set.insert(rows_of(showcase(SUBJECT)))
        for bulk in crowd(SUBJECT, messages):
            store_set.load(bulk.store, bulk.table, bulk.columns, bulk.rows())
        store_set.close()
        self.client: Client = client(self.config, STORES)
        self._serial = 0
        self._write_files()
        self._before = self.client.dump()
        self.yardstick = self._erased_undisturbed()

    @property
    def config(self) -> RunConfig:
        """How to reach the store set; another port may be taken after a crash."""
        reached = config.from_variables(self.server.environment, source="trial")
        return replace(reached, prefix=PREFIX)

    def _erased_undisturbed(self) -> Yardstick:
        """Return what the stores hold before and after an erasure that nobody disturbs."""
        session = self.start()
        status = session.wait()
        after = self.client.dump()
        if status:
            raise AssertionError(session.printed())
        self.restore()
        return Yardstick(self._before, after, SUBJECT.numbers)

    @cached_property
    def durations_s(self) -> dict[str, float]:
        """How long an undisturbed session stays in each state, from its start on."""
        session = self.start()
        seen: dict[str, float] = {}
        while session.runs():
            seen.setdefault(session.state(), time.monotonic())
        session.wait()
        self.restore()
        times = [*seen.values(), time.monotonic()]
        return {state: times[n + 1] - times[n] for n, state in enumerate(seen)}

    def restore(self) -> None:
        """Have all stores as they were at first, and see that they are."""
        self.client.restore(self._before)
        if self.client.dump() != self._before:
            raise AssertionError("The stores could not be restored.")

    def settle_down(self) -> None:
        """Wait for the server, and make it as durable as a real one."""
        self.server.wait_ready()
        if self.kind is EngineKind.MYSQL:
            self.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
        else:
            self.execute("ALTER ROLE CURRENT_USER SET synchronous_commit = on")

    @contextmanager
    def no_room(self) -> Iterator[None]:
        """Have others take all the room there is for prepared transactions."""
        ((most,),) = self.execute("SHOW max_prepared_transactions")
        names = [f"others_{number}" for number in range(int(most))]
        for name in names:
            self.execute(f"BEGIN; SELECT txid_current(); PREPARE TRANSACTION '{name}'")
        try:
            yield
        finally:
            for name in names:
                self.execute(f"ROLLBACK PREPARED '{name}'")

    @contextmanager
    def commit_hangs_in(self, store: str) -> Iterator[None]:
        """Have commits in one store wait for a replica that does not exist.

        Source: PostgreSQL manual, "Synchronous Replication": what waits is on the disk already.
        """
        for one in STORES:
            to = "on" if one == store else "local"
            name = self.config.database(one)
            self.execute(
                f'ALTER ROLE CURRENT_USER IN DATABASE "{name}" SET synchronous_commit = {to}'
            )
        self._wait_for_replicas("nobody")
        try:
            yield
        finally:
            self.server.wait_ready()
            self._wait_for_replicas("")

    def _wait_for_replicas(self, names: str) -> None:
        self.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.execute("SELECT pg_reload_conf()")
        while self.execute("SHOW synchronous_standby_names") != [(names,)]:
            time.sleep(0.01)

    def execute(self, sql: str, database: str = "postgres") -> list[Any]:
        """Run one statement by a plain client of its own, outside of any transaction."""
        reached = self.config
        if self.kind is EngineKind.MYSQL:
            connection: Any = pymysql.connect(
                host=reached.hostname,
                port=reached.port,
                user=reached.username,
                password=reached.password.reveal(),
                autocommit=True,
            )
        else:
            connection = psycopg2.connect(
                host=reached.hostname,
                port=reached.port,
                user=reached.username,
                password=reached.password.reveal(),
                dbname=database,
                options="-c synchronous_commit=local",  # see commit_hangs_in
            )
            connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def _write_files(self) -> None:
        self.key = self.folder / "pseudonym.key"
        self.subjects = self.folder / "subjects"
        self.db_env = self.folder / "db.env"
        keys.make(self.key)
        write_private(self.subjects, f"{SUBJECT.number}\n")
        self.write_db_env()

    def write_db_env(self, path: Path | None = None, prefix: str = PREFIX) -> None:
        """Write how the server is reached now."""
        variables = {**self.server.environment, "WA_DB_NAME_PREFIX": prefix}
        lines = (f"{name}={value}\n" for name, value in variables.items())
        write_private(path or self.db_env, "".join(lines))

    def fresh_reports(self) -> Path:
        """Return a new reports folder, so that a session in it is easily found."""
        self._serial += 1
        folder = self.folder / f"reports-{self._serial}"
        folder.mkdir()
        return folder

    def arguments(
        self, reports: Path, *more: str, db_env: Path | None = None, key: Path | None = None
    ) -> list[str]:
        """Return the arguments of a live session on this bed."""
        named = [f"--db-env={db_env or self.db_env}", f"--pseudonym-key={key or self.key}"]
        return ["--live", *named, f"--reports={reports}", *more]

    def start(self, *more: str, subjects: Path | None = None) -> Session:
        """Start the erasure of the subject, or of others."""
        reports = self.fresh_reports()
        return self._start(
            reports, self.arguments(reports, f"--wa-id-file={subjects or self.subjects}", *more)
        )

    def look(self) -> Session:
        """Start what looks only."""
        reports = self.fresh_reports()
        return self._start(reports, self.arguments(reports, "--preflight"))

    def resume(
        self,
        session: Session,
        *more: str,
        db_env: Path | None = None,
        key: Path | None = None,
    ) -> Session:
        """Start what takes a session up again."""
        taken_up = f"--resume={session.folder}"
        arguments = self.arguments(session.reports, taken_up, *more, db_env=db_env, key=key)
        return self._start(session.reports, arguments)

    def _start(self, reports: Path, arguments: list[str]) -> Session:
        self.write_db_env()
        self._serial += 1
        screen = self.folder / f"screen-{self._serial}"
        began_s = time.monotonic()
        pid = self.starter.start(arguments, screen)
        return Session(self, pid, reports, screen, began_s)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    path.write_text(text, "utf-8")
    path.chmod(0o600)


@contextmanager
def made(choice: EngineChoice, messages: int) -> Iterator[Bed]:
    """Make a bed for one engine, and take all of it away again."""
    folder = Path(tempfile.mkdtemp(prefix="waba-crashes-"))
    # The starter first: what is forked from it must not inherit a server.
    starter = Starter()
    server = launch(choice)
    try:
        yield Bed(server, starter, folder, messages)
    finally:
        server.stop()
        starter.close()
        shutil.rmtree(folder, ignore_errors=True)
