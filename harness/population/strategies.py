"""Hypothesis strategies over worlds: who exists, who is whose bystander, what happened."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from harness.population.people import (
    CAPACITY,
    Person,
    mapped_person,
    neighbours,
    person,
    variants,
)
from harness.population.world import Event, EventKind, Group, World

_LINES = 10_000


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a world: a subject, who may be absent, and people made to be mistaken for them."""
    subject, other_form = draw(st.one_of(_ordinary(), _mapped(), _two_forms()))
    around = draw(st.lists(st.sampled_from(neighbours(subject)), max_size=3, unique=True))
    strangers = draw(st.lists(st.integers(0, CAPACITY - 1), min_size=2, max_size=3, unique=True))
    others = _apart(subject, (*other_form, *around, *map(person, strangers)))
    present = draw(st.integers(0, 9)) < 9  # noqa: PLR2004  # nine in ten
    people = (subject, *others) if present else others
    groups = draw(st.lists(_groups(people), max_size=3, unique_by=lambda group: group.created_s))
    events = draw(st.lists(_events(people, tuple(groups)), max_size=12))
    return World(subject, people, tuple(groups), tuple(events))


def _apart(subject: Person, people: Iterable[Person]) -> tuple[Person, ...]:
    """Return those people whose numbers are neither the subject's nor one another's."""
    taken = set(subject.numbers)
    apart = []
    for one in people:
        if not one.numbers & taken:
            taken |= one.numbers
            apart.append(one)
    return tuple(apart)


def _ordinary() -> st.SearchStrategy[tuple[Person, tuple[Person, ...]]]:
    return st.integers(0, CAPACITY - 1).map(lambda index: (person(index), ()))


def _mapped() -> st.SearchStrategy[tuple[Person, tuple[Person, ...]]]:
    return st.integers(0, _LINES - 1).map(lambda index: (mapped_person(index), ()))


def _two_forms() -> st.SearchStrategy[tuple[Person, tuple[Person, ...]]]:
    """A subject, and somebody else whose number is the other form of the same plan."""
    pairs = st.integers(0, _LINES - 1).flatmap(lambda index: st.sampled_from(variants(index)))
    ordered = st.tuples(pairs, st.booleans())
    return ordered.map(lambda drawn: (drawn[0][drawn[1]], (drawn[0][not drawn[1]],)))


@st.composite
def _groups(draw: st.DrawFn, people: tuple[Person, ...]) -> Group:
    members = draw(st.lists(st.sampled_from(people), min_size=1, max_size=4, unique=True))
    named_after = draw(st.none() | st.sampled_from(people))
    created_s = draw(st.integers(1_500_000_000, 1_700_000_000))
    return Group(members[0], created_s, tuple(members), named_after)


@st.composite
def _events(draw: st.DrawFn, people: tuple[Person, ...], groups: tuple[Group, ...]) -> Event:
    kind = draw(st.sampled_from(EventKind))
    needs_group = kind is EventKind.GROUP and groups
    optional = st.none() | st.sampled_from(groups) if groups else st.none()
    group = draw(st.sampled_from(groups) if needs_group else optional)
    return Event(
        kind=kind,
        peer=draw(st.sampled_from(group.members if group else people)),
        group=group,
        named=draw(st.none() | st.sampled_from(people)),
    )
