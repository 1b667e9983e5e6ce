"""A good upgrade gate, the ways to spoil it, and what is said of each: whole, versions, settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

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
    messages=None,
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


def counts(messages: int, table: TableWeight) -> History:
    """Return the good gate whose client counts so many messages, over such a table."""
    return tuple(
        replace(one, messages=messages) if one is SEEN else one for one in weighed(table, QUEUE)
    )


def drifted(*places: tuple[str, str, str], missing: bool) -> History:
    """Return the good gate whose schema is not the manifest's."""
    found = (Drifted(RUN, *place, "somewhere", missing=missing) for place in places)
    return (*GOOD[:-1], *found, CLOSED)


def gone(place: str) -> Found:
    """Return the finding about something that the gate reads and that is not there."""
    why = (
        "it is not on this server, so that it could not be looked at: see that WA_DB_NAME_PREFIX, "
        "the server and the account are right; where they are, describe this client's schema in "
        "fixtures/manifest.toml"
    )
    return ("coverage", place, "", 1, why)


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
ONLY = (
    "off, and nothing is collected automatically: messages go only where collection is driven "
    "through the API, and none is known within its interval: "
)
SWITCHED_OFF = (
    f"{ONLY}set db_garbagecollector_enable on and restart the Coreapps, or have garbage collected "
    "regularly (--run-gc) [confirmed; settings guide: from v2.29.1 on the messages table "
    "grows with pass_through off]"
)
BUSY = (
    "automatic collection is on, at more than 120 a second: switch it off, restart the Coreapps, "
    "and collect through the API in a quiet period [inferred; the vendor's advice: above 120 "
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
    "[inferred; settings guide: an upgrade to v2.29.1 sets db_garbagecollector_enable on where "
    "pass_through is on, and off where it is off]"
)
GROWS = (
    f"{ONLY}set pass_through on and restart the Coreapps, or have garbage collected regularly "
    "(--run-gc) [inferred; settings guide: from v2.29.1 on the "
    "messages table grows with pass_through off]"
)
NOT_KNOWN = at(
    "coverage",
    "the client's version",
    "it is not known, so its settings cannot be judged: give --from-version",
)
ENDED = "it is not known to have ended. No callback came in 60 s."
ONCE_MORE = "Collect again with --run-gc."

BELONGS = "does --webapp-url belong to this store set? Look which it is, and correct it"
FINE = (Verdict.CLEAR, ())

GATES: Final[dict[str, tuple[History, Verdict, tuple[Found, ...]]]] = {
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
    "the client's version has a suffix": (changed(SEEN, version="v2.29.1-beta"), *FINE),
    "another version than was given, with a suffix": (
        changed(SEEN, version="v2.29.0-beta.2", settings=(("pass_through", True),)),
        Verdict.TRACE,
        (
            at(
                "settings",
                "--from-version",
                "the client says v2.29.0, and v2.29.1 was given: correct --from-version",
            ),
        ),
    ),
    "the client's version cannot be read": (
        changed(SEEN, version="v2.29.1000"),
        Verdict.UNKNOWN,
        (
            at(
                "coverage",
                "the client's version",
                "it says one that cannot be read, so that --from-version cannot be compared with "
                "it: look in its own answers, and report this version as one that we lack",
            ),
        ),
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
    "nothing is collected automatically, and a collection is known": (
        tuple(
            FRESH if one is GATE else one
            for one in settings(("pass_through", False), ("db_garbagecollector_enable", False))
        ),
        Verdict.CLEAR,
        (),
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
    # --- another installation
    "the client's database is of another kind": (
        changed(SEEN, engine="mysql"),
        Verdict.UNKNOWN,
        (
            at(
                "coverage",
                "--webapp-url",
                f"the client's database is mysql, and the store set's postgres: {BELONGS}",
            ),
        ),
    ),
    "the client's database is of the same kind": (
        changed(SEEN, engine="postgres", messages=2_000_000),
        Verdict.CLEAR,
        (),
    ),
    "the client counts far fewer messages": (
        changed(SEEN, messages=40),
        Verdict.UNKNOWN,
        (
            at(
                "coverage",
                "--webapp-url",
                "the client counts 40 messages, and the store set has about 2.0 million: "
                f"{BELONGS}, and if it does, run ANALYZE on the messages table",
            ),
        ),
    ),
    "the client counts far more messages": (
        counts(2_001, rows(1_000, exact=True)),
        Verdict.UNKNOWN,
        (
            at(
                "coverage",
                "--webapp-url",
                "the client counts 2.0 thousand messages, and the store set has 1.0 thousand: "
                f"{BELONGS}",
            ),
        ),
    ),
    "the client counts twice as many": (counts(3_000, rows(1_500, exact=True)), *FINE),
    "the client counts a few more": (counts(1_000, rows(0, exact=True)), *FINE),
    "the client counts a few more than estimated": (counts(10_000, rows(0)), *FINE),
    "the client counts before its garbage is collected": (
        tuple(
            replace(one, messages=2_000_000) if one is SEEN else one
            for one in collected(rows(2_000_000), rows(9), COLLECTED)
        ),
        *FINE,
    ),
    "only the weight after a collection is known": (
        tuple(
            replace(one, messages=2_000_000) if one is SEEN else one
            for one in collected(rows(2_000_000), rows(9), COLLECTED)
            if not isinstance(one, Weighed) or one.moment is not Moment.BEFORE
        ),
        *FINE,
    ),
    # --- drift
    "the schema has more than the manifest": (
        drifted(("waweb", "visits", ""), missing=False),
        Verdict.CLEAR,
        (),
    ),
    "the schema has less than the manifest": (
        drifted(("waweb", "users", ""), ("messageStore", "messages", "data"), missing=True),
        Verdict.CLEAR,
        (),
    ),
    "what the gate reads is more than the manifest": (
        drifted(("messageStore", "messages", "timestamp"), missing=False),
        Verdict.CLEAR,
        (),
    ),
    "what the gate reads is missing": (
        drifted(
            ("axolotl", "", ""),
            ("callbackStore", "queue", ""),
            ("messageStore", "messages", "timestamp"),
            ("messageStore", "messages", "key_from_me"),
            missing=True,
        ),
        Verdict.UNKNOWN,
        (
            gone("axolotl"),
            gone("callbackStore.queue"),
            gone("messageStore.messages.timestamp"),
            gone("messageStore.messages.key_from_me"),
        ),
    ),
    "the store of the messages is missing": (
        (*weighed(QUEUE)[:-1], *drifted(("messageStore", "", ""), missing=True)[-2:]),
        Verdict.UNKNOWN,
        (gone("messageStore"),),
    ),
    "the messages are missing": (
        (*weighed(QUEUE)[:-1], *drifted(("messageStore", "messages", ""), missing=True)[-2:]),
        Verdict.UNKNOWN,
        (gone("messageStore.messages"),),
    ),
    "something else is missing, and the messages were not counted": (
        (
            *weighed(QUEUE)[:-1],
            *drifted(
                ("waweb", "messages", ""),
                ("messageStore", "chats", ""),
                ("messageStore", "messages", "data"),
                missing=True,
            )[-4:],
        ),
        Verdict.UNKNOWN,
        (("coverage", "messageStore.messages", "", 1, CHECKED),),
    ),
    "more than the manifest, and the messages were not counted": (
        (*weighed(QUEUE)[:-1], *drifted(("messageStore", "messages", ""), missing=False)[-2:]),
        Verdict.UNKNOWN,
        (("coverage", "messageStore.messages", "", 1, CHECKED),),
    ),
}
