"""Phase 6: the client is looked at, asked to collect garbage once, and what came of it recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from harness.config import WebappConfig
from harness.maintenance.collection import Bounds, ByStatistics, Completion, collect
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
    marked read before. Nothing is asked for where `garbage` is empty.
    """

    webapp: Webapp
    garbage: tuple[Garbage, ...]
    policy: GcPolicy
    completion: Completion
    bounds: Bounds
    marks_read: bool = False
    _done: list[Collected] = field(default_factory=list)

    @property
    def due(self) -> bool:
        """Whether something is still to be asked for."""
        return len(self._done) < len(self.garbage)

    @property
    def done(self) -> tuple[Collected, ...]:
        """What was asked for and ended, one way or the other."""
        return tuple(self._done)

    def look(self, run: str, record: Recorder) -> None:
        """Record how the client answers.

        Raises:
            WebappError: It does not, or not as the client does.
        """
        record(self.webapp.seen(run))

    def collect(
        self, run: str, store_set: StoreSet, record: Recorder, check: Callable[[], None]
    ) -> None:
        """Mark messages read if asked to, and see each collection through to its end.

        A collection that fails, or does not end in time, is recorded as such and raises nothing.

        Args:
            run: Whose records they are.
            store_set: Where unread messages are found.
            record: Takes each record as it is made.
            check: Called again and again; what it raises ends the waiting.
        """
        if self.marks_read and not self._done:
            record(self._marked(run, store_set, check))
        for garbage in self.garbage[len(self._done) :]:
            done = collect(self.webapp, run, garbage, self.completion, self.bounds, check=check)
            self._done.append(done)
            record(done)

    def _marked(self, run: str, store_set: StoreSet, check: Callable[[], None]) -> MarkedRead:
        ids: Iterator[str] = unread_ids(store_set, self.policy.read_column)
        return mark_read(self.webapp, run, ids, check=check)


def made(
    config: WebappConfig,
    garbage: tuple[Garbage, ...],
    policy: GcPolicy,
    *,
    reads: bool = False,
    done: Iterable[Collected] = (),
) -> Collecting:
    """Return what a real client is asked for; its end is seen in its statistics.

    The webhook, which would tell, is the client's owner's, and is left alone. What was `done`
    before the session was interrupted is not asked for again.
    """
    webapp = Webapp(config)
    bounds = Bounds(repeat_rows=policy.repeat_rows)
    return Collecting(
        webapp, garbage, policy, ByStatistics(webapp), bounds, marks_read=reads, _done=list(done)
    )
