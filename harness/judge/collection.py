"""Rules about garbage collection: whether it ended, and what was seen after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from harness.judge.runs import Run
from harness.model import (
    Called,
    Collected,
    Erased,
    Finding,
    FindingKind,
    Garbage,
    Moment,
    NodeOutcome,
    Observed,
    Part,
)

_LAST: Final = (Moment.AFTER, Moment.COLLECTED)
_AGAIN: Final = "look at the client's log, and collect again in a quiet period (--run-gc)"


def newest(run: Run) -> Iterator[Collected]:
    """Yield the newest collection of each kind of garbage: it stands for those before it."""
    by_garbage = {one.garbage: one for one in run.all(Collected)}
    yield from by_garbage.values()


def unended(run: Run) -> Iterator[Finding]:
    """A collection that did not end, on every Coreapp and without an error, is not known."""
    for one in newest(run):
        if not one.complete:
            surface = f"garbage collection, {one.garbage}"
            yield run.finding(FindingKind.COVERAGE, _sentence(run, one), surface=surface)


def _sentence(run: Run, one: Collected) -> str:
    """Return what is known of a collection that is not complete, and the way out."""
    why = one.why.rstrip(".") or "no reason was recorded"
    parts = [f"garbage collection did not end: {why}"]
    for outcome in (NodeOutcome.FAILED, NodeOutcome.SILENT):
        nodes = [node for node in one.nodes if node.outcome is outcome]
        if nodes:
            names = ", ".join(node.node or "the only Coreapp" for node in nodes)
            parts.append(f"{outcome}: {names}")
    if any(isinstance(record, Erased | Called) for record in run.records):
        parts.append("rows are erased all the same")
    return "; ".join((*parts, _AGAIN))


def unseen(run: Run) -> Iterator[Finding]:
    """After messages were collected every row is looked at once more: GC alone is no proof.

    Meanwhile a Coreapp may have written somebody back from its caches.
    """
    last = max((n for n, one in enumerate(run.records) if _of_messages(one)), default=None)
    if last is None or run.failures:
        return
    later = (one for one in run.records[last:] if isinstance(one, Observed))
    seen = [one for one in later if one.part is Part.JUDGED and one.moment in _LAST and one.tables]
    if not seen:
        why = "the run is not whole: it lacks a sweep after the garbage collection"
        yield run.finding(FindingKind.COVERAGE, why, surface=f"run {run.opened.run}")
        return
    # Tables that the sweep before saw must be seen again, or a trace in them passes for gone.
    tables = {(table.store, table.table) for table in seen[-1].tables}
    for earlier in run.judged(Moment.AFTER)[-1:]:
        for table in earlier.tables:
            if (table.store, table.table) not in tables:
                why = "not searched again after the garbage collection"
                place = (table.store, table.table, "")
                yield run.finding(FindingKind.COVERAGE, why, place=place)


def _of_messages(record: object) -> bool:
    return isinstance(record, Collected) and record.garbage is Garbage.MESSAGES
