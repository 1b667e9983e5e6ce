"""How full a store set is, and how busy: cheap, in short reads, without a transaction.

Everything is first taken from the server's own catalog. Rows are counted only in the one table
whose number decides something, only where the estimate could be on either side of a threshold,
and only as long as the limit lets it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from harness.clock import now
from harness.errors import ConflictError, StoreError, StoreUnreachableError
from harness.model import STOPPED, EngineKind, Moment, TableSchema
from harness.model.collected import TableWeight, Weighed
from harness.stores import mysql_condition, postgres_condition
from harness.stores.keyset import impatient, named
from harness.stores.local_disk import fullest
from harness.stores.mysql_weight import MySqlScales
from harness.stores.postgres_weight import PostgresScales
from harness.stores.protocol import StoreSet
from harness.stores.scales import LOCKED, UNBOUNDED, Estimate, Limits, Scales, told
from harness.stores.traffic import Pulse, Rate, pulse, rate

_MANY: Final = 2
"""Of an estimate so many times a threshold it is only seen whether it is above it."""
_FEW_ROWS: Final = 100_000
"""To go through so many rows takes next to no time."""
_PLACE: Final = re.compile(r"\b[a-z]\w*\.\w+")
_NAMED: Final = 3
_RATE: Final = "the rate of outbound messages"
_SHORTEST_S: Final = 0.05
_QUEUE_SHARE: Final = 0.1
"""How much of the time for counting may go to the queue."""
_SCALES: Final[dict[EngineKind, Callable[[StoreSet], Scales]]] = {
    EngineKind.MYSQL: MySqlScales,
    EngineKind.POSTGRES: PostgresScales,
}


def weigh(
    store_set: StoreSet,
    run: str,
    moment: Moment,
    limits: Limits,
    stores: Sequence[str] = (),
) -> Weighed:
    """Weigh every table of a store set; only reads.

    Args:
        store_set: A set with at least one store present; its own connections are left alone.
        run: The run that it is for.
        moment: When in the run that is.
        limits: What decides about counting, and how long it may take.
        stores: The stores that there should be; those that are not listed may be hidden.

    Raises:
        StoreUnreachableError: The server does not answer, or went away.
        StoreError: It refused to show its catalog.
    """
    at, started_s = now(), time.perf_counter()
    hidden, open_stores = _hidden(store_set, stores)
    with impatient(store_set, open_stores) as own:
        scales = _SCALES[own.config.engine](own)
        tables = own.tables()
        # Meanwhile the key moves on, or does not.
        busy = _watched(own, scales, tables, limits)
        estimates = list(scales.estimates(tables))
        lag = told(scales.unseen, "the purge's lag", scales.purge_lag)
        folders = told(scales.unseen, "the server's disk", scales.data_folders) or ()
        disk = fullest(folders)
        weights = sorted(_weights(scales, estimates, limits))
        outbound = _rate(own, scales, busy, limits)
    return Weighed(
        run=run,
        moment=moment,
        at=at,
        duration_s=time.perf_counter() - started_s,
        tables=tuple(weights),
        disk_free_bytes=disk.free_bytes if disk else None,
        disk_size_bytes=disk.size_bytes if disk else None,
        purge_lag=lag,
        sent_per_s=outbound.per_s,
        rate_window_s=outbound.window_s,
        unseen=tuple(grouped(scales.unseen)),
        hidden=hidden,
        rate_note=outbound.note,
    )


def _hidden(store_set: StoreSet, stores: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what the account may not look at, with the GRANT, and the stores that it may."""
    present = tuple(store_set.databases())
    if store_set.config.engine is EngineKind.MYSQL:
        missing = [store for store in stores if store not in present]
        lacks = mysql_condition.hidden(store_set, missing, writes=False) if missing else ()
    else:
        lacks = postgres_condition.unreachable(store_set)
    closed = {lack.store for lack in lacks}
    sentences = tuple(f"{lack.store}: {lack.statement}" for lack in lacks)
    return sentences, tuple(store for store in present if store not in closed)


def _weights(
    scales: Scales, estimates: Sequence[Estimate], limits: Limits
) -> Iterator[TableWeight]:
    for estimate in estimates:
        place = _place(estimate)
        thresholds = limits.thresholds(place)
        share = 1.0 if place == limits.messages else _QUEUE_SHARE
        limit_s = share * limits.count_limit_s
        settled = _settled(scales, estimate, thresholds, limit_s) if thresholds else estimate
        yield TableWeight(
            *place,
            settled.rows,
            settled.exact,
            settled.size_bytes,
            settled.dead_rows,
            settled.free_bytes,
            settled.least,
            settled.most,
            settled.uncounted,
        )


def _place(estimate: Estimate) -> tuple[str, str]:
    return estimate.table.store, estimate.table.label


def _settled(
    scales: Scales, estimate: Estimate, thresholds: Sequence[int], limit_s: float
) -> Estimate:
    """Return the estimate, or where it is near a threshold and there is time, the count."""
    found = replace(estimate, least=0, most=UNBOUNDED)
    try:
        found = scales.widened(estimate)
        if not found.exact and is_near(found, thresholds):
            found = _counted(scales, found, thresholds, limit_s)
    except StoreUnreachableError:
        raise
    except ConflictError:
        found = replace(found, uncounted=LOCKED)
    except StoreError as error:
        why = _slow(limit_s) if error.code == STOPPED else str(error).rstrip(".")
        found = replace(found, uncounted=why)
    if found.uncounted:
        what = f"the exact number of rows in {'.'.join(_place(estimate))}"
        scales.unseen.append(f"{what} could not be seen, since {found.uncounted}.")
    return found


def _counted(
    scales: Scales, estimate: Estimate, thresholds: Sequence[int], limit_s: float
) -> Estimate:
    """Count, or where that would take long, see at least whether there are too many.

    Raises:
        StoreError: With the code `STOPPED`, if not even a few rows were gone through in time.
    """
    lowest = min(one for one in thresholds if estimate.least <= one < estimate.most)
    until_s = time.monotonic() + limit_s
    if estimate.rows > _MANY * lowest and scales.exceeds(estimate.table, lowest, limit_s):
        estimate = _more(estimate, lowest)
        if not is_near(estimate, thresholds):
            return estimate
    try:
        count = scales.count(estimate.table, max(until_s - time.monotonic(), _SHORTEST_S))
    except StoreError as error:
        if error.code != STOPPED:
            raise
        few = estimate.least <= lowest <= _FEW_ROWS
        if few and scales.exceeds(estimate.table, lowest, limit_s):
            estimate = _more(estimate, lowest)
        slow = _slow(limit_s) if is_near(estimate, thresholds) else ""
        return replace(estimate, uncounted=slow)
    return replace(estimate, rows=count, least=count, most=count, exact=True)


def _more(estimate: Estimate, threshold: int) -> Estimate:
    """Return an estimate that is known to be above a threshold."""
    least = threshold + 1
    rows, most = max(estimate.rows, least), max(estimate.most, least)
    return replace(estimate, rows=rows, least=least, most=most)


def _slow(limit_s: float) -> str:
    return (
        f"counting takes longer than {limit_s:g} s: weigh again in a quiet hour, with statistics "
        "renewed by ANALYZE, or SELECT count(*) from it"
    )


def grouped(sentences: Sequence[str]) -> Iterator[str]:
    """Yield sentences, those that differ only in the place that they name as one."""
    places: dict[str, list[str]] = {}
    for sentence in sentences:
        match = _PLACE.search(sentence)
        place = match[0] if match else ""
        same = places.setdefault(sentence.replace(place, "{}", 1) if place else sentence, [])
        if place not in same:
            same.append(place)
    for sentence, found in places.items():
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        yield sentence.replace("{}", ", ".join(found[:_NAMED]) + more, 1)


def is_near(estimate: Estimate, thresholds: Sequence[int]) -> bool:
    """Tell whether the truth may be on either side of a threshold: above it, or not."""
    return any(estimate.least <= threshold < estimate.most for threshold in thresholds)


def _watched(
    own: StoreSet, scales: Scales, tables: Sequence[TableSchema], limits: Limits
) -> tuple[TableSchema, tuple[Pulse | None]] | None:
    """Return the table with the messages and its pulse, and say so where it cannot be looked at."""
    table = named(tables, limits.messages)
    if table is None:
        scales.unseen.append(
            f"{'.'.join(limits.messages)} is not there, or is hidden from this account, so that "
            "neither its rows nor the rate of messages could be seen: give the table's name as it "
            "is, or the account the right to SELECT from it."
        )
        return None
    first = told(scales.unseen, _RATE, lambda: (pulse(own, table),))
    return (table, first) if first else None


def _rate(
    own: StoreSet,
    scales: Scales,
    watched: tuple[TableSchema, tuple[Pulse | None]] | None,
    limits: Limits,
) -> Rate:
    """Measure the outbound rate, and say so where that cannot be done."""
    if watched is None:
        return Rate(None, limits.window_s)
    table, (first,) = watched

    def measured() -> Rate:
        window = (scales.now_s(), limits.window_s)
        return rate(own, table, first, window, limits.newest_rows)

    found = told(scales.unseen, _RATE, measured)
    if found is None:
        return Rate(None, limits.window_s)
    if found.per_s is None:
        scales.unseen.append(
            f"{_RATE} could not be seen in {'.'.join(limits.messages)}, since {found.why}: take "
            "it from the client's own monitoring."
        )
    elif found.note:
        scales.unseen.append(
            f"{_RATE} is {found.note}: take the exact one from the client's own monitoring."
        )
    return found
