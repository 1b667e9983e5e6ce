"""A bed for `pytest --live`: a store set of one's own on a real server, and people at the keyboard.

Commands are run as people run them, in processes of their own with a home of their own. What
they show and leave is searched for numbers and passwords by a search that knows nothing of
the harness's own.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import jsonschema
import psycopg2
import pymysql

from harness import keys
from harness.config import RunConfig
from harness.model import EngineKind, Secret, SeedRow
from harness.population.cases import showcase
from harness.population.people import Person, person
from harness.population.rows import rows_of
from harness.stores import StoreSet

REPOSITORY: Final = Path(__file__).resolve().parents[2]
SCHEMA: Final = json.loads(
    (REPOSITORY / "fixtures" / "verdict.schema.json").read_text(encoding="utf-8")
)
Row = tuple[bytes | None, ...]
Dump = Mapping[tuple[str, str], Counter[Row]]
"""Every row of every table, by store and table, as a plain client reads it."""
SUBJECT: Final = person(0)
WORLD: Final = showcase(SUBJECT)
SCREEN_COLUMNS: Final = 80
_ENGINE_NAMES: Final = {EngineKind.MYSQL: "MYSQL", EngineKind.POSTGRES: "PGSQL"}


@dataclass(frozen=True)
class Done:
    """A command that has ended: what it returned, showed and left."""

    status: int
    shown: str
    reports: Path

    @property
    def said(self) -> str:
        """All that was shown, on one line."""
        return " ".join(self.shown.split())

    @property
    def session(self) -> Path:
        """The folder of the newest session."""
        return max(one for one in self.reports.iterdir() if not one.is_symlink())

    @property
    def first(self) -> str:
        """The first line of the last screen, which is below the rule."""
        shown = self.shown.splitlines()
        (*_, rule) = (n for n, line in enumerate(shown) if set(line) == {"─"})
        return shown[rule + 1]

    @property
    def verdict(self) -> dict[str, Any]:
        """The verdict, which is as its schema says."""
        document: dict[str, Any] = json.loads((self.session / "verdict.json").read_text("utf-8"))
        jsonschema.validate(document, SCHEMA)
        return document

    @property
    def plan(self) -> str:
        """The plan's digest, as the screen of a rehearsal shows it."""
        found = re.search(r"^plan +([0-9a-f]{64})$", self.shown, re.MULTILINE)
        assert found, self.shown
        return found[1]


@dataclass
class Desk:
    """Where an operator sits: a folder, a home, a site's key, and the secrets nobody may see."""

    folder: Path
    numbers: frozenset[str] = WORLD.numbers()
    secrets: set[str] = field(default_factory=set)
    _runs: int = 0

    @property
    def key(self) -> Path:
        """The site's key."""
        path = self.folder / "site.key"
        if not path.exists():
            keys.make(path)
        return path

    def file(self, name: str, text: str, mode: int = 0o600) -> Path:
        """Write a file of a mode, and return its path."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    def ids(self, *numbers: str, name: str = "ids") -> str:
        """Return the option that names subjects, by a file."""
        return f"--wa-id-file={self.file(name, lines(numbers))}"

    def db_env(self, config: RunConfig, name: str = "db.env", mode: int = 0o600) -> str:
        """Return the option that names a store set, by a file as the client has it."""
        self.secrets.add(config.password.reveal())
        variables = (
            f"WA_DB_ENGINE={_ENGINE_NAMES[config.engine]}",
            f"WA_DB_HOSTNAME={config.hostname}",
            f"WA_DB_PORT={config.port}",
            f"WA_DB_USERNAME={config.username}",
            f"WA_DB_PASSWORD={config.password.reveal()}",
            f"WA_DB_NAME_PREFIX={config.prefix}",
        )
        return f"--db-env={self.file(name, lines(variables), mode)}"

    def run(
        self,
        *arguments: str,
        stdin: str = "",
        around: Mapping[str, str] | None = None,
        key: Path | None = None,
        searched: bool = True,
    ) -> Done:
        """Run `pytest --live` to its end, and see that nobody is named in what it leaves."""
        self._runs += 1
        reports = self.folder / f"reports-{self._runs}"
        given = ("--live", f"--pseudonym-key={key or self.key}", f"--reports={reports}", *arguments)
        shown = self.pytest(*given, stdin=stdin, around=around)
        done = Done(shown.returncode, shown.stdout + shown.stderr, reports)
        return self._searched(done) if searched else done

    def run_gate(
        self, *arguments: str, around: Mapping[str, str] | None = None, reports: Path | None = None
    ) -> Done:
        """Run `pytest --upgrade-gate` to its end, and see that nobody is named in what it leaves."""
        self._runs += 1
        reports = reports or self.folder / f"reports-{self._runs}"
        given = ("--upgrade-gate", f"--reports={reports}", *arguments)
        shown = self.pytest(*given, around=around)
        return self._searched(Done(shown.returncode, shown.stdout + shown.stderr, reports))

    def _searched(self, done: Done) -> Done:
        found = self.leaks(done)
        assert not found, (done.status, found)
        return done

    def pytest(
        self, *arguments: str, stdin: str = "", around: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run pytest with a home of its own and nothing of ours in the environment."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("WA_DB_", "WA_WEB_", "PYTEST_", "ALLURE_"))
        }
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        mine = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "COLUMNS": str(SCREEN_COLUMNS)}
        return subprocess.run(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=REPOSITORY,
            env={**kept, **mine, "PYTHONPATH": str(self.folder), **(around or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    def leaks(self, done: Done) -> list[str]:
        """Return where somebody's number, or a password, stands in what a command left."""
        left = [path for path in done.reports.rglob("*") if path.is_file()]
        cache = [path for path in (REPOSITORY / ".pytest_cache").rglob("*") if path.is_file()]
        texts = [(str(path), path.name.encode() + path.read_bytes()) for path in (*left, *cache)]
        patterns = traces_of([*self.numbers, *self.secrets])
        return [
            place
            for place, data in (("the terminal", done.shown.encode()), *texts)
            if any(pattern in data.lower() for pattern in patterns)
        ]


def lines(texts: Iterable[str]) -> str:
    """Return each text on a line of its own."""
    return "".join(f"{one}\n" for one in texts)


def granted(database: str) -> str:
    """Return a database's name as a GRANT of MySQL takes it, where _ stands for any character."""
    return "`" + database.replace("_", r"\_") + "`"


def traces_of(texts: Iterable[str]) -> frozenset[bytes]:
    """Return each text as bytes, in hexadecimal, base64 at every alignment, and UTF-16; in small letters."""
    found = set()
    for text in texts:
        plain = text.encode()
        found |= {plain, plain.hex().encode(), text.encode("utf-16-le"), text.encode("utf-16-be")}
        for before in range(3):
            coded = base64.b64encode(b"\0" * before + plain).rstrip(b"=")
            # The first and last characters mix with what stands around.
            found.add(coded[(0, 2, 3)[before] : -1])
    return frozenset(one.lower() for one in found)


def _as_bytes(row: Iterable[Any]) -> Row:
    return tuple(
        None
        if cell is None
        else bytes(cell)
        if isinstance(cell, bytes | memoryview)
        else str(cell).encode()
        for cell in row
    )


@dataclass
class Bed:
    """A store set on a server, looked at and disturbed by plain clients."""

    config: RunConfig
    store_set: StoreSet
    desk: Desk
    accounts: list[str] = field(default_factory=list)

    @property
    def kind(self) -> EngineKind:
        """The engine."""
        return self.config.engine

    def seed(self, rows: Sequence[SeedRow] = ()) -> None:
        """Put the showcase into the stores, or other rows, and nothing else."""
        self.store_set.clear()
        self.store_set.insert(rows or rows_of(WORLD))

    def run(self, *arguments: str, people: Sequence[Person] = (SUBJECT,), **how: Any) -> Done:
        """Run `pytest --live` on this store set, for these people."""
        config = how.pop("config", self.config)
        ids = (self.desk.ids(*(one.number for one in people)),) if people else ()
        return self.desk.run(self.desk.db_env(config), *ids, *arguments, **how)

    def dump(self) -> Dump:
        """Return every row of every table, read by a plain client."""
        on_mysql = self.kind is EngineKind.MYSQL
        tables = "SHOW FULL TABLES WHERE table_type = 'BASE TABLE'"
        if not on_mysql:
            tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        found: dict[tuple[str, str], Counter[Row]] = {}
        for store in self.store_set.databases():
            connection = self.connect(store)
            try:
                with connection.cursor() as cursor:
                    cursor.execute(tables)
                    for name, *_ in cursor.fetchall():
                        cursor.execute(f"SELECT * FROM {name}")
                        found[store, name] = Counter(map(_as_bytes, cursor.fetchall()))
            finally:
                connection.close()
        return found

    def counters(self) -> list[tuple[Any, ...]]:
        """Return where the next automatic keys will begin."""
        if self.kind is EngineKind.MYSQL:
            return self.sql(
                "SELECT table_schema, table_name, auto_increment FROM information_schema.tables "
                f"WHERE table_schema LIKE '{self.config.prefix}%' ORDER BY 1, 2"
            )
        found = []
        for store in self.store_set.databases():
            names = self.sql("SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S'", store)
            for (name,) in sorted(names):
                found += self.sql(f"SELECT '{name}', last_value, is_called FROM {name}", store)
        return found

    def connect(self, store: str = "messageStore") -> Any:
        """Return a plain connection to one store's database, which commits by itself."""
        config = self.config
        where: dict[str, Any] = {
            "host": config.hostname,
            "port": config.port,
            "user": config.username,
            "password": config.password.reveal(),
            "database": self.store_set.databases()[store],
        }
        if self.kind is EngineKind.MYSQL:
            return pymysql.connect(**where, charset="utf8mb4", autocommit=True)
        connection = psycopg2.connect(**where)
        connection.autocommit = True
        return connection

    def sql(self, statement: str, store: str = "messageStore") -> list[tuple[Any, ...]]:
        """Run one statement by a plain client."""
        connection = self.connect(store)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def account(self, name: str, *rights: str) -> RunConfig:
        """Make a user with these rights on every table of the set, and no others."""
        password = f"Quite-secret-{name}-77"
        databases = self.store_set.databases()
        listed = ", ".join(rights)
        self.accounts.append(name)
        if self.kind is EngineKind.MYSQL:
            self.sql(f"GRANT USAGE ON *.* TO '{name}'@'%' IDENTIFIED BY '{password}'")
            for database in databases.values():
                self.sql(f"GRANT {listed} ON {granted(database)}.* TO '{name}'@'%'")
        else:
            self.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
            rights_there = ", ".join(one for one in rights if one != "TRIGGER")
            for store in databases:
                self.sql(f"GRANT {rights_there} ON ALL TABLES IN SCHEMA public TO {name}", store)
        return replace(self.config, username=name, password=Secret(password))

    def forget_accounts(self) -> None:
        """Remove the users that were made."""
        for name in self.accounts:
            if self.kind is EngineKind.MYSQL:
                self.sql(f"DROP USER '{name}'@'%'")
                continue
            for store in self.store_set.databases():
                self.sql(f"DROP OWNED BY {name}", store)
            self.sql(f"DROP ROLE {name}")
        self.accounts.clear()
