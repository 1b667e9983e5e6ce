"""Logging in: one user, a password, and tokens that expire after seven days."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import string
import threading
from datetime import UTC, datetime, timedelta
from typing import Final

from harness.webapp.answers import DENIED, INVALID, NOT_LOGGED_IN, Document, RefusedError

_VALID_FOR: Final = timedelta(days=7)
_SHORTEST, _LONGEST = 8, 64
_KINDS: Final = (string.digits, string.ascii_lowercase, string.ascii_uppercase, string.punctuation)


class Accounts:
    """Who may ask for something.

    Choices of this stand-in's, where nothing was found: a first login that brings no new
    password is refused with 1005, a new password that is not strong enough with 1009, a wrong
    password and whatever is wrong with a token with 1024.
    """

    def __init__(self, username: str, password: str, *, first_login: bool) -> None:
        self.username = username
        self.password = password
        self._first_login = first_login
        self._tokens: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def log_in(self, authorization: str, body: object) -> Document:
        """Return a new token, as a user of the answer.

        Raises:
            RefusedError: The password is wrong, or a new one is wanted.
        """
        if not self._is_right(authorization):
            raise RefusedError(NOT_LOGGED_IN, "The user name or the password is wrong.")
        new = body.get("new_password") if isinstance(body, dict) else None
        if new is not None and not is_strong(new):
            raise RefusedError(INVALID, "new_password is not strong enough.")
        with self._lock:
            if new is not None:
                self.password, self._first_login = str(new), False
            if self._first_login:
                raise RefusedError(DENIED, "The first login has to bring new_password.")
            token, expires = secrets.token_urlsafe(40), datetime.now(UTC) + _VALID_FOR
            self._tokens[token] = expires
        shown = expires.replace(microsecond=0, tzinfo=None).isoformat(sep=" ")
        return {"users": [{"token": token, "expires_after": f"{shown}+00:00"}]}

    def check(self, authorization: str, *, once: bool = False) -> None:
        """See that somebody is logged in; with `once`, they are not afterwards.

        Raises:
            RefusedError: There is no token, or it is unknown or expired.
        """
        token = _given("Bearer", authorization)
        with self._lock:
            expires = self._tokens.get(token)
            if once:
                self._tokens.pop(token, None)
        if expires is None or expires <= datetime.now(UTC):
            raise RefusedError(NOT_LOGGED_IN, "The token is missing, unknown or expired.")

    def log_out(self, authorization: str) -> None:
        """Forget a token."""
        with self._lock:
            self._tokens.pop(_given("Bearer", authorization), None)

    def expire(self) -> None:
        """Let every token that was given out expire."""
        with self._lock:
            self._tokens = dict.fromkeys(self._tokens, datetime.now(UTC))

    def _is_right(self, authorization: str) -> bool:
        try:
            given = base64.b64decode(_given("Basic", authorization), validate=True)
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(given, f"{self.username}:{self.password}".encode())


def is_strong(password: object) -> bool:
    """Tell whether a new password may be one: 8 to 64 characters, one of each kind."""
    return (
        isinstance(password, str)
        and _SHORTEST <= len(password) <= _LONGEST
        and all(any(one in kind for one in password) for kind in _KINDS)
    )


def _given(scheme: str, authorization: str) -> str:
    found, _, rest = authorization.partition(" ")
    return rest.strip() if found.lower() == scheme.lower() else ""
