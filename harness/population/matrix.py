"""The encoding matrix: every way to write a number, each alone in a cell, for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from harness.model import SeedRow
from harness.population.encodings import ENCODINGS, Encoding, Surface
from harness.population.people import Person, neighbours, person

_COLUMNS: Final = {
    Surface.TEXT: ("messageStore", "messages", "data"),
    Surface.JSON: ("callbackStore", "queue", "payload"),
    Surface.BLOB: ("messageStore", "messages", "raw_data"),
    Surface.INTEGER: ("axolotlStore", "sessions", "recipient_id"),
}


def matrix(subject: Person) -> tuple[SeedRow, ...]:
    """Return a row for each encoding of the subject's number, and of each neighbour's."""
    return tuple(
        row
        for serial, who in enumerate((subject, *neighbours(subject)))
        for row in _rows(who, serial, whose=subject)
    )


def _rows(who: Person, serial: int, whose: Person) -> Iterator[SeedRow]:
    for place, encoding in enumerate(ENCODINGS):
        store, table, column = _COLUMNS[encoding.surface]
        values = _around(encoding, f"{serial}.{place}") | {column: encoding.write(who.number)}
        if who is whose:
            forms = tuple((column, form) for form in encoding.forms)
            yield SeedRow(store, table, values, frozenset({column}), forms)
        else:
            yield SeedRow(store, table, values)


def _around(encoding: Encoding, key: str) -> dict[str, int | float | str | bytes | None]:
    """Return what else the row must have: the chat of somebody who has nothing to do with it."""
    if encoding.surface is Surface.INTEGER:
        return {"device_id": 1, "record": b"\x01"}
    chat = {"key_remote_jid": person(1).jid}
    if encoding.surface is Surface.JSON:
        return {**chat, "callback_type": "message"}
    return {**chat, "key_from_me": 0, "key_id": key}
