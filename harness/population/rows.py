"""A world -> the rows that it leaves in every store.

Each cell knows whom it names, so what is planted is known without searching: the oracle for
the sweep never uses the sweep.
"""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from harness.model import SeedRow
from harness.population.people import Person
from harness.population.world import Event, EventKind, Group, World

_EPOCH_S: Final = 1_700_000_000
_OWN_IDENTITY: Final = -1
_SHARDS: Final = 4
_MEDIA: Final = "/usr/local/wamedia/shared"
_DEVICES: Final = (0, 10_002)


def rows_of(world: World) -> tuple[SeedRow, ...]:
    """Return the rows of a world, in an order that can be inserted."""
    return tuple(draft.seed(world.subject) for draft in (*_installation(), *_drafts(world)))


def media_of(world: World) -> Iterator[tuple[Event, str, bytes]]:
    """Yield the files of the media volume: the message that leads to each, its path, its content.

    A message that names a third person names them in place of a file.
    """
    for serial, event in enumerate(world.events):
        if event.kind is EventKind.MEDIA and not event.named:
            name, content = _file(serial)
            yield event, f"shared/{name}", content


def _drafts(world: World) -> Iterator[_Draft]:
    for person in world.people:
        yield from _person(person)
    for group in world.groups:
        yield from _group(group)
    for serial, event in enumerate(world.events):
        yield from _EVENTS[event.kind](event, serial)


@dataclass(frozen=True, slots=True, repr=False)
class _Cell:
    """A value and the persons whose number it holds."""

    value: int | float | str | bytes | None
    who: tuple[Person, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class _Draft:
    """A row before it is known who the subject is."""

    store: str
    table: str
    cells: dict[str, _Cell]

    def seed(self, subject: Person) -> SeedRow:
        values = {name: cell.value for name, cell in self.cells.items()}
        planted = (name for name, cell in self.cells.items() if subject in cell.who)
        return SeedRow(self.store, self.table, values, frozenset(planted))


def _draft(store: str, table: str, **cells: _Cell | float | str | bytes | None) -> _Draft:
    made = {name: cell if isinstance(cell, _Cell) else _Cell(cell) for name, cell in cells.items()}
    return _Draft(store, table, made)


# --- cells ----------------------------------------------------------------------------------


def _jid(person: Person) -> _Cell:
    return _Cell(person.jid, (person,))


def _group_jid(group: Group) -> _Cell:
    return _Cell(group.jid, (group.creator,))


def _chat(event: Event) -> _Cell:
    return _group_jid(event.group) if event.group else _jid(event.peer)


def _mentioned(event: Event) -> _Cell:
    """The JIDs that a message mentions: in a group, of whoever is named and of its maker."""
    who = dict.fromkeys((*_who(event.named), *(_who(event.group.creator) if event.group else ())))
    if not event.named:
        return _Cell(None)
    return _Cell(",".join(one.jid for one in who), tuple(who))


def _sentence(named: Person | None) -> _Cell:
    if named is None:
        return _Cell("See you tomorrow, café at 9:30?")
    return _Cell(f"Call {named.name} on {named.phone}, please.", (named,))


def _vcard(named: Person | None) -> _Cell:
    if named is None:
        return _Cell(None)
    lines = (
        "BEGIN:VCARD",
        "VERSION:3.0",
        f"FN:{named.name}",
        f"TEL;type=CELL;waid={named.number}:{named.phone}",
        "END:VCARD",
    )
    return _Cell("\n".join(lines), (named,))


def _blob(named: Person | None, serial: int) -> _Cell:
    noise = random.Random(serial).randbytes(12)
    # Bytes above 0x7F on both sides, so that the number's digits are bounded.
    middle = named.jid.encode() if named else b""
    return _Cell(
        b"\x8a" + noise[:6] + b"\xff" + middle + b"\xfe" + noise[6:] + b"\xff", _who(named)
    )


def _who(named: Person | None) -> tuple[Person, ...]:
    return (named,) if named else ()


def _message_id(peer: Person, serial: int, *, from_me: bool) -> _Cell:
    """A base64 message id that embeds the peer's number as packed decimals, f-padded."""
    packed = bytes.fromhex(peer.jid_number + "f" * (len(peer.jid_number) % 2))
    # That the third byte tells the size is inferred from samples of one size.
    head = bytes((0x00 if from_me else 0x80, 0x11, 0x80 | len(packed)))
    # In every sample a 2 follows the number.
    tail = b"\x02" + random.Random(serial).randbytes(8)
    return _Cell(base64.b64encode(head + packed + tail).decode("ascii"), (peer,))


def _payload(event: Event, message_id: _Cell, serial: int) -> _Cell:
    """A webhook notification as the client would post it."""
    body: dict[str, Any] = {
        "contacts": [{"profile": {"name": event.peer.name}, "wa_id": event.peer.jid_number}],
        "messages": [
            {
                "from": event.peer.jid_number,
                "id": message_id.value,
                "timestamp": str(_EPOCH_S + serial),
                "type": "text",
                "text": {"body": str(_sentence(event.named).value)},
            }
        ],
    }
    if event.named:
        phones = [{"phone": event.named.phone, "type": "CELL", "wa_id": event.named.jid_number}]
        body["messages"][0]["contacts"] = [{"phones": phones}]
    return _Cell(json.dumps(body), (event.peer, *_who(event.named)))


def _file(serial: int) -> tuple[str, bytes]:
    """Return the UUID that names a media file, and its content."""
    made = random.Random(serial)
    return str(uuid.UUID(bytes=made.randbytes(16), version=4)), made.randbytes(2_048 + serial)


def _at_ms(serial: int) -> int:
    return (_EPOCH_S + serial) * 1000


# --- rows -----------------------------------------------------------------------------------


def _installation() -> Iterator[_Draft]:
    """Rows that belong to nobody: the installation's own identity, keys, cluster, settings."""
    key = random.Random(0).randbytes(33)
    yield _draft(
        "axolotlStore",
        "identities",
        recipient_id=_OWN_IDENTITY,
        registration_id=4711,
        public_key=key,
        private_key=key[::-1],
        next_prekey_id=2,
        timestamp=_at_ms(0),
    )
    yield _draft("axolotlStore", "prekeys", prekey_id=1, sent_to_server=1, record=key)
    yield _draft("axolotlStore", "signed_prekeys", prekey_id=0, timestamp=_at_ms(0), record=key)
    yield _draft("clusterStore", "nodes", node_id="wacore1", address="wacore1:6252", role="primary")
    yield _draft("clusterStore", "cluster_info", name="num_shards", value=str(_SHARDS))
    for shard in range(_SHARDS):
        yield _draft("clusterStore", "shard_map", shard=shard, node_id="wacore1")
    yield _draft("configStore", "settings", name="callback_backoff_delay_ms", value="3000")


def _person(person: Person) -> Iterator[_Draft]:
    """Rows that exist because somebody is known to the installation."""
    given, family = person.name.split(" ", 1)
    number = _Cell(int(person.jid_number), (person,))
    record = random.Random(int(person.number)).randbytes(40)
    yield _draft(
        "contactStore",
        "wa_contacts",
        jid=_jid(person),
        is_whatsapp_user=1,
        status="Hey there!",
        number=_Cell(person.phone, (person,)),
        display_name=person.name,
        given_name=given,
        family_name=family,
        wa_name=f"~{given}",
        sort_name=family,
    )
    yield _draft(
        "contactStore",
        "wa_phones",
        phone_number=_Cell(person.phone, (person,)),
        jid=_jid(person),
        timestamp=_at_ms(0),
    )
    yield _draft(
        "axolotlStore",
        "identities",
        recipient_id=number,
        registration_id=1,
        public_key=record[:33],
        timestamp=_at_ms(0),
    )
    for device in _DEVICES:
        yield _draft(
            "axolotlStore", "sessions", recipient_id=number, device_id=device, record=record
        )
    wa_id = _Cell(person.jid_number, (person,))
    yield _draft("waweb", "contacts", wa_id=wa_id, name=person.name, joined=_at_ms(0))
    yield _draft(
        "messageStore",
        "chats",
        key_remote_jid=_jid(person),
        message_table_id=1,
        creation=_at_ms(0),
        sort_timestamp=_at_ms(1),
        archived=0,
    )


def _group(group: Group) -> Iterator[_Draft]:
    """Rows that exist because a group exists: the chat, its members, their sender keys."""
    friend = group.named_after or group.creator
    yield _draft(
        "messageStore",
        "chats",
        key_remote_jid=_group_jid(group),
        subject=_Cell(f"Friends of {friend.number}", (friend,)),
        creation=group.created_s * 1000,
        group_creator=None if group.named_after else _jid(group.creator),
    )
    for member in group.members:
        jids = {"gjid": _group_jid(group), "jid": _jid(member)}
        when = group.created_s * 1000
        yield _draft("messageStore", "group_participants_history", **jids, action=1, timestamp=when)
        yield _draft(
            "messageStore", "sender_key_distribution_status", **jids, status=1, timestamp=when
        )
        yield _draft(
            "axolotlStore",
            "sender_keys",
            group_id=_group_jid(group),
            sender_id=_Cell(int(member.jid_number), (member,)),
            record=random.Random(group.created_s).randbytes(24),
        )


def _message(event: Event, serial: int) -> Iterator[_Draft]:
    """A message and all that trails it: receipts, the pending action, the base key."""
    chat = _chat(event)
    sender = _jid(event.peer) if event.group else _Cell(None)
    forwarded = event.named if event.kind is EventKind.FORWARD else None
    message_id = _message_id(forwarded or event.peer, serial, from_me=False)
    key = {"key_remote_jid": chat, "key_id": message_id}
    yield _draft(
        "messageStore",
        "messages",
        **key,
        key_from_me=0,
        status=0,
        data=_sentence(event.named),
        timestamp=_at_ms(serial),
        media_wa_type="0",
        latitude=48.8583701 + serial / 1000,
        longitude=2.2944813,
        remote_resource=sender,
        received_timestamp=_at_ms(serial),
        raw_data=_blob(event.named, serial),
        mentioned_jids=_mentioned(event),
    )
    yield _draft(
        "messageStore",
        "messages_pending_actions",
        **key,
        key_from_me=0,
        remote_resource=sender,
        action=2,
        timestamp=_at_ms(serial),
    )
    yield _draft(
        "messageStore",
        "messages_receipt_log",
        **key,
        key_from_me=0,
        remote_resource=sender,
        status=5,
        timestamp=_at_ms(serial),
    )
    yield _draft(
        "messageStore",
        "receipts",
        **key,
        remote_resource=sender,
        receipt_device_timestamp=_at_ms(serial),
    )
    yield _draft(
        "axolotlStore",
        "message_base_key",
        msg_key_remote_jid=chat,
        msg_key_from_me=0,
        msg_key_id=message_id,
        last_alice_base_key=random.Random(serial).randbytes(33),
        timestamp=_at_ms(serial),
    )


def _media(event: Event, serial: int) -> Iterator[_Draft]:
    named = event.named
    file, content = _file(serial)
    url, name = f"{_MEDIA}/{file}", "IMG-holiday.jpg"
    if named:
        url, name = f"/v1/media/{named.number}", f"IMG-{named.number}.jpg"
    yield _draft(
        "messageStore",
        "messages",
        key_remote_jid=_chat(event),
        key_from_me=1,
        key_id=_message_id(event.peer, serial, from_me=True),
        data=_vcard(named),
        timestamp=_at_ms(serial),
        media_url=_Cell(url, _who(named)),
        media_mime_type="image/jpeg",
        media_wa_type="1",
        media_size=len(content),
        media_name=_Cell(name, _who(named)),
        media_caption=_sentence(named),
        media_hash=None if named else base64.b64encode(sha256(content).digest()).decode("ascii"),
        thumb_image=_blob(named, serial),
        remote_resource=_jid(event.peer) if event.group else None,
    )


def _callback(event: Event, serial: int) -> Iterator[_Draft]:
    yield _draft(
        "callbackStore",
        "queue",
        key_remote_jid=_chat(event),
        callback_type="message",
        payload=_payload(event, _message_id(event.peer, serial, from_me=False), serial),
        attempts=serial % 3,
        created_timestamp=_at_ms(serial),
    )


def _job(event: Event, serial: int) -> Iterator[_Draft]:
    parameters = json.dumps({"job": "send_receipt", "to": event.peer.jid_number})
    yield _draft(
        "jobqueueStore",
        "jobs",
        name="send_receipt",
        parameters=_Cell(parameters, (event.peer,)),
        serialized=_blob(event.named or event.peer, serial),
        run_at=_at_ms(serial),
    )


_EVENTS: Final[dict[EventKind, Callable[[Event, int], Iterator[_Draft]]]] = {
    EventKind.DIRECT: _message,
    EventKind.FORWARD: _message,
    EventKind.GROUP: _message,
    EventKind.MEDIA: _media,
    EventKind.CALLBACK: _callback,
    EventKind.JOB: _job,
}
