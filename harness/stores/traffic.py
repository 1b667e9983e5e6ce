"""How many messages went out a second lately, from the newest rows; never a pass over a table.

Rows are read from the end of their integer key backwards, some thousands at a time, until none
of them is of the window any more. Where rows are deleted as well, those that are left tell too
little: then the numbers that their key went through tell how many there were at the most.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from harness.errors import StoreError
from harness.model import TableSchema
from harness.stores.keyset import counter, integer_key, quoted, source
from harness.stores.protocol import StoreSet

_STEP_ROWS: Final = 10_000
_AHEAD_S: Final = 60.0
"""How far a row's time may be ahead of the server's clock before clocks are taken to differ."""
_SHORTEST_S: Final = 1.0
_SAMPLE_S: Final = 0.3
"""How long a key is watched at the least, to see whether it moves."""
_NEWEST_ROWS: Final = 100
_AT_MOST: Final = (
    "at the most: rows are deleted too, so the numbers that their key went through were counted"
)
_DENIED: Final = "42501"
# More than so many seconds are later than the year 5000, so they are milliseconds.
_MILLISECONDS: Final = 100_000_000_000
_OUTBOUND: Final = "key_from_me"
_AT: Final = "timestamp"
_NEWEST: Final = """
    SELECT count(*), min(k), max(k),
           sum(CASE WHEN at_s >= %s AND at_s <= %s THEN 1 ELSE 0 END),
           sum(CASE WHEN at_s >= %s AND at_s <= %s AND outbound = 1 THEN 1 ELSE 0 END),
           sum(CASE WHEN at_s > %s THEN 1 ELSE 0 END),
           min(CASE WHEN at_s >= %s THEN at_s END),
           min(CASE WHEN at_s >= %s AND at_s <= %s THEN k END)
    FROM (SELECT {key} AS k, {outbound} AS outbound,
                 CASE WHEN {at} > {limit} THEN {at} / 1000.0 ELSE {at} END AS at_s
          FROM {source}{where} ORDER BY {key} DESC LIMIT {step}) newest"""


_UNTIMED: Final = """
    SELECT count(*), sum(CASE WHEN at > 0 THEN 0 ELSE 1 END)
    FROM (SELECT {at} AS at FROM {source} ORDER BY {key} DESC LIMIT {step}) newest"""


@dataclass(frozen=True, slots=True)
class Rate:
    """Outbound messages a second, over how many seconds; None with the reason `why`.

    `note` says what kind of number it is, where it was not simply counted.
    """

    per_s: float | None
    window_s: float
    why: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Pulse:
    """How far a table's key is: the highest that is left, and the last number that was given.

    `at_s` is a monotonic time. `last` is None where it is not known, `why` with the way out.
    """

    at_s: float
    highest: int | None
    last: int | None
    step: int = 1
    why: str = ""


@dataclass(slots=True)
class _Tally:
    """What was read so far: rows, those in the window, those that went out, those ahead of now.

    `highest` is the highest key of all, `lowest` the lowest of a row in the window.
    """

    rows: int = 0
    recent: int = 0
    outbound: int = 0
    ahead: int = 0
    oldest_s: float | None = None
    lowest: int | None = None
    highest: int | None = None


def pulse(store_set: StoreSet, table: TableSchema) -> Pulse | None:
    """Look how far a table's key is; None where it has no integer key.

    Raises:
        StoreError: The server refused, or somebody has locked the table.
    """
    key = integer_key(store_set, table)
    if not key:
        return None
    name = quoted(store_set, key)
    at_s = time.monotonic()
    ((highest,),) = store_set.query(
        table.store, f"SELECT max({name}) FROM {source(store_set, table)}"
    )
    found, why = None, "the server does not number its rows"
    try:
        found = counter(store_set, table, key)
    except StoreError as error:
        if error.code != _DENIED:
            raise
        why = "the sequence of its key may not be read (GRANT SELECT on it to this account)"
    high = None if highest is None else int(highest)
    return Pulse(at_s, high, *found) if found else Pulse(at_s, high, None, why=why)


def rate(
    store_set: StoreSet,
    table: TableSchema,
    first: Pulse | None,
    window: tuple[float, float],
    newest_rows: int,
) -> Rate:
    """Return the rate of outbound messages over the window that ends now.

    Where the window has more than `newest_rows` rows, the rate is of the time that these take.

    Args:
        store_set: A set that is in no transaction.
        table: The messages; `timestamp` may be in seconds or milliseconds since 1970.
        first: The table's pulse, taken some time ago.
        window: The server's own time, in seconds since 1970, and how far back.
        newest_rows: How many rows are read at the most.

    Raises:
        StoreError: The server refused, or somebody has locked the table.
    """
    now_s, window_s = window
    key = integer_key(store_set, table)
    why = _blindness(store_set, table, key)
    if why or first is None:
        return Rate(None, window_s, why)
    tally, is_whole = _read(store_set, table, key, (now_s, now_s - window_s, newest_rows))
    if tally.ahead > tally.recent:
        why = "most of its newest rows bear a time that the server's clock has not reached"
        return Rate(None, window_s, why)
    if not tally.recent:
        time.sleep(max(first.at_s + _SAMPLE_S - time.monotonic(), 0.0))
        if _is_late(store_set, table, key, (first.highest or 0, now_s - window_s)):
            why = "its newest rows bear times of long before they came, as if clocks differed"
            return Rate(None, window_s, why)
        second = pulse(store_set, table)
        if not second:
            return Rate(None, window_s, "it changed")
        return _silent((first, second), tally.highest or 0, window_s)
    return _busy(store_set, table, key, (tally, is_whole), window)


def _blindness(store_set: StoreSet, table: TableSchema, key: str) -> str:
    """Return why a table cannot tell a rate at all; empty if it can."""
    names = {column.name for column in table.columns}
    if missing := sorted({_OUTBOUND, _AT} - names):
        return f"it has no column {' or '.join(missing)}"
    if not key:
        return "it has no integer key, without which all rows would be read"
    untimed = _is_untimed(store_set, table, key)
    return "most of its newest rows bear no time" if untimed else ""


def _is_untimed(store_set: StoreSet, table: TableSchema, key: str) -> bool:
    """Tell whether most of the newest rows have no time, so that the others tell nothing."""
    sql = _UNTIMED.format(
        at=quoted(store_set, _AT),
        key=quoted(store_set, key),
        source=source(store_set, table),
        step=_NEWEST_ROWS,
    )
    ((rows, untimed),) = store_set.query(table.store, sql)
    return 2 * int(untimed or 0) > int(rows)


def _is_late(store_set: StoreSet, table: TableSchema, key: str, since: tuple[int, float]) -> bool:
    """Tell whether there are rows behind a key, so just made, with times of before the window."""
    at, highest, edge_s = quoted(store_set, _AT), *since
    sql = (
        f"SELECT count(*) FROM {source(store_set, table)} WHERE {quoted(store_set, key)} > %s "
        f"AND CASE WHEN {at} > {_MILLISECONDS} THEN {at} / 1000.0 ELSE {at} END < %s"
    )
    return bool(store_set.query(table.store, sql, (highest, edge_s))[0][0])


def _silent(pulses: tuple[Pulse, Pulse], highest: int, window_s: float) -> Rate:
    """Return the rate where no row that is left is of the window: was none made, or none kept?

    `highest` is the key of the newest row that is left from before the window. A pulse may have
    caught a row in passing, so that it does not tell.
    """
    first, second = pulses
    if second.last is None:
        return Rate(None, window_s, f"no row that is left is of the window, and {second.why}")
    gone = (second.last - highest) // second.step
    if gone <= 0:
        return Rate(0.0, window_s)
    moved = (second.last - (first.last or second.last)) // second.step
    # Where it did not move, there was at the most one a little longer than that.
    sampled = max(moved, 1) / (second.at_s - first.at_s)
    return Rate(min(gone / window_s, sampled), window_s, note=_AT_MOST)


def _busy(
    store_set: StoreSet,
    table: TableSchema,
    key: str,
    found: tuple[_Tally, bool],
    window: tuple[float, float],
) -> Rate:
    """Return the rate where rows of the window are left: at the most so many as keys were used."""
    now_s, window_s = window
    tally, is_whole = found
    since_s = window_s
    if tally.oldest_s is not None:
        since_s = min(window_s, max(now_s - tally.oldest_s, _SHORTEST_S))
    within, before = _gone(store_set, table, key, tally)
    covered_s = window_s if is_whole else since_s
    most = tally.outbound + within
    per_s = most / covered_s
    if is_whole and before:
        # What went before the oldest that is left may be of the window, or of any time before:
        # then only what came since is known, and the rate is of that time alone.
        per_s = (most + before) / window_s
        if most / since_s < per_s:
            per_s, covered_s = most / since_s, since_s
    note = _AT_MOST if within or (is_whole and before) else ""
    return Rate(per_s, covered_s, note=note)


def _gone(store_set: StoreSet, table: TableSchema, key: str, tally: _Tally) -> tuple[int, int]:
    """Return how many numbers the key skipped since the oldest row of the window, and before it."""
    now = pulse(store_set, table)
    if now is None or now.highest is None or tally.lowest is None:
        return 0, 0
    name, rows = quoted(store_set, key), source(store_set, table)
    ((left,),) = store_set.query(
        table.store,
        f"SELECT count(*) FROM {rows} WHERE {name} BETWEEN %s AND %s",
        (tally.lowest, now.highest),
    )
    ((previous,),) = store_set.query(
        table.store, f"SELECT max({name}) FROM {rows} WHERE {name} < %s", (tally.lowest,)
    )
    used = (max(now.highest, now.last or 0) - tally.lowest) // now.step + 1
    before = (tally.lowest - int(previous or 0)) // now.step - 1
    return max(used - int(left), 0), max(before, 0)


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
        bounds = (edge_s, limit_s, edge_s, limit_s, limit_s, edge_s, edge_s, limit_s)
        values = bounds if below is None else (*bounds, below)
        ((rows, below, highest, recent, outbound, ahead, oldest_s, lowest),) = store_set.query(
            table.store, sql, values
        )
        if not rows:
            return tally, True
        if tally.highest is None:
            tally.highest = int(highest)
        tally.rows += int(rows)
        tally.recent += int(recent)
        tally.outbound += int(outbound)
        tally.ahead += int(ahead)
        if lowest is not None:
            tally.lowest = int(lowest)
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
