"""How to know that a collection has ended: by its notifications, or by the client's statistics.

Notifications come to the client's one webhook. A disposable client's is ours: `ByWebhook`. A real
one's belongs to its owner and is left alone: `ByStatistics` looks until nothing changes any more,
which confirms nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from harness.errors import WebappError
from harness.maintenance.webapp_api import Webapp
from harness.maintenance.webhook import Receiver
from harness.model import Garbage, NodeCollection, NodeOutcome

_SLICE_S: Final = 0.1

Check = Callable[[], None]
"""Called while waiting; what it raises ends the waiting at once."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How one collection ended; `why` is a sentence unless every Coreapp is through.

    `over`: waiting ended with the time, so that nothing more can be learnt by another one.
    """

    nodes: tuple[NodeCollection, ...]
    complete: bool
    confirmed: bool
    why: str = ""
    over: bool = False


class Completion(Protocol):
    """How the end of a collection becomes known."""

    def prepare(self, garbage: Garbage) -> None:
        """Get ready, before a collection is started."""

    def wait(self, garbage: Garbage, nodes: tuple[str, ...], until: float, check: Check) -> Ended:
        """Wait for the end on these Coreapps, until a moment of the monotonic clock."""


class ByWebhook:
    """Waits until every Coreapp has told how its collection ended.

    A notification does not tell which collection it is of: one that is sent twice could be taken
    for the next one's. What came before a start is dropped, and of two for one Coreapp the first
    counts, unless the second tells of a failure.
    """

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def prepare(self, garbage: Garbage) -> None:
        """Drop what has come for collections before this one."""
        del garbage
        self._receiver.forget()

    def wait(self, garbage: Garbage, nodes: tuple[str, ...], until: float, check: Check) -> Ended:
        """Wait until each has told, or the time is over."""
        told: dict[str, NodeCollection] = {}
        strangers = 0
        while len(told) < len(nodes) and time.monotonic() < until:
            check()
            report = self._receiver.next(min(_SLICE_S, until - time.monotonic()))
            if report is None or report.garbage is not garbage:
                continue
            # Where only one is going on, whether it has a name says nothing.
            name = nodes[0] if len(nodes) == 1 and "" in {nodes[0], report.node.node} else None
            name = report.node.node if name is None else name
            if name not in nodes:
                strangers += 1
            elif name not in told or report.node.outcome is NodeOutcome.FAILED:
                told[name] = report.node
        silent = [name for name in nodes if name not in told]
        each = tuple(sorted([*told.values(), *(_silent(name) for name in silent)]))
        failed = sum(one.outcome is NodeOutcome.FAILED for one in each)
        why = _unfinished(len(nodes), failed, len(silent), strangers)
        return Ended(each, not why, not why, why, over=bool(silent))


class ByStatistics:
    """Looks at the client's own statistics until they have not changed for so many looks.

    They count messages and receipts, so that of media they tell nothing. On a large database each
    look costs the client something: `every_s` should not be short.
    """

    def __init__(
        self, webapp: Webapp, *, every_s: float = 30, stable_times: int = 4, least_s: float = 60
    ) -> None:
        self._webapp = webapp
        self._every_s = every_s
        self._stable_times = stable_times
        self._least_s = least_s

    def prepare(self, garbage: Garbage) -> None:
        """Need nothing: what was counted before does not tell when it ends."""

    def wait(self, garbage: Garbage, nodes: tuple[str, ...], until: float, check: Check) -> Ended:
        """Wait until nothing changes any more, or the time is over."""
        if garbage is Garbage.MEDIA:
            why = (
                "The client's statistics tell nothing of media: look for the notification of "
                "items_deleted at the webhook's owner."
            )
            return Ended(
                tuple(_silent(name) for name in nodes),
                complete=False,
                confirmed=False,
                why=why,
                over=True,
            )
        begun, same, blind = time.monotonic(), 0, ""
        last: tuple[int | None, int | None] | None = None
        while True:
            check()
            counted, blind = self._counted()
            same = same + 1 if counted is not None and counted == last else 0
            last = counted
            if same >= self._stable_times and time.monotonic() - begun >= self._least_s:
                settled = tuple(NodeCollection(name, NodeOutcome.SETTLED) for name in nodes)
                return Ended(settled, complete=True, confirmed=False)
            if time.monotonic() + self._every_s > until:
                break
            pause(self._every_s, check)
        why = blind or (
            "The client's counts of messages and receipts did not come to rest in time: allow it "
            "more (wait_s in --gc-policy), or collect in a quiet period."
        )
        silent = tuple(_silent(name) for name in nodes)
        return Ended(silent, complete=False, confirmed=False, why=why, over=True)

    def _counted(self) -> tuple[tuple[int | None, int | None] | None, str]:
        """Return the counts, or None and why there are none."""
        try:
            found = self._webapp.statistics()
        except WebappError as error:
            return None, str(error)
        if found.messages is None:
            return None, "The client's statistics count no messages: look at its primary Master."
        return (found.messages, found.receipts), ""


def pause(for_s: float, check: Check) -> None:
    """Wait, and be interrupted by what a check raises."""
    until = time.monotonic() + for_s
    while (left_s := until - time.monotonic()) > 0:
        check()
        time.sleep(min(_SLICE_S, left_s))
    check()


def _silent(name: str) -> NodeCollection:
    return NodeCollection(name, NodeOutcome.SILENT)


def _unfinished(nodes: int, failed: int, silent: int, strangers: int) -> str:
    """Return the sentence on what did not end well; empty where everything did."""
    parts = []
    if failed:
        parts.append(f"{_so_many(failed, nodes)} reported a failure")
    if silent:
        parts.append(f"{_so_many(silent, nodes)} did not report in time")
    if parts and strangers:
        parts.append(f"{strangers} reports were of Coreapps that had not been started")
    told = ", ".join(parts)
    logs = "its log" if nodes == 1 else "their logs"
    return f"{told[0].upper()}{told[1:]}: look at {logs}." if parts else ""


def _so_many(count: int, nodes: int) -> str:
    return "the only Coreapp" if nodes == 1 else f"{count} of {nodes} Coreapps"
