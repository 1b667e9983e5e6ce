"""In which forms the subject was planted, seen before the erasure and left after it: a table."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO

from harness.judge import Run
from harness.model import Planted, Trace

Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class FormLine:
    """One form in one column: how often it was planted, seen before, and left after."""

    store: str
    table: str
    column: str
    form: str
    planted: int
    seen: int
    left: int

    @property
    def clear(self) -> bool:
        """Whether all that was planted was seen, and nothing is left."""
        return self.planted == self.seen > self.left == 0


def account(run: Run) -> tuple[FormLine, ...]:
    """Return a line for each column and form in which the run planted, saw or left the subject."""
    planted = _counted(trace for record in run.all(Planted) for trace in record.traces)
    seen = _counted(run.first.traces if run.first else ())
    left = _counted(run.last.traces if run.last else ())
    return tuple(
        FormLine(*place, form, planted[place, form], seen[place, form], left[place, form])
        for place, form in sorted(planted.keys() | seen.keys() | left.keys())
    )


def as_csv(lines: Iterable[FormLine]) -> str:
    """Return the lines as comma-separated values, as a report shows them."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["column", "form", "planted", "seen before", "left after", "clear"])
    for line in lines:
        column = f"{line.store}.{line.table}.{line.column}"
        clear = "yes" if line.clear else "NO"
        writer.writerow([column, line.form, line.planted, line.seen, line.left, clear])
    return text.getvalue()


def _counted(traces: Iterable[Trace]) -> Counter[tuple[Place, str]]:
    counts: Counter[tuple[Place, str]] = Counter()
    for trace in traces:
        for form, count in trace.forms:
            counts[(trace.store, trace.table, trace.column), form] += count
    return counts
