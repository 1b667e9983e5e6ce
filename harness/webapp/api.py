"""The paths of the client's API that the harness uses, and what each does."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from harness.errors import HarnessError
from harness.model import Garbage
from harness.webapp.answers import (
    INTERNAL,
    INVALID,
    NOT_FOUND,
    Document,
    RefusedError,
    meta,
    refusal,
)
from harness.webapp.faults import Fault
from harness.webapp.stand_in import StandIn


@dataclass(frozen=True, slots=True, repr=False)
class _Call:
    """One request, read."""

    authorization: str
    body: bytes
    parameters: dict[str, Any]

    def document(self) -> object:
        """Return the JSON of the body.

        Raises:
            RefusedError: It is not JSON.
        """
        try:
            return json.loads(self.body or b"{}")
        except ValueError:
            raise RefusedError(INVALID, "The body is not JSON.") from None


_Handler = Callable[[StandIn, _Call], Document]
_Endpoint = Callable[[Request], Awaitable[Response]]


def _log_in(stand_in: StandIn, call: _Call) -> Document:
    return stand_in.accounts.log_in(call.authorization, call.document())


def _log_out(stand_in: StandIn, call: _Call) -> Document:
    stand_in.accounts.log_out(call.authorization)
    return {}


def _collect_messages(stand_in: StandIn, _: _Call) -> Document:
    return stand_in.start(Garbage.MESSAGES)


def _collect_media(stand_in: StandIn, _: _Call) -> Document:
    return stand_in.start(Garbage.MEDIA)


def _show_settings(stand_in: StandIn, _: _Call) -> Document:
    return {"settings": {"application": stand_in.settings.current}}


def _change_settings(stand_in: StandIn, call: _Call) -> Document:
    stand_in.settings.patch(call.document())
    return {}


def _reset_settings(stand_in: StandIn, _: _Call) -> Document:
    stand_in.settings.reset()
    return {}


def _mark_read(stand_in: StandIn, call: _Call) -> Document:
    if call.document() != {"status": "read"}:
        raise RefusedError(INVALID, "The status is not read.")
    stand_in.mark_read(str(call.parameters["message_id"]))
    return {}


def _statistics(stand_in: StandIn, _: _Call) -> Document:
    return stand_in.statistics()


def _support(stand_in: StandIn, _: _Call) -> Document:
    return stand_in.support()


def _health(stand_in: StandIn, _: _Call) -> Document:
    return stand_in.health()


_PATHS: tuple[tuple[str, str, _Handler], ...] = (
    ("POST", "/v1/users/logout", _log_out),
    ("PUT", "/v1/services/message/gc", _collect_messages),
    ("PUT", "/v1/services/media/gc", _collect_media),
    ("GET", "/v1/settings/application", _show_settings),
    ("PATCH", "/v1/settings/application", _change_settings),
    ("DELETE", "/v1/settings/application", _reset_settings),
    # A message id is base64, and may have a slash in it.
    ("PUT", "/v1/messages/{message_id:path}", _mark_read),
    ("GET", "/v1/stats/db", _statistics),
    ("GET", "/v1/support", _support),
    ("GET", "/v1/health", _health),
)


def routes(stand_in: StandIn) -> Starlette:
    """Return the application that answers for a stand-in."""

    def unrouted(_: Request, error: Exception) -> Response:
        # Of an unknown path 404 is published; of a wrong method nothing was found.
        status = error.status_code if isinstance(error, HTTPException) else 500
        refused = RefusedError(NOT_FOUND, HTTPStatus(status).phrase, status=status)
        return JSONResponse(refusal(stand_in.version, refused), status)

    paths = [Route("/v1/users/login", _endpoint(stand_in, _log_in, free=True), methods=["POST"])]
    paths += [
        Route(path, _endpoint(stand_in, handle), methods=[method])
        for method, path, handle in _PATHS
    ]
    return Starlette(routes=paths, exception_handlers={HTTPException: unrouted})


def _endpoint(stand_in: StandIn, handle: _Handler, *, free: bool = False) -> _Endpoint:
    """Return what answers at one path; `free` needs no token."""

    def answer(call: _Call) -> Response:
        try:
            if not free:
                _check(stand_in, call.authorization)
            document = handle(stand_in, call)
        except RefusedError as refused:
            return JSONResponse(refusal(stand_in.version, refused), refused.status)
        except HarnessError:
            broken = RefusedError(INTERNAL, "The database did not answer.")
            return JSONResponse(refusal(stand_in.version, broken), broken.status)
        return JSONResponse({**document, **meta(stand_in.version)})

    async def respond(request: Request) -> Response:
        authorization = request.headers.get("authorization", "")
        call = _Call(authorization, await request.body(), request.path_params)
        return await run_in_threadpool(answer, call)

    return respond


def _check(stand_in: StandIn, authorization: str) -> None:
    if Fault.REFUSES_TOKEN_ALWAYS in stand_in.faults:
        authorization = ""
    stand_in.accounts.check(authorization, once=Fault.TOKEN_EXPIRES in stand_in.faults)
