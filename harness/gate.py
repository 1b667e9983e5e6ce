"""The upgrade gate: how full, how busy and how set up a store set is, before a new client goes in.

Read-only, unless the client is to collect garbage: then all is measured again behind it. It
looks for nobody, so it says nothing about any person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from harness.clock import now
from harness.errors import ConflictError, HarnessError, RefusalError, StoreError, WebappError
from harness.judge import capacity
from harness.judge.gate import unlike
from harness.maintenance import policy
from harness.maintenance.collecting import Collecting
from harness.maintenance.gc_policy import GcPolicy
from harness.maintenance.log_weight import weigh_logs
from harness.manifest import Manifest
from harness.model import (
    ClientSeen,
    Drifted,
    EngineKind,
    Failed,
    GateOpened,
    Mode,
    Moment,
    Record,
    RunClosed,
    RunOpened,
    Weighed,
)
from harness.run import Recorder
from harness.stores import StoreSet, drift, postgres_condition
from harness.stores.drift import Drift
from harness.stores.keyset import impatient, source
from harness.stores.scales import Limits
from harness.stores.weight import weigh

CASE: Final = "real stores"
_ENGINES: Final = {"MYSQL": EngineKind.MYSQL.value, "PGSQL": EngineKind.POSTGRES.value}
_ANY_TIME: Final = "or give --gc-any-time"


@dataclass(frozen=True, slots=True)
class Gate:
    """All that one gate needs.

    `logs` are folders with the names that evidence has for them; `last_collection_at` is the
    last complete collection that is known, in ISO 8601, or empty; `any_time` lets garbage be
    collected at a busy time too; `check` raises when the session was interrupted.
    """

    run: str
    store_set: StoreSet
    manifest: Manifest
    engine: str
    policy: GcPolicy
    from_version: str = ""
    to_version: str = ""
    last_collection_at: str = ""
    logs: Sequence[tuple[str, Path]] = ()
    collecting: Collecting | None = None
    any_time: bool = False
    check: Callable[[], None] = field(default=lambda: None)


class _PhaseFailed(Exception):  # noqa: N818  # not an error to report: the record was made
    """A phase failed and was recorded; the gate goes no further."""


def look(gate: Gate, record: Recorder) -> None:
    """Look at everything, have garbage collected if that was asked for, and look again.

    A phase that fails is recorded with one sentence and ends it.

    Raises:
        RefusalError: Garbage was to be collected, and now is not the time; nothing was touched.
    """
    record(_opened(gate))
    record(_asked(gate))
    try:
        with _phase(gate, record, "connect"):
            _require_open(gate.store_set)
        with _phase(gate, record, "schema"):
            for one in drift.compare(gate.store_set, gate.manifest):
                record(_drifted(gate, one))
        with _phase(gate, record, "rights"):
            _require_readable(gate.store_set)
        weighed = _weighed(gate, record, Moment.BEFORE)
        if gate.logs:
            record(weigh_logs(gate.run, gate.logs, policy.load()))
        if gate.collecting:
            _ask_client(gate, gate.collecting, weighed, record)
    except _PhaseFailed:
        return
    record(RunClosed(gate.run, now()))


def _drifted(gate: Gate, one: Drift) -> Drifted:
    tables = gate.manifest.tables
    described = tables.get((one.store, one.table))
    known = {column.name for column in described.columns} if described else set()
    missing = not one.table or (described is not None and (not one.column or one.column in known))
    return Drifted(gate.run, one.store, one.table, one.column, one.why, missing=missing)


def _require_open(store_set: StoreSet) -> None:
    """See that each database may be entered, which looks as if the server were gone otherwise.

    Raises:
        StoreError: One may not.
    """
    if store_set.config.engine is EngineKind.POSTGRES:
        for lack in postgres_condition.unreachable(store_set):
            raise StoreError(f"The account may not connect to {lack.store}: {lack.statement}")


def _require_readable(store_set: StoreSet) -> None:
    """See that every table may be read: of one that may not, catalogs tell something all the same.

    Raises:
        StoreError: One may not.
    """
    with impatient(store_set) as own:
        for table in own.tables():
            sql = f"SELECT 1 FROM {source(own, table)} WHERE 1 = 0"  # noqa: S608  # quoted there
            try:
                own.query(table.store, sql)
            except ConflictError:
                continue  # somebody has locked it, which takes no right away
            except StoreError as error:
                place = f"{table.store}.{table.label}"
                raise StoreError(f"{place} cannot be read. {error}") from None


def _ask_client(gate: Gate, collecting: Collecting, weighed: Weighed, record: Recorder) -> None:
    with _phase(gate, record, "client"):
        seen = _seen(gate, collecting, record)
    if not collecting.due or unlike(seen, weighed, gate.engine):
        return  # somebody else's garbage is left alone; the judge says so
    if not gate.any_time:
        require_quiet(weighed.sent_per_s, gate.last_collection_at, gate.policy)
    with _phase(gate, record, "garbage collection"):
        collecting.collect(gate.run, gate.store_set, record, gate.check)
    _weighed(gate, record, Moment.COLLECTED)


def _seen(gate: Gate, collecting: Collecting, record: Recorder) -> ClientSeen:
    """Look at the client, and at the kind of its database server where it tells that."""
    seen: list[Record] = []
    collecting.look(gate.run, seen.append)
    (found,) = (one for one in seen if isinstance(one, ClientSeen))
    try:
        containers = collecting.webapp.support() if collecting.webapp else ()
        told = {_ENGINES.get(one.engine, "") for one in containers} - {""}
    except WebappError:
        told = set()  # an old client; its counts are left to tell
    found = replace(found, engine=" and ".join(sorted(told)))
    record(found)
    return found


def require_quiet(sent_per_s: float | None, last_at: str, policy: GcPolicy) -> None:
    """Refuse to have garbage collected at a busy time, or again within a day.

    Raises:
        RefusalError: It is not the time.
    """
    if why := untimely(sent_per_s, last_at, policy):
        raise RefusalError(f"{why}; nothing was touched.")


def untimely(sent_per_s: float | None, last_at: str, policy: GcPolicy) -> str:
    """Return why this is not the time to have garbage collected, with the way out; empty if it is.

    Args:
        sent_per_s: The rate of outbound messages now; None if it is not known.
        last_at: The last complete collection that is known, in ISO 8601, or empty.
        policy: The limits.
    """
    if sent_per_s is None:
        return (
            "How busy the client is cannot be seen, and garbage is collected in quiet periods: "
            f"leave --run-gc away, {_ANY_TIME}"
        )
    if sent_per_s > policy.quiet_per_s:
        return (
            f"The client sends {sent_per_s:.2f} messages a second, and the site's limit for "
            f"collecting garbage is {policy.quiet_per_s:g}: run in a quieter hour, {_ANY_TIME}"
        )
    # A time that is yet to come tells nothing, here as in the judge: somebody's clock is wrong.
    if last_at and timedelta(0) <= _since(last_at) < timedelta(hours=policy.every_h):
        whose = capacity.whose("every_h", policy.every_h)
        return (
            f"Garbage was collected completely at {last_at}, and {whose} interval is "
            f"{policy.every_h:g} hours: leave --run-gc away, {_ANY_TIME}"
        )
    return ""


def limits_of(policy: GcPolicy) -> Limits:
    """Return what a weighing is asked by these limits."""
    return Limits(
        policy.large_rows,
        policy.repeat_rows,
        policy.window_s,
        pending_most=policy.pending_callbacks_most,
    )


def _since(moment: str) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(moment)


def _weighed(gate: Gate, record: Recorder, moment: Moment) -> Weighed:
    with _phase(gate, record, "weigh"):
        stores = [store.name for store in gate.manifest.stores]
        limits = limits_of(gate.policy)
        weighed = weigh(gate.store_set, gate.run, moment, limits, stores)
        record(weighed)
        return weighed


@contextmanager
def _phase(gate: Gate, record: Recorder, name: str) -> Iterator[None]:
    try:
        yield
    except RefusalError:
        raise
    except HarnessError as error:
        record(Failed(gate.run, name, type(error).__name__, str(error)))
        raise _PhaseFailed from None


def _opened(gate: Gate) -> RunOpened:
    return RunOpened(
        run=gate.run,
        case=CASE,
        mode=Mode.GATE,
        engine=gate.engine,
        engine_version=gate.store_set.version,
        routine="",
        control=False,
        prefix=gate.store_set.config.prefix,
        subject="",
        at=now(),
        shared=True,
    )


def _asked(gate: Gate) -> GateOpened:
    policy = gate.policy
    return GateOpened(
        run=gate.run,
        from_version=gate.from_version,
        to_version=gate.to_version,
        webapp=gate.collecting is not None,
        last_collection_at=gate.last_collection_at,
        large_rows=policy.large_rows,
        repeat_rows=policy.repeat_rows,
        pending_callbacks_most=policy.pending_callbacks_most,
        dead_share_most=policy.dead_share_most,
        disk_free_share_least=policy.disk_free_share_least,
        api_driven_rate_per_s=policy.api_driven_per_s,
        quiet_rate_per_s=policy.quiet_per_s,
        collection_every_h=policy.every_h,
    )
