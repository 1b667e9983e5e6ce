"""How many messages went out a second lately, from the newest rows; never a pass over a table.

Rows are read from the end of their integer key backwards, some thousands at a time, until none
of them is of the window any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.model import TableSchema
from harness.stores.keyset import integer_key, quoted, source
from harness.stores.protocol import StoreSet

_STEP_ROWS: Final = 10_000
_AHEAD_S: Final = 60.0
"""How far a row's time may be ahead of the server's clock before clocks are taken to differ."""
_SHORTEST_S: Final = 1.0
# More than so many seconds are later than the year 5000, so they are milliseconds.
_MILLISECONDS: Final = 100_000_000_000
_OUTBOUND: Final = "key_from_me"
_AT: Final = "timestamp"
_NEWEST: Final = """
    SELECT count(*), min(k),
           sum(CASE WHEN at_s >= %s AND at_s <= %s THEN 1 ELSE 0 END),
           sum(CASE WHEN at_s >= %s AND at_s <= %s AND outbound = 1 THEN 1 ELSE 0 END),
           sum(CASE WHEN at_s > %s THEN 1 ELSE 0 END),
           min(CASE WHEN at_s >= %s THEN at_s END)
    FROM (SELECT {key} AS k, {outbound} AS outbound,
                 CASE WHEN {at} > {limit} THEN {at} / 1000.0 ELSE {at} END AS at_s
          FROM {source}{where} ORDER BY {key} DESC LIMIT {step}) newest"""


@dataclass(frozen=True, slots=True)
class Rate:
    """Outbound messages a second, over how many seconds; None with the reason `why`."""

    per_s: float | None
    window_s: float
    why: str = ""


@dataclass(slots=True)
class _Tally:
    """What was read so far: rows, those in the window, those that went out, those ahead of now."""

    rows: int = 0
    recent: int = 0
    outbound: int = 0
    ahead: int = 0
    oldest_s: float | None = None


def rate(
    store_set: StoreSet, table: TableSchema, now_s: float, window_s: float, newest_rows: int
) -> Rate:
    """Return the rate of outbound messages over the window that ends now.

    Where the window has more than `newest_rows` rows, the rate is of the time that these take.

    Args:
        store_set: A set that is in no transaction.
        table: The messages; `timestamp` may be in seconds or milliseconds since 1970.
        now_s: The server's own time, in seconds since 1970.
        window_s: How far back.
        newest_rows: How many rows are read at the most.

    Raises:
        StoreError: The server refused, or somebody has locked the table.
    """
    key = integer_key(store_set, table)
    names = {column.name for column in table.columns}
    if missing := sorted({_OUTBOUND, _AT} - names):
        return Rate(None, window_s, f"it has no column {' or '.join(missing)}")
    if not key:
        return Rate(None, window_s, "it has no integer key, without which all rows would be read")
    tally, is_whole = _read(store_set, table, key, (now_s, now_s - window_s, newest_rows))
    if tally.ahead > tally.recent:
        why = "most of its newest rows bear a time that the server's clock has not reached"
        return Rate(None, window_s, why)
    covered_s = window_s
    if not is_whole and tally.oldest_s is not None:
        covered_s = min(window_s, max(now_s - tally.oldest_s, _SHORTEST_S))
    return Rate(tally.outbound / covered_s, covered_s)


def _read(
    store_set: StoreSet, table: TableSchema, key: str, asked: tuple[float, float, int]
) -> tuple[_Tally, bool]:
    """Read the newest rows; tell too whether those were all of the window."""
    now_s, edge_s, newest_rows = asked
    limit_s = now_s + _AHEAD_S
    tally = _Tally()
    below: int | None = None
    while tally.rows < newest_rows:
        step = min(_STEP_ROWS, newest_rows - tally.rows)
        sql = _statement(store_set, table, key, step, is_first=below is None)
        bounds = (edge_s, limit_s, edge_s, limit_s, limit_s, edge_s)
        values = bounds if below is None else (*bounds, below)
        ((rows, below, recent, outbound, ahead, oldest_s),) = store_set.query(
            table.store, sql, values
        )
        if not rows:
            return tally, True
        tally.rows += int(rows)
        tally.recent += int(recent)
        tally.outbound += int(outbound)
        tally.ahead += int(ahead)
        if oldest_s is not None:
            known = (tally.oldest_s, float(oldest_s))
            tally.oldest_s = min(one for one in known if one is not None)
        if rows < step or not (recent or ahead):
            return tally, True
    return tally, False


def _statement(
    store_set: StoreSet, table: TableSchema, key: str, step: int, *, is_first: bool
) -> str:
    name = quoted(store_set, key)
    return _NEWEST.format(
        key=name,
        outbound=quoted(store_set, _OUTBOUND),
        at=quoted(store_set, _AT),
        limit=_MILLISECONDS,
        source=source(store_set, table),
        where="" if is_first else f" WHERE {name} < %s",
        step=step,
    )
