"""Collect garbage through the client's API, to its end, and account for it.

It takes no wa_id: what goes is decided by the client, and nothing here proves an erasure.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Final

from harness import clock
from harness.errors import WebappError
from harness.maintenance import webapp_sentences as sentences
from harness.maintenance.completion import Check, Completion, Ended, pause
from harness.maintenance.webapp_api import Webapp
from harness.model import Collected, Garbage, NodeOutcome

REPEAT_ROWS: Final = 10_000_000
_BUSY: Final = frozenset({sentences.TOO_MANY, sentences.OVERLOADED})
_COREAPP: Final = "coreapp"
_STILL: Final = (
    "The client's count of messages is above the number at which collection is run several times, "
    "and has not fallen: look at the client's log."
)
_GOING_ON: Final = "It may be going on all the same."


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long it may take altogether, and how often it may be run.

    Above `repeat_rows` messages it is run again until it ends without errors; where nobody tells
    of errors, until the count is not above that any more, or has stopped falling. One that is
    refused since another is going on is asked for again every `busy_every_s`.
    """

    wait_s: float
    times_most: int = 3
    repeat_rows: int = REPEAT_ROWS
    busy_every_s: float = 5.0


def nothing() -> None:
    """Check nothing."""


def require_reachable(webapp: Webapp) -> None:
    """See that the API can be used, before anything is changed.

    Raises:
        WebappError: It cannot, with the way out.
    """
    webapp.login()
    webapp.health()
    webapp.settings_seen()


def collect(  # noqa: PLR0913  # each is one thing to decide
    webapp: Webapp,
    run: str,
    garbage: Garbage,
    completion: Completion,
    bounds: Bounds,
    *,
    check: Check = nothing,
) -> Collected:
    """Collect garbage until it is complete, or a bound is reached.

    Trouble with the API is told in what is returned. Whatever `check` raises ends it at once;
    what was begun then goes on in the client.
    """
    return _Collecting(webapp, garbage, completion, bounds, check).record(run)


class _Collecting:
    """One collection with its repetitions."""

    def __init__(
        self,
        webapp: Webapp,
        garbage: Garbage,
        completion: Completion,
        bounds: Bounds,
        check: Check,
    ) -> None:
        self._webapp = webapp
        self._garbage = garbage
        self._completion = completion
        self._bounds = bounds
        self._check = check
        self._begun = time.monotonic()
        self._until = self._begun + bounds.wait_s
        self._times = 0

    def record(self, run: str) -> Collected:
        at, rows_before = clock.now(), self._rows()
        rows = rows_before
        deleted: list[int] = []
        ended = Ended((), complete=False, confirmed=False)
        is_large = (rows_before or 0) > self._bounds.repeat_rows
        repeats = self._garbage is Garbage.MESSAGES and is_large
        while True:
            again = self._once()
            # One that did not begin takes nothing away from what the last one told.
            ended = replace(again, nodes=again.nodes or ended.nodes)
            deleted += [one.deleted for one in again.nodes if one.deleted is not None]
            last = not repeats or self._times >= self._bounds.times_most
            if ended.over or last or (ended.complete and ended.confirmed):
                break
            if ended.complete:
                rows, then = self._rows(), rows
                if rows is None or then is None or rows >= then:
                    ended = replace(ended, complete=False, why=_STILL)
                    break
                if rows <= self._bounds.repeat_rows:
                    break
        if repeats and not ended.complete and not ended.over and ended.why != _STILL:
            ended = replace(ended, why=f"After {self._times} times it is the same. {ended.why}")
        return Collected(
            run=run,
            garbage=self._garbage,
            at=at,
            duration_s=round(time.monotonic() - self._begun, 3),
            times=self._times,
            complete=ended.complete,
            confirmed=ended.confirmed,
            deleted=sum(deleted) if deleted else None,
            rows_before=rows_before,
            rows_after=self._rows(),
            nodes=ended.nodes,
            why=ended.why,
        )

    def _once(self) -> Ended:
        """Start a collection and wait for its end."""
        nodes, trouble = self._started()
        if trouble and not trouble.started:
            return Ended((), complete=False, confirmed=False, why=str(trouble), over=True)
        self._times += 1
        if not nodes:
            why = f"{trouble} {_GOING_ON}"
            return Ended((), complete=False, confirmed=False, why=why, over=True)
        ended = self._completion.wait(self._garbage, nodes, self._until, self._check)
        if trouble and not ended.confirmed:
            # Counts that are at rest say nothing where it is not known to have begun.
            is_told = any(one.outcome is NodeOutcome.FAILED for one in ended.nodes)
            whys = (str(trouble), "" if is_told else _GOING_ON, ended.why)
            return replace(ended, complete=False, why=" ".join(filter(None, whys)))
        return ended

    def _started(self) -> tuple[tuple[str, ...], WebappError | None]:
        """Return the Coreapps that it has begun on, and what was the matter with that.

        Of one that may have been begun the answer is not known: it is waited for on all of them,
        where that is known.
        """
        while True:
            self._check()
            self._completion.prepare(self._garbage)
            try:
                return self._webapp.start(self._garbage), None
            except WebappError as error:
                trouble = error
            if trouble.started:
                return self._coreapps(), trouble
            left_s = self._until - time.monotonic()
            if trouble.code not in _BUSY or left_s < self._bounds.busy_every_s:
                return (), trouble
            pause(self._bounds.busy_every_s, self._check)

    def _coreapps(self) -> tuple[str, ...]:
        if self._garbage is Garbage.MEDIA:
            return ("",)  # The leader's alone, whichever that is.
        try:
            nodes = self._webapp.health()
        except WebappError:
            return ()
        return tuple(node.name for node in nodes if node.role == _COREAPP or not node.name)

    def _rows(self) -> int | None:
        try:
            return self._webapp.statistics().messages
        except WebappError:
            return None
