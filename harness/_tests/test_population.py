"""Synthetic people are nobody, and the showcase puts the subject everywhere."""

from __future__ import annotations

import base64
import re
from hashlib import sha256

import pytest
from hypothesis import given, settings

from harness.manifest import Manifest
from harness.population.cases import CASES, showcase
from harness.population.people import CAPACITY, mapped_person, person
from harness.population.rows import media_of, rows_of
from harness.population.strategies import worlds
from harness.population.world import World
from harness.stores.media_references import read_references
from harness.stores.media_words import UUID

FICTION = re.compile(r"1[2-9]\d\d55501\d\d|447700900\d{3}|3363998\d{4}|55209?5550\d{4}")
# Places of people that no world fills: what a deployment puts there is not known.
UNFILLED = {
    ("contactStore", "wa_contacts", column)
    for column in (
        "status",
        "display_name",
        "given_name",
        "family_name",
        "wa_name",
        "sort_name",
        "nickname",
        "company",
        "title",
    )
} | {
    ("waweb", "contacts", "name"),
    ("clusterStore", "cluster_info", "value"),
    ("configStore", "settings", "value"),
}
# Keys and key material, never text; and message ids, whose encoded form is not searched yet.
OPAQUE = {"public_key", "private_key", "record", "last_alice_base_key", "key_id", "msg_key_id"}


def test_everybody_is_somebody_else() -> None:
    """No two persons share a number, and every number lies in a range that is nobody's."""
    people = [*map(person, range(CAPACITY)), *map(mapped_person, range(10_000))]
    numbers = [number for one in people for number in one.numbers]
    assert len(numbers) == len(set(numbers))
    assert all(FICTION.fullmatch(number) for number in numbers)


def test_a_mapped_person_has_another_number_in_the_jid() -> None:
    """The JID of a mapped person lacks the phone number's ninth digit."""
    mapped = mapped_person(7)
    assert mapped.jid_number != mapped.number
    assert len(mapped.numbers) == 2


def test_the_showcase_puts_the_subject_into_every_surface(described: Manifest) -> None:
    """Every column that can hold a person holds the subject somewhere in the showcase."""
    planted = {
        (row.store, row.table, column)
        for row in rows_of(showcase(person(0)))
        for column in row.planted
    }
    holding = {
        (table.store, table.name, column.name)
        for table in described.tables.values()
        for column in table.columns
        if column.kind.role != "none" and column.name not in OPAQUE
    }
    assert holding - planted == UNFILLED


def test_every_table_has_rows_that_are_not_the_subjects(described: Manifest) -> None:
    """In the showcase every table holds somebody else's row, so that harm to it can be seen."""
    bystanders = {(row.store, row.table) for row in rows_of(showcase(person(0))) if not row.planted}
    assert bystanders == set(described.tables)


@settings(max_examples=200)
@given(world=worlds())
def test_what_is_planted_is_where_the_number_stands(world: World) -> None:
    """The cells marked as planted are those that hold the number, and no others, as plain search sees it."""
    numbers = sorted(world.subject.numbers, key=len, reverse=True)
    plain = re.compile(r"(?<!\d)(?:" + "|".join(numbers) + r")(?!\d)")
    packed = [number + "f" * (len(number) % 2) for number in numbers]
    sized = tuple(f"8{len(one) // 2}{one}" for one in packed)
    for row in rows_of(world):
        texts = {name: _text(value) for name, value in row.values.items()}
        holding = {name for name, text in texts.items() if plain.search(text)}
        # A message id: two bytes, the number's size, then the number as packed decimals.
        ids = {name: texts[name] for name in texts if name in {"key_id", "msg_key_id"}}
        shown = {name: base64.b64decode(text).hex()[4:] for name, text in ids.items()}
        holding |= {name for name, text in shown.items() if text.startswith(sized)}
        assert holding == row.planted


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


@settings(max_examples=50)
@given(world=worlds())
def test_worlds_show_no_number(world: World) -> None:
    """Printing a world, as Hypothesis does on failure, shows nobody's number."""
    shown = repr(world) + repr(world.people) + repr(world.events) + repr(rows_of(world))
    assert not re.search(r"\d{7}", re.sub(r"0x[0-9a-f]+", "", shown))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_case_is_told_apart(case: object) -> None:
    """Case names are unique, since runs are recorded under them."""
    names = [one.name for one in CASES]
    assert len(names) == len(set(names))
    assert not re.search(r"\d{7}", repr(case))


def test_media_messages_lead_to_files_of_their_own(described: Manifest) -> None:
    """A media message that names nobody leads to its file by path and by hash, and to no other."""
    world = showcase(person(0))
    files = {path.rpartition("/")[2]: content for _, path, content in media_of(world)}
    messages = described.tables["messageStore", "messages"]
    leading = [
        reference
        for row in rows_of(world)
        if row.table == "messages" and row.values.get("media_hash")
        for reference in read_references(
            (str(row.values[column]).encode(), role)
            for column, role in messages.media
            if row.values.get(column)
        )
    ]
    assert len(leading) == len(files) > 1
    for reference in leading:
        (name,) = reference.names & files.keys()
        assert UUID.fullmatch(name.encode())
        assert reference.digests == {sha256(files[name]).digest()}
    assert person(0) in {event.peer for event, _, _ in media_of(world)}
