"""Notifications to the site's own webhook, one per Coreapp and collection."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import requests

from harness.model import Garbage
from harness.webapp.answers import INTERNAL, Document, error

_TIMEOUT_S: Final = 5
_NOUNS: Final = {Garbage.MESSAGES: "message", Garbage.MEDIA: "media"}
_COUNTS: Final = {Garbage.MESSAGES: "messages_deleted", Garbage.MEDIA: "items_deleted"}


def noun(what: Garbage) -> str:
    """Return what the API calls the service that collects this."""
    return _NOUNS[what]


def completed(what: Garbage, deleted: int, node: str) -> Document:
    """Return the notification of a collection that went through; `node` empty in a single one."""
    told: Document = {_COUNTS[what]: deleted, **({"node": node} if node else {})}
    return _of(what, {**told, "status": "complete"})


def failed(what: Garbage, node: str) -> Document:
    """Return the notification of a collection that failed.

    That the errors stand beside the status is a choice of this stand-in's.
    """
    told: Document = {"errors": [error(INTERNAL, "The collection was not completed.")]}
    return _of(what, {**told, **({"node": node} if node else {}), "status": "failed"})


def _of(what: Garbage, told: Document) -> Document:
    return {"services": [{noun(what): {"gc": told}}]}


def post(url: str, document: Document, ca: Path | None) -> bool:
    """Post a notification; tell whether it was taken."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            taken = session.post(
                url, json=document, timeout=_TIMEOUT_S, verify=str(ca) if ca else True
            )
        except requests.RequestException:
            return False
    return taken.ok
