"""What an answer of the client's API means: a document, or trouble in one sentence.

`once` says of a request that it must not be made twice, since each one begins something. Trouble
with it tells whether it may have been `started`: not where nothing was sent, nor where the answer
is a documented refusal.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from harness.errors import WebappError, WebappUnreachableError
from harness.maintenance import webapp_sentences as sentences
from harness.maintenance import webapp_shapes as shapes
from harness.maintenance.webapp_connection import Answer, Loss, Lost
from harness.maintenance.webapp_shapes import Document

_PASSING: Final = frozenset({Loss.REFUSED, Loss.UNREACHABLE, Loss.UNRESOLVED, Loss.HUNG_UP})
_BUSY: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_BUSY_CODES: Final = frozenset({sentences.TOO_MANY, sentences.OVERLOADED})
_NOT_TAKEN: Final = range(300, 500)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a request was not carried out, or may not have been; a value until it is raised."""

    sentence: str
    code: int = 0
    status: int = 0
    unreachable: bool = False
    started: bool = False
    passing: bool = False

    @property
    def is_unauthorized(self) -> bool:
        """Whether the token, or the credentials, were refused; what was asked for was not done."""
        return self.status == HTTPStatus.UNAUTHORIZED or self.code == sentences.TOKEN_REFUSED

    def error(self) -> WebappError:
        """Return it as what is raised in the end, without the exception that it came from."""
        kind = WebappUnreachableError if self.unreachable else WebappError
        return kind(self.sentence, code=self.code, started=self.started)


class TroubleError(Exception):
    """Trouble on its way through stamina; nobody else sees it."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.sentence)
        self.trouble = trouble


def understood(outcome: Answer | Lost, *, once: bool) -> dict[str, object] | Trouble:
    """Return the document of an answer, or why there is none."""
    if isinstance(outcome, Lost):
        return _lost(outcome, once=once)
    is_taken = 200 <= outcome.status < 300  # noqa: PLR2004
    if is_taken and not outcome.body:
        return {}
    try:
        document = json.loads(outcome.body)
    except (ValueError, RecursionError):
        return _foreign(outcome, once=once)
    if not isinstance(document, dict):
        return _foreign(outcome, once=once)
    if found := shapes.codes(document):
        return _refused(outcome.status, found[0], document, once=once)
    return document if is_taken else _foreign(outcome, once=once)


def _lost(outcome: Lost, *, once: bool) -> Trouble:
    return Trouble(
        sentences.LOSSES[outcome.how],
        unreachable=True,
        started=once and outcome.sent,
        passing=outcome.how in _PASSING and not (once and outcome.sent),
    )


def _refused(status: int, code: int, document: Document, *, once: bool) -> Trouble:
    """Tell an error of the API's own; a documented one says that nothing was begun."""
    sentence = sentences.CODES.get(code) or sentences.UNKNOWN_CODE.format(code=code)
    if code == sentences.INTERNAL and shapes.lacks_coreapp(document):
        sentence = sentences.NO_COREAPP
    return Trouble(
        sentence,
        code,
        status,
        started=once and code not in sentences.CODES and status not in _NOT_TAKEN,
        passing=code in _BUSY_CODES or (status in _BUSY and not once),
    )


def _foreign(answer: Answer, *, once: bool) -> Trouble:
    """Tell an answer that is not the API's: a proxy or another server may have given it."""
    status, page = answer.status, answer.body.lstrip()[:1] == b"<"
    if status in _BUSY:
        sentence = sentences.BUSY.format(status=status)
    elif 300 <= status < 400:  # noqa: PLR2004
        sentence = sentences.REDIRECT
    elif page:
        sentence = sentences.HTML
    elif 200 <= status < 300:  # noqa: PLR2004
        sentence = sentences.NOT_JSON
    else:
        sentence = sentences.UNKNOWN_STATUS.format(status=status)
    return Trouble(
        sentence,
        status=status,
        started=once and status not in _NOT_TAKEN,
        passing=status in _BUSY and not once,
    )
