"""One HTTP request to the Webapp and its answer, bounded in time and size, and never shown.

requests' adapter is used below its sessions: these would follow redirects (and read the whole
body of one), take credentials from a netrc file and proxies from the environment. Failures come
back as values, not as exceptions, since those of requests carry the request with its headers.

Every certificate is checked, against the system's authorities and the given file beside them.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, auto
from http.client import BadStatusLine, HTTPException, LineTooLong, UnknownProtocol
from pathlib import Path
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from harness.errors import ConfigError

CONNECT_S: Final = 10.0
BODY_BYTES_MOST: Final = 4 * 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024
# Those of urllib3's loggers that tell URLs or certificates; a message's id is part of its URL.
_TALKATIVE: Final = ("connection", "connectionpool", "poolmanager", "response", "util.retry")
# X509_V_ERR_*, from OpenSSL's x509_vfy.h.
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_UNKNOWN_ISSUER: Final = frozenset({18, 19, 20, 21})
_OTHER_HOST: Final = frozenset({62, 64})


class Loss(Enum):
    """Why a request was left without an answer."""

    UNRESOLVED = auto()
    REFUSED = auto()
    UNREACHABLE = auto()
    TIMED_OUT = auto()
    HUNG_UP = auto()
    TOO_LARGE = auto()
    NOT_HTTP = auto()
    NO_TLS = auto()
    CERTIFICATE_EXPIRED = auto()
    CERTIFICATE_NOT_YET_VALID = auto()
    CERTIFICATE_OF_OTHER_HOST = auto()
    CERTIFICATE_OF_UNKNOWN_ISSUER = auto()
    CERTIFICATE_REFUSED = auto()


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer: why, and whether any of the request may have reached the other side."""

    how: Loss
    sent: bool


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What came back; the body as it was sent, of a bounded size."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """One request; `path` begins with a slash, `auth` is the whole Authorization header."""

    method: str
    path: str
    auth: str
    json: dict[str, object] | None = None


class _Call:
    """One request under way: what its deadline has to end, and how far it has come."""

    def __init__(self) -> None:
        self.connection: HTTPConnection | None = None
        self.socket: socket.socket | None = None
        self.sent = False
        self.expired = False

    def end(self) -> None:
        """Wake whoever waits for the other side, however slowly that one goes on sending."""
        self.expired = True
        reading = self.socket or (self.connection and self.connection.sock)
        if reading:
            # The plain socket's own: an encrypted one forgets its encryption first, and what
            # it then reads is noise.
            with suppress(OSError):
                socket.socket.shutdown(reading, socket.SHUT_RDWR)


_CALL: ContextVar[_Call | None] = ContextVar("webapp_call", default=None)


def _is_other(_record: logging.LogRecord) -> bool:
    return _CALL.get() is None


class _Watched(HTTPConnection):
    """A connection that tells its call how far it has come."""

    def connect(self) -> None:
        if call := _CALL.get():
            call.connection, call.socket = self, None
        super().connect()

    def send(self, data: Any) -> None:  # noqa: ANN401
        if self.sock is None:
            self.connect()
        if call := _CALL.get():
            call.socket, call.sent = self.sock, True
        super().send(data)


class _WatchedTls(_Watched, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTls


class _Adapter(HTTPAdapter):
    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:  # noqa: ANN401
        """Add nothing to what the context trusts: requests would add a list of its own."""


class Connection:
    """The way to one Webapp; kept open between requests, and not for several threads."""

    def __init__(self, url: str, ca: Path | None) -> None:
        self._url = url
        self._adapter = _Adapter(_trusting(ca))
        for name in _TALKATIVE:
            logging.getLogger(f"urllib3.{name}").addFilter(_is_other)

    def close(self) -> None:
        """Close what is open; a later request opens it again."""
        self._adapter.close()

    def exchange(self, request: Request, until: float) -> Answer | Lost:
        """Send a request and read its answer, until a moment of the monotonic clock."""
        with _under_way(until) as call:
            try:
                return self._answered(self._prepared(request), call, until)
            # A ValueError is http.client's way to say that a length is no length.
            except (
                requests.RequestException,
                HTTPError,
                HTTPException,
                OSError,
                ValueError,
            ) as error:
                return Lost(_loss(error, call), call.sent)

    def _prepared(self, request: Request) -> requests.PreparedRequest:
        return requests.Request(
            request.method,
            self._url + request.path,
            headers={
                "Authorization": request.auth,
                "Accept": "application/json",
                # A small compressed body can be a large one.
                "Accept-Encoding": "identity",
            },
            json=request.json,
        ).prepare()

    def _answered(
        self, prepared: requests.PreparedRequest, call: _Call, until: float
    ) -> Answer | Lost:
        left_s = max(until - time.monotonic(), 0.001)
        response = self._adapter.send(
            prepared, stream=True, timeout=(min(CONNECT_S, left_s), left_s)
        )
        try:
            body = bytearray()
            while chunk := response.raw.read(_CHUNK_BYTES, decode_content=False):
                body += chunk
                if len(body) > BODY_BYTES_MOST:
                    return Lost(Loss.TOO_LARGE, call.sent)
            # What is cut off at the deadline can look like an end.
            if call.expired:
                return Lost(Loss.TIMED_OUT, call.sent)
            return Answer(response.status_code, bytes(body))
        finally:
            response.close()


def _trusting(ca: Path | None) -> ssl.SSLContext:
    # Not `create_default_context`, which lets a variable have session keys written to a file.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.load_default_certs()
    try:
        if ca is not None:
            context.load_verify_locations(cafile=ca)
    except (OSError, ValueError):
        raise ConfigError(
            "--webapp-ca holds no certificate that can be read: give the CA's certificate in PEM."
        ) from None
    return context


@contextmanager
def _under_way(until: float) -> Iterator[_Call]:
    call = _Call()
    token = _CALL.set(call)
    timer = threading.Timer(max(until - time.monotonic(), 0), call.end)
    timer.daemon = True
    timer.start()
    try:
        yield call
    finally:
        timer.cancel()
        _CALL.reset(token)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that are inside it, the outermost first."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            inner = (*one.args, getattr(one, "reason", None), one.__cause__, one.__context__)
            waiting += [each for each in inner if isinstance(each, BaseException)]


def _loss(error: BaseException, call: _Call) -> Loss:
    if call.expired:
        return Loss.TIMED_OUT
    causes = list(_causes(error))
    for kinds, how in (
        (ssl.SSLCertVerificationError, None),
        (socket.gaierror, Loss.UNRESOLVED),
        (ConnectionRefusedError, Loss.REFUSED),
        (TimeoutError, Loss.TIMED_OUT),
        ((ssl.SSLEOFError, ssl.SSLZeroReturnError), Loss.HUNG_UP),
        (ssl.SSLError, Loss.NO_TLS),
        (ConnectionError, Loss.HUNG_UP),
        ((BadStatusLine, LineTooLong, UnknownProtocol), Loss.NOT_HTTP),
    ):
        for cause in causes:
            if isinstance(cause, kinds):
                return how or _certificate(cause)
    return Loss.HUNG_UP if call.sent else Loss.UNREACHABLE


def _certificate(error: BaseException) -> Loss:
    code = getattr(error, "verify_code", 0)
    if code == _EXPIRED:
        return Loss.CERTIFICATE_EXPIRED
    if code == _NOT_YET_VALID:
        return Loss.CERTIFICATE_NOT_YET_VALID
    if code in _OTHER_HOST:
        return Loss.CERTIFICATE_OF_OTHER_HOST
    if code in _UNKNOWN_ISSUER:
        return Loss.CERTIFICATE_OF_UNKNOWN_ISSUER
    return Loss.CERTIFICATE_REFUSED
