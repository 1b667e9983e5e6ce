"""Rules about rows: what was planted is seen, what was seen is gone, the rest is as before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from harness.judge.runs import Run
from harness.model import (
    OTHER_SET,
    Drifted,
    Finding,
    FindingKind,
    Mode,
    Moment,
    Observed,
    Part,
    Planted,
    TableState,
    Trace,
)

_WHEN: Final = {
    Moment.INSIDE: "when it was rolled back",
    Moment.AFTER: "after the erasure",
    Moment.COLLECTED: (
        "after the garbage collection (a Coreapp wrote it back from its caches? stop the Coreapps "
        "and erase again)"
    ),
}


def blind(run: Run) -> Iterator[Finding]:
    """What was planted must be seen before the erasure, or the sweep is blind there."""
    before = run.first
    if before is None:
        return
    seen = {(trace.store, trace.table, trace.column): trace.cells for trace in before.traces}
    for planted in run.all(Planted):
        for trace in planted.traces:
            place = (trace.store, trace.table, trace.column)
            # Where others write, more of the subject may have come since.
            more = run.opened.shared and seen.get(place, 0) > trace.cells
            if seen.get(place, 0) != trace.cells and not more:
                why = f"{trace.cells} cells planted, {seen.get(place, 0)} seen before the erasure"
                yield run.finding(FindingKind.COVERAGE, why, place=place, count=trace.cells)
            for form, count in _forms_missing(trace, before.traces):
                why = f"not seen before the erasure: {form}"
                yield run.finding(FindingKind.COVERAGE, why, place=place, count=count)


def _forms_missing(planted: Trace, seen: Iterable[Trace]) -> Iterator[tuple[str, int]]:
    """Yield each planted form that was seen less often in its column, and by how much."""
    same = (trace for trace in seen if _same_place(planted, trace))
    found = {form: count for trace in same for form, count in trace.forms}
    for form, count in planted.forms:
        if (missing := count - found.get(form, 0)) > 0:
            yield form, missing


def _same_place(one: Trace, other: Trace) -> bool:
    return (one.store, one.table, one.column) == (other.store, other.table, other.column)


def unaccounted(run: Run) -> Iterator[Finding]:
    """As many bystander rows must be read as were seeded: a table may have gone missing."""
    before = run.first
    for planted in run.all(Planted) if before and not run.opened.shared else ():
        rows = sum(state.bystander_rows for state in before.tables) if before else 0
        if rows != planted.bystander_rows:
            why = f"{planted.bystander_rows} bystander rows seeded, {rows} read"
            yield run.finding(
                FindingKind.COVERAGE, why, surface="rows", count=abs(rows - planted.bystander_rows)
            )


def traces(run: Run) -> Iterator[Finding]:
    """Anything of the subject that the last sweep saw remains."""
    if not (after := run.last):
        return
    when = "there" if run.opened.mode == Mode.AUDIT else f"still there {_WHEN[after.moment]}"
    for trace in after.traces:
        why = f"{when}, as {', '.join(form for form, _ in trace.forms)}"
        place = (trace.store, trace.table, trace.column)
        yield run.finding(FindingKind.TRACE, why, place=place, count=trace.cells)


def collateral(run: Run) -> Iterator[Finding]:
    """Rows that are not the subject's must be the same before and after.

    Garbage collection takes rows of others away, by a policy of its own and from one set only.
    """
    then: dict[Part, Observed] = {}
    for observed in run.all(Observed):
        if observed.moment is Moment.BEFORE:
            then[observed.part] = observed
        elif observed.part in then and not _others_write(run, observed):
            yield from _changed(run, then[observed.part], observed)


def _others_write(run: Run, observed: Observed) -> bool:
    """Tell whether rows of others may differ by then without any fault of the erasure."""
    if run.opened.shared:
        return observed.moment in {Moment.AFTER, Moment.COLLECTED}
    return (observed.part, observed.moment) == (Part.JUDGED, Moment.COLLECTED)


def _changed(run: Run, before: Observed, after: Observed) -> Iterator[Finding]:
    surface = OTHER_SET if after.part is Part.OTHER else ""
    then = {(state.store, state.table): state for state in before.tables}
    now = {(state.store, state.table): state for state in after.tables}
    for place in sorted(then.keys() | now.keys()):
        rows = _rows_changed(then.get(place), now.get(place))
        if rows:
            why = f"rows that are not the subject's were changed, at least {rows}"
            yield run.finding(
                FindingKind.COLLATERAL, why, place=(*place, ""), surface=surface, count=rows
            )


def _rows_changed(then: TableState | None, now: TableState | None) -> int:
    """Return at least how many rows changed that had to stay; 0 if none did."""
    if then is None or now is None:
        return 1
    missing = abs(then.bystander_rows - now.bystander_rows) + abs(
        then.mention_rows - now.mention_rows
    )
    same = (then.bystander_digest, then.mention_digest) == (
        now.bystander_digest,
        now.mention_digest,
    )
    return missing or int(not same)


def drift(run: Run) -> Iterator[Finding]:
    """The connected schema must be the one that the treatments were written for."""
    for drifted in run.all(Drifted):
        if drifted.accepted:
            continue
        place = (drifted.store, drifted.table, drifted.column)
        yield run.finding(FindingKind.DRIFT, drifted.why, place=place)
