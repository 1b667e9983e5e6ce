"""When garbage was last collected to the end, as far as sessions of this harness tell.

A session that asked the client for it leaves `collection.json` in its folder. What somebody
asked the client for by other means is not known here.
"""

from __future__ import annotations

import json
import os
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from harness import clock
from harness.evidence.session import SESSION_NAME
from harness.model.collected import Collected, Garbage

if TYPE_CHECKING:
    from pathlib import Path

    from harness.evidence.session import Session

NAME: Final = "collection.json"
_FORMAT: Final = 1
_LARGEST_SIZE_BYTES: Final = 64 * 1024
_AT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_TYPES: Final = {
    "format": int,
    "server": str,
    "prefix": str,
    "at": str,
    "garbage": str,
    "complete": bool,
    "confirmed": bool,
}


def write(session: Session, collected: Collected, *, server: str, prefix: str) -> Path:
    """Leave in a session's folder what became of a collection, and return the file's path.

    Args:
        session: The session that asked for it.
        collected: How it ended.
        server: The digest that names the database server.
        prefix: The store set's prefix there.

    Raises:
        EvidenceError: The file cannot be written.
    """
    document = {
        "format": _FORMAT,
        "server": server,
        "prefix": prefix,
        "at": collected.at,
        "garbage": collected.garbage.value,
        "complete": collected.complete and (collected.confirmed or _fell(collected)),
        "confirmed": collected.confirmed,
    }
    return session.write_json(NAME, document)


def _fell(collected: Collected) -> bool:
    """Tell whether the client counted less after than before: else nobody knows that it did."""
    before, after = collected.rows_before, collected.rows_after
    return before is not None and after is not None and after < before


def last(reports: Path, server: str, prefix: str) -> str:
    """Return when messages were last collected to the end on a server, in UTC; empty if never.

    A session that was resumed may have collected later than one that was begun after it, so all
    are looked at. What is damaged, is a link, or is dated in the future tells nothing.
    """
    wanted = {
        "server": server,
        "prefix": prefix,
        "garbage": Garbage.MESSAGES.value,
        "complete": True,
    }
    found = (_document(reports / name) for name in _sessions(reports))
    times = [
        str(document["at"])
        for document in found
        if document and all(document[field] == value for field, value in wanted.items())
    ]
    return max((at for at in times if at <= clock.now()), default="")


def _sessions(reports: Path) -> list[str]:
    try:
        with os.scandir(reports) as entries:
            return [
                entry.name
                for entry in entries
                if SESSION_NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []  # no folder, no sessions


def _document(folder: Path) -> dict[str, Any] | None:
    """Return what a session left, or None where it left nothing that can be believed."""
    try:
        descriptor = os.open(
            folder / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
        with os.fdopen(descriptor, "rb") as stream:
            document = json.loads(stream.read(_LARGEST_SIZE_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    well_formed = all(type(document.get(name)) is kind for name, kind in _TYPES.items())
    if not well_formed or document["format"] != _FORMAT or not _is_time(document["at"]):
        return None
    return document


def _is_time(text: str) -> bool:
    if not _AT.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
