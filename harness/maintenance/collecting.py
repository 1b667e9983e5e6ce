"""Phase 6: the client is looked at, asked to collect garbage once, and what came of it recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from harness import clock
from harness.config import WebappConfig
from harness.maintenance.collection import Bounds, collect, nothing
from harness.maintenance.completion import ByStatistics, Check, Completion
from harness.maintenance.gc_policy import GcPolicy
from harness.maintenance.reading import mark_read
from harness.maintenance.webapp_api import Webapp
from harness.model import ClientSeen, Collected, Garbage, MarkedRead
from harness.stores import StoreSet
from harness.stores.unread import unread_ids

Recorder = Callable[[ClientSeen | Collected | MarkedRead], None]


@dataclass
class Collecting:
    """What the client is asked for in one session, however many subjects that has.

    `completion` tells how the end of a collection is seen; `marks_read`: inbound messages are
    marked read before. Nothing is asked for where `garbage` is empty. `began` is called before
    the client is asked for anything, and `asked` tells whether it was.
    """

    webapp: Webapp
    garbage: tuple[Garbage, ...]
    policy: GcPolicy
    completion: Completion
    marks_read: bool = False
    ended: list[Collected] = field(default_factory=list)
    began: Callable[[], None] = nothing
    asked: bool = False

    @property
    def due(self) -> bool:
        """Whether something is still to be asked for."""
        return len(self.ended) < len(self.garbage)

    def look(self, run: str, record: Recorder) -> None:
        """Record how the client answers.

        Raises:
            WebappError: It does not, or not as the client does.
        """
        record(self.webapp.seen(run))

    def collect(self, run: str, store_set: StoreSet, record: Recorder, check: Check) -> None:
        """Mark messages read if asked to, and see each collection through to its end.

        A collection that fails, or does not end in time, is recorded as such and raises nothing;
        one whose end was not waited for is recorded too.

        Args:
            run: Whose records they are.
            store_set: Where unread messages are found.
            record: Takes each record as it is made.
            check: Called again and again; what it raises ends the waiting.

        Raises:
            StoreError: The unread messages cannot be read.
        """
        self.asked = True
        self.began()
        if self.marks_read and not self.ended:
            record(self._marked(run, store_set, check))
        for garbage in self.garbage[len(self.ended) :]:
            at, begun_s = clock.now(), time.monotonic()
            try:
                ended = collect(
                    self.webapp, run, garbage, self.completion, self._bounds, check=check
                )
            except BaseException:
                record(_left(run, garbage, at, time.monotonic() - begun_s))
                raise
            self.ended.append(ended)
            record(ended)

    @property
    def _bounds(self) -> Bounds:
        policy = self.policy
        return Bounds(policy.wait_s, policy.times_most, policy.repeat_rows)

    def _marked(self, run: str, store_set: StoreSet, check: Check) -> MarkedRead:
        policy = self.policy
        ids = unread_ids(store_set, policy.read_column)
        most, per_s = policy.marks_most, policy.marks_per_s
        return mark_read(self.webapp, run, ids, most=most, per_s=per_s, check=check)


def _left(run: str, garbage: Garbage, at: str, duration_s: float) -> Collected:
    """Return the record of a collection whose end was not waited for."""
    return Collected(
        run=run,
        garbage=garbage,
        at=at,
        duration_s=round(duration_s, 3),
        times=1,
        complete=False,
        confirmed=False,
        deleted=None,
        rows_before=None,
        rows_after=None,
        nodes=(),
        why="waiting was interrupted, and what was begun goes on in the client",
    )


def made(  # noqa: PLR0913  # each is one thing to decide
    config: WebappConfig,
    garbage: tuple[Garbage, ...],
    policy: GcPolicy,
    *,
    reads: bool = False,
    ended: Iterable[Collected] = (),
    began: Callable[[], None] = nothing,
) -> Collecting:
    """Return what a real client is asked for; its end is seen in its statistics.

    The webhook, which would tell, is the client's owner's, and is left alone. What `ended` before
    the session was interrupted is not asked for again. `began` is called once it is asked.
    """
    webapp = Webapp(config)
    completion = ByStatistics(
        webapp,
        every_s=policy.look_every_s,
        stable_times=policy.rest_looks,
        least_s=policy.least_s,
    )
    return Collecting(webapp, garbage, policy, completion, reads, list(ended), began)
