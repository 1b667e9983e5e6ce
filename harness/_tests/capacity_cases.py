"""Upgrade gates whose stores, disk or logs are too full, each with exactly its findings."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from harness._tests.gate_cases import (
    ADVICE,
    CHECKED,
    COLLECTED,
    EARLIER,
    ENDED,
    FRESH,
    GATE,
    GIB,
    IN_VAIN,
    LOGS,
    MESSAGES,
    MIB,
    ONCE,
    ONCE_MORE,
    QUEUE,
    SEEN,
    SEVERAL,
    WAIT,
    WEIGHED,
    YESTERDAY,
    Found,
    at,
    changed,
    collected,
    large,
    on_mysql,
    rows,
    weighed,
    without,
)
from harness.model import (
    Garbage,
    History,
    NodeCollection,
    NodeOutcome,
    Verdict,
)

FREE: Final = (
    "50% of its bytes are free space, above the site's limit of 20%: OPTIMIZE TABLE in a quiet "
    "period, which needs free disk for a second copy of it"
)
YET = "; no complete one is known at all"
CAPACITY: Final[dict[str, tuple[History, Verdict, tuple[Found, ...]]]] = {
    # --- messages
    "large, by estimate": (
        weighed(rows(2_100_000), QUEUE),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}{YET}",
            ),
        ),
    ),
    "large, counted": (
        weighed(rows(10_000_000, exact=True), QUEUE),
        Verdict.TRACE,
        (
            large(
                10_000_000, f"large: 10.0 million rows, above the guide's 2.0 million: {ONCE}{YET}"
            ),
        ),
    ),
    "large by one row": (
        weighed(rows(2_000_001, exact=True), QUEUE),
        Verdict.TRACE,
        (
            large(
                2_000_001,
                f"large: just above 2.0 million rows, above the guide's 2.0 million: {ONCE}{YET}",
            ),
        ),
    ),
    "very large": (
        weighed(rows(10_000_001), QUEUE),
        Verdict.TRACE,
        (
            large(
                10_000_001,
                f"very large: about 10.0 million rows, above the guide's 10.0 million: {SEVERAL}{YET}",
            ),
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
                f"{ENDED} Failed: three. Silent: two. {ONCE_MORE}",
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
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}; no complete one is known since {EARLIER}",
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
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}{YET}",
            ),
        ),
    ),
    "large, and media collected": (
        collected(rows(2_100_000), rows(2_100_000), replace(COLLECTED, garbage=Garbage.MEDIA)),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}{YET}",
            ),
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
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}; no complete one is known since {YESTERDAY}",
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
            at(
                "coverage",
                "garbage collection, messages",
                f"it is not known to have ended. X. {ONCE_MORE}",
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
        on_mysql(weighed(replace(MESSAGES, dead_rows=None, free_bytes=2 * GIB), QUEUE)),
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
        on_mysql(weighed(MESSAGES, replace(QUEUE, free_bytes=16 * MIB, size_bytes=16 * MIB))),
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
                replace(QUEUE, table="none", free_bytes=16 * MIB - 1, size_bytes=0),
                replace(QUEUE, table="just", free_bytes=20 * MIB, size_bytes=80 * MIB),
            )
        ),
        Verdict.CLEAR,
        (),
    ),
    # --- what a collection leaves behind
    "dead rows after a collection of this session": (
        collected(rows(9), replace(MESSAGES, dead_rows=1_500_000), COLLECTED),
        Verdict.CLEAR,
        (),
    ),
    "free space after a collection of yesterday": (
        on_mysql(
            tuple(
                FRESH if one is GATE else one
                for one in weighed(replace(MESSAGES, dead_rows=None, free_bytes=2 * GIB), QUEUE)
            )
        ),
        Verdict.CLEAR,
        (),
    ),
    "free space after a collection of long ago": (
        on_mysql(
            tuple(
                replace(GATE, last_collection_at=EARLIER) if one is GATE else one
                for one in weighed(replace(MESSAGES, dead_rows=None, free_bytes=2 * GIB), QUEUE)
            )
        ),
        Verdict.TRACE,
        (large(1, FREE),),
    ),
    "free space after a collection, and the disk is short": (
        on_mysql(
            tuple(
                FRESH if one is GATE else one
                for one in weighed(
                    replace(MESSAGES, dead_rows=None, free_bytes=2 * GIB),
                    QUEUE,
                    disk_size_bytes=20 * GIB,
                )
            )
        ),
        Verdict.TRACE,
        (
            large(1, FREE),
            at(
                "capacity",
                "disk, free share",
                "10% of the server's disk is free, below the site's limit of 20%: make room on it",
            ),
        ),
    ),
    "dead rows after a collection that did not end": (
        collected(
            rows(9),
            replace(MESSAGES, dead_rows=500_001),
            replace(COLLECTED, complete=False, why="x"),
        ),
        Verdict.UNKNOWN,
        (
            large(
                500_001,
                "20% of its rows are dead, above the site's limit of 20%: VACUUM it in a quiet "
                "period",
            ),
            at(
                "coverage",
                "garbage collection, messages",
                f"it is not known to have ended. X. {ONCE_MORE}",
            ),
        ),
    ),
    "dead rows after a collection of media": (
        collected(
            rows(9),
            replace(MESSAGES, dead_rows=500_001),
            replace(COLLECTED, garbage=Garbage.MEDIA),
        ),
        Verdict.TRACE,
        (
            large(
                500_001,
                "20% of its rows are dead, above the site's limit of 20%: VACUUM it in a quiet "
                "period",
            ),
        ),
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
        Verdict.CLEAR,
        (),
    ),
    "the disk is another machine's": (
        changed(WEIGHED, disk_free_bytes=None, disk_size_bytes=None),
        Verdict.CLEAR,
        (),
    ),
    "the disk tells no size": (changed(WEIGHED, disk_size_bytes=0), Verdict.CLEAR, ()),
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
}
