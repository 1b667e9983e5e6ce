"""MySQL as a disposable server: data folder, accounts, start, and a first query."""

from __future__ import annotations

import hashlib
import shutil
import signal
from pathlib import Path

import pymysql

from harness.model import Secret
from harness.servers.site import Site

ENGINE_NAME = "MYSQL"
PARTS: tuple[str, ...] = ("mysqld", "libaio.so.1", "share")
# The data is thrown away, so no orderly shutdown: that takes 3.5 s on 5.6.
STOP_SIGNAL: signal.Signals = signal.SIGKILL
NOT_READY: type[Exception] = pymysql.MySQLError

_SETTINGS = (
    "bind-address=127.0.0.1",
    "skip-name-resolve",
    "skip-log-bin",
    "symbolic-links=0",
    "character-set-server=utf8mb4",
    "default-time-zone=+00:00",
    "sql-mode=STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION",
    "max-allowed-packet=64M",
    # Fast and throw-away: nothing is flushed, and little is written before the first query.
    "performance-schema=OFF",
    "innodb-flush-method=nosync",
    "innodb-flush-log-at-trx-commit=0",
    "innodb-doublewrite=0",
    "innodb-buffer-pool-size=256M",
    "innodb-log-file-size=32M",
    "innodb-file-per-table=1",
    "sync-frm=0",
    # Several servers side by side can use up the system's fs.aio-max-nr.
    "innodb-use-native-aio=0",
)


def prepare(site: Site) -> None:
    """Make the data folder and the statements that leave one account with a password.

    Raises:
        OSError: the private folder is full.
    """
    shutil.copytree(site.installed / "data/mysql", site.data, copy_function=shutil.copyfile)
    for folder in (site.data, *site.data.glob("*/")):
        folder.chmod(0o700)  # copied from a cache that may be read-only
    statements = (
        "DELETE FROM mysql.user",  # password-less root and the anonymous account
        "DELETE FROM mysql.db",
        "DELETE FROM mysql.proxies_priv",
        "FLUSH PRIVILEGES",
        _grant(site),
    )
    _init_file(site).write_text("".join(f"{line};\n" for line in statements), "utf-8")
    site.account.own(site.data)


def command(site: Site, port: int) -> list[str]:
    """Return the command that starts the server on `port` of the loopback address."""
    paths = {
        "basedir": site.engine,
        "lc-messages-dir": site.engine / "share",
        "datadir": site.data,
        "tmpdir": site.data,
        "secure-file-priv": site.data,
        "socket": site.data / "mysql.sock",
        "pid-file": site.data / "mysql.pid",
        "init-file": _init_file(site),
    }
    options = [f"--{name}={path}" for name, path in paths.items()]
    options += [f"--{setting}" for setting in _SETTINGS]
    return [str(site.engine / "mysqld"), "--no-defaults", f"--port={port}", *options]


def environment(site: Site) -> dict[str, str]:
    """Return the server's environment; the package brings its own libaio."""
    return {"LD_LIBRARY_PATH": str(site.engine)}


def data_folder_behind(site: Site, port: int) -> Path:
    """Log in and return the data folder of the server that answers on `port`.

    Raises:
        pymysql.MySQLError: it does not answer, or does not let us in.
    """
    connection = pymysql.connect(
        host="127.0.0.1",
        port=port,
        user=site.user,
        password=site.password.reveal(),
        connect_timeout=2,
        read_timeout=2,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@datadir")
        row = cursor.fetchone()
    return Path(row[0] if row else "")


def clean_up(site: Site) -> None:
    """Remove what only the first start needed."""
    _init_file(site).unlink(missing_ok=True)


def port_was_taken(log: str) -> bool:
    """Tell from the server's log whether it ended because its port was in use."""
    return "Bind on TCP/IP port: Address already in use" in log


def _grant(site: Site) -> str:
    secret = _password_hash(site.password)
    return (
        f"GRANT ALL PRIVILEGES ON *.* TO '{site.user}'@'%' "
        f"IDENTIFIED BY PASSWORD '{secret}' WITH GRANT OPTION"
    )


def _init_file(site: Site) -> Path:
    return site.data / "init.sql"


def _password_hash(password: Secret) -> str:
    """Hash a password as MySQL stores it, so that the password itself is never on disk.

    Source: mysql_native_password, `*` and SHA-1 of SHA-1 in hexadecimal.
    """
    inner = hashlib.sha1(password.reveal().encode()).digest()  # noqa: S324 - MySQL's own choice
    return "*" + hashlib.sha1(inner).hexdigest().upper()  # noqa: S324 - MySQL's own choice
