"""Bulk loading: what was loaded is what is read, memory stays flat, and a crowd is nobody's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import pymysql
import pytest

from harness.config import RunConfig
from harness.errors import StoreError
from harness.identity import Closure, Matcher, Representation, WaId
from harness.manifest import Manifest
from harness.model import EngineKind
from harness.population.bulk import Bulk, crowd, messages_of, numbers
from harness.population.cases import CASES, Case, crowded, showcase
from harness.population.people import Person, mapped_person, person
from harness.stores import StoreSet, connect, ddl, mysql
from harness.stores.bulk_text import buffers

from .test_commands import run
from .test_stores import BLOBS, STORE, TEXTS, cells, table
from .yardsticks import measured

MIB = 1 << 20
BODY = {
    EngineKind.MYSQL: "n INT, t LONGTEXT CHARACTER SET utf8mb4, b LONGBLOB, f DOUBLE",
    EngineKind.POSTGRES: "n integer, t text, b bytea, f double precision",
}
COLUMNS = ("n", "t", "b", "f")
# Alone, beside NULL, and beside each other: the ways in which a column is converted.
MIXED = [
    [(n, text, blob, n / 7) for n, (text, blob) in enumerate(zip(TEXTS, BLOBS * 2, strict=False))],
    [(None, text, None, 0.1) for text in TEXTS],
    [(n, None if n % 2 else TEXTS[n], BLOBS[n % 6] if n % 2 else None, None) for n in range(10)],
    [(True, "unit\x1fseparator", b"\x1f", 1e300), (-1, "plain", b"", -0.5)],
    [(n, n if n % 2 else str(n), b"x", n) for n in range(10)],
]


@pytest.fixture(params=["in bulk", "without LOCAL"])
def way(
    request: pytest.FixtureRequest, store_set: StoreSet, monkeypatch: pytest.MonkeyPatch
) -> StoreSet:
    """The store set as it is, and on MySQL as if the server had LOCAL switched off."""
    if request.param == "without LOCAL" and store_set.config.engine is EngineKind.MYSQL:

        def refused(*_: object) -> int:
            raise pymysql.err.OperationalError(1148, "not allowed")

        monkeypatch.setattr(mysql, "load_local", refused)
    return store_set


@pytest.mark.parametrize("rows", MIXED, ids=[f"rows {n}" for n in range(len(MIXED))])
def test_what_was_loaded_is_what_is_read(way: StoreSet, rows: list[tuple[object, ...]]) -> None:
    """Special characters, NULL, blobs and numbers arrive as they were given."""
    with table(way, BODY) as probe:
        assert way.load(STORE, "probe", COLUMNS, rows) == len(rows)
        read = cells(way, probe)
    given = [(_number(n), _encoded(t), _encoded(b), _number(f)) for n, t, b, f in rows]
    assert Counter((_number(n), t, b, _number(f)) for n, t, b, f in read) == Counter(given)


def _number(value: object) -> float | None:
    return None if value is None else float(value)  # type: ignore[arg-type]


def _encoded(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode()


def test_large_rows_arrive_whole(way: StoreSet) -> None:
    """A row of many megabytes arrives whole, among small ones."""
    size = 2 * MIB
    rows = [(1, "a", b"b", 0.5), (2, "\\" * size, b"\xff" * size, 0.5), (3, "c", b"d", 0.5)] * 2
    with table(way, BODY) as probe:
        assert way.load(STORE, "probe", COLUMNS, rows) == len(rows)
        read = cells(way, probe)
    assert sorted(len(t or b"") for _, t, _, _ in read) == [1, 1, 1, 1, size, size]
    assert {b for _, _, b, _ in read} == {b"b", b"d", b"\xff" * size}


def test_nothing_to_load_is_nothing(way: StoreSet) -> None:
    """No rows load as none."""
    with table(way, BODY) as probe:
        assert way.load(STORE, "probe", COLUMNS, []) == 0
        assert cells(way, probe) == []


@pytest.mark.parametrize(
    "second",
    ["+12025550100", "+12025550100 and much that makes it too long for this column" * 9],
    ids=["doubled key", "too long"],
)
def test_a_row_that_does_not_fit_ends_the_load(way: StoreSet, second: str) -> None:
    """A doubled key or a value too long is an error that shows no value, and nothing is left of the load."""
    rows = [("+12025550100",), (second,)]
    with pytest.raises(StoreError) as refusal:
        way.load("waweb", "contacts", ("wa_id",), rows)
    assert "12025550100" not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__
    (contacts,) = (t for t in way.tables() if (t.store, t.name) == ("waweb", "contacts"))
    assert cells(way, contacts) == []


def test_a_table_that_is_not_there_is_an_error(store_set: StoreSet) -> None:
    """Loading a table that does not exist raises, and the store set goes on."""
    with pytest.raises(StoreError):
        store_set.load(STORE, "no_such_table", ("a",), [(1,)])
    assert store_set.query(STORE, "SELECT 1") == [(1,)]


def test_a_generator_that_fails_loads_nothing(store_set: StoreSet, run_config: RunConfig) -> None:
    """When the rows themselves fail half way, that is what is raised, and none of them stays."""

    def rows() -> Iterator[tuple[str]]:
        yield from ((f"row {n}",) for n in range(5_000))
        raise ZeroDivisionError

    loader = connect(run_config, ["waweb"])
    with pytest.raises(ZeroDivisionError):
        loader.load("waweb", "contacts", ("wa_id",), rows())
    loader.close()
    (contacts,) = (t for t in store_set.tables() if (t.store, t.name) == ("waweb", "contacts"))
    assert cells(store_set, contacts) == []


def test_loading_is_part_of_an_open_transaction(store_set: StoreSet) -> None:
    """Rows loaded inside a transaction that is not committed are gone after it."""
    with table(store_set, BODY) as probe:
        with store_set.transaction():
            store_set.load(STORE, "probe", ("n",), [(1,), (2,)])
        assert cells(store_set, probe) == []


def test_memory_stays_flat(store_set: StoreSet) -> None:
    """Two hundred thousand rows are loaded in no more memory than a few buffers."""
    row = (1, "x" * 200, b"y" * 50, 0.5)

    def load(count: int) -> int:
        loader = connect(store_set.config, [STORE])
        return loader.load(STORE, "probe", COLUMNS, repeat(row, count))

    with table(store_set, BODY):
        few, many = measured(lambda: load(2_000)), measured(lambda: load(200_000))
    assert many.outcome == 200_000
    assert many.rss_bytes - few.rss_bytes < 8 * MIB


def _representation(value: object) -> Representation:
    if isinstance(value, bytes):
        return Representation.BLOB
    return Representation.TEXT if isinstance(value, str) else Representation.INTEGER


SUBJECTS = [person(0), person(6), person(12_000), mapped_person(3)]


def _loaded(bulk: Bulk, subject: Person) -> tuple[Counter[str], int]:
    """Return how many cells of each column name the subject, as the matcher sees it, and other rows."""
    matcher = Matcher(Closure(WaId(subject.number), subject.numbers).identifiers)
    found: Counter[str] = Counter()
    bystander_rows = 0
    for row in bulk.rows():
        hits = [
            name
            for name, value in zip(bulk.columns, row, strict=True)
            if matcher.forms(_encoded(value) or b"", _representation(value))
        ]
        found.update(hits)
        bystander_rows += not hits
    return found, bystander_rows


@pytest.mark.parametrize("subject", SUBJECTS, ids=["first", "in the pool", "late", "mapped"])
def test_a_crowd_never_names_the_subject(subject: Person) -> None:
    """Of thousands of rows none holds the subject's number, whoever the subject is."""
    for bulk in crowd(subject, 8_000):
        assert _loaded(bulk, subject) == (Counter(), bulk.bystander_rows)


def test_what_is_planted_is_counted() -> None:
    """The cells that name the subject among many messages are as many as announced."""
    for bulk in messages_of(person(0), 2_050):
        found, bystander_rows = _loaded(bulk, person(0))
        assert (found, bystander_rows) == (Counter(bulk.planted), bulk.bystander_rows)


def test_a_crowd_is_the_same_in_every_session() -> None:
    """The same arguments give the same rows, and asking again gives them again."""
    first, second = crowd(person(0), 3_000), crowd(person(0), 3_000)
    for one, other in zip(first, second, strict=True):
        assert list(one.rows()) == list(other.rows()) == list(one.rows())


def test_a_crowd_has_the_size_of_real_messages() -> None:
    """A message has some three hundred bytes, and only known numbers stand in it."""
    (messages, *_) = crowd(person(0), 5_000)
    rows = list(messages.rows())
    text = b"".join(buffer for buffer, _ in buffers(rows, ""))
    assert 250 < len(text) / len(rows) < 450
    texts = [cell for row in rows for cell in row if isinstance(cell, str)]
    digits = {found for text in texts for found in re.findall(r"\d{7,}(?!\d*@g)", text)}
    assert digits <= numbers(person(0))


def test_a_crowd_loads(run_config: RunConfig, described: Manifest) -> None:
    """Every row of a crowd and of many messages fits the fixture schemas, keys and all."""
    # A store of its own: serial numbers that were used up once do not come back.
    store_set = connect(replace(run_config, prefix="crowd_"), [STORE])
    store_set.create({STORE: ddl.committed(described, run_config.engine)[STORE]})
    try:
        for bulk in (*crowd(person(0), 12_000), *messages_of(person(0), 11_000)):
            loaded = store_set.load(bulk.store, bulk.table, bulk.columns, bulk.rows())
            assert loaded == sum(1 for _ in bulk.rows())
    finally:
        store_set.drop()
        store_set.close()


def test_crowded_cases_are_named_apart() -> None:
    """A population adds cases of other names and prefixes, and none adds none; their numbers are all known."""
    assert crowded(0) == ()
    cases = crowded(100)
    assert not {case.name for case in cases} & {case.name for case in CASES}
    assert len({case.prefix for case in (*cases, *CASES)}) == 4
    plain = Case("plain", "", showcase(person(0)))
    assert all(case.numbers() > plain.numbers() for case in cases)
    assert not re.search(r"\d{7}", repr(cases))


@pytest.mark.parametrize("value", ["", "x", "-1", "1e6", "50000001", "999999999999", "٣", "1_000"])
def test_a_population_that_is_no_number_is_refused(tmp_path: Path, value: str) -> None:
    """A population that is not a number of messages up to fifty million is refused in one sentence."""
    done = run(f"--population={value}", reports=tmp_path)
    assert done.returncode == 4
    shown = [line for line in (done.stdout + done.stderr).splitlines() if "--population" in line]
    assert len(shown) == 1
    assert not (tmp_path / "latest").exists()


def test_a_population_for_the_documented_routine_is_refused(tmp_path: Path) -> None:
    """A population goes with the plan only."""
    done = run("--population=10", "--routine=documented", reports=tmp_path)
    assert done.returncode == 4
    assert "hardened" in done.stdout + done.stderr
