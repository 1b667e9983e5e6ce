"""The judge of an upgrade gate: each rule finds its fault, and a good gate has none."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

import pytest

from harness.judge import GATE_RULES, Run, capacity, judge, judging
from harness.maintenance import gc_policy
from harness.maintenance.policy import Known
from harness.model import (
    ClientNode,
    ClientSeen,
    Collected,
    Drifted,
    Failed,
    Garbage,
    GateOpened,
    History,
    LogsWeighed,
    LogWeight,
    Moment,
    NodeCollection,
    NodeOutcome,
    Record,
    RunClosed,
    RunOpened,
    TableWeight,
    Verdict,
    Weighed,
)

Found = tuple[str, str, str, int, str]
RUN: Final = "gate"
NOW: Final = "2026-11-22T06:00:00Z"
YESTERDAY: Final = "2026-11-21T06:00:00Z"  # just 24 h ago
EARLIER: Final = "2026-11-21T05:59:59Z"
MIB: Final = 1024**2
GIB: Final = 1024**3
OPENED: Final = RunOpened(
    *(RUN, "upgrade gate", "gate", "postgres:10", "10.23", ""),
    control=False,
    prefix="",
    subject="",
    at=NOW,
)
GATE: Final = GateOpened(
    RUN,
    from_version="2.29.1",
    to_version="2.34",
    webapp=True,
    last_collection_at="",
    large_rows=2_000_000,
    repeat_rows=10_000_000,
    pending_callbacks_most=1000,
    dead_share_most=0.2,
    disk_free_share_least=0.2,
    api_driven_rate_per_s=120,
    quiet_rate_per_s=5,
    collection_every_h=24,
)
MESSAGES: Final = TableWeight(
    "messageStore", "messages", 2_000_000, False, 2 * GIB, dead_rows=500_000, free_bytes=0
)
QUEUE: Final = TableWeight("callbackStore", "queue", 1000, True, MIB)
WEIGHED: Final = Weighed(
    *(RUN, Moment.BEFORE, NOW, 0.5, (MESSAGES, QUEUE), 2 * GIB, 10 * GIB, None, 4.0, 900.0)
)
SEEN: Final = ClientSeen(
    *(RUN, NOW, "v2.29.1", (ClientNode("", "connected"),)),
    settings=(("pass_through", False), ("db_garbagecollector_enable", True)),
    messages=2_000_000,
    pending_callbacks=1000,
    pending_messages=1000,
)
LOGS: Final = LogsWeighed(RUN, (LogWeight("web", 3, 30, 90 * MIB, 0, 0),))
CLOSED: Final = RunClosed(RUN, NOW)
GOOD: Final[History] = (OPENED, GATE, WEIGHED, SEEN, LOGS, CLOSED)
COLLECTED: Final = Collected(
    RUN,
    Garbage.MESSAGES,
    NOW,
    60.0,
    1,
    True,
    True,
    9,
    20,
    11,
    (NodeCollection("", "complete"),),  # type: ignore[arg-type]
)
AGAIN: Final = replace(WEIGHED, moment=Moment.AFTER)


def changed(record: Record, **changes: Any) -> History:
    """Return the good gate in which one record says something else."""
    assert record in GOOD
    return tuple(replace(one, **changes) if one is record else one for one in GOOD)


def without(record: Record) -> History:
    """Return the good gate without one record."""
    assert record in GOOD
    return tuple(one for one in GOOD if one is not record)


def weighed(*tables: TableWeight, **changes: Any) -> History:
    """Return the good gate in which these tables were weighed."""
    return changed(WEIGHED, tables=tables, **changes)


def rows(count: int, *, exact: bool = False, **changes: Any) -> TableWeight:
    """Return the messages table with so many rows."""
    return replace(MESSAGES, rows=count, exact=exact, dead_rows=0, **changes)


def collected(
    before: TableWeight, after: TableWeight, *done: Collected, opened: GateOpened = GATE
) -> History:
    """Return a gate that collected garbage, and weighed the tables before and after it."""
    first = replace(WEIGHED, tables=(before, QUEUE))
    second = replace(AGAIN, tables=(after, QUEUE))
    return (OPENED, opened, first, SEEN, LOGS, *done, second, CLOSED)


def settings(*shown: tuple[str, bool], **changes: Any) -> History:
    """Return the good gate whose client shows these settings."""
    return changed(SEEN, settings=shown, **changes)


def on_mysql(history: History) -> History:
    """Return the same gate on MySQL."""
    mysql = replace(OPENED, engine="mysql:5.6")
    return tuple(mysql if one is OPENED else one for one in history)


def lacks(what: str) -> Found:
    """Return the finding about a gate that is not whole."""
    surface = f"run {RUN}"
    return ("coverage", surface, surface, 1, f"the run is not whole: it lacks {what}")


def at(kind: str, surface: str, why: str, count: int = 1) -> Found:
    """Return a finding that is about no table."""
    return (kind, surface, surface, count, why)


def large(count: int, why: str) -> Found:
    """Return the finding about the messages table."""
    return ("capacity", "messageStore.messages", "", count, why)


ONCE = "run garbage collection before the upgrade (--run-gc)"
SEVERAL = (
    "run garbage collection several times, until it ends without errors, before the upgrade "
    "(--run-gc)"
)
ADVICE = "the guide's advice is one every 24 h in a quiet period (--run-gc)"
NEVER = at(
    "capacity",
    "garbage collection, last",
    "no complete garbage collection is known at all, and the messages table is large: " + ADVICE,
)
IN_VAIN = "mark inbound messages read first, then collect again"
FRESH = replace(GATE, last_collection_at=YESTERDAY)
CHECKED = (
    "its rows could not be told, so it is not known whether the database is large: check the "
    "prefix of the store set and the right to read this table"
)
WAIT = (
    "wait, above the site's limit of 1000: let them be delivered first; if they do not get "
    "fewer, look whether the webhook answers"
)
SWITCHED_OFF = (
    "off, and nothing is collected automatically: messages stay; set "
    "db_garbagecollector_enable on and restart the Coreapps [confirmed; settings guide: with "
    "pass_through off the messages table grows]"
)
BUSY = (
    "automatic collection is on, at more than 120 a second: switch it off, restart the Coreapps, "
    "and collect through the API in a quiet period [confirmed; the vendor's advice: above 120 "
    "requests per second collection is driven through the API, every 24 h in a quiet period]"
)
UNTOLD = (
    "not shown by the client, and no default is stated: whether messages are collected "
    "automatically cannot be told; set it explicitly and restart the Coreapps [inferred; settings "
    "guide: automatic collection has a setting from v2.29.1 on]"
)
UPGRADED = (
    "after the upgrade to v2.34 automatic collection is off: set pass_through on before it, or "
    "switch automatic collection on by hand after it where pass_through had been on before "
    "[confirmed; settings guide: an upgrade to v2.29.1 sets db_garbagecollector_enable on where "
    "pass_through is on, and off where it is off]"
)
GROWS = (
    "off, and nothing is collected automatically: messages stay; set pass_through on and "
    "restart the Coreapps, or collect through the API [confirmed; settings guide: with "
    "pass_through off the messages table grows]"
)
NOT_KNOWN = at(
    "coverage",
    "the client's version",
    "it is not known, so its settings cannot be judged: give --from-version",
)
ENDED = "garbage collection did not end: no callback came in 60 s"
LOOK = "look at the client's log, and collect again in a quiet period (--run-gc)"

FOUND: Final[dict[str, tuple[History, Verdict, tuple[Found, ...]]]] = {
    "nothing is wrong": (GOOD, Verdict.CLEAR, ()),
    "nothing is wrong, without the client": (
        tuple(
            replace(GATE, webapp=False) if one is GATE else one for one in GOOD if one is not SEEN
        ),
        Verdict.CLEAR,
        (),
    ),
    "nobody says a version, and nobody has to": (
        tuple(
            replace(GATE, webapp=False, from_version="") if one is GATE else one
            for one in without(SEEN)
        ),
        Verdict.CLEAR,
        (),
    ),
    # --- whole
    "nothing was asked": (without(GATE), Verdict.UNKNOWN, (lacks("what it was asked"),)),
    "nothing was weighed": (
        without(WEIGHED),
        Verdict.UNKNOWN,
        (lacks("the weight of its tables"),),
    ),
    "it was cut off": (without(CLOSED), Verdict.UNKNOWN, (lacks("its last phase"),)),
    "it has two beginnings": ((OPENED, *GOOD), Verdict.UNKNOWN, (lacks("one beginning"),)),
    "the client was not looked at": (
        without(SEEN),
        Verdict.UNKNOWN,
        (lacks("a look at the client through its API"),),
    ),
    "it was not weighed after the collection": (
        (*GOOD[:-1], COLLECTED, CLOSED),
        Verdict.UNKNOWN,
        (lacks("the weight of its tables after the garbage collection"),),
    ),
    "only media were collected": (
        (*GOOD[:-1], replace(COLLECTED, garbage=Garbage.MEDIA), CLOSED),
        Verdict.CLEAR,
        (),
    ),
    "a phase failed": (
        (*without(SEEN)[:-1], Failed(RUN, "client", "WebappUnreachableError", "no answer")),
        Verdict.UNKNOWN,
        (at("coverage", "phase client", "WebappUnreachableError: no answer"),),
    ),
    # --- messages
    "large, by estimate": (
        weighed(rows(2_100_000), QUEUE),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}",
            ),
            NEVER,
        ),
    ),
    "large, counted": (
        weighed(rows(10_000_000, exact=True), QUEUE),
        Verdict.TRACE,
        (
            large(10_000_000, f"large: 10.0 million rows, above the guide's 2.0 million: {ONCE}"),
            NEVER,
        ),
    ),
    "large by one row": (
        weighed(rows(2_000_001, exact=True), QUEUE),
        Verdict.TRACE,
        (
            large(2_000_001, f"large: 2.0 million rows, above the guide's 2.0 million: {ONCE}"),
            NEVER,
        ),
    ),
    "very large": (
        weighed(rows(10_000_001), QUEUE),
        Verdict.TRACE,
        (
            large(
                10_000_001,
                f"very large: about 10.0 million rows, above the guide's 10.0 million: {SEVERAL}",
            ),
            NEVER,
        ),
    ),
    "no messages table": (
        weighed(QUEUE, replace(MESSAGES, store="waweb"), replace(MESSAGES, table="chats")),
        Verdict.UNKNOWN,
        (("coverage", "messageStore.messages", "", 1, CHECKED),),
    ),
    "the messages table was never counted": (
        weighed(rows(-1), QUEUE),
        Verdict.UNKNOWN,
        (("coverage", "messageStore.messages", "", 1, CHECKED),),
    ),
    "no rows at all": (weighed(rows(0), QUEUE), Verdict.CLEAR, ()),
    # --- after --run-gc
    "large before, small after": (
        collected(rows(2_100_000), rows(9), COLLECTED),
        Verdict.CLEAR,
        (),
    ),
    "large before, and after": (
        collected(rows(12_000_000), rows(2_100_000), COLLECTED),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}; "
                "collected, and still large",
            ),
        ),
    ),
    "small before, large after": (
        collected(rows(9), rows(2_100_000), replace(COLLECTED, rows_before=9, rows_after=20)),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}; "
                f"collected, and its rows grew all the same: {IN_VAIN}",
            ),
        ),
    ),
    "nothing was deleted": (
        collected(
            rows(2_100_000),
            rows(2_100_000),
            replace(COLLECTED, deleted=0, rows_before=None, rows_after=None),
        ),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}; "
                f"collected, and it took none away: {IN_VAIN}",
            ),
        ),
    ),
    "as many as before, and nobody says": (
        collected(
            rows(2_100_000),
            rows(2_100_000),
            replace(COLLECTED, deleted=None, rows_before=20, rows_after=20),
        ),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}; "
                f"collected, and it took none away: {IN_VAIN}",
            ),
        ),
    ),
    "the first time took some, the second none": (
        collected(
            rows(2_100_000),
            rows(2_100_000),
            replace(COLLECTED, rows_before=30, rows_after=20),
            replace(COLLECTED, deleted=0, rows_before=20, rows_after=20),
        ),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}; "
                "collected, and still large",
            ),
        ),
    ),
    "nothing is known of what the collection took": (
        collected(
            rows(2_100_000),
            rows(2_100_000),
            replace(COLLECTED, deleted=None, rows_before=None, rows_after=None),
        ),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}; "
                "collected, and still large",
            ),
        ),
    ),
    "nobody counted after the collection": (
        collected(rows(2_100_000), rows(2_100_000), replace(COLLECTED, rows_after=None)),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}; "
                "collected, and still large",
            ),
        ),
    ),
    "nobody counted before the collection": (
        collected(rows(2_100_000), rows(2_100_000), replace(COLLECTED, rows_before=None)),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}; "
                "collected, and still large",
            ),
        ),
    ),
    "a small table of which nothing was deleted": (
        collected(rows(9), rows(9), replace(COLLECTED, deleted=0)),
        Verdict.CLEAR,
        (),
    ),
    "media say nothing about messages": (
        collected(
            rows(2_100_000),
            rows(2_100_000),
            replace(COLLECTED, garbage=Garbage.MEDIA, deleted=0),
            opened=FRESH,
        ),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}",
            ),
        ),
    ),
    # --- collections
    "the collection did not end": (
        collected(
            rows(9),
            rows(9),
            replace(
                COLLECTED,
                complete=False,
                why="no callback came in 60 s",
                nodes=(
                    NodeCollection("one", NodeOutcome.COMPLETE, 5),
                    NodeCollection("two", NodeOutcome.SILENT),
                    NodeCollection("three", NodeOutcome.FAILED),
                ),
            ),
        ),
        Verdict.UNKNOWN,
        (
            at(
                "coverage",
                "garbage collection, messages",
                f"{ENDED}; failed: three; silent: two; {LOOK}",
            ),
        ),
    ),
    "the collection ended, as far as can be told": (
        collected(rows(9), rows(9), replace(COLLECTED, confirmed=False, deleted=None)),
        Verdict.CLEAR,
        (),
    ),
    "the last collection is long ago": (
        collected(
            rows(2_100_000), rows(2_100_000), opened=replace(GATE, last_collection_at=EARLIER)
        ),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}",
            ),
            at(
                "capacity",
                "garbage collection, last",
                f"no complete garbage collection is known since {EARLIER}, and the messages table "
                f"is large: {ADVICE}",
            ),
        ),
    ),
    "the last collection is of yesterday": (
        collected(rows(2_100_000), rows(2_100_000), opened=FRESH),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}",
            ),
        ),
    ),
    "the last collection is of tomorrow": (
        collected(
            rows(2_100_000),
            rows(2_100_000),
            opened=replace(GATE, last_collection_at="2026-11-23T06:00:00Z"),
        ),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}",
            ),
            at(
                "capacity",
                "garbage collection, last",
                "no complete garbage collection is known since 2026-11-23T06:00:00Z, and the "
                f"messages table is large: {ADVICE}",
            ),
        ),
    ),
    "large, and media collected": (
        collected(rows(2_100_000), rows(2_100_000), replace(COLLECTED, garbage=Garbage.MEDIA)),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}",
            ),
            NEVER,
        ),
    ),
    "it cannot be told how long ago the last collection is": (
        tuple(
            FRESH if one is GATE else one
            for one in weighed(rows(2_100_000), QUEUE, at="this morning")
        ),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}",
            ),
            at(
                "capacity",
                "garbage collection, last",
                f"no complete garbage collection is known since {YESTERDAY}, and the messages "
                f"table is large: {ADVICE}",
            ),
        ),
    ),
    "the rate is not known": (changed(WEIGHED, sent_per_s=None), Verdict.CLEAR, ()),
    "it collected, and not to the end": (
        collected(rows(2_100_000), rows(2_100_000), replace(COLLECTED, complete=False, why="x")),
        Verdict.UNKNOWN,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}; "
                "collected, and still large",
            ),
            NEVER,
            at(
                "coverage",
                "garbage collection, messages",
                f"garbage collection did not end: x; {LOOK}",
            ),
        ),
    ),
    "it collected media only": (
        collected(rows(2_100_000), rows(9), replace(COLLECTED, garbage=Garbage.MEDIA)),
        Verdict.CLEAR,
        (),
    ),
    "busy, and never collected": (
        tuple(
            replace(one, settings=(("pass_through", False), ("db_garbagecollector_enable", False)))
            if one is SEEN
            else one
            for one in weighed(MESSAGES, QUEUE, sent_per_s=120.5)
        ),
        Verdict.TRACE,
        (
            at(
                "capacity",
                "garbage collection, last",
                "no complete garbage collection is known at all, and more than 120 messages a "
                f"second are sent, the guide's limit for automatic collection: {ADVICE}",
            ),
        ),
    ),
    # --- dead rows
    "too many dead rows": (
        weighed(replace(MESSAGES, dead_rows=500_001), QUEUE, disk_free_bytes=9 * GIB),
        Verdict.TRACE,
        (
            large(
                500_001,
                "20% of its rows are dead, above the site's limit of 20%: VACUUM it in a quiet "
                "period",
            ),
        ),
    ),
    "too few rows to matter": (
        weighed(
            MESSAGES,
            replace(QUEUE, rows=4000, dead_rows=5999),
            replace(QUEUE, table="other", rows=0),
        ),
        Verdict.CLEAR,
        (),
    ),
    "just enough rows to matter": (
        weighed(MESSAGES, replace(QUEUE, rows=4000, dead_rows=6000)),
        Verdict.TRACE,
        (
            (
                *("capacity", "callbackStore.queue", "", 6000),
                (
                    "60% of its rows are dead, above the site's limit of 20%: VACUUM it in a quiet "
                    "period"
                ),
            ),
        ),
    ),
    "too much free space": (
        on_mysql(weighed(replace(MESSAGES, dead_rows=None, free_bytes=GIB), QUEUE)),
        Verdict.TRACE,
        (
            large(
                1,
                "50% of its bytes are free space, above the site's limit of 20%: OPTIMIZE TABLE "
                "in a quiet period, which needs free disk for a second copy of it",
            ),
        ),
    ),
    "just enough free space to matter": (
        on_mysql(weighed(MESSAGES, replace(QUEUE, free_bytes=16 * MIB, size_bytes=32 * MIB))),
        Verdict.TRACE,
        (
            (
                *("capacity", "callbackStore.queue", "", 1),
                (
                    "50% of its bytes are free space, above the site's limit of 20%: OPTIMIZE TABLE "
                    "in a quiet period, which needs free disk for a second copy of it"
                ),
            ),
        ),
    ),
    "too little free space to matter": (
        on_mysql(
            weighed(
                MESSAGES,
                replace(QUEUE, free_bytes=16 * MIB - 1, size_bytes=16 * MIB),
                replace(QUEUE, table="none", free_bytes=64 * MIB, size_bytes=0),
                replace(QUEUE, table="just", free_bytes=20 * MIB, size_bytes=100 * MIB),
            )
        ),
        Verdict.CLEAR,
        (),
    ),
    # --- disk
    "too little of the disk is free": (
        changed(WEIGHED, disk_size_bytes=20 * GIB),
        Verdict.TRACE,
        (
            at(
                "capacity",
                "disk, free share",
                "10% of the server's disk is free, below the site's limit of 20%: make room on it",
            ),
        ),
    ),
    "no room to rebuild the largest table": (
        changed(WEIGHED, disk_free_bytes=2 * GIB - 1, disk_size_bytes=4 * GIB),
        Verdict.TRACE,
        (
            (
                *("capacity", "messageStore.messages", "disk, largest table", 1),
                (
                    "2.0 GiB are free on the server's disk, and rebuilding its largest table takes "
                    "2.0 GiB: make room on it"
                ),
            ),
        ),
    ),
    "the disk is another machine's": (
        changed(WEIGHED, disk_free_bytes=None, disk_size_bytes=None),
        Verdict.CLEAR,
        (),
    ),
    "the size of the disk is not known": (
        changed(WEIGHED, disk_size_bytes=None),
        Verdict.CLEAR,
        (),
    ),
    "there are no tables": (
        weighed(),
        Verdict.UNKNOWN,
        (("coverage", "messageStore.messages", "", 1, CHECKED),),
    ),
    # --- what waits
    "callbacks wait": (
        changed(SEEN, pending_callbacks=1001),
        Verdict.TRACE,
        (at("capacity", "pending callbacks", f"callbacks {WAIT}", 1001),),
    ),
    "messages wait": (
        changed(SEEN, pending_messages=1001),
        Verdict.TRACE,
        (at("capacity", "pending messages", f"messages {WAIT}", 1001),),
    ),
    "callbacks wait, as the table says": (
        tuple(
            replace(one, pending_callbacks=None) if one is SEEN else one
            for one in weighed(MESSAGES, replace(QUEUE, rows=1001))
        ),
        Verdict.TRACE,
        (at("capacity", "pending callbacks", f"callbacks {WAIT}", 1001),),
    ),
    "the client's own count goes before the table's": (
        weighed(MESSAGES, replace(QUEUE, rows=1001)),
        Verdict.CLEAR,
        (),
    ),
    "the client was not asked, and callbacks wait": (
        tuple(
            replace(one, webapp=False) if one is GATE else one
            for one in weighed(MESSAGES, replace(QUEUE, rows=1001))
            if one is not SEEN
        ),
        Verdict.TRACE,
        (at("capacity", "pending callbacks", f"callbacks {WAIT}", 1001),),
    ),
    "nobody knows what waits": (
        tuple(
            replace(one, pending_callbacks=None, pending_messages=None) if one is SEEN else one
            for one in weighed(MESSAGES)
        ),
        Verdict.CLEAR,
        (),
    ),
    # --- logs
    "logs are not rotated": (
        changed(LOGS, folders=(replace(LOGS.folders[0], overdue=2),)),
        Verdict.TRACE,
        (
            at(
                "capacity",
                "logs web, overdue",
                "logs are larger than rotation leaves them: see that it runs, and run it",
                2,
            ),
        ),
    ),
    "archives are kept": (
        changed(LOGS, folders=(LOGS.folders[0], replace(LOGS.folders[0], label="x", surplus=9))),
        Verdict.TRACE,
        (
            at(
                "capacity",
                "logs x, surplus",
                "archives are kept beyond those that the policy keeps: run the clean-up daily "
                "(python -m harness.maintenance.schedule looks whether it does)",
                9,
            ),
        ),
    ),
    "no logs were given": (without(LOGS), Verdict.CLEAR, ()),
    # --- versions and settings
    "another version than was given": (
        changed(GATE, from_version="2.29.2"),
        Verdict.TRACE,
        (
            at(
                "settings",
                "--from-version",
                "the client says v2.29.1, and v2.29.2 was given: correct --from-version",
            ),
        ),
    ),
    "the same version, written otherwise": (
        changed(GATE, from_version="v2.29.1.0", to_version=""),
        Verdict.CLEAR,
        (),
    ),
    "no version was given": (changed(GATE, from_version=""), Verdict.CLEAR, ()),
    "the client says no version": (changed(SEEN, version=""), Verdict.CLEAR, ()),
    "the client said a version before": (
        tuple(
            replace(one, from_version="") if one is GATE else one
            for one in (*GOOD[:-1], replace(SEEN, version=""), CLOSED)
        ),
        Verdict.CLEAR,
        (),
    ),
    "nobody says a version": (
        tuple(
            replace(one, from_version="") if one is GATE else one
            for one in changed(SEEN, version="stable")
        ),
        Verdict.UNKNOWN,
        (NOT_KNOWN,),
    ),
    "an upgrade to nowhere": (
        changed(GATE, to_version="newest"),
        Verdict.UNKNOWN,
        (
            at(
                "coverage",
                "--to-version",
                "the version to upgrade to is none: write --to-version such as 2.35",
            ),
        ),
    ),
    "an upgrade backwards": (
        changed(GATE, to_version="2.29"),
        Verdict.TRACE,
        (
            at(
                "settings",
                "--to-version",
                "v2.29 is older than v2.29.1, which the client runs: correct --to-version",
            ),
        ),
    ),
    "nothing is collected": (
        settings(("pass_through", False), ("db_garbagecollector_enable", False)),
        Verdict.TRACE,
        (at("settings", "setting pass_through", SWITCHED_OFF),),
    ),
    "nothing is collected, by the version that was given": (
        settings(("pass_through", False), ("db_garbagecollector_enable", False), version=""),
        Verdict.TRACE,
        (at("settings", "setting pass_through", SWITCHED_OFF),),
    ),
    "it was set right meanwhile": (
        (
            *GOOD[:3],
            replace(SEEN, settings=(("db_garbagecollector_enable", False),), version=""),
            *GOOD[3:],
        ),
        Verdict.CLEAR,
        (),
    ),
    "collected automatically at a high rate": (
        tuple(FRESH if one is GATE else one for one in changed(WEIGHED, sent_per_s=121.0)),
        Verdict.TRACE,
        (at("settings", "setting db_garbagecollector_enable", BUSY),),
    ),
    "the setting is not shown": (
        settings(("pass_through", False)),
        Verdict.UNKNOWN,
        (at("coverage", "setting db_garbagecollector_enable", UNTOLD),),
    ),
    "the upgrade switches collection off": (
        tuple(
            replace(one, version="v2.29.0", settings=(("pass_through", False),))
            if one is SEEN
            else one
            for one in changed(GATE, from_version="")
        ),
        Verdict.TRACE,
        (
            at("settings", "setting db_garbagecollector_enable", UPGRADED),
            at("settings", "setting pass_through", GROWS),
        ),
    ),
    # --- drift
    "the schema drifted": (
        (*GOOD[:-1], Drifted(RUN, "waweb", "visits", "", "unknown"), CLOSED),
        Verdict.TRACE,
        (("drift", "waweb.visits", "", 1, "unknown"),),
    ),
}


@pytest.mark.parametrize(("history", "verdict", "expected"), FOUND.values(), ids=FOUND.keys())
def test_each_gate_has_its_findings(
    history: History, verdict: Verdict, expected: tuple[Found, ...]
) -> None:
    """Each fault gives exactly its findings, in these words, and what is no fault gives none."""
    judgement = judge(history)
    found = [(str(f.kind), f.place, f.surface, f.count, f.why) for f in judgement.findings]
    # `place` is the surface where there is no table.
    assert sorted(found) == sorted(expected)
    assert judgement.verdict is verdict
    assert {finding.engine for finding in judgement.findings} <= {"postgres:10", "mysql:5.6"}


@pytest.mark.parametrize("rule", GATE_RULES, ids=lambda rule: f"{rule.__module__}.{rule.__name__}")
def test_each_rule_of_a_gate_is_needed(rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any one rule, at least one of the faults above would pass unseen."""
    monkeypatch.setattr(judging, "GATE_RULES", tuple(one for one in GATE_RULES if one is not rule))
    assert any(len(judge(history).findings) < len(all_) for history, _, all_ in FOUND.values())


def test_a_gate_is_about_nobody() -> None:
    """A gate has no subject, and none is named."""
    assert judge(GOOD).subjects == ()


def remarks(history: History) -> list[tuple[str, str]]:
    """Return what is shown and does not decide: where and why."""
    judgement = judge(history)
    assert all(one.kind.value in {"settings", "drift"} for one in judgement.expected)
    return [(one.place, one.why) for one in judgement.expected]


RESTARTED = (
    "setting restart",
    (
        "remark: whether the Coreapps were restarted since the last change is not known [confirmed; "
        "settings guide: a change of these settings needs a restart of the Coreapps]"
    ),
)
NO_RETURN = (
    "setting pass_through",
    (
        "remark: off, and cannot be switched on again after the upgrade to v2.35 [confirmed; "
        "settings guide: pass_through cannot be switched on again from v2.35 on]"
    ),
)
NODES = "the client's nodes"


def test_what_is_good_to_know_is_shown() -> None:
    """A remark of the settings audit stands among what was expected, and decides nothing."""
    assert remarks(GOOD) == [RESTARTED]
    assert remarks(changed(GATE, to_version="2.35")) == [NO_RETURN, RESTARTED]
    nothing_collected = settings(("pass_through", False), ("db_garbagecollector_enable", False))
    assert remarks(nothing_collected) == [RESTARTED]
    assert remarks(without(SEEN)) == []
    assert remarks(without(GATE)) == []
    unknown = tuple(
        replace(one, from_version="") if one is GATE else one for one in changed(SEEN, version="")
    )
    assert remarks(unknown) == []


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ((), "remark: its health names no node: are its Coreapps running?"),
        (("unregistered",), "remark: its only node is unregistered: is it the one to be upgraded?"),
        (
            ("uninitialized",),
            "remark: its only node is uninitialized: is it the one to be upgraded?",
        ),
        (("connected",), ""),
        (("unregistered", "connected"), ""),
        (("unregistered", "unregistered"), ""),
    ],
)
def test_a_client_that_is_not_in_use_is_remarked(nodes: tuple[str, ...], why: str) -> None:
    """A client without a node, or whose only one is not in use, is told; no other is."""
    seen = tuple(ClientNode(str(n), status) for n, status in enumerate(nodes))
    history = changed(SEEN, nodes=seen)
    assert [said for place, said in remarks(history) if place == NODES] == ([why] if why else [])
    assert judge(history).verdict is Verdict.CLEAR


def test_accepted_drift_does_not_close_a_gate() -> None:
    """Drift that the operator accepted stands among what was expected."""
    drifted = Drifted(RUN, "waweb", "visits", "", "unknown", accepted=True)
    history = (*GOOD[:-1], drifted, CLOSED)
    assert judge(history).verdict is Verdict.CLEAR
    assert ("waweb.visits", "accepted: unknown") in remarks(history)


def test_whose_a_limit_is_follows_the_policy() -> None:
    """Only a limit that the policy marks as confirmed is called the guide's."""
    known = {name.partition(".")[2]: mark for name, mark in gc_policy.load().known.items()}
    for name, whose in capacity.LIMITS.items():
        confirmed = known[name] is Known.CONFIRMED
        assert whose == (capacity.GUIDE if confirmed else capacity.SITE), name


def test_no_sentence_holds_a_long_number() -> None:
    """Numbers of rows stand in `count`, and in sentences only as millions."""
    for history, _, _ in FOUND.values():
        for finding in judge(history).findings:
            dated = re.sub(r"2026-11-2\dT\d\d:\d\d:\d\dZ", "", finding.why)
            digits = "".join(one if one.isdigit() else " " for one in dated)
            assert max(map(len, digits.split()), default=0) < 5


def test_a_rule_without_its_records_is_silent() -> None:
    """A gate that has only begun is told to be not whole, and nothing else is made up."""
    bare = Run(OPENED, (OPENED,))
    for rule in GATE_RULES:
        assert bool(list(rule(bare))) is (rule.__name__ == "whole")
