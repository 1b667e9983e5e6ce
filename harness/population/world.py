"""A world: people, groups, and what happened between them.

What rows it leaves in the stores is worked out in `harness.population.rows`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.identity import GROUP_DOMAIN
from harness.population.people import Person


@dataclass(frozen=True, slots=True, repr=False)
class Group:
    """A group: its JID embeds the creator's number.

    `named_after` stands in the title, the creator by default; such a group's chat does not say
    who made it, as old ones do not.
    """

    creator: Person
    created_s: int
    members: tuple[Person, ...]
    named_after: Person | None = None

    @property
    def jid(self) -> str:
        """`<creator's number>-<time of creation>@g.us`."""
        return f"{self.creator.jid_number}-{self.created_s}@{GROUP_DOMAIN}"


class EventKind(StrEnum):
    """What happened; every kind may name a third person."""

    DIRECT = "direct message"
    FORWARD = "message forwarded with its id"
    GROUP = "group message"
    MEDIA = "media message"
    CALLBACK = "callback filed under another chat"
    JOB = "job in the queue"


@dataclass(frozen=True, slots=True, repr=False)
class Event:
    """Something that `peer` did, in a group or not, naming somebody or not."""

    kind: EventKind
    peer: Person
    group: Group | None = None
    named: Person | None = None


@dataclass(frozen=True, slots=True, repr=False)
class World:
    """Everybody and everything; the subject need not be among the people."""

    subject: Person
    people: tuple[Person, ...] = ()
    groups: tuple[Group, ...] = ()
    events: tuple[Event, ...] = ()

    def numbers(self) -> frozenset[str]:
        """Return every number of everybody, for redaction."""
        everybody = {self.subject, *self.people}
        return frozenset(number for person in everybody for number in person.numbers)

    def __repr__(self) -> str:
        sizes = f"{len(self.people)} people, {len(self.groups)} groups, {len(self.events)} events"
        return f"World({sizes})"
