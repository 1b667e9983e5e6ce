"""PostgreSQL as a disposable server: cluster, superuser, start, and a first query."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import psycopg2

from harness.servers.site import Site

ENGINE_NAME = "PGSQL"
PARTS: tuple[str, ...] = ("bin", "lib", "share")
# Immediate shutdown: the postmaster ends its children and frees the shared memory.
STOP_SIGNAL: signal.Signals = signal.SIGQUIT
NOT_READY: type[Exception] = psycopg2.Error

_FIRST_SERIES_WITH_SCRAM_DEFAULT = 14
_SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=100",
    "max_prepared_transactions=16",
    "timezone=UTC",
    "log_timezone=UTC",
    # No statement, row or key of a row in the log: its last lines are shown if it dies.
    "log_statement=none",
    "log_min_error_statement=panic",
    "log_error_verbosity=terse",
    # Fast and throw-away.
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "shared_buffers=128MB",
    # Not /dev/shm: containers make it small, and a killed server would leave its part there.
    "dynamic_shared_memory_type=mmap",
)


def prepare(site: Site) -> None:
    """Make the cluster with one superuser, who needs a password on every connection.

    Raises:
        ServerError: initdb failed.
        OSError: the private folder is full.
    """
    site.data.mkdir(mode=0o700)
    password_file = site.folder / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(site.password.reveal(), "utf-8")
    site.account.own(site.data)
    site.account.own(password_file)
    try:
        _initdb(site, password_file)
    finally:
        password_file.unlink()


def command(site: Site, port: int) -> list[str]:
    """Return the command that starts the server on `port` of the loopback address."""
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    return [str(site.engine / "bin/postgres"), "-D", str(site.data), "-p", str(port), *settings]


def environment(site: Site) -> dict[str, str]:
    """Return the server's environment; the package brings its own libraries."""
    return {"LD_LIBRARY_PATH": str(site.engine / "lib")}


def data_folder_behind(site: Site, port: int) -> Path:
    """Log in and return the data folder of the server that answers on `port`.

    Raises:
        psycopg2.Error: it does not answer, or does not let us in.
    """
    connection = psycopg2.connect(
        host="127.0.0.1",
        port=port,
        user=site.user,
        password=site.password.reveal(),
        dbname="postgres",
        connect_timeout=2,
        sslmode="disable",
        gssencmode="disable",
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW data_directory")
            row = cursor.fetchone()
    finally:
        connection.close()
    return Path(row[0] if row else "")


def clean_up(site: Site) -> None:
    """Remove what only the first start needed: nothing."""
    del site


def port_was_taken(log: str) -> bool:
    """Tell from the server's log whether it ended because its port was in use."""
    return "Address already in use" in log


def _initdb(site: Site, password_file: Path) -> None:
    """Run initdb as the server's account."""
    scram = int(site.choice.series) >= _FIRST_SERIES_WITH_SCRAM_DEFAULT
    initdb = [str(site.engine / "bin/initdb"), f"--pgdata={site.data}", f"--username={site.user}"]
    initdb += [f"--auth={'scram-sha-256' if scram else 'md5'}", f"--pwfile={password_file}"]
    initdb += ["--encoding=UTF8", "--no-locale", "--no-sync"]
    with site.log.open("wb") as log:
        process = subprocess.run(  # noqa: S603 - our own arguments, no shell
            site.leashed(initdb, environment(site), signal.SIGKILL),
            cwd=site.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
            start_new_session=True,
        )
    if process.returncode:
        raise site.trouble("initdb failed")
