"""Phase 6: the client is looked at, asked to collect garbage once, and what came of it recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from harness import clock
from harness.config import WebappConfig
from harness.errors import StoreError, StoreUnreachableError
from harness.maintenance.collection import Bounds, collect, nothing
from harness.maintenance.completion import ByStatistics, Check, Completion, Ended
from harness.maintenance.gc_policy import GcPolicy
from harness.maintenance.reading import mark_read
from harness.maintenance.webapp_api import Webapp
from harness.model import ClientSeen, Collected, Garbage, MarkedRead
from harness.stores import StoreSet
from harness.stores.unread import unread_ids

_LEFT: Final = "waiting was interrupted, and what was begun goes on in the client"
Recorder = Callable[[ClientSeen | Collected | MarkedRead], None]


@dataclass
class Collecting:
    """What the client is asked for in one session, however many subjects that has.

    `completion` tells how the end of a collection is seen; `marks_read`: inbound messages are
    marked read before. Nothing is asked for where `garbage` is empty. `began` is called before
    the client is asked for anything, and `asked` tells whether it was. Where there is no `webapp`,
    `barred` says why: nothing is asked for, which is recorded.
    """

    webapp: Webapp | None
    garbage: tuple[Garbage, ...]
    policy: GcPolicy
    completion: Completion
    marks_read: bool = False
    ended: list[Collected] = field(default_factory=list)
    began: Callable[[], None] = nothing
    asked: bool = False
    barred: str = ""

    @property
    def due(self) -> bool:
        """Whether something is still to be asked for."""
        return len(self.ended) < len(self.garbage)

    def look(self, run: str, record: Recorder) -> None:
        """Record how the client answers.

        Raises:
            WebappError: It does not, or not as the client does.
        """
        if self.webapp:
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
            StoreUnreachableError: The server went away while unread messages were looked for.
        """
        if not (webapp := self.webapp):
            for garbage in self.garbage[len(self.ended) :]:
                record(_unended(run, garbage, clock.now(), 0.0, self.barred, times=0))
            return
        self.asked = True
        self.began()
        if self.marks_read and not self.ended:
            record(self._marked(webapp, run, store_set, check))
        for garbage in self.garbage[len(self.ended) :]:
            at, begun_s = clock.now(), time.monotonic()
            try:
                ended = collect(webapp, run, garbage, self.completion, self._bounds, check=check)
            except BaseException:
                record(_unended(run, garbage, at, time.monotonic() - begun_s, _LEFT))
                raise
            self.ended.append(ended)
            record(ended)

    @property
    def _bounds(self) -> Bounds:
        policy = self.policy
        return Bounds(policy.wait_s, policy.times_most, policy.repeat_rows)

    def _marked(self, webapp: Webapp, run: str, store_set: StoreSet, check: Check) -> MarkedRead:
        policy = self.policy
        most, per_s, at = policy.marks_most, policy.marks_per_s, clock.now()
        ids = unread_ids(store_set, policy.read_column)
        try:
            return mark_read(
                webapp, run, ids, most=most, per_s=per_s, wait_s=policy.wait_s, check=check
            )
        except StoreUnreachableError:
            raise
        except StoreError as error:
            # What comes after it matters more, and takes no harm.
            return MarkedRead(run, at, 0.0, 0, 0, 0, 0, str(error))


def _unended(  # noqa: PLR0913  # each is one field
    run: str, garbage: Garbage, at: str, duration_s: float, why: str, *, times: int = 1
) -> Collected:
    """Return the record of a collection that was not begun, or whose end was not waited for."""
    return Collected(
        run=run,
        garbage=garbage,
        at=at,
        duration_s=round(duration_s, 3),
        times=times,
        complete=False,
        confirmed=False,
        deleted=None,
        rows_before=None,
        rows_after=None,
        nodes=(),
        why=why,
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


def barred(
    garbage: tuple[Garbage, ...], policy: GcPolicy, why: str, ended: Iterable[Collected] = ()
) -> Collecting:
    """Return what asks for nothing, since it cannot, and records why."""
    return Collecting(None, garbage, policy, _NoCompletion(), ended=list(ended), barred=why)


class _NoCompletion:
    """Waits for nothing, since nothing was asked for."""

    def prepare(self, garbage: Garbage) -> None:
        """Need nothing."""

    def wait(self, garbage: Garbage, nodes: tuple[str, ...], until: float, check: Check) -> Ended:
        """Return at once: nothing was begun."""
        del garbage, nodes, until, check
        return Ended((), complete=False, confirmed=False)
