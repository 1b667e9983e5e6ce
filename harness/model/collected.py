"""Records about garbage collection, the client's settings, and how full its stores are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.model.nouns import Moment


class Garbage(StrEnum):
    """What the client can be asked to collect."""

    MESSAGES = "messages"
    MEDIA = "media"


class NodeOutcome(StrEnum):
    """How a collection ended on one Coreapp.

    SETTLED: nothing told that it ended, but its counts have stopped changing.
    """

    COMPLETE = "complete"
    FAILED = "failed"
    SILENT = "silent"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True, order=True)
class NodeCollection:
    """What one Coreapp did: `deleted` as it says itself, `codes` those of its errors.

    `node` is empty where there is only one, which has no name in the API.
    """

    node: str
    outcome: NodeOutcome
    deleted: int | None = None
    codes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Collected:
    """The client was asked to collect garbage, so many times, and how that ended.

    `complete`: every Coreapp is through without an error, as far as can be told; `confirmed`: it
    said so itself. `deleted` is what all of them say, None where nobody does; `rows_before` and
    `rows_after` are what the client's own statistics count. `nodes` are of the last time. `why`
    is a sentence where it is not complete. It takes no wa_id, and never proves an erasure.
    """

    run: str
    garbage: Garbage
    at: str
    duration_s: float
    times: int
    complete: bool
    confirmed: bool
    deleted: int | None
    rows_before: int | None
    rows_after: int | None
    nodes: tuple[NodeCollection, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class MarkedRead:
    """Inbound messages were marked read, which lets the client collect more of them.

    `gone` were not there any more, `refused` not taken by the client, `left` not asked for.
    """

    run: str
    at: str
    duration_s: float
    marked: int
    gone: int
    refused: int
    left: int
    why: str = ""


@dataclass(frozen=True, slots=True, order=True)
class ClientNode:
    """One container as the client's health tells; `name` and `role` empty in a single one."""

    name: str
    gateway_status: str
    role: str = ""


@dataclass(frozen=True, slots=True)
class ClientSeen:
    """The client as its API shows it.

    `version` as it stands in each answer, or empty. `settings` are those that garbage collection
    depends on, by dotted name; one that the client leaves out is left out here too. The counts
    are its own statistics; None where it gives none. `engine` is the kind of its database server,
    `mysql` or `postgres`; empty where it does not tell.
    """

    run: str
    at: str
    version: str
    nodes: tuple[ClientNode, ...]
    settings: tuple[tuple[str, bool], ...]
    messages: int | None
    pending_callbacks: int | None
    pending_messages: int | None
    engine: str = ""


@dataclass(frozen=True, slots=True, order=True)
class TableWeight:
    """How much one table holds: live and dead rows, its bytes, and the free ones among them.

    `exact`: the rows were counted, and are not the server's estimate. `dead_rows` and
    `free_bytes` are None where the engine does not tell. The truth is between `least` and `most`,
    -1 where it is as `rows`; `uncounted` says why rows that decide something were not counted,
    with the way out.
    """

    store: str
    table: str
    rows: int
    exact: bool
    size_bytes: int
    dead_rows: int | None = None
    free_bytes: int | None = None
    least: int = -1
    most: int = -1
    uncounted: str = ""


@dataclass(frozen=True, slots=True)
class Weighed:
    """How full the store set is, and how busy.

    `disk_free_bytes` and `disk_size_bytes` are of the disk that the server's data is on, None
    where that is not this machine's. `purge_lag` counts undo log records that MySQL still keeps.
    `sent_per_s` is the rate of outbound messages over the last `rate_window_s` seconds.
    `unseen` has what could not be looked at, each with the way out; `hidden` what the account has
    no right to look at, a place, a colon, and the way out. `rate_note` says what kind of number
    the rate is where it is not simply counted.
    """

    run: str
    moment: Moment
    at: str
    duration_s: float
    tables: tuple[TableWeight, ...]
    disk_free_bytes: int | None
    disk_size_bytes: int | None
    purge_lag: int | None
    sent_per_s: float | None
    rate_window_s: float
    unseen: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    rate_note: str = ""


@dataclass(frozen=True, slots=True, order=True)
class LogWeight:
    """One log folder: live logs and archives, and those that rotation should have taken.

    `overdue` are live logs larger than the limit at which they are rotated; `surplus` are
    archives beyond the number that is kept.
    """

    label: str
    logs: int
    archives: int
    size_bytes: int
    overdue: int
    surplus: int


@dataclass(frozen=True, slots=True)
class LogsWeighed:
    """How much the log folders hold."""

    run: str
    folders: tuple[LogWeight, ...]
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GateOpened:
    """What an upgrade gate is asked, and the limits that it judges by.

    Versions are empty where they were not given. `last_collection_at` is the last complete one
    that this harness knows of, empty if none. `webapp`: the client's API is looked at too. The
    limits come from fixtures/gc/policy.toml, which says how far each is known.
    """

    run: str
    from_version: str
    to_version: str
    webapp: bool
    last_collection_at: str
    large_rows: int
    repeat_rows: int
    pending_callbacks_most: int
    dead_share_most: float
    disk_free_share_least: float
    api_driven_rate_per_s: float
    quiet_rate_per_s: float
    collection_every_h: float
