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
_AGAIN: Final = "Collect again with --run-gc."
_UNTOLD: Final = "No reason was recorded: look at the logs of the Coreapps."


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
    failed, silent = _named(one, NodeOutcome.FAILED), _named(one, NodeOutcome.SILENT)
    outcomes = {node.outcome for node in one.nodes}
    has_failed = NodeOutcome.FAILED in outcomes and NodeOutcome.SILENT not in outcomes
    parts = ["it failed." if has_failed else "it is not known to have ended."]
    if not one.times:
        parts = ["it was not begun."]
    parts.append(_whole(one.why) if one.why else _UNTOLD)
    parts += [f"Failed: {failed}."] if failed else []
    parts += [f"Silent: {silent}."] if silent else []
    if any(isinstance(record, Erased | Called) for record in run.records):
        parts.append("Rows are erased all the same.")
    if one.garbage is Garbage.MESSAGES:
        parts.append(_AGAIN)
    return " ".join(parts)


def _named(one: Collected, outcome: NodeOutcome) -> str:
    """Return the Coreapps that ended so, each with the codes of its errors."""
    names = []
    for node in one.nodes:
        # Of the only one, which has no name, there is nothing more to say without a code.
        if node.outcome is outcome and (node.node or node.codes):
            codes = f" ({', '.join(map(str, node.codes))})" if node.codes else ""
            names.append(f"{node.node or 'the only Coreapp'}{codes}")
    return ", ".join(names)


def _whole(sentence: str) -> str:
    return f"{sentence[:1].upper()}{sentence[1:].rstrip('.')}."


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
    before = (one for one in run.records[:last] if isinstance(one, Observed))
    swept = [one for one in before if one.part is Part.JUDGED and one.moment is Moment.AFTER]
    for earlier in swept[-1:]:
        for table in earlier.tables:
            if (table.store, table.table) not in tables:
                why = "not searched again after the garbage collection"
                place = (table.store, table.table, "")
                yield run.finding(FindingKind.COVERAGE, why, place=place)


def _of_messages(record: object) -> bool:
    return isinstance(record, Collected) and record.garbage is Garbage.MESSAGES
