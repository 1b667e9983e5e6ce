"""A crowd: any number of messages between people who are not the subject, made quickly.

What varies from row to row is taken from small pools, made once; what has to be unique is
spelled in letters, so that no serial number can be mistaken for a phone number. The same
arguments give the same rows in every session.
"""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Final

from harness.identity import GROUP_DOMAIN
from harness.population.people import CAPACITY, Person, person

Row = tuple[int | float | str | bytes | None, ...]

EVERY: Final = 6
"""One in so many of all synthetic people is in a crowd."""
SHARE: Final = 4
"""One message in so many has a receipt and an entry in the receipt log."""
MENTIONS: Final = 100
"""One other person's message for so many of the subject's own names the subject."""

_STORE: Final = "messageStore"
_EPOCH_MS: Final = 1_700_000_000_000
_STEP_MS: Final = 997
_STRIDE: Final = 7_919
_POOL: Final = 1_009
_BLOBS: Final = 257
_SYLLABLES: Final = 10_000
_SERIAL_LETTERS: Final = 6
# Of one case: a collation may take the other for the same.
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_DIGIT: Final = re.compile(rb"[0-9]")
_MESSAGE: Final = (
    "key_remote_jid",
    "key_from_me",
    "key_id",
    "status",
    "data",
    "timestamp",
    "media_wa_type",
    "origin",
    "latitude",
    "remote_resource",
    "received_timestamp",
    "receipt_server_timestamp",
    "raw_data",
    "mentioned_jids",
)
_RECEIPT: Final = ("key_remote_jid", "key_id", "remote_resource", "receipt_device_timestamp")
_LOG: Final = ("key_remote_jid", "key_from_me", "key_id", "remote_resource", "status", "timestamp")
_SAID: Final = (
    "Your order {order} has left our warehouse in Rotterdam and will be with you on Thursday.",
    "Thank you! I paid {order} yesterday evening, could you check whether it has arrived?",
    "Reminder: your appointment {order} is tomorrow at 9:30. Reply 1 to confirm, 2 to move it.",
    "Please call {name} on {phone} about {order}, they are at their desk until half past five.",
    "Dear {name}, the café at the corner is open again. Reference {order}, +10 % for members.",
    "C:\\Invoices\\{order}.pdf\tcannot be opened here;\nplease send it to {phone} once more.",
    "Hello 👋 is {order} still to be had in blue, size 42? I would come by on Saturday.",
    "{name} will be back on Monday. Until then write to {phone} and quote {order}, please.",
)


@dataclass(frozen=True, slots=True, repr=False)
class Bulk:
    """Many rows of one table: made anew each time `rows` is called, counted beforehand.

    `planted` tells how many cells of which column name the subject, `bystander_rows` how
    many rows do not.
    """

    store: str
    table: str
    columns: tuple[str, ...]
    rows: Callable[[], Iterator[Row]]
    bystander_rows: int
    planted: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Bulk({self.store}.{self.table}, {self.bystander_rows} bystander rows)"


def crowd(subject: Person, messages: int) -> tuple[Bulk, ...]:
    """Return messages between others, with receipts for some; none names the subject."""
    pools = _Pools(subject)
    some = messages // SHARE
    return (
        Bulk(_STORE, "messages", _MESSAGE, lambda: pools.messages(messages), messages),
        Bulk(_STORE, "receipts", _RECEIPT, lambda: pools.receipts(some), some),
        Bulk(_STORE, "messages_receipt_log", _LOG, lambda: pools.log(some), some),
    )


def messages_of(subject: Person, count: int) -> tuple[Bulk, ...]:
    """Return that many messages of the subject's own, and some of others that name them."""
    pools = _Pools(subject)
    mentions = -(-count // MENTIONS)
    own = {
        "key_remote_jid": count,
        "key_id": count,
        "data": mentions,
        "mentioned_jids": mentions,
    }
    others = {"data": mentions, "mentioned_jids": mentions}
    return (
        Bulk(_STORE, "messages", _MESSAGE, lambda: pools.own(count), 0, own),
        Bulk(_STORE, "messages", _MESSAGE, lambda: pools.mentions(mentions), 0, others),
    )


def numbers(subject: Person) -> frozenset[str]:
    """Return every number that a crowd around this subject holds, for redaction."""
    return frozenset(number for one in _others(subject) for number in one.numbers)


def _others(subject: Person) -> tuple[Person, ...]:
    people = map(person, range(0, CAPACITY, EVERY))
    return tuple(one for one in people if not one.numbers & subject.numbers)


class _Pools:
    """What rows are put together from, around one subject."""

    def __init__(self, subject: Person) -> None:
        draw = random.Random(0)
        people = _others(subject)
        self._subject = subject
        self._chats: list[tuple[str, str | None, str]]
        self._chats = [(one.jid, None, _head(one)) for one in people]
        self._chats += [
            (f"{one.jid_number}-{created_s}@{GROUP_DOMAIN}", draw.choice(people).jid, _head(one))
            for one in people[::2]
            for created_s in (1_500_000_000 + draw.randrange(10**8),)
        ]
        self._said = [_said(draw.choice(_SAID), draw.choice(people)) for _ in range(_POOL)]
        self._blobs = [
            _DIGIT.sub(b"\xff", draw.randbytes(24 + draw.randrange(32))) for _ in range(_BLOBS)
        ]
        syllables = ["".join(letters) for letters in product(_LETTERS, repeat=_SERIAL_LETTERS // 2)]
        self._syllables = draw.sample(syllables, _SYLLABLES)
        self._fours = [f"{n:04d}" for n in range(_SYLLABLES)]
        self._mentioned = [None, *(one.jid for one in people[:6])]

    def messages(self, count: int) -> Iterator[Row]:
        """Yield messages between others."""
        chats, said, blobs = self._chats, self._said, self._blobs
        syllables, fours, mentioned = self._syllables, self._fours, self._mentioned
        for serial in range(count):
            jid, sender, head = chats[serial * _STRIDE % len(chats)]
            before, after = said[serial % _POOL]
            high, low = divmod(serial, _SYLLABLES)
            at_ms = _EPOCH_MS + serial * _STEP_MS
            yield (
                jid,
                serial & 1,
                f"{head}{syllables[high]}{syllables[low]}",
                4,
                f"{before}A-{fours[high]}-{fours[low]}{after}",
                at_ms,
                "0",
                0,
                48.25,
                sender,
                at_ms + 812,
                at_ms + 1_733,
                blobs[serial % _BLOBS],
                None if sender is None else mentioned[serial % 7],
            )

    def receipts(self, count: int) -> Iterator[Row]:
        """Yield receipts for every fourth message."""
        for row in islice(self.messages(count * SHARE), 0, None, SHARE):
            yield row[0], row[2], row[9], row[10]

    def log(self, count: int) -> Iterator[Row]:
        """Yield entries of the receipt log for every fourth message."""
        for row in islice(self.messages(count * SHARE), 0, None, SHARE):
            yield row[0], row[1], row[2], row[9], 5, row[10]

    def own(self, count: int) -> Iterator[Row]:
        """Yield messages of the subject's own chat; one in a hundred names them once more."""
        subject, head = self._subject, _head(self._subject)
        for serial, row in enumerate(self.messages(count)):
            high, low = divmod(serial, _SYLLABLES)
            key_id = f"{head}{self._syllables[high]}{self._syllables[low]}"
            if serial % MENTIONS:
                yield subject.jid, row[1], key_id, *row[3:9], None, *row[10:13], None
            else:
                said = f"Call me on {subject.phone}, please."
                own = (subject.jid, row[1], key_id, row[3], said, *row[5:9])
                yield *own, None, *row[10:13], subject.jid

    def mentions(self, count: int) -> Iterator[Row]:
        """Yield messages of others that name the subject."""
        for row in self.messages(count):
            said = f"Please call {self._subject.name} on {self._subject.phone}."
            yield row[0], row[1], f"m{row[2]!s}", row[3], said, *row[5:13], self._subject.jid


def _head(peer: Person) -> str:
    """The first half of a message id, which embeds the peer's number as packed BCD."""
    packed = bytes.fromhex(peer.jid_number + "f" * (len(peer.jid_number) % 2))
    head = bytes((0x80, 0x11, 0x80 | len(packed)))
    return base64.b64encode(head + packed).decode("ascii").rstrip("=")


def _said(text: str, named: Person) -> tuple[str, str]:
    before, _, after = text.format(name=named.name, phone=named.phone, order="{}").partition("{}")
    return before, after
