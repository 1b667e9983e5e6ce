"""The client's API, as far as maintenance needs it: `Webapp`.

What is asked for once more: looking, logging in and marking read after a lost connection, 429
and 503, since a second time changes nothing. Starting a collection only where the first request
was certainly not taken: nothing of it was sent, or the answer is a documented refusal. Otherwise
its error says `started`, since it may have been begun.
"""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Self, TypeVar
from urllib.parse import quote

import stamina

from harness import clock
from harness.config import WebappConfig
from harness.errors import WebappDeniedError, WebappError
from harness.maintenance import webapp_sentences as sentences
from harness.maintenance import webapp_shapes as shapes
from harness.maintenance.webapp_answers import Trouble, TroubleError, understood
from harness.maintenance.webapp_connection import Connection, Loss, Lost, Request
from harness.maintenance.webapp_shapes import ClientSupport, Document, ShapeError, Statistics
from harness.model import ClientNode, ClientSeen, Garbage, Secret

_Value = TypeVar("_Value")
_ATTEMPTS: Final = 4
_WAIT_S: Final = (0.2, 2.0, 0.5)
_MESSAGE_ID: Final = re.compile(r"[!-~]{1,1024}")
# The credentials that every client is installed with, from its public reference.
_DEFAULT: Final = ("admin", "secret")


class Webapp:
    """The API of one client; not for several threads at once.

    It logs in by itself on first use, and keeps the token in memory only. `timeout_s` bounds each
    call as a whole, with logging in and trying again. Each method raises WebappError, or its kind
    WebappUnreachableError, in one sentence with the way out.
    """

    def __init__(
        self, config: WebappConfig, *, timeout_s: float = 60.0, attempts: int = _ATTEMPTS
    ) -> None:
        self._config = config
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._connection = Connection(config.url, config.ca)
        self._token: Secret | None = None
        self._version = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the token, and close the connection."""
        self._token = None
        self._connection.close()

    @property
    def version(self) -> str:
        """The client's version, from its last answer; empty before, and where it tells none."""
        return self._version

    def login(self) -> None:
        """Log in, for a fresh token; a password is never set or changed.

        Raises:
            WebappDeniedError: The credentials are not taken.
            WebappError: It did not come to that.
        """
        trouble = self._logged_in(time.monotonic() + self._timeout_s)
        if trouble and trouble.sentence in sentences.NOT_LET_IN:
            raise WebappDeniedError(trouble.sentence, code=trouble.code)
        if trouble:
            raise trouble.error()

    def health(self) -> tuple[ClientNode, ...]:
        """Return the client's containers and whether they are connected."""
        return self._shaped(shapes.nodes, self._ask("GET", "/v1/health"))

    def statistics(self) -> Statistics:
        """Return what the client counts in its stores; on a large one that takes a while."""
        return self._shaped(shapes.statistics, self._ask("GET", "/v1/stats/db"))

    def settings(self) -> dict[str, object]:
        """Return the application settings, all of them: not to be shown, some are personal."""
        return self._shaped(shapes.application, self._ask("GET", "/v1/settings/application"))

    def settings_seen(self) -> tuple[tuple[str, bool], ...]:
        """Return the settings that collection depends on, by dotted name; absent ones left out."""
        return self._shaped(shapes.settings_seen, self.settings())

    def support(self) -> tuple[ClientSupport, ...]:
        """Return each container's engine and the versions of its schemas."""
        return self._shaped(shapes.support, self._ask("GET", "/v1/support"))

    def seen(self, run: str) -> ClientSeen:
        """Return the client as its API shows it now."""
        nodes, settings, counted = self.health(), self.settings_seen(), self.statistics()
        return ClientSeen(
            run=run,
            at=clock.now(),
            version=self._version,
            nodes=nodes,
            settings=settings,
            messages=counted.messages,
            pending_callbacks=counted.pending_callbacks,
            pending_messages=counted.pending_messages,
        )

    def start(self, garbage: Garbage) -> tuple[str, ...]:
        """Start a collection; return the names of its Coreapps, one empty name for a single one.

        Raises:
            WebappError: It did not start, or it is not known; `started` tells which.
        """
        path = f"/v1/services/{shapes.SERVICES[garbage]}/gc"
        document = self._ask("PUT", path, once=True)
        going, idle = self._shaped(
            lambda found: shapes.begun(found, garbage), document, started=True
        )
        if idle:
            raise WebappError(
                f"The collection has begun on {len(going)} of {len(going) + len(idle)} Coreapps: "
                "look at the logs of the others.",
                started=bool(going),
            )
        return going

    def mark_read(self, message_id: str) -> bool:
        """Mark an inbound message read; return whether the client still has it."""
        if not _MESSAGE_ID.fullmatch(message_id) or message_id in {".", ".."}:
            raise WebappError("A message's id is not one: look where the ids come from.")
        path = f"/v1/messages/{quote(message_id, safe='')}"
        outcome = self._outcome("PUT", path, {"status": "read"}, once=False)
        if isinstance(outcome, Trouble):
            # An id that is not there is answered in the API's own form, not by just any server.
            if outcome.code == sentences.NOT_FOUND:
                return False
            raise outcome.error()
        return True

    def webhook(self) -> str:
        """Return where notifications go; for a disposable client only, since it is shown."""
        hooks = self.settings().get("webhooks")
        url = hooks.get("url") if isinstance(hooks, dict) else None
        return url if isinstance(url, str) else ""

    def set_webhook(self, url: str) -> None:
        """Set where notifications go: for a disposable client only, a real one's is its owner's."""
        self._ask("PATCH", "/v1/settings/application", {"webhooks": {"url": url}})

    def _ask(
        self,
        method: str,
        path: str,
        body: dict[str, object] | None = None,
        *,
        once: bool = False,
    ) -> dict[str, object]:
        outcome = self._outcome(method, path, body, once=once)
        if isinstance(outcome, Trouble):
            raise outcome.error()
        return outcome

    def _outcome(
        self, method: str, path: str, body: dict[str, object] | None, *, once: bool
    ) -> dict[str, object] | Trouble:
        until = time.monotonic() + self._timeout_s
        if self._token is None and (trouble := self._logged_in(until)):
            return trouble
        outcome = self._persistent(lambda: self._authorized(method, path, body), until, once=once)
        if isinstance(outcome, dict) or not outcome.is_unauthorized:
            return outcome
        # What is refused for its token was not carried out, so that anything may be repeated.
        if trouble := self._logged_in(until):
            return trouble
        outcome = self._persistent(lambda: self._authorized(method, path, body), until, once=once)
        if isinstance(outcome, Trouble) and outcome.is_unauthorized:
            return replace(outcome, sentence=sentences.EXPIRED_AT_ONCE)
        return outcome

    def _authorized(self, method: str, path: str, body: dict[str, object] | None) -> Request:
        token = self._token.reveal() if self._token else ""
        return Request(method, path, f"Bearer {token}", body)

    def _logged_in(self, until: float) -> Trouble | None:
        self._token = None
        outcome = self._persistent(self._credentials, until, once=False)
        if isinstance(outcome, Trouble):
            return self._not_let_in(outcome)
        try:
            self._token = shapes.token(outcome)
        except ShapeError as error:
            return Trouble(sentences.SHAPE.format(what=error))
        return None

    def _credentials(self) -> Request:
        pair = f"{self._config.username}:{self._config.password.reveal()}"
        return Request("POST", "/v1/users/login", f"Basic {b64encode(pair.encode()).decode()}")

    def _not_let_in(self, trouble: Trouble) -> Trouble:
        """Tell a password that must first be changed from a wrong one, and both from the rest."""
        denied = trouble.code == sentences.DENIED
        given = (self._config.username, self._config.password.reveal())
        refused = denied or trouble.is_unauthorized
        if trouble.code == sentences.PARAMETER_MISSING or (refused and given == _DEFAULT):
            return replace(trouble, sentence=sentences.DEFAULT_IN_FORCE)
        if denied:
            # Nothing was found about the code for a first login; 1005 is listed for wrong
            # credentials too.
            return replace(trouble, sentence=sentences.DENIED_AT_LOGIN)
        if refused:
            return replace(trouble, sentence=sentences.WRONG_CREDENTIALS)
        return trouble

    def _persistent(
        self, request: Callable[[], Request], until: float, *, once: bool
    ) -> dict[str, object] | Trouble:
        """Make a request, and again where that is safe and may help."""
        first_s, most_s, jitter_s = _WAIT_S
        attempts = stamina.retry_context(
            on=_may_pass,
            attempts=self._attempts,
            timeout=max(until - time.monotonic(), 0.001),
            wait_initial=first_s,
            wait_max=most_s,
            wait_jitter=jitter_s,
        )
        try:
            for attempt in attempts:
                with attempt:
                    return self._attempted(request(), until, once=once)
        except TroubleError as error:
            return error.trouble
        return understood(Lost(Loss.TIMED_OUT, sent=False), once=once)

    def _attempted(self, request: Request, until: float, *, once: bool) -> dict[str, object]:
        if once:
            # A kept connection that has just been closed at the other end looks like a hang-up.
            self._connection.close()
        outcome = understood(self._connection.exchange(request, until), once=once)
        if isinstance(outcome, Trouble):
            raise TroubleError(outcome)
        self._version = shapes.version(outcome) or self._version
        return outcome

    def _shaped(
        self, parse: Callable[[Document], _Value], document: Document, *, started: bool = False
    ) -> _Value:
        try:
            return parse(document)
        except ShapeError as error:
            what = str(error)
        raise WebappError(sentences.SHAPE.format(what=what), started=started)


def _may_pass(error: Exception) -> bool:
    return isinstance(error, TroubleError) and error.trouble.passing
