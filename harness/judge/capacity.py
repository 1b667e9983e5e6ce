"""Rules about how full a client's stores are before an upgrade: each limit, and the way out.

Limits are called the guide's where the vendor's public documentation states them, and the
site's where it does not; fixtures/gc/policy.toml says which is which.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from harness.judge.runs import REMARK, Run
from harness.model import (
    ClientSeen,
    Collected,
    Drifted,
    EngineKind,
    Finding,
    FindingKind,
    Garbage,
    GateOpened,
    LogsWeighed,
    TableWeight,
    Weighed,
)

GUIDE: Final = "the guide's"
SITE: Final = "the site's"
GUIDES: Final = {
    "large_rows": 2_000_000,
    "repeat_rows": 10_000_000,
    "api_driven_per_s": 120,
    "every_h": 24,
}
"""The limits that the guide states, by their names in the policy; all others are the site's."""
MESSAGES: Final = ("messageStore", "messages")
QUEUE: Final = ("callbackStore", "queue")
_MILLION: Final = 1_000_000
_THOUSAND: Final = 1_000
# Below this a few dead rows are a large share, and the next vacuum or page split is no matter.
_ROWS_LEAST: Final = 10_000
# InnoDB extends a table by some MiB at a time: a small one is mostly free space.
_FREE_BYTES_LEAST: Final = 16 * 1024 * 1024
_GIB: Final = 1024**3


def whose(name: str, value: float) -> str:
    """Return whose a limit is: the guide's only where it has the guide's own value."""
    return GUIDE if GUIDES.get(name) == value else SITE


def _newest(run: Run) -> Weighed | None:
    return next(reversed(run.all(Weighed)), None)


def _gate(run: Run) -> GateOpened | None:
    return next(reversed(run.all(GateOpened)), None)


def _table(weighed: Weighed, place: tuple[str, str]) -> TableWeight | None:
    """Return the weight of a table; nothing where its rows could not be told."""
    found = (one for one in weighed.tables if (one.store, one.table) == place and one.rows >= 0)
    return next(found, None)


def messages_weighed(weighed: Weighed) -> TableWeight | None:
    """Return the weight of the messages; nothing where their rows could not be told."""
    return _table(weighed, MESSAGES)


def messages(run: Run) -> Iterator[Finding]:
    """The messages table must not be large, as it was weighed last."""
    gate, weighed = _gate(run), _newest(run)
    if gate is None or weighed is None:
        return
    table = _table(weighed, MESSAGES)
    if table is None:
        why = (
            "its rows could not be told, so it is not known whether the database is large: check "
            "the prefix of the store set and the right to read this table"
        )
        if not _is_missing(run):  # which is told as such
            yield run.finding(FindingKind.COVERAGE, why, place=(*MESSAGES, ""))
    elif table.rows > gate.large_rows:
        why = _large(table, gate) + _in_vain(run)
        yield run.finding(FindingKind.CAPACITY, why, place=(*MESSAGES, ""), count=table.rows)


def _is_missing(run: Run) -> bool:
    store, table = MESSAGES
    gone = ((one.store, one.table) for one in run.all(Drifted) if one.missing and not one.column)
    return any(place in {(store, ""), (store, table)} for place in gone)


def _large(table: TableWeight, gate: GateOpened) -> str:
    if table.rows > gate.repeat_rows:
        limit = f"{whose('repeat_rows', gate.repeat_rows)} {figure(gate.repeat_rows)}"
        rows = _rows(table, gate.repeat_rows)
        return (
            f"very large: {rows} rows, above {limit}: run garbage collection several times, until "
            "it ends without errors, before the upgrade (--run-gc)"
        )
    limit = f"{whose('large_rows', gate.large_rows)} {figure(gate.large_rows)}"
    rows = _rows(table, gate.large_rows)
    return (
        f"large: {rows} rows, above {limit}: run garbage collection before the upgrade (--run-gc)"
    )


def figure(rows: int) -> str:
    """Write a number of rows so that nobody takes it for somebody's number."""
    if rows < _THOUSAND:
        return str(rows)
    if rows < _MILLION - _THOUSAND // 20:
        return f"{rows / _THOUSAND:.1f} thousand"
    return f"{rows / _MILLION:.1f} million"


def _rows(table: TableWeight, limit: int) -> str:
    """Return a table's rows beside a limit that they are above of, however little."""
    shown = figure(table.rows)
    if not table.exact:
        return f"about {shown}"
    return f"just above {shown}" if shown == figure(limit) else shown


def _in_vain(run: Run) -> str:
    """Say what collections have come to, of a table that is still large."""
    done = [one for one in run.all(Collected) if one.garbage is Garbage.MESSAGES]
    if not done:
        return "" if collected_lately(run) else f"; no complete one is known {_since(run)}"
    before, after = done[0].rows_before, done[-1].rows_after
    grew = before is not None and after is not None and after > before
    none = all(one.deleted == 0 for one in done) or (before is not None and before == after)
    if not grew and not none:
        return "; collected, and still large"
    what = "its rows grew all the same" if grew else "it took none away"
    return f"; collected, and {what}: mark inbound messages read first, then collect again"


def dead(run: Run) -> Iterator[Finding]:
    """Dead rows and free space must not make up much of a table.

    A collection leaves both behind, and they are filled again: after one they matter only
    where the disk is short.
    """
    if _is_short(run) or not collected_lately(run):
        yield from _dead(run)


def _dead(run: Run) -> Iterator[Finding]:
    gate, weighed = _gate(run), _newest(run)
    if gate is None or weighed is None:
        return
    most = gate.dead_share_most
    for table in weighed.tables:
        place = (table.store, table.table, "")
        gone = table.dead_rows or 0
        rows = table.rows + gone
        share = gone / rows if rows >= _ROWS_LEAST else 0.0
        free = _free_share(table)
        if share > most:
            what, count = f"{share:.0%} of its rows are dead", gone
        elif free > most:
            what, count = f"{free:.0%} of its bytes are free space", 1
        else:
            continue
        limit = f"above {SITE} limit of {most:.0%}"
        why = f"{what}, {limit}: {_remedy(run)}"
        yield run.finding(FindingKind.CAPACITY, why, place=place, count=count)


def remarks(run: Run) -> Iterator[Finding]:
    """Yield what is good to know about the room: shown, never decisive."""
    if collected_lately(run) and not _is_short(run):
        for one in _dead(run):
            why = f"{REMARK}{one.why}; a collection leaves this behind, and new rows fill it"
            yield replace(one, why=why)
    yield from _rebuilding(run)
    for gate in run.all(GateOpened)[-1:]:
        now, then = _time(_looked_at(run)), _time(gate.last_collection_at)
        if now and then and now < then:
            why = (
                f"{REMARK}the last complete one is of {gate.last_collection_at}, which is yet to "
                "come, so that it is taken as not known: set the clocks right"
            )
            yield run.finding(FindingKind.CAPACITY, why, surface="garbage collection, last")


def collected_lately(run: Run) -> bool:
    """Tell whether a complete collection of messages is known within the interval for them."""
    gate, now = _gate(run), _time(_looked_at(run))
    if gate is None or now is None:
        return False
    then = _time(last_collection_at(run))
    return then is not None and now - then <= timedelta(hours=gate.collection_every_h)


def last_collection_at(run: Run) -> str:
    """Return when messages were last collected to the end; empty where that is not known.

    A time that is yet to come tells nothing: somebody's clock is wrong.
    """
    gate, now = _gate(run), _time(_looked_at(run))
    known = [
        one.at for one in run.all(Collected) if one.complete and one.garbage is Garbage.MESSAGES
    ]
    known += [gate.last_collection_at] if gate else []
    past = [one for one in known if (at := _time(one)) and (now is None or at <= now)]
    return max(past, default="")


def _looked_at(run: Run) -> str:
    weighed = _newest(run)
    return weighed.at if weighed else run.opened.at


def _free_share(table: TableWeight) -> float:
    # Its size is of what it holds, and the free space comes on top.
    free = table.free_bytes or 0
    return free / (table.size_bytes + free) if free >= _FREE_BYTES_LEAST else 0.0


def _remedy(run: Run) -> str:
    """Return the engine's own way to be rid of what is dead."""
    if run.opened.engine.startswith(EngineKind.POSTGRES):
        return "VACUUM it in a quiet period"
    return "OPTIMIZE TABLE in a quiet period, which needs free disk for a second copy of it"


def disk(run: Run) -> Iterator[Finding]:
    """A share of the server's disk must be free."""
    gate, share = _gate(run), _free_disk(run)
    if gate is None or share is None or share >= gate.disk_free_share_least:
        return
    limit = f"below {SITE} limit of {gate.disk_free_share_least:.0%}"
    why = f"{share:.0%} of the server's disk is free, {limit}: make room on it"
    yield run.finding(FindingKind.CAPACITY, why, surface="disk, free share")


def _is_short(run: Run) -> bool:
    return any(True for _ in disk(run))


def _free_disk(run: Run) -> float | None:
    """Return which share of the server's disk is free; nothing where that is not known."""
    weighed = _newest(run)
    if weighed is None or weighed.disk_free_bytes is None or not weighed.disk_size_bytes:
        return None
    return weighed.disk_free_bytes / weighed.disk_size_bytes


def _rebuilding(run: Run) -> Iterator[Finding]:
    """Say so where the largest table could not be rebuilt; nobody says that an upgrade does so."""
    weighed = _newest(run) if _gate(run) else None
    if weighed is None or weighed.disk_free_bytes is None:
        return
    free = weighed.disk_free_bytes
    largest = max(weighed.tables, key=lambda one: one.size_bytes, default=None)
    if largest and free < largest.size_bytes:
        why = (
            f"{REMARK}{free / _GIB:.1f} GiB are free on the server's disk, and to rebuild its "
            f"largest table, if that is ever needed, takes {largest.size_bytes / _GIB:.1f} GiB"
        )
        place = (largest.store, largest.table, "")
        yield run.finding(FindingKind.CAPACITY, why, place=place, surface="disk, largest table")


def pending(run: Run) -> Iterator[Finding]:
    """Callbacks and messages that wait must be few, or the upgrade interrupts their delivery."""
    gate = _gate(run)
    if gate is None:
        return
    most = gate.pending_callbacks_most
    limit = f"above {SITE} limit of {most}"
    for name, count in _waiting(run):
        if count > most:
            why = (
                f"{name} wait, {limit}: let them be delivered first; if they do not get fewer, "
                "look whether the webhook answers"
            )
            yield run.finding(FindingKind.CAPACITY, why, surface=f"pending {name}", count=count)


def _waiting(run: Run) -> Iterator[tuple[str, int]]:
    """Yield what waits, as the client counts it; else as its table does."""
    seen = next(reversed(run.all(ClientSeen)), None)
    if seen and seen.pending_callbacks is not None:
        yield "callbacks", seen.pending_callbacks
    elif (weighed := _newest(run)) and (queue := _table(weighed, QUEUE)):
        yield "callbacks", queue.rows
    if seen and seen.pending_messages is not None:
        yield "messages", seen.pending_messages


def logs(run: Run) -> Iterator[Finding]:
    """Logs must be rotated, and old archives taken away."""
    for weighed in run.all(LogsWeighed)[-1:]:
        for folder in weighed.folders:
            surface = f"logs {folder.label}"
            if folder.overdue:
                why = "logs are larger than rotation leaves them: see that it runs, and run it"
                yield run.finding(
                    FindingKind.CAPACITY, why, surface=f"{surface}, overdue", count=folder.overdue
                )
            if folder.surplus:
                why = (
                    "archives are kept beyond those that the policy keeps: run the clean-up daily "
                    "(python -m harness.maintenance.schedule looks whether it does)"
                )
                yield run.finding(
                    FindingKind.CAPACITY, why, surface=f"{surface}, surplus", count=folder.surplus
                )


def overdue(run: Run) -> Iterator[Finding]:
    """At a high rate a complete collection must be known, and not be long ago.

    Of a table that is large it is told with its rows.
    """
    gate, weighed = _gate(run), _newest(run)
    if gate is None or weighed is None or collected_lately(run):
        return
    most_per_s = gate.api_driven_rate_per_s
    if (weighed.sent_per_s or 0) <= most_per_s:
        return
    advice = whose("every_h", gate.collection_every_h)
    limit = whose("api_driven_per_s", most_per_s)
    why = (
        f"no complete garbage collection is known {_since(run)}, and more than {most_per_s:g} "
        f"messages a second are sent, {limit} limit for automatic collection: {advice} advice is "
        f"one every {gate.collection_every_h:g} h in a quiet period (--run-gc)"
    )
    yield run.finding(FindingKind.CAPACITY, why, surface="garbage collection, last")


def _since(run: Run) -> str:
    last = last_collection_at(run)
    return f"since {last}" if last else "at all"


def _time(text: str) -> datetime | None:
    """Read a time as evidence tells it; nothing where there is none."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return None
