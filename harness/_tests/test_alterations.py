"""Every column of every table: whatever is altered in somebody else's row turns the verdict."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Iterator

import pytest

from harness import canary
from harness.identity import Closure, WaId
from harness.judge import judge
from harness.manifest import Manifest
from harness.model import (
    Called,
    ColumnSchema,
    FindingKind,
    Located,
    Moment,
    Observed,
    Part,
    Planted,
    Replacement,
    RunClosed,
    RunOpened,
    TableSchema,
)
from harness.population.cases import showcase
from harness.population.people import person
from harness.population.rows import rows_of
from harness.stores import StoreSet
from harness.stores.sweep import Search, sweep

SUBJECT = person(0)
RANDOM_ALTERATIONS = 500
NUMERIC = re.compile(r"(big|small|tiny)?int|integer|double|bigint|smallint")


@pytest.fixture
def altered(store_set: StoreSet) -> Iterator[StoreSet]:
    """The showcase inside a transaction that is rolled back at the end."""
    store_set.insert(rows_of(showcase(SUBJECT)))
    with store_set.transaction():
        yield store_set


class Watch:
    """Compares a store set with how it was: asks the judge, as a run would."""

    def __init__(self, store_set: StoreSet, described: Manifest) -> None:
        self._store_set = store_set
        self._search = Search(described, Closure(WaId(SUBJECT.number)), b"k" * 32)
        self._before = self._observed(Moment.BEFORE)

    def _observed(self, moment: Moment) -> Observed:
        sighting = sweep(self._store_set, self._search)
        tables, traces = tuple(sighting.tables), tuple(sighting.traces)
        return Observed("r", Part.JUDGED, moment, "", 0.0, 0, tables, traces)

    def harmed(self) -> set[tuple[str, str]]:
        """Return the tables in which the judge finds somebody else changed."""
        history = (
            RunOpened("r", "", "verify", "", "", "", control=False, prefix="", subject="", at=""),
            Planted("r", (), sum(state.bystander_rows for state in self._before.tables)),
            self._before,
            Called("r", "number", 0, 0.0),
            self._observed(Moment.AFTER),
            RunClosed("r", ""),
        )
        found = judge(history).findings
        return {(one.store, one.table) for one in found if one.kind is FindingKind.COLLATERAL}


def everybody(store_set: StoreSet, table: TableSchema) -> list[Located]:
    """Return every row of a table."""
    rows: list[bytes] = []
    store_set.scan(table, rows.extend, located=True)
    return [Located(*store_set.split(row)) for row in rows]


def bystanders(store_set: StoreSet, table: TableSchema) -> list[Located]:
    """Return the rows of a table that do not name the subject."""
    decode = store_set.decoder(table)
    rows = everybody(store_set, table)
    return [one for one in rows if not any(map(names_the_subject, decode(one.row)))]


def names_the_subject(cell: bytes | None) -> bool:
    """Tell whether a cell of the showcase holds the subject, by plain search."""
    packed = b"\x11\x86" + bytes.fromhex(f"{SUBJECT.number}f")
    heads = (base64.b64encode(first + packed) for first in (b"\x80", b"\x00"))
    return any(needle in (cell or b"") for needle in (SUBJECT.number.encode(), *heads))


def changed(column: ColumnSchema, cell: bytes | None, chance: random.Random) -> bytes:
    """Return a cell that differs from this one in a single character, digit or byte."""
    if column.type_name.startswith("double"):
        # The last of its many digits may be below what a double can hold.
        return bytes([ord("1") + (cell[0] - ord("0")) % 9]) + cell[1:] if cell else b"1"
    if NUMERIC.match(column.type_name):
        grown = (cell or b"") + b"7"
        return grown if len(grown) < 4 else grown[:-2] + _next_digit(grown[-2])
    if not cell:
        return b"x"
    place = chance.randrange(len(cell))
    # ASCII stays ASCII, so that no text becomes invalid; other bytes are left to be added to.
    if cell[place] > 0x7E or cell[place] < 0x20:
        return cell + b"x"
    other = b"y" if cell[place : place + 1] != b"y" else b"z"
    return cell[:place] + other + cell[place + 1 :]


def _next_digit(digit: int) -> bytes:
    return bytes([ord("0") + (digit - ord("0") + 5) % 10])


def alter(store_set: StoreSet, table: TableSchema, index: int, chance: random.Random) -> None:
    """Alter one cell of one bystander's row."""
    rows, decode = bystanders(store_set, table), store_set.decoder(table)
    taken = {decode(row.row)[index] for row in everybody(store_set, table)}
    for row in chance.choices(rows, k=20):
        new = changed(table.columns[index], decode(row.row)[index], chance)
        if new not in taken:  # where somebody has it, it may have to be unique
            break
    assert store_set.replace(table, [Replacement(row, ((index, new),))]) == 1


def test_one_character_in_any_column_is_noticed(altered: StoreSet, described: Manifest) -> None:
    """For every column of every table, one character of one bystander's value turns the verdict."""
    chance = random.Random(1)
    missed, tried = [], 0
    for table in altered.tables():
        for index, column in enumerate(table.columns):
            watch = Watch(altered, described)
            alter(altered, table, index, chance)
            tried += 1
            if watch.harmed() != {(table.store, table.label)}:
                missed.append(f"{table.store}.{table.label}.{column.name}")
    assert missed == []
    assert tried == sum(len(table.columns) for table in described.tables.values())


def test_two_swapped_values_are_noticed_in_any_column(
    altered: StoreSet, described: Manifest
) -> None:
    """For every column in which two bystanders differ, exchanging the two values turns the verdict."""
    missed, tried = [], 0
    for table in altered.tables():
        decode = altered.decoder(table)
        for index, column in enumerate(table.columns):
            rows = {decode(row.row)[index]: row for row in bystanders(altered, table)}
            rows.pop(None, None)
            keyed = column.name in table.key or column.name == "_id" or len(rows) < 2
            if keyed or unique_alone(described, table, column):
                continue
            (one, first), (two, second) = list(rows.items())[:2]
            watch = Watch(altered, described)
            swap = [
                Replacement(first, ((index, two or b""),)),
                Replacement(second, ((index, one or b""),)),
            ]
            assert altered.replace(table, swap) == 2
            tried += 1
            if watch.harmed() != {(table.store, table.label)}:
                missed.append(f"{table.store}.{table.label}.{column.name}")
    assert missed == []
    assert tried > 20


def unique_alone(described: Manifest, table: TableSchema, column: ColumnSchema) -> bool:
    """Tell whether exchanging two values would break a constraint on the way."""
    known = described.tables[table.store, table.label]
    return any(column.name in group for group in (known.key, *known.unique))


def test_a_row_that_goes_is_noticed_in_any_table(altered: StoreSet, described: Manifest) -> None:
    """For every table, one bystander's row less turns the verdict."""
    for table in altered.tables():
        watch = Watch(altered, described)
        assert altered.delete(table, bystanders(altered, table)[:1]) == 1
        assert watch.harmed() == {(table.store, table.label)}


def test_a_row_more_is_noticed_in_any_table(altered: StoreSet, described: Manifest) -> None:
    """For every table that can hold a person, one more row of somebody else turns the verdict."""
    stranger = WaId(person(77).number)
    more = canary.rows(described, altered.tables(), stranger, ())
    places = set()
    for row in more:
        watch = Watch(altered, described)
        altered.insert([row])
        places.add((row.store, row.table))
        assert watch.harmed() == {(row.store, row.table)}
    assert len(places) >= 17


def test_random_alterations_are_all_noticed(
    altered: StoreSet, described: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hundreds of alterations at random places: every one turns the verdict; the count is printed."""
    chance = random.Random(2)
    tables = altered.tables()
    caught = 0
    for _ in range(RANDOM_ALTERATIONS):
        table = chance.choice(tables)
        free = [
            index
            for index, column in enumerate(table.columns)
            if not unique_alone(described, table, column)
        ]
        if not free:
            free = [len(table.columns) - 1]
        watch = Watch(altered, described)
        alter(altered, table, chance.choice(free), chance)
        caught += watch.harmed() == {(table.store, table.label)}
    with capsys.disabled():
        print(  # noqa: T201  # the count is asked for
            f"\n{altered.config.engine}: {caught} of {RANDOM_ALTERATIONS} random alterations noticed"
        )
    assert caught == RANDOM_ALTERATIONS


def test_nothing_altered_is_nothing_noticed(altered: StoreSet, described: Manifest) -> None:
    """The watch above is silent when nobody is changed."""
    assert Watch(altered, described).harmed() == set()
