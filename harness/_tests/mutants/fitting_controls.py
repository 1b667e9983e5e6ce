"""Controls of what fits: only a table that cannot take its canary goes without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final
from unittest import mock

from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.memory_stores import MemoryStores
from harness._tests.mutants.step_controls import WHERE, as_stores
from harness.model import ColumnSchema, EngineKind, SeedRow, TableSchema
from harness.stores import fitting
from harness.stores.condition import Demand
from harness.stores.fitting import Misfit, fit

COLUMNS: Final = (
    ColumnSchema("number", "bigint"),
    ColumnSchema("positive", "INT UNSIGNED"),
    ColumnSchema("text", "text"),
    ColumnSchema("extra", "bigint"),
    ColumnSchema("more", "bigint"),
)
TABLES: Final = tuple(TableSchema(WHERE, name, COLUMNS) for name in ("one", "two"))


def fitting_controls() -> Iterator[Control]:
    """Yield the controls of what fits."""
    for claim in CLAIMS:
        yield Control(f"fits: {named(claim)}", claim)


def _row(table: str = "one", **values: Any) -> SeedRow:
    return SeedRow(WHERE, table, values)


def _fit(
    rows: Sequence[SeedRow], *demands: Demand
) -> tuple[tuple[SeedRow, ...], tuple[Misfit, ...]]:
    asked = mock.Mock(return_value=demands)
    with mock.patch.dict(fitting._DEMANDS, {EngineKind.MYSQL: asked}):
        found = fit(as_stores(MemoryStores({})), TABLES, rows)
    assert asked.call_count == bool(rows)
    return found


def _demand(column: str, table: str = "one", *, fillable: bool = True) -> Demand:
    return Demand(WHERE, table, column, fillable)


def _what_is_demanded_is_filled() -> None:
    """A counter that the manifest lacks gets a negative value, another in each row."""
    demands = (_demand("extra"), _demand("number"), _demand("more"))
    rows, misfits = _fit([_row(number=1), _row(number=2), _row("two", number=3)], *demands)
    assert misfits == ()
    assert [row.values["number"] for row in rows] == [1, 2, 3]
    first, second, third = (row.values for row in rows)
    assert "extra" not in third
    filled = {first["extra"], second["extra"]}
    assert first["extra"] == first["more"]
    assert len(filled) == 2
    assert all(isinstance(value, int) and value < -1_019 for value in filled)


def _what_cannot_be_filled_does_not_fit() -> None:
    """A table that demands what nobody knows goes without any of its rows, and is named."""
    given = [_row(number=1), _row("two", number=2), _row(number=3, more=4)]
    rows, misfits = _fit(given, _demand("extra"), _demand("more", fillable=False))
    assert rows == (given[1],)
    why = "column more wants a value that only the client knows"
    assert misfits == (Misfit(WHERE, "one", why),)
    assert _fit([given[2]], _demand("more", fillable=False)) == ((given[2],), ())


def _what_is_of_another_type_does_not_fit() -> None:
    """Text does not fit into a number, nor what is negative where nothing may be."""
    for column, value, fits in (
        ("number", "x", False),
        ("number", b"x", False),
        ("number", -1, True),
        ("number", None, True),
        ("positive", -1, False),
        ("positive", 1, True),
        ("positive", 0, True),
        ("positive", None, True),
        ("text", "x", True),
        ("text", b"x", True),
        ("text", -1, True),
    ):
        row = SeedRow(WHERE, "one", {column: value})
        rows, misfits = _fit([row])
        assert (rows, len(misfits)) == (((row,), 0) if fits else ((), 1))
        assert all(column in one.why for one in misfits)


def _the_first_reason_is_told() -> None:
    """A table is named once, for what its first row does not fit; nothing at all asks nobody."""
    _, misfits = _fit([_row(number="x"), _row(positive=-1), _row("two", text="x")])
    assert [(one.table, "number" in one.why) for one in misfits] == [("one", True)]
    assert _fit([]) == ((), ())


CLAIMS: Final[tuple[Callable[[], None], ...]] = (
    _what_is_demanded_is_filled,
    _what_cannot_be_filled_does_not_fit,
    _what_is_of_another_type_does_not_fit,
    _the_first_reason_is_told,
)
