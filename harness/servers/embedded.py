"""Embedded servers: real engines from the cache, each in a private folder, gone at the end.

    with running([parse_choice("mysql"), parse_choice("postgres")]) as servers:
        for server in servers.values():
            connect(server.environment)

A server dies with the thread that launched it, so it is launched from the main thread only.
What a killed harness leaves is a folder, which the next launch sweeps up.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from harness.errors import ServerError
from harness.model import EngineChoice, EngineKind, Secret
from harness.servers import mysql, postgres
from harness.servers.account import server_account
from harness.servers.installation import install
from harness.servers.private_folder import (
    PrivateFolder,
    end_processes_in,
    make_private_folder,
    sweep_up,
)
from harness.servers.site import Site, reachable_engine
from harness.servers.storage import errno_of

_USER = "wa_db"
_PORTS_TO_TRY = 5
_STOP_TIMEOUT_S = 3.0
_POLL_S = 0.02


class Engine(Protocol):
    """What the modules `mysql` and `postgres` each know about their engine."""

    ENGINE_NAME: str
    PARTS: tuple[str, ...]
    STOP_SIGNAL: signal.Signals
    NOT_READY: type[Exception]

    def prepare(self, site: Site) -> None:
        """Make the data folder with one account that has a password."""

    def command(self, site: Site, port: int) -> list[str]:
        """Return the command that starts the server."""

    def environment(self, site: Site) -> dict[str, str]:
        """Return the variables that the server needs."""

    def data_folder_behind(self, site: Site, port: int) -> Path:
        """Log in and return the data folder of whoever answers on the port."""

    def clean_up(self, site: Site) -> None:
        """Remove what only the first start needed."""

    def port_was_taken(self, log: str) -> bool:
        """Tell from the log whether the server ended because of its port."""


class EmbeddedServer:
    """A server that `launch` started; it may still be starting up until `wait_ready` returns."""

    def __init__(self, site: Site, folder: PrivateFolder, engine: Engine, port: int) -> None:
        self.choice = site.choice
        self.folder = site.folder
        self.port = port
        self._site = site
        self._private_folder = folder
        self._engine = engine
        self._launcher_pid = os.getpid()
        self._stopped = False
        self._tries = 0
        self._process = self._start()

    def __repr__(self) -> str:
        return f"EmbeddedServer({self.choice}, port {self.port})"

    @property
    def title(self) -> str:
        """Kind and series as in messages, such as ``MySQL 5.6``."""
        return f"{self.choice.kind.proper_name} {self.choice.series}"

    @property
    def pid(self) -> int:
        """The number of the server's main process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the server's main process is running."""
        return self._process.poll() is None

    @property
    def environment(self) -> dict[str, str]:
        """How to reach the server, as a db.env would say it; the one place with the password."""
        return {
            "WA_DB_ENGINE": self._engine.ENGINE_NAME,
            "WA_DB_HOSTNAME": "127.0.0.1",
            "WA_DB_PORT": str(self.port),
            "WA_DB_USERNAME": self._site.user,
            "WA_DB_PASSWORD": self._site.password.reveal(),
        }

    @property
    def log(self) -> Path:
        """What the server prints."""
        return self._site.log

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self._site.data

    @property
    def last_words(self) -> str:
        """The end of the server's log, without long numbers and the password; for messages."""
        return self._site.last_words()

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return as soon as the server answers a query over TCP with its password.

        Raises:
            ServerError: it ended, did not answer in time, or found no free port.
        """
        deadline = time.monotonic() + timeout_s
        while not (self.alive and self._answers()):
            if not self.alive:
                self._try_another_port()
            elif time.monotonic() > deadline:
                raise self._site.trouble(f"no answer within {timeout_s:.0f} s")
            time.sleep(_POLL_S)
        self._engine.clean_up(self._site)

    def crash(self) -> None:
        """Kill the server without warning and start it again on what it left behind."""
        self._process.kill()
        self._process.wait(_STOP_TIMEOUT_S)
        end_processes_in(self.folder)
        self._process = self._start(again=True)

    def stop(self) -> None:
        """End the server with all its processes and remove its folder; safe to call twice."""
        # A forked child inherits this object and our atexit hook, but not the server.
        if self._stopped or os.getpid() != self._launcher_pid:
            return
        if self.alive:
            self._process.send_signal(self._engine.STOP_SIGNAL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_TIMEOUT_S)
        self._private_folder.remove()  # also ends what did not end by itself
        self._process.poll()
        self._stopped = True
        atexit.unregister(self.stop)

    def _start(self, *, again: bool = False) -> subprocess.Popen[bytes]:
        """Start the server's process on the chosen port and return at once."""
        self._tries += 1
        command = self._engine.command(self._site, self.port)
        if again:
            # The accounts were made at the first start, and what made them is gone.
            command = [part for part in command if not part.startswith("--init-file")]
        environment = self._engine.environment(self._site)
        leashed = self._site.leashed(command, environment, self._engine.STOP_SIGNAL)
        with self._site.log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - our own arguments, no shell
                leashed,
                cwd=self.folder,  # so that end_processes_in knows it from its first moment
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C at the terminal is for the harness alone
            )

    def _answers(self) -> bool:
        """Tell whether our own server, and no other one on this port, answers a query."""
        try:
            answer = self._engine.data_folder_behind(self._site, self.port)
        except self._engine.NOT_READY:
            return False
        return answer.resolve() == self._site.data.resolve()

    def _try_another_port(self) -> None:
        """Start the ended server once more if its port was taken in the meantime.

        Raises:
            ServerError: it ended for another reason, or too many ports were taken.
        """
        if not self._engine.port_was_taken(self._site.log_text()):
            raise self._site.trouble(f"ended while starting (status {self._process.returncode})")
        if self._tries >= _PORTS_TO_TRY:
            raise ServerError(
                f"{self.title} found its port taken {self._tries} times, last port {self.port} of "
                "127.0.0.1: end the program that takes all ports, and run again."
            )
        self.port = _free_port()
        self._process = self._start()


def launch(choice: EngineChoice, port: int | None = None) -> EmbeddedServer:
    """Install the engine if need be, start a server, and return without waiting for it.

    Args:
        choice: the engine, see `parse_choice`.
        port: TCP port to try first on 127.0.0.1; without it a free one is chosen.

    Raises:
        ServerError: it could not be installed or prepared; nothing is left behind.
    """
    if threading.current_thread() is not threading.main_thread():
        raise ServerError("Launch servers from the main thread: they die with their thread.")
    installed = install(choice)
    try:
        sweep_up()
        return _launch_installed(choice, installed, port or _free_port())
    except OSError as error:
        raise ServerError(
            f"{choice.kind.proper_name} {choice.series} could not be started "
            f"({os.strerror(errno_of(error))}): set TMPDIR to a writable folder with 300 MB free "
            "and run again."
        ) from error


@contextlib.contextmanager
def running(
    choices: Iterable[EngineChoice], timeout_s: float = 60.0
) -> Iterator[dict[EngineChoice, EmbeddedServer]]:
    """Run servers side by side for the length of a with block, ready to be used.

    Raises:
        ServerError: one of them could not be started; all are stopped then.
    """
    servers: dict[EngineChoice, EmbeddedServer] = {}
    with contextlib.ExitStack() as stack:
        # MySQL first: its launch takes no time, so it starts up while initdb runs.
        for choice in sorted(set(choices)):
            servers[choice] = launch(choice)
            stack.callback(servers[choice].stop)
        for server in servers.values():
            server.wait_ready(timeout_s)
        yield servers


def _launch_installed(choice: EngineChoice, installed: Path, port: int) -> EmbeddedServer:
    """Make the private folder, prepare the data folder and start the server."""
    engine = _engine_of(choice.kind)
    account = server_account()
    folder = make_private_folder(f"{choice.kind}-{choice.series}", account)
    try:
        site = Site(
            choice=choice,
            folder=folder.path,
            installed=installed,
            engine=reachable_engine(installed, engine.PARTS, folder.path, account),
            account=account,
            user=_USER,
            password=Secret(secrets.token_urlsafe(24)),
        )
        site.log.touch(mode=0o600)
        engine.prepare(site)
        server = EmbeddedServer(site, folder, engine, port)
    except BaseException:
        folder.remove()
        raise
    atexit.register(server.stop)
    return server


def _engine_of(kind: EngineKind) -> Engine:
    engines: dict[EngineKind, Engine] = {EngineKind.MYSQL: mysql, EngineKind.POSTGRES: postgres}
    return engines[kind]


def _free_port() -> int:
    """Return a port of the loopback address that is free now; another program may take it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
