"""Rows that somebody else's routine masked: counted as the mentions they were, or as harmed."""

from __future__ import annotations

from typing import Any, cast

from harness import manifest
from harness.identity import Closure, WaId
from harness.model import ColumnSchema, TableSchema, TableState
from harness.population.people import person
from harness.stores import StoreSet
from harness.stores.sweep import Cells, Search, Sighting, TablePass, differing, sweep_with

NUMBER = person(0).number.encode()
ZEROS = b"0" * len(NUMBER)
PLACE = ("messageStore", "notes")
COLUMNS = tuple(ColumnSchema(name, "text") for name in ("said", "by", "more"))
TABLE = TableSchema(*PLACE, COLUMNS)
DESCRIBED = manifest.load()
MENTION = b"call +%b now|ada|-" % NUMBER
OTHER_MENTION = b"-|bob|see %b, or %b" % (NUMBER, NUMBER)
BYSTANDER = b"good morning|ada|-"
ROWS = [MENTION, OTHER_MENTION, OTHER_MENTION, BYSTANDER]


class Store:
    """What a pass needs of a store set: rows taken apart at bars, a hyphen for NULL."""

    def __init__(self) -> None:
        self.decoded = 0

    def decoder(self, table: TableSchema) -> Any:
        """Return the decoder of any table."""
        del table

        def decode(row: bytes) -> Cells:
            self.decoded += 1
            return tuple(None if cell == b"-" else cell for cell in row.split(b"|"))

        return decode

    def tables(self) -> tuple[TableSchema, ...]:
        """Return the only table."""
        return (TABLE,)


def passed(*parts: list[bytes], earlier: Sighting | None = None, keep: bool = True) -> TablePass:
    """Return a pass over rows, in as many parts as given, that was told of an earlier one."""
    search = Search(DESCRIBED, Closure(WaId(NUMBER.decode())), b"k" * 32, None, keep, earlier)
    passes = []
    for rows in parts:
        passing = TablePass(cast("StoreSet", Store()), TABLE, search)
        passing.consume(rows)
        passes.append(passing)
    for other in passes[1:]:
        passes[0].merge(other)
    passes[0].recognise()
    return passes[0]


def seen(passing: TablePass) -> Sighting:
    """Return what a later pass is told of this one."""
    assert passing.row_digests is not None
    return Sighting(row_digests={PLACE: passing.row_digests}, mentions={PLACE: passing.mentions})


BEFORE = passed(ROWS)


def after(*parts: list[bytes]) -> TablePass:
    """Return a pass over other rows, that was told of the first."""
    return passed(*parts, earlier=seen(BEFORE))


def kept(state: TableState) -> tuple[int, str, int, str]:
    """Return rows and digests of all who must stay as they are."""
    return state.mention_rows, state.mention_digest, state.bystander_rows, state.bystander_digest


def masked(row: bytes) -> bytes:
    """Return a row with zeros for the number."""
    return row.replace(NUMBER, ZEROS)


def test_masked_rows_are_the_mentions_they_were() -> None:
    """Rows in which zeros took the number's place count, and hash, as they did before."""
    passing = after([masked(MENTION), masked(OTHER_MENTION), masked(OTHER_MENTION), BYSTANDER])
    assert kept(passing.state()) == kept(BEFORE.state())
    assert kept(passing.state())[0::2] == (3, 1)
    assert passing.traces() == []
    assert list(differing(seen(BEFORE), seen(passing))) == []


def test_rows_masked_in_part_are_recognised_and_traced() -> None:
    """A row that still holds the number once is the mention it was, and a trace."""
    half = OTHER_MENTION.replace(NUMBER, ZEROS, 1)
    passing = after([MENTION, half, OTHER_MENTION, BYSTANDER])
    assert kept(passing.state()) == kept(BEFORE.state())
    assert sum(trace.cells for trace in passing.traces()) == 3


def test_each_mention_serves_once() -> None:
    """One masked row stands for one mention: a copy of it is a row too many."""
    doubled = after([*(masked(MENTION) for _ in range(2)), OTHER_MENTION, OTHER_MENTION, BYSTANDER])
    assert kept(doubled.state())[0::2] == (3, 2)
    missing = after([MENTION, masked(OTHER_MENTION), BYSTANDER])
    assert kept(missing.state())[0::2] == (2, 1)


def test_parts_of_a_table_are_recognised_together() -> None:
    """What parts saw is put together before masked rows are recognised, whoever saw them."""
    half = OTHER_MENTION.replace(NUMBER, ZEROS, 1)
    passing = after([BYSTANDER, masked(MENTION)], [half], [masked(OTHER_MENTION)])
    assert kept(passing.state()) == kept(BEFORE.state())
    first = passed([MENTION], [OTHER_MENTION, OTHER_MENTION, BYSTANDER])
    again = passed([masked(row) for row in ROWS], earlier=seen(first))
    assert kept(again.state()) == kept(first.state()) == kept(BEFORE.state())


def test_a_harmed_mention_is_not_recognised() -> None:
    """One character more, in the same cell or in another, and the row is somebody else's, changed."""
    for harmed in (
        masked(MENTION).replace(b"now", b"not"),
        masked(MENTION).replace(b"ada", b"eve"),
        masked(MENTION) + b"|more",
        masked(MENTION).replace(b"|-", b"|x"),
        b"-|ada|-",
    ):
        passing = after([harmed, OTHER_MENTION, OTHER_MENTION, BYSTANDER])
        assert kept(passing.state())[0::2] == (2, 2), harmed
        ((store, table, gone, new),) = differing(seen(BEFORE), seen(passing))
        assert ((store, table), len(gone), len(new)) == (PLACE, 1, 1)


def test_a_row_of_another_shape_is_not_recognised() -> None:
    """Where a table lost a column its rows are compared all the same, and none is recognised."""
    passing = after([MENTION, b"-|bob", OTHER_MENTION, BYSTANDER])
    assert kept(passing.state())[0::2] == (2, 2)


def test_others_are_compared_as_they_are() -> None:
    """A bystander's row that changed, went or came is never taken for a masked mention."""
    for rows, expected in (
        ([*ROWS[:3], b"good evening|ada|-"], (3, 1)),
        (ROWS[:3], (3, 0)),
        ([*ROWS, b"hello|zoe|-"], (3, 2)),
    ):
        passing = after(rows)
        assert kept(passing.state())[0::2] == expected
        assert kept(passing.state()) != kept(BEFORE.state())


def test_nothing_is_kept_that_was_not_asked_for() -> None:
    """Where rows are not to be kept none are, and without an earlier pass none are new."""
    bare = passed(ROWS, keep=False)
    assert (bare.row_digests, bare.mentions) == (None, {})
    assert kept(bare.state()) == kept(BEFORE.state())
    assert kept(passed([masked(row) for row in ROWS]).state())[0::2] == (0, 4)


def test_known_rows_are_not_taken_apart() -> None:
    """A pass takes rows apart that are new, or may name somebody, and no others."""
    store = Store()
    search = Search(DESCRIBED, Closure(WaId(NUMBER.decode())), b"k" * 32, None, True, seen(BEFORE))
    passing = TablePass(cast("StoreSet", store), TABLE, search)
    passing.consume([BYSTANDER])
    assert store.decoded == 0
    passing.consume([b"good evening|ada|-"])
    assert store.decoded == 1


def test_a_sweep_recognises_before_it_counts() -> None:
    """What a sweep tells of a table is what was counted after masked rows were recognised."""

    def sighted(rows: list[bytes], earlier: Sighting | None) -> Sighting:
        search = Search(DESCRIBED, Closure(WaId(NUMBER.decode())), b"k" * 32, None, True, earlier)
        store = cast("StoreSet", Store())

        def scan(table: TableSchema, passing: TablePass) -> int:
            del table
            passing.consume(rows)
            return 1

        return sweep_with(store, lambda table: TablePass(store, table, search), scan)

    first = sighted(ROWS, None)
    assert first.mentions[PLACE].keys() == BEFORE.mentions.keys()
    second = sighted([masked(row) for row in ROWS], first)
    assert [kept(state) for state in second.tables] == [kept(BEFORE.state())]
