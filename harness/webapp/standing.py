"""The stand-in as a real server: on a free port of this machine, in a thread of this process."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import uvicorn

from harness.errors import ServerError
from harness.webapp import certificates
from harness.webapp.api import routes
from harness.webapp.configured import StandInConfig
from harness.webapp.gateway import Gateway
from harness.webapp.stand_in import StandIn

_LOOK_S: Final = 0.005
_TICK_S: Final = 0.01
_START_S: Final = 20
_HOST: Final = "127.0.0.1"


@contextmanager
def standing(config: StandInConfig) -> Iterator[StandIn]:
    """Let a stand-in answer at `StandIn.url` for as long as the block runs.

    Raises:
        ServerError: It did not start.
    """
    with ExitStack() as held:
        stand_in = StandIn(config)
        held.callback(stand_in.stop)
        files = None
        if config.tls:
            folder = held.enter_context(tempfile.TemporaryDirectory(prefix="stand-in-"))
            files = certificates.make(Path(folder), config.tls)
            stand_in.ca = files.ca
        listening = held.enter_context(socket.create_server((_HOST, 0)))
        # Accepted connections inherit it; otherwise a head and its body are 40 ms apart.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = _Server(
            uvicorn.Config(
                Gateway(stand_in, routes(stand_in)),
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                ssl_certfile=files.cert if files else None,
                ssl_keyfile=files.key if files else None,
                timeout_graceful_shutdown=1,
            )
        )
        scheme, port = "https" if files else "http", listening.getsockname()[1]
        stand_in.url = f"{scheme}://{_HOST}:{port}"
        held.enter_context(_serving(server, listening))
        yield stand_in


class _Server(uvicorn.Server):
    """A server that stops at once, and waits for nobody."""

    async def main_loop(self) -> None:
        """Look more often whether to stop than uvicorn does."""
        while not self.should_exit:
            await self.on_tick(0)
            await asyncio.sleep(_TICK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close every connection, whatever is under way on it, and stop."""
        for connection in list(self.server_state.connections):
            if connection.transport:
                connection.transport.abort()
        # They are told in the loop's next turn; uvicorn would look again after 0.1 s.
        await asyncio.sleep(_TICK_S)
        await super().shutdown(sockets)


@contextmanager
def _serving(server: uvicorn.Server, listening: socket.socket) -> Iterator[None]:
    thread = threading.Thread(
        target=server.run, args=([listening],), name="stand-in Webapp", daemon=True
    )
    thread.start()
    end = time.monotonic() + _START_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > end:
            raise ServerError("The stand-in for the Webapp did not start: see what uvicorn said.")
        time.sleep(_LOOK_S)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
