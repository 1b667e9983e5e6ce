"""The named cases that scenarios judge: a world, the set it lives in, and what is called."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from harness.identity import WaId
from harness.model import Part, SeedRow
from harness.population.bulk import Bulk, crowd, messages_of
from harness.population.bulk import numbers as crowd_numbers
from harness.population.matrix import matrix
from harness.population.people import Person, mapped_person, neighbours, person, variants
from harness.population.rows import rows_of
from harness.population.world import Event, EventKind, Group, World

PLAIN_PREFIX: Final = ""
OTHER_PREFIX: Final = "acme_"
MANY: Final = 200_000
"""How many messages of their own the subject of the case `many-messages` has."""


@dataclass(frozen=True, slots=True)
class Case:
    """One rehearsal on disposable stores.

    `other` lives in a second store set on the same server, which no run may change. The
    routine is installed in `routine_in`: in the other set only to show what the published,
    unprefixed original does on a prefixed host. `calls` are the forms in which the number
    is handed over, one call each. `further` rows join the world's own, and `bulk` is loaded
    after them; a case with much of it has a prefix of its own, so that nobody has to clear it
    away.
    """

    name: str
    claim: str
    world: World
    prefix: str = PLAIN_PREFIX
    other: World | None = None
    routine_in: Part = Part.JUDGED
    calls: tuple[str, ...] = ("number",)
    bulk: tuple[Bulk, ...] = ()
    further: tuple[SeedRow, ...] = ()

    @property
    def other_prefix(self) -> str:
        """The prefix of the second set."""
        return OTHER_PREFIX if self.prefix == PLAIN_PREFIX else PLAIN_PREFIX

    @property
    def wa_id(self) -> WaId:
        """Whom to erase: the phone number, which for a mapped person is not the JID's."""
        return WaId(self.world.subject.number)

    def rows(self, part: Part) -> tuple[SeedRow, ...]:
        """Return the rows to seed a store set with."""
        world = self.world if part is Part.JUDGED else self.other
        further = self.further if part is Part.JUDGED else ()
        return (*rows_of(world), *further) if world else ()

    def numbers(self) -> frozenset[str]:
        """Every number of everybody in the case, for redaction."""
        others = self.other.numbers() if self.other else frozenset()
        crowded = crowd_numbers(self.world.subject) if self.bulk else frozenset()
        if self.further:
            around = neighbours(self.world.subject)
            others |= {number for one in around for number in one.numbers} | person(1).numbers
        return self.world.numbers() | others | crowded


def showcase(subject: Person) -> World:
    """Return a world in which the subject stands in every surface that can hold a person."""
    ada, bashir, chiara = person(1), person(101), person(1_650)
    theirs = Group(ada, 1_600_000_001, (ada, bashir, subject))
    own = Group(subject, 1_600_000_002, (subject, ada, chiara))
    without = Group(bashir, 1_600_000_003, (ada, bashir, chiara))
    after = Group(ada, 1_600_000_006, (ada, bashir), named_after=subject)
    old = Group(subject, 1_600_000_007, (ada, bashir), named_after=bashir)
    return World(
        subject=subject,
        people=(subject, ada, bashir, chiara),
        groups=(theirs, own, without, after, old),
        events=(
            Event(EventKind.DIRECT, subject),
            Event(EventKind.DIRECT, subject, named=ada),
            Event(EventKind.DIRECT, ada),
            Event(EventKind.DIRECT, bashir, named=subject),
            Event(EventKind.DIRECT, chiara, named=ada),
            Event(EventKind.FORWARD, chiara, named=subject),
            Event(EventKind.FORWARD, subject, named=ada),
            Event(EventKind.GROUP, subject, group=theirs),
            Event(EventKind.GROUP, ada, group=theirs, named=subject),
            Event(EventKind.GROUP, chiara, group=own),
            Event(EventKind.GROUP, subject, group=own, named=chiara),
            Event(EventKind.GROUP, bashir, group=without),
            Event(EventKind.MEDIA, subject),
            Event(EventKind.MEDIA, ada, named=subject),
            Event(EventKind.MEDIA, bashir),
            Event(EventKind.CALLBACK, subject),
            Event(EventKind.CALLBACK, ada, named=subject),
            Event(EventKind.CALLBACK, chiara, group=own),
            Event(EventKind.CALLBACK, bashir, named=chiara),
            Event(EventKind.JOB, subject),
            Event(EventKind.JOB, ada, named=subject),
            Event(EventKind.JOB, bashir),
        ),
    )


def surrounded(subject: Person, neighbour: Person) -> World:
    """Return the showcase of a subject among people whose numbers are made to be mistaken.

    The neighbour is everywhere that the subject is, in the same groups, chats and payloads; the
    others are everywhere that somebody can be without the subject.
    """
    around = neighbours(subject)
    everybody = (subject, *dict.fromkeys((neighbour, *around)))
    group = Group(neighbour, 1_600_000_004, everybody)
    own = Group(subject, 1_600_000_005, (subject, neighbour))
    old = Group(subject, 1_600_000_008, (neighbour,), named_after=neighbour)
    theirs = tuple(Group(one, 1_600_001_000 + serial, (one,)) for serial, one in enumerate(around))
    events = [
        Event(kind, peer, group=group if kind is EventKind.GROUP else None, named=named)
        for kind in EventKind
        for peer, named in ((subject, neighbour), (neighbour, subject), (neighbour, around[0]))
    ]
    named = [Event(EventKind.MEDIA, neighbour, named=one) for one in around]
    without = [
        Event(kind, one, group=its if kind is EventKind.GROUP else None, named=one)
        for one, its in zip(around, theirs, strict=True)
        for kind in EventKind
    ]
    groups = (group, own, old, *theirs)
    return World(subject, everybody, groups, (*events, *named, *without))


def _without(subject: Person) -> World:
    """Return the showcase of somebody else, in which the subject is nowhere."""
    stranger = showcase(person(2))
    return World(subject, stranger.people, stranger.groups, stranger.events)


def _unlisted(subject: Person) -> World:
    """Return the showcase of a subject whom neither contacts nor phones know any more."""
    world = showcase(subject)
    return replace(world, people=tuple(one for one in world.people if one is not subject))


def _half_known(subject: Person) -> tuple[SeedRow, ...]:
    """Return contacts that know a JID without a number, or a number without a JID.

    Where the JID has a number of its own, one row ties it to the phone number.
    """
    number = f"+{subject.jid_number}"
    known: list[tuple[str, dict[str, str | None], str]] = [
        ("wa_contacts", {"jid": subject.jid, "number": None}, "jid"),
        ("wa_contacts", {"jid": "", "number": number}, "number"),
        ("wa_phones", {"phone_number": "", "jid": subject.jid}, "jid"),
        ("wa_phones", {"phone_number": "unknown", "jid": subject.jid}, "jid"),
        ("wa_phones", {"phone_number": number, "jid": ""}, "phone_number"),
    ]
    rows = [
        SeedRow("contactStore", table, dict(values), frozenset({column}))
        for table, values, column in known
    ]
    if subject.jid_number != subject.number:
        tie: dict[str, int | float | str | bytes | None] = {
            "phone_number": subject.phone,
            "jid": subject.jid,
        }
        rows.append(SeedRow("contactStore", "wa_phones", tie, frozenset(tie)))
    return tuple(rows)


def _before_it_was_mapped(subject: Person) -> tuple[SeedRow, ...]:
    """Return what was filed under a number before its JID lost, or gained, a digit."""
    number = int(subject.number)
    return (
        SeedRow(
            "axolotlStore",
            "identities",
            {"recipient_id": number, "registration_id": 1},
            frozenset({"recipient_id"}),
        ),
        SeedRow(
            "axolotlStore",
            "sessions",
            {"recipient_id": number, "device_id": 0},
            frozenset({"recipient_id"}),
        ),
        SeedRow("waweb", "contacts", {"wa_id": subject.number, "name": "~"}, frozenset({"wa_id"})),
    )


_SUBJECT: Final = person(0)
_MAPPED: Final = mapped_person(0)
_NOBODY: Final = person(303)
_NEIGHBOUR: Final = neighbours(_SUBJECT)[0]
_NEIGHBOURS: Final = surrounded(_SUBJECT, _NEIGHBOUR)
_AROUND_MAPPED: Final = surrounded(_MAPPED, neighbours(_MAPPED)[0])
_VARIANT: Final = surrounded(*variants(0)[0])

CASES: Final = (
    Case("everywhere", "The subject stands in every surface.", showcase(_SUBJECT)),
    Case("mapped", "The subject's JID differs from the phone number.", showcase(_MAPPED)),
    Case(
        "mapped-neighbours",
        "Both numbers of the subject have neighbours, and both were filed under.",
        _AROUND_MAPPED,
        further=_before_it_was_mapped(_MAPPED),
    ),
    Case(
        "half-known",
        "Address books know a JID without a number, and a number without a JID.",
        _unlisted(_SUBJECT),
        further=_half_known(_SUBJECT),
    ),
    Case(
        "mapped-half-known",
        "So they do of somebody whose JID differs from the phone number.",
        _unlisted(_MAPPED),
        further=_half_known(_MAPPED),
    ),
    Case("unlisted", "The subject is in no address book.", _unlisted(_SUBJECT)),
    Case("unknown", "The subject was never a user.", _without(_NOBODY)),
    Case("empty", "The stores hold no row at all.", World(_SUBJECT)),
    Case(
        "twice",
        "The routine is called again, with the number as text.",
        showcase(_SUBJECT),
        calls=("number", "text"),
    ),
    Case("neighbours", "Others' numbers contain the subject's, or differ little.", _NEIGHBOURS),
    Case("neighbour", "The neighbour is erased instead.", replace(_NEIGHBOURS, subject=_NEIGHBOUR)),
    Case("variant", "The other form of a Brazilian number is somebody else.", _VARIANT),
    Case(
        "encodings",
        "Every way to write the subject's number stands alone in a cell, and the neighbours' too.",
        World(_SUBJECT, neighbours(_SUBJECT)[:1]),
        further=matrix(_SUBJECT),
    ),
    Case("prefixed", "The store set has a prefix.", showcase(_SUBJECT), prefix=OTHER_PREFIX),
    Case(
        "two-sets",
        "A second set on the same server holds the same person.",
        showcase(_SUBJECT),
        prefix=OTHER_PREFIX,
        other=showcase(_SUBJECT),
    ),
    Case(
        "original-on-prefixed-host",
        "The routine as published, without the prefix, runs on a prefixed host.",
        showcase(_SUBJECT),
        prefix=OTHER_PREFIX,
        other=showcase(_SUBJECT),
        routine_in=Part.OTHER,
    ),
)


@cache
def crowded(messages: int) -> tuple[Case, ...]:
    """Return the cases of a large population: `messages` of others, and many of the subject's."""
    if not messages:
        return ()
    world = showcase(_SUBJECT)
    return (
        Case(
            "many-messages",
            f"The subject has {MANY} messages.",
            world,
            prefix="many_",
            bulk=messages_of(_SUBJECT, MANY),
        ),
        Case(
            "crowd",
            "The subject stands among a large population.",
            world,
            prefix="crowd_",
            bulk=crowd(_SUBJECT, messages),
        ),
    )
