"""The JSON of the client's API -> frozen values; nothing of it is kept that was not asked for.

Source: the examples in the client's public reference. With a single Coreapp an answer has its
values at once, with several ("multiconnect") one object for each, named host:container.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from harness.model import ClientNode, Garbage, NodeCollection, NodeOutcome, Secret

Document = Mapping[str, object]
SETTINGS: Final = (
    "pass_through",
    "db_garbagecollector_enable",
    "garbagecollector_enable.media",
    "garbagecollector_enable.messages",
)
"""The settings that garbage collection depends on, by dotted name."""
SERVICES: Final = {Garbage.MESSAGES: "message", Garbage.MEDIA: "media"}
"""What each kind of garbage is called in the API."""
_COUNTS: Final = (
    "db_messages",
    "db_message_receipts",
    "db_contacts",
    "db_pending_callbacks",
    "db_pending_messages",
)
_COUNTERS: Final = {"messages_deleted": Garbage.MESSAGES, "items_deleted": Garbage.MEDIA}
# What is taken over into evidence: names and words, and nothing that could be anything else.
_NAME: Final = re.compile(r"[\w.:-]{1,200}", re.ASCII)
_WORD: Final = re.compile(r"[a-z_ ]{0,40}")
_VERSION: Final = re.compile(r"v?[0-9]{1,6}(\.[0-9]{1,6}){1,4}(-[0-9A-Za-z.]{1,20})?")
_TOKEN: Final = re.compile(r"[\w.~+/=-]{1,8192}", re.ASCII)
_CODE_MOST: Final = 10**6
_COUNT_MOST: Final = 2**63


class ShapeError(ValueError):
    """A document is not what the API's reference shows; the text says where, and no content."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the client counts in its stores, all labels and nodes together; None where absent."""

    messages: int | None
    receipts: int | None
    contacts: int | None
    pending_callbacks: int | None
    pending_messages: int | None


@dataclass(frozen=True, slots=True, order=True)
class ClientSupport:
    """What one container tells for support: its engine and the version of each store's schema.

    The answer holds far more, the business's own phone number and the container's whole
    environment among it: none of that is kept.
    """

    node: str
    engine: str
    schemas: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """One notification that a collection has ended on one Coreapp."""

    garbage: Garbage
    node: NodeCollection


def token(document: Document) -> Secret:
    """Return the token that a login gave."""
    users = _list(document.get("users"), "users")
    first = _object(users[0] if users else None, "users[0]")
    found = first.get("token")
    if not isinstance(found, str) or not _TOKEN.fullmatch(found):
        raise ShapeError("users[0].token")
    return Secret(found)


def version(document: Document) -> str:
    """Return the version that stands in each answer; empty where it does not."""
    meta = document.get("meta")
    found = meta.get("version") if isinstance(meta, dict) else None
    return found if isinstance(found, str) and _VERSION.fullmatch(found) else ""


def codes(document: Document) -> tuple[int, ...]:
    """Return the codes of a document's errors, 0 for one that has none; empty without errors."""
    errors = document.get("errors")
    if not errors:
        return ()
    listed = errors if isinstance(errors, list) else [errors]
    return tuple(_code(error) for error in listed)


def lacks_coreapp(document: Document) -> bool:
    """Tell whether an error says that the Coreapp does not answer."""
    errors = document.get("errors")
    details = [
        str(error.get("details", ""))
        for error in (errors if isinstance(errors, list) else [])
        if isinstance(error, dict)
    ]
    return any("wacore" in text or "6252" in text for text in details)


def nodes(document: Document) -> tuple[ClientNode, ...]:
    """Return the containers that health tells of, in the order of their names."""
    return tuple(
        sorted(
            ClientNode(
                name,
                _word(one.get("gateway_status", ""), "gateway_status"),
                _word(one.get("role", ""), "role"),
            )
            for name, one in _by_node(document.get("health"), "health", "gateway_status")
        )
    )


def statistics(document: Document) -> Statistics:
    """Return what the stores hold; the Masters that count nothing send empty objects."""
    top = _object(document.get("stats"), "stats")
    counted: dict[str, int] = {}
    for _, one in _by_node(top.get("db"), "stats.db", *_COUNTS):
        for name in set(_COUNTS) & set(one):
            counted[name] = counted.get(name, 0) + _sum(one[name], name)
    return Statistics(*(counted.get(name) for name in _COUNTS))


def application(document: Document) -> dict[str, object]:
    """Return the application settings, all of them, as they are."""
    top = _object(document.get("settings"), "settings")
    return dict(_object(top.get("application"), "settings.application"))


def settings_seen(settings: Document) -> tuple[tuple[str, bool], ...]:
    """Return those settings that collection depends on and that the client shows."""
    found = []
    for name in SETTINGS:
        group, _, part = name.partition(".")
        value = settings.get(group)
        if part and value is not None:
            value = _object(value, group).get(part)
        if value is not None:
            if not isinstance(value, bool):
                raise ShapeError(name)
            found.append((name, value))
    return tuple(found)


def support(document: Document) -> tuple[ClientSupport, ...]:
    """Return what each container tells for support, as far as it is kept."""
    found = []
    for name, one in _by_node(document.get("support"), "support", "schema", "db_engine"):
        engine = one.get("db_engine", "")
        schemas = _object(one.get("schema", {}), "support.schema")
        if engine not in {"", "MYSQL", "PGSQL"}:
            raise ShapeError("support.db_engine")
        versions = tuple(
            sorted((_name(key), _count(value, "schema")) for key, value in schemas.items())
        )
        found.append(ClientSupport(name, str(engine), versions))
    return tuple(sorted(found))


def begun(document: Document, garbage: Garbage) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the Coreapps that a collection has begun on, and those that it has not."""
    service = SERVICES[garbage]
    top = _object(document.get("services"), "services")
    gc = _object(top.get(service), service).get("gc")
    going: list[str] = []
    idle: list[str] = []
    for name, one in _by_node(gc, f"services.{service}.gc", "status"):
        (going if one.get("status") == "processing" else idle).append(name)
    if not going and not idle:
        raise ShapeError(f"services.{service}.gc")
    return tuple(sorted(going)), tuple(sorted(idle))


def reports(document: object) -> Iterator[Report]:
    """Yield what a notification says of collections, and nothing else of it.

    Source: the reference of media collection shows its notification once under "message", with
    the counter of media: so the counter tells which kind it is, and only then the name.
    """
    services = document.get("services") if isinstance(document, dict) else None
    for service in services if isinstance(services, list) else []:
        for garbage, name in SERVICES.items():
            one = service.get(name) if isinstance(service, dict) else None
            gc = one.get("gc") if isinstance(one, dict) else None
            if isinstance(gc, dict) and (report := _report(gc, garbage)):
                yield report


def _report(gc: Document, garbage: Garbage) -> Report | None:
    counter = next((name for name in _COUNTERS if name in gc), "")
    deleted = gc.get(counter)
    counts = isinstance(deleted, int) and 0 <= deleted < _COUNT_MOST
    name = gc.get("node", "")
    if not isinstance(name, str) or (name and not _NAME.fullmatch(name)):
        return None
    failures = codes(gc)
    whole = gc.get("status") == "complete" and not failures
    if not whole and gc.get("status") not in {"complete", "failed"}:
        return None
    node = NodeCollection(
        name,
        NodeOutcome.COMPLETE if whole else NodeOutcome.FAILED,
        deleted if counts and isinstance(deleted, int) else None,
        failures,
    )
    return Report(_COUNTERS.get(counter, garbage), node)


def _by_node(found: object, where: str, *single: str) -> Iterator[tuple[str, Document]]:
    """Yield each node's object with its name, or the only one, known by its keys, without."""
    whole = _object(found, where)
    if not set(single).isdisjoint(whole):
        yield "", whole
        return
    for name, one in whole.items():
        # A node that cannot be asked has errors in place of its values.
        yield _name(name), _object(one, where)


def _sum(gauge: object, where: str) -> int:
    samples = _list(_object(gauge, where).get("data"), where)
    return sum(_count(_object(sample, where).get("value"), where) for sample in samples)


def _count(value: object, where: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _COUNT_MOST:
        raise ShapeError(where)
    return value


def _code(error: object) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    known = isinstance(code, int) and not isinstance(code, bool) and 0 < code < _CODE_MOST
    return code if known and isinstance(code, int) else 0


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ShapeError("the name of a node")
    return value


def _word(value: object, where: str) -> str:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise ShapeError(where)
    return value


def _object(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ShapeError(where)
    return value


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise ShapeError(where)
    return value
