"""How full a store set is, and how busy: cheap, in short reads, without a transaction.

Everything is first taken from the server's own catalog. Rows are counted only in the one table
whose number decides something, only where the estimate could be on either side of a threshold,
and only as long as the limit lets it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from harness.clock import now
from harness.errors import StoreError
from harness.model import STOPPED, EngineKind, Moment, TableSchema
from harness.model.collected import TableWeight, Weighed
from harness.stores.keyset import impatient, named
from harness.stores.local_disk import fullest
from harness.stores.mysql_weight import MySqlScales
from harness.stores.postgres_weight import PostgresScales
from harness.stores.protocol import StoreSet
from harness.stores.scales import Estimate, Limits, Scales, told
from harness.stores.traffic import Rate, rate

_SCALES: Final[dict[EngineKind, Callable[[StoreSet], Scales]]] = {
    EngineKind.MYSQL: MySqlScales,
    EngineKind.POSTGRES: PostgresScales,
}


def weigh(store_set: StoreSet, run: str, moment: Moment, limits: Limits) -> Weighed:
    """Weigh every table of a store set; only reads.

    Args:
        store_set: A set with at least one store present; its own connections are left alone.
        run: The run that it is for.
        moment: When in the run that is.
        limits: What decides about counting, and how long it may take.

    Raises:
        StoreUnreachableError: The server does not answer, or went away.
        StoreError: It refused to show its catalog.
    """
    at, started_s = now(), time.perf_counter()
    with impatient(store_set) as own:
        scales = _SCALES[own.config.engine](own)
        tables = own.tables()
        estimates = list(scales.estimates(tables))
        lag = told(scales.unseen, "the purge's lag", scales.purge_lag)
        folders = told(scales.unseen, "the server's disk", scales.data_folders) or ()
        disk = fullest(folders)
        outbound = _rate(own, scales, tables, limits)
        # A count that is stopped ends a connection, so it comes last.
        weights = sorted(_weights(scales, estimates, limits))
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
        unseen=tuple(scales.unseen),
    )


def _weights(
    scales: Scales, estimates: Sequence[Estimate], limits: Limits
) -> Iterator[TableWeight]:
    for estimate in estimates:
        place = (estimate.table.store, estimate.table.label)
        settled = _settled(scales, estimate, limits) if place == limits.messages else estimate
        yield TableWeight(
            *place,
            settled.rows,
            settled.exact,
            settled.size_bytes,
            settled.dead_rows,
            settled.free_bytes,
        )


def _settled(scales: Scales, estimate: Estimate, limits: Limits) -> Estimate:
    """Return the estimate, or where it is near a threshold and there is time, the count."""
    what = f"the exact number of rows in {'.'.join(limits.messages)}"
    widened = told(scales.unseen, what, lambda: scales.widened(estimate))
    if widened is None or widened.exact or not is_near(widened, limits.thresholds):
        return widened or estimate
    try:
        count = told(scales.unseen, what, lambda: scales.count(widened.table, limits.count_limit_s))
    except StoreError as error:
        if error.code != STOPPED:
            raise
        scales.unseen.append(
            f"{what} could not be seen, and the estimate is near a limit, since counting took "
            f"longer than {limits.count_limit_s:g} s: SELECT count(*) from it in a quiet hour."
        )
        return widened
    return widened if count is None else replace(widened, rows=count, exact=True)


def is_near(estimate: Estimate, thresholds: Sequence[int]) -> bool:
    """Tell whether the truth may be on either side of a threshold: above it, or not."""
    return any(estimate.least <= threshold < estimate.most for threshold in thresholds)


def _rate(own: StoreSet, scales: Scales, tables: Sequence[TableSchema], limits: Limits) -> Rate:
    """Measure the outbound rate, and say so where that cannot be done."""
    name = ".".join(limits.messages)
    table = named(tables, limits.messages)
    if table is None:
        scales.unseen.append(
            f"{name} is not there, or is hidden from this account, so that neither its rows nor "
            "the rate of messages could be seen: give the table's name as it is, or the "
            "account the right to SELECT from it."
        )
        return Rate(None, limits.window_s)

    def measured() -> Rate:
        return rate(own, table, scales.now_s(), limits.window_s, limits.newest_rows)

    found = told(scales.unseen, "the rate of outbound messages", measured)
    if found is None:
        return Rate(None, limits.window_s)
    if found.per_s is None:
        scales.unseen.append(
            f"the rate of outbound messages could not be seen in {name}, since {found.why}: take "
            "it from the client's own monitoring."
        )
    return found
