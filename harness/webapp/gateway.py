"""What stands before the API: faults of answers, the record of requests, and the access log."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from harness.webapp.answers import BUSY, OVERLOADED, RefusedError, refusal
from harness.webapp.faults import Fault
from harness.webapp.stand_in import Asked, StandIn

_PAGE: Final = (
    "<html><head><title>502 Bad Gateway</title></head>"
    "<body><h1>502 Bad Gateway</h1><hr>proxy</body></html>\n"
)
_LOOK_S: Final = 0.02
_HUGE_BYTES: Final = 64 * 1024


def _html(_: StandIn) -> Response:
    return HTMLResponse(_PAGE, 502)


def _html_200(_: StandIn) -> Response:
    return HTMLResponse(_PAGE)


def _bad_json(_: StandIn) -> Response:
    return Response('{"meta": {"api_status": "sta', media_type="application/json")


def _wrong_shape(_: StandIn) -> Response:
    shape = {"users": {}, "services": "processing", "settings": [], "stats": 7, "health": []}
    return JSONResponse({**shape, "support": None, "meta": []})


def _busy(stand_in: StandIn) -> Response:
    return _refused(stand_in, RefusedError(BUSY, "Too many requests."))


def _overloaded(stand_in: StandIn) -> Response:
    return _refused(stand_in, RefusedError(OVERLOADED, "The client is overloaded."))


def _refused(stand_in: StandIn, refused: RefusedError) -> Response:
    return JSONResponse(refusal(stand_in.version, refused), refused.status)


def _redirect(stand_in: StandIn) -> Response:
    return Response(status_code=302, headers={"location": stand_in.elsewhere})


def _huge(_: StandIn) -> Response:
    async def endless() -> AsyncIterator[bytes]:
        yield b'{"meta": {"version": "'
        while True:
            yield b"9" * _HUGE_BYTES
            await asyncio.sleep(0)

    return StreamingResponse(endless(), media_type="application/json")


_INSTEAD: Final[Mapping[Fault, Callable[[StandIn], Response]]] = {
    Fault.HTML: _html,
    Fault.HTML_200: _html_200,
    Fault.BAD_JSON: _bad_json,
    Fault.WRONG_SHAPE: _wrong_shape,
    Fault.BUSY: _busy,
    Fault.OVERLOADED: _overloaded,
    Fault.REDIRECT: _redirect,
    Fault.HUGE: _huge,
}


class Gateway:
    """An ASGI application before another one."""

    def __init__(self, stand_in: StandIn, behind: ASGIApp) -> None:
        self._stand_in = stand_in
        self._behind = behind
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or not."""
        if scope["type"] != "http":
            return
        faults = self._stand_in.faults if self._stand_in.faults_on in scope["path"] else ()
        if Fault.SLOW in faults:
            receive = await _taken(receive)
            await _delay(send, self._stand_in.delay_s)
        if Fault.HANGS_UP in faults:
            await self._hang_up(scope, receive, send)
            return
        answer: ASGIApp = self._behind
        for fault, instead in _INSTEAD.items():
            if fault in faults:
                answer = instead(self._stand_in)
        noted = False

        async def noting(message: Message) -> None:
            nonlocal noted
            # Noted before it is sent: who has an answer finds it in the record.
            if not noted and message["type"] == "http.response.start":
                noted = True
                self._note(scope, message["status"])
            await send(message)

        await answer(scope, receive, noting)

    async def _hang_up(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do what is asked, and close the connection in place of an answer."""

        async def nowhere(_: Message) -> None:
            pass

        await self._behind(scope, receive, nowhere)
        self._note(scope, 0)
        cycle = _cycle(send)
        cycle.transport.abort()
        while not cycle.disconnected:  # noqa: ASYNC110  # it is told in the loop's next turn
            await asyncio.sleep(0)

    def _note(self, scope: Scope, status: int) -> None:
        asked = Asked(scope["method"], scope["path"], status)
        self._stand_in.requests.append(asked)
        if log := self._stand_in.config.access_log:
            at = datetime.now(UTC).strftime("%d/%b/%Y:%H:%M:%S %z")
            path = scope["raw_path"].decode("latin-1")
            line = f'127.0.0.1 - - [{at}] "{asked.method} {path} HTTP/1.1" {status} - "-" "-"\n'
            with self._lock, log.open("a", encoding="latin-1") as file:
                file.write(line)


async def _taken(receive: Receive) -> Receive:
    """Take a request in full: what was asked is done, though nobody waits for its answer."""
    taken = [await receive()]
    while taken[-1].get("more_body"):
        taken.append(await receive())

    async def again() -> Message:
        return taken.pop(0) if taken else await receive()

    return again


async def _delay(send: Send, delay_s: float) -> None:
    """Let time go by, for as long as somebody waits."""
    cycle, end = _cycle(send), asyncio.get_running_loop().time() + delay_s
    while asyncio.get_running_loop().time() < end and not cycle.disconnected:  # noqa: ASYNC110  # it has no event
        await asyncio.sleep(_LOOK_S)


def _cycle(send: Send) -> Any:  # noqa: ANN401  # it is uvicorn's own, and has no public type
    """Return the server's own request, to whom `send` belongs: ASGI has no word for connections."""
    return getattr(send, "__self__")  # noqa: B009  # it is not part of the protocol
