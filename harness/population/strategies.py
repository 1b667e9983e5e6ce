"""Hypothesis strategies over worlds: who exists, who is whose bystander, what happened."""

from __future__ import annotations

from hypothesis import strategies as st

from harness.population.people import CAPACITY, Person, mapped_person, person
from harness.population.world import Event, EventKind, Group, World

_MAPPED_CAPACITY = 10_000


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a world of 1 to 6 people; the subject may be mapped, absent, or in the midst."""
    indexes = draw(st.lists(st.integers(0, CAPACITY - 1), min_size=2, max_size=6, unique=True))
    first, *bystanders = (person(index) for index in indexes)
    mapped = draw(st.one_of(st.none(), st.integers(0, _MAPPED_CAPACITY - 1)))
    subject = first if mapped is None else mapped_person(mapped)
    present = draw(st.integers(0, 9)) > 0
    people = (subject, *bystanders) if present else tuple(bystanders)
    groups = draw(st.lists(_groups(people), max_size=3, unique_by=lambda group: group.created_s))
    events = draw(st.lists(_events(people, tuple(groups)), max_size=10))
    return World(subject, people, tuple(groups), tuple(events))


@st.composite
def _groups(draw: st.DrawFn, people: tuple[Person, ...]) -> Group:
    members = draw(st.lists(st.sampled_from(people), min_size=1, max_size=4, unique=True))
    return Group(members[0], draw(st.integers(1_500_000_000, 1_700_000_000)), tuple(members))


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
